package journal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"parley/internal/store"
)

// Errors of this package.
var (
	// ErrGone means that entries are asked for that were trimmed.
	ErrGone = errors.New("these journal entries are gone")
	// ErrStopped means that the journal takes no more appends.
	ErrStopped = errors.New("the journal has stopped")
)

// Journal is the journal of one node. It is safe for concurrent use.
type Journal struct {
	db    *store.DB
	epoch string

	// poolMu guards pool, stopped, idle and woken. It is never held together with
	// mu.
	poolMu  sync.Mutex
	pool    []*request
	stopped bool
	idle    bool      // Run waits for something to commit
	woken   time.Time // when that came
	lag     lag
	wake    chan struct{} // has room for one signal that the pool is not empty

	// foreign is called with entries of others before they become visible.
	foreign []func([]Entry)

	// catchUpMu serialises reading entries into the window. It is taken before
	// mu.
	catchUpMu sync.Mutex

	// mu guards what follows.
	mu     sync.Mutex
	window *window
	floor  Position
	untold []Entry              // that are visible, and of which subscriptions were not told
	tells  map[Position][]Scope // who else is to be told of them
	subs   map[Scope]map[*Subscription]struct{}
	moved  chan struct{} // is closed, and replaced, when the head moves
}

// Options of a journal.
type Options struct {
	// Window is how many recent entries are kept in memory, at about a hundred
	// bytes each. 0 means 65,536.
	Window int
}

// Open reads where the journal in a database ends. A database that has none
// gets one, with a new epoch, which newEpoch makes up.
func Open(ctx context.Context, db *store.DB, newEpoch func() string, o Options) (*Journal, error) {
	if o.Window == 0 {
		o.Window = 1 << 16
	}
	j := &Journal{
		db:    db,
		wake:  make(chan struct{}, 1),
		subs:  make(map[Scope]map[*Subscription]struct{}),
		tells: make(map[Position][]Scope),
		moved: make(chan struct{}),
	}
	var head Position
	err := db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`
			INSERT INTO journal_head (one, pos, floor, epoch) VALUES (1, 0, 0, $1)
			ON CONFLICT (one) DO NOTHING`, newEpoch())
		if err != nil {
			return err
		}
		return tx.Row("SELECT pos, floor, epoch FROM journal_head").Scan(&head, &j.floor, &j.epoch)
	})
	if err != nil {
		return nil, fmt.Errorf("opening the journal: %w", err)
	}
	j.window = newWindow(head, o.Window)
	if err := j.fill(ctx, o.Window); err != nil {
		return nil, fmt.Errorf("opening the journal: %w", err)
	}
	return j, nil
}

// fill reads the entries that a window may hold, so that a restart does not
// send every client to the database.
func (j *Journal) fill(ctx context.Context, size int) error {
	head := j.window.head
	start := max(j.floor, head-Position(size))
	entries, err := j.load(ctx, start, head)
	if err != nil {
		return err
	}
	j.window = newWindow(start, size)
	for _, e := range entries {
		j.window.add(e)
	}
	return nil
}

// Epoch names the sequence of positions. A position means something only
// together with the epoch that it was given out in.
func (j *Journal) Epoch() string { return j.epoch }

// Head returns the position of the last entry.
func (j *Journal) Head() Position {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.window.head
}

// Floor returns the position up to which entries may be gone.
func (j *Journal) Floor() Position {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.floor
}

// OnForeign has f called with entries that this node did not append, or of which
// it does not know whether it did, before they become visible: what is in memory
// of what they are about is out of date. It must be called before Run, and f
// must be quick.
func (j *Journal) OnForeign(f func([]Entry)) { j.foreign = append(j.foreign, f) }

// Refresh makes visible what other nodes have appended.
func (j *Journal) Refresh(ctx context.Context) error {
	j.catchUpMu.Lock()
	defer j.catchUpMu.Unlock()
	return j.catchUp(ctx)
}

// catchUp reads what the database has behind the head. The caller holds
// catchUpMu.
func (j *Journal) catchUp(ctx context.Context) error {
	var last, floor Position
	err := j.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT pos, floor FROM journal_head").Scan(&last, &floor)
	})
	if err != nil {
		return fmt.Errorf("reading the head of the journal: %w", err)
	}
	j.raiseFloor(floor)
	entries, err := j.load(ctx, j.Head(), last)
	if err != nil {
		return err
	}
	for _, f := range j.foreign {
		f(entries)
	}
	j.show(entries)
	j.tell()
	return nil
}

// publish makes own entries visible, and before them those of others. Whoever
// waits for them is to be told.
func (j *Journal) publish(ctx context.Context, entries []Entry, tells map[Position][]Scope) error {
	if len(entries) == 0 {
		return nil
	}
	j.catchUpMu.Lock()
	defer j.catchUpMu.Unlock()
	j.mu.Lock()
	maps.Copy(j.tells, tells)
	j.mu.Unlock()
	if entries[0].Pos != j.Head()+1 {
		return j.catchUp(ctx)
	}
	j.show(entries)
	return nil
}

// show adds entries that follow the head to the window. The caller holds
// catchUpMu.
func (j *Journal) show(entries []Entry) {
	if len(entries) == 0 {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range entries {
		j.window.add(e)
	}
	j.untold = append(j.untold, entries...)
	close(j.moved)
	j.moved = make(chan struct{})
}

// tell wakes who waits for entries that were shown. A busy room has thousands who
// do; the one who has appended need not wait until all of them are told.
func (j *Journal) tell() {
	j.mu.Lock()
	defer j.mu.Unlock()
	concerned := make(map[*Subscription]struct{})
	tell := func(scope Scope, e Entry) {
		for s := range j.subs[scope] {
			s.hears(e)
			concerned[s] = struct{}{}
		}
	}
	for _, e := range j.untold {
		for s := range j.subs[e.Scope] {
			s.last = e.Pos
			concerned[s] = struct{}{}
		}
		scopes, known := j.tells[e.Pos]
		if !known && e.Scope.Kind() == ScopeSharers {
			// Another node knows who shares a room with the user.
			for scope := range j.subs {
				tell(scope, e)
			}
		}
		for _, scope := range scopes {
			tell(scope, e)
		}
		delete(j.tells, e.Pos)
	}
	j.untold = j.untold[:0]
	for s := range concerned {
		s.signal()
	}
}

// load reads the entries behind a position, up to and including another, from
// the database.
func (j *Journal) load(ctx context.Context, after, upTo Position) ([]Entry, error) {
	if after >= upTo {
		return nil, nil
	}
	entries := make([]Entry, 0, upTo-after)
	err := j.db.View(ctx, func(tx *store.Tx) error {
		return scanEntries(&entries, tx, "SELECT pos, scope, kind, ref FROM journal WHERE pos > $1 AND pos <= $2 ORDER BY pos", after, upTo)
	})
	if err != nil {
		return nil, fmt.Errorf("reading the journal from %d to %d: %w", after, upTo, err)
	}
	if int64(len(entries)) != int64(upTo-after) {
		return nil, fmt.Errorf("reading the journal from %d to %d: %d entries are there: %w", after, upTo, len(entries), ErrGone)
	}
	return entries, nil
}

func scanEntries(entries *[]Entry, tx *store.Tx, query string, args ...any) error {
	for row, err := range tx.Query(query, args...) {
		if err != nil {
			return err
		}
		var e Entry
		if err := row.Scan(&e.Pos, &e.Scope, &e.Kind, &e.Ref); err != nil {
			return err
		}
		*entries = append(*entries, e)
	}
	return nil
}
