package difftest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"parley/matrix/id"
	"parley/matrix/roomver"
)

func eventIDOf(s string) id.EventID { return id.EventID(s) }

// TestStateResolution compares the resolved states of random forked rooms.
func TestStateResolution(t *testing.T) {
	silence(t)
	s := newSeries(t, "rooms", "DIFFTEST_ROOMS", fullRooms)
	s.run(func(index int, rng *rand.Rand) {
		room := newForkedRoom(rng)
		version := "room version " + string(room.rules.Version)
		s.count("rooms of " + version)
		reference := naive{room: room, states: room.states}
		want, _ := reference.resolve()
		got := room.parley(room.states)
		if !sameState(got, want) {
			s.differ(index, "parley is not the reference in "+version, room.describe("parley", got, want))
		}
		if _, conflicted := reference.split(); len(conflicted) == 0 {
			s.count("rooms without conflict")
		}
		s.readings(reference, want)
		if room.paths() > maxPaths {
			s.count("rooms with too many paths for gomatrixserverlib")
			return
		}
		s.compareOther(index, room, reference, want)
	})
	checkUse(t, s, roomExplanations[:])
	s.report(t)
}

// readings counts how often the letter of the specification, where parley
// reads it otherwise, gives another state.
func (s *series) readings(n naive, want stateMap) {
	if n.room.rules.StateRes == roomver.StateResV1 {
		n.literalTypes = true
		if state, _ := n.resolve(); !sameState(state, want) {
			s.count("other state if power levels with a state key count in version 1")
		}
		return
	}
	s.count("rooms with the algorithm of version 2 or later")
	n.literalChains = true
	if state, _ := n.resolve(); !sameState(state, want) {
		s.count("other state if an event of a state is not in that state's auth chain")
	}
	n.literalChains, n.throughChains = false, true
	if state, _ := n.resolve(); !sameState(state, want) {
		s.count("other state if chains lead through events outside of the full conflicted set")
	}
}

// compareOther compares what gomatrixserverlib resolves with the reference,
// and finds the smallest set of deviations that explains a difference.
func (s *series) compareOther(index int, room *forkedRoom, reference naive, want stateMap) {
	got, ok := room.gomatrixserverlib()
	if ok && sameState(got, want) {
		s.count("gomatrixserverlib agrees")
		return
	}
	explains := func(d deviations) bool {
		n := naive{room: room, states: room.states, deviations: d, chains: reference.chains}
		state, modelled := n.resolve()
		return modelled == ok && sameState(state, got)
	}
	found := deviations(1<<allDeviations - 1)
	if !explains(found) {
		what := "gomatrixserverlib"
		if !ok {
			what += " panics"
		}
		s.differ(index, what+" differs in room version "+string(room.rules.Version), room.describe("gomatrixserverlib", got, want))
		return
	}
	for i := range allDeviations {
		if less := found &^ (1 << i); explains(less) {
			found = less
		}
	}
	s.count("gomatrixserverlib differs, explained")
	for _, e := range roomExplanations {
		if e.covers(found) {
			s.explained(e.name)
		}
	}
}

func sameState(a, b stateMap) bool {
	if len(a) != len(b) {
		return false
	}
	for t, e := range a {
		if b[t] == nil || b[t].ID() != e.ID() {
			return false
		}
	}
	return true
}

// maxPaths is how many paths gomatrixserverlib may have to walk: in room
// version 12 it walks every path from every conflicted event.
const maxPaths = 100_000

func (r *forkedRoom) paths() int {
	if !r.rules.RoomIDFromCreate {
		return 0
	}
	paths := make(map[id.EventID]int)
	for _, e := range r.events {
		paths[e.ID()] = 1
		for _, a := range e.AuthEvents() {
			paths[e.ID()] = min(maxPaths, paths[e.ID()]+paths[a])
		}
	}
	total := 0
	for _, state := range r.states {
		for _, e := range state {
			total += paths[e.ID()]
		}
	}
	return total
}

func (r *forkedRoom) describe(who string, got, want stateMap) string {
	var b strings.Builder
	for t := range want {
		if got[t] != want[t] {
			fmt.Fprintf(&b, "%s %q: %s has %v, want %s\n", t.Type, t.StateKey, who, got[t] != nil, want[t].ID())
			if got[t] != nil {
				fmt.Fprintf(&b, "\tgot %s\n", got[t].ID())
			}
		}
	}
	for t := range got {
		if want[t] == nil {
			fmt.Fprintf(&b, "%s %q: %s has %s, want nothing\n", t.Type, t.StateKey, who, got[t].ID())
		}
	}
	for _, e := range r.events {
		var in []int
		for i, state := range r.states {
			if t, _ := e.Tuple(); state[t] == e {
				in = append(in, i)
			}
		}
		key, _ := e.StateKey()
		fmt.Fprintf(&b, "%s %s %q by %s at %d in %v rejected %v: %s, auth %s\n", e.ID(), e.Type(), key, e.Sender(),
			e.OriginServerTS(), in, r.rejected[e.ID()], e.Content(), slices.Collect(slices.Values(e.AuthEvents())))
	}
	return b.String()
}
