package alias

import (
	"context"
	"fmt"
	"time"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/id"
)

// Publish puts a room into the directory, or takes it out.
func (d *Directory) Publish(ctx context.Context, room id.RoomID, published bool) error {
	err := d.db.Update(ctx, func(tx *store.Tx) (err error) {
		if published {
			err = publish(tx, room)
		} else {
			_, err = tx.Exec("DELETE FROM published_rooms WHERE room_id = $1", room)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("publishing %s (%v): %w", room, published, err)
	}
	return nil
}

func publish(tx *store.Tx, room id.RoomID) error {
	_, err := tx.Exec(`
		INSERT INTO published_rooms (room_id, published) VALUES ($1, $2)
		ON CONFLICT (room_id) DO NOTHING`, room, time.Now().UnixMilli())
	return err
}

// publishKey names a place in the directory in a batch.
type publishKey struct{ room id.RoomID }

// PublishWith puts a room into the directory in a batch, that which makes it.
func (d *Directory) PublishWith(b *journal.Batch, room id.RoomID) {
	b.Write(publishKey{room}, func(tx *store.Tx) error { return publish(tx, room) })
}

// IsPublished reports whether a room is in the directory.
func (d *Directory) IsPublished(ctx context.Context, room id.RoomID) (bool, error) {
	var count int64
	err := d.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT count(*) FROM published_rooms WHERE room_id = $1", room).Scan(&count)
	})
	if err != nil {
		return false, fmt.Errorf("looking for %s in the directory: %w", room, err)
	}
	return count > 0, nil
}

// Published returns the rooms in the directory, in no order.
func (d *Directory) Published(ctx context.Context) ([]id.RoomID, error) {
	rooms, err := list[id.RoomID](ctx, d.db, "SELECT room_id FROM published_rooms")
	if err != nil {
		return nil, fmt.Errorf("reading the directory: %w", err)
	}
	return rooms, nil
}
