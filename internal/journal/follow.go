package journal

import (
	"context"
	"errors"
	"sync"
	"time"

	"parley/internal/store"
)

// How a follower follows.
const (
	// pace is how long it waits for more: each commit of its own is one that no sender
	// gets.
	pace = 250 * time.Millisecond
	// idle is how long it waits before it says that there is nothing.
	idle = time.Second
	// What concerns nobody is gone through again after a crash, which costs less than a
	// commit: storeEvery is how many entries at most, and storeAfter for how long, since the
	// journal keeps them so long.
	storeEvery = 10_000
	storeAfter = 10 * time.Second
	// patience is how long others wait for it.
	patience = time.Second
)

// A Follower goes through the journal behind a [Cursor], for a consumer that may be a
// little late: it waits for entries to come together, unless somebody waits for it. One
// goroutine takes them; any may wait.
type Follower struct {
	j     *Journal
	name  string
	hurry chan struct{} // has room for one signal that somebody waits
	// skipped is how many entries were passed that are not stored as done, and since when
	// there are any: of who takes them.
	skipped Position
	since   time.Time

	mu     sync.Mutex // guards what follows
	cursor *Cursor    // nil: not yet opened
	moved  chan struct{}
}

// Follower returns a follower, which has the cursor of a name.
func (j *Journal) Follower(name string) *Follower {
	return &Follower{j: j, name: name, hurry: make(chan struct{}, 1), moved: make(chan struct{})}
}

// Open opens the cursor, unless that was done.
func (f *Follower) Open(ctx context.Context) error {
	if f.opened() != nil {
		return nil
	}
	cursor, err := f.j.Cursor(ctx, f.name)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cursor = cursor
	f.tell()
	return nil
}

func (f *Follower) opened() *Cursor {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cursor
}

// tell tells those who wait that the cursor is further on. The caller holds mu.
func (f *Follower) tell() {
	close(f.moved)
	f.moved = make(chan struct{})
}

// Next returns the next entries, up to a limit; none after a while without any, or at once
// if the consumer has something else to do. Until Pass is called it returns the same ones
// again. Open must have been called.
func (f *Follower) Next(ctx context.Context, limit int, busy bool) ([]Entry, error) {
	cursor := f.opened()
	if f.skipped > 0 && time.Since(f.since) >= storeAfter {
		if err := f.storeSkipped(ctx, cursor.Position()); err != nil {
			return nil, err
		}
	}
	switch behind := int(f.j.Head() - cursor.Position()); {
	case behind >= limit, behind > 0 && busy:
		return cursor.Next(ctx, limit)
	case busy:
		return nil, nil
	}
	wait, cancel := context.WithTimeout(ctx, idle)
	defer cancel()
	if err := f.j.waitHead(wait, cursor.Position()); err != nil {
		if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			err = nil
		}
		return nil, err
	}
	select {
	case <-time.After(pace):
	case <-f.hurry:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return cursor.Next(ctx, limit)
}

// Store notes in a transaction of the consumer that everything up to a position is done:
// after a crash either both have happened or nothing has. Once it is committed, Pass is to
// be called.
func (f *Follower) Store(tx *store.Tx, pos Position) error { return f.opened().DoneWith(tx, pos) }

// Pass goes on behind a position that was stored.
func (f *Follower) Pass(pos Position) {
	f.skipped = 0
	f.pass(pos)
}

func (f *Follower) pass(pos Position) {
	f.opened().Pass(pos)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tell()
}

// Skip goes on behind a position up to which there was nothing to do. That is stored now
// and then only.
func (f *Follower) Skip(ctx context.Context, pos Position) error {
	if f.skipped == 0 {
		f.since = time.Now()
	}
	if f.skipped += pos - f.opened().Position(); f.skipped >= storeEvery {
		if err := f.storeSkipped(ctx, pos); err != nil {
			return err
		}
	}
	f.pass(pos)
	return nil
}

func (f *Follower) storeSkipped(ctx context.Context, pos Position) error {
	err := f.opened().Done(ctx, pos)
	if err == nil {
		f.skipped = 0
	}
	return err
}

// Behind returns how many entries are still to be taken, 0 before Open.
func (f *Follower) Behind() int64 {
	cursor := f.opened()
	if cursor == nil {
		return 0
	}
	return max(0, int64(f.j.Head()-cursor.Position()))
}

// CatchUp waits until everything is done that has happened before now, but not for long: a
// consumer that has much to do is late.
func (f *Follower) CatchUp(ctx context.Context) {
	now := f.j.Head()
	timeout := time.After(patience)
	for {
		f.mu.Lock()
		behind, moved := f.cursor == nil || f.cursor.Position() < now, f.moved
		f.mu.Unlock()
		if !behind {
			return
		}
		select {
		case f.hurry <- struct{}{}:
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
