package room

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
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
	// copy is the number of this copy of the room, from 1 on.
	copy int64
	// remains is what is left of the room. It does not change: of a room of which
	// something is purged this copy is forgotten.
	remains remains
	// lifetime is for how long messages are kept, nil if it is not known yet.
	lifetime atomic.Pointer[lifetime]
	// fading is up to where they were too old lately, nil if nobody has looked.
	fading atomic.Pointer[fading]

	// whole is row.whole, and sticky row.sticky, for who does not hold mu.
	whole, sticky atomic.Int64

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
	// threads has the totals of threads, with what is pending, as far as they were
	// needed.
	threads map[id.EventID]Total
	// policies is what the policy server was when somebody asked last.
	policies *policyMemo
	merged   merged
	ahead    *readahead // nil, but while events are received together
	// stale: something that others build on was not committed. Nobody may build
	// on this copy of the room any more.
	stale bool
}

func newLive(g *Engine, num Num, rules *roomver.Rules) *live {
	return &live{
		engine: g, num: num, rules: rules, copy: g.copies.Add(1), row: record{num: num, version: rules.Version},
		nodes:   &nodes{engine: g, room: num, uncommitted: make(map[statetrie.Address][]byte)},
		pending: make(map[stateres.Num]entry), threads: make(map[id.EventID]Total),
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
	if e, ok := g.events.Get(n); ok {
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
		if e, ok := g.events.Get(n); ok {
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
			g.events.Put(n, e)
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
			r.engine.events.Put(m.num, m.event)
		}
	}
	if len(r.pending) == 0 && len(r.threads) > recentThreads {
		clear(r.threads)
	}
}

// build makes the next event of the room and moves the room on to it. The
// caller holds mu.
func (r *live) build(ctx context.Context, d Draft) (entry, error) {
	if err := d.check(); err != nil {
		return entry{}, err
	}
	follows, others, prev, heads := r.heads()
	before := r.row.root
	if len(others) > 0 {
		var err error
		if before, err = r.statesAfter(ctx, follows); err != nil {
			return entry{}, err
		}
	}
	made, err := r.draw(ctx, d, before, prev)
	if err != nil {
		return entry{}, err
	}
	if d.stops {
		if made.event, err = r.signedHere(ctx, made.event); err != nil {
			return entry{}, err
		}
	}
	if err := r.redacts(ctx, &made); err != nil {
		return entry{}, err
	}
	return r.follow(ctx, made, others, heads)
}

// draw makes an event that follows others, between which the state is before.
func (r *live) draw(ctx context.Context, d Draft, before statetrie.Root, prev []*event.Event) (entry, error) {
	state := &snapshot{ctx: ctx, room: r, root: before}
	proto, auth, err := r.proto(ctx, d, state, prev)
	if err != nil {
		return entry{}, err
	}
	if proto.EventID, err = r.engine.newEventID(r.rules); err != nil {
		return entry{}, err
	}
	signer := d.Sender.Server()
	if d.exchanged {
		signer = r.engine.server
	}
	e, err := proto.Build(r.rules, signer, r.engine.key)
	if err != nil {
		return entry{}, badEvent(err)
	}
	if err := r.allow(ctx, e, before, r.row.root); err != nil {
		return entry{}, err
	}
	if err := r.engine.wanted(ctx, e); err != nil {
		return entry{}, err
	}
	num, err := r.number(ctx, auth)
	return entry{num: num, event: e, auth: auth, before: before, status: accepted, transaction: d.Transaction}, err
}

// number returns the number of an event of the room that is authorised by others. It is
// above that of the first event that is left, as those that are not shown are told by
// their numbers from what was purged; another node may have given that out of a later
// block.
func (r *live) number(ctx context.Context, auth []stateres.Num) (stateres.Num, error) {
	return r.engine.numbers.above(ctx, append(slices.Clone(auth), r.remains.event))
}

// allow refuses an event of ours that one of the states does not allow.
func (r *live) allow(ctx context.Context, e *event.Event, roots ...statetrie.Root) error {
	for _, root := range slices.Compact(roots) {
		state := &snapshot{ctx: ctx, room: r, root: root}
		err := eventauth.Check(e, state)
		if state.fault != nil {
			return state.fault
		}
		if err != nil {
			return refused(err)
		}
	}
	return nil
}

// wanted refuses an invite that whom it is for does not want.
// https://spec.matrix.org/v1.19/client-server-api/#invite-permission
func (g *Engine) wanted(ctx context.Context, e *event.Event) error {
	if g.invites == nil || e.Type() != event.TypeMember || e.Membership() != event.MembershipInvite {
		return nil
	}
	t, _ := e.Tuple()
	target := id.UserID(t.StateKey)
	if target.Server() != g.server {
		return nil
	}
	return g.invites(ctx, e.Sender(), target)
}

// follow makes an accepted event one of the room's forward extremities, beside
// others, and moves the room on to it. After an error the room is as before. The
// caller holds mu.
func (r *live) follow(ctx context.Context, made entry, others []stateres.Num, heads []*event.Event) (entry, error) {
	row, head := r.row, r.head
	var err error
	if made.thread, err = r.threadOf(ctx, made.event); err != nil {
		return made, err
	}
	if err = r.put(ctx, &made); err == nil {
		nums := append([]stateres.Num{made.num}, others...)
		if made.current, err = r.statesAfter(ctx, nums); err == nil {
			made, err = r.advance(ctx, made, nums, append([]*event.Event{made.event}, heads...))
		}
	}
	if err != nil {
		r.row, r.head = row, head
		delete(r.pending, made.num)
	}
	return made, err
}

// put sets the state after an event from that before it, which one that was
// rejected does not change, and makes the event known to whoever builds on it.
// The caller holds mu.
func (r *live) put(ctx context.Context, m *entry) (err error) {
	m.after = m.before
	if t, ok := m.event.Tuple(); ok && m.status != rejected {
		m.after, err = statetrie.Put(ctx, r.nodes, m.before, statetrie.Key(t), uint64(m.num))
		if err != nil {
			return fmt.Errorf("putting %s into the state of %s: %w", m.event.ID(), r.id, err)
		}
	}
	r.pending[m.num] = *m
	return nil
}

// clockAhead is how far beyond this server's clock the time of an event may be that
// another server has made, for those of this server to be later.
const clockAhead = 10 * time.Minute

// timeAfter is the origin_server_ts of a state event that others allow, which are of
// these times. It is later than any of them: among events that do not change who may do
// what, state resolution goes by the time, then by the ID, and not by what allows what.
// If somebody leaves, is invited and joins within a millisecond, any of the three
// could be the last else, and where servers take another for that, each soft-fails
// for good what the other lets happen.
// https://spec.matrix.org/v1.19/rooms/v2/#mainline-ordering
func (g *Engine) timeAfter(allowed ...int64) int64 {
	now := g.now()
	ts, limit := now.UnixMilli(), now.Add(clockAhead).UnixMilli()
	for _, a := range allowed {
		if a < limit {
			ts = max(ts, a+1)
		}
	}
	return ts
}

// proto fills in what follows from the room: where the event stands and what
// authorises it.
func (r *live) proto(ctx context.Context, d Draft, state *snapshot, prev []*event.Event) (event.Proto, []stateres.Num, error) {
	p := event.Proto{
		Type: d.Type, StateKey: d.StateKey, Sender: d.Sender, RoomID: r.id, Content: d.Content, Redacts: d.Redacts,
		OriginServerTS: d.Time, Sticky: d.Sticky,
	}
	for _, e := range prev {
		p.PrevEvents = append(p.PrevEvents, e.Reference())
		p.Depth = max(p.Depth, e.Depth())
	}
	p.Depth++
	selection := eventauth.Draft{Type: d.Type, StateKey: d.StateKey, Sender: d.Sender, Content: d.Content}
	var auth []stateres.Num
	var allowed []int64 // when those were
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
		allowed = append(allowed, e.OriginServerTS())
	}
	switch {
	case d.Type == event.TypeCreate:
		p.OriginServerTS = r.engine.creationTime()
	case p.OriginServerTS == 0 && d.StateKey != nil:
		p.OriginServerTS = r.engine.timeAfter(allowed...)
	case p.OriginServerTS == 0:
		p.OriginServerTS = r.engine.now().UnixMilli()
	}
	return p, auth, state.fault
}
