package receipt

import (
	"context"
	"fmt"

	"parley/internal/store"
)

// Delete removes all receipts in a room that was deleted, some at a time, so that
// others can write in between.
func (b *Book) Delete(ctx context.Context, room int64) error {
	for {
		var gone int64
		err := b.db.Update(ctx, func(tx *store.Tx) (err error) {
			gone, err = tx.Exec(`
				DELETE FROM receipts WHERE (room, user_id, type, thread) IN (
					SELECT room, user_id, type, thread FROM receipts WHERE room = $1 LIMIT 500)`, room)
			return err
		})
		if err != nil {
			return fmt.Errorf("deleting the receipts of room %d: %w", room, err)
		}
		if gone == 0 {
			return nil
		}
	}
}
