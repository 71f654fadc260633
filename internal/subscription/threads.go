package subscription

import (
	"context"
	"fmt"
	"maps"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/id"
)

// threadsMemory is how many bytes subscriptions may take in memory.
const threadsMemory = 8 << 20

// Threads are those of a room that a user subscribes to. It does not change, and is
// another one when something has changed.
type Threads struct{ roots map[id.EventID]bool }

// Has reports whether the user subscribes to a thread.
func (t *Threads) Has(root id.EventID) bool { return t.roots[root] }

// threads are what is kept in memory of a user's subscriptions, by their rooms. The
// maps do not change.
type threads struct {
	known bool
	rooms map[id.RoomID]*Threads
}

func (t threads) weight() int {
	size := 200
	for _, in := range t.rooms {
		size += 200 + 80*len(in.roots)
	}
	return size
}

// In returns the threads of a room that a user subscribes to. What is durable when it
// is called is taken into account. It hardly ever asks the database.
func (s *Store) In(ctx context.Context, user id.UserID, room id.RoomID) (*Threads, error) {
	t, ok := s.current.Get(user)
	if !ok || !t.known {
		var err error
		if t, err = s.load(ctx, user); err != nil {
			return nil, err
		}
	}
	if in := t.rooms[room]; in != nil {
		return in, nil
	}
	return s.none, nil
}

func (s *Store) load(ctx context.Context, user id.UserID) (threads, error) {
	version := s.current.Version(user)
	t := threads{known: true, rooms: make(map[id.RoomID]*Threads)}
	err := s.db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query("SELECT room_id, root FROM thread_subscriptions WHERE user_id = $1 AND subscribed", user) {
			if err != nil {
				return err
			}
			var of Thread
			if err := row.Scan(&of.Room, &of.Root); err != nil {
				return err
			}
			if t.rooms[of.Room] == nil {
				t.rooms[of.Room] = &Threads{make(map[id.EventID]bool)}
			}
			t.rooms[of.Room].roots[of.Root] = true
		}
		return nil
	})
	if err != nil {
		return t, fmt.Errorf("reading the thread subscriptions of %s: %w", user, err)
	}
	s.current.PutSince(user, t, version)
	return t, nil
}

// changed takes over a change that is durable.
func (s *Store) changed(key threadKey, subscribed bool) {
	s.current.Change(key.user, func(t threads) threads {
		if !t.known {
			return t
		}
		roots := make(map[id.EventID]bool)
		if before := t.rooms[key.Room]; before != nil {
			maps.Copy(roots, before.roots)
		}
		if roots[key.Root] = true; !subscribed {
			delete(roots, key.Root)
		}
		rooms := maps.Clone(t.rooms)
		rooms[key.Room] = &Threads{roots}
		return threads{known: true, rooms: rooms}
	})
}

// foreign forgets what is in memory when another node has changed something.
func (s *Store) foreign(entries []journal.Entry) {
	for _, e := range entries {
		if e.Kind == journal.KindSubscription {
			s.current.Clear()
			return
		}
	}
}
