package room

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/journal"
	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/roomver"
	"parley/matrix/stateres"
)

// live is a room in memory, as it will be when all that was handed to the
// journal is committed.
type live struct {
	engine *Engine
	num    Num
	rules  *roomver.Rules
	// id is set when the room is created, before anybody else knows of it.
	id id.RoomID

	// mu guards what follows. It is held while an event is built, never while
	// one waits for its commit.
	mu     sync.Mutex
	row    record
	exists bool           // the room has a row in the database, or will have
	head   []*event.Event // the events of row.head
	nodes  *nodes
	events map[stateres.Num]*event.Event // state events that were needed
	size   int                           // bytes of events
	// uncommitted are state events that are not known to be in the database
	// yet.
	uncommitted map[stateres.Num]*event.Event
	// stale: something that others build on was not committed. Nobody may build
	// on this copy of the room any more.
	stale bool

	// bytes is how much memory the room takes, roughly, for the engine to read
	// without the lock.
	bytes atomic.Int64
}

func (r *live) event(ctx context.Context, n stateres.Num) (*event.Event, error) {
	if e := r.events[n]; e != nil {
		return e, nil
	}
	if e := r.uncommitted[n]; e != nil {
		return e, nil
	}
	var e *event.Event
	err := r.engine.db.View(ctx, func(tx *store.Tx) (err error) {
		e, err = readEvent(tx, n, r.rules)
		return err
	})
	if err != nil {
		return nil, err
	}
	r.keep(n, e)
	return e, nil
}

func (r *live) keep(n stateres.Num, e *event.Event) {
	const overhead = 512 // of an event over its JSON, roughly
	r.events[n] = e
	r.size += len(e.JSON()) + overhead
}

// committed says that an append is durable. What it made can be forgotten from
// now on.
func (r *live) committed(a appended) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nodes.committed(a.nodes)
	for _, m := range a.entries {
		if e := r.uncommitted[m.num]; e != nil {
			delete(r.uncommitted, m.num)
			r.keep(m.num, e)
		}
	}
	r.trim()
}

// trim forgets what can be read again when the room takes more than its share
// of the memory. The caller holds mu.
func (r *live) trim() {
	if r.size+r.nodes.size > r.engine.memory/4 {
		clear(r.events)
		r.size = 0
		r.nodes.forget()
	}
	r.bytes.Store(int64(r.size + r.nodes.size))
}

// entry is an event that is being appended, with what belongs to it.
type entry struct {
	num    stateres.Num
	event  *event.Event
	place  int64
	before statetrie.Root
	auth   []stateres.Num
	// redacts is the event that it takes effect on, if it is a redaction.
	redacts stateres.Num
}

// build makes the next event of the room and moves the room on to it. The
// caller holds mu.
func (r *live) build(ctx context.Context, d Draft) (entry, error) {
	if err := d.check(); err != nil {
		return entry{}, err
	}
	state := &snapshot{ctx: ctx, room: r, root: r.row.root}
	proto, auth, err := r.proto(ctx, d, state)
	if err != nil {
		return entry{}, err
	}
	server := d.Sender.Server()
	if proto.EventID, err = r.engine.newEventID(r.rules); err != nil {
		return entry{}, err
	}
	e, err := proto.Build(r.rules, server, r.engine.key)
	if err != nil {
		return entry{}, badEvent(err)
	}
	if err := eventauth.Check(e, state); err != nil {
		return entry{}, refused(err)
	}
	target, err := r.redacts(ctx, e, state)
	if err != nil {
		return entry{}, err
	}
	if state.fault != nil {
		return entry{}, state.fault
	}
	made, err := r.advance(ctx, e, auth)
	made.redacts = target
	return made, err
}

// proto fills in what follows from the room: where the event stands and what
// authorises it.
func (r *live) proto(ctx context.Context, d Draft, state *snapshot) (event.Proto, []stateres.Num, error) {
	p := event.Proto{
		Type: d.Type, StateKey: d.StateKey, Sender: d.Sender, RoomID: r.id, Content: d.Content, Redacts: d.Redacts,
		OriginServerTS: time.Now().UnixMilli(),
	}
	if d.Type == event.TypeCreate {
		p.OriginServerTS = r.engine.creationTime()
	}
	for _, e := range r.head {
		p.PrevEvents = append(p.PrevEvents, e.Reference())
		p.Depth = max(p.Depth, e.Depth())
	}
	p.Depth++
	selection := eventauth.Draft{Type: d.Type, StateKey: d.StateKey, Sender: d.Sender, Content: d.Content}
	var auth []stateres.Num
	for _, t := range selection.Selection(r.rules) {
		n := state.num(t)
		if n == 0 {
			continue
		}
		e, err := r.event(ctx, n)
		if err != nil {
			return p, nil, err
		}
		auth = append(auth, n)
		p.AuthEvents = append(p.AuthEvents, e.Reference())
	}
	return p, auth, state.fault
}

// advance makes an event the head of the room. The create event gives the room
// its ID where it has none before.
func (r *live) advance(ctx context.Context, e *event.Event, auth []stateres.Num) (entry, error) {
	var least int64
	for _, n := range auth {
		least = max(least, int64(n))
	}
	num, err := r.engine.numbers.above(ctx, least)
	if err != nil {
		return entry{}, err
	}
	made := entry{num: stateres.Num(num), event: e, place: r.row.place + 1, before: r.row.root, auth: auth}
	root := r.row.root
	if t, ok := e.Tuple(); ok {
		root, err = statetrie.Put(ctx, r.nodes, root, statetrie.Key(t), uint64(made.num))
		if err != nil {
			return entry{}, fmt.Errorf("putting %s into the state of %s: %w", e.ID(), r.id, err)
		}
		r.uncommitted[made.num] = e
	}
	if r.id == "" {
		r.id = e.RoomID()
	}
	r.row.change = num
	r.row.place = made.place
	r.row.root = root
	r.row.head = []stateres.Num{made.num}
	r.head = []*event.Event{e}
	return made, nil
}

// appended is events that were appended together, and the nodes of the states
// after them.
type appended struct {
	entries []entry
	nodes   []statetrie.Node
	before  record
	after   record
	creates bool // the room, too
}

// finish collects what was built on the room as it was before. The caller holds
// mu.
func (r *live) finish(before record, entries []entry) appended {
	a := appended{entries: entries, nodes: r.nodes.fresh, before: before, after: r.row, creates: !r.exists}
	r.nodes.fresh = nil
	r.exists = true
	return a
}

// change is what the journal is to commit.
func (a appended) change(roomID id.RoomID) journal.Change {
	return func(b *journal.Batch) error {
		num := a.after.num
		expect := func() error { return expectChange(b, a.before) }
		if a.creates {
			expect = func() error { return expectNoRoom(b, roomID) }
		}
		if err := expect(); err != nil {
			return err
		}
		b.Remember(num, a.after.change)
		for _, m := range a.entries {
			b.Insert(insertEvents, m.num, num, m.event.ID(), m.place, m.before, encodeNums(m.auth), m.event.JSON())
			b.Append(num.Scope(), KindEvent, int64(m.num))
			if m.redacts != 0 {
				markRedacted(b, m.redacts, m.num)
			}
			if user, ok := m.event.StateKey(); ok && m.event.Type() == event.TypeMember {
				b.Write(memberKey{num, user}, func(tx *store.Tx) error {
					return putMembership(tx, num, user, m.event.Membership(), m.num)
				})
			}
		}
		for _, n := range a.nodes {
			b.Insert(insertNodes, num, n.Address, n.Bytes)
		}
		if a.creates {
			b.Write(createKey{num}, func(tx *store.Tx) error { return insertRoom(tx, roomID, a.after) })
		}
		b.Write(num, func(tx *store.Tx) error { return writeRoom(tx, a.after) })
		return nil
	}
}

type (
	memberKey struct {
		room Num
		user string
	}
	createKey struct{ room Num }
)

// expectChange refuses an append that was decided on another change of the
// room than its last. A change has a name and not a count: two nodes can make
// different changes that would have the same count, and what one of them built
// on its own, which was refused, must not pass for built on the other's. The
// database is asked once per room and group.
func expectChange(b *journal.Batch, before record) error {
	last, ok := b.Memo(before.num)
	if !ok {
		var change int64
		if err := b.Row("SELECT change FROM rooms WHERE room = $1", before.num).Scan(&change); err != nil {
			return fmt.Errorf("reading room %d: %w", before.num, err)
		}
		last = change
	}
	if last != before.change {
		return errConflict
	}
	return nil
}

// expectNoRoom refuses to create a room whose ID there is already, and keeps
// the ID from the rest of the group.
func expectNoRoom(b *journal.Batch, roomID id.RoomID) error {
	var taken int
	if err := b.Row("SELECT count(*) FROM rooms WHERE room_id = $1", roomID).Scan(&taken); err != nil {
		return fmt.Errorf("looking for room %s: %w", roomID, err)
	}
	if _, inGroup := b.Memo(roomID); taken > 0 || inGroup {
		return errConflict
	}
	b.Remember(roomID, true)
	return nil
}
