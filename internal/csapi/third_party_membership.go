package csapi

import (
	"context"
	"errors"
	"slices"

	"parley/internal/endpoint"
	"parley/internal/identity"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

const typeThirdPartyInvite = "m.room.third_party_invite"

// A threePID is who is invited by a mail address or a telephone number, and who
// may know who that is.
type threePID struct {
	Server  id.ServerName `json:"id_server"`
	Token   string        `json:"id_access_token"`
	Medium  string        `json:"medium"`
	Address string        `json:"address"`
}

func (t threePID) address() identity.Address {
	return identity.Address{Server: t.Server, Token: t.Token, Medium: t.Medium, Address: t.Address}
}

type inviteRequest struct {
	RoomID id.RoomID `path:"roomID"`
	UserID id.UserID `json:"user_id"`
	threePID
	reason
}

// invite serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidinvite
// and https://spec.matrix.org/v1.19/client-server-api/#thirdparty_post_matrixclientv3roomsroomidinvite
func (s *Server) invite(ctx context.Context, c endpoint.Caller, req inviteRequest) (endpoint.Empty, error) {
	if req.UserID == "" && req.threePID != (threePID{}) {
		return endpoint.Empty{}, s.inviteByAddress(ctx, c, req)
	}
	if req.UserID == "" {
		return endpoint.Empty{}, mxerr.New(mxerr.MissingParam, "user_id is missing")
	}
	return s.inviteUser(ctx, c, targetRequest{req.RoomID, req.UserID, req.reason})
}

func (s *Server) inviteUser(ctx context.Context, c endpoint.Caller, req targetRequest) (endpoint.Empty, error) {
	profiles, err := s.memberProfiles(ctx, []id.UserID{req.UserID})
	if err != nil {
		return endpoint.Empty{}, err
	}
	return s.moveTarget(ctx, c, req, profiles[req.UserID], s.Rooms.Invite)
}

// inviteByAddress invites whoever has an address, or will prove to have it. Nobody
// is asked for who may not invite.
func (s *Server) inviteByAddress(ctx context.Context, c endpoint.Caller, req inviteRequest) error {
	if err := notSuspended(c); err != nil {
		return err
	}
	if err := s.mustBeJoined(ctx, c, req.RoomID); err != nil {
		return err
	}
	may, err := s.Rooms.MayInvite(ctx, req.RoomID, c.UserID)
	if err != nil {
		return err
	}
	if !may {
		return mxerr.New(mxerr.Forbidden, "You may not invite into this room")
	}
	address, err := s.Identity.Check(req.address())
	if err != nil {
		return err
	}
	user, err := s.Identity.Lookup(ctx, address)
	if err != nil {
		return err
	}
	if user != "" {
		_, err = s.inviteUser(ctx, c, targetRequest{req.RoomID, user, req.reason})
		return err
	}
	return s.leaveInvite(ctx, c, req.RoomID, address)
}

// lookUp adds to a room's invites the users who have addresses, and returns the
// addresses of nobody that is known.
func (s *Server) lookUp(ctx context.Context, invited []threePID, n *room.NewRoom) (unknown []identity.Address, err error) {
	addresses := make([]identity.Address, len(invited))
	for i, t := range invited {
		if addresses[i], err = s.Identity.Check(t.address()); err != nil {
			return nil, err
		}
	}
	for _, address := range addresses {
		user, err := s.Identity.Lookup(ctx, address)
		switch {
		case err != nil:
			return nil, err
		case user == "":
			unknown = append(unknown, address)
		case user != n.Creator && !slices.Contains(n.Invites, user):
			n.Invites = append(n.Invites, user)
		}
	}
	return unknown, nil
}

// leaveInvite leaves an invite for whoever will prove to have an address.
func (s *Server) leaveInvite(ctx context.Context, c endpoint.Caller, roomID id.RoomID, address identity.Address) error {
	summary, err := s.Rooms.Summary(ctx, roomID)
	if err != nil {
		return err
	}
	profile, err := s.Profiles.Get(ctx, c.UserID)
	if err != nil {
		return err
	}
	name, _ := profile.Get("displayname").Text()
	avatar, _ := profile.Get("avatar_url").Text()
	stored, err := s.Identity.Store(ctx, address, identity.Invite{
		Room: roomID, Sender: c.UserID, SenderName: name, SenderAvatar: avatar,
		Alias: summary.CanonicalAlias, Avatar: summary.AvatarURL, JoinRule: summary.JoinRule, Name: summary.Name, Type: summary.RoomType,
	})
	if err != nil {
		return err
	}
	_, err = s.Rooms.Send(ctx, roomID, room.Draft{Type: typeThirdPartyInvite, StateKey: &stored.Token, Sender: c.UserID, Content: stored.Content})
	return err
}

// A proof of having the address that an invite was left for.
type proof struct {
	Signed canonjson.Value `json:"third_party_signed"`
}

// accept turns an invite that was left for an address into one of the caller, who
// has proved to have it. That is done in the name of who has invited.
func (s *Server) accept(ctx context.Context, c endpoint.Caller, roomID id.RoomID, p proof) error {
	if k := p.Signed.Kind(); k == canonjson.Absent || k == canonjson.Null {
		return nil
	} else if k != canonjson.Object {
		return mxerr.New(mxerr.BadJSON, "third_party_signed is not an object")
	}
	sender, mxid, token := p.Signed.Get("sender"), p.Signed.Get("mxid"), p.Signed.Get("token")
	for name, kind := range map[string]canonjson.Kind{
		"sender": sender.Kind(), "mxid": mxid.Kind(), "token": token.Kind(), "signatures": p.Signed.Get("signatures").Kind(),
	} {
		if kind == canonjson.Absent {
			return mxerr.New(mxerr.MissingParam, "third_party_signed has no %s", name)
		}
		if want := canonjson.String; name != "signatures" && kind != want || name == "signatures" && kind != canonjson.Object {
			return mxerr.New(mxerr.BadJSON, "the %s of third_party_signed is of the wrong type", name)
		}
	}
	membership, err := s.Rooms.Membership(ctx, roomID, c.UserID)
	if err != nil || membership == event.MembershipJoin || membership == event.MembershipInvite {
		return err
	}
	own, err := s.Profiles.Member(ctx, c.UserID)
	if err != nil {
		return err
	}
	by, _ := sender.Text()
	x := room.Exchange{Sender: id.UserID(by), Target: c.UserID, Signed: p.Signed, Content: own}
	left, err := s.Rooms.LeftInvite(ctx, roomID, token.String())
	if errors.Is(err, mxerr.NotFound) && mxid.Is(string(c.UserID)) {
		if _, err := id.ParseUserID(by); err != nil {
			return mxerr.New(mxerr.BadJSON, "the sender of third_party_signed is no user")
		}
		return s.Rooms.Exchange(ctx, roomID, x) // the server of the sender will verify it
	}
	if err != nil {
		return err
	}
	if left == nil || !mxid.Is(string(c.UserID)) || x.Sender != left.Sender() {
		return mxerr.New(mxerr.Forbidden, "You were not invited by this")
	}
	if err := s.Identity.Verify(ctx, p.Signed, left.Content()); err != nil {
		return err
	}
	return s.Rooms.Exchange(ctx, roomID, x)
}
