package stateres

import (
	"errors"
	"fmt"
	"iter"

	"parley/matrix/event"
	"parley/matrix/roomver"
)

// A Num is the number of an event. It is greater than the numbers of the
// event's auth events, and never 0.
type Num uint64

// Graph gives access to the events of one room and to how they authorise each
// other. An error ends the resolution and is returned, wrapped. It need not be
// safe for concurrent use.
type Graph interface {
	// Event returns an event. That it is missing is an error.
	Event(Num) (*event.Event, error)
	// AuthEvents returns the numbers of an event's auth events, in any order.
	AuthEvents(Num) ([]Num, error)
	// Rejected reports whether an event was rejected when it was received.
	Rejected(Num) (bool, error)
}

// View is what all the states agree about.
type View interface {
	// StateNum returns the number of the event in a place, 0 when the states
	// agree that there is none or do not agree.
	StateNum(event.Tuple) (Num, error)
	// Nums yields the numbers of all events in the view, in any order. It is
	// called only when the auth difference is not empty.
	Nums() iter.Seq2[Num, error]
}

// A Conflict is a set of states, given by what they agree and what they
// disagree about.
type Conflict struct {
	// States is how many states there are.
	States int
	// Conflicted has for each place that is not the same in all states the
	// number of the event there in each of them, 0 where there is none.
	Conflicted map[event.Tuple][]Num
	// Unconflicted is the rest.
	Unconflicted View
}

// Resolve returns what the resolved state has besides the unconflicted part,
// which it has in any case: for conflicted places and, rarely, for places
// where no state has anything. A conflicted place that is not in the result is
// empty.
func Resolve(rules *roomver.Rules, c Conflict, g Graph) (map[event.Tuple]Num, error) {
	if len(c.Conflicted) == 0 {
		return map[event.Tuple]Num{}, nil
	}
	r := &resolver{rules: rules, conflict: c, graph: graph{g}}
	resolved, err := r.resolve()
	if err != nil {
		return nil, fmt.Errorf("resolving %d states: %w", c.States, err)
	}
	return resolved, nil
}

// ResolveMaps resolves whole states. It is for small rooms and for checking
// Resolve; the cost is that of reading all the states.
func ResolveMaps(rules *roomver.Rules, states []map[event.Tuple]Num, g Graph) (map[event.Tuple]Num, error) {
	agreed, c := Split(states)
	changes, err := Resolve(rules, c, g)
	if err != nil {
		return nil, err
	}
	for t, n := range changes {
		agreed[t] = n
	}
	return agreed, nil
}

// Split finds what states agree and what they disagree about. The map is what
// they agree about and lies behind the conflict's view.
func Split(states []map[event.Tuple]Num) (agreed map[event.Tuple]Num, c Conflict) {
	agreed = make(map[event.Tuple]Num)
	c = Conflict{States: len(states), Conflicted: make(map[event.Tuple][]Num)}
	for _, state := range states {
		for t := range state {
			if c.Conflicted[t] != nil || agreed[t] != 0 {
				continue
			}
			if same, nums := compareStates(states, t); same {
				agreed[t] = nums[0]
			} else {
				c.Conflicted[t] = nums
			}
		}
	}
	c.Unconflicted = mapView(agreed)
	return agreed, c
}

func compareStates(states []map[event.Tuple]Num, t event.Tuple) (same bool, nums []Num) {
	nums = make([]Num, len(states))
	same = true
	for i, state := range states {
		nums[i] = state[t]
		same = same && nums[i] == nums[0]
	}
	return same, nums
}

type mapView map[event.Tuple]Num

func (v mapView) StateNum(t event.Tuple) (Num, error) { return v[t], nil }

func (v mapView) Nums() iter.Seq2[Num, error] {
	return func(yield func(Num, error) bool) {
		for _, n := range v {
			if !yield(n, nil) {
				return
			}
		}
	}
}

// graph checks what a Graph promises.
type graph struct{ Graph }

// auth returns the numbers of an event's auth events, each checked to be
// smaller than the event's own: what keeps every walk finite.
func (g graph) auth(n Num) ([]Num, error) {
	auth, err := g.AuthEvents(n)
	if err != nil {
		return nil, fmt.Errorf("auth events of event %d: %w", n, err)
	}
	for _, a := range auth {
		if a >= n || a == 0 {
			return nil, fmt.Errorf("event %d has auth event %d, which cannot have come before it", n, a)
		}
	}
	return auth, nil
}

func (g graph) event(n Num) (*event.Event, error) {
	e, err := g.Event(n)
	if err != nil {
		return nil, fmt.Errorf("event %d: %w", n, err)
	}
	return e, nil
}

// resolver is one resolution.
type resolver struct {
	rules    *roomver.Rules
	conflict Conflict
	graph    graph

	// create is the create event of the room where its ID makes the room ID.
	create *event.Event
	// levels caches the number of the power levels among an event's auth
	// events, 0 for none.
	levels map[Num]Num
}

func (r *resolver) resolve() (map[event.Tuple]Num, error) {
	if r.rules.StateRes == roomver.StateResV1 {
		return r.resolveV1()
	}
	return r.resolveV2()
}

// findCreate loads the create event that the room ID implies. Of several the
// one with the smallest ID counts, so that the order of states does not.
func (r *resolver) findCreate() error {
	t := event.Tuple{Type: event.TypeCreate}
	n, err := r.conflict.Unconflicted.StateNum(t)
	if err != nil {
		return err
	}
	for _, n := range append([]Num{n}, r.conflict.Conflicted[t]...) {
		if n == 0 {
			continue
		}
		e, err := r.graph.event(n)
		if err != nil {
			return err
		}
		if r.create == nil || e.ID() < r.create.ID() {
			r.create = e
		}
	}
	if r.create == nil {
		return errors.New("the states have no create event")
	}
	return nil
}
