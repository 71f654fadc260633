package room

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"parley/internal/journal"
	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// mostBranches is how many branches of the past make up the state that is shown of
// it.
const mostBranches = 8

// takePast puts events into a gap, and reports false if there was nothing to put
// there. It counts as an append of the room, but what the room is now stays.
func (g *Engine) takePast(ctx context.Context, r *live, h hole, past []bygone) (more bool, err error) {
	for range attempts {
		if more, err = r.takePast(ctx, h, past); !errors.Is(err, errConflict) {
			return more, err
		}
		g.forget(r)
		if r, err = g.room(ctx, r.id); err != nil {
			return false, err
		}
		now, ok, err := g.readHole(ctx, r.num, h.place)
		if err != nil || !ok || !slices.Equal(now.missing, h.missing) {
			return ok, err // another node was faster
		}
	}
	return false, errConflict
}

func (r *live) takePast(ctx context.Context, h hole, past []bygone) (more bool, err error) {
	a, p, wait, err := r.putPast(ctx, h, past)
	if err != nil || wait == nil {
		return false, err
	}
	if _, err := r.settle(a, wait); err != nil {
		return false, err
	}
	from, to := h.place, int64(0)
	if p.left.missing != nil {
		to = p.left.place
	}
	if h.island {
		from = 0
	}
	r.recent.moveGap(from, to)
	if len(p.handed) > 0 {
		r.recent.moveGap(h.beneath.place, h.beneath.place)
	}
	return true, nil
}

// putPast decides on events for a gap, and hands them to the journal. Without a
// function to wait there is nothing to do.
func (r *live) putPast(ctx context.Context, h hole, list []bygone) (a appended, p *past, wait func() (journal.Position, error), err error) {
	// The last place stays free, for what the event behind the gap makes of its users.
	p = &past{room: r, hole: h, place: h.place - 2 - int64(len(list))}
	if err := p.look(ctx); err != nil {
		return a, nil, nil, err
	}
	if err := p.compare(ctx, list); err != nil {
		return a, nil, nil, err
	}
	if h.island {
		space := h.place - p.earlier.Place
		if space < int64(4*len(list)) {
			return a, nil, nil, nil
		}
		p.place = p.earlier.Place + space/2 - int64(len(list))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stale {
		return a, nil, nil, errConflict
	}
	before := r.row
	for _, b := range list {
		if err == nil {
			err = p.add(ctx, b)
		}
	}
	if err == nil && len(p.entries) > 0 {
		if err = p.leave(ctx); err == nil {
			err = p.join(ctx)
		}
		if err == nil {
			err = p.findLookers(ctx)
		}
	}
	if err != nil || len(p.entries) == 0 {
		for _, m := range p.entries {
			delete(r.pending, m.num)
		}
		r.row = before
		return a, nil, nil, err
	}
	a = r.finish(before, p.entries)
	return a, p, r.engine.journal.Submit(func(b *journal.Batch) error {
		if err := a.change(b); err != nil {
			return err
		}
		p.write(b)
		return nil
	}), nil
}

// past is what is put into a gap, as it is built, from the oldest event on.
type past struct {
	room *live
	hole
	earlier, behind Item // around the gap; there need not be an earlier one
	ground          ground
	entries         []entry
	left            hole         // what is missing afterwards, nothing if missing is nil
	handed          []id.EventID // what turned out to be missing in the earlier gap

	place   int64 // of the last event
	heads   []stateres.Num
	current statetrie.Root
	count   counted
	sights  []pastSight
	lookers []id.UserID
}

// counted is the totals of a room before a gap: what is put into it is not counted.
type counted struct{ all, threaded Total }

// A pastSight is what decides from a place on what a user may see, unless more is
// known of that place or the one behind it.
type pastSight struct {
	user  id.UserID // empty: the visibility
	place int64
	event stateres.Num
	value string
}

// look reads what is around the gap.
func (p *past) look(ctx context.Context) error {
	list, err := p.room.engine.back(ctx, p.room, p.hole.place, 2)
	if err != nil {
		return err
	}
	if len(list) == 0 || list[0].Place != p.hole.place {
		return fmt.Errorf("%w: what is behind the gap is gone", errConflict)
	}
	if p.behind = list[0]; len(list) > 1 {
		p.earlier = list[1]
		p.count = counted{p.earlier.Total, p.earlier.Threaded}
	}
	return nil
}

// add puts the next event behind those that are there, unless the room has got it
// meanwhile.
func (p *past) add(ctx context.Context, b bygone) error {
	r := p.room
	outlier, n, err := r.findOutlier(ctx, b.event.ID())
	if err != nil || n != 0 && !outlier {
		return err
	}
	m, prev, err := p.entry(ctx, b)
	if err != nil {
		if errors.Is(err, ErrMissing) {
			return nil // it cites what could not be put here
		}
		return err
	}
	if outlier {
		m.num, m.outlier = n, true
	}
	ok, err := r.wasAllowed(ctx, m)
	if err != nil {
		return err
	}
	if !ok && b.unsure {
		return nil
	}
	if !ok {
		m.status = rejected
		m.follows, err = r.follows(ctx, prev)
	} else {
		err = p.prepare(ctx, &m)
	}
	if err != nil {
		return err
	}
	if err := r.put(ctx, &m); err != nil {
		return err
	}
	if ok {
		err = p.show(ctx, &m, prev)
	}
	if ok && err == nil {
		m.hidden, err = r.hides(ctx, m)
	}
	r.row.change = int64(m.num)
	m.row = r.row
	r.pending[m.num] = m
	p.entries = append(p.entries, m)
	return err
}

// entry finds where an event stands.
func (p *past) entry(ctx context.Context, b bygone) (m entry, prev []stateres.Num, err error) {
	r := p.room
	m = entry{event: b.event, status: accepted, past: &p.count}
	if m.auth, err = r.findAll(ctx, b.event.AuthEvents(), anywhere); err != nil {
		return m, nil, err
	}
	for _, eventID := range b.event.PrevEvents() {
		nums, err := r.findAll(ctx, []id.EventID{eventID}, placed)
		switch {
		case err == nil:
			prev = append(prev, nums...)
		case b.before == nil || !errors.Is(err, ErrMissing):
			return m, nil, err
		}
	}
	if err := r.expectLeft(ctx, prev, m.auth); err != nil {
		return m, nil, err
	}
	if b.before != nil {
		if err := r.expectHeard(*b.before); err != nil {
			return m, nil, err
		}
		m.before = b.before.root
	} else if len(prev) > 0 {
		if m.before, err = r.statesAfter(ctx, prev); err != nil {
			return m, nil, err
		}
	}
	m.num, err = r.number(ctx, m.auth)
	return m, prev, err
}

// wasAllowed decides whether an event of the past was allowed, by what authorised it
// and by the state before it. What the room is now does not matter.
func (r *live) wasAllowed(ctx context.Context, m entry) (bool, error) {
	create, auth, err := r.authEvents(ctx, m.auth)
	if err != nil {
		return false, err
	}
	if len(m.event.PrevEvents()) == 0 {
		return create != nil && create.ID() == m.event.ID(), nil
	}
	err = eventauth.CheckAuthEvents(m.event, auth)
	if err == nil {
		err = eventauth.Check(m.event, eventauth.AuthState(auth.Events, create))
	}
	before := &snapshot{ctx: ctx, room: r, root: m.before}
	if err == nil {
		err = eventauth.Check(m.event, before)
	}
	if refusal := (*eventauth.Refusal)(nil); errors.As(err, &refusal) {
		return false, before.fault
	}
	return err == nil, errors.Join(err, before.fault)
}

// prepare fills in what an accepted event has to do with others.
func (p *past) prepare(ctx context.Context, m *entry) (err error) {
	r := p.room
	if err := r.redacts(ctx, m); err != nil {
		return err
	}
	if err := r.redactedEarly(ctx, m); err != nil {
		return err
	}
	if m.thread, err = r.threadOf(ctx, m.event); err != nil || m.thread == "" {
		return err
	}
	m.own, err = r.engine.threadBefore(ctx, r.num, m.thread, p.hole.place)
	return err
}

// threadBefore returns what a thread had counted before a place.
func (g *Engine) threadBefore(ctx context.Context, room Num, thread id.EventID, place int64) (total Total, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		err := tx.Row(`
			SELECT thread_unread, thread_loud FROM events WHERE room = $1 AND thread = $2 AND place < $3
			ORDER BY place DESC LIMIT 1`, room, thread, place).Scan(&total.Unread, &total.Loud)
		if errors.Is(err, store.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		err = fmt.Errorf("counting what was in thread %s: %w", thread, err)
	}
	return total, err
}
