package room

import (
	"context"
	"fmt"

	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/roomver"
	"parley/matrix/stateres"
)

// A Stored is an event of whichever room, for who goes through those of many: it is
// read from the database, and nothing of it is kept in memory.
type Stored struct {
	Room  Num
	Num   stateres.Num
	Place int64
	// Event is the event as it came, though it may be redacted.
	Event    *event.Event
	Redacted bool
}

const selectStored = `
	SELECT e.event, e.room, e.event_id, e.place, e.redacted_by, e.json, rooms.version
	FROM events e JOIN rooms ON rooms.room = e.room LEFT JOIN room_remains gone ON gone.room = e.room
	WHERE e.place IS NOT NULL AND (gone.room IS NULL OR NOT gone.deleted AND e.place >= gone.place) AND `

// Stored returns those of some events that are in the timelines of their rooms, in no
// order. Whether they are too old to be shown it does not ask.
func (g *Engine) Stored(ctx context.Context, nums []stateres.Num) (list []Stored, err error) {
	if len(nums) == 0 {
		return nil, nil
	}
	err = g.db.View(ctx, func(tx *store.Tx) error {
		in, arg := tx.In(1, nums)
		list, err = scanStored(tx, "e.event "+in, arg)
		return err
	})
	if err != nil {
		err = fmt.Errorf("reading %d events: %w", len(nums), err)
	}
	return list, err
}

// StoredBehind is Stored for all events whose numbers are behind one, up to another, in
// their order and up to a limit.
func (g *Engine) StoredBehind(ctx context.Context, after, last stateres.Num, limit int) (list []Stored, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		list, err = scanStored(tx, "e.event > $1 AND e.event <= $2 ORDER BY e.event LIMIT $3", after, last, limit)
		return err
	})
	if err != nil {
		err = fmt.Errorf("reading the events behind %d: %w", after, err)
	}
	return list, err
}

// StoredByID is Stored for events of one room by their IDs.
func (g *Engine) StoredByID(ctx context.Context, room Num, ids []id.EventID) (list []Stored, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		in, arg := tx.In(2, ids)
		list, err = scanStored(tx, "e.room = $1 AND e.event_id "+in, room, arg)
		return err
	})
	if err != nil {
		err = fmt.Errorf("reading %d events of room %d: %w", len(ids), room, err)
	}
	return list, err
}

// LastStored returns the greatest number of an event, 0 if there is none.
func (g *Engine) LastStored(ctx context.Context) (last stateres.Num, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT coalesce(max(event), 0) FROM events").Scan(&last)
	})
	if err != nil {
		err = fmt.Errorf("reading the last event: %w", err)
	}
	return last, err
}

func scanStored(tx *store.Tx, where string, args ...any) (list []Stored, err error) {
	for row, err := range tx.Query(selectStored+where, args...) {
		if err != nil {
			return nil, err
		}
		var s Stored
		var eventID id.EventID
		var json []byte
		var because stateres.Num
		var version string
		if err := row.Scan(&s.Num, &s.Room, &eventID, &s.Place, &because, &json, &version); err != nil {
			return nil, err
		}
		rules, ok := roomver.Lookup(roomver.Version(version))
		if !ok {
			return nil, fmt.Errorf("event %d is of the unknown room version %q", s.Num, version)
		}
		s.Redacted = because != 0
		if s.Event, err = event.Load(json, eventID, rules); err != nil {
			return nil, fmt.Errorf("reading event %d: %w", s.Num, err)
		}
		list = append(list, s)
	}
	return list, nil
}

// Edited returns the event that an event is a replacement of by its form, if it is one.
func Edited(e *event.Event) (original id.EventID, ok bool) {
	relType, original, ok := relation(e)
	return original, ok && relType == relReplace && mayEdit(e)
}

// LastEdits returns for those of some events that were replaced by their senders which
// event did it last, by the numbers of both. Who may see that it does not ask.
// https://spec.matrix.org/v1.19/client-server-api/#validity-of-replacement-events
func (g *Engine) LastEdits(ctx context.Context, originals []Stored) (edits map[stateres.Num]stateres.Num, err error) {
	known := make(map[stateres.Num]Stored)
	var nums []stateres.Num
	for _, o := range originals {
		if _, isState := o.Event.StateKey(); !isState && mayBeEdited(o.Event) && !o.Redacted {
			known[o.Num] = o
			nums = append(nums, o.Num)
		}
	}
	if len(nums) == 0 {
		return nil, nil
	}
	edits = make(map[stateres.Num]stateres.Num)
	err = g.db.View(ctx, func(tx *store.Tx) error {
		in, list := tx.In(1, nums)
		// Of those of one time the one counts whose ID is the greatest.
		for row, err := range tx.Query(`
			SELECT e.event, r.child, r.type, r.sender FROM events e
			JOIN relations r ON r.room = e.room AND r.parent = e.event_id AND r.rel_type = 'm.replace'
			JOIN events c ON c.event = r.child
			WHERE e.event `+in+` AND r.edits ORDER BY r.ts, c.event_id`, list) {
			if err != nil {
				return err
			}
			var original, child stateres.Num
			var eventType string
			var sender id.UserID
			if err := row.Scan(&original, &child, &eventType, &sender); err != nil {
				return err
			}
			if e := known[original].Event; sender == e.Sender() && eventType == e.Type() {
				edits[original] = child
			}
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("looking for edits of %d events: %w", len(nums), err)
	}
	return edits, err
}

// Unfaded returns those of some events that are not too old to be shown.
func (g *Engine) Unfaded(ctx context.Context, list []Stored) ([]Stored, error) {
	if !g.retention.Enabled {
		return list, nil
	}
	cutoffs := make(map[Num]int64)
	var left []Stored
	for _, s := range list {
		cutoff, known := cutoffs[s.Room]
		if !known {
			r, err := g.room(ctx, s.Event.RoomID())
			if IsGone(err) {
				continue
			}
			if err == nil {
				cutoff, err = r.cutoff(ctx)
			}
			if err != nil {
				return nil, err
			}
			cutoffs[s.Room] = cutoff
		}
		if !expired(Item{Event: s.Event}, cutoff) {
			left = append(left, s)
		}
	}
	return left, nil
}

// Extant returns the first place of a room of which there is something left, or that it
// was deleted.
func (g *Engine) Extant(ctx context.Context, room Num) (first int64, deleted bool, err error) {
	var left remains
	err = g.db.View(ctx, func(tx *store.Tx) error {
		left, err = readRemains(tx, room)
		return err
	})
	if err != nil {
		err = fmt.Errorf("reading what is left of room %d: %w", room, err)
	}
	return left.place, left.deleted, err
}

// Seen returns what of the histories of rooms a user may see, as [Sight] says it of
// one, for rooms that the user has not forgotten.
func (g *Engine) Seen(ctx context.Context, user id.UserID, rooms []Num) (map[Num][]Interval, error) {
	var all map[Num]viewpoint
	err := g.db.View(ctx, func(tx *store.Tx) (err error) {
		all, err = readViewpoints(tx, user, Last, rooms...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading what %s sees of %d rooms: %w", user, len(rooms), err)
	}
	seen := make(map[Num][]Interval, len(rooms))
	for _, room := range rooms {
		seen[room] = all[room].sight(Moment{Place: Last}).Intervals
	}
	return seen, nil
}
