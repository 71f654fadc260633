package csapi

import (
	"context"
	"slices"

	"parley/internal/endpoint"
	"parley/internal/feed"
	"parley/internal/filter"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

func (s *Server) contextRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_matrix/client/v3/rooms/{roomID}/context/{eventID}",
			endpoint.Policy{Auth: endpoint.UserOrGuest, Class: classRead}, s.context),
	}
}

type contextRequest struct {
	RoomID  id.RoomID  `path:"roomID"`
	EventID id.EventID `path:"eventID"`
	Limit   *int64     `query:"limit"`
	Filter  string     `query:"filter"`
}

type contextResponse struct {
	Event                     canonjson.Value
	EventsBefore, EventsAfter []canonjson.Value
	State                     []canonjson.Value
	Start, End                string
}

// AppendJSON implements endpoint.Appender.
func (r contextResponse) AppendJSON(dst []byte) []byte {
	o := object(append(dst, '{')).text("end", r.End)
	o = append(o.member("event"), r.Event...)
	o = o.events("events_after", r.EventsAfter).events("events_before", r.EventsBefore)
	return append(o.text("start", r.Start).events("state", r.State), '}')
}

// context serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidcontexteventid
func (s *Server) context(ctx context.Context, c endpoint.Caller, req contextRequest) (contextResponse, error) {
	f, err := s.Filters.ResolveRoomEvents(req.Filter)
	if err != nil {
		return contextResponse{}, err
	}
	limit, err := messageLimit(req.Limit, defaultMessages)
	if err != nil {
		return contextResponse{}, err
	}
	sight, it, err := s.seenEvent(ctx, c, req.RoomID, req.EventID)
	if err != nil {
		return contextResponse{}, err
	}
	ignored, err := s.AccountData.Ignored(ctx, c.UserID)
	if err != nil {
		return contextResponse{}, err
	}
	back := &walk{room: req.RoomID, user: c.UserID, sight: sight, ignored: ignored, back: true, at: it.Place - 1, to: sight.Intervals[0].First - 1}
	before, err := back.collect(ctx, s.Rooms, f, limit/2)
	if err != nil {
		return contextResponse{}, err
	}
	forward := &walk{room: req.RoomID, user: c.UserID, sight: sight, ignored: ignored, at: it.Place, to: sight.At.Place}
	after, err := forward.collect(ctx, s.Rooms, f, limit-limit/2)
	if err != nil {
		return contextResponse{}, err
	}
	sight = forward.sight
	return s.around(ctx, c, req.RoomID, sight, f, before, it, after, contextResponse{
		Start: feed.FormatPlace(back.at), End: feed.FormatPlace(forward.at),
	})
}

// around fills in the events, and the state at the last of them.
func (s *Server) around(
	ctx context.Context, c endpoint.Caller, roomID id.RoomID, sight room.Sight, f *filter.RoomEventFilter,
	before []room.Item, it room.Item, after []room.Item, resp contextResponse,
) (contextResponse, error) {
	all := append(append([]room.Item{it}, before...), after...)
	shown, err := s.show(ctx, c, roomID, sight, all)
	if err != nil {
		return resp, err
	}
	resp.Event, resp.EventsBefore, resp.EventsAfter = shown[0], shown[1:1+len(before)], shown[1+len(before):]
	last := it
	if len(after) > 0 {
		last = after[len(after)-1]
	}
	items, err := s.stateAround(ctx, roomID, f, last, all)
	if err != nil {
		return resp, err
	}
	resp.State, err = s.show(ctx, c, roomID, sight, inOrder(items))
	return resp, err
}

// stateAround is what a filter lets pass of the state at an event; if members are
// loaded lazily, of these only those who sent something.
func (s *Server) stateAround(
	ctx context.Context, roomID id.RoomID, f *filter.RoomEventFilter, last room.Item, all []room.Item,
) (items []room.Item, err error) {
	if !f.AllowsRoom(roomID) {
		return nil, nil
	}
	if f.LazyLoadMembers {
		senders := make(map[id.UserID]room.Item)
		for _, it := range all {
			senders[it.Event.Sender()] = it
		}
		items, err = s.Rooms.StateOf(ctx, roomID, last.Current, senders)
	} else {
		items, err = s.Rooms.FullState(ctx, roomID, last.Current)
	}
	return slices.DeleteFunc(items, func(it room.Item) bool {
		return !f.Match(it.Event.Type(), it.Event.Sender(), it.Event.Content())
	}), err
}
