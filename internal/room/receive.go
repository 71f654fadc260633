package room

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"parley/internal/journal"
	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// An Outcome is what became of an event that was received.
type Outcome uint8

const (
	Accepted   Outcome = iota + 1
	SoftFailed         // it is kept, but not shown, and nothing is built on it
	Rejected           // it is kept so that what cites it can be rejected too
	Known              // it was received before
)

// ErrMissing means that the room lacks events that a received one refers to.
var ErrMissing = errors.New("events that it refers to are missing")

// Receive takes an event into its room that another server has sent, and that
// has passed the checks on its form, signatures and hash. It makes the others,
// on authorization, in the order of the specification:
// https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu
//
// When it returns without an error the event is durable. The error is ErrMissing
// when the room does not have all of the event's prev_events and auth_events, and
// ErrUnsigned when the policy server of the room is to be asked first.
func (g *Engine) Receive(ctx context.Context, e *event.Event) (Outcome, error) {
	outcome, err := g.receiveBehindGap(ctx, e, gap{})
	if err == nil && outcome != Known {
		g.adopt(ctx, e.ID())
	}
	return outcome, err
}

// ReceiveAll is Receive for events of one room, in order. They become durable
// together. It ends at the first that makes an error, which is ErrMissing where that
// refers to what the room does not have, or when nobody else has got into the room for
// too long; n is how many were received before.
func (g *Engine) ReceiveAll(ctx context.Context, events []*event.Event) (n int, err error) {
	for range attempts {
		var more int
		more, err = g.receiveSome(ctx, events[n:])
		if n += more; !errors.Is(err, errConflict) {
			return n, err
		}
	}
	return n, err
}

// receiveSome is ReceiveAll until somebody else changes the room.
func (g *Engine) receiveSome(ctx context.Context, events []*event.Event) (n int, err error) {
	r, err := g.room(ctx, events[0].RoomID())
	if err != nil {
		return 0, err
	}
	list, err := r.takeAll(ctx, events)
	var come []id.EventID
	for i, t := range list {
		if t.wait == nil {
			continue
		}
		if _, failure := r.settle(t.appended, t.wait); failure != nil && i < len(list) { // so do those behind it
			list, err = list[:i], failure
		}
		if i < len(list) && t.come != "" {
			come = append(come, t.come)
		}
	}
	if errors.Is(err, errConflict) {
		g.forget(r)
	}
	g.adopt(ctx, come...)
	return len(list), err
}

// taken is what is to be settled of an event that was received.
type taken struct {
	appended
	wait func() (journal.Position, error) // nil if nothing is
	come id.EventID                       // unless it was known
}

// mostHeld is for how long others are kept out of a room by events that come together.
const mostHeld = 50 * time.Millisecond

// takeAll is take for several events, up to the first that makes an error, or until it
// has taken long.
func (r *live) takeAll(ctx context.Context, events []*event.Event) (list []taken, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stale {
		return nil, errConflict
	}
	if r.ahead, err = r.readAhead(ctx, events); err != nil {
		return nil, err
	}
	defer func() { r.ahead = nil }()
	began := time.Now()
	for _, e := range events {
		if len(list) > 0 && time.Since(began) > mostHeld {
			break
		}
		if e.Unsigned() != nil {
			e = e.WithUnsigned(nil)
		}
		outcome, a, wait, err := r.takeNext(ctx, e, gap{})
		if err != nil {
			return list, fmt.Errorf("receiving %s into %s: %w", e.ID(), e.RoomID(), err)
		}
		t := taken{appended: a, wait: wait}
		if outcome != Known {
			t.come = e.ID()
		}
		list = append(list, t)
	}
	return list, nil
}

// A gap is in front of an event that follows missing ones: what another server says
// that the state before the event is.
type gap struct {
	before  heardState
	missing []id.EventID // nil: there is no gap
	// unsure says that the state is not known whole. What it does not allow is not
	// rejected then: rejected is for good, and the rest may come.
	unsure bool
	// relay is for an event that its server sends by this one.
	relay bool
	// unrecommended says that the policy server of the room was asked in vain.
	unrecommended bool
	// sent is the request that an event of ours comes from.
	sent transactionKey
	// along is what is committed with it, as in [Draft].
	along func(*journal.Batch, id.EventID) error
}

// receiveBehindGap is Receive for an event that follows events which the room does
// not have.
func (g *Engine) receiveBehindGap(ctx context.Context, e *event.Event, behind gap) (Outcome, error) {
	// What another server says beside what it signed is nobody's word.
	if e.Unsigned() != nil {
		e = e.WithUnsigned(nil)
	}
	for range attempts {
		r, err := g.room(ctx, e.RoomID())
		if err != nil {
			return 0, err
		}
		outcome, err := r.receive(ctx, e, behind)
		if !errors.Is(err, errConflict) {
			if err != nil {
				err = fmt.Errorf("receiving %s into %s: %w", e.ID(), e.RoomID(), err)
			}
			return outcome, err
		}
		g.forget(r)
	}
	return 0, fmt.Errorf("receiving %s into %s: %w", e.ID(), e.RoomID(), errConflict)
}

func (r *live) receive(ctx context.Context, e *event.Event, behind gap) (Outcome, error) {
	outcome, a, wait, err := r.take(ctx, e, behind)
	if err != nil || wait == nil {
		return outcome, err
	}
	_, err = r.settle(a, wait)
	return outcome, err
}

// take decides on a received event and hands what follows to the journal.
// Without a function to wait there is nothing to do.
func (r *live) take(ctx context.Context, e *event.Event, behind gap) (outcome Outcome, a appended, wait func() (journal.Position, error), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.takeNext(ctx, e, behind)
}

// takeNext is take for who holds mu.
func (r *live) takeNext(ctx context.Context, e *event.Event, behind gap) (outcome Outcome, a appended, wait func() (journal.Position, error), err error) {
	if r.stale {
		return 0, a, nil, errConflict
	}
	known, err := r.lookUp(ctx, slices.Concat([]id.EventID{e.ID()}, e.PrevEvents(), e.AuthEvents()))
	if err != nil {
		return 0, a, nil, err
	}
	before, here := known[e.ID()]
	if here && (!before.outlier || len(e.PrevEvents()) == 0) { // where a room begins nothing is missing
		return Known, a, r.confirm(before.num), nil
	}
	made, prev, err := r.place(ctx, e, behind, known)
	if err != nil {
		return 0, a, nil, err
	}
	if here {
		made.num, made.outlier = before.num, true
		r.merged = merged{} // it may be judged otherwise now
	}
	if outcome, err = r.judge(ctx, e, made, behind); err != nil {
		return 0, a, nil, err
	}
	if outcome == Rejected && behind.unsure {
		return 0, a, nil, fmt.Errorf("%w: of the state before it", ErrMissing)
	}
	row := r.row
	if outcome == Accepted {
		made, err = r.merge(ctx, made, prev)
	} else {
		made, err = r.putAside(ctx, made, prev, outcome)
	}
	if err != nil {
		return 0, a, nil, err
	}
	a = r.finish(row, []entry{made})
	r.engine.crowds.note(r.id, len(r.head))
	change := r.engine.once(along(a.change, behind.along, e.ID()), behind.sent, e.ID(), time.Now())
	return outcome, a, r.engine.journal.Submit(change), nil
}

// confirm returns a function that waits until an event of the room is durable,
// nil if it is known to be. The caller holds mu.
func (r *live) confirm(n stateres.Num) (wait func() (journal.Position, error)) {
	if _, pending := r.pending[n]; !pending {
		return nil
	}
	before := r.row
	return r.engine.journal.Submit(func(b *journal.Batch) error {
		_, err := expectChange(b, before)
		return err
	})
}

// findOutlier returns the number of an event of the room, 0 when it has none such, and
// reports whether it is an outlier: known, but not where it stands.
func (r *live) findOutlier(ctx context.Context, eventID id.EventID) (outlier bool, n stateres.Num, err error) {
	found, err := r.lookUp(ctx, []id.EventID{eventID})
	return found[eventID].outlier, found[eventID].num, err
}

// found is an event that the room has.
type found struct {
	num     stateres.Num
	outlier bool
}

// lookUp finds those of some events that the room has.
func (r *live) lookUp(ctx context.Context, ids []id.EventID) (map[id.EventID]found, error) {
	all := make(map[id.EventID]found, len(ids))
	for n, m := range r.pending {
		if slices.Contains(ids, m.event.ID()) {
			all[m.event.ID()] = found{num: n}
		}
	}
	var missing []id.EventID
	for _, eventID := range ids {
		if _, ok := all[eventID]; ok {
			continue
		}
		f, read := r.ahead.find(eventID)
		switch {
		case f.num != 0:
			all[eventID] = f
		case !read:
			missing = append(missing, eventID)
		}
	}
	if len(missing) == 0 {
		return all, nil
	}
	err := r.engine.db.View(ctx, func(tx *store.Tx) error { return findEvents(tx, r.num, missing, all) })
	if err != nil {
		return nil, fmt.Errorf("looking for events of %s: %w", r.id, err)
	}
	return all, nil
}

// Which events findAll takes: those of which it is known where they stand, or all.
const (
	anywhere = false
	placed   = true
)

func (r *live) findAll(ctx context.Context, ids []id.EventID, onlyPlaced bool) ([]stateres.Num, error) {
	known, err := r.lookUp(ctx, ids)
	if err != nil {
		return nil, err
	}
	return numsAmong(known, ids, onlyPlaced)
}

// numsAmong returns the numbers of events that have to be among those found.
func numsAmong(known map[id.EventID]found, ids []id.EventID, onlyPlaced bool) ([]stateres.Num, error) {
	var nums []stateres.Num
	for _, eventID := range ids {
		f, ok := known[eventID]
		if !ok || f.outlier && onlyPlaced {
			return nil, missing{eventID}
		}
		nums = append(nums, f.num)
	}
	return nums, nil
}

// purged reports whether an event, which the room has, is one that was purged, and
// is only kept because it is part of a state, or not deleted yet. The state before
// it is not known then.
func (r *live) purged(ctx context.Context, n stateres.Num) (bool, error) {
	if r.remains.place == 0 || slices.Contains(r.row.head, n) {
		return false, nil
	}
	if _, pending := r.pending[n]; pending {
		return false, nil
	}
	var place int64
	err := r.engine.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT place FROM events WHERE event = $1", n).Scan(&place)
	})
	if errors.Is(err, store.ErrNoRows) {
		return true, nil
	}
	return r.remains.lost(place, n), err
}

// expectLeft refuses an event that follows what was purged. While that is being
// deleted, it may not cite it either.
func (r *live) expectLeft(ctx context.Context, prev, auth []stateres.Num) error {
	cited := slices.Clone(prev)
	if r.remains.busy {
		state := &snapshot{ctx: ctx, room: r, root: r.row.root}
		for _, n := range auth {
			e, err := r.event(ctx, n)
			if err != nil {
				return err
			}
			if t, ok := e.Tuple(); !ok || state.num(t) != n { // the present state stays
				cited = append(cited, n)
			}
		}
		if state.fault != nil {
			return state.fault
		}
	}
	for _, n := range cited {
		gone, err := r.purged(ctx, n)
		if err != nil {
			return fmt.Errorf("looking for what is left of %s: %w", r.id, err)
		}
		if gone {
			return fmt.Errorf("%w: they were purged", ErrMissing)
		}
	}
	return nil
}

// place finds where an event stands: its prev events, which have to be known, and the
// state before it.
func (r *live) place(ctx context.Context, e *event.Event, behind gap, known map[id.EventID]found) (made entry, prev []stateres.Num, err error) {
	follows := slices.DeleteFunc(slices.Clone(e.PrevEvents()), func(eventID id.EventID) bool { return slices.Contains(behind.missing, eventID) })
	if prev, err = numsAmong(known, follows, placed); err != nil {
		return made, nil, err
	}
	auth, err := numsAmong(known, e.AuthEvents(), anywhere)
	if err != nil {
		return made, nil, err
	}
	if err := r.expectLeft(ctx, prev, auth); err != nil {
		return made, nil, err
	}
	made = entry{event: e, auth: auth, status: accepted, gap: behind.missing, relays: behind.relay, transaction: behind.sent.txn}
	if behind.missing != nil {
		if err := r.expectHeard(behind.before); err != nil {
			return made, nil, err
		}
		made.before = behind.before.root
	} else if len(prev) > 0 { // otherwise there is nothing before it
		if made.before, err = r.statesAfter(ctx, prev); err != nil {
			return made, nil, err
		}
	}
	made.num, err = r.number(ctx, auth)
	return made, prev, err
}

// judge decides whether a received event is allowed: by the events that it says
// it is allowed by, by the state before it, by the present state, and by the policy
// server of the room.
func (r *live) judge(ctx context.Context, e *event.Event, made entry, behind gap) (Outcome, error) {
	// The room has begun: another create event is none of its own, and nothing
	// else begins a room.
	if len(e.PrevEvents()) == 0 {
		return Rejected, nil
	}
	create, auth, err := r.authEvents(ctx, made.auth)
	if err != nil {
		return 0, err
	}
	err = eventauth.CheckAuthEvents(e, auth)
	if err == nil {
		err = eventauth.Check(e, eventauth.AuthState(auth.Events, create))
	}
	before := &snapshot{ctx: ctx, room: r, root: made.before, lent: auth.Events}
	if err == nil {
		err = eventauth.Check(e, before)
	}
	if refusal := (*eventauth.Refusal)(nil); errors.As(err, &refusal) {
		return Rejected, before.fault
	}
	if err != nil || before.fault != nil {
		return 0, errors.Join(err, before.fault)
	}
	root, err := r.present(ctx, made)
	if err != nil {
		return 0, err
	}
	current := &snapshot{ctx: ctx, room: r, root: root, lent: auth.Events}
	if eventauth.Check(e, current) != nil {
		return SoftFailed, current.fault
	}
	if current.fault != nil {
		return 0, current.fault
	}
	err = r.recommended(ctx, e, root)
	if errors.Is(err, ErrUnsigned) && behind.unrecommended {
		return SoftFailed, nil
	}
	return Accepted, err
}

// present is the state by which an event may be soft-failed: the present one, or
// behind a gap what follows from it and the state before the event. Who was away
// does not know the present state well; but anybody can make a gap, so what is
// known counts.
func (r *live) present(ctx context.Context, made entry) (statetrie.Root, error) {
	if made.gap == nil {
		return r.row.root, nil
	}
	return r.resolve(ctx, []statetrie.Root{r.row.root, made.before})
}

// authEvents returns what is known of the events that authorise another.
func (r *live) authEvents(ctx context.Context, nums []stateres.Num) (create *event.Event, auth eventauth.AuthEvents, err error) {
	state := &snapshot{ctx: ctx, room: r, root: r.row.root}
	create = state.StateEvent(event.Tuple{Type: event.TypeCreate})
	refused := make(map[id.EventID]bool)
	for _, n := range nums {
		e, err := r.event(ctx, n)
		if err != nil {
			return nil, auth, err
		}
		k, err := r.known(ctx, n)
		if err != nil {
			return nil, auth, err
		}
		auth.Events = append(auth.Events, e)
		refused[e.ID()] = k.status == rejected
	}
	auth.Create = create
	auth.Rejected = func(eventID id.EventID) bool { return refused[eventID] }
	return create, auth, state.fault
}

// merge makes an accepted event one of the room's forward extremities, in place
// of those that it follows, and resolves the state.
func (r *live) merge(ctx context.Context, made entry, prev []stateres.Num) (entry, error) {
	if err := r.redacts(ctx, &made); err != nil {
		return made, err
	}
	if err := r.redactedEarly(ctx, &made); err != nil {
		return made, err
	}
	others, heads, err := r.beside(ctx, prev)
	if err != nil {
		return made, err
	}
	present := r.row.root
	if made, err = r.follow(ctx, made, others, heads); err != nil || made.before == present && !made.merges {
		return made, err
	}
	made.hidden, err = r.hides(ctx, made)
	return made, err
}

// beside returns the forward extremities that an event does not follow which has
// these prev events.
func (r *live) beside(ctx context.Context, prev []stateres.Num) (others []stateres.Num, heads []*event.Event, err error) {
	followed, err := r.follows(ctx, prev)
	if err != nil {
		return nil, nil, err
	}
	for i, n := range r.row.head {
		if !slices.Contains(followed, n) {
			others, heads = append(others, n), append(heads, r.head[i])
		}
	}
	return others, heads, nil
}

// asideAs is what events are kept as that do not become part of what is shown.
var asideAs = map[Outcome]int64{SoftFailed: softFailed, Rejected: rejected}

// putAside keeps an event that does not become part of what is shown of the
// room. It counts as an append of the room, so that what builds on it stands and
// falls with it.
func (r *live) putAside(ctx context.Context, made entry, prev []stateres.Num, outcome Outcome) (_ entry, err error) {
	made.status = asideAs[outcome]
	if made.follows, err = r.follows(ctx, prev); err != nil {
		return made, err
	}
	if err := r.put(ctx, &made); err != nil {
		return made, err
	}
	r.row.change = int64(made.num)
	if outcome == SoftFailed {
		r.stick(&made, &r.row)
	}
	made.row = r.row
	return made, nil
}

// follows returns the forward extremities of the room that an event follows
// which has these prev events. What was put aside never became one in their
// stead, so whoever follows it follows them.
func (r *live) follows(ctx context.Context, prev []stateres.Num) ([]stateres.Num, error) {
	var heads []stateres.Num
	for _, n := range prev {
		if slices.Contains(r.row.head, n) {
			heads = append(heads, n)
			continue
		}
		k, err := r.known(ctx, n)
		if err != nil {
			return nil, err
		}
		for _, n := range k.follows {
			if slices.Contains(r.row.head, n) {
				heads = append(heads, n)
			}
		}
	}
	slices.Sort(heads)
	return slices.Compact(heads), nil
}
