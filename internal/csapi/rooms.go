package csapi

import (
	"context"
	"slices"

	"parley/internal/endpoint"
	"parley/internal/feed"
	"parley/internal/room"
	"parley/internal/statetrie"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// The module rooms of the specification: reading single events, state and
// members.
func (s *Server) roomRoutes() []endpoint.Route {
	read := endpoint.Policy{Auth: endpoint.UserOrGuest, Class: classRead}
	return []endpoint.Route{
		endpoint.On("GET /_matrix/client/v3/rooms/{roomID}/event/{eventID}", read, s.event),
		endpoint.On("GET /_matrix/client/v3/rooms/{roomID}/state", read, s.state),
		endpoint.On("GET /_matrix/client/v3/rooms/{roomID}/state/{eventType}", read, s.stateEvent),
		endpoint.On("GET /_matrix/client/v3/rooms/{roomID}/state/{eventType}/{$}", read, s.stateEvent),
		endpoint.On("GET /_matrix/client/v3/rooms/{roomID}/state/{eventType}/{stateKey}", read, s.stateEvent),
		endpoint.On("GET /_matrix/client/v3/rooms/{roomID}/members", read, s.members),
		endpoint.On("GET /_matrix/client/v3/rooms/{roomID}/joined_members", endpoint.Policy{Auth: endpoint.User, Class: classRead}, s.joinedMembers),
	}
}

// show returns events as the caller is to see them.
func (s *Server) show(ctx context.Context, c endpoint.Caller, roomID id.RoomID, sight room.Sight, items []room.Item) ([]canonjson.Value, error) {
	shown, err := s.Feed.Show(ctx, feed.Viewer{User: c.UserID, Device: c.DeviceID, Membership: sight.MembershipAt}, roomID, items)
	if shown == nil {
		shown = []canonjson.Value{}
	}
	return shown, err
}

type oneEventRequest struct {
	RoomID  id.RoomID  `path:"roomID"`
	EventID id.EventID `path:"eventID"`
}

// event serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomideventeventid
func (s *Server) event(ctx context.Context, c endpoint.Caller, req oneEventRequest) (canonjson.Value, error) {
	sight, it, err := s.seenEvent(ctx, c, req.RoomID, req.EventID)
	if err != nil {
		return nil, err
	}
	shown, err := s.show(ctx, c, req.RoomID, sight, []room.Item{it})
	if err != nil {
		return nil, err
	}
	return shown[0], nil
}

// seenEvent returns an event that the caller may see, or M_NOT_FOUND.
func (s *Server) seenEvent(ctx context.Context, c endpoint.Caller, roomID id.RoomID, eventID id.EventID) (room.Sight, room.Item, error) {
	missing := mxerr.New(mxerr.NotFound, "There is no event %s that you may see", eventID)
	sight, err := s.Rooms.Sight(ctx, roomID, c.UserID)
	if err != nil {
		return sight, room.Item{}, missing.Wrap(err)
	}
	it, ok, err := s.Rooms.Item(ctx, roomID, eventID)
	if err != nil {
		return sight, it, err
	}
	if !ok || !sight.Sees(it.Place) {
		return sight, it, missing
	}
	ignored, err := s.AccountData.Ignored(ctx, c.UserID)
	if err == nil && feed.Hidden(ignored, it.Event) {
		err = missing
	}
	return sight, it, err
}

// stateRoot returns the state of a room that the caller may see.
func (s *Server) stateRoot(ctx context.Context, c endpoint.Caller, roomID id.RoomID) (room.Sight, statetrie.Root, error) {
	sight, err := s.Rooms.Sight(ctx, roomID, c.UserID)
	if err != nil {
		return sight, statetrie.Root{}, err
	}
	root, err := s.Rooms.StateRoot(ctx, roomID, sight)
	return sight, root, err
}

// state serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidstate
func (s *Server) state(ctx context.Context, c endpoint.Caller, req roomRequest) ([]canonjson.Value, error) {
	sight, root, err := s.stateRoot(ctx, c, req.RoomID)
	if err != nil {
		return nil, err
	}
	items, err := s.Rooms.FullState(ctx, req.RoomID, root)
	if err != nil {
		return nil, err
	}
	return s.show(ctx, c, req.RoomID, sight, inOrder(items))
}

// inOrder sorts state in the order in which it was sent.
func inOrder(items []room.Item) []room.Item {
	slices.SortFunc(items, func(a, b room.Item) int { return int(a.Place - b.Place) })
	return items
}

type stateEventRequest struct {
	RoomID   id.RoomID `path:"roomID"`
	Type     string    `path:"eventType"`
	StateKey string    `path:"stateKey,optional"`
	Format   string    `query:"format"`
}

// stateEvent serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidstateeventtypestatekey
func (s *Server) stateEvent(ctx context.Context, c endpoint.Caller, req stateEventRequest) (canonjson.Value, error) {
	if req.Format != "" && req.Format != "content" && req.Format != "event" {
		return nil, mxerr.New(mxerr.InvalidParam, "format is neither content nor event")
	}
	sight, root, err := s.stateRoot(ctx, c, req.RoomID)
	if err != nil {
		return nil, err
	}
	it, ok, err := s.Rooms.StateItem(ctx, req.RoomID, root, event.Tuple{Type: req.Type, StateKey: req.StateKey})
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, mxerr.New(mxerr.NotFound, "The room has no such state")
	}
	if req.Format != "event" {
		return it.Event.Content(), nil
	}
	shown, err := s.show(ctx, c, req.RoomID, sight, []room.Item{it})
	if err != nil {
		return nil, err
	}
	return shown[0], nil
}

type membersRequest struct {
	RoomID        id.RoomID `path:"roomID"`
	At            string    `query:"at"`
	Membership    string    `query:"membership"`
	NotMembership string    `query:"not_membership"`
}

type chunkResponse struct {
	Chunk []canonjson.Value `json:"chunk"`
}

// members serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidmembers
func (s *Server) members(ctx context.Context, c endpoint.Caller, req membersRequest) (chunkResponse, error) {
	for _, m := range []string{req.Membership, req.NotMembership} {
		if m != "" && !slices.Contains([]string{event.MembershipJoin, event.MembershipInvite, event.MembershipKnock, event.MembershipLeave, event.MembershipBan}, m) {
			return chunkResponse{}, mxerr.New(mxerr.InvalidParam, "%q is not a membership", m)
		}
	}
	sight, root, err := s.stateRoot(ctx, c, req.RoomID)
	if err == nil && req.At != "" {
		root, err = s.stateAt(ctx, req.RoomID, sight, root, req.At)
	}
	if err != nil {
		return chunkResponse{}, err
	}
	items, err := s.Rooms.StateOfType(ctx, req.RoomID, root, event.TypeMember)
	if err != nil {
		return chunkResponse{}, err
	}
	items = slices.DeleteFunc(items, func(it room.Item) bool {
		m := it.Event.Membership()
		return req.Membership != "" && m != req.Membership || req.NotMembership != "" && m == req.NotMembership
	})
	chunk, err := s.show(ctx, c, req.RoomID, sight, inOrder(items))
	return chunkResponse{chunk}, err
}

// stateAt returns the state at the point that a token names, if the caller was in
// the room then, or may see what was said.
func (s *Server) stateAt(ctx context.Context, roomID id.RoomID, sight room.Sight, present statetrie.Root, token string) (statetrie.Root, error) {
	place, err := s.place(ctx, roomID, token)
	if err != nil {
		return present, err
	}
	items, err := s.Rooms.Back(ctx, roomID, min(place, sight.At.Place), 1)
	if err != nil {
		return present, err
	}
	if len(items) == 0 || !sight.Sees(items[0].Place) {
		return present, nil
	}
	return items[0].Current, nil
}

type joinedMember struct {
	DisplayName *string `json:"display_name,omitempty"`
	AvatarURL   *string `json:"avatar_url,omitempty"`
}

type joinedMembersResponse struct {
	Joined map[string]joinedMember `json:"joined"`
}

// joinedMembers serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidjoined_members
func (s *Server) joinedMembers(ctx context.Context, c endpoint.Caller, req roomRequest) (joinedMembersResponse, error) {
	if err := s.mustBeJoined(ctx, c, req.RoomID); err != nil {
		return joinedMembersResponse{}, err
	}
	now, err := s.Rooms.Now(ctx, req.RoomID)
	if err != nil {
		return joinedMembersResponse{}, err
	}
	items, err := s.Rooms.StateOfType(ctx, req.RoomID, now.Root, event.TypeMember)
	joined := make(map[string]joinedMember)
	for _, it := range items {
		if it.Event.Membership() == event.MembershipJoin {
			user, _ := it.Event.StateKey()
			joined[user] = joinedMember{optionalText(it.Event, "displayname"), optionalText(it.Event, "avatar_url")}
		}
	}
	return joinedMembersResponse{joined}, err
}

func optionalText(e *event.Event, key string) *string {
	if text, ok := e.Content().Get(key).Text(); ok {
		return &text
	}
	return nil
}
