package adminapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/internal/room"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// purgeRoutes serve https://element-hq.github.io/synapse/latest/admin_api/purge_history_api.html
func (s *Server) purgeRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("POST /_synapse/admin/v1/purge_history/{roomID}", policy(), s.purgeHistory),
		endpoint.On("POST /_synapse/admin/v1/purge_history/{roomID}/{eventID}", policy(), s.purgeHistory),
		endpoint.On("GET /_synapse/admin/v1/purge_history_status/{purgeID}", policy(), s.purgeStatus),
	}
}

type purgeRequest struct {
	RoomID      id.RoomID  `path:"roomID"`
	PathEvent   id.EventID `path:"eventID,optional"`
	Event       id.EventID `json:"purge_up_to_event_id"`
	Time        *int64     `json:"purge_up_to_ts"`
	DeleteLocal bool       `json:"delete_local_events"`
}

type purgeResponse struct {
	PurgeID string `json:"purge_id"`
}

// purgeHistory removes the history before an event, or before a time.
func (s *Server) purgeHistory(ctx context.Context, _ endpoint.Caller, req purgeRequest) (purgeResponse, error) {
	var place int64
	eventID := req.Event
	if req.PathEvent != "" {
		eventID = req.PathEvent
	}
	switch {
	case eventID != "":
		it, ok, err := s.Rooms.Item(ctx, req.RoomID, eventID)
		if err != nil {
			return purgeResponse{}, err
		}
		if !ok {
			return purgeResponse{}, mxerr.New(mxerr.NotFound, "There is no event %s in room %s", eventID, req.RoomID)
		}
		place = it.Place
	case req.Time != nil:
		var err error
		if place, err = s.Rooms.PlaceAt(ctx, req.RoomID, *req.Time); err != nil {
			return purgeResponse{}, err
		}
	default:
		return purgeResponse{}, mxerr.New(mxerr.MissingParam, "Neither purge_up_to_event_id nor purge_up_to_ts is there")
	}
	name, err := s.Rooms.PurgeHistory(ctx, req.RoomID, place, !req.DeleteLocal)
	return purgeResponse{name}, err
}

type purgeStatusRequest struct {
	PurgeID string `path:"purgeID"`
}

type purgeStatusResponse struct {
	Status room.PurgeStatus `json:"status"`
	Error  string           `json:"error,omitempty"`
	// Events and Nodes are not of Synapse.
	Events int64 `json:"deleted_events"`
	Nodes  int64 `json:"deleted_state_nodes"`
}

func (s *Server) purgeStatus(ctx context.Context, _ endpoint.Caller, req purgeStatusRequest) (purgeStatusResponse, error) {
	p, err := s.Rooms.PurgeByID(ctx, req.PurgeID, room.PurgeHistory)
	if p.Status == room.PurgeScheduled {
		p.Status = room.PurgeActive // there are three for histories
	}
	return purgeStatusResponse{p.Status, p.Error, p.Events, p.Nodes}, err
}
