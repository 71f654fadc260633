package room

import (
	"context"
	"errors"
	"fmt"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/stateres"
)

// remains is what is left of a room of which something was purged. The zero
// remains is all of it.
//
// What was purged is like what never was: from the moment on that is recorded
// here the history begins at place. Readers who began before that may still be
// under way, so the rows go later, see [Options.Grace].
type remains struct {
	deleted bool             // nothing is left
	busy    bool             // rows are being deleted
	place   int64            // the first that is left
	pos     journal.Position // of the first event from there on that was news
	event   stateres.Num     // the one in the first place
	began   journal.Position
	// gone is up to where everything is purged.
	gone Mark
	// events and bytes are what was deleted in all.
	events, bytes int64
}

const remainsColumns = `deleted, busy, place, pos, event, began, unread, loud, threaded_unread, threaded_loud, events, bytes`

// readRemains reads what is left of a room.
func readRemains(tx *store.Tx, room Num) (remains, error) {
	left, err := readAllRemains(tx, []Num{room})
	return left[room], err
}

// readAllRemains reads what is left of rooms. Of those of which nothing is gone there is
// nothing in the result.
func readAllRemains(tx *store.Tx, rooms []Num) (map[Num]remains, error) {
	left := make(map[Num]remains)
	in, list := tx.In(1, rooms)
	for row, err := range tx.Query("SELECT room, "+remainsColumns+" FROM room_remains WHERE room "+in, list) {
		if err != nil {
			return nil, err
		}
		var room Num
		var r remains
		if err := row.Scan(&room, &r.deleted, &r.busy, &r.place, &r.pos, &r.event, &r.began,
			&r.gone.Unread, &r.gone.Loud, &r.gone.Threaded.Unread, &r.gone.Threaded.Loud, &r.events, &r.bytes); err != nil {
			return nil, err
		}
		if r.place > 0 {
			r.gone.Place = r.place - 1
		}
		left[room] = r
	}
	return left, nil
}

func putRemains(tx *store.Tx, room Num, r remains) error {
	_, err := tx.Exec(`
		INSERT INTO room_remains (room, `+remainsColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
		ON CONFLICT (room) DO UPDATE SET deleted = excluded.deleted, busy = excluded.busy, place = excluded.place,
			pos = excluded.pos, event = excluded.event, began = excluded.began, unread = excluded.unread, loud = excluded.loud,
			threaded_unread = excluded.threaded_unread, threaded_loud = excluded.threaded_loud`,
		room, r.deleted, r.busy, r.place, r.pos, r.event, r.began,
		r.gone.Unread, r.gone.Loud, r.gone.Threaded.Unread, r.gone.Threaded.Loud, r.events, r.bytes)
	if err != nil {
		return fmt.Errorf("storing what is left of room %d: %w", room, err)
	}
	return nil
}

// moment adds to a moment what of the room is gone: purged, or too old to be shown.
func (r *live) moment(ctx context.Context, m Moment) (Moment, error) {
	if r.remains.place > 0 {
		m.gone = &r.remains.gone
	}
	faded, err := r.faded(ctx)
	if err == nil && faded != nil && faded.Place >= r.remains.place {
		m.gone = faded
	}
	return m, err
}

// lost reports whether an event is one that was purged, though its row may still
// be there: one that is shown by its place, others by their number.
func (r remains) lost(place int64, n stateres.Num) bool {
	if place != 0 {
		return place < r.place
	}
	return n < r.event
}

// Remembers reports whether what was purged of a room was all before a position.
// Otherwise what the room was then cannot be told any more.
func (g *Engine) Remembers(ctx context.Context, roomID id.RoomID, pos journal.Position) (bool, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return false, err
	}
	return pos >= r.remains.pos, nil
}

// IsGone reports whether an error says that a room is not there any more, or
// never was.
func IsGone(err error) bool { return errors.Is(err, mxerr.NotFound) }

// changeRemains records what is left of a room from now on, and has everybody
// forget what they know of it. What is decided on the room as it was is refused,
// because it may need what is not there any more. The error is errConflict if
// something is appended just now.
//
// When it has returned, who asks for the room gets what is left.
func (g *Engine) changeRemains(ctx context.Context, roomID id.RoomID, room Num, decide func(*journal.Batch, remains) (remains, error)) (remains, error) {
	change, err := g.numbers.above(ctx, nil)
	if err != nil {
		return remains{}, err
	}
	var after remains
	_, err = g.journal.Append(ctx, func(b *journal.Batch) error {
		if _, busy := b.Memo(room); busy {
			return errConflict
		}
		var before remains
		if err := b.Read(func(tx *store.Tx) (err error) { before, err = readRemains(tx, room); return err }); err != nil {
			return err
		}
		if after, err = decide(b, before); err != nil {
			return err
		}
		var pos journal.Position
		if err := b.Row("SELECT pos FROM rooms WHERE room = $1", room).Scan(&pos); err != nil {
			return fmt.Errorf("reading room %d: %w", room, err)
		}
		after.began = b.Append(room.Scope(), journal.KindPurge, int64(room))
		b.Remember(room, lastAppend{int64(change), pos})
		put := after
		b.Write(remainsKey{room}, func(tx *store.Tx) error {
			if _, err := tx.Exec("UPDATE rooms SET change = $2 WHERE room = $1", room, change); err != nil {
				return err
			}
			if put.deleted {
				// Who looks for rooms reads it past the room itself.
				if _, err := tx.Exec("DELETE FROM summaries WHERE room = $1", room); err != nil {
					return err
				}
			}
			return putRemains(tx, room, put)
		})
		b.Durable(func() { g.purged(roomID) })
		return nil
	})
	return after, err
}

type remainsKey struct{ room Num }

// purged forgets what is in memory of a room of which something was purged.
func (g *Engine) purged(roomID id.RoomID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.late(roomID)
	if e := g.rooms[roomID]; e != nil {
		g.drop(e)
	}
	g.graph.Clear()
	g.items.Clear()
	g.reads.Clear()
}
