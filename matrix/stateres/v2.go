package stateres

import (
	"cmp"
	"slices"

	"parley/matrix/event"
	"parley/matrix/roomver"
)

// resolveV2 is the algorithm of https://spec.matrix.org/v1.19/rooms/v2/#state-resolution
// and, where the rules say so, that of https://spec.matrix.org/v1.19/rooms/v12/#state-resolution.
func (r *resolver) resolveV2() (map[event.Tuple]Num, error) {
	if r.rules.RoomIDFromCreate {
		if err := r.findCreate(); err != nil {
			return nil, err
		}
	}
	r.levels = make(map[Num]Num)
	full, err := r.fullConflictedSet()
	if err != nil {
		return nil, err
	}
	// 1. Select the set X of all power events that appear in the full
	// conflicted set. For each such power event P, enlarge X by adding the
	// events in the auth chain of P which also belong to the full conflicted
	// set. Sort X into a list using the reverse topological power ordering.
	x, err := r.powerEvents(full)
	if err != nil {
		return nil, err
	}
	ordered, err := r.powerOrder(x)
	if err != nil {
		return nil, err
	}
	// 2. Apply the iterative auth checks algorithm, starting from the
	// unconflicted state map, to the list of events from the previous step to
	// get a partially resolved state. (v2.1: starting from an empty state map.)
	state := newWorkingState(r, r.rules.StateRes != roomver.StateResV21)
	if err := state.apply(ordered); err != nil {
		return nil, err
	}
	// 3. Take all remaining events that weren't picked in step 1 and order
	// them by the mainline ordering based on the power level in the partially
	// resolved state obtained in step 2.
	rest := slices.DeleteFunc(full, func(n Num) bool {
		_, picked := x[n]
		return picked
	})
	rest, err = r.mainlineOrder(rest, state)
	if err != nil {
		return nil, err
	}
	// 4. Apply the iterative auth checks algorithm on the partial resolved
	// state and the list of events from the previous step.
	if err := state.apply(rest); err != nil {
		return nil, err
	}
	// 5. Update the result by replacing any event with the event with the same
	// key from the unconflicted state map, if such an event exists, to get the
	// final resolved state.
	return state.withoutUnconflicted()
}

// fullConflictedSet returns the conflicted state set and the auth difference,
// for v2.1 also the conflicted state subgraph: each event once, in ascending
// order of numbers.
func (r *resolver) fullConflictedSet() ([]Num, error) {
	set := r.conflictedSet()
	difference, err := r.authDifference(set)
	if err != nil {
		return nil, err
	}
	full := append(slices.Clone(set), difference...)
	if r.rules.StateRes == roomver.StateResV21 {
		subgraph, err := r.conflictedSubgraph(set)
		if err != nil {
			return nil, err
		}
		full = append(full, subgraph...)
	}
	slices.Sort(full)
	return slices.Compact(full), nil
}

// conflictedSet returns the events in conflicted places in ascending order.
func (r *resolver) conflictedSet() []Num {
	var set []Num
	for _, nums := range r.conflict.Conflicted {
		for _, n := range nums {
			if n != 0 {
				set = append(set, n)
			}
		}
	}
	slices.Sort(set)
	return slices.Compact(set)
}

// powerEvents returns the set X of step 1, each event with those of its auth
// events that are in the full conflicted set. The chain of a power event is
// followed inside that set only: an event outside of it cuts the chain, as it
// does on the other servers that a result must agree with.
func (r *resolver) powerEvents(full []Num) (map[Num][]Num, error) {
	x := make(map[Num][]Num)
	// From the greatest number down, an event is picked before its auth events
	// are looked at.
	for _, n := range slices.Backward(full) {
		e, err := r.graph.event(n)
		if err != nil {
			return nil, err
		}
		if _, picked := x[n]; !picked && !isPowerEvent(e) {
			continue
		}
		auth, err := r.graph.auth(n)
		if err != nil {
			return nil, err
		}
		edges := []Num{}
		for _, a := range auth {
			if _, conflicted := slices.BinarySearch(full, a); conflicted {
				edges = append(edges, a)
				if _, picked := x[a]; !picked {
					x[a] = nil
				}
			}
		}
		x[n] = edges
	}
	return x, nil
}

// isPowerEvent reports whether an event can take from somebody the ability to
// do something in the room. Power levels and join rules count only where the
// auth rules look for them, with an empty state key.
func isPowerEvent(e *event.Event) bool {
	if e.IsState(event.TypePowerLevels, "") || e.IsState(event.TypeJoinRules, "") {
		return true
	}
	target, isState := e.StateKey()
	if !isState || e.Type() != event.TypeMember || target == string(e.Sender()) {
		return false
	}
	m := e.Membership()
	return m == event.MembershipLeave || m == event.MembershipBan
}

// byAge orders events by origin_server_ts, then by event ID.
func byAge(a, b *event.Event) int {
	return cmp.Or(cmp.Compare(a.OriginServerTS(), b.OriginServerTS()), cmp.Compare(a.ID(), b.ID()))
}
