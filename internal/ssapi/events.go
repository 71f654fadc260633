package ssapi

import (
	"context"
	"net/http"
	"time"

	"parley/internal/endpoint"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// The modules events and event_auth of the specification.
func (s *Server) eventRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_matrix/federation/v1/event/{eventID}", signed(), s.event),
		endpoint.On("GET /_matrix/federation/v1/state_ids/{roomID}", signed(), s.stateIDs),
		endpoint.Stream("GET /_matrix/federation/v1/state/{roomID}", signed(), s.state),
		endpoint.Stream("GET /_matrix/federation/v1/event_auth/{roomID}/{eventID}", signed(), s.eventAuth),
	}
}

// A transaction is events in the form in which servers send them.
type transaction struct {
	Origin id.ServerName     `json:"origin"`
	Time   int64             `json:"origin_server_ts"`
	PDUs   []canonjson.Value `json:"pdus"`
}

func (s *Server) transaction(served ...room.Served) transaction {
	t := transaction{Origin: s.Name, Time: time.Now().UnixMilli(), PDUs: []canonjson.Value{}}
	for _, e := range served {
		t.PDUs = append(t.PDUs, e.PDU)
	}
	return t
}

type eventRequest struct {
	EventID id.EventID `path:"eventID"`
}

// event serves https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1eventeventid
func (s *Server) event(ctx context.Context, c endpoint.Caller, req eventRequest) (transaction, error) {
	e, err := s.Rooms.Serve(ctx, c.Server, req.EventID)
	if err != nil {
		return transaction{}, err
	}
	return s.transaction(e), nil
}

type stateRequest struct {
	RoomID  id.RoomID  `path:"roomID"`
	EventID id.EventID `query:"event_id" required:"true"`
}

type stateIDsResponse struct {
	AuthChain []id.EventID `json:"auth_chain_ids"`
	State     []id.EventID `json:"pdu_ids"`
}

// stateIDs serves https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1state_idsroomid
func (s *Server) stateIDs(ctx context.Context, c endpoint.Caller, req stateRequest) (resp stateIDsResponse, err error) {
	state, err := s.Rooms.ServeState(ctx, req.RoomID, c.Server, req.EventID)
	if err != nil {
		return resp, err
	}
	if resp.AuthChain, err = s.Rooms.EventIDs(ctx, state.AuthChain); err != nil {
		return resp, err
	}
	resp.State, err = s.Rooms.EventIDs(ctx, state.State)
	return resp, err
}

// state serves https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1stateroomid
func (s *Server) state(w http.ResponseWriter, r *http.Request, c endpoint.Caller) error {
	ctx := r.Context()
	var req stateRequest
	if err := parse(&req.RoomID, r.PathValue("roomID"), id.ParseRoomID); err != nil {
		return err
	}
	if err := parse(&req.EventID, r.URL.Query().Get("event_id"), id.ParseEventID); err != nil {
		return err
	}
	state, err := s.Rooms.ServeState(ctx, req.RoomID, c.Server, req.EventID)
	if err != nil {
		return err
	}
	out := newObject(w)
	out.list("auth_chain", s.pdus(ctx, req.RoomID, state.AuthChain))
	out.list("pdus", s.pdus(ctx, req.RoomID, state.State))
	return out.end()
}

// eventAuth serves https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1event_authroomideventid
func (s *Server) eventAuth(w http.ResponseWriter, r *http.Request, c endpoint.Caller) error {
	ctx := r.Context()
	var req struct {
		room  id.RoomID
		event id.EventID
	}
	if err := parse(&req.room, r.PathValue("roomID"), id.ParseRoomID); err != nil {
		return err
	}
	if err := parse(&req.event, r.PathValue("eventID"), id.ParseEventID); err != nil {
		return err
	}
	chain, err := s.Rooms.ServeAuthChain(ctx, req.room, c.Server, req.event)
	if err != nil {
		return err
	}
	out := newObject(w)
	out.list("auth_chain", s.pdus(ctx, req.room, chain))
	return out.end()
}

// pdus returns a function that yields events whole.
func (s *Server) pdus(ctx context.Context, roomID id.RoomID, nums []stateres.Num) func(func(canonjson.Value) error) error {
	return func(yield func(canonjson.Value) error) error { return s.Rooms.PDUs(ctx, roomID, nums, yield) }
}
