package csapi

import (
	"context"
	"errors"
	"time"

	"parley/internal/endpoint"
	"parley/internal/feed"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// The modules old_sync, peeking_events and room_initial_sync: how clients kept up
// before there was /sync, and still look into rooms that they are not in.
func (s *Server) oldSyncRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_matrix/client/v3/events", endpoint.Policy{Auth: endpoint.UserOrGuest, Waits: true}, s.events),
		endpoint.On("GET /_matrix/client/v3/events/{eventID}", endpoint.Policy{Auth: endpoint.User, Class: classRead}, s.anyEvent),
		endpoint.On("GET /_matrix/client/v3/initialSync", endpoint.Policy{Auth: endpoint.User, Class: classRead}, s.initialSync),
		endpoint.On("GET /_matrix/client/v3/rooms/{roomID}/initialSync",
			endpoint.Policy{Auth: endpoint.UserOrGuest, Class: classRead}, s.roomInitialSync),
	}
}

type eventsRequest struct {
	From    string     `query:"from"`
	Timeout uint64     `query:"timeout"` // milliseconds
	RoomID  *id.RoomID `query:"room_id"`
}

type eventsResponse struct {
	Chunk []canonjson.Value `json:"chunk"`
	Start string            `json:"start"`
	End   string            `json:"end"`
}

// events serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3events
// and, with a room, https://spec.matrix.org/v1.19/client-server-api/#peeking_get_matrixclientv3events
func (s *Server) events(ctx context.Context, c endpoint.Caller, req eventsRequest) (eventsResponse, error) {
	q := feed.StreamRequest{
		User: c.UserID, Device: c.DeviceID, From: req.From,
		Timeout: time.Duration(min(req.Timeout, uint64(longestWait.Milliseconds()))) * time.Millisecond,
	}
	var stream feed.Stream
	var err error
	if req.RoomID != nil {
		stream, err = s.Feed.Peek(ctx, q, *req.RoomID)
	} else {
		stream, err = s.Feed.Events(ctx, q)
	}
	if err != nil {
		return eventsResponse{}, err
	}
	if stream.Events == nil {
		stream.Events = []canonjson.Value{}
	}
	return eventsResponse{stream.Events, stream.Start.String(), stream.End.String()}, nil
}

type anyEventRequest struct {
	EventID id.EventID `path:"eventID"`
}

// anyEvent serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3eventseventid
func (s *Server) anyEvent(ctx context.Context, c endpoint.Caller, req anyEventRequest) (canonjson.Value, error) {
	rooms, err := s.Rooms.RoomsWith(ctx, req.EventID)
	if err != nil {
		return nil, err
	}
	for _, roomID := range rooms {
		shown, err := s.event(ctx, c, oneEventRequest{RoomID: roomID, EventID: req.EventID})
		if !errors.Is(err, mxerr.NotFound) {
			return shown, err
		}
	}
	return nil, mxerr.New(mxerr.NotFound, "There is no event %s that you may see", req.EventID)
}

type initialSyncRequest struct {
	Limit    *int64 `query:"limit"`
	Archived bool   `query:"archived"`
}

type initialSyncResponse struct {
	End         string            `json:"end"`
	Rooms       []roomInfo        `json:"rooms"`
	AccountData []typedContent    `json:"account_data"`
	Presence    []canonjson.Value `json:"presence"`
	Receipts    []canonjson.Value `json:"receipts"`
}

// typedContent is an event that has nothing else.
type typedContent struct {
	Type    string          `json:"type"`
	Content canonjson.Value `json:"content"`
}

// initialSync serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3initialsync
func (s *Server) initialSync(ctx context.Context, c endpoint.Caller, req initialSyncRequest) (initialSyncResponse, error) {
	limit, err := messageLimit(req.Limit, defaultMessages)
	if err != nil {
		return initialSyncResponse{}, err
	}
	now, err := s.glance(ctx, c, limit)
	if err != nil {
		return initialSyncResponse{}, err
	}
	resp := initialSyncResponse{
		End: now.token.String(), Rooms: []roomInfo{}, AccountData: now.data[""], Receipts: []canonjson.Value{},
	}
	rooms, err := s.Rooms.Rooms(ctx, c.UserID)
	if err != nil {
		return resp, err
	}
	if resp.Presence, err = s.Feed.PresenceIn(ctx, c.UserID, joinedOf(rooms)); err != nil {
		return resp, err
	}
	for _, m := range rooms {
		sight, err := s.Rooms.SightAt(ctx, m.RoomID, c.UserID, now.token.Pos)
		if room.IsGone(err) {
			continue // it was deleted, perhaps just now
		}
		if err != nil {
			return resp, err
		}
		var info roomInfo
		ok := true
		switch membership := sight.Membership(); {
		case membership == event.MembershipJoin, req.Archived && sight.Left() != 0 && !sight.Forgotten && event.IsOut(membership):
			info, err = now.room(ctx, m.RoomID, sight)
			resp.Receipts = append(resp.Receipts, info.Receipts...)
			info.Receipts = nil
		case membership == event.MembershipInvite:
			info, ok, err = now.invite(ctx, m.RoomID, sight)
		default:
			ok = false
		}
		if room.IsGone(err) {
			continue
		}
		if err != nil {
			return resp, err
		}
		if ok {
			resp.Rooms = append(resp.Rooms, info)
		}
	}
	return resp, nil
}

func joinedOf(rooms []room.Membership) (joined []room.Num) {
	for _, m := range rooms {
		if m.Membership == event.MembershipJoin {
			joined = append(joined, m.Room)
		}
	}
	return joined
}

// roomInitialSync serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidinitialsync
func (s *Server) roomInitialSync(ctx context.Context, c endpoint.Caller, req roomInitialSyncRequest) (roomInfo, error) {
	limit, err := messageLimit(req.Limit, defaultMessages)
	if err != nil {
		return roomInfo{}, err
	}
	sight, err := s.readable(ctx, c, req.RoomID)
	if err != nil {
		return roomInfo{}, err
	}
	now, err := s.glance(ctx, c, limit)
	if err != nil {
		return roomInfo{}, err
	}
	info, err := now.room(ctx, req.RoomID, sight)
	if err != nil {
		return info, err
	}
	// Who only looks in is in no room with those who are in there.
	var shared []room.Num
	if sight.Membership() == event.MembershipJoin {
		num, err := s.Rooms.Num(ctx, req.RoomID)
		if err != nil {
			return info, err
		}
		shared = append(shared, num)
	}
	info.Presence, err = s.Feed.PresenceIn(ctx, c.UserID, shared)
	return info, err
}

type roomInitialSyncRequest struct {
	RoomID id.RoomID `path:"roomID"`
	Limit  *int64    `query:"limit"` // as clients know it from /initialSync
}
