package search

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"parley/internal/errand"
	"parley/internal/journal"
	"parley/internal/room"
	"parley/internal/store"
	"parley/internal/textindex"
	"parley/matrix/id"
)

// Parts are what an index stands on.
type Parts struct {
	DB      *store.DB
	Journal *journal.Journal
	Rooms   *room.Engine
	// Ignored returns of whom a user wants to hear nothing.
	Ignored func(ctx context.Context, user id.UserID) (map[id.UserID]bool, error)
	// Log gets what keeps the index from following. Nil: nobody does.
	Log *slog.Logger
}

// Index is the index of messages. It is safe for concurrent use.
type Index struct {
	Parts
	texts   *textindex.Index
	journal *journal.Follower

	writing sync.Mutex // is held by who changes the index
	mu      sync.Mutex // guards fill
	fill    *fill      // nil: it is not known
}

// cursorName is that of the index in the journal.
const cursorName = "search"

// How the index follows the journal.
const (
	// blockSize is how many texts make a block: see docs/decisions for what that costs.
	blockSize = 8192
	// chunk is how many entries, or events, are taken in together.
	chunk = 500
	// tidyAfter is how long what is removed may be in lists.
	tidyAfter = time.Minute
	// sealEvery is after how many texts it is asked whether a block is full.
	sealEvery = 1024
)

// New returns the index. It finds nothing before Run.
func New(p Parts) *Index {
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	return &Index{Parts: p, texts: textindex.New(p.DB, textindex.Messages, blockSize), journal: p.Journal.Follower(cursorName)}
}

// Remove removes the index from a database, for a server that is to have none.
func (x *Index) Remove(ctx context.Context) error {
	if err := x.empty(ctx); err != nil {
		return err
	}
	return x.DB.Update(ctx, func(tx *store.Tx) error {
		if err := journal.ForgetCursor(tx, cursorName); err != nil {
			return err
		}
		_, err := tx.Exec("DELETE FROM search_fill")
		return err
	})
}

// Run keeps the index up to date until the context ends. It must run once.
func (x *Index) Run(ctx context.Context) {
	errand.Persist(ctx, x.Log, "indexing messages", x.follow)
}

// follow takes in what has happened, and when there is nothing what was there before,
// until something fails.
func (x *Index) follow(ctx context.Context) error {
	if err := x.open(ctx); err != nil {
		return err
	}
	added, tidied := sealEvery, time.Now()
	removed := true // perhaps, before a restart
	for {
		var t taken
		entries, err := x.journal.Next(ctx, chunk, x.filling())
		switch {
		case err != nil:
			return err
		case len(entries) > 0:
			t, err = x.takeEntries(ctx, entries)
		default:
			t, err = x.fillSome(ctx)
		}
		if err != nil {
			return err
		}
		added, removed = added+t.added, removed || t.removed > 0
		if added >= sealEvery {
			if err := x.locked(func() error { return x.texts.Seal(ctx) }); err != nil {
				return err
			}
			added = 0
		}
		if removed && time.Since(tidied) >= tidyAfter {
			if err := x.locked(func() error { return x.texts.Tidy(ctx) }); err != nil {
				return err
			}
			removed, tidied = false, time.Now()
		}
	}
}

func (x *Index) locked(f func() error) error {
	x.writing.Lock()
	defer x.writing.Unlock()
	return f()
}

// open opens the cursor, and finds out what is to be filled in: of an index that is new,
// all events that there are.
func (x *Index) open(ctx context.Context) error {
	if err := x.journal.Open(ctx); err != nil {
		return err
	}
	x.mu.Lock()
	known := x.fill != nil
	x.mu.Unlock()
	if known {
		return nil
	}
	f, err := x.readFill(ctx)
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.fill = &f
	return nil
}
