package feed

import (
	"context"
	"slices"

	"parley/internal/room"
	"parley/matrix/event"
	"parley/matrix/id"
)

// A window says which part of a room's history a timeline is taken from.
type window struct {
	*news
	// first and last are the first and the last place: what comes before was
	// told.
	first, last int64
	// left is where the user left the room, 0 for never or not yet. Of what comes
	// behind it a client is told the user's own member events, and only those even
	// where everybody may read.
	left int64
	// gone says that the user is not in the room.
	gone bool
}

// sees reports whether the user is to see the event in a place.
func (w window) sees(place int64) bool {
	switch {
	case w.sight == nil:
		return true
	case w.gone && place > w.left:
		return slices.ContainsFunc(w.sight.Memberships, func(m room.MembershipAt) bool { return m.Place == place && !m.Merged })
	}
	return w.sight.Sees(place)
}

// seen returns the places whose events the user may see.
func (w window) seen() []room.Interval {
	if w.sight == nil {
		return []room.Interval{{First: 1, Last: room.Last}}
	}
	return w.sight.Intervals
}

// membership returns what the user was to the room in a place.
func (w window) membership(place int64) string {
	if w.sight == nil {
		return event.MembershipJoin
	}
	return w.sight.MembershipAt(place)
}

// timeline is the events of a room that are shown.
type timeline struct {
	items   []room.Item // in order
	limited bool        // there are others before them that the client has not
	behind  int64       // the place that they are behind
	whole   bool        // nothing after the last answer is left out
	hidden  int64       // how many events are left out because of who sent them
}

// chunk is how many events are read at once when a filter leaves most of them
// out, and mostScanned how many are read in all before the timeline is cut.
const (
	chunk       = 100
	mostScanned = 3000
)

// timeline takes the last events of a window that the filter lets pass.
func (a *answer) timeline(ctx context.Context, w window) (timeline, error) {
	return a.lastEvents(ctx, w, a.q.Filter.Room.Timeline.Limit())
}

// lastEvents is timeline with another limit than that of the filter.
func (a *answer) lastEvents(ctx context.Context, w window, limit int) (t timeline, err error) {
	f := &a.q.Filter.Room.Timeline
	if f.None() || !f.AllowsRoom(w.id) {
		return timeline{behind: w.last}, nil
	}
	t = timeline{behind: w.last, whole: true}
	// Who gets all that is new takes it to be all that there was.
	gap, isGap, err := a.Rooms.GapIn(ctx, w.id, w.first, w.last)
	if err != nil {
		return t, err
	}
	if isGap {
		w.first = gap
		defer func() { t.atGap(gap) }()
	}
	scanned := 0
	for size := limit + 1; t.behind >= w.first; size = chunk {
		// Places have no gaps, so it is known how many there are to read.
		items, err := a.Rooms.Back(ctx, w.id, t.behind, int(min(int64(size), t.behind-w.first+1)))
		if err != nil {
			return t, err
		}
		items = slices.DeleteFunc(items, func(it room.Item) bool { return it.Place < w.first })
		var related map[id.EventID]bool
		if f.WantsRelated() {
			if related, err = a.Rooms.Related(ctx, w.id, items, f.RelatedByRelTypes, f.RelatedBySenders, w.seen()); err != nil {
				return t, err
			}
		}
		if t.items == nil {
			t.items = items[:0] // what passes stays where it is
		}
		for _, it := range items {
			if it.Place != t.behind {
				t.whole = false // something in between is too old to be shown
			}
			switch {
			case Hidden(a.ignored, it.Event):
				t.whole = false
				t.hidden++
			case !w.sees(it.Place), related != nil && !related[it.Event.ID()],
				!f.Match(it.Event.Type(), it.Event.Sender(), it.Event.Content()):
				t.whole = false
			case len(t.items) == limit:
				t.limited, t.whole = true, false
				slices.Reverse(t.items)
				return t, nil
			default:
				t.items = append(t.items, it)
			}
			t.behind = it.Place - 1
		}
		if scanned += len(items); scanned > mostScanned || len(items) == 0 {
			t.limited = t.behind >= w.first && len(items) > 0
			t.whole = t.whole && t.behind < w.first
			break
		}
	}
	slices.Reverse(t.items)
	return t, nil
}

// atGap says that there may be more before a place, which the server does not have
// yet.
func (t *timeline) atGap(place int64) {
	t.limited, t.whole = true, false
	t.behind = max(t.behind, place-1)
}

// cut drops events from the front.
func (t *timeline) cut(count int) {
	if count == 0 {
		return
	}
	t.behind = t.items[count-1].Place
	t.items = t.items[count:]
	t.limited, t.whole = true, false
}

// lastState returns the last event of the timeline in each place of the state,
// and where in the timeline that is.
func (t *timeline) lastState() map[event.Tuple]int {
	var last map[event.Tuple]int
	for i, it := range t.items {
		if tuple, ok := it.Event.Tuple(); ok {
			if last == nil {
				last = make(map[event.Tuple]int)
			}
			last[tuple] = i
		}
	}
	return last
}
