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
	"parley/matrix/mxerr"
	"parley/matrix/stateres"
)

func (s *Server) messageRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_matrix/client/v3/rooms/{roomID}/messages", endpoint.Policy{Auth: endpoint.UserOrGuest, Class: classRead}, s.messages),
	}
}

// place returns the point in a room's own order that a token means: behind the
// event in a place. Tokens of /sync mean the end of the room as it was.
func (s *Server) place(ctx context.Context, roomID id.RoomID, token string) (int64, error) {
	if place, err := feed.ParsePlace(token); err == nil {
		return place, nil
	}
	t, err := feed.ParseMoment(token)
	if err != nil {
		return 0, err
	}
	if t.Epoch != s.Feed.Journal.Epoch() || t.Pos > s.Feed.Journal.Head() {
		return 0, mxerr.New(mxerr.InvalidParam, "The token is not one that this server gave out")
	}
	m, err := s.Rooms.Before(ctx, roomID, t.Pos)
	return m.Place, err
}

type messagesRequest struct {
	RoomID id.RoomID `path:"roomID"`
	From   string    `query:"from"`
	To     string    `query:"to"`
	Dir    string    `query:"dir" required:"true"`
	Limit  *int64    `query:"limit"`
	Filter string    `query:"filter"`
}

type messagesResponse struct {
	Chunk      []canonjson.Value
	Start, End string
	State      []canonjson.Value
}

// AppendJSON implements endpoint.Appender.
func (r messagesResponse) AppendJSON(dst []byte) []byte {
	o := object(append(dst, '{')).events("chunk", r.Chunk).text("end", r.End).text("start", r.Start)
	if len(r.State) > 0 {
		o = o.events("state", r.State)
	}
	return append(o, '}')
}

// How many events /messages gives, and goes through in search of them.
const (
	defaultMessages = 10
	mostMessages    = 1000
	mostScanned     = 5000
)

// messages serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidmessages
func (s *Server) messages(ctx context.Context, c endpoint.Caller, req messagesRequest) (messagesResponse, error) {
	f, err := s.Filters.ResolveRoomEvents(req.Filter)
	if err != nil {
		return messagesResponse{}, err
	}
	limit, err := messageLimit(req.Limit, defaultMessages)
	if err != nil {
		return messagesResponse{}, err
	}
	sight, err := s.readable(ctx, c, req.RoomID)
	if err != nil {
		return messagesResponse{}, err
	}
	w, err := s.walk(ctx, req, c.UserID, sight)
	if err != nil {
		return messagesResponse{}, err
	}
	if w.ignored, err = s.AccountData.Ignored(ctx, c.UserID); err != nil {
		return messagesResponse{}, err
	}
	items, err := w.collect(ctx, s.Rooms, f, limit)
	if err != nil {
		return messagesResponse{}, err
	}
	resp := messagesResponse{Start: req.From}
	if resp.Start == "" {
		resp.Start = feed.FormatPlace(w.start)
	}
	if !w.done {
		resp.End = feed.FormatPlace(w.at)
	}
	sight = w.sight
	if resp.Chunk, err = s.show(ctx, c, req.RoomID, sight, items); err != nil || !f.LazyLoadMembers {
		return resp, err
	}
	resp.State, err = s.senders(ctx, c, req.RoomID, sight, items)
	return resp, err
}

func messageLimit(limit *int64, byDefault int) (int, error) {
	switch {
	case limit == nil:
		return byDefault, nil
	case *limit < 0:
		return 0, mxerr.New(mxerr.InvalidParam, "limit is negative")
	}
	return int(min(*limit, mostMessages)), nil
}

// readable returns what the caller may see of a room, or M_FORBIDDEN if that is
// nothing.
func (s *Server) readable(ctx context.Context, c endpoint.Caller, roomID id.RoomID) (room.Sight, error) {
	sight, err := s.Rooms.Sight(ctx, roomID, c.UserID)
	if err == nil && !sight.MayRead() {
		err = notInRoom(roomID)
	}
	return sight, err
}

// A walk goes through the part of a room's history that somebody may see.
type walk struct {
	room  id.RoomID
	user  id.UserID
	sight room.Sight
	back  bool
	start int64 // where it began
	at    int64 // where it is: behind the event in that place
	to    int64 // where it ends at the latest
	done  bool  // there is nothing further on
	// fills is how often more of the history was fetched from other servers, and
	// passed the gaps behind which the walk goes on all the same. paused says that
	// there is more to fetch: the next request goes on.
	fills  int
	passed map[int64]bool
	paused bool
	// ignored is of whom nothing is shown.
	ignored map[id.UserID]bool
}

// walk begins a walk where a request wants it.
func (s *Server) walk(ctx context.Context, req messagesRequest, user id.UserID, sight room.Sight) (*walk, error) {
	w := &walk{room: req.RoomID, user: user, sight: sight, back: req.Dir == "b"}
	first, last := sight.Intervals[0].First-1, sight.Intervals[len(sight.Intervals)-1].Last
	switch req.Dir {
	case "b":
		w.at, w.to = last, first
	case "f":
		w.at, w.to = first, last
	default:
		return nil, mxerr.New(mxerr.InvalidParam, "dir is neither b nor f")
	}
	if req.From != "" {
		place, err := s.place(ctx, req.RoomID, req.From)
		if err != nil {
			return nil, err
		}
		w.at = place
	}
	if req.To != "" {
		place, err := s.place(ctx, req.RoomID, req.To)
		if err != nil {
			return nil, err
		}
		if w.back {
			w.to = max(w.to, place)
		} else {
			w.to = min(w.to, place)
		}
	}
	w.start = w.at
	return w, nil
}

// collect returns the next events that may be seen and that a filter lets pass,
// as long as the walk does not get too long.
func (w *walk) collect(ctx context.Context, rooms *room.Engine, f *filter.RoomEventFilter, limit int) ([]room.Item, error) {
	var found []room.Item
	for scanned := 0; scanned < mostScanned && len(found) < limit; {
		items, err := w.next(ctx, rooms, min(100, limit-len(found)+10))
		if err != nil || len(items) == 0 {
			w.done = err == nil && !w.paused
			return found, err
		}
		scanned += len(items)
		var related map[id.EventID]bool
		if f.WantsRelated() {
			if related, err = rooms.Related(ctx, w.room, items, f.RelatedByRelTypes, f.RelatedBySenders, w.sight.Intervals); err != nil {
				return found, err
			}
		}
		for _, it := range items {
			if len(found) == limit {
				break
			}
			w.at = it.Place
			if w.back {
				w.at--
			}
			if feed.Hidden(w.ignored, it.Event) {
				continue
			}
			if related != nil && !related[it.Event.ID()] {
				continue
			}
			if f.AllowsRoom(w.room) && f.Match(it.Event.Type(), it.Event.Sender(), it.Event.Content()) {
				found = append(found, it)
			}
		}
	}
	if w.back && w.at <= w.to || !w.back && w.at >= w.to {
		// Backwards, the beginning is the end. Forwards, more may come.
		w.done = w.back
	}
	return found, nil
}

// mostFills is how often one request fetches more of the history.
const mostFills = 5

// next returns the next events that may be seen, none at the end. What is missing
// before them is fetched, as far as it can be had.
func (w *walk) next(ctx context.Context, rooms *room.Engine, limit int) ([]room.Item, error) {
	for {
		items, err := w.seen(ctx, rooms, limit)
		if err != nil {
			return nil, err
		}
		items, gap, err := w.upToGap(ctx, rooms, items)
		if err != nil || gap == 0 || len(items) > 0 {
			return items, err
		}
		if w.fills++; w.fills > mostFills {
			w.paused = w.back
			if w.paused {
				return nil, nil
			}
			w.passed[gap] = true
			continue
		}
		more, err := rooms.Fill(ctx, w.room, gap)
		if err != nil {
			return nil, err
		}
		if !more {
			w.passed[gap] = true
			continue
		}
		// What was fetched tells who may see it.
		if w.sight, err = rooms.Sight(ctx, w.room, w.user); err != nil {
			return nil, err
		}
	}
}

// upToGap returns those of the next events that come before the next gap, and
// where that is: 0 for nowhere.
func (w *walk) upToGap(ctx context.Context, rooms *room.Engine, items []room.Item) ([]room.Item, int64, error) {
	if w.passed == nil {
		w.passed = make(map[int64]bool)
	}
	if w.back {
		return w.backToGap(ctx, rooms, items)
	}
	last := w.to
	if len(items) > 0 {
		last = items[len(items)-1].Place
	}
	for first := w.at + 1; ; {
		gap, ok, err := rooms.FirstGapIn(ctx, w.room, first, last)
		if err != nil || !ok {
			return items, 0, err
		}
		if !w.passed[gap] {
			return slices.DeleteFunc(items, func(it room.Item) bool { return it.Place >= gap }), gap, nil
		}
		first = gap + 1
	}
}

// backToGap is upToGap backwards. The walk may begin right in front of an event
// that a gap is before.
func (w *walk) backToGap(ctx context.Context, rooms *room.Engine, items []room.Item) ([]room.Item, int64, error) {
	first := w.to + 1
	if len(items) > 0 {
		first = items[len(items)-1].Place
	}
	last := w.at
	if last < room.Last {
		last++
	}
	for {
		gap, ok, err := rooms.GapIn(ctx, w.room, first+1, last)
		if err != nil || !ok {
			return items, 0, err
		}
		if !w.passed[gap] && w.seesBefore(gap) {
			return slices.DeleteFunc(items, func(it room.Item) bool { return it.Place < gap }), gap, nil
		}
		last = gap - 1
	}
}

// seesBefore reports whether who is before a gap may see what is missing there, as
// far as is known.
func (w *walk) seesBefore(gap int64) bool { return gap-1 > w.to && w.sight.Sees(gap-1) }

// seen is here, by who may see what is there by now: what was put into a gap meanwhile
// told that, too.
func (w *walk) seen(ctx context.Context, rooms *room.Engine, limit int) ([]room.Item, error) {
	for {
		items, err := w.here(ctx, rooms, limit)
		if err != nil || !slices.ContainsFunc(items, func(it room.Item) bool { return it.Pos == 0 }) {
			return items, err
		}
		if w.sight, err = rooms.Sight(ctx, w.room, w.user); err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(items, func(it room.Item) bool { return !w.sight.Sees(it.Place) }) {
			return items, nil
		}
	}
}

// here returns the next events that are there and may be seen, none at the end. It
// does not go through what lies between intervals.
func (w *walk) here(ctx context.Context, rooms *room.Engine, limit int) ([]room.Item, error) {
	if w.back {
		for i := len(w.sight.Intervals) - 1; i >= 0; i-- {
			in := w.sight.Intervals[i]
			first, last := max(in.First, w.to+1), min(in.Last, w.at)
			if first > last {
				continue
			}
			items, err := rooms.Back(ctx, w.room, last, int(min(int64(limit), last-first+1)))
			items = slices.DeleteFunc(items, func(it room.Item) bool { return it.Place < first })
			if len(items) > 0 || err != nil {
				return items, err
			}
		}
		return nil, nil
	}
	for _, in := range w.sight.Intervals {
		first, last := max(in.First, w.at+1), min(in.Last, w.to)
		if first > last {
			continue
		}
		items, err := rooms.Forward(ctx, w.room, first, int(min(int64(limit), last-first+1)))
		items = slices.DeleteFunc(items, func(it room.Item) bool { return it.Place > last })
		if len(items) > 0 || err != nil {
			return items, err
		}
	}
	return nil, nil
}

// senders returns the member events of those who sent events, as they are at the
// newest of these.
func (s *Server) senders(ctx context.Context, c endpoint.Caller, roomID id.RoomID, sight room.Sight, items []room.Item) ([]canonjson.Value, error) {
	if len(items) == 0 {
		return nil, nil
	}
	newest := items[0]
	if last := items[len(items)-1]; last.Place > newest.Place {
		newest = last
	}
	root, seen := newest.Current, make(map[id.UserID]bool)
	var nums []stateres.Num
	for _, it := range items {
		sender := it.Event.Sender()
		if seen[sender] {
			continue
		}
		seen[sender] = true
		n, err := s.Rooms.SenderNum(ctx, roomID, root, it)
		if err != nil {
			return nil, err
		}
		if n != 0 {
			nums = append(nums, n)
		}
	}
	members, err := s.Rooms.Items(ctx, roomID, nums)
	if err != nil {
		return nil, err
	}
	return s.show(ctx, c, roomID, sight, inOrder(members))
}
