package room

import (
	"context"
	"fmt"
	"math"
	"slices"

	"parley/internal/journal"
	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// None of the methods in this file ask who may see what they return.

// Last is behind the last place of every room.
const Last int64 = math.MaxInt64

// At returns a room as it is at a position of the journal, which must be visible.
func (g *Engine) At(ctx context.Context, roomID id.RoomID, pos journal.Position) (Moment, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return Moment{}, err
	}
	if m, ok := r.recent.at(pos); ok {
		return r.moment(ctx, m)
	}
	m, err := g.longAgo(ctx, r, pos)
	if err != nil {
		return Moment{}, err
	}
	members, err := g.StateOfType(ctx, roomID, m.Root, event.TypeMember)
	var row record
	for _, it := range members {
		if user, _ := it.Event.StateKey(); isUser(user) {
			row.count(it.Event, 1)
		}
	}
	m.Joined, m.Invited = row.joined, row.invited
	return m, err
}

// Before is At without Joined and Invited, which are dear for a moment long ago.
// Of a moment that the room does not remember, see [Engine.Remembers], only the
// place of the last event that was purged is known.
func (g *Engine) Before(ctx context.Context, roomID id.RoomID, pos journal.Position) (Moment, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return Moment{}, err
	}
	if pos < r.remains.pos {
		return r.moment(ctx, Moment{Place: r.remains.gone.Place})
	}
	if m, ok := r.recent.at(pos); ok {
		return r.moment(ctx, m)
	}
	return g.longAgo(ctx, r, pos)
}

// longAgo is Before for positions that are no longer in memory: there are later
// events than what is wanted. It starts from them, because earlier entries of the
// journal may be gone.
func (g *Engine) longAgo(ctx context.Context, r *live, pos journal.Position) (Moment, error) {
	found, err := g.readItems(ctx, r, `
		WHERE e.room = $1 AND e.pos IS NOT NULL AND e.place < coalesce((
			SELECT later.place FROM journal j JOIN events later ON later.event = j.ref
			WHERE j.scope = $2 AND j.kind = $3 AND j.pos > $4 AND later.place IS NOT NULL ORDER BY j.pos LIMIT 1), $5)
		ORDER BY e.place DESC LIMIT 1`,
		r.num, r.num.Scope(), journal.KindEvent, pos, Last)
	if err != nil || len(found) == 0 {
		return Moment{}, err
	}
	it := found[0]
	return r.moment(ctx, Moment{Pos: it.Pos, Place: it.Place, Root: it.Current, Total: it.Total, Threaded: it.Threaded})
}

// Now returns a room as it is.
func (g *Engine) Now(ctx context.Context, roomID id.RoomID) (Moment, error) {
	return g.At(ctx, roomID, g.journal.Head())
}

// Own returns the member event that said what a user was to a room from a place on,
// with that place and the states before and after it. Where branches came together
// it is an earlier event than the one in the place; before one that was put into a gap
// there is none in the place, and the states are those of the member event. ok is false
// when it is gone.
// Unlike others it is there even where the history was purged, as long as it
// is what the user is to the room. The states before and after it are not known
// any more then, unless it is an invite or a knock of a local user.
func (g *Engine) Own(ctx context.Context, roomID id.RoomID, user id.UserID, place int64) (it Item, ok bool, err error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return Item{}, false, err
	}
	there := r.recent.upTo(place, 1)
	if len(there) == 0 || there[0].Place != place {
		if there, err = g.readItems(ctx, r, "WHERE e.room = $1 AND e.place = $2", r.num, place); err != nil {
			return Item{}, false, err
		}
	}
	if len(there) > 0 && there[0].Event.IsState(event.TypeMember, string(user)) {
		return there[0], true, nil
	}
	own, err := g.readItems(ctx, r, "JOIN sights s ON s.event = e.event WHERE s.room = $1 AND s.user_id = $2 AND s.place = $3", r.num, user, place)
	if err != nil || len(own) == 0 {
		return Item{}, false, err
	}
	it = own[0]
	if it.Place = place; len(there) > 0 {
		it.Pos, it.Before, it.Current = there[0].Pos, there[0].Before, there[0].Current
	}
	return it, true, nil
}

// Item returns an event of a room by its ID; ok is false when the room has none
// such, or it was not accepted. State that is still needed is there even where the
// history was purged.
func (g *Engine) Item(ctx context.Context, roomID id.RoomID, eventID id.EventID) (it Item, ok bool, err error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return Item{}, false, err
	}
	found, err := g.readItems(ctx, r, "WHERE e.event_id = $1 AND e.room = $2 AND e.place IS NOT NULL", eventID, r.num)
	if err != nil || len(found) == 0 {
		return Item{}, false, err
	}
	it = found[0]
	if cutoff, err := r.cutoff(ctx); err != nil || expired(it, cutoff) {
		return Item{}, false, err
	}
	if _, isState := it.Event.Tuple(); it.Place < r.remains.place && !isState {
		return Item{}, false, nil // its row is about to go
	} else if it.Place < r.remains.place {
		it.Before, it.Current = statetrie.Root{}, statetrie.Root{}
	}
	return it, true, nil
}

// RoomsWith returns the rooms that have an event with an ID: one, unless servers
// choose the IDs of their events and this one was chosen twice.
func (g *Engine) RoomsWith(ctx context.Context, eventID id.EventID) (rooms []id.RoomID, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		rooms, err = store.List[id.RoomID](tx, "SELECT r.room_id FROM events e JOIN rooms r ON r.room = e.room WHERE e.event_id = $1 ORDER BY r.room", eventID)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for the room of %s: %w", eventID, err)
	}
	return rooms, nil
}

// Items returns events of a room by their numbers. That one is missing is an
// error.
func (g *Engine) Items(ctx context.Context, roomID id.RoomID, nums []stateres.Num) ([]Item, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return nil, err
	}
	return g.itemsOf(ctx, r, nums)
}

// ItemsLeft is Items without those that were purged.
func (g *Engine) ItemsLeft(ctx context.Context, roomID id.RoomID, nums []stateres.Num) ([]Item, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return nil, err
	}
	list, err := g.itemsFound(ctx, r, nums)
	return slices.DeleteFunc(list, func(it Item) bool { return it.Event == nil }), err
}

// ItemsShown is Items with only those that are shown, in the timeline.
func (g *Engine) ItemsShown(ctx context.Context, roomID id.RoomID, nums []stateres.Num) ([]Item, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return nil, err
	}
	list, err := g.itemsFound(ctx, r, nums)
	if err != nil {
		return nil, err
	}
	return r.unexpired(ctx, slices.DeleteFunc(list, func(it Item) bool { return it.Event == nil || it.Place < r.remains.place }))
}

func (g *Engine) itemsOf(ctx context.Context, r *live, nums []stateres.Num) ([]Item, error) {
	list, err := g.itemsFound(ctx, r, nums)
	if err != nil {
		return nil, err
	}
	for i, it := range list {
		if it.Event == nil {
			return nil, fmt.Errorf("reading event %d of %s: %w", nums[i], r.id, store.ErrNoRows)
		}
	}
	return list, nil
}

// itemsFound returns events by their numbers, without an event where one is
// missing.
func (g *Engine) itemsFound(ctx context.Context, r *live, nums []stateres.Num) ([]Item, error) {
	list := make([]Item, len(nums))
	missing := make(map[stateres.Num]uint64) // with the versions in the cache
	for i, n := range nums {
		var ok bool
		if list[i], ok = g.items.Get(n); !ok {
			missing[n] = g.items.Version(n)
		}
	}
	if len(missing) == 0 {
		return list, nil
	}
	found := make(map[stateres.Num]Item, len(missing))
	err := g.db.View(ctx, func(tx *store.Tx) error {
		var wanted []stateres.Num
		for n := range missing {
			wanted = append(wanted, n)
		}
		in, arg := tx.In(1, wanted)
		items, err := scanItems(tx, r, "WHERE e.event "+in, arg)
		for _, it := range items {
			found[it.Num] = it
			g.items.PutSince(it.Num, it, missing[it.Num])
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading events of %s: %w", r.id, err)
	}
	for i, n := range nums {
		if list[i].Event == nil {
			list[i] = found[n]
		}
	}
	return list, nil
}

// Back returns up to limit events of a room in its own order, from a place
// backwards, that of the place first. They may be further back than that by more
// than limit, as with Forward.
func (g *Engine) Back(ctx context.Context, roomID id.RoomID, place int64, limit int) ([]Item, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return nil, err
	}
	for {
		raw, err := g.back(ctx, r, place, limit)
		if err != nil || len(raw) == 0 {
			return raw, err
		}
		place = raw[len(raw)-1].Place - 1
		if list, err := r.unexpired(ctx, raw); err != nil || len(list) > 0 {
			return list, err
		}
	}
}

// back is Back with what is too old to be shown.
func (g *Engine) back(ctx context.Context, r *live, place int64, limit int) ([]Item, error) {
	list := r.recent.upTo(place, limit)
	if n := len(list); n > 0 {
		place = list[n-1].Place - 1
	}
	if len(list) == limit {
		return list, nil
	}
	rest, err := g.readItems(ctx, r,
		"WHERE e.room = $1 AND e.place <= $2 AND e.place >= $4 ORDER BY e.place DESC LIMIT $3",
		r.num, place, limit-len(list), r.remains.place)
	return append(list, rest...), err
}

// StateBehind returns the state of a room behind a place; ok is false where there is
// nothing before it, or nothing left.
func (g *Engine) StateBehind(ctx context.Context, roomID id.RoomID, place int64) (root statetrie.Root, ok bool, err error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return statetrie.Root{}, false, err
	}
	list, err := g.back(ctx, r, place, 1)
	if err != nil || len(list) == 0 {
		return statetrie.Root{}, false, err
	}
	return list[0].Current, true, nil
}

// Forward returns up to limit events of a room in its own order, from a place on.
// They may be further on than that by more than limit: what was purged, and what is
// too old to be shown, is passed over.
func (g *Engine) Forward(ctx context.Context, roomID id.RoomID, place int64, limit int) ([]Item, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return nil, err
	}
	for {
		raw, err := g.forward(ctx, r, place, limit)
		if err != nil || len(raw) == 0 {
			return raw, err
		}
		place = raw[len(raw)-1].Place + 1
		if list, err := r.unexpired(ctx, raw); err != nil || len(list) > 0 {
			return list, err
		}
	}
}

// forward is Forward with what is too old to be shown.
func (g *Engine) forward(ctx context.Context, r *live, place int64, limit int) ([]Item, error) {
	place = max(place, r.remains.place)
	if list, ok := r.recent.from(place, limit); ok {
		return list, nil
	}
	return g.readItems(ctx, r, "WHERE e.room = $1 AND e.place >= $2 ORDER BY e.place LIMIT $3", r.num, place, limit)
}
