package stateres

import (
	"cmp"
	"math"
	"slices"

	"parley/matrix/event"
	"parley/matrix/eventauth"
)

// powerOrder sorts events by the reverse topological power ordering: auth
// events before what they authorise, and among those that could come next the
// one whose sender had the greatest power first, then the oldest. The map has
// for each event those of its auth events that are in the map too.
func (r *resolver) powerOrder(edges map[Num][]Num) ([]Num, error) {
	waiting := make(map[Num]int, len(edges)) // how many auth events are not placed yet
	dependants := make(map[Num][]Num, len(edges))
	var ready heap[candidate]
	for n, auth := range edges {
		auth = slices.Compact(slices.Sorted(slices.Values(auth)))
		waiting[n] = len(auth)
		for _, a := range auth {
			dependants[a] = append(dependants[a], n)
		}
	}
	enqueue := func(n Num) error {
		c, err := r.candidate(n)
		if err == nil {
			ready.push(c, candidate.before)
		}
		return err
	}
	for n, count := range waiting {
		if count == 0 {
			if err := enqueue(n); err != nil {
				return nil, err
			}
		}
	}
	ordered := make([]Num, 0, len(edges))
	for len(ready.items) > 0 {
		n := ready.pop(candidate.before).num
		ordered = append(ordered, n)
		for _, d := range dependants[n] {
			if waiting[d]--; waiting[d] == 0 {
				if err := enqueue(d); err != nil {
					return nil, err
				}
			}
		}
	}
	return ordered, nil
}

// candidate is an event that could come next in the power ordering.
type candidate struct {
	num   Num
	level eventauth.Level
	event *event.Event
}

func (c candidate) before(o candidate) bool {
	return cmp.Or(-cmp.Compare(c.level, o.level), byAge(c.event, o.event)) < 0
}

// candidate finds the power level of an event's sender, going by the event's
// own auth events.
func (r *resolver) candidate(n Num) (candidate, error) {
	e, err := r.graph.event(n)
	if err != nil {
		return candidate{}, err
	}
	auth, err := r.graph.auth(n)
	if err != nil {
		return candidate{}, err
	}
	create := r.create
	var powerLevels *event.Event
	for _, a := range auth {
		authEvent, err := r.graph.event(a)
		if err != nil {
			return candidate{}, err
		}
		switch {
		case authEvent.IsState(event.TypePowerLevels, ""):
			powerLevels = authEvent
		case authEvent.IsState(event.TypeCreate, ""):
			create = authEvent
		}
	}
	level := eventauth.NewLevels(create, powerLevels).User(e.Sender())
	return candidate{num: n, level: level, event: e}, nil
}

// mainlineOrder sorts events by the mainline ordering based on the power
// levels in a state.
func (r *resolver) mainlineOrder(events []Num, state *workingState) ([]Num, error) {
	m := mainline{r: r, positions: make(map[Num]int)}
	top, err := state.num(event.Tuple{Type: event.TypePowerLevels})
	if err != nil {
		return nil, err
	}
	for i := 0; top != 0; i++ {
		m.positions[top] = i
		if top, err = r.levelsOf(top); err != nil {
			return nil, err
		}
	}
	placed := make([]placedEvent, len(events))
	for i, n := range events {
		p := placedEvent{num: n}
		if p.event, err = r.graph.event(n); err != nil {
			return nil, err
		}
		if p.position, err = m.position(n); err != nil {
			return nil, err
		}
		placed[i] = p
	}
	slices.SortFunc(placed, func(a, b placedEvent) int {
		return cmp.Or(-cmp.Compare(a.position, b.position), byAge(a.event, b.event))
	})
	ordered := make([]Num, len(placed))
	for i, p := range placed {
		ordered[i] = p.num
	}
	return ordered, nil
}

type placedEvent struct {
	num      Num
	position int
	event    *event.Event
}

// mainline is the chain of power levels that led to the present ones.
type mainline struct {
	r *resolver
	// positions has the place of each of its events, 0 for the present one,
	// and of other power levels that were asked for, what is nearest.
	positions map[Num]int
}

// offMainline is the position of events whose power levels never meet the
// mainline.
const offMainline = math.MaxInt

// position returns the place of the nearest mainline event that an event's
// power levels lead to. The event itself does not count, even if it is on the
// mainline.
func (m mainline) position(n Num) (int, error) {
	var path []Num
	position := offMainline
	for {
		levels, err := m.r.levelsOf(n)
		if err != nil {
			return 0, err
		}
		if levels == 0 {
			break
		}
		if p, known := m.positions[levels]; known {
			position = p
			break
		}
		path = append(path, levels)
		n = levels
	}
	for _, levels := range path {
		m.positions[levels] = position
	}
	return position, nil
}
