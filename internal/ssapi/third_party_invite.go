package ssapi

import (
	"context"
	"errors"

	"parley/internal/endpoint"
	"parley/internal/profile"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) thirdPartyInviteRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("PUT /_matrix/federation/v1/exchange_third_party_invite/{roomID}", signed(), s.exchangeInvite),
		// Identity servers do not sign what they ask, and have this server ask others.
		endpoint.On("PUT /_matrix/federation/v1/3pid/onbind", endpoint.Policy{Auth: endpoint.None, Class: classNotary}, s.onBind),
	}
}

type exchangeRequest struct {
	RoomID  id.RoomID       `path:"roomID"`
	Room    id.RoomID       `json:"room_id" required:"M_BAD_JSON"`
	Type    string          `json:"type" required:"M_BAD_JSON"`
	Sender  id.UserID       `json:"sender" required:"M_BAD_JSON"`
	Target  id.UserID       `json:"state_key" required:"M_BAD_JSON"`
	Content canonjson.Value `json:"content" required:"M_BAD_JSON"`
}

// exchangeInvite serves https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1exchange_third_party_inviteroomid
func (s *Server) exchangeInvite(ctx context.Context, c endpoint.Caller, req exchangeRequest) (endpoint.Empty, error) {
	proof := req.Content.Get("third_party_invite").Get("signed")
	switch {
	case req.Room != req.RoomID:
		return endpoint.Empty{}, mxerr.New(mxerr.InvalidParam, "The event is of another room")
	case req.Type != event.TypeMember || !req.Content.Get("membership").Is(event.MembershipInvite):
		return endpoint.Empty{}, mxerr.New(mxerr.InvalidParam, "The event is not an invite")
	case !isProof(proof, req.Target):
		return endpoint.Empty{}, mxerr.New(mxerr.InvalidParam, "The event has no proof that %s was meant", req.Target)
	case req.Target.Server() != c.Server:
		return endpoint.Empty{}, mxerr.New(mxerr.Forbidden, "%s is not a user of %s", req.Target, c.Server)
	}
	if err := s.Rooms.Admits(ctx, req.RoomID, c.Server); err != nil {
		return endpoint.Empty{}, err
	}
	left, err := s.Rooms.LeftInvite(ctx, req.RoomID, proof.Get("token").String())
	if err != nil {
		return endpoint.Empty{}, err
	}
	return endpoint.Empty{}, s.exchange(ctx, req.RoomID, left, room.Exchange{Sender: req.Sender, Target: req.Target, Signed: proof})
}

// isProof reports whether an identity server may have signed an object for a user.
func isProof(proof canonjson.Value, user id.UserID) bool {
	return proof.Get("mxid").Is(string(user)) && proof.Get("token").Kind() == canonjson.String && proof.Get("signatures").Kind() == canonjson.Object
}

// exchange makes of an invite that was left in a room one of the user who has the
// address, unless the key that was to sign that is not valid any more.
func (s *Server) exchange(ctx context.Context, roomID id.RoomID, left *event.Event, x room.Exchange) error {
	if left == nil || left.Sender() != x.Sender {
		return mxerr.New(mxerr.Forbidden, "There is no such invite")
	}
	if err := s.Identity.Verify(ctx, x.Signed, left.Content()); err != nil {
		return err
	}
	return s.Rooms.Exchange(ctx, roomID, x)
}

// mostBound is how many invites are looked at that wait for one address.
const mostBound = 50

type onBindRequest struct {
	Medium  string          `json:"medium" required:"M_BAD_JSON"`
	Address string          `json:"address" required:"M_BAD_JSON"`
	User    id.UserID       `json:"mxid" required:"M_BAD_JSON"`
	Invites canonjson.Value `json:"invites" required:"M_BAD_JSON"`
}

// onBind serves https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv13pidonbind
//
// An invite that is refused is none. The user can still show the proof when joining.
func (s *Server) onBind(ctx context.Context, _ endpoint.Caller, req onBindRequest) (endpoint.Empty, error) {
	if req.Invites.Kind() != canonjson.Array {
		return endpoint.Empty{}, mxerr.New(mxerr.BadJSON, "invites is not a list")
	}
	exists, err := req.User.Server() == s.Name, error(nil)
	if exists {
		exists, err = s.Users.Exists(ctx, req.User)
	}
	if err != nil {
		return endpoint.Empty{}, err
	}
	if !exists {
		return endpoint.Empty{}, mxerr.New(mxerr.NotFound, "There is no user %s", req.User)
	}
	left := mostBound
	for invite := range req.Invites.Elements() {
		if left--; left < 0 {
			break
		}
		err := s.bound(ctx, req.User, invite)
		if refused := (*mxerr.Error)(nil); err != nil && !errors.As(err, &refused) {
			return endpoint.Empty{}, err
		}
	}
	return endpoint.Empty{}, nil
}

// bound takes up one invite that has waited for a user.
func (s *Server) bound(ctx context.Context, user id.UserID, invite canonjson.Value) error {
	text, _ := invite.Get("room_id").Text()
	roomID, wrong := id.ParseRoomID(text)
	text, _ = invite.Get("sender").Text()
	sender, wrong2 := id.ParseUserID(text)
	proof := invite.Get("signed")
	if wrong != nil || wrong2 != nil || !invite.Get("mxid").Is(string(user)) || !isProof(proof, user) {
		return mxerr.New(mxerr.InvalidParam, "This is no invite of %s", user)
	}
	fields, err := s.Profiles.Get(ctx, user)
	if err != nil {
		return err
	}
	x := room.Exchange{Sender: sender, Target: user, Signed: proof, Content: profile.Member(canonjson.Value("{}"), fields)}
	left, err := s.Rooms.LeftInvite(ctx, roomID, proof.Get("token").String())
	if errors.Is(err, mxerr.NotFound) {
		return s.Rooms.Exchange(ctx, roomID, x)
	}
	if err != nil {
		return err
	}
	return s.exchange(ctx, roomID, left, x)
}
