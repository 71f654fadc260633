package stateres_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"parley/internal/roomtest"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// goldenMerge is one resolution, in one version.
type goldenMerge struct {
	t    *testing.T
	line int
	game *goldenGame

	states   []eventauth.MapState
	resolved eventauth.MapState
}

// resolve is a [roomtest.Resolution].
func (m *goldenMerge) resolve(room *roomtest.Room, states []eventauth.MapState) eventauth.MapState {
	m.states = states
	m.resolved = m.with(m.index(room.Events()), states)
	m.checkMerge(room)
	return maps.Clone(m.resolved)
}

// index numbers events in an order that depends on the order in which they are
// given.
func (m *goldenMerge) index(events []*event.Event) *stateres.Index {
	x, err := stateres.NewIndex(events, func(eventID id.EventID) bool { return m.game.rejected[eventID] })
	if err != nil {
		m.fatal(err)
	}
	return x
}

func (m *goldenMerge) with(x *stateres.Index, states []eventauth.MapState) eventauth.MapState {
	numbered := make([]map[event.Tuple]stateres.Num, len(states))
	for i, state := range states {
		numbered[i] = make(map[event.Tuple]stateres.Num)
		for t, e := range state {
			numbered[i][t] = x.Num(e.ID())
		}
	}
	resolved, err := stateres.ResolveMaps(m.game.room.Rules(), numbered, x)
	if err != nil {
		m.fatal(err)
	}
	result := eventauth.MapState{}
	for t, n := range resolved {
		if n == 0 {
			continue
		}
		e, err := x.Event(n)
		if err != nil {
			m.fatal(err)
		}
		result[t] = e
	}
	return result
}

func (m *goldenMerge) fatal(err error) {
	m.t.Fatalf("line %d: version %s: %v", m.line, m.game.version, err)
}

// checkMerge checks what holds whatever conflicts: the result depends on the
// events only, places that are the same in all branches stay as they are, and
// what is in the result belongs there.
func (m *goldenMerge) checkMerge(room *roomtest.Room) {
	events := room.Events()
	backwards, byID := slices.Clone(events), slices.Clone(events)
	slices.Reverse(backwards)
	slices.SortFunc(byID, func(a, b *event.Event) int { return strings.Compare(string(a.ID()), string(b.ID())) })
	for i, order := range [][]*event.Event{events, backwards, byID} {
		x := m.index(order)
		for _, states := range permutations(m.states) {
			m.same(m.with(x, states), "with the branches in another order, in numbering", i)
		}
		m.same(m.with(x, append(slices.Clone(m.states), m.states[0])), "with a branch given twice, in numbering", i)
	}
	for _, t := range placesOf(m.states...) {
		if first := m.states[0][t]; m.agreed(t) && m.resolved[t] != first {
			m.t.Errorf("line %d: version %s: all branches have %s at %s, the result has %s",
				m.line, m.game.version, m.game.name(first), goldenPlace(t), m.game.name(m.resolved[t]))
		}
	}
	for t, e := range m.resolved {
		rejected := m.game.rejected[e.ID()] && !m.held(t, e)
		if !e.IsState(t.Type, t.StateKey) || e.RoomID() != room.ID() || rejected {
			m.t.Errorf("line %d: version %s: the result has %s at %s, where it cannot be",
				m.line, m.game.version, m.game.name(e), goldenPlace(t))
		}
	}
}

func (m *goldenMerge) same(got eventauth.MapState, how ...any) {
	for _, t := range placesOf(got, m.resolved) {
		if got[t] != m.resolved[t] {
			m.t.Errorf("line %d: version %s: %s has %s, but %s: %s", m.line, m.game.version,
				goldenPlace(t), m.game.name(m.resolved[t]), strings.TrimSpace(fmt.Sprintln(how...)), m.game.name(got[t]))
		}
	}
}

func (m *goldenMerge) agreed(t event.Tuple) bool {
	return !slices.ContainsFunc(m.states, func(s eventauth.MapState) bool { return s[t] != m.states[0][t] })
}

// held reports whether a branch has the event. It may have one that was
// rejected when a server believed another's state.
func (m *goldenMerge) held(t event.Tuple, e *event.Event) bool {
	return slices.ContainsFunc(m.states, func(s eventauth.MapState) bool { return s[t] == e })
}

// text has a line for each place about which the branches disagree, or which
// the result has and they have not.
func (m *goldenMerge) text() string {
	var lines []string
	for _, t := range placesOf(append(slices.Clone(m.states), m.resolved)...) {
		if !m.agreed(t) || m.resolved[t] != m.states[0][t] {
			lines = append(lines, goldenPlace(t)+": "+m.game.name(m.resolved[t]))
		}
	}
	if lines == nil {
		return "the branches agree"
	}
	return strings.Join(lines, "\n")
}

// permutations returns all orders of up to four states, and some of more.
func permutations(states []eventauth.MapState) [][]eventauth.MapState {
	if len(states) > 4 {
		backwards := slices.Clone(states)
		slices.Reverse(backwards)
		return [][]eventauth.MapState{states, backwards, append(slices.Clone(states[3:]), states[:3]...)}
	}
	if len(states) < 2 {
		return [][]eventauth.MapState{states}
	}
	var all [][]eventauth.MapState
	for i := range states {
		rest := slices.Delete(slices.Clone(states), i, i+1)
		for _, p := range permutations(rest) {
			all = append(all, append([]eventauth.MapState{states[i]}, p...))
		}
	}
	return all
}
