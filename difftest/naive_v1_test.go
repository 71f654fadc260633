package difftest

import (
	"bytes"
	"cmp"
	"crypto/sha1"
	"maps"
	"slices"

	"parley/matrix/event"
)

// resolveV1 is the algorithm of room version 1.
func (n *naive) resolveV1() stateMap {
	r, conflicts := n.splitV1()
	passes := []func(event.Tuple) bool{
		func(t event.Tuple) bool {
			return t.Type == "m.room.power_levels" && (t.StateKey == "" || n.literalTypes)
		},
		func(t event.Tuple) bool {
			return t.Type == "m.room.join_rules" && (t.StateKey == "" || !n.deviations.has(oddJoinRules))
		},
		func(t event.Tuple) bool { return t.Type == "m.room.member" },
	}
	if n.deviations.has(invitesFirst) {
		passes = slices.Insert(passes, 2, func(t event.Tuple) bool { return t.Type == "m.room.third_party_invite" })
	}
	for _, pass := range passes {
		decided := make(stateMap)
		for t, events := range conflicts {
			if pass(t) {
				decided[t] = n.lastAllowed(r, t, events)
				delete(conflicts, t)
			}
		}
		maps.Copy(r, decided)
	}
	// For all other conflicts, just pick the event with the highest depth and
	// lowest sha1(event_id) that passes authentication in R.
	decided := make(stateMap)
	for t, events := range conflicts {
		decided[t] = events[0]
		for _, e := range slices.Backward(events) {
			if n.allowed(e, r) {
				decided[t] = e
				break
			}
		}
	}
	maps.Copy(r, decided)
	return r
}

// splitV1 returns the union of the states to be resolved, excluding any
// conflicting events, and those, by their places and in order.
func (n *naive) splitV1() (r stateMap, conflicts map[event.Tuple][]*event.Event) {
	r, conflicts = make(stateMap), make(map[event.Tuple][]*event.Event)
	for _, state := range n.states {
		for t, e := range state {
			if !slices.Contains(conflicts[t], e) {
				conflicts[t] = append(conflicts[t], e)
			}
		}
	}
	for t, events := range conflicts {
		slices.SortFunc(events, compareV1)
		if len(events) == 1 {
			r[t] = events[0]
			delete(conflicts, t)
		}
	}
	return r, conflicts
}

func (n *naive) lastAllowed(r stateMap, t event.Tuple, events []*event.Event) *event.Event {
	r = maps.Clone(r)
	r[t] = events[0]
	for _, e := range events[1:] {
		if !n.allowed(e, r) {
			break
		}
		r[t] = e
	}
	return r[t]
}

// compareV1 orders by ascending depth then descending sha1(event_id).
func compareV1(a, b *event.Event) int {
	hashA, hashB := sha1.Sum([]byte(a.ID())), sha1.Sum([]byte(b.ID()))
	return cmp.Or(cmp.Compare(a.Depth(), b.Depth()), -bytes.Compare(hashA[:], hashB[:]))
}
