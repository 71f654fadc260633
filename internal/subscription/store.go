package subscription

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"parley/internal/cache"
	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// ConflictingUnsubscription is the code for who has unsubscribed after the event that
// a client would subscribe because of.
const ConflictingUnsubscription mxerr.Code = "IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION"

// mostThreads is how many threads of a user are remembered.
const mostThreads = 50_000

// A Thread is one of a room, by its first event.
type Thread struct {
	Room id.RoomID
	Root id.EventID
}

// A Change is what a user has come to want of a thread last.
type Change struct {
	Thread
	Subscribed, Automatic bool
	Pos                   journal.Position
}

// Store keeps subscriptions. It is safe for concurrent use.
type Store struct {
	db      *store.DB
	journal *journal.Journal
	// number tells the number of a room, by which a journal entry names it.
	number  func(context.Context, id.RoomID) (int64, error)
	current *cache.Cache[id.UserID, threads]
	none    *Threads // for rooms in which a user subscribes to nothing
}

// New returns the subscriptions in a database. It must be made before the journal
// runs. An entry of the journal is about the room of which number tells the number.
func New(db *store.DB, j *journal.Journal, number func(context.Context, id.RoomID) (int64, error)) *Store {
	s := &Store{db, j, number, cache.New[id.UserID](threadsMemory, threads.weight), new(Threads)}
	j.OnForeign(s.foreign)
	return s
}

type threadKey struct {
	user id.UserID
	Thread
}

// current returns what a user wants as it is when all before is committed; Pos is 0 if
// there is nothing.
func current(b *journal.Batch, key threadKey) (Change, error) {
	if c, ok := b.Memo(key); ok {
		return c.(Change), nil
	}
	return read(b.Row, key)
}

func read(row func(string, ...any) store.Row, key threadKey) (Change, error) {
	c := Change{Thread: key.Thread}
	err := row("SELECT subscribed, automatic, pos FROM thread_subscriptions WHERE user_id = $1 AND room_id = $2 AND root = $3",
		key.user, key.Room, key.Root).Scan(&c.Subscribed, &c.Automatic, &c.Pos)
	if errors.Is(err, store.ErrNoRows) {
		err = nil
	}
	return c, err
}

// put writes a change, in the room with a number.
func (s *Store) put(b *journal.Batch, key threadKey, room int64, c Change) {
	c.Pos = b.Append(journal.UserScope(key.user), journal.KindSubscription, room)
	b.Remember(key, c)
	b.Durable(func() { s.changed(key, c.Subscribed) })
	b.Write(key, func(tx *store.Tx) error {
		return tx.Queue(`
			INSERT INTO thread_subscriptions (user_id, room_id, root, subscribed, automatic, pos) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (user_id, room_id, root) DO UPDATE SET
				subscribed = excluded.subscribed, automatic = excluded.automatic, pos = excluded.pos`,
			key.user, key.Room, key.Root, c.Subscribed, c.Automatic, c.Pos)
	})
}

// Subscribe subscribes a user to a thread. Cause, unless nil, is the position in the
// journal of the event because of which a client does it, 0 for one that was no news:
// then it is refused with [ConflictingUnsubscription] if the user has unsubscribed
// since, and takes nothing from what the user has done.
func (s *Store) Subscribe(ctx context.Context, user id.UserID, t Thread, cause *journal.Position) error {
	key := threadKey{user, t}
	room, err := s.number(ctx, t.Room)
	if err != nil {
		return err
	}
	_, err = s.journal.Append(ctx, func(b *journal.Batch) error {
		c, err := current(b, key)
		switch automatic := cause != nil; {
		case err != nil:
			return err
		case c.Subscribed && (automatic || !c.Automatic):
			return nil // which is what it is
		case automatic && c.Pos != 0 && !c.Subscribed && *cause <= c.Pos:
			return mxerr.New(ConflictingUnsubscription, "You have unsubscribed from the thread after that").WithStatus(409)
		case c.Pos == 0:
			if err := mayHaveMore(b, user); err != nil {
				return err
			}
		}
		c.Subscribed, c.Automatic = true, cause != nil
		s.put(b, key, room, c)
		return nil
	})
	if err != nil {
		return fmt.Errorf("subscribing %s to thread %s: %w", user, t.Root, err)
	}
	return nil
}

// mayHaveMore refuses a user of whom too many threads are remembered.
func mayHaveMore(b *journal.Batch, user id.UserID) error {
	var n int
	err := b.Row("SELECT count(*) FROM thread_subscriptions WHERE user_id = $1", user).Scan(&n)
	if err == nil && n >= mostThreads {
		err = mxerr.New(mxerr.Forbidden, "You cannot subscribe to more than %d threads", mostThreads)
	}
	return err
}

// Unsubscribe ends a subscription, if there is one.
func (s *Store) Unsubscribe(ctx context.Context, user id.UserID, t Thread) error {
	key := threadKey{user, t}
	room, err := s.number(ctx, t.Room)
	if err != nil {
		return err
	}
	_, err = s.journal.Append(ctx, func(b *journal.Batch) error {
		c, err := current(b, key)
		if err != nil || !c.Subscribed {
			return err
		}
		c.Subscribed, c.Automatic = false, false
		s.put(b, key, room, c)
		return nil
	})
	if err != nil {
		return fmt.Errorf("unsubscribing %s from thread %s: %w", user, t.Root, err)
	}
	return nil
}

// Get returns the subscription of a user to a thread, or a M_NOT_FOUND.
func (s *Store) Get(ctx context.Context, user id.UserID, t Thread) (c Change, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		c, err = read(tx.Row, threadKey{user, t})
		return err
	})
	if err != nil {
		return Change{}, fmt.Errorf("reading the subscription of %s to thread %s: %w", user, t.Root, err)
	}
	if !c.Subscribed {
		return Change{}, mxerr.New(mxerr.NotFound, "You are not subscribed to this thread")
	}
	return c, nil
}

// Since returns the threads of a user of which the last change lies behind a position
// of the journal, up to and including another, the newest first and no more than a
// limit. What was changed again later is left out. If there are more, next is the
// position to which to go on instead of to, else 0.
func (s *Store) Since(ctx context.Context, user id.UserID, from, to journal.Position, limit int) (list []Change, next journal.Position, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		list, err = store.Collect(tx.Query(`
			SELECT room_id, root, subscribed, automatic, pos FROM thread_subscriptions
			WHERE user_id = $1 AND pos > $2 AND pos <= $3 ORDER BY pos DESC LIMIT $4`, user, from, to, limit+1),
			func(scan func(...any) error) (c Change, err error) {
				err = scan(&c.Room, &c.Root, &c.Subscribed, &c.Automatic, &c.Pos)
				return c, err
			})
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("reading the thread subscriptions of %s from %d to %d: %w", user, from, to, err)
	}
	if len(list) > limit {
		next, list = list[limit].Pos, list[:limit]
	}
	return list, next, nil
}

type forgetKey struct {
	user id.UserID
	room id.RoomID
}

// Forget forgets all subscriptions of a user whose account was deactivated.
func (s *Store) Forget(ctx context.Context, user id.UserID) error {
	return s.delete(ctx, forgetKey{user: user}, "DELETE FROM thread_subscriptions WHERE user_id = $1", user)
}

// DeleteRoom forgets all subscriptions in a room that was deleted, of which clients are
// told with the room.
func (s *Store) DeleteRoom(ctx context.Context, room id.RoomID) error {
	return s.delete(ctx, forgetKey{room: room}, "DELETE FROM thread_subscriptions WHERE room_id = $1", room)
}

func (s *Store) delete(ctx context.Context, key forgetKey, query string, args ...any) error {
	_, err := s.journal.Append(ctx, func(b *journal.Batch) error {
		b.Write(key, func(tx *store.Tx) error { return tx.Queue(query, args...) })
		b.Durable(s.current.Clear)
		return nil
	})
	if err != nil {
		return fmt.Errorf("forgetting thread subscriptions: %w", err)
	}
	return nil
}

// Token returns the text by which clients name a position in the list of changes.
func Token(pos journal.Position) string { return "ts" + strconv.FormatInt(int64(pos), 10) }

// ParseToken reads what Token has written.
func ParseToken(token string) (journal.Position, error) {
	digits, ok := strings.CutPrefix(token, "ts")
	pos, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || pos < 0 {
		return 0, mxerr.New(mxerr.InvalidParam, "This token is none of thread subscriptions")
	}
	return journal.Position(pos), nil
}
