package csapi

import (
	"context"
	"errors"

	"parley/internal/delay"
	"parley/internal/endpoint"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// The modules room_send, room_state and redaction of the specification.
func (s *Server) sendRoutes() []endpoint.Route {
	send := endpoint.Policy{Auth: endpoint.UserOrGuest, Class: classSend, BodyLimit: 128 << 10}
	redact := endpoint.Policy{Auth: endpoint.User, Class: classSend, BodyLimit: 128 << 10}
	return []endpoint.Route{
		endpoint.On("PUT /_matrix/client/v3/rooms/{roomID}/send/{eventType}/{txnID}", send, s.send),
		endpoint.On("PUT /_matrix/client/v3/rooms/{roomID}/state/{eventType}", send, s.sendState),
		endpoint.On("PUT /_matrix/client/v3/rooms/{roomID}/state/{eventType}/{$}", send, s.sendState),
		endpoint.On("PUT /_matrix/client/v3/rooms/{roomID}/state/{eventType}/{stateKey}", send, s.sendState),
		endpoint.On("PUT /_matrix/client/v3/rooms/{roomID}/redact/{eventID}/{txnID}", redact, s.redact),
	}
}

// An eventResponse has one of both.
type eventResponse struct {
	EventID id.EventID `json:"event_id,omitempty"`
	DelayID string     `json:"delay_id,omitempty"`
}

type sendRequest struct {
	RoomID  id.RoomID       `path:"roomID"`
	Type    string          `path:"eventType"`
	TxnID   string          `path:"txnID"`
	Content canonjson.Value `body:"raw" required:"true"`
	delayParam
	stickyParam
	timeParam
}

// send serves https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidsendeventtypetxnid
func (s *Server) send(ctx context.Context, c endpoint.Caller, req sendRequest) (eventResponse, error) {
	if err := req.check(); err != nil {
		return eventResponse{}, err
	}
	if err := s.maySay(ctx, c, req); err != nil {
		return eventResponse{}, err
	}
	at, err := req.at(c)
	if err != nil {
		return eventResponse{}, err
	}
	if ms := req.ms(); ms != nil {
		return s.sendLater(ctx, c, *ms, delay.Event{Room: req.RoomID, Type: req.Type, Content: req.Content, Sticky: req.Sticky, Time: at}, req.TxnID)
	}
	d := room.Draft{
		Type: req.Type, Sender: c.UserID, Content: req.Content, Sticky: req.Sticky, Time: at,
		Transaction: room.Transaction{Device: c.DeviceID, ID: req.TxnID},
	}
	if req.Type == event.TypeRedaction {
		target, _ := req.Content.Get("redacts").Text()
		d.Redacts = id.EventID(target)
	}
	return s.post(ctx, c, req.RoomID, d)
}

// maySay refuses what somebody suspended may not send: all but redactions of what
// they have said.
func (s *Server) maySay(ctx context.Context, c endpoint.Caller, req sendRequest) error {
	err := notSuspended(c)
	if err == nil || req.Type != event.TypeRedaction {
		return err
	}
	target, _ := req.Content.Get("redacts").Text()
	it, ok, lookupErr := s.Rooms.Item(ctx, req.RoomID, id.EventID(target))
	if lookupErr == nil && ok && it.Event.Sender() == c.UserID {
		return nil
	}
	return err
}

// maxTxnID is how many bytes a transaction ID may have. It is part of a key, which
// PostgreSQL wants short, and clients number theirs.
const maxTxnID = 255

// post sends an event of the caller's.
func (s *Server) post(ctx context.Context, c endpoint.Caller, roomID id.RoomID, d room.Draft) (eventResponse, error) {
	if len(d.Transaction.ID) > maxTxnID {
		return eventResponse{}, mxerr.New(mxerr.InvalidParam, "A transaction ID has at most %d bytes", maxTxnID)
	}
	s.active(c)
	sent, err := s.Rooms.Send(ctx, roomID, d)
	return eventResponse{EventID: sent.EventID}, s.hidden(ctx, c, roomID, err)
}

// hidden makes a room that is not there, and one that the caller has nothing to
// do with, look the same.
func (s *Server) hidden(ctx context.Context, c endpoint.Caller, roomID id.RoomID, err error) error {
	if !errors.Is(err, mxerr.NotFound) && !errors.Is(err, mxerr.Forbidden) {
		return err
	}
	switch membership, lookupErr := s.Rooms.Membership(ctx, roomID, c.UserID); {
	case lookupErr != nil:
		return lookupErr
	case membership == "" || membership == event.MembershipLeave:
		return notInRoom(roomID).Wrap(err)
	}
	return err
}

type sendStateRequest struct {
	RoomID   id.RoomID       `path:"roomID"`
	Type     string          `path:"eventType"`
	StateKey string          `path:"stateKey,optional"`
	Content  canonjson.Value `body:"raw" required:"true"`
	delayParam
	stickyParam
	timeParam
}

// sendState serves https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidstateeventtypestatekey
func (s *Server) sendState(ctx context.Context, c endpoint.Caller, req sendStateRequest) (eventResponse, error) {
	if err := req.check(); err != nil {
		return eventResponse{}, err
	}
	at, err := req.at(c)
	if err != nil {
		return eventResponse{}, err
	}
	if ms := req.ms(); ms != nil {
		return s.sendLater(ctx, c, *ms, delay.Event{
			Room: req.RoomID, Type: req.Type, StateKey: &req.StateKey, Content: req.Content, Sticky: req.Sticky, Time: at,
		}, "")
	}
	becomes := "" // what the caller wants to be in the room
	if req.Type == event.TypeMember && req.StateKey == string(c.UserID) {
		becomes, _ = req.Content.Get("membership").Text()
	}
	if err := notSuspended(c); err != nil && becomes != event.MembershipLeave {
		return eventResponse{}, err
	}
	if becomes == event.MembershipJoin {
		if err := s.admitsGuest(ctx, c, req.RoomID); err != nil {
			return eventResponse{}, s.hidden(ctx, c, req.RoomID, err)
		}
		defer s.lookAgain(c, req.RoomID)
	}
	if req.Type == typeCanonicalAlias && req.StateKey == "" {
		if err := s.mustBeJoined(ctx, c, req.RoomID); err != nil {
			return eventResponse{}, err
		}
		if err := s.checkCanonicalAlias(ctx, req.RoomID, req.Content); err != nil {
			return eventResponse{}, err
		}
	}
	return s.post(ctx, c, req.RoomID, room.Draft{
		Type: req.Type, StateKey: &req.StateKey, Sender: c.UserID, Content: req.Content, Sticky: req.Sticky, Time: at,
	})
}

type redactRequest struct {
	RoomID  id.RoomID  `path:"roomID"`
	EventID id.EventID `path:"eventID"`
	TxnID   string     `path:"txnID"`
	delayParam
	reason
}

// redact serves https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidredacteventidtxnid
func (s *Server) redact(ctx context.Context, c endpoint.Caller, req redactRequest) (eventResponse, error) {
	if req.ms() != nil {
		return eventResponse{}, mxerr.New(mxerr.InvalidParam, "What is to be redacted later is scheduled as an event of type %s", event.TypeRedaction)
	}
	if err := s.mustBeJoined(ctx, c, req.RoomID); err != nil {
		return eventResponse{}, err
	}
	it, ok, err := s.Rooms.Item(ctx, req.RoomID, req.EventID)
	if err != nil {
		return eventResponse{}, err
	}
	if !ok {
		return eventResponse{}, mxerr.New(mxerr.NotFound, "There is no event %s in the room", req.EventID)
	}
	// Somebody suspended may take back what they said.
	if c.Suspended && it.Event.Sender() != c.UserID {
		return eventResponse{}, notSuspended(c)
	}
	if it.Event.Sender() != c.UserID {
		may, err := s.Rooms.MayRedact(ctx, req.RoomID, c.UserID)
		if err != nil {
			return eventResponse{}, err
		}
		if !may {
			return eventResponse{}, mxerr.New(mxerr.Forbidden, "You may not redact events of others in this room")
		}
	}
	return s.post(ctx, c, req.RoomID, room.Draft{
		Type: event.TypeRedaction, Sender: c.UserID, Redacts: req.EventID, Content: req.content(canonjson.Value("{}")),
		Transaction: room.Transaction{Device: c.DeviceID, ID: req.TxnID},
	})
}
