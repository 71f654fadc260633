package search

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

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
	texts *textindex.Index
	hurry chan struct{} // has room for one signal that somebody waits

	writing sync.Mutex // is held by who changes the index
	mu      sync.Mutex // guards what follows
	cursor  *journal.Cursor
	moved   chan struct{} // is closed, and replaced, when the cursor has moved
	fill    fill
}

// cursorName is that of the index in the journal.
const cursorName = "search"

// How the index follows the journal.
const (
	// blockSize is how many texts make a block: see docs/decisions for what that costs.
	blockSize = 8192
	// chunk is how many entries, or events, are taken in together.
	chunk = 500
	// pace is how long the index waits for more, unless somebody searches: each commit
	// of its own is one that no sender gets.
	pace = 250 * time.Millisecond
	// patience is how long a search waits for the index.
	patience = time.Second
	// idle is how long it waits for the journal before it looks for something else to do.
	idle = time.Second
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
	return &Index{
		Parts: p, texts: textindex.New(p.DB, textindex.Messages, blockSize),
		hurry: make(chan struct{}, 1), moved: make(chan struct{}),
	}
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
	for ctx.Err() == nil {
		if err := x.follow(ctx); err != nil && ctx.Err() == nil {
			x.Log.Error("indexing messages", "err", err)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}
}

// follow takes in what has happened, and when there is nothing what was there before.
func (x *Index) follow(ctx context.Context) error {
	cursor, err := x.open(ctx)
	if err != nil {
		return err
	}
	added, tidied := sealEvery, time.Now()
	removed := true // perhaps, before a restart
	for {
		var t taken
		entries, err := x.next(ctx, cursor)
		switch {
		case err != nil:
			return err
		case len(entries) > 0:
			t, err = x.takeEntries(ctx, cursor, entries)
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

// next returns the next entries of the journal: none if there is something else to do
// meanwhile, or nothing for a while.
func (x *Index) next(ctx context.Context, cursor *journal.Cursor) ([]journal.Entry, error) {
	if x.Journal.Head() > cursor.Position() {
		return cursor.Next(ctx, chunk)
	}
	if x.filling() {
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
	case <-x.hurry:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return cursor.Next(ctx, chunk)
}

// open opens the cursor, unless that was done, and finds out what is to be filled in:
// of an index that is new, all events that there are.
func (x *Index) open(ctx context.Context) (*journal.Cursor, error) {
	x.mu.Lock()
	cursor := x.cursor
	x.mu.Unlock()
	if cursor != nil {
		return cursor, nil
	}
	cursor, err := x.Journal.Cursor(ctx, cursorName)
	if err != nil {
		return nil, err
	}
	f, err := x.readFill(ctx)
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.cursor, x.fill = cursor, f
	x.tell()
	return cursor, nil
}

// passed says that the cursor has moved.
func (x *Index) passed(cursor *journal.Cursor, pos journal.Position) {
	cursor.Pass(pos)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.tell()
}

// tell tells those who wait that the cursor is further on. The caller holds mu.
func (x *Index) tell() {
	close(x.moved)
	x.moved = make(chan struct{})
}

// catchUp waits until the index has what has happened before now, but not for long: one
// that has much to do finds what it has.
func (x *Index) catchUp(ctx context.Context) {
	now := x.Journal.Head()
	timeout := time.After(patience)
	for {
		x.mu.Lock()
		behind, moved := x.cursor == nil || x.cursor.Position() < now, x.moved
		x.mu.Unlock()
		if !behind {
			return
		}
		select {
		case x.hurry <- struct{}{}:
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
