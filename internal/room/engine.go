package room

import (
	"container/list"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
	"parley/matrix/signing"
	"parley/matrix/stateres"
)

// errConflict: the room has changed since an append was decided on.
var errConflict = errors.New("the room has changed meanwhile")

// Options of an engine.
type Options struct {
	// Server is the name of this server, and Key signs for it.
	Server id.ServerName
	Key    signing.Key
	// Memory is how many bytes rooms in memory may take, roughly; 0 means 64
	// MiB.
	Memory int
}

// Engine is the rooms of one node. It is safe for concurrent use.
type Engine struct {
	db      *store.DB
	journal *journal.Journal
	server  id.ServerName
	key     signing.Key
	memory  int
	numbers *numbers

	// created is when the last room was created, see creationTime.
	created atomic.Int64

	// mu guards the rooms in memory. A room's own lock may be taken after it,
	// not before.
	mu    sync.Mutex
	rooms map[id.RoomID]*list.Element // of *live
	order *list.List                  // the one used last is in front
}

// New returns an engine over a database and its journal.
func New(db *store.DB, j *journal.Journal, o Options) *Engine {
	if o.Memory == 0 {
		o.Memory = 64 << 20
	}
	return &Engine{
		db: db, journal: j, server: o.Server, key: o.Key, memory: o.Memory,
		numbers: &numbers{db: db, name: "event"},
		rooms:   make(map[id.RoomID]*list.Element),
		order:   list.New(),
	}
}

// creationTime returns the present in milliseconds, and each time another: where
// the room ID is the hash of the create event, two rooms that one user makes
// alike in one millisecond would be the same room.
func (g *Engine) creationTime() int64 {
	for {
		last := g.created.Load()
		now := max(time.Now().UnixMilli(), last+1)
		if g.created.CompareAndSwap(last, now) {
			return now
		}
	}
}

// newEventID makes up an event ID where events carry one.
func (g *Engine) newEventID(rules *roomver.Rules) (id.EventID, error) {
	if rules.EventID != roomver.EventIDCarried {
		return "", nil
	}
	return id.NewEventID(rand.Text(), g.server)
}

// room returns a room from memory, or reads it.
func (g *Engine) room(ctx context.Context, roomID id.RoomID) (*live, error) {
	g.mu.Lock()
	if e := g.rooms[roomID]; e != nil {
		g.order.MoveToFront(e)
		g.mu.Unlock()
		return e.Value.(*live), nil
	}
	g.mu.Unlock()
	r, err := g.read(ctx, roomID)
	if err != nil {
		return nil, err
	}
	return g.remember(r), nil
}

// remember puts a room into memory, unless somebody else did meanwhile, and
// forgets those not used for longest, as far as their memory is needed.
func (g *Engine) remember(r *live) *live {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e := g.rooms[r.id]; e != nil {
		return e.Value.(*live)
	}
	g.rooms[r.id] = g.order.PushFront(r)
	total := int64(0)
	for e := g.order.Front(); e != nil; {
		other, next := e.Value.(*live), e.Next()
		if total += other.bytes.Load() + emptyRoom; total > int64(g.memory) && other != r {
			delete(g.rooms, other.id)
			g.order.Remove(e)
		}
		e = next
	}
	return r
}

// emptyRoom is about what a room takes of which nothing was needed.
const emptyRoom = 4096

// forget drops a room from memory, if it is still this copy of it.
func (g *Engine) forget(r *live) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e := g.rooms[r.id]; e != nil && e.Value == r {
		delete(g.rooms, r.id)
		g.order.Remove(e)
	}
}

func (g *Engine) read(ctx context.Context, roomID id.RoomID) (*live, error) {
	r := &live{
		engine: g, id: roomID, exists: true,
		events:      make(map[stateres.Num]*event.Event),
		uncommitted: make(map[stateres.Num]*event.Event),
	}
	err := g.db.View(ctx, func(tx *store.Tx) (err error) {
		if r.row, err = readRoom(tx, roomID); err != nil {
			return err
		}
		rules, ok := roomver.Lookup(r.row.version)
		if !ok {
			return fmt.Errorf("room version %q is unknown", r.row.version)
		}
		r.rules = rules
		for _, n := range r.row.head {
			e, err := readEvent(tx, n, rules)
			if err != nil {
				return err
			}
			r.head = append(r.head, e)
		}
		return nil
	})
	if errors.Is(err, store.ErrNoRows) {
		return nil, mxerr.New(mxerr.NotFound, "There is no room %s", roomID)
	}
	if err != nil {
		return nil, fmt.Errorf("reading room %s: %w", roomID, err)
	}
	r.num = r.row.num
	r.nodes = newNodes(g.db, r.num)
	return r, nil
}

// refused turns the verdict of the authorization rules into an error for the
// client.
func refused(err error) error {
	if refusal := (*eventauth.Refusal)(nil); errors.As(err, &refusal) {
		return mxerr.New(mxerr.Forbidden, "This is not allowed in the room: %s", refusal.Rule).Wrap(err)
	}
	return err
}

// badEvent turns what keeps an event from being built into an error for the
// client.
func badEvent(err error) error {
	if format := (*event.FormatError)(nil); errors.As(err, &format) {
		if format.Field == "" {
			return mxerr.New(mxerr.TooLarge, "The event is too large").Wrap(err)
		}
		return mxerr.New(mxerr.BadJSON, "The event has a bad %s: %s", format.Field, format.Reason).Wrap(err)
	}
	return mxerr.New(mxerr.BadJSON, "The event is no canonical JSON").Wrap(err)
}
