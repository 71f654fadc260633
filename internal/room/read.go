package room

import (
	"context"
	"fmt"
	"iter"

	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// Event returns an event of a room by its ID, nil when the room has none such;
// redacted, if it was. It does not ask who may see it.
func (g *Engine) Event(ctx context.Context, roomID id.RoomID, eventID id.EventID) (*event.Event, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return nil, err
	}
	var found *event.Event
	err = g.db.View(ctx, func(tx *store.Tx) error {
		num, room, err := findEvent(tx, eventID)
		if err != nil || num == 0 || room != r.num {
			return err
		}
		found, err = readShown(tx, num, r.rules)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading event %s of %s: %w", eventID, roomID, err)
	}
	return found, nil
}

// State returns the event in a place of the current state, nil when there is
// none. It does not ask who may see it.
func (g *Engine) State(ctx context.Context, roomID id.RoomID, t event.Tuple) (*event.Event, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.trim()
	s := &snapshot{ctx: ctx, room: r, root: r.row.root}
	e := s.StateEvent(t)
	return e, s.fault
}

// FullState returns the whole current state, in no order.
func (g *Engine) FullState(ctx context.Context, roomID id.RoomID) ([]*event.Event, error) {
	return g.stateEvents(ctx, roomID, func(r *live) iter.Seq2[statetrie.Entry, error] {
		return statetrie.All(ctx, r.nodes, r.row.root)
	})
}

// Members returns the member events of the current state, in no order. It does
// not ask who may see them.
func (g *Engine) Members(ctx context.Context, roomID id.RoomID) ([]*event.Event, error) {
	return g.stateEvents(ctx, roomID, func(r *live) iter.Seq2[statetrie.Entry, error] {
		return statetrie.OfType(ctx, r.nodes, r.row.root, event.TypeMember)
	})
}

func (g *Engine) stateEvents(
	ctx context.Context, roomID id.RoomID, entries func(*live) iter.Seq2[statetrie.Entry, error],
) ([]*event.Event, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.trim()
	var events []*event.Event
	for entry, err := range entries(r) {
		if err != nil {
			return nil, fmt.Errorf("reading the state of %s: %w", roomID, err)
		}
		e, err := r.event(ctx, stateres.Num(entry.Number))
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}

// Back returns up to limit events of a room in its own order, from the newest
// before a place backwards; place 0 means from the end. It returns the place of
// the last event returned, to go on from. Events are redacted if they were. It does
// not ask who may see them.
func (g *Engine) Back(ctx context.Context, roomID id.RoomID, before int64, limit int) (events []*event.Event, place int64, err error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return nil, 0, err
	}
	if before == 0 {
		before = 1<<63 - 1
	}
	err = g.db.View(ctx, func(tx *store.Tx) error {
		nums, err := eventsBefore(tx, r.num, before, limit, &place)
		if err != nil {
			return err
		}
		for _, n := range nums {
			e, err := readShown(tx, n, r.rules)
			if err != nil {
				return err
			}
			events = append(events, e)
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("reading back in %s: %w", roomID, err)
	}
	return events, place, nil
}

// eventsBefore returns the numbers of the events before a place, newest first,
// and sets last to the place of the last of them.
func eventsBefore(tx *store.Tx, room Num, before int64, limit int, last *int64) (nums []stateres.Num, err error) {
	for row, err := range tx.Query(
		"SELECT event, place FROM events WHERE room = $1 AND place < $2 ORDER BY place DESC LIMIT $3", room, before, limit) {
		if err != nil {
			return nil, err
		}
		var n stateres.Num
		if err := row.Scan(&n, last); err != nil {
			return nil, err
		}
		nums = append(nums, n)
	}
	return nums, nil
}
