package adminapi

import (
	"cmp"
	"context"
	"slices"

	"parley/internal/endpoint"
	"parley/internal/room"
	"parley/internal/statetrie"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// memberRoutes serve https://element-hq.github.io/synapse/latest/admin_api/room_membership.html
// and https://element-hq.github.io/synapse/latest/admin_api/rooms.html#make-room-admin-api
func (s *Server) memberRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("POST /_synapse/admin/v1/join/{roomIDOrAlias}", policy(), s.join),
		endpoint.On("POST /_synapse/admin/v1/rooms/{roomIDOrAlias}/make_room_admin", policy(), s.makeRoomAdmin),
	}
}

type joinRequest struct {
	Room   string    `path:"roomIDOrAlias"`
	UserID id.UserID `json:"user_id" required:"true"`
}

type roomResponse struct {
	RoomID id.RoomID `json:"room_id"`
}

// join makes a local user a member of a room. Where not everybody may join, the
// administrator has to be in the room and able to invite.
func (s *Server) join(ctx context.Context, c endpoint.Caller, req joinRequest) (roomResponse, error) {
	roomID, err := s.named(ctx, req.Room)
	if err != nil {
		return roomResponse{}, err
	}
	if err := s.known(ctx, req.UserID); err != nil {
		return roomResponse{}, err
	}
	defer s.Profiles.Hold(req.UserID)()
	about, err := s.Profiles.Member(ctx, req.UserID)
	if err != nil {
		return roomResponse{}, err
	}
	membership, err := s.Rooms.Membership(ctx, roomID, req.UserID)
	if err != nil {
		return roomResponse{}, err
	}
	summary, err := s.Rooms.Summary(ctx, roomID)
	if err != nil {
		return roomResponse{}, err
	}
	if summary.JoinRule != "public" && membership != event.MembershipJoin && membership != event.MembershipInvite {
		if _, err := s.Rooms.Invite(ctx, roomID, room.Move{Sender: c.UserID, Target: req.UserID, Content: about}); err != nil {
			return roomResponse{}, err
		}
	}
	if _, err := s.Rooms.Join(ctx, roomID, room.Move{Sender: req.UserID, Content: about}); err != nil {
		return roomResponse{}, err
	}
	return roomResponse{roomID}, s.Profiles.RetellUnless(ctx, req.UserID, about)
}

// known refuses users who have no account here.
func (s *Server) known(ctx context.Context, user id.UserID) error {
	if err := s.local(user); err != nil {
		return err
	}
	_, err := s.Accounts.Info(ctx, user)
	return err
}

type makeRoomAdminRequest struct {
	Room   string    `path:"roomIDOrAlias"`
	UserID id.UserID `json:"user_id"`
}

// makeRoomAdmin gives a user the level of the local member who has the highest.
func (s *Server) makeRoomAdmin(ctx context.Context, c endpoint.Caller, req makeRoomAdminRequest) (endpoint.Empty, error) {
	roomID, err := s.named(ctx, req.Room)
	if err != nil {
		return endpoint.Empty{}, err
	}
	user := cmp.Or(req.UserID, c.UserID)
	if err := s.known(ctx, user); err != nil {
		return endpoint.Empty{}, err
	}
	now, err := s.Rooms.Now(ctx, roomID)
	if err != nil {
		return endpoint.Empty{}, err
	}
	giver, level, content, err := s.mightiest(ctx, roomID, now.Root, user)
	if err != nil {
		return endpoint.Empty{}, err
	}
	if content != nil {
		key := ""
		_, err := s.Rooms.Send(ctx, roomID, room.Draft{
			Type: event.TypePowerLevels, StateKey: &key, Sender: giver,
			Content: content.With("users", users(content).With(string(user), canonjson.Integer(level))),
		})
		if err != nil {
			return endpoint.Empty{}, err
		}
	}
	return endpoint.Empty{}, s.bring(ctx, roomID, giver, user)
}

// users returns the levels of users, an empty object if there are none.
func users(levels canonjson.Value) canonjson.Value {
	if v := levels.Get("users"); v.Kind() == canonjson.Object {
		return v
	}
	return canonjson.Value("{}")
}

// mightiest returns the local member with the highest level, which level another
// user can get from it, and the present power levels. These are nil if the other
// has as much already.
func (s *Server) mightiest(ctx context.Context, roomID id.RoomID, root statetrie.Root, other id.UserID) (giver id.UserID, level int64, content canonjson.Value, err error) {
	create, err := s.Rooms.State(ctx, roomID, root, event.Tuple{Type: event.TypeCreate})
	if err != nil {
		return "", 0, nil, err
	}
	power, err := s.Rooms.State(ctx, roomID, root, event.Tuple{Type: event.TypePowerLevels})
	if err != nil {
		return "", 0, nil, err
	}
	num, err := s.Rooms.Num(ctx, roomID)
	if err != nil {
		return "", 0, nil, err
	}
	members, _, err := s.Rooms.LocalJoined(ctx, num)
	if err != nil {
		return "", 0, nil, err
	}
	levels := eventauth.NewLevels(create, power)
	needed := levels.Send(event.TypePowerLevels, true)
	slices.Sort(members)
	for _, m := range members {
		if giver == "" || levels.User(m) > levels.User(giver) {
			giver = m
		}
	}
	if giver == "" || levels.User(giver) < needed {
		return "", 0, nil, mxerr.New(mxerr.Forbidden, "No user of this server in room %s may change who has power there", roomID)
	}
	if levels.User(other) >= levels.User(giver) {
		return giver, 0, nil, nil
	}
	if highest := levels.User(giver); highest == eventauth.Creator {
		level = max(100, int64(needed)) // what creators have cannot be given
	} else {
		level = int64(highest)
	}
	if int64(levels.User(other)) >= level {
		return giver, level, nil, nil
	}
	content = canonjson.Value("{}")
	if power != nil {
		content = power.Content()
	}
	return giver, level, content, nil
}

// bring invites a user to a room that not everybody may join.
func (s *Server) bring(ctx context.Context, roomID id.RoomID, giver, user id.UserID) error {
	membership, err := s.Rooms.Membership(ctx, roomID, user)
	if err != nil || membership == event.MembershipJoin || membership == event.MembershipInvite {
		return err
	}
	summary, err := s.Rooms.Summary(ctx, roomID)
	if err != nil || summary.JoinRule == "public" {
		return err
	}
	about, err := s.Profiles.Member(ctx, user)
	if err != nil {
		return err
	}
	_, err = s.Rooms.Invite(ctx, roomID, room.Move{Sender: giver, Target: user, Content: about})
	return err
}
