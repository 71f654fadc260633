package ssapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) timestampRoutes() []endpoint.Route {
	return []endpoint.Route{endpoint.On("GET /_matrix/federation/v1/timestamp_to_event/{roomID}", signed(), s.eventByTime)}
}

type eventByTimeRequest struct {
	RoomID id.RoomID `path:"roomID"`
	Time   int64     `query:"ts" required:"true"`
	Dir    string    `query:"dir" required:"true"`
}

type eventByTimeResponse struct {
	EventID id.EventID `json:"event_id"`
	Time    int64      `json:"origin_server_ts"`
}

// eventByTime serves https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1timestamp_to_eventroomid
func (s *Server) eventByTime(ctx context.Context, c endpoint.Caller, req eventByTimeRequest) (eventByTimeResponse, error) {
	if req.Dir != "f" && req.Dir != "b" {
		return eventByTimeResponse{}, mxerr.New(mxerr.InvalidParam, "dir is neither b nor f")
	}
	sight, err := s.Rooms.ServerSight(ctx, req.RoomID, c.Server)
	if err != nil {
		return eventByTimeResponse{}, err
	}
	it, ok, err := s.Rooms.Nearest(ctx, req.RoomID, req.Time, req.Dir == "b", sight.Intervals)
	if err == nil && !ok {
		err = mxerr.New(mxerr.NotFound, "There is no event from %d on in this direction", req.Time)
	}
	if err != nil {
		return eventByTimeResponse{}, err
	}
	return eventByTimeResponse{it.Event.ID(), it.Event.OriginServerTS()}, nil
}
