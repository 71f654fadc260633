package stateres

import (
	"slices"

	"parley/matrix/event"
)

// authDifference returns the events, besides the conflicted ones, that are in
// the auth chain of some states but not of all. An event of a state counts as
// part of that state's chain, as it does on other servers; so an event that
// all states hold is never in the difference.
//
// The chains of whole states need not be walked: an event is in every chain as
// soon as an unconflicted event is, or leads to, it. A first walk, from the
// conflicted events and the few unconflicted ones that lead to most others,
// finds which events could be in the difference. If there are any, a second
// walk adds all unconflicted events with numbers above the lowest of them,
// since no other can lead to one of them.
func (r *resolver) authDifference(conflicted []Num) ([]Num, error) {
	first := r.newChainWalk(conflicted)
	for _, eventType := range []string{event.TypeCreate, event.TypePowerLevels, event.TypeJoinRules} {
		n, err := r.conflict.Unconflicted.StateNum(event.Tuple{Type: eventType})
		if err != nil {
			return nil, err
		}
		if n != 0 {
			first.mark(n, first.full)
		}
	}
	if err := first.run(); err != nil || len(first.partial) == 0 {
		return nil, err
	}
	lowest := slices.Min(first.partial)
	second := r.newChainWalk(conflicted)
	for n, err := range r.conflict.Unconflicted.Nums() {
		if err != nil {
			return nil, err
		}
		if n > lowest {
			second.mark(n, second.full)
		}
	}
	if err := second.run(); err != nil {
		return nil, err
	}
	return second.partial, nil
}

// chainWalk marks the events of auth chains with the states they belong to,
// from the greatest number down, so that an event is complete when it is
// taken.
type chainWalk struct {
	r          *resolver
	conflicted []Num    // in ascending order
	full       stateSet // of all states

	// marks has for each event reached and not yet taken the states whose
	// chains have it.
	marks map[Num]stateSet
	queue queue
	open  int // how many events in marks are not in every chain

	// partial are the events taken that are in some chains only, less those
	// that are conflicted themselves.
	partial []Num
}

func (r *resolver) newChainWalk(conflicted []Num) *chainWalk {
	w := &chainWalk{
		r:          r,
		conflicted: conflicted,
		full:       fullSet(r.conflict.States),
		marks:      make(map[Num]stateSet, 4*len(conflicted)),
	}
	for _, nums := range r.conflict.Conflicted {
		for state, n := range nums {
			if n != 0 {
				w.mark(n, stateSet{}.with(state))
			}
		}
	}
	return w
}

// run goes on until every event that is left is in all chains.
func (w *chainWalk) run() error {
	for w.open > 0 {
		if err := w.take(); err != nil {
			return err
		}
	}
	return nil
}

func (w *chainWalk) isFull(s stateSet) bool { return s.size() == w.r.conflict.States }

// mark adds an event to the chains of states.
func (w *chainWalk) mark(n Num, states stateSet) {
	old, known := w.marks[n]
	if !known {
		w.queue.push(n)
	} else if !w.isFull(old) {
		w.open--
	}
	states = old.union(states)
	if !w.isFull(states) {
		w.open++
	}
	w.marks[n] = states
}

// take takes the event with the greatest number: nothing that is left can lead
// to it. Its marks pass to its auth events.
func (w *chainWalk) take() error {
	n := w.queue.pop()
	states := w.marks[n]
	delete(w.marks, n)
	if !w.isFull(states) {
		w.open--
		var err error
		if states, err = w.settle(n, states); err != nil {
			return err
		}
	}
	auth, err := w.r.graph.auth(n)
	if err != nil {
		return err
	}
	for _, a := range auth {
		w.mark(a, states)
	}
	return nil
}

// settle decides about an event that the walk found in some chains only.
func (w *chainWalk) settle(n Num, states stateSet) (stateSet, error) {
	if _, conflicted := slices.BinarySearch(w.conflicted, n); conflicted {
		return states, nil
	}
	agreed, err := w.r.isUnconflicted(n)
	if err != nil {
		return states, err
	}
	if agreed {
		return w.full, nil
	}
	w.partial = append(w.partial, n)
	return states, nil
}

// isUnconflicted reports whether all states hold the event.
func (r *resolver) isUnconflicted(n Num) (bool, error) {
	e, err := r.graph.event(n)
	if err != nil {
		return false, err
	}
	t, isState := e.Tuple()
	if !isState {
		return false, nil
	}
	held, err := r.conflict.Unconflicted.StateNum(t)
	return held == n, err
}

// conflictedSubgraph returns the events on the auth paths that lead from one
// event of the conflicted set to another, ends included; the set is in
// ascending order. https://spec.matrix.org/v1.19/rooms/v12/#definitions-1
func (r *resolver) conflictedSubgraph(set []Num) ([]Num, error) {
	// Down: everything that the set leads to, as far as its smallest number,
	// below which there is no end for a path.
	lowest := set[0]
	var q queue
	auths := make(map[Num][]Num)
	reach := func(n Num) {
		if _, known := auths[n]; !known && n >= lowest {
			auths[n] = nil
			q.push(n)
		}
	}
	for _, n := range set {
		reach(n)
	}
	var reached []Num
	for q.len() > 0 {
		n := q.pop()
		reached = append(reached, n)
		auth, err := r.graph.auth(n)
		if err != nil {
			return nil, err
		}
		auths[n] = auth
		for _, a := range auth {
			reach(a)
		}
	}
	// Up: of these, what leads back to the set.
	leads := make(map[Num]bool, len(reached))
	var subgraph []Num
	for _, n := range slices.Backward(reached) {
		_, leads[n] = slices.BinarySearch(set, n)
		for _, a := range auths[n] {
			leads[n] = leads[n] || leads[a]
		}
		if leads[n] {
			subgraph = append(subgraph, n)
		}
	}
	return subgraph, nil
}

// levelsOf returns the number of the power levels among the auth events of an
// event, 0 when it has none.
func (r *resolver) levelsOf(n Num) (Num, error) {
	if levels, ok := r.levels[n]; ok {
		return levels, nil
	}
	auth, err := r.graph.auth(n)
	if err != nil {
		return 0, err
	}
	for _, a := range auth {
		e, err := r.graph.event(a)
		if err != nil {
			return 0, err
		}
		if e.IsState(event.TypePowerLevels, "") {
			r.levels[n] = a
			return a, nil
		}
	}
	r.levels[n] = 0
	return 0, nil
}
