package csapi

import (
	"context"
	"slices"
	"strconv"

	"parley/internal/endpoint"
	"parley/internal/feed"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// The specification wants no rate limit here: clients ask once per event.
func (s *Server) relationRoutes() []endpoint.Route {
	read := endpoint.Policy{Auth: endpoint.User}
	const path = "GET /_matrix/client/v1/rooms/{roomID}/relations/{eventID}"
	return []endpoint.Route{
		endpoint.On(path, read, s.relations),
		endpoint.On(path+"/{relType}", read, s.relations),
		endpoint.On(path+"/{relType}/{eventType}", read, s.relations),
	}
}

type relationsRequest struct {
	RoomID    id.RoomID  `path:"roomID"`
	EventID   id.EventID `path:"eventID"`
	RelType   string     `path:"relType,optional"`
	EventType string     `path:"eventType,optional"`
	From      string     `query:"from"`
	To        string     `query:"to"`
	Dir       string     `query:"dir"`
	Limit     *int64     `query:"limit"`
	Recurse   *bool      `query:"recurse"`
}

type relationsResponse struct {
	Chunk                []canonjson.Value
	NextBatch, PrevBatch string
	Depth                int // of the recursion, 0 if that was not asked for
}

// AppendJSON implements endpoint.Appender.
func (r relationsResponse) AppendJSON(dst []byte) []byte {
	o := object(append(dst, '{')).events("chunk", r.Chunk).text("next_batch", r.NextBatch).text("prev_batch", r.PrevBatch)
	if r.Depth > 0 {
		o = strconv.AppendInt(o.member("recursion_depth"), int64(r.Depth), 10)
	}
	return append(o, '}')
}

// How many events /relations gives, and how many threads /threads.
const (
	defaultRelations = 20
	mostRelations    = 100
)

// relations serves
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidrelationseventid
// with and without a type of relations and of events.
func (s *Server) relations(ctx context.Context, c endpoint.Caller, req relationsRequest) (relationsResponse, error) {
	limit, err := pageLimit(req.Limit)
	if err != nil {
		return relationsResponse{}, err
	}
	sight, _, err := s.seenEvent(ctx, c, req.RoomID, req.EventID)
	if err != nil {
		return relationsResponse{}, err
	}
	q := room.ChildQuery{
		Parent: req.EventID, RelType: req.RelType, Type: req.EventType, Depth: 1, Seen: sight.Intervals, Limit: limit + 1,
	}
	if err := s.between(ctx, req, &q); err != nil {
		return relationsResponse{}, err
	}
	resp := relationsResponse{PrevBatch: req.From}
	if req.Recurse != nil {
		if *req.Recurse {
			q.Depth = room.RelationDepth
		}
		resp.Depth = q.Depth
	}
	items, err := s.Rooms.Children(ctx, req.RoomID, q)
	if err != nil {
		return relationsResponse{}, err
	}
	if len(items) > limit {
		items = items[:limit]
		resp.NextBatch = feed.FormatPlace(beyond(items[limit-1], q.Back))
	}
	ignored, err := s.AccountData.Ignored(ctx, c.UserID)
	if err != nil {
		return relationsResponse{}, err
	}
	items = slices.DeleteFunc(items, func(it room.Item) bool { return feed.Hidden(ignored, it.Event) })
	resp.Chunk, err = s.show(ctx, c, req.RoomID, sight, items)
	return resp, err
}

// beyond returns the point behind an event, for who goes backwards or forwards.
func beyond(it room.Item, back bool) int64 {
	if back {
		return it.Place - 1
	}
	return it.Place
}

// between fills in between which places events are wanted, and in which order.
func (s *Server) between(ctx context.Context, req relationsRequest, q *room.ChildQuery) (err error) {
	switch req.Dir {
	case "", "b":
		q.Back = true
	case "f":
	default:
		return mxerr.New(mxerr.InvalidParam, "dir is neither b nor f")
	}
	from, to := &q.First, &q.Last // for who goes forwards, less one
	if q.Back {
		from, to = to, from
	}
	q.First, q.Last = 0, room.Last
	if req.From != "" {
		if *from, err = s.place(ctx, req.RoomID, req.From); err != nil {
			return err
		}
	}
	if req.To != "" {
		if *to, err = s.place(ctx, req.RoomID, req.To); err != nil {
			return err
		}
	}
	q.First++ // a point is behind the event in its place
	return nil
}

// pageLimit returns how many events a page has.
func pageLimit(limit *int64) (int, error) {
	switch {
	case limit == nil:
		return defaultRelations, nil
	case *limit < 1:
		return 0, mxerr.New(mxerr.InvalidParam, "limit is less than 1")
	}
	return int(min(*limit, mostRelations)), nil
}
