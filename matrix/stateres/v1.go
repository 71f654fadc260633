package stateres

import (
	"bytes"
	"cmp"
	"crypto/sha1"
	"errors"
	"slices"

	"parley/matrix/event"
	"parley/matrix/eventauth"
)

// resolveV1 is the algorithm of https://spec.matrix.org/v1.19/rooms/v1/#state-resolution.
//
// A place that only some states fill is no conflict here: the event there is
// taken. Passes resolve power levels, join rules, members and the rest, in
// this order; a pass sees what the passes before it decided.
func (r *resolver) resolveV1() (map[event.Tuple]Num, error) {
	resolved := make(map[event.Tuple]Num)
	var passes [4][]event.Tuple
	for t, nums := range r.conflict.Conflicted {
		if held := distinct(nums); len(held) == 1 {
			resolved[t] = held[0]
		} else {
			pass := passV1(t)
			passes[pass] = append(passes[pass], t)
		}
	}
	for pass, places := range passes {
		// What a pass decides becomes visible at its end, so that the order of
		// its places does not matter.
		decided := make(map[event.Tuple]Num, len(places))
		for _, t := range places {
			events, err := r.sortedV1(r.conflict.Conflicted[t])
			if err != nil {
				return nil, err
			}
			s := &stateV1{r: r, resolved: resolved}
			if pass < len(passes)-1 {
				decided[t], err = s.lastAllowed(t, events)
			} else {
				decided[t], err = s.highestAllowed(events)
			}
			if err != nil {
				return nil, err
			}
		}
		for t, n := range decided {
			resolved[t] = n
		}
	}
	return resolved, nil
}

func passV1(t event.Tuple) int {
	switch {
	case t.Type == event.TypePowerLevels && t.StateKey == "":
		return 0
	case t.Type == event.TypeJoinRules:
		return 1
	case t.Type == event.TypeMember:
		return 2
	}
	return 3
}

func distinct(nums []Num) []Num {
	nums = slices.Sorted(slices.Values(nums))
	nums = slices.Compact(nums)
	if len(nums) > 0 && nums[0] == 0 {
		nums = nums[1:]
	}
	return nums
}

// eventV1 is an event with what the algorithm sorts by.
type eventV1 struct {
	num   Num
	event *event.Event
	hash  [sha1.Size]byte
}

// sortedV1 sorts the events of one place by ascending depth, then descending
// SHA-1 of their IDs.
func (r *resolver) sortedV1(nums []Num) ([]eventV1, error) {
	var events []eventV1
	for _, n := range distinct(nums) {
		e, err := r.graph.event(n)
		if err != nil {
			return nil, err
		}
		events = append(events, eventV1{num: n, event: e, hash: sha1.Sum([]byte(e.ID()))})
	}
	slices.SortFunc(events, func(a, b eventV1) int {
		return cmp.Or(cmp.Compare(a.event.Depth(), b.event.Depth()), -bytes.Compare(a.hash[:], b.hash[:]))
	})
	return events, nil
}

// stateV1 is the state R of the algorithm, with a place of its own for what is
// being decided.
type stateV1 struct {
	r        *resolver
	resolved map[event.Tuple]Num

	place event.Tuple
	there *event.Event // in place, nil while nothing is decided
	fault error
}

// lastAllowed takes the first event, and lets each following one replace it as
// long as the state so far allows that.
func (s *stateV1) lastAllowed(t event.Tuple, events []eventV1) (Num, error) {
	s.place, s.there = t, events[0].event
	last := events[0].num
	for _, e := range events[1:] {
		allowed, err := s.allows(e.event)
		if err != nil {
			return 0, err
		}
		if !allowed {
			break
		}
		s.there, last = e.event, e.num
	}
	return last, nil
}

// highestAllowed takes the event with the greatest depth that the state
// allows. If it allows none the specification is silent, and the lowest stays,
// as on the server that defined the algorithm.
func (s *stateV1) highestAllowed(events []eventV1) (Num, error) {
	for _, e := range slices.Backward(events) {
		allowed, err := s.allows(e.event)
		if err != nil {
			return 0, err
		}
		if allowed {
			return e.num, nil
		}
	}
	return events[0].num, nil
}

func (s *stateV1) allows(e *event.Event) (bool, error) {
	err := eventauth.Check(e, s)
	if s.fault != nil {
		return false, s.fault
	}
	if refusal := (*eventauth.Refusal)(nil); err != nil && !errors.As(err, &refusal) {
		return false, err
	}
	return err == nil, nil
}

// StateEvent implements eventauth.State.
func (s *stateV1) StateEvent(t event.Tuple) *event.Event {
	if s.there != nil && t == s.place {
		return s.there
	}
	e, err := s.lookup(t)
	if err != nil && s.fault == nil {
		s.fault = err
	}
	return e
}

func (s *stateV1) lookup(t event.Tuple) (*event.Event, error) {
	n, ok := s.resolved[t]
	if !ok {
		var err error
		if n, err = s.r.conflict.Unconflicted.StateNum(t); err != nil {
			return nil, err
		}
	}
	if n == 0 {
		return nil, nil
	}
	return s.r.graph.event(n)
}
