package room

import (
	"context"
	"fmt"
	"sync"
	"time"

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

	// recent is the room as it is committed. It has a lock of its own.
	recent recent

	// mu guards what follows. It is held while an event is built, never while
	// one waits for its commit.
	mu     sync.Mutex
	row    record
	exists bool           // the room has a row in the database, or will have
	head   []*event.Event // the events of row.head
	nodes  *nodes
	// pending are events that are not known to be in the database yet.
	pending map[stateres.Num]entry
	// stale: something that others build on was not committed. Nobody may build
	// on this copy of the room any more.
	stale bool
}

func newLive(g *Engine, num Num, rules *roomver.Rules) *live {
	return &live{
		engine: g, num: num, rules: rules, row: record{num: num, version: rules.Version},
		nodes:   &nodes{engine: g, room: num, uncommitted: make(map[statetrie.Address][]byte)},
		pending: make(map[stateres.Num]entry),
	}
}

// weight is how many bytes the room takes, roughly, less what it shares.
func (r *live) weight() int {
	const empty, moment = 4096, 96
	r.recent.mu.RLock()
	defer r.recent.mu.RUnlock()
	return empty + r.recent.bytes + moment*cap(r.recent.moments)
}

// event returns an event of the room that is needed for what it says, redacted
// or not. The caller holds mu.
func (r *live) event(ctx context.Context, n stateres.Num) (*event.Event, error) {
	if m, ok := r.pending[n]; ok {
		return m.event, nil
	}
	return r.engine.event(ctx, n, r.rules)
}

// event returns a committed event of a room with these rules.
func (g *Engine) event(ctx context.Context, n stateres.Num, rules *roomver.Rules) (*event.Event, error) {
	if e, ok := g.events.get(n); ok {
		return e, nil
	}
	found, err := g.eventsByNum(ctx, []stateres.Num{n}, rules)
	if err != nil {
		return nil, err
	}
	return found[n], nil
}

// eventsByNum returns committed events of a room with these rules. That one is
// missing is an error.
func (g *Engine) eventsByNum(ctx context.Context, nums []stateres.Num, rules *roomver.Rules) (map[stateres.Num]*event.Event, error) {
	found := make(map[stateres.Num]*event.Event, len(nums))
	var missing []stateres.Num
	for _, n := range nums {
		if e, ok := g.events.get(n); ok {
			found[n] = e
		} else {
			missing = append(missing, n)
		}
	}
	if len(missing) == 0 {
		return found, nil
	}
	err := g.db.View(ctx, func(tx *store.Tx) error {
		read, err := readEvents(tx, missing, rules)
		for n, e := range read {
			found[n] = e
			g.events.put(n, e)
		}
		return err
	})
	return found, err
}

// settled says that an append is durable. What it made can be forgotten from now
// on.
func (r *live) settled(a appended) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nodes.settled(a.nodes)
	for _, m := range a.entries {
		delete(r.pending, m.num)
		if _, ok := m.event.Tuple(); ok {
			r.engine.events.put(m.num, m.event)
		}
	}
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
	num, err := r.engine.numbers.above(ctx, auth)
	if err != nil {
		return entry{}, err
	}
	made := entry{num: num, event: e, auth: auth, before: r.row.root, redacts: target, transaction: d.Transaction}
	if err := r.put(ctx, &made); err != nil {
		return entry{}, err
	}
	made.current = made.after // what it follows is all there is
	advanced, err := r.advance(ctx, made, []stateres.Num{num}, []*event.Event{e})
	if err != nil {
		delete(r.pending, num)
	}
	return advanced, err
}

// put sets the state after an accepted event from that before it, and makes the
// event known to whoever builds on it. The caller holds mu.
func (r *live) put(ctx context.Context, m *entry) (err error) {
	m.after = m.before
	if t, ok := m.event.Tuple(); ok {
		m.after, err = statetrie.Put(ctx, r.nodes, m.before, statetrie.Key(t), uint64(m.num))
		if err != nil {
			return fmt.Errorf("putting %s into the state of %s: %w", m.event.ID(), r.id, err)
		}
	}
	r.pending[m.num] = *m
	return nil
}

// proto fills in what follows from the room: where the event stands and what
// authorises it.
func (r *live) proto(ctx context.Context, d Draft, state *snapshot) (event.Proto, []stateres.Num, error) {
	p := event.Proto{
		Type: d.Type, StateKey: d.StateKey, Sender: d.Sender, RoomID: r.id, Content: d.Content, Redacts: d.Redacts,
		OriginServerTS: d.Time,
	}
	if p.OriginServerTS == 0 {
		p.OriginServerTS = time.Now().UnixMilli()
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
