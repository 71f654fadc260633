package ssapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
)

// The modules invites-v1 and invites-v2 of the specification.
func (s *Server) inviteRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("PUT /_matrix/federation/v2/invite/{roomID}/{eventID}", signed(), s.invite),
		endpoint.On("PUT /_matrix/federation/v1/invite/{roomID}/{eventID}", signed(), s.inviteV1),
	}
}

type inviteRequest struct {
	RoomID  id.RoomID       `path:"roomID"`
	EventID id.EventID      `path:"eventID"`
	Version roomver.Version `json:"room_version" required:"M_BAD_JSON"`
	Event   canonjson.Value `json:"event" required:"M_BAD_JSON"`
	State   canonjson.Value `json:"invite_room_state"`
}

type inviteResponse struct {
	Event canonjson.Value `json:"event"`
}

// invite serves https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2inviteroomideventid
func (s *Server) invite(ctx context.Context, c endpoint.Caller, req inviteRequest) (inviteResponse, error) {
	rules, ok := roomver.Lookup(req.Version)
	if !ok {
		return inviteResponse{}, mxerr.New(mxerr.IncompatibleRoomVersion, "This server does not support room version %q", string(req.Version)).
			With("room_version", string(req.Version))
	}
	e, err := event.Parse(req.Event, rules)
	if err != nil {
		return inviteResponse{}, mxerr.New(mxerr.BadJSON, "The event is malformed: %s", err.Error())
	}
	if err := s.checkInvite(ctx, c, req, e); err != nil {
		return inviteResponse{}, err
	}
	signed, err := s.Rooms.TakeInvite(ctx, e, req.Version, req.State)
	if err != nil {
		return inviteResponse{}, err
	}
	return inviteResponse{signed.JSON()}, nil
}

// checkInvite refuses what is not an invite of a user of this server by one of the
// server that sends it.
func (s *Server) checkInvite(ctx context.Context, c endpoint.Caller, req inviteRequest, e *event.Event) error {
	key, isState := e.StateKey()
	user, err := id.ParseUserID(key)
	switch {
	case e.Type() != event.TypeMember || !isState || err != nil || e.Membership() != event.MembershipInvite:
		return mxerr.New(mxerr.InvalidParam, "The event is not an invite")
	case user.Server() != s.Name:
		return mxerr.New(mxerr.InvalidParam, "%s is not a user of this server", user)
	}
	if err := s.genuine(ctx, c, e, req.RoomID, req.EventID); err != nil {
		return err
	}
	exists, err := s.Users.Exists(ctx, user)
	if err != nil {
		return err
	}
	if !exists {
		return mxerr.New(mxerr.NotFound, "There is no user %s", user)
	}
	return nil
}

type inviteV1Request struct {
	RoomID  id.RoomID       `path:"roomID"`
	EventID id.EventID      `path:"eventID"`
	Event   canonjson.Value `body:"raw" required:"true"`
}

// inviteV1 serves https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1inviteroomideventid
func (s *Server) inviteV1(ctx context.Context, c endpoint.Caller, req inviteV1Request) ([2]any, error) {
	resp, err := s.invite(ctx, c, inviteRequest{
		RoomID: req.RoomID, EventID: req.EventID, Version: "1",
		Event: req.Event, State: req.Event.Get("unsigned").Get("invite_room_state"),
	})
	return [2]any{200, resp}, err
}
