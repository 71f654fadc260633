package receipt

import (
	"context"
	"fmt"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/id"
)

// Since returns, by the number of the room, the receipts that a user may see and
// that changed last behind a position of the journal, up to and including
// another. Rooms without such are not in it. Nothing is said of the order of
// receipts.
func (b *Book) Since(ctx context.Context, rooms []int64, viewer id.UserID, after, upTo journal.Position) (map[int64][]Receipt, error) {
	found := make(map[int64][]Receipt)
	if len(rooms) == 0 || after >= upTo {
		return found, nil
	}
	err := b.db.View(ctx, func(tx *store.Tx) error {
		in, list := tx.In(5, rooms)
		for row, err := range tx.Query(`
			SELECT room, user_id, type, thread, event_id, ts FROM receipts
			WHERE room `+in+` AND pos > $1 AND pos <= $2 AND (type <> $3 OR user_id = $4)`,
			after, upTo, TypePrivate, viewer, list) {
			if err != nil {
				return err
			}
			var room int64
			var r Receipt
			if err := row.Scan(&room, &r.User, &r.Type, &r.Thread, &r.EventID, &r.TS); err != nil {
				return err
			}
			found[room] = append(found[room], r)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the receipts of %d rooms: %w", len(rooms), err)
	}
	return found, nil
}

// All is Since from the beginning of the journal on.
func (b *Book) All(ctx context.Context, rooms []int64, viewer id.UserID, upTo journal.Position) (map[int64][]Receipt, error) {
	return b.Since(ctx, rooms, viewer, 0, upTo)
}

// Marks returns, by the number of the room, up to where a user has read each
// room: whichever of the public and the private receipt stands further on, of
// those without a thread and those for the main one. Rooms in which there is
// none such are not in it. What is durable when it is called is taken into
// account.
func (b *Book) Marks(ctx context.Context, user id.UserID, rooms []int64) (map[int64]Mark, error) {
	found := make(map[int64]Mark, len(rooms))
	missing := b.marks.get(user, rooms, found)
	if len(missing.rooms) == 0 {
		return found, nil
	}
	read := make(map[int64]Mark, len(missing.rooms))
	err := b.db.View(ctx, func(tx *store.Tx) error {
		in, list := tx.In(4, missing.rooms)
		for row, err := range tx.Query(`
			SELECT room, place, unread, loud FROM receipts
			WHERE user_id = $1 AND room `+in+` AND thread IN ($2, $3)`, user, "", ThreadMain, list) {
			if err != nil {
				return err
			}
			var room int64
			var m Mark
			if err := row.Scan(&room, &m.Place, &m.Unread, &m.Loud); err != nil {
				return err
			}
			if earlier, ok := read[room]; !ok || m.Place > earlier.Place {
				read[room] = m
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading up to where %s has read %d rooms: %w", user, len(missing.rooms), err)
	}
	for room, m := range read {
		found[room] = m
	}
	b.marks.put(user, missing, read)
	return found, nil
}
