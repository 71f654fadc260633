package roomtest

import (
	"maps"
	"slices"

	"parley/matrix/event"
	"parley/matrix/eventauth"
)

// A Branch is a place in the graph where the next event goes, and the state
// there. It is an [eventauth.State].
type Branch struct {
	room  *Room
	heads []*event.Event
	state eventauth.MapState
	snap  *snapshot // the same state, shared with the events before
}

// Room returns the room of the branch.
func (b *Branch) Room() *Room { return b.room }

// Heads returns the events that the next one follows: one, unless the branch is
// a merge to which nothing was sent yet.
func (b *Branch) Heads() []*event.Event { return slices.Clone(b.heads) }

// State returns a copy of the state.
func (b *Branch) State() eventauth.MapState { return maps.Clone(b.state) }

// StateEvent returns the event in a place of the state, nil when there is none.
func (b *Branch) StateEvent(t event.Tuple) *event.Event { return b.state[t] }

// Fork returns a second branch at the same place.
func (b *Branch) Fork() *Branch {
	return &Branch{room: b.room, heads: b.heads, state: maps.Clone(b.state), snap: b.snap}
}

// Send builds events one after the other, adds each to the room and moves the
// branch past it. It returns the last.
func (b *Branch) Send(specs ...Spec) *event.Event {
	b.room.tb.Helper()
	var last *event.Event
	for _, spec := range specs {
		last = b.Build(spec)
		before := b.snap
		if t, isState := last.Tuple(); isState && !spec.Rejected {
			b.state[t] = last
			b.snap = &snapshot{parent: before, event: last}
		}
		if b.room.create == nil && last.Type() == event.TypeCreate {
			b.room.create, b.room.id = last, last.RoomID()
		}
		b.heads = []*event.Event{last}
		b.room.events = append(b.room.events, last)
		b.room.byID[last.ID()] = node{event: last, before: before, after: b.snap}
	}
	return last
}
