package receipt

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// The types of receipts.
const (
	TypeRead    = "m.read"
	TypePrivate = "m.read.private"
)

// ThreadMain is the thread of the events of a room that are in none.
const ThreadMain = "main"

// A Receipt says that a user has read a room, or a thread of it, up to and
// including an event.
type Receipt struct {
	User id.UserID
	Type string // TypeRead or TypePrivate
	// Thread is ThreadMain or the ID of the root of a thread; empty: whatever
	// the thread.
	Thread  string
	EventID id.EventID
	TS      int64 // when it was sent, in milliseconds since 1970
}

// At is where an event stands.
type At struct {
	Room  int64         // the number of the room
	Scope journal.Scope // of the room
	Mark
	// Thread is the thread that it is in: ThreadMain or the ID of its root.
	Thread string
	// InThread is the mark for a thread that is not the main one: it counts only
	// what is in the thread, and not apart what is in threads.
	InThread Mark
}

// A Mark is a place up to which a room was read, with what the room has counted
// until there.
type Mark struct {
	Place  int64 // in the room's own order
	Unread int64 // how many events up to it notify everybody
	Loud   int64 // how many of them are a highlight for everybody
	// ThreadedUnread and ThreadedLoud are the parts of these that are in threads.
	ThreadedUnread, ThreadedLoud int64
}

// A Locate finds an event of a room. The error is a M_NOT_FOUND when the room
// has none such, or is unknown.
type Locate func(ctx context.Context, room id.RoomID, event id.EventID) (At, error)

// Book is the receipts of all rooms. It is safe for concurrent use.
type Book struct {
	db      *store.DB
	journal *journal.Journal
	locate  Locate
	marks   *marks
}

// New returns the receipts in a database. It must be called before the journal
// runs.
func New(db *store.DB, j *journal.Journal, locate Locate) *Book {
	b := &Book{db: db, journal: j, locate: locate, marks: newMarks(mostMarks)}
	j.OnForeign(b.foreign)
	return b
}

// foreign drops what is known of rooms in which another node has put receipts.
func (b *Book) foreign(entries []journal.Entry) {
	for _, e := range entries {
		if e.Kind == journal.KindReceipt {
			b.marks.dropRoom(e.Ref)
		}
	}
}

// Put puts a receipt where it says, unless it stands there or further on
// already. It returns when the receipt is durable. An error is a *mxerr.Error
// when the user is to be told: that there is no such event, that the type makes no
// sense, or that the event is not in the thread. A receipt in a thread for its
// root, which is in the main one, is for nothing in it and changes nothing. Whether
// the user may be heard in the room is for the caller to know.
func (b *Book) Put(ctx context.Context, room id.RoomID, r Receipt) error {
	change, err := b.prepare(ctx, room, r)
	if change == nil || err != nil {
		return err
	}
	if _, err := b.journal.Append(ctx, change); err != nil {
		return fmt.Errorf("storing the receipt of %s in %s: %w", r.User, room, err)
	}
	return nil
}

// together is how many receipts are put in one append, which others wait for.
const together = 100

// PutAll is Put for several receipts of a room, in one commit unless they are many.
// Those that Put would refuse change nothing; the error is a fault.
func (b *Book) PutAll(ctx context.Context, room id.RoomID, list []Receipt) error {
	var changes []journal.Change
	for _, r := range list {
		change, err := b.prepare(ctx, room, r)
		if refused := (*mxerr.Error)(nil); err != nil && !errors.As(err, &refused) {
			return err
		}
		if change != nil {
			changes = append(changes, change)
		}
	}
	for some := range slices.Chunk(changes, together) {
		_, err := b.journal.Append(ctx, func(batch *journal.Batch) error {
			for _, change := range some {
				if err := change(batch); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("storing %d receipts in %s: %w", len(some), room, err)
		}
	}
	return nil
}

// prepare returns the change that puts a receipt, nil if it would not move.
func (b *Book) prepare(ctx context.Context, room id.RoomID, r Receipt) (journal.Change, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	at, err := b.locate(ctx, room, r.EventID)
	if err != nil {
		return nil, err
	}
	switch {
	case r.Thread == string(r.EventID):
		return nil, nil
	case r.Thread != "" && r.Thread != at.Thread:
		return nil, mxerr.New(mxerr.InvalidParam, "The event is not in the thread")
	case r.Thread != "" && r.Thread != ThreadMain:
		at.Mark = at.InThread
	}
	// Clients repeat themselves a lot. What is no news need not wait for a
	// commit.
	behind, err := b.behind(ctx, at, r)
	if behind {
		// What it is behind may have been committed this moment, and the mark of
		// before still be in memory.
		b.marks.drop(at.Room, r.User)
	}
	if err != nil || behind {
		return nil, err
	}
	return b.change(at, r), nil
}

func (r Receipt) check() error {
	if r.Type != TypeRead && r.Type != TypePrivate {
		return mxerr.New(mxerr.InvalidParam, "There is no such type of receipts")
	}
	if r.Thread == "" || r.Thread == ThreadMain {
		return nil
	}
	if _, err := id.ParseEventID(r.Thread); err != nil {
		return mxerr.New(mxerr.InvalidParam, "A thread is named by its root event or is main").Wrap(err)
	}
	return nil
}

// behind reports whether a receipt is no further on than what is stored.
func (b *Book) behind(ctx context.Context, at At, r Receipt) (behind bool, err error) {
	err = b.db.View(ctx, func(tx *store.Tx) error {
		place, found, err := readPlace(tx, at.Room, r)
		behind = found && place >= at.Place
		return err
	})
	return behind, err
}

// rowKey is the key of a row in a batch.
type rowKey struct {
	room         int64
	user         id.UserID
	kind, thread string
}

func (b *Book) change(at At, r Receipt) journal.Change {
	key := rowKey{at.Room, r.User, r.Type, r.Thread}
	scope := at.Scope
	if r.Type == TypePrivate {
		scope = journal.UserScope(r.User)
	}
	return func(batch *journal.Batch) error {
		place, found, err := int64(0), true, error(nil)
		if earlier, ok := batch.Memo(key); ok {
			place = earlier.(int64)
		} else if place, found, err = readPlace(batch, at.Room, r); err != nil {
			return err
		}
		if found && place >= at.Place {
			return nil
		}
		batch.Remember(key, at.Place)
		pos := batch.Append(scope, journal.KindReceipt, at.Room)
		batch.Write(key, func(tx *store.Tx) error { return put(tx, at, r, pos) })
		batch.Durable(func() { b.marks.drop(at.Room, r.User) })
		return nil
	}
}

// querier is what reads one row, in a transaction or in a batch.
type querier interface {
	Row(query string, args ...any) store.Row
}

func readPlace(q querier, room int64, r Receipt) (place int64, found bool, err error) {
	err = q.Row("SELECT place FROM receipts WHERE room = $1 AND user_id = $2 AND type = $3 AND thread = $4",
		room, r.User, r.Type, r.Thread).Scan(&place)
	switch {
	case errors.Is(err, store.ErrNoRows):
		return 0, false, nil
	case err != nil:
		return 0, false, fmt.Errorf("reading the receipt of %s in room %d: %w", r.User, room, err)
	}
	return place, true, nil
}

func put(tx *store.Tx, at At, r Receipt, pos journal.Position) error {
	_, err := tx.Exec(`
		INSERT INTO receipts (room, user_id, type, thread, event_id, ts, pos, place, unread, loud, threaded_unread, threaded_loud)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
		ON CONFLICT (room, user_id, type, thread) DO UPDATE SET event_id = excluded.event_id, ts = excluded.ts,
			pos = excluded.pos, place = excluded.place, unread = excluded.unread, loud = excluded.loud,
			threaded_unread = excluded.threaded_unread, threaded_loud = excluded.threaded_loud`,
		at.Room, r.User, r.Type, r.Thread, r.EventID, r.TS, pos, at.Place, at.Unread, at.Loud, at.ThreadedUnread, at.ThreadedLoud)
	if err != nil {
		return fmt.Errorf("storing the receipt of %s in room %d: %w", r.User, at.Room, err)
	}
	return nil
}
