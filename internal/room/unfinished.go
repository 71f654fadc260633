package room

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/id"
)

// A room may be too much for one commit: what another server hands over, before
// the join is there that refers to it, or the first of the events of a room that is
// to replace another. It is noted before it is begun, and not any more with the
// commit that ends it. What is noted for long was interrupted, and whoever tries it
// again begins another one.

// finishTime is after what time a room is not finished any more. Nothing takes nearly
// as long.
const finishTime = 24 * time.Hour

// unfinishedKey names a note in a batch.
type unfinishedKey struct{ room Num }

// beginRoom notes that a room is being made.
func (g *Engine) beginRoom(ctx context.Context, room Num) error {
	err := g.db.Update(ctx, func(tx *store.Tx) error { return putUnfinished(tx, room, 0) })
	if err != nil {
		return fmt.Errorf("noting that room %d is being made: %w", room, err)
	}
	return nil
}

// goOnWithRoom is beginRoom in a batch, in which a room gets events and not the last.
func goOnWithRoom(b *journal.Batch, room Num, place int64) {
	b.Write(unfinishedKey{room}, func(tx *store.Tx) error { return putUnfinished(tx, room, place) })
}

func putUnfinished(tx *store.Tx, room Num, place int64) error {
	return tx.Queue(`
		INSERT INTO unfinished_rooms (room, begun, place) VALUES ($1, $2, $3)
		ON CONFLICT (room) DO UPDATE SET place = excluded.place`, room, time.Now().UnixMilli(), place)
}

// finishRoom adds to the batch that a room is whole.
func finishRoom(b *journal.Batch, room Num) {
	b.Write(unfinishedKey{room}, func(tx *store.Tx) error { return deleteUnfinished(tx, room) })
}

func deleteUnfinished(tx *store.Tx, room Num) error {
	return tx.Queue("DELETE FROM unfinished_rooms WHERE room = $1", room)
}

// ForgetUnfinished removes the rooms that were begun and never finished.
func (g *Engine) ForgetUnfinished(ctx context.Context) error {
	var rooms []Num
	err := g.db.View(ctx, func(tx *store.Tx) (err error) {
		rooms, err = store.List[Num](tx, "SELECT room FROM unfinished_rooms WHERE begun < $1", time.Now().Add(-finishTime).UnixMilli())
		return err
	})
	for _, room := range rooms {
		if err == nil {
			err = g.forgetUnfinished(ctx, room)
		}
	}
	if err != nil {
		return fmt.Errorf("removing rooms that were not finished: %w", err)
	}
	return nil
}

// forgetUnfinished removes one. One that is there is deleted as others are, unless
// somebody has taken to it; of another all that was stored.
func (g *Engine) forgetUnfinished(ctx context.Context, room Num) error {
	var roomID id.RoomID
	var used bool
	err := g.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row(`
			SELECT rooms.room_id, rooms.place > unfinished_rooms.place
			FROM rooms JOIN unfinished_rooms ON unfinished_rooms.room = rooms.room WHERE rooms.room = $1`, room).Scan(&roomID, &used)
	})
	switch {
	case errors.Is(err, store.ErrNoRows):
		return g.deleteUnfinished(ctx, room)
	case err == nil && !used:
		_, err = g.Delete(ctx, roomID, Deletion{Purge: true, Force: true})
	}
	if err != nil && !IsGone(err) { // which a crash here has left to be found once more
		return err
	}
	return g.db.Update(ctx, func(tx *store.Tx) error { return deleteUnfinished(tx, room) })
}

// deleteUnfinished deletes what was stored for a room that has not come about.
func (g *Engine) deleteUnfinished(ctx context.Context, room Num) error {
	for _, t := range []struct{ table, key string }{
		{"events", "event"}, {"state_nodes", "room, address"}, {"sights", "room, user_id, place"}, {"room_servers", "room, server"}, {"memberships", "user_id, room"},
	} {
		if err := g.deleteOf(ctx, room, t.table, t.key, "", nil); err != nil {
			return err
		}
	}
	return g.db.Update(ctx, func(tx *store.Tx) error { return deleteUnfinished(tx, room) })
}
