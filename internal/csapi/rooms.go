package csapi

import (
	"context"
	"errors"
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

// viewer is the caller as somebody who gets to see events, with what relates to
// them.
func viewer(c endpoint.Caller, sight room.Sight) feed.Viewer {
	return feed.Viewer{User: c.UserID, Device: c.DeviceID, Membership: sight.MembershipAt, Related: true, Seen: sight.Intervals}
}

// show returns events as the caller is to see them.
func (s *Server) show(ctx context.Context, c endpoint.Caller, roomID id.RoomID, sight room.Sight, items []room.Item) ([]canonjson.Value, error) {
	shown, err := s.Feed.Show(ctx, viewer(c, sight), roomID, items)
	if shown == nil {
		shown = []canonjson.Value{}
	}
	return shown, err
}

type oneEventRequest struct {
	RoomID  id.RoomID  `path:"roomID"`
	EventID id.EventID `path:"eventID"`
	// Unredacted asks for the event as it was before it was redacted.
	// https://github.com/matrix-org/matrix-spec-proposals/pull/2815
	Unredacted bool `query:"fi.mau.msc2815.include_unredacted_content"`
}

// event serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomideventeventid
func (s *Server) event(ctx context.Context, c endpoint.Caller, req oneEventRequest) (canonjson.Value, error) {
	sight, it, err := s.seenEvent(ctx, c, req.RoomID, req.EventID)
	if err == nil && req.Unredacted {
		it, err = s.unredacted(ctx, c, req.RoomID, it)
	}
	if err != nil {
		return nil, err
	}
	shown, err := s.show(ctx, c, req.RoomID, sight, []room.Item{it})
	if err != nil {
		return nil, err
	}
	return shown[0], nil
}

// unredacted returns an event as it was before it was redacted, for who may redact it.
func (s *Server) unredacted(ctx context.Context, c endpoint.Caller, roomID id.RoomID, it room.Item) (room.Item, error) {
	if !c.Admin {
		may, err := s.Rooms.MayRedact(ctx, roomID, c.UserID)
		if err == nil && !may {
			err = mxerr.New(mxerr.Forbidden, "Only who may redact events may see what was redacted")
		}
		if err != nil {
			return it, err
		}
	}
	return s.Rooms.Unredacted(ctx, roomID, it)
}

// seenEvent returns an event that the caller may see, or M_NOT_FOUND.
func (s *Server) seenEvent(ctx context.Context, c endpoint.Caller, roomID id.RoomID, eventID id.EventID) (room.Sight, room.Item, error) {
	missing := mxerr.New(mxerr.NotFound, "There is no event %s that you may see", eventID)
	// Who may see it is asked afterwards: that comes with the event, if it is just put
	// into a gap.
	it, ok, err := s.Rooms.Item(ctx, roomID, eventID)
	if err != nil && !errors.Is(err, mxerr.NotFound) {
		return room.Sight{}, it, err
	}
	if err != nil || !ok {
		return room.Sight{}, it, missing.Wrap(err)
	}
	sight, err := s.Rooms.Sight(ctx, roomID, c.UserID)
	if err != nil {
		return sight, it, missing.Wrap(err)
	}
	if !sight.Sees(it.Place) {
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
func (s *Server) state(ctx context.Context, c endpoint.Caller, req roomRequest) (*listing, error) {
	l, err := s.list(ctx, c, req.RoomID, "", "")
	if err == nil {
		l.open, l.close = "[", "]"
	}
	return l, err
}

// list lists the state of a room that the caller may see, or one type of events in
// it, at the point that a token names, if it does.
func (s *Server) list(ctx context.Context, c endpoint.Caller, roomID id.RoomID, eventType, at string) (*listing, error) {
	if eventType == "" || eventType == event.TypeMember {
		if err := s.Rooms.Whole(ctx, roomID); err != nil {
			return nil, err
		}
	}
	sight, root, err := s.stateRoot(ctx, c, roomID)
	if err == nil && at != "" {
		root, err = s.stateAt(ctx, roomID, sight, root, at)
	}
	if err != nil {
		return nil, err
	}
	nums, err := s.Rooms.StateNums(ctx, roomID, root, eventType)
	return &listing{
		Server: s, caller: c, room: roomID, sight: sight, nums: nums,
		keep: func(room.Item) bool { return true }, open: `{"chunk":[`, close: `]}`, write: writeEvents,
	}, err
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
	if req.Type == event.TypeMember && req.StateKey != string(c.UserID) {
		if err := s.Rooms.Whole(ctx, req.RoomID); err != nil {
			return nil, err
		}
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
	shown, err := s.show(ctx, c, req.RoomID, sight, []room.Item{it})
	if err != nil {
		return nil, err
	}
	if req.Format != "event" {
		return shown[0].Get("content"), nil
	}
	return shown[0], nil
}

type membersRequest struct {
	RoomID        id.RoomID `path:"roomID"`
	At            string    `query:"at"`
	Membership    string    `query:"membership"`
	NotMembership string    `query:"not_membership"`
}

// members serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidmembers
func (s *Server) members(ctx context.Context, c endpoint.Caller, req membersRequest) (*listing, error) {
	for _, m := range []string{req.Membership, req.NotMembership} {
		if m != "" && !slices.Contains([]string{event.MembershipJoin, event.MembershipInvite, event.MembershipKnock, event.MembershipLeave, event.MembershipBan}, m) {
			return nil, mxerr.New(mxerr.InvalidParam, "%q is not a membership", m)
		}
	}
	l, err := s.list(ctx, c, req.RoomID, event.TypeMember, req.At)
	if err == nil && (req.Membership != "" || req.NotMembership != "") {
		l.keep = req.wants
	}
	return l, err
}

// wants reports whether a member is one of those asked for: with the one
// membership or without the other.
func (req membersRequest) wants(it room.Item) bool {
	m := it.Event.Membership()
	return req.Membership != "" && m == req.Membership || req.NotMembership != "" && m != req.NotMembership
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

// joinedMembers serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidjoined_members
func (s *Server) joinedMembers(ctx context.Context, c endpoint.Caller, req roomRequest) (*listing, error) {
	if err := s.mustBeJoined(ctx, c, req.RoomID); err != nil {
		return nil, err
	}
	l, err := s.list(ctx, c, req.RoomID, event.TypeMember, "")
	if err == nil {
		l.keep = membersRequest{Membership: event.MembershipJoin}.wants
		l.open, l.close, l.write = `{"joined":{`, `}}`, writeProfiles
	}
	return l, err
}

// writeProfiles writes under which names and pictures users are members.
func writeProfiles(_ context.Context, l *listing, dst []byte, items []room.Item) ([]byte, error) {
	for _, it := range items {
		user, _ := it.Event.StateKey()
		profile := append(object(append(canonjson.AppendString(l.separate(dst), user), ':')), '{')
		for _, field := range []struct{ from, to string }{{"avatar_url", "avatar_url"}, {"displayname", "display_name"}} {
			if text, ok := it.Event.Content().Get(field.from).Text(); ok {
				profile = canonjson.AppendString(profile.member(field.to), text)
			}
		}
		dst = append(profile, '}')
	}
	return dst, nil
}
