package devicelist

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"parley/internal/cache"
	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// Keys are the keys of a user and of the user's devices, as others may see them.
type Keys struct {
	// Devices has the devices that have keys.
	Devices map[id.DeviceID]Device
	// Master and SelfSigning are for cross-signing; nil: there is none.
	Master, SelfSigning canonjson.Value
}

// A Device is what others may know of one.
type Device struct {
	Name string // empty: none, or not for who asks
	Keys canonjson.Value
}

// Parts are what a store stands on.
type Parts struct {
	// Server is the name of this server.
	Server  id.ServerName
	DB      *store.DB
	Journal *journal.Journal
	Rooms   Rooms
	// Devices returns the devices of a local user.
	Devices func(ctx context.Context, user id.UserID) ([]id.DeviceID, error)
	// Keys returns the keys of a local user as other servers may see them. Nil: nobody
	// has any.
	Keys func(ctx context.Context, user id.UserID) (Keys, error)
	// Fetch asks the server of a user for the user's devices. The error is ErrRefused if
	// that has answered that there are none to be had.
	Fetch func(ctx context.Context, user id.UserID) (canonjson.Value, error)
	// Retry returns when a server is to be tried again that could not be reached.
	Retry func(id.ServerName) time.Time
	Log   *slog.Logger
}

// Rooms know who shares them.
type Rooms struct {
	// Scopes returns those of the rooms that a user is in.
	Scopes func(tx *store.Tx, user id.UserID) ([]journal.Scope, error)
	// KnownSince returns since when users share a room with users of this server.
	KnownSince func(tx *store.Tx, users []id.UserID) (map[id.UserID]journal.Position, error)
	// Sharers returns those of some users who share a room with a user.
	Sharers func(ctx context.Context, user id.UserID, among []id.UserID) ([]id.UserID, error)
	// Servers returns the other servers that have members in rooms that a user is in.
	Servers func(ctx context.Context, user id.UserID) ([]id.ServerName, error)
}

// Store is the device lists of a server as one node knows them. It is safe for
// concurrent use.
type Store struct {
	Parts
	lists *journal.UserChanges
	// seen has changes of other servers that were taken in lately.
	seen *cache.Cache[seen, struct{}]

	mu      sync.Mutex // guards what follows
	ctx     context.Context
	lines   map[id.ServerName]*line
	flights map[id.UserID]*flight
	working sync.WaitGroup
}

// seen is a change of another server, by its number.
type seen struct {
	user   id.UserID
	stream int64
}

const seenMemory = 2 << 20 // bytes

// New returns the device lists in a database. It must be called before the journal
// runs.
func New(p Parts) *Store {
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	if p.Keys == nil {
		p.Keys = func(context.Context, id.UserID) (Keys, error) { return Keys{}, nil }
	}
	s := &Store{
		Parts: p, seen: cache.New[seen](seenMemory, func(struct{}) int { return 150 }),
		lines: make(map[id.ServerName]*line), flights: make(map[id.UserID]*flight),
	}
	s.lists = p.Journal.UserChanges(journal.UserChangesParts{
		Kind: journal.KindDeviceList, Rooms: p.Rooms.Scopes, Between: s.ChangedBetween, Sharers: p.Rooms.Sharers,
	})
	return s
}

// refLocal is the reference of entries that are about local users.
const refLocal = 1

// changed names the change of a user's devices in a batch.
type changed struct{ user id.UserID }

// Changed adds to a batch that something has changed of the devices or keys of a
// user, who may be of another server: everyone who shares a room with the user is
// told. If that fails, so does the batch.
func (s *Store) Changed(b *journal.Batch, user id.UserID) { s.change(b, user) }

// change is Changed, and returns the position of the change.
func (s *Store) change(b *journal.Batch, user id.UserID) journal.Position {
	ref := int64(0)
	if user.Server() == s.Server {
		ref = refLocal
	}
	pos := s.lists.Append(b, user, ref)
	b.Write(changed{user}, func(tx *store.Tx) error {
		err := tx.Queue(`
			INSERT INTO device_lists (user_id, pos, stream) VALUES ($1, $2, $3)
			ON CONFLICT (user_id) DO UPDATE SET pos = excluded.pos`, user, pos, 0)
		if err != nil {
			return fmt.Errorf("storing that the devices of %s have changed: %w", user, err)
		}
		return nil
	})
	return pos
}

// Change is for package account: it does something in the transaction in which
// others learn of it, if it concerns them.
func (s *Store) Change(ctx context.Context, user id.UserID, concerns func(*store.Tx) (bool, error), do func(*store.Tx) error) error {
	_, err := s.Journal.Append(ctx, func(b *journal.Batch) error {
		var others bool
		err := b.Read(func(tx *store.Tx) (err error) {
			others, err = concerns(tx)
			return err
		})
		if err == nil && others {
			s.Changed(b, user)
		}
		b.Write(new(int), do)
		return err
	})
	return err
}

// Since returns the users whose devices have changed behind one position of the
// journal up to another, of those who share a room with a user, and the user. In
// tells whether the user is in a room, of which only its scope is known. Whoever
// came to share a room with the user since then need not be among them.
func (s *Store) Since(ctx context.Context, user id.UserID, in func(journal.Scope) bool, after, upTo journal.Position) ([]id.UserID, error) {
	return s.lists.Since(ctx, user, in, after, upTo)
}

// ChangedBetween returns all users whose devices have changed last behind one position of the
// journal, up to another.
func (s *Store) ChangedBetween(ctx context.Context, after, upTo journal.Position) (users []id.UserID, err error) {
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		users, err = store.List[id.UserID](tx, "SELECT user_id FROM device_lists WHERE pos > $1 AND pos <= $2", after, upTo)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading whose devices have changed from %d to %d: %w", after, upTo, err)
	}
	return users, nil
}
