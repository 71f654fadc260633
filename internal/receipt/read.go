package receipt

import (
	"context"
	"fmt"
	"maps"

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

// Marks is up to where a user has read a room, by whichever of the public and the
// private receipt stands further on.
type Marks struct {
	All  Mark // by those without a thread
	Main Mark // by those for the main one
	// Threads is by those for other threads, by their roots; only what stands
	// further on than All is in it.
	Threads map[id.EventID]Mark
}

// Marks returns, by the number of the room, up to where a user has read each
// room. Rooms in which there is no receipt of the user are not in it. What is
// durable when it is called is taken into account. The result must not be changed.
func (b *Book) Marks(ctx context.Context, user id.UserID, rooms []int64) (map[int64]Marks, error) {
	found := make(map[int64]Marks, len(rooms))
	missing := b.marks.get(user, rooms, found)
	if len(missing.rooms) == 0 {
		return found, nil
	}
	read := make(map[int64]Marks, len(missing.rooms))
	err := b.db.View(ctx, func(tx *store.Tx) error { return readMarks(tx, user, missing.rooms, read) })
	if err != nil {
		return nil, fmt.Errorf("reading up to where %s has read %d rooms: %w", user, len(missing.rooms), err)
	}
	for room, m := range read {
		maps.DeleteFunc(m.Threads, func(_ id.EventID, t Mark) bool { return t.Place <= m.All.Place })
		found[room] = m
	}
	b.marks.put(user, missing, read)
	return found, nil
}

func readMarks(tx *store.Tx, user id.UserID, rooms []int64, read map[int64]Marks) error {
	in, list := tx.In(2, rooms)
	for row, err := range tx.Query(`
		SELECT room, thread, place, unread, loud, threaded_unread, threaded_loud FROM receipts
		WHERE user_id = $1 AND room `+in, user, list) {
		if err != nil {
			return err
		}
		var room int64
		var thread string
		var m Mark
		if err := row.Scan(&room, &thread, &m.Place, &m.Unread, &m.Loud, &m.ThreadedUnread, &m.ThreadedLoud); err != nil {
			return err
		}
		read[room] = read[room].with(thread, m)
	}
	return nil
}

// with adds the mark of one receipt.
func (m Marks) with(thread string, mark Mark) Marks {
	switch root := id.EventID(thread); {
	case thread == "":
		m.All = further(m.All, mark)
	case thread == ThreadMain:
		m.Main = further(m.Main, mark)
	default:
		if m.Threads == nil {
			m.Threads = make(map[id.EventID]Mark)
		}
		m.Threads[root] = further(m.Threads[root], mark)
	}
	return m
}

func further(a, b Mark) Mark {
	if b.Place > a.Place {
		return b
	}
	return a
}
