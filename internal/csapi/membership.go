package csapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// The modules joining, knocking, leaving, inviting, kicking and banning of the
// specification.
func (s *Server) membershipRoutes() []endpoint.Route {
	any := endpoint.Policy{Auth: endpoint.UserOrGuest, Class: classSend}
	user := endpoint.Policy{Auth: endpoint.User, Class: classSend}
	return []endpoint.Route{
		endpoint.On("POST /_matrix/client/v3/rooms/{roomID}/join", any, s.join),
		endpoint.On("POST /_matrix/client/v3/join/{roomIDOrAlias}", any, s.joinByName),
		endpoint.On("POST /_matrix/client/v3/knock/{roomIDOrAlias}", user, s.knock),
		endpoint.On("POST /_matrix/client/v3/rooms/{roomID}/leave", any, s.leave),
		endpoint.On("POST /_matrix/client/v3/rooms/{roomID}/forget", user, s.forget),
		endpoint.On("POST /_matrix/client/v3/rooms/{roomID}/invite", user, s.invite),
		endpoint.On("POST /_matrix/client/v3/rooms/{roomID}/kick", user, s.kick),
		endpoint.On("POST /_matrix/client/v3/rooms/{roomID}/ban", user, s.ban),
		endpoint.On("POST /_matrix/client/v3/rooms/{roomID}/unban", user, s.unban),
		endpoint.On("GET /_matrix/client/v3/joined_rooms", endpoint.Policy{Auth: endpoint.UserOrGuest}, s.joinedRooms),
	}
}

// A reason is why somebody does something to a membership.
type reason struct {
	Reason *string `json:"reason"`
}

func (r reason) content(profile canonjson.Value) canonjson.Value {
	if r.Reason == nil {
		return profile
	}
	return profile.With("reason", canonjson.Text(*r.Reason))
}

type joinRequest struct {
	RoomID id.RoomID `path:"roomID"`
	proof
	reason
}

// join serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidjoin
func (s *Server) join(ctx context.Context, c endpoint.Caller, req joinRequest) (roomResponse, error) {
	return s.enter(ctx, c, req.RoomID, nil, req.reason, s.joining(c, req.proof))
}

type joinByNameRequest struct {
	knockRequest
	proof
}

// via names servers that are in a room which this one may not know.
type via struct {
	Via     []id.ServerName `query:"via"`
	OldName []id.ServerName `query:"server_name"` // as it was called before version 1.12
}

func (v via) servers() []id.ServerName {
	if len(v.Via) > 0 {
		return v.Via
	}
	return v.OldName
}

// joinByName serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3joinroomidoralias
func (s *Server) joinByName(ctx context.Context, c endpoint.Caller, req joinByNameRequest) (roomResponse, error) {
	roomID, servers, err := s.named(ctx, req.Name)
	if err != nil {
		return roomResponse{}, err
	}
	return s.enter(ctx, c, roomID, append(req.servers(), servers...), req.reason, s.joining(c, req.proof))
}

// joining is a join by who may have been invited by an address.
func (s *Server) joining(c endpoint.Caller, p proof) move {
	return func(ctx context.Context, roomID id.RoomID, m room.Move) (room.Sent, error) {
		if err := s.accept(ctx, c, roomID, p); err != nil {
			return room.Sent{}, err
		}
		return s.Rooms.Join(ctx, roomID, m)
	}
}

type knockRequest struct {
	Name string `path:"roomIDOrAlias"`
	via
	reason
}

// knock serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3knockroomidoralias
func (s *Server) knock(ctx context.Context, c endpoint.Caller, req knockRequest) (roomResponse, error) {
	roomID, servers, err := s.named(ctx, req.Name)
	if err != nil {
		return roomResponse{}, err
	}
	return s.enter(ctx, c, roomID, append(req.servers(), servers...), req.reason, s.Rooms.Knock)
}

// named returns the room that an ID or alias is of, and servers that are in it by
// the word of the alias's server.
func (s *Server) named(ctx context.Context, name string) (id.RoomID, []id.ServerName, error) {
	if a, err := id.ParseRoomAlias(name); err == nil {
		return s.resolve(ctx, a)
	}
	roomID, err := id.ParseRoomID(name)
	if err != nil {
		return "", nil, mxerr.New(mxerr.InvalidParam, "%q is neither a room ID nor an alias", name)
	}
	return roomID, nil, nil
}

// A move changes a membership.
type move func(context.Context, id.RoomID, room.Move) (room.Sent, error)

// enter makes the caller a member, or one who asks to be, with the profile that
// the caller has.
func (s *Server) enter(ctx context.Context, c endpoint.Caller, roomID id.RoomID, servers []id.ServerName, why reason, do move) (roomResponse, error) {
	if err := notSuspended(c); err != nil {
		return roomResponse{}, err
	}
	if err := s.admitsGuest(ctx, c, roomID); err != nil {
		return roomResponse{}, err
	}
	defer s.Profiles.Hold(c.UserID)()
	own, err := s.Profiles.Member(ctx, c.UserID)
	if err != nil {
		return roomResponse{}, err
	}
	if _, err := do(ctx, roomID, room.Move{Sender: c.UserID, Content: why.content(own), Via: servers}); err != nil {
		return roomResponse{}, err
	}
	s.lookAgain(c, roomID)
	return roomResponse{roomID}, s.Profiles.RetellUnless(ctx, c.UserID, own)
}

// admitsGuest refuses guests where the room does not want any.
// https://spec.matrix.org/v1.19/client-server-api/#guest-access
func (s *Server) admitsGuest(ctx context.Context, c endpoint.Caller, roomID id.RoomID) error {
	if !c.Guest {
		return nil
	}
	summary, err := s.Rooms.Summary(ctx, roomID)
	if err == nil && !summary.GuestCanJoin {
		return mxerr.New(mxerr.GuestAccessForbidden, "This room does not want guests")
	}
	return err
}

// lookAgain is called when a guest may have joined a room, which may have changed
// its mind meanwhile.
func (s *Server) lookAgain(c endpoint.Caller, roomID id.RoomID) {
	if c.Guest {
		s.Doorman.Look(roomID)
	}
}

type leaveRequest struct {
	RoomID id.RoomID `path:"roomID"`
	reason
}

// leave serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidleave
func (s *Server) leave(ctx context.Context, c endpoint.Caller, req leaveRequest) (endpoint.Empty, error) {
	_, err := s.Rooms.Leave(ctx, req.RoomID, room.Move{Sender: c.UserID, Content: req.content(canonjson.Value("{}"))})
	return endpoint.Empty{}, s.hidden(ctx, c, req.RoomID, err)
}

type roomRequest struct {
	RoomID id.RoomID `path:"roomID"`
}

// forget serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidforget
func (s *Server) forget(ctx context.Context, c endpoint.Caller, req roomRequest) (endpoint.Empty, error) {
	return endpoint.Empty{}, s.Rooms.Forget(ctx, req.RoomID, c.UserID)
}

type targetRequest struct {
	RoomID id.RoomID `path:"roomID"`
	UserID id.UserID `json:"user_id" required:"true"`
	reason
}

// kick serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidkick
func (s *Server) kick(ctx context.Context, c endpoint.Caller, req targetRequest) (endpoint.Empty, error) {
	return s.moveTarget(ctx, c, req, canonjson.Value("{}"), s.Rooms.Kick)
}

// ban serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidban
func (s *Server) ban(ctx context.Context, c endpoint.Caller, req targetRequest) (endpoint.Empty, error) {
	return s.moveTarget(ctx, c, req, canonjson.Value("{}"), s.Rooms.Ban)
}

// unban serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidunban
func (s *Server) unban(ctx context.Context, c endpoint.Caller, req targetRequest) (endpoint.Empty, error) {
	return s.moveTarget(ctx, c, req, canonjson.Value("{}"), s.Rooms.Unban)
}

func (s *Server) moveTarget(ctx context.Context, c endpoint.Caller, req targetRequest, about canonjson.Value, do move) (endpoint.Empty, error) {
	if err := notSuspended(c); err != nil {
		return endpoint.Empty{}, err
	}
	if err := s.mustBeJoined(ctx, c, req.RoomID); err != nil {
		return endpoint.Empty{}, err
	}
	_, err := do(ctx, req.RoomID, room.Move{Sender: c.UserID, Target: req.UserID, Content: req.content(about)})
	return endpoint.Empty{}, err
}

type joinedRoomsResponse struct {
	JoinedRooms []id.RoomID `json:"joined_rooms"`
}

// joinedRooms serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3joined_rooms
func (s *Server) joinedRooms(ctx context.Context, c endpoint.Caller, _ endpoint.Empty) (joinedRoomsResponse, error) {
	rooms, err := s.Rooms.Joined(ctx, c.UserID)
	return joinedRoomsResponse{rooms}, err
}
