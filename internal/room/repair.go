package room

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"parley/internal/journal"
	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// When all members of a partial room are known, what came in since the join is
// judged once more, in the order in which it stands, on a copy of the room that
// begins with the whole state. Events that would not have been let in are put aside
// now; those that were put aside stay so. The states before and after each event
// become whole ones. See repair_write.go for how that is committed.

// repair makes a partial room whole.
func (g *Engine) repair(ctx context.Context, roomID id.RoomID, p partial, whole wholeState) error {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return err
	}
	wait, err := r.replay(ctx, p, whole)
	if err == nil {
		_, err = wait()
	}
	g.forget(r)
	if err != nil {
		return fmt.Errorf("repairing %s: %w", roomID, err)
	}
	return nil
}

// A replayed event is one that came in while the room was partial.
type replayed struct {
	entry // as it is to be
	// was is what it was kept as, and stood the state that was before it.
	was   int64
	stood statetrie.Root
	pos   int64 // 0 if it was no news
	done  bool
}

// isPast reports whether the event was put into a gap.
func (e *replayed) isPast() bool {
	return e.was == accepted && (e.past != nil || e.pos == 0 && !e.fresh())
}

// fresh reports whether the event waits for its commit.
func (e *replayed) fresh() bool { return e.row.num != 0 }

// A replay is a room as it would have become.
type replay struct {
	*live
	join   stateres.Num
	whole  statetrie.Root
	events []*replayed // in the order of their places; those without one come last
	byID   map[id.EventID]*replayed
	holes  map[int64]bool // the places behind gaps
	counts servers
}

// replay judges what came in since a join once more, and hands what follows to the
// journal. Nobody builds on this copy of the room any more: its states are not whole.
func (r *live) replay(ctx context.Context, p partial, whole wholeState) (wait func() (journal.Position, error), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stale || r.row.whole != notWhole {
		return nil, errConflict
	}
	if err := r.expectHeard(whole.heardState); err != nil {
		return nil, err
	}
	again := newLive(r.engine, r.num, r.rules)
	again.id, again.exists, again.remains = r.id, true, r.remains
	again.nodes.uncommitted = maps.Clone(r.nodes.uncommitted)
	again.row.root, again.row.joined, again.row.invited = whole.root, whole.members.joined, whole.members.invited
	x := &replay{live: again, join: p.join, whole: whole.root, counts: maps.Clone(whole.members.present)}
	if err := x.collect(ctx, r, p.place); err != nil {
		return nil, err
	}
	for _, e := range x.events {
		if err := x.judgeAgain(ctx, e); err != nil {
			return nil, fmt.Errorf("judging %s again: %w", e.event.ID(), err)
		}
	}
	if join := x.events[0]; join.status != accepted {
		return nil, fmt.Errorf("by the state before it the join %s is not allowed", join.event.ID())
	}
	a, err := x.finish(ctx, r)
	if err != nil {
		return nil, err
	}
	r.stale = true
	return r.engine.journal.Submit(a.change), nil
}

// collect finds the events that came in since the join, and what waits for its
// commit. The caller holds the lock of the room.
func (x *replay) collect(ctx context.Context, r *live, place int64) error {
	var aside []*replayed
	err := r.engine.db.View(ctx, func(tx *store.Tx) error {
		holes, err := readGaps(tx, []Num{r.num})
		x.holes = make(map[int64]bool, len(holes[r.num]))
		for _, hole := range holes[r.num] {
			x.holes[hole] = true
		}
		if err == nil {
			x.events, err = readReplayed(tx, r, "place >= $2 ORDER BY place", place)
		}
		if err == nil {
			aside, err = readReplayed(tx, r, "place IS NULL AND before IS NOT NULL AND event > $2 ORDER BY event", x.join)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("reading what came since the join: %w", err)
	}
	x.byID = make(map[id.EventID]*replayed)
	for _, e := range slices.Concat(x.events, aside) {
		x.byID[e.event.ID()] = e
	}
	for _, m := range r.pending {
		if x.byID[m.event.ID()] != nil {
			continue // it is committed
		}
		e := &replayed{entry: m, was: m.status, stood: m.before}
		x.byID[m.event.ID()] = e
		if m.gap != nil {
			x.holes[m.place] = true
		}
		if m.status == accepted {
			x.events = append(x.events, e)
		} else {
			aside = append(aside, e)
		}
	}
	slices.SortStableFunc(x.events, func(a, b *replayed) int { return int(a.place - b.place) })
	x.events = append(x.events, aside...)
	if len(x.events) == 0 || x.events[0].num != x.join {
		return fmt.Errorf("%w: the join is gone", errConflict)
	}
	return nil
}

func readReplayed(tx *store.Tx, r *live, where string, arg any) (list []*replayed, err error) {
	for row, err := range tx.Query("SELECT event, event_id, place, pos, status, before, auth, follows, json FROM events WHERE room = $1 AND "+where, r.num, arg) {
		if err != nil {
			return nil, err
		}
		e := new(replayed)
		var eventID id.EventID
		var auth, follows, json []byte
		if err := row.Scan(&e.num, &eventID, &e.place, &e.pos, &e.was, &e.stood, &auth, &follows, &json); err != nil {
			return nil, err
		}
		if e.entry.event, err = event.Load(json, eventID, r.rules); err != nil {
			return nil, err
		}
		if e.auth, err = decodeNums(auth); err != nil {
			return nil, err
		}
		if e.follows, err = decodeNums(follows); err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

// judgeAgain judges an event behind those that it follows.
func (x *replay) judgeAgain(ctx context.Context, e *replayed) error {
	if e.done {
		return nil
	}
	e.done = true
	prev, known, err := x.before(ctx, e)
	if err != nil {
		return err
	}
	e.status, e.members, e.sight, e.gap = e.was, nil, nil, nil
	switch {
	case e.num == x.join:
		e.entry.before, e.gap = x.whole, e.event.PrevEvents()
	case !known:
		e.entry.before = e.stood
	default:
		if e.entry.before, err = x.statesAfter(ctx, prev); err != nil {
			return err
		}
	}
	if x.holes[e.place] && e.place != 0 && e.gap == nil {
		e.gap = e.event.PrevEvents()
	}
	if e.was == accepted {
		if err := x.decide(ctx, e, prev); err != nil {
			return err
		}
	}
	if e.status != accepted || e.isPast() {
		if err := x.put(ctx, &e.entry); err != nil {
			return err
		}
		e.current = e.after
		return nil
	}
	return x.moveOn(ctx, e, prev)
}

// before finds what an event follows. It is not known if it follows what the room
// does not have: then what another server has said of the state stands.
func (x *replay) before(ctx context.Context, e *replayed) (prev []stateres.Num, known bool, err error) {
	known = len(e.event.PrevEvents()) > 0
	for _, eventID := range e.event.PrevEvents() {
		if other := x.byID[eventID]; other != nil {
			if err := x.judgeAgain(ctx, other); err != nil { // one that was put aside
				return nil, false, err
			}
			prev = append(prev, other.num)
			continue
		}
		outlier, n, err := x.findOutlier(ctx, eventID)
		if err != nil {
			return nil, false, err
		}
		if n == 0 || outlier {
			known = false
			continue
		}
		prev = append(prev, n)
	}
	return prev, known, nil
}

// decide decides whether an event that was let in still is.
func (x *replay) decide(ctx context.Context, e *replayed, prev []stateres.Num) error {
	if e.isPast() {
		allowed, err := x.wasAllowed(ctx, e.entry)
		if err == nil && !allowed {
			e.status = rejected
			e.follows, err = x.live.follows(ctx, prev)
		}
		return err
	}
	outcome, err := x.judge(ctx, e.event, e.entry, gap{})
	if errors.Is(err, ErrUnsigned) {
		return nil // the policy server was not in the room when it came
	}
	if err != nil || outcome == Accepted {
		return err
	}
	e.status = asideAs[outcome]
	e.follows, err = x.live.follows(ctx, prev)
	return err
}

// moveOn makes an event one of the forward extremities, as merge and follow have
// done when it came in.
func (x *replay) moveOn(ctx context.Context, e *replayed, prev []stateres.Num) error {
	others, heads, err := x.beside(ctx, prev)
	if err != nil {
		return err
	}
	if err := x.put(ctx, &e.entry); err != nil {
		return err
	}
	nums := append([]stateres.Num{e.num}, others...)
	if e.current, err = x.statesAfter(ctx, nums); err != nil {
		return err
	}
	row := x.live.row
	e.merges, e.replaces = false, 0
	if _, err := x.note(ctx, &e.entry, &row); err != nil {
		return err
	}
	row.root, row.head = e.current, nums
	x.live.row, x.head = row, append([]*event.Event{e.event}, heads...)
	for _, c := range e.members {
		if by := c.came(); by != 0 {
			p := x.counts[c.user.Server()]
			p.joined += by
			x.counts[c.user.Server()] = p
		}
	}
	return nil
}
