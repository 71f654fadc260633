package ssapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) backfillRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_matrix/federation/v1/backfill/{roomID}", signed(), s.backfill),
		endpoint.On("POST /_matrix/federation/v1/get_missing_events/{roomID}", signed(), s.missingEvents),
	}
}

type backfillRequest struct {
	RoomID id.RoomID    `path:"roomID"`
	From   []id.EventID `query:"v"`
	Limit  int64        `query:"limit"`
}

// backfill serves https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1backfillroomid
func (s *Server) backfill(ctx context.Context, c endpoint.Caller, req backfillRequest) (transaction, error) {
	switch {
	case len(req.From) == 0:
		return transaction{}, mxerr.New(mxerr.MissingParam, "query parameter v is missing")
	case req.Limit < 0:
		return transaction{}, mxerr.New(mxerr.InvalidParam, "limit is negative")
	}
	served, err := s.Rooms.Backfill(ctx, req.RoomID, c.Server, req.From, int(min(req.Limit, 1000)))
	if err != nil {
		return transaction{}, err
	}
	return s.transaction(served...), nil
}

type missingEventsRequest struct {
	RoomID   id.RoomID    `path:"roomID"`
	Latest   []id.EventID `json:"latest_events" required:"M_BAD_JSON"`
	Earliest []id.EventID `json:"earliest_events" required:"M_BAD_JSON"`
	Limit    *int64       `json:"limit"`
	MinDepth int64        `json:"min_depth"`
}

type missingEventsResponse struct {
	Events []canonjson.Value `json:"events"`
}

// defaultMissing is how many events are returned where the request does not say.
const defaultMissing = 10

// missingEvents serves https://spec.matrix.org/v1.19/server-server-api/#post_matrixfederationv1get_missing_eventsroomid
func (s *Server) missingEvents(ctx context.Context, c endpoint.Caller, req missingEventsRequest) (missingEventsResponse, error) {
	limit := int64(defaultMissing)
	if req.Limit != nil {
		limit = min(max(*req.Limit, 0), 1000)
	}
	served, err := s.Rooms.MissingEvents(ctx, req.RoomID, c.Server, req.Latest, req.Earliest, int(limit), req.MinDepth)
	resp := missingEventsResponse{Events: []canonjson.Value{}}
	for _, e := range served {
		resp.Events = append(resp.Events, e.PDU)
	}
	return resp, err
}
