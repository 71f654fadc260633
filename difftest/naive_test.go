package difftest

import (
	"cmp"
	"maps"
	"slices"

	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

// naive resolves states the way the specification describes it, with whole
// auth chains as sets and no thought of cost. Its zero value, but for the
// room, has the readings that parley documents; the other fields change them.
type naive struct {
	room   *forkedRoom
	states []stateMap

	// literalChains leaves an event of a state out of that state's auth chain,
	// unless another event leads to it.
	literalChains bool
	// throughChains follows the auth chain of a power event in step 1, and in
	// the ordering, through events outside of the full conflicted set.
	throughChains bool
	// literalTypes takes, in room version 1, power levels with any state key
	// for power levels.
	literalTypes bool
	deviations   deviations

	chains map[id.EventID]eventSet
	joins  staleJoinRule
}

type eventSet map[id.EventID]*event.Event

func (s eventSet) add(e *event.Event) { s[e.ID()] = e }

func (s eventSet) has(e *event.Event) bool { return s[e.ID()] != nil }

func (s eventSet) addAll(other eventSet) { maps.Copy(s, other) }

// authEvents returns what an event lists.
func (n *naive) authEvents(e *event.Event) (events []*event.Event) {
	for _, eventID := range e.AuthEvents() {
		events = append(events, n.room.byID[eventID])
	}
	return events
}

// chain is the auth chain of an event: all of its auth events, all of their
// auth events, and so on.
func (n *naive) chain(e *event.Event) eventSet {
	if n.chains == nil {
		n.chains = make(map[id.EventID]eventSet)
	}
	if c, ok := n.chains[e.ID()]; ok {
		return c
	}
	c := make(eventSet)
	for _, a := range n.authEvents(e) {
		c.add(a)
		c.addAll(n.chain(a))
	}
	n.chains[e.ID()] = c
	return c
}

// split divides the states into the unconflicted state map and the conflicted
// state set.
func (n *naive) split() (unconflicted stateMap, conflicted eventSet) {
	unconflicted, conflicted = make(stateMap), make(eventSet)
	for _, state := range n.states {
		for t, e := range state {
			agreed := true
			for _, other := range n.states {
				agreed = agreed && other[t] != nil && other[t].ID() == e.ID()
			}
			if agreed {
				unconflicted[t] = e
			} else {
				conflicted.add(e)
			}
		}
	}
	return unconflicted, conflicted
}

// authDifference is the union less the intersection of the full auth chains.
func (n *naive) authDifference() eventSet {
	var full []eventSet
	union := make(eventSet)
	for _, state := range n.states {
		c := make(eventSet)
		for _, e := range state {
			c.addAll(n.chain(e))
			if !n.literalChains {
				c.add(e)
			}
		}
		full = append(full, c)
		union.addAll(c)
	}
	difference := make(eventSet)
	for _, e := range union {
		for _, c := range full {
			if !c.has(e) {
				difference.add(e)
			}
		}
	}
	return difference
}

// subgraph is the conflicted state subgraph: all events on paths along
// auth_events from one event of the conflicted state set to another.
func (n *naive) subgraph(conflicted eventSet) eventSet {
	on := make(eventSet)
	for _, e := range n.room.events {
		below, above := conflicted.has(e), conflicted.has(e)
		for _, c := range conflicted {
			below = below || n.chain(c).has(e)
			above = above || n.chain(e).has(c)
		}
		if below && above {
			on.add(e)
		}
	}
	return on
}

// resolve returns the resolved state. ok is false when a deviation would have
// panicked.
func (n *naive) resolve() (result stateMap, ok bool) {
	if n.room.rules.StateRes == roomver.StateResV1 {
		return n.resolveV1(), true
	}
	emptyStart := n.room.rules.StateRes == roomver.StateResV21
	unconflicted, conflicted := n.split()
	full := maps.Clone(conflicted)
	full.addAll(n.authDifference())
	if emptyStart {
		full.addAll(n.subgraph(conflicted))
	}
	if n.deviations.has(agreedLeftOut) {
		for _, e := range unconflicted {
			delete(full, e.ID())
		}
	}

	// 1.
	x := n.selected(full, conflicted)
	if emptyStart && n.deviations.has(unknownCreate) && len(x) > 0 {
		return nil, false
	}
	ordered := n.powerOrdering(x, conflicted, unconflicted)
	// 2.
	state := make(stateMap)
	if !emptyStart {
		maps.Copy(state, unconflicted)
	}
	n.iterate(state, ordered)
	// 3.
	var rest []*event.Event
	for _, e := range full {
		if !x.has(e) {
			rest = append(rest, e)
		}
	}
	n.sortByMainline(rest, state[event.Tuple{Type: event.TypePowerLevels}])
	// 4.
	n.iterate(state, rest)
	// 5.
	maps.Copy(state, unconflicted)
	return state, true
}

// selected is the set X of step 1.
func (n *naive) selected(full, conflicted eventSet) eventSet {
	x := make(eventSet)
	var enlarge func(e *event.Event)
	within := full
	if n.deviations.has(conflictedChains) {
		within = conflicted
	}
	enlarge = func(e *event.Event) {
		x.add(e)
		for _, a := range n.authEvents(e) {
			if within.has(a) && !x.has(a) {
				enlarge(a)
			}
		}
	}
	for _, e := range full {
		if !isPower(e) {
			continue
		}
		if !n.throughChains {
			enlarge(e)
			continue
		}
		x.add(e)
		for _, a := range n.chain(e) {
			if full.has(a) {
				x.add(a)
			}
		}
	}
	return x
}

func isPower(e *event.Event) bool {
	key, isState := e.StateKey()
	switch e.Type() {
	case "m.room.power_levels", "m.room.join_rules":
		return isState && key == ""
	case "m.room.member":
		membership, _ := e.Content().Get("membership").Text()
		return isState && (membership == "leave" || membership == "ban") && key != string(e.Sender())
	}
	return false
}

// powerOrdering is the reverse topological power ordering of a set.
func (n *naive) powerOrdering(x, conflicted eventSet, unconflicted stateMap) []*event.Event {
	var first []*event.Event
	left := maps.Clone(x)
	if n.deviations.has(strays) {
		first = n.strays(x, conflicted, unconflicted)
		for _, e := range first {
			delete(left, e.ID())
		}
	}
	if n.deviations.has(backward) {
		return append(first, n.backwardOrdering(left)...)
	}
	ordered := first
	for len(left) > 0 {
		var next *event.Event
		for _, e := range left {
			if !n.blocked(e, left) && (next == nil || n.comparePower(e, next) < 0) {
				next = e
			}
		}
		ordered = append(ordered, next)
		delete(left, next.ID())
	}
	return ordered
}

// blocked reports whether an event has auth events among those that are left.
func (n *naive) blocked(e *event.Event, left eventSet) bool {
	if n.throughChains {
		for _, a := range n.chain(e) {
			if left.has(a) {
				return true
			}
		}
	}
	return slices.ContainsFunc(n.authEvents(e), left.has)
}

func (n *naive) comparePower(a, b *event.Event) int {
	return cmp.Or(-cmp.Compare(n.senderLevel(a), n.senderLevel(b)), compareAge(a, b))
}

func compareAge(a, b *event.Event) int {
	return cmp.Or(cmp.Compare(a.OriginServerTS(), b.OriginServerTS()), cmp.Compare(a.ID(), b.ID()))
}

// senderLevel is the power level of an event's sender when looking at its auth
// events. Levels are integers in these rooms.
func (n *naive) senderLevel(e *event.Event) int64 {
	const infinite = 1 << 62
	user := string(e.Sender())
	if n.room.rules.PrivilegedCreators {
		if user == string(n.room.create.Sender()) {
			return infinite
		}
		for v := range n.room.create.Content().Get("additional_creators").Elements() {
			if v.Is(user) {
				return infinite
			}
		}
	}
	if levels := n.levelsOf(e); levels != nil {
		content := levels.Content()
		if level, ok := content.Get("users").Get(user).Int(); ok {
			return level
		}
		level, _ := content.Get("users_default").Int()
		return level
	}
	if n.deviations.has(powerlessCreator) || n.room.rules.PrivilegedCreators {
		return 0
	}
	for _, a := range n.authEvents(e) {
		if a.Type() == "m.room.create" && a.Sender() == e.Sender() {
			return 100
		}
	}
	return 0
}

// levelsOf returns the power levels among the auth events of an event.
func (n *naive) levelsOf(e *event.Event) *event.Event {
	for _, a := range n.authEvents(e) {
		if a.IsState("m.room.power_levels", "") {
			return a
		}
	}
	return nil
}

// sortByMainline sorts by the mainline ordering based on power levels, which
// may be nil.
func (n *naive) sortByMainline(events []*event.Event, levels *event.Event) {
	var mainline []*event.Event
	for p := levels; p != nil; p = n.levelsOf(p) {
		mainline = append(mainline, p)
	}
	position := func(e *event.Event) (at, steps int) {
		for p := n.levelsOf(e); p != nil; p = n.levelsOf(p) {
			if i := slices.Index(mainline, p); i >= 0 {
				return i, steps
			}
			steps++
		}
		if n.deviations.has(mainlineEnd) {
			return len(mainline) - 1, steps
		}
		return 1 << 30, steps
	}
	slices.SortFunc(events, func(a, b *event.Event) int {
		atA, stepsA := position(a)
		atB, stepsB := position(b)
		if !n.deviations.has(mainlineSteps) {
			stepsA, stepsB = 0, 0
		}
		return cmp.Or(-cmp.Compare(atA, atB), cmp.Compare(stepsA, stepsB), compareAge(a, b))
	})
}

// iterate is the iterative auth checks algorithm.
func (n *naive) iterate(state stateMap, events []*event.Event) {
	for _, e := range events {
		t, isState := e.Tuple()
		if isState && n.allowed(e, n.filled(state, e)) {
			state[t] = e
		}
	}
}

// filled is a state in which the auth events of an event stand in for what is
// not present.
func (n *naive) filled(state stateMap, e *event.Event) stateMap {
	if n.deviations.has(fillsItself) {
		return n.filledWithItself(state, e)
	}
	state = maps.Clone(state)
	if n.room.rules.RoomIDFromCreate && state[event.Tuple{Type: "m.room.create"}] == nil && !n.deviations.has(unknownCreate) {
		state[event.Tuple{Type: "m.room.create"}] = n.room.create
	}
	for _, a := range n.authEvents(e) {
		t, isState := a.Tuple()
		if isState && state[t] == nil && !n.room.rejected[a.ID()] {
			state[t] = a
		}
	}
	return state
}

func (n *naive) allowed(e *event.Event, state stateMap) bool {
	if n.deviations.has(otherRules) {
		return n.allowedByOther(e, state)
	}
	return eventauth.Check(e, eventauth.MapState(state)) == nil
}
