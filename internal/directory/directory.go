package directory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"parley/internal/journal"
	"parley/internal/room"
	"parley/internal/store"
	"parley/internal/textindex"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// Parts are what a directory stands on.
type Parts struct {
	// Server is the name of this server.
	Server  id.ServerName
	DB      *store.DB
	Journal *journal.Journal
	Rooms   *room.Engine
	// Locals returns users of this server whose IDs are behind one, in their order and up
	// to a limit, and Listed which of some users of this server others may find: whose
	// accounts are in use, and not guests'.
	Locals func(ctx context.Context, after id.UserID, limit int) ([]id.UserID, error)
	Listed func(ctx context.Context, users []id.UserID) (map[id.UserID]bool, error)
	// Profile returns the profile of a user of this server.
	Profile func(ctx context.Context, user id.UserID) (canonjson.Value, error)
	// All says that everybody finds everybody.
	All bool
	// Log gets what keeps the directory from following. Nil: nobody does.
	Log *slog.Logger
}

// Directory is the directory of users. It is safe for concurrent use.
type Directory struct {
	Parts
	names *textindex.Index
	hurry chan struct{} // has room for one signal that somebody waits

	writing sync.Mutex // is held by who changes the directory, and guards stored
	stored  journal.Position
	mu      sync.Mutex // guards what follows
	cursor  *journal.Cursor
	moved   chan struct{} // is closed, and replaced, when the cursor has moved
	noted   time.Time     // when there was a note last
	fill    fill
}

// cursorName is that of the directory in the journal.
const cursorName = "directory"

// How the directory follows.
const (
	blockSize = 1024 // users in a block of the index
	chunk     = 500  // users, or entries, that are looked at together
	// indexedRooms is in how many rooms it is looked how a user of another server is called.
	indexedRooms = 8
	// pace is how long the directory waits for more, unless somebody looks for users.
	pace = 250 * time.Millisecond
	idle = time.Second
	// patience is how long a search waits for the directory.
	patience = time.Second
	// settling is how long after a note there may be one that is not committed yet.
	settling = 10 * time.Second
	// storeEvery is after how many entries it is stored that they concern nobody: to go
	// through them again costs less than a commit.
	storeEvery = 10_000
	// tidyAfter is how long a name that is not true any more may be in lists.
	tidyAfter = time.Minute
)

// New returns a directory. It finds nobody before Run.
func New(p Parts) *Directory {
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	return &Directory{
		Parts: p, names: textindex.New(p.DB, textindex.Users, blockSize), hurry: make(chan struct{}, 1), moved: make(chan struct{}),
		noted: time.Now(), // perhaps, before a restart
	}
}

// Note notes, in the transaction that changes it, that the profile of a user of this
// server has changed, or that there is a new user.
func (d *Directory) Note(tx *store.Tx, user id.UserID) error {
	d.mu.Lock()
	d.noted = time.Now()
	d.mu.Unlock()
	_, err := tx.Exec(`
		INSERT INTO directory_notes (user_id, changes) VALUES ($1, 1)
		ON CONFLICT (user_id) DO UPDATE SET changes = directory_notes.changes + 1`, user)
	if err != nil {
		err = fmt.Errorf("noting that %s has changed: %w", user, err)
	}
	return err
}

// Run keeps the directory up to date until the context ends. It must run once.
func (d *Directory) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := d.follow(ctx); err != nil && ctx.Err() == nil {
			d.Log.Error("following who is called what", "err", err)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}
}

func (d *Directory) follow(ctx context.Context) error {
	cursor, err := d.open(ctx)
	if err != nil {
		return err
	}
	tidied := time.Now()
	for {
		entries, err := d.next(ctx, cursor)
		if err != nil {
			return err
		}
		if err := d.takeEntries(ctx, cursor, entries); err != nil {
			return err
		}
		if err := d.takeNotes(ctx); err != nil {
			return err
		}
		if len(entries) == 0 {
			if err := d.fillSome(ctx); err != nil {
				return err
			}
		}
		if time.Since(tidied) >= tidyAfter {
			if err := d.tidy(ctx); err != nil {
				return err
			}
			tidied = time.Now()
		}
	}
}

func (d *Directory) tidy(ctx context.Context) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	return d.names.Tidy(ctx)
}

// next returns the next entries of the journal: none if there is something else to do
// meanwhile, or nothing for a while.
func (d *Directory) next(ctx context.Context, cursor *journal.Cursor) ([]journal.Entry, error) {
	if d.Journal.Head() > cursor.Position() {
		return cursor.Next(ctx, chunk)
	}
	if d.filling() {
		return nil, nil
	}
	wait, cancel := context.WithTimeout(ctx, idle)
	defer cancel()
	if _, err := cursor.Next(wait, 1); err != nil {
		if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			err = nil
		}
		return nil, err
	}
	select {
	case <-time.After(pace):
	case <-d.hurry:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return cursor.Next(ctx, chunk)
}

// open opens the cursor, unless that was done.
func (d *Directory) open(ctx context.Context) (*journal.Cursor, error) {
	d.mu.Lock()
	cursor := d.cursor
	d.mu.Unlock()
	if cursor != nil {
		return cursor, nil
	}
	cursor, err := d.Journal.Cursor(ctx, cursorName)
	if err != nil {
		return nil, err
	}
	f, err := d.readFill(ctx)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cursor, d.fill = cursor, f
	d.tell()
	return cursor, nil
}

// tell tells those who wait that the cursor is further on. The caller holds mu.
func (d *Directory) tell() {
	close(d.moved)
	d.moved = make(chan struct{})
}

// catchUp waits until the directory has what has happened before now, but not for long.
func (d *Directory) catchUp(ctx context.Context) {
	now := d.Journal.Head()
	timeout := time.After(patience)
	for {
		d.mu.Lock()
		behind, moved := d.cursor == nil || d.cursor.Position() < now, d.moved
		d.mu.Unlock()
		if !behind {
			return
		}
		select {
		case d.hurry <- struct{}{}:
		default: // it knows
		}
		select {
		case <-moved:
		case <-timeout:
			return
		case <-ctx.Done():
			return
		}
	}
}
