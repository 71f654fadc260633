package room

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/roomver"
	"parley/matrix/stateres"
)

// world is a room as everybody who knows all of it can see it, by whole states
// and without anything remembered but these.
type world struct {
	t      *testing.T
	rules  *roomver.Rules
	events []*event.Event // each after those it refers to
	byID   map[id.EventID]*event.Event

	before, after map[id.EventID]eventauth.MapState
	rejected      map[id.EventID]bool
	index         *stateres.Index // of events, nil when there are new ones
}

func newWorld(t *testing.T, rules *roomver.Rules) *world {
	return &world{
		t: t, rules: rules, byID: make(map[id.EventID]*event.Event), rejected: make(map[id.EventID]bool),
		before: make(map[id.EventID]eventauth.MapState), after: make(map[id.EventID]eventauth.MapState),
	}
}

// add puts an event into the world, to which all that it refers to belongs.
func (w *world) add(e *event.Event) {
	if w.byID[e.ID()] != nil {
		return
	}
	w.events, w.index = append(w.events, e), nil
	w.byID[e.ID()] = e
	before := w.stateAfter(e.PrevEvents())
	w.before[e.ID()] = before
	w.rejected[e.ID()] = len(w.events) > 1 && !w.allowed(e, before)
	after := before
	if t, ok := e.Tuple(); ok && !w.rejected[e.ID()] {
		after = maps.Clone(before)
		after[t] = e
	}
	w.after[e.ID()] = after
}

// allowed is everything but the present state.
func (w *world) allowed(e *event.Event, before eventauth.MapState) bool {
	var auth []*event.Event
	for _, a := range e.AuthEvents() {
		auth = append(auth, w.byID[a])
	}
	create := w.events[0]
	err := eventauth.CheckAuthEvents(e, eventauth.AuthEvents{
		Events: auth, Create: create, Rejected: func(a id.EventID) bool { return w.rejected[a] },
	})
	return len(e.PrevEvents()) > 0 && err == nil &&
		eventauth.Check(e, eventauth.AuthState(auth, create)) == nil && eventauth.Check(e, before) == nil
}

// stateAfter resolves the states after several events.
func (w *world) stateAfter(ids []id.EventID) eventauth.MapState {
	w.t.Helper()
	var states []map[event.Tuple]stateres.Num
	if w.index == nil {
		index, err := stateres.NewIndex(w.events, func(e id.EventID) bool { return w.rejected[e] })
		if err != nil {
			w.t.Fatal(err)
		}
		w.index = index
	}
	for _, eventID := range ids {
		nums := make(map[event.Tuple]stateres.Num)
		for t, e := range w.after[eventID] {
			nums[t] = w.index.Num(e.ID())
		}
		states = append(states, nums)
	}
	resolved := eventauth.MapState{}
	if len(states) == 0 {
		return resolved
	}
	nums, err := stateres.ResolveMaps(w.rules, states, w.index)
	if err != nil {
		w.t.Fatal(err)
	}
	for t, n := range nums {
		if resolved[t], err = w.index.Event(n); err != nil {
			w.t.Fatal(err)
		}
	}
	return resolved
}

// ancestors adds everything that the events follow to a set.
func (w *world) ancestors(ids []id.EventID, to map[id.EventID]bool) {
	for _, eventID := range ids {
		if !to[eventID] {
			to[eventID] = true
			w.ancestors(w.byID[eventID].PrevEvents(), to)
		}
	}
}

// view is what one server should make of what it receives, in the order in which
// it does.
type view struct {
	*world
	has   map[id.EventID]Outcome
	line  []*event.Event // the accepted ones, in order
	state eventauth.MapState
	// states are those after each of line.
	states []eventauth.MapState
}

func (w *world) view() *view {
	return &view{world: w, has: make(map[id.EventID]Outcome), state: eventauth.MapState{}}
}

// judge tells what becomes of an event; ok is false when something is missing.
func (v *view) judge(e *event.Event) (outcome Outcome, ok bool) {
	for _, other := range slices.Concat(e.PrevEvents(), e.AuthEvents()) {
		if v.has[other] == 0 {
			return 0, false
		}
	}
	switch {
	case v.has[e.ID()] != 0:
		return Known, true
	case v.rejected[e.ID()]:
		return Rejected, true
	case len(v.line) > 0 && eventauth.Check(e, v.state) != nil:
		return SoftFailed, true
	}
	return Accepted, true
}

// receive is what the engine's Receive does.
func (v *view) receive(e *event.Event) (Outcome, error) {
	v.add(e)
	outcome, ok := v.judge(e)
	if !ok {
		return 0, ErrMissing
	}
	if outcome == Known {
		return Known, nil
	}
	v.has[e.ID()] = outcome
	if outcome == Accepted {
		v.line = append(v.line, e)
		v.state = v.stateAfter(v.heads())
		v.states = append(v.states, v.state)
	}
	return outcome, nil
}

// heads returns the accepted events that no accepted one follows, in whatever
// way.
func (v *view) heads() []id.EventID {
	followed := make(map[id.EventID]bool)
	for _, e := range v.line {
		v.ancestors(e.PrevEvents(), followed)
	}
	var heads []id.EventID
	for _, e := range v.line {
		if !followed[e.ID()] {
			heads = append(heads, e.ID())
		}
	}
	return heads
}

// redacted reports whether an event was redacted by one that was accepted.
func (v *view) redacted(e *event.Event) bool {
	for _, r := range v.line {
		if r.Type() == event.TypeRedaction && r.Redacts() == e.ID() &&
			eventauth.RedactionApplies(r, e, eventauth.LevelsIn(v.before[r.ID()])) {
			return true
		}
	}
	return false
}

// counts returns how many members of a state are joined and invited.
func counts(state eventauth.MapState) (joined, invited int64) {
	for t, e := range state {
		switch {
		case t.Type != event.TypeMember || !isUser(t.StateKey):
		case e.Membership() == event.MembershipJoin:
			joined++
		case e.Membership() == event.MembershipInvite:
			invited++
		}
	}
	return joined, invited
}

// sameOutcome compares what the engine made of an event with what the model did.
func sameOutcome(got Outcome, gotErr error, want Outcome, wantErr error) bool {
	if wantErr != nil {
		return errors.Is(gotErr, wantErr)
	}
	return gotErr == nil && got == want
}
