package directory

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"parley/internal/errand"
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
	names   *textindex.Index
	journal *journal.Follower

	writing sync.Mutex // is held by who changes the directory
	mu      sync.Mutex // guards what follows
	noted   time.Time  // when there was a note last
	fill    *fill      // nil: it is not known
}

// cursorName is that of the directory in the journal.
const cursorName = "directory"

// How the directory follows.
const (
	blockSize = 1024 // users in a block of the index
	chunk     = 500  // users, or entries, that are looked at together
	// indexedRooms is in how many rooms it is looked how a user of another server is called.
	indexedRooms = 8
	// settling is how long after a note there may be one that is not committed yet.
	settling = 10 * time.Second
	// tidyAfter is how long a name that is not true any more may be in lists.
	tidyAfter = time.Minute
)

// New returns a directory. It finds nobody before Run.
func New(p Parts) *Directory {
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	return &Directory{
		Parts: p, names: textindex.New(p.DB, textindex.Users, blockSize), journal: p.Journal.Follower(cursorName),
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
	errand.Persist(ctx, d.Log, "following who is called what", d.follow)
}

// follow takes in what has happened until something fails.
func (d *Directory) follow(ctx context.Context) error {
	if err := d.open(ctx); err != nil {
		return err
	}
	tidied := time.Now()
	for {
		entries, err := d.journal.Next(ctx, chunk, d.filling())
		if err != nil {
			return err
		}
		if err := d.takeEntries(ctx, entries); err != nil {
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

// open opens the cursor, and finds out which users are to be gone through.
func (d *Directory) open(ctx context.Context) error {
	if err := d.journal.Open(ctx); err != nil {
		return err
	}
	d.mu.Lock()
	known := d.fill != nil
	d.mu.Unlock()
	if known {
		return nil
	}
	f, err := d.readFill(ctx)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fill = &f
	return nil
}
