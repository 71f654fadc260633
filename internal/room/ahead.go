package room

import (
	"context"
	"fmt"
	"slices"

	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// readahead is what was read of the database before several events are received, so that
// it is asked once for all of them. It holds while the lock of the room is held: what
// the room gets meanwhile is pending.
type readahead struct {
	// events are those that they are or refer to; without a number, the room does not
	// have it.
	events map[id.EventID]found
	// early are the redactions of them that came before.
	early map[id.EventID][]stateres.Num
}

// find returns an event, if it was looked for.
func (x *readahead) find(eventID id.EventID) (f found, read bool) {
	if x != nil {
		f, read = x.events[eventID]
	}
	return f, read
}

// redactions returns the redactions of an event, if they were looked for.
func (x *readahead) redactions(eventID id.EventID) (early []stateres.Num, read bool) {
	if x != nil {
		early, read = x.early[eventID]
	}
	return early, read
}

// readAhead reads what events refer to, and what is needed of that which authorises
// them. The caller holds mu.
func (r *live) readAhead(ctx context.Context, events []*event.Event) (*readahead, error) {
	x := &readahead{events: make(map[id.EventID]found), early: make(map[id.EventID][]stateres.Num)}
	var own, ids []id.EventID
	for _, e := range events {
		own, x.early[e.ID()] = append(own, e.ID()), nil
		for _, eventID := range slices.Concat([]id.EventID{e.ID()}, e.PrevEvents(), e.AuthEvents()) {
			if _, ok := x.events[eventID]; !ok {
				x.events[eventID] = found{}
				ids = append(ids, eventID)
			}
		}
	}
	err := r.engine.db.View(ctx, func(tx *store.Tx) error {
		if err := findEvents(tx, r.num, ids, x.events); err != nil {
			return err
		}
		in, list := tx.In(2, own)
		for row, err := range tx.Query("SELECT target, event FROM early_redactions WHERE room = $1 AND target "+in, r.num, list) {
			if err != nil {
				return err
			}
			var target id.EventID
			var n stateres.Num
			if err := row.Scan(&target, &n); err != nil {
				return err
			}
			x.early[target] = append(x.early[target], n)
		}
		return r.readAuth(tx, events, x.events)
	})
	if err != nil {
		return nil, fmt.Errorf("reading what %d events of %s refer to: %w", len(events), r.id, err)
	}
	return x, nil
}

// findEvents adds those of some events that a room has.
func findEvents(tx *store.Tx, room Num, ids []id.EventID, all map[id.EventID]found) error {
	in, list := tx.In(2, ids)
	for row, err := range tx.Query("SELECT event_id, event, "+isOutlier+" FROM events WHERE room = $1 AND event_id "+in, room, list) {
		if err != nil {
			return err
		}
		var eventID id.EventID
		var f found
		if err := row.Scan(&eventID, &f.num, &f.outlier); err != nil {
			return err
		}
		all[eventID] = f
	}
	return nil
}

// readAuth brings what authorises events into memory, as far as it was found.
func (r *live) readAuth(tx *store.Tx, events []*event.Event, all map[id.EventID]found) error {
	var missing []stateres.Num
	for _, e := range events {
		for _, eventID := range e.AuthEvents() {
			n := all[eventID].num
			if n == 0 {
				continue
			}
			_, loaded := r.engine.events.Get(n)
			if _, known := r.recall(n); !loaded || !known {
				missing = append(missing, n)
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	in, list := tx.In(1, slices.Compact(missing))
	for row, err := range tx.Query("SELECT event, event_id, json, status, auth, before, follows, "+isOutlier+" FROM events WHERE event "+in, list) {
		if err != nil {
			return err
		}
		var n stateres.Num
		var eventID id.EventID
		var k known
		var json, auth, follows []byte
		if err := row.Scan(&n, &eventID, &json, &k.status, &auth, &k.before, &follows, &k.outlier); err != nil {
			return err
		}
		e, err := event.Load(json, eventID, r.rules)
		if err != nil {
			return fmt.Errorf("reading event %d: %w", n, err)
		}
		if k.auth, err = decodeNums(auth); err != nil {
			return err
		}
		if k.follows, err = decodeNums(follows); err != nil {
			return err
		}
		r.engine.events.Put(n, e)
		r.keep(n, k)
	}
	return nil
}
