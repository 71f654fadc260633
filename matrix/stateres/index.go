package stateres

import (
	"fmt"

	"parley/matrix/event"
	"parley/matrix/id"
)

// Index is a Graph over events that are known by their IDs.
type Index struct {
	nums     map[id.EventID]Num
	events   []*event.Event // by number, the first for number 1
	auth     [][]Num
	rejected func(id.EventID) bool
}

// NewIndex numbers events, which must include the auth events of each, and
// not lead in a circle; both are errors that name an event. Of events that
// come several times the first counts. rejected tells which events were
// rejected; nil means none.
func NewIndex(events []*event.Event, rejected func(id.EventID) bool) (*Index, error) {
	byID := make(map[id.EventID]*event.Event, len(events))
	for _, e := range events {
		if _, dup := byID[e.ID()]; !dup {
			byID[e.ID()] = e
		}
	}
	x := &Index{nums: make(map[id.EventID]Num, len(byID)), rejected: rejected}
	for _, e := range events {
		if err := x.add(e, byID); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// add numbers an event and, before it, those of its auth chain that have no
// number yet. The path from the event down is a list and not the call stack,
// since whoever wrote the events chose how long it is.
func (x *Index) add(e *event.Event, byID map[id.EventID]*event.Event) error {
	path := []step{{event: byID[e.ID()]}}
	onPath := map[id.EventID]bool{e.ID(): true}
	for len(path) > 0 {
		s := &path[len(path)-1]
		if _, done := x.nums[s.event.ID()]; done || s.next == len(s.event.AuthEvents()) {
			if !done {
				x.number(s.event)
			}
			delete(onPath, s.event.ID())
			path = path[:len(path)-1]
			continue
		}
		a := s.event.AuthEvents()[s.next]
		s.next++
		if _, done := x.nums[a]; done {
			continue
		}
		auth := byID[a]
		if auth == nil {
			return fmt.Errorf("auth event %s of %s is missing", a, s.event.ID())
		}
		if onPath[a] {
			return fmt.Errorf("the auth chain of %s leads back to it", a)
		}
		onPath[a] = true
		path = append(path, step{event: auth})
	}
	return nil
}

// step is an event on the path, and which of its auth events is next.
type step struct {
	event *event.Event
	next  int
}

func (x *Index) number(e *event.Event) {
	auth := make([]Num, len(e.AuthEvents()))
	for i, a := range e.AuthEvents() {
		auth[i] = x.nums[a]
	}
	x.events = append(x.events, e)
	x.auth = append(x.auth, auth)
	x.nums[e.ID()] = Num(len(x.events))
}

// Num returns the number of an event, 0 when it is not in the index.
func (x *Index) Num(eventID id.EventID) Num { return x.nums[eventID] }

// Event implements Graph.
func (x *Index) Event(n Num) (*event.Event, error) {
	if n == 0 || n > Num(len(x.events)) {
		return nil, fmt.Errorf("no event %d in the index", n)
	}
	return x.events[n-1], nil
}

// AuthEvents implements Graph.
func (x *Index) AuthEvents(n Num) ([]Num, error) {
	if n == 0 || n > Num(len(x.auth)) {
		return nil, fmt.Errorf("no event %d in the index", n)
	}
	return x.auth[n-1], nil
}

// Rejected implements Graph.
func (x *Index) Rejected(n Num) (bool, error) {
	e, err := x.Event(n)
	if err != nil || x.rejected == nil {
		return false, err
	}
	return x.rejected(e.ID()), nil
}
