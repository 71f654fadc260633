package stateres

import (
	"errors"
	"fmt"

	"parley/matrix/event"
	"parley/matrix/eventauth"
)

// workingState is the state that a resolution builds up. While an event is
// checked it also stands in for the state that the check sees.
type workingState struct {
	r *resolver
	// agreed: places that were not decided yet are as in the unconflicted
	// state map.
	agreed  bool
	decided map[event.Tuple]Num

	// The event being checked, and the first fault met meanwhile: the rules
	// ask for events and cannot be told that one could not be had.
	checking Num
	fault    error
}

func newWorkingState(r *resolver, agreed bool) *workingState {
	return &workingState{r: r, agreed: agreed, decided: make(map[event.Tuple]Num)}
}

// num returns the number of the event in a place, 0 when there is none.
func (s *workingState) num(t event.Tuple) (Num, error) {
	if n, ok := s.decided[t]; ok {
		return n, nil
	}
	if !s.agreed {
		return 0, nil
	}
	return s.r.conflict.Unconflicted.StateNum(t)
}

// apply is the iterative auth checks algorithm: each event that the state
// allows becomes part of it.
func (s *workingState) apply(events []Num) error {
	for _, n := range events {
		e, err := s.r.graph.event(n)
		if err != nil {
			return err
		}
		t, isState := e.Tuple()
		if !isState {
			continue
		}
		allowed, err := s.allows(n, e)
		if err != nil {
			return err
		}
		if allowed {
			s.decided[t] = n
		}
	}
	return nil
}

func (s *workingState) allows(n Num, e *event.Event) (bool, error) {
	s.checking, s.fault = n, nil
	err := eventauth.Check(e, s)
	if s.fault != nil {
		return false, s.fault
	}
	if err == nil {
		return true, nil
	}
	if refusal := (*eventauth.Refusal)(nil); errors.As(err, &refusal) {
		return false, nil
	}
	return false, fmt.Errorf("authorising event %d: %w", n, err)
}

// StateEvent implements eventauth.State for the event being checked. If a key
// that is required for checking the authorisation rules is not present in the
// state, then the appropriate state event from the event's auth_events is used
// if the auth event is not rejected.
func (s *workingState) StateEvent(t event.Tuple) *event.Event {
	e, err := s.lookup(t)
	if err != nil && s.fault == nil {
		s.fault = err
	}
	return e
}

func (s *workingState) lookup(t event.Tuple) (*event.Event, error) {
	n, err := s.num(t)
	if err != nil {
		return nil, err
	}
	if n != 0 {
		return s.r.graph.event(n)
	}
	if s.r.rules.RoomIDFromCreate && t.Type == event.TypeCreate && t.StateKey == "" {
		return s.r.create, nil
	}
	auth, err := s.r.graph.auth(s.checking)
	if err != nil {
		return nil, err
	}
	for _, a := range auth {
		e, err := s.r.graph.event(a)
		if err != nil {
			return nil, err
		}
		if !e.IsState(t.Type, t.StateKey) {
			continue
		}
		rejected, err := s.r.graph.Rejected(a)
		if err != nil {
			return nil, err
		}
		if !rejected {
			return e, nil
		}
	}
	return nil, nil
}

// withoutUnconflicted returns what was decided, less the places that all
// states agree about.
func (s *workingState) withoutUnconflicted() (map[event.Tuple]Num, error) {
	for t := range s.decided {
		n, err := s.r.conflict.Unconflicted.StateNum(t)
		if err != nil {
			return nil, err
		}
		if n != 0 {
			delete(s.decided, t)
		}
	}
	return s.decided, nil
}
