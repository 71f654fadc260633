package room

import (
	"context"
	"slices"

	"parley/matrix/event"
	"parley/matrix/id"
)

// How many events around a point in time are looked at, and how many tell what
// time it was in a place.
const (
	nearestWindow = 200
	nearestProbe  = 7
	// nearestGaps is how many parts of the history that the user may see are looked
	// into, when there is nothing in those before.
	nearestGaps = 10
)

// Nearest returns the event that was sent at a time or, if there is none, the next
// after it or, backwards, the last before it, of those in the places that somebody
// may see; ok is false if there is none.
//
// The time of an event is what its sender says, so that the room's own order is
// that of the times only on the whole. It is what makes the search short: some
// twenty looks find about where the time was, and the events around there are
// compared. One that stands far from where its time was is not found.
func (g *Engine) Nearest(ctx context.Context, roomID id.RoomID, ts int64, back bool, seen []Interval) (found Item, ok bool, err error) {
	return g.NearestShown(ctx, roomID, ts, back, seen, func(*event.Event) bool { return false })
}

// NearestShown is Nearest among the events that are not hidden from somebody.
func (g *Engine) NearestShown(
	ctx context.Context, roomID id.RoomID, ts int64, back bool, seen []Interval, hidden func(*event.Event) bool,
) (found Item, ok bool, err error) {
	if len(seen) == 0 {
		return Item{}, false, nil
	}
	at, err := g.placeAt(ctx, roomID, ts, seen[0].First, seen[len(seen)-1].Last)
	if err != nil {
		return Item{}, false, err
	}
	intervals := slices.Clone(seen)
	if back {
		slices.Reverse(intervals)
	}
	tried := 0
	for _, in := range intervals {
		window := Interval{max(in.First, at-nearestWindow), in.Last}
		if back {
			window = Interval{in.First, min(in.Last, at+nearestWindow)}
		}
		if window.First > window.Last {
			continue
		}
		if tried++; tried > nearestGaps {
			break
		}
		items, err := g.windowOf(ctx, roomID, window, back)
		if err != nil {
			return Item{}, false, err
		}
		items = slices.DeleteFunc(items, func(it Item) bool { return hidden(it.Event) })
		if found, ok := nearestOf(items, ts, back); ok {
			return found, true, nil
		}
	}
	return Item{}, false, nil
}

// GapBeside reports whether there may be events that are nearer to a time than the
// one that Nearest found, because some are missing here between it and the next
// one in the other direction. The place is that of the event, 0 if there is none.
func (g *Engine) GapBeside(ctx context.Context, roomID id.RoomID, place int64, back bool) (gap bool, err error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return false, err
	}
	at, err := g.gapBeside(ctx, r, place, back)
	return at != 0, err
}

// windowOf reads events of an interval, from its beginning or its end.
func (g *Engine) windowOf(ctx context.Context, roomID id.RoomID, in Interval, back bool) ([]Item, error) {
	limit := int(min(in.Last-in.First+1, 2*nearestWindow))
	if back {
		return g.Back(ctx, roomID, in.Last, limit)
	}
	return g.Forward(ctx, roomID, in.First, limit)
}

// nearestOf returns the event nearest to a time in one direction. Of several of
// one time it is the first in that direction.
func nearestOf(items []Item, ts int64, back bool) (found Item, ok bool) {
	for _, it := range items {
		switch t := it.Event.OriginServerTS(); {
		case back && t > ts, !back && t < ts:
		case !ok, back && t > found.Event.OriginServerTS(), !back && t < found.Event.OriginServerTS():
			found, ok = it, true
		}
	}
	return found, ok
}

// placeAt returns about the first place between two in which a time had come, the
// place behind the last if it had not.
func (g *Engine) placeAt(ctx context.Context, roomID id.RoomID, ts, first, last int64) (int64, error) {
	for first <= last {
		middle := first + (last-first)/2
		items, err := g.Forward(ctx, roomID, max(first, middle-nearestProbe/2), nearestProbe)
		if err != nil {
			return 0, err
		}
		var times []int64
		for _, it := range items {
			times = append(times, it.Event.OriginServerTS())
		}
		if slices.Sort(times); len(times) > 0 && times[len(times)/2] < ts {
			first = middle + 1
		} else {
			last = middle - 1
		}
	}
	// Beside gaps there are no events for very many places.
	items, err := g.Forward(ctx, roomID, first, 1)
	if err != nil || len(items) == 0 {
		return first, err
	}
	return items[0].Place, nil
}
