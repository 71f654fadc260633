package ssapi

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"parley/internal/endpoint"
	"parley/internal/remote"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
	"parley/matrix/stateres"
)

// The modules joins-v1, joins-v2, leaving-v1, leaving-v2 and knocks of the
// specification.
func (s *Server) handshakeRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_matrix/federation/v1/make_join/{roomID}/{userID}", signed(), s.makeJoin),
		endpoint.On("GET /_matrix/federation/v1/make_leave/{roomID}/{userID}", signed(), s.makeLeave),
		endpoint.On("GET /_matrix/federation/v1/make_knock/{roomID}/{userID}", signed(), s.makeKnock),
		endpoint.Stream("PUT /_matrix/federation/v2/send_join/{roomID}/{eventID}", signed(), s.sendJoin),
		endpoint.Stream("PUT /_matrix/federation/v1/send_join/{roomID}/{eventID}", signed(), s.sendJoinV1),
		endpoint.On("PUT /_matrix/federation/v2/send_leave/{roomID}/{eventID}", signed(), s.sendLeave),
		endpoint.On("PUT /_matrix/federation/v1/send_leave/{roomID}/{eventID}", signed(), s.sendLeaveV1),
		endpoint.On("PUT /_matrix/federation/v1/send_knock/{roomID}/{eventID}", signed(), s.sendKnock),
	}
}

type makeRequest struct {
	RoomID   id.RoomID         `path:"roomID"`
	UserID   id.UserID         `path:"userID"`
	Versions []roomver.Version `query:"ver"`
}

type makeResponse struct {
	Version roomver.Version `json:"room_version"`
	Event   canonjson.Value `json:"event"`
}

// makeJoin serves https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1make_joinroomiduserid
func (s *Server) makeJoin(ctx context.Context, c endpoint.Caller, req makeRequest) (makeResponse, error) {
	if req.Versions == nil {
		req.Versions = []roomver.Version{"1"} // as it was before rooms had versions
	}
	return s.make(ctx, c, req, event.MembershipJoin)
}

// makeKnock serves https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1make_knockroomiduserid
func (s *Server) makeKnock(ctx context.Context, c endpoint.Caller, req makeRequest) (makeResponse, error) {
	if req.Versions == nil {
		return makeResponse{}, mxerr.New(mxerr.MissingParam, "query parameter ver is missing")
	}
	return s.make(ctx, c, req, event.MembershipKnock)
}

// makeLeave serves https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1make_leaveroomiduserid
func (s *Server) makeLeave(ctx context.Context, c endpoint.Caller, req makeRequest) (makeResponse, error) {
	req.Versions = nil
	return s.make(ctx, c, req, event.MembershipLeave)
}

func (s *Server) make(ctx context.Context, c endpoint.Caller, req makeRequest, membership string) (makeResponse, error) {
	if req.UserID.Server() != c.Server {
		return makeResponse{}, mxerr.New(mxerr.Forbidden, "%s is not a user of %s", req.UserID, c.Server)
	}
	t, err := s.Rooms.Template(ctx, req.RoomID, req.UserID, membership, req.Versions)
	if err != nil {
		return makeResponse{}, err
	}
	// Events have had none for long, and templates have to have one.
	return makeResponse{t.Version, t.Event.With("origin", canonjson.Text(string(s.Name)))}, nil
}

// A signedEvent is a request with an event that was made of a template.
type signedEvent struct {
	RoomID  id.RoomID       `path:"roomID"`
	EventID id.EventID      `path:"eventID"`
	PDU     canonjson.Value `body:"raw" required:"true"`
}

// take makes all checks on an event that was made of a template, and receives it.
func (s *Server) take(ctx context.Context, c endpoint.Caller, req signedEvent, membership string) (*event.Event, error) {
	e, err := s.parse(ctx, req.RoomID, req.PDU)
	if err != nil {
		return nil, err
	}
	if key, ok := e.StateKey(); e.Type() != event.TypeMember || !ok || key != string(e.Sender()) || e.Membership() != membership {
		return nil, mxerr.New(mxerr.InvalidParam, "The event does not say that its sender wants to %s", membership)
	}
	if err := s.genuine(ctx, c, e, req.RoomID, req.EventID); err != nil {
		return nil, err
	}
	return s.Rooms.Take(ctx, req.RoomID, e)
}

// genuine refuses an event that is not the one that a request names, or not by the
// server that sends it.
func (s *Server) genuine(ctx context.Context, c endpoint.Caller, e *event.Event, roomID id.RoomID, eventID id.EventID) error {
	switch {
	case e.RoomID() != roomID:
		return mxerr.New(mxerr.InvalidParam, "The event is of another room")
	case e.ID() != eventID:
		return mxerr.New(mxerr.InvalidParam, "The event has another ID")
	case e.Sender().Server() != c.Server:
		return mxerr.New(mxerr.Forbidden, "%s is not a user of %s", e.Sender(), c.Server)
	}
	keys, err := s.Ring.Lookup(ctx, wants(e, c.Server))
	if err != nil {
		return err
	}
	if err := s.Verifier.VerifyServer(e, c.Server, keys); err != nil {
		return mxerr.New(mxerr.Forbidden, "The event is not signed by %s", c.Server).Wrap(err)
	}
	if !e.HashMatches() {
		return mxerr.New(mxerr.InvalidParam, "The event does not have the hash that it says")
	}
	return nil
}

// parse reads an event of a room that this server knows.
func (s *Server) parse(ctx context.Context, roomID id.RoomID, pdu canonjson.Value) (*event.Event, error) {
	rules, err := s.Rooms.Rules(ctx, roomID)
	if err != nil {
		return nil, err
	}
	e, err := event.Parse(pdu, rules)
	if err != nil {
		return nil, mxerr.New(mxerr.BadJSON, "The event is malformed: %s", err.Error())
	}
	return e, nil
}

// wants returns the keys that are needed to check what a server says with an
// event.
func wants(e *event.Event, server id.ServerName) []remote.Want {
	var list []remote.Want
	for keyID := range e.JSON().Get("signatures").Get(string(server)).Members() {
		text, _ := keyID.Text()
		list = append(list, remote.Want{Server: server, Key: id.KeyID(text), At: e.OriginServerTS()})
	}
	return list
}

type joinParams struct {
	signedEvent
	omitMembers bool
}

// readJoin reads the request of a join.
func readJoin(r *http.Request) (p joinParams, err error) {
	if err := parse(&p.RoomID, r.PathValue("roomID"), id.ParseRoomID); err != nil {
		return p, err
	}
	if err := parse(&p.EventID, r.PathValue("eventID"), id.ParseEventID); err != nil {
		return p, err
	}
	p.omitMembers = r.URL.Query().Get("omit_members") == "true"
	p.PDU, err = readBody(r)
	return p, err
}

// sendJoin serves https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2send_joinroomideventid
func (s *Server) sendJoin(w http.ResponseWriter, r *http.Request, c endpoint.Caller) error {
	p, err := readJoin(r)
	if err != nil {
		return err
	}
	e, h, err := s.join(r.Context(), c, p)
	if err != nil {
		return err
	}
	out := newObject(w)
	s.writeJoin(r.Context(), out, e, h, p.omitMembers)
	return out.end()
}

// sendJoinV1 serves the form of before version 1.4 of the specification, which
// has the status in the body, too.
func (s *Server) sendJoinV1(w http.ResponseWriter, r *http.Request, c endpoint.Caller) error {
	p, err := readJoin(r)
	if err != nil {
		return err
	}
	p.omitMembers = false
	e, h, err := s.join(r.Context(), c, p)
	if err != nil {
		return err
	}
	out := newObject(w)
	out.w.WriteString("[200,")
	s.writeJoin(r.Context(), out, e, h, false)
	return out.endWith("}]")
}

func (s *Server) join(ctx context.Context, c endpoint.Caller, p joinParams) (*event.Event, room.Handover, error) {
	e, err := s.take(ctx, c, p.signedEvent, event.MembershipJoin)
	if err != nil {
		return nil, room.Handover{}, err
	}
	h, err := s.Rooms.HandOver(ctx, e, !p.omitMembers)
	return e, h, err
}

func (s *Server) writeJoin(ctx context.Context, out *object, e *event.Event, h room.Handover, omitted bool) {
	chain := h.AuthChain
	if omitted {
		inState := make(map[stateres.Num]bool, len(h.State))
		for _, n := range h.State {
			inState[n] = true
		}
		chain = slices.DeleteFunc(chain, func(n stateres.Num) bool { return inState[n] })
		servers, err := canonjson.Marshal(h.Servers)
		if err != nil {
			out.err = errors.Join(out.err, err)
			return
		}
		out.value("servers_in_room", servers)
	}
	out.value("origin", canonjson.Text(string(s.Name)))
	if omitted {
		out.value("members_omitted", canonjson.Value("true"))
	} else {
		out.value("members_omitted", canonjson.Value("false"))
	}
	out.value("event", e.JSON().Without("unsigned"))
	out.list("auth_chain", s.pdus(ctx, e.RoomID(), chain))
	out.list("state", s.pdus(ctx, e.RoomID(), h.State))
}

// sendLeave serves https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2send_leaveroomideventid
func (s *Server) sendLeave(ctx context.Context, c endpoint.Caller, req signedEvent) (endpoint.Empty, error) {
	_, err := s.take(ctx, c, req, event.MembershipLeave)
	return endpoint.Empty{}, err
}

// sendLeaveV1 serves https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1send_leaveroomideventid
func (s *Server) sendLeaveV1(ctx context.Context, c endpoint.Caller, req signedEvent) ([2]any, error) {
	empty, err := s.sendLeave(ctx, c, req)
	return [2]any{200, empty}, err
}

type knockResponse struct {
	State []canonjson.Value `json:"knock_room_state"`
}

// sendKnock serves https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1send_knockroomideventid
func (s *Server) sendKnock(ctx context.Context, c endpoint.Caller, req signedEvent) (knockResponse, error) {
	e, err := s.take(ctx, c, req, event.MembershipKnock)
	if err != nil {
		return knockResponse{}, err
	}
	state, err := s.Rooms.StrippedFor(ctx, e)
	return knockResponse{state}, err
}
