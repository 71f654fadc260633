package feed

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"parley/internal/journal"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// The names of sticky events, until their proposals are accepted.
// https://github.com/matrix-org/matrix-spec-proposals/pull/4354
const (
	stickySection   = "msc4354_sticky"
	stickyTTL       = "msc4354_sticky_duration_ttl_ms"
	stickyExtension = "org.matrix.msc4354.sticky_events" // also of MSC4480
)

// mostStickyEvents is how many sticky events an answer of sliding sync has at most,
// and unless the client says otherwise.
const mostStickyEvents = 100

// stick finds the sticky events of the room that the client is to get beside the
// timeline: those of which it is not told there.
func (s *joinedSection) stick(ctx context.Context) error {
	if s.q.stream || !s.fresh && !s.news.events && !s.news.sticky {
		return nil
	}
	after := s.since.Pos
	if s.fresh {
		after = 0
	}
	list, err := s.stickyBeside(ctx, s.id, after, func(it room.Item) bool {
		return slices.ContainsFunc(s.timeline.items, func(told room.Item) bool { return told.Num == it.Num })
	})
	if err == nil {
		s.sticky, err = s.showSticky(ctx, s.id, s.membership, list)
	}
	return err
}

// stickyBeside returns the sticky events of a room behind a position, less those that
// are told elsewhere, and those of users of whom the user does not want to hear.
func (a *answer) stickyBeside(ctx context.Context, roomID id.RoomID, after journal.Position, told func(room.Item) bool) ([]room.Sticky, error) {
	list, err := a.Rooms.Sticky(ctx, roomID, after, a.now.Pos)
	return slices.DeleteFunc(list, func(s room.Sticky) bool { return Hidden(a.ignored, s.Event) || told(s.Item) }), err
}

// showSticky returns sticky events as the client gets them.
func (a *answer) showSticky(ctx context.Context, roomID id.RoomID, membership func(int64) string, list []room.Sticky) ([]canonjson.Value, error) {
	if len(list) == 0 {
		return nil, nil
	}
	v := a.viewer(membership)
	v.Expires = make(map[stateres.Num]int64, len(list))
	items := make([]room.Item, len(list))
	for i, s := range list {
		items[i], v.Expires[s.Num] = s.Item, s.Expires
	}
	return a.Show(ctx, v, roomID, items)
}

// appendTTL appends for how long an event is sticky still, if it is: exactly where
// that is known, otherwise by what its server says.
func (v *Viewer) appendTTL(dst []byte, it room.Item, now int64) []byte {
	if it.Event.Sticky() == 0 {
		return dst
	}
	expires := cmp.Or(v.Expires[it.Num], min(now, it.Event.OriginServerTS())+it.Event.Sticky())
	if expires <= now {
		return dst
	}
	return strconv.AppendInt(append(dst, `,"`+stickyTTL+`":`...), expires-now, 10)
}

// extendSticky tells of sticky events in all rooms that some list or subscription of
// the request is about, whether they are in its window or not: the oldest that the
// client does not have.
// https://github.com/matrix-org/matrix-spec-proposals/pull/4480
func (a *slidingAnswer) extendSticky(ctx context.Context) error {
	if !a.req.sticky.on {
		return nil
	}
	rooms, err := a.stickyRooms(ctx)
	if err != nil {
		return err
	}
	var list []stuck
	for _, s := range rooms {
		more, err := a.stuckIn(ctx, s)
		if err != nil {
			return err
		}
		list = append(list, more...)
	}
	slices.SortStableFunc(list, func(x, y stuck) int { return cmp.Compare(x.Pos, y.Pos) })
	next, some := a.now.Pos, make(map[id.RoomID][]room.Sticky)
	for i, s := range list {
		if i >= a.req.sticky.limit && !s.joined {
			next = list[i-1].Pos
			break
		}
		some[s.room] = append(some[s.room], s.Sticky)
	}
	var b byRoom
	for _, s := range rooms {
		events, err := a.showSticky(ctx, s.RoomID, func(int64) string { return event.MembershipJoin }, some[s.RoomID])
		if err != nil {
			return err
		}
		if len(events) > 0 {
			b.add(s.RoomID, newObject().events("events", events).end())
		}
	}
	o := newObject().text("next_batch", a.formatMark(stickyMark, next))
	if len(b.sections) > 0 {
		o = o.raw("rooms", b.json())
	}
	a.response.extensions = append(a.response.extensions, extension{name: stickyExtension, json: o.end(), quiet: len(b.sections) == 0})
	return nil
}

// A stuck is a sticky event of a room. joined: all of that room are to be told, as the
// user has come into it.
type stuck struct {
	room.Sticky
	room   id.RoomID
	joined bool
}

// stickyBehind reports whether there may be sticky events that the client did not get
// with the answers before.
func (a *slidingAnswer) stickyBehind() bool { return a.req.sticky.on && a.sticky < a.since.Pos }

// stickyRooms returns the rooms in which there may be sticky events for the client.
func (a *slidingAnswer) stickyRooms(ctx context.Context) (list []*standing, err error) {
	var nums []room.Num
	if a.initial() || a.stickyBehind() {
		if nums, err = a.Rooms.StickyRooms(ctx, a.req.User, a.sticky); err != nil {
			return nil, err
		}
	} else {
		for num, c := range a.changes {
			if c.events || c.moved || c.sticky {
				nums = append(nums, num)
			}
		}
	}
	for _, num := range nums {
		if s := a.roster.rooms[num]; s != nil && s.is(event.MembershipJoin) && a.isAbout(s) {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(x, y *standing) int { return cmp.Compare(x.RoomID, y.RoomID) })
	return list, nil
}

// isAbout reports whether a room is one of a list or subscription of the request,
// however far down.
func (a *slidingAnswer) isAbout(s *standing) bool {
	if _, ok := a.req.subscriptions[s.RoomID]; ok {
		return true
	}
	return slices.ContainsFunc(a.req.lists, func(l slidingList) bool { return a.roster.passes(&l.filter, s) })
}

// stuckIn returns the sticky events of a room that the client does not have.
func (a *slidingAnswer) stuckIn(ctx context.Context, s *standing) (list []stuck, err error) {
	after, joined := a.sticky, a.sticky > 0 && s.Pos > a.sticky
	if joined {
		after = 0
	}
	shown := a.timelines[s.Room]
	found, err := a.stickyBeside(ctx, s.RoomID, after, func(it room.Item) bool { return shown != nil && shown.events[it.Event.ID()] })
	if room.IsGone(err) {
		return nil, nil
	}
	for _, one := range found {
		list = append(list, stuck{one, s.RoomID, joined})
	}
	return list, err
}
