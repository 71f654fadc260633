package roomtest

import (
	"maps"
	"testing"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/roomver"
	"parley/matrix/signing"
)

// firstTS is the time of the first event, in milliseconds since 1970: some
// moment in 2020, so that keys with real validity periods can be tried.
const firstTS = 1_600_000_000_000

// A Room is a graph of events, in the order in which they were sent.
type Room struct {
	tb     testing.TB
	rules  *roomver.Rules
	id     id.RoomID
	create *event.Event

	ts     int64 // of the last event built without a time of its own
	serial int   // how many events were built

	events []*event.Event
	byID   map[id.EventID]node
	keys   map[id.ServerName]signing.Key // those that signed: making one costs as much as signing
}

type node struct {
	event         *event.Event
	before, after *snapshot
}

// New returns an empty room. An unknown room version fails the test.
func New(tb testing.TB, version roomver.Version) *Room {
	tb.Helper()
	rules, ok := roomver.Lookup(version)
	if !ok {
		tb.Fatalf("roomtest: unknown room version %q", version)
	}
	return &Room{tb: tb, rules: rules, ts: firstTS - 1, byID: make(map[id.EventID]node), keys: make(map[id.ServerName]signing.Key)}
}

// Rules returns the rules of the room version.
func (r *Room) Rules() *roomver.Rules { return r.rules }

// ID returns the room ID, empty before there is a create event. Where that does
// not make it, it is the creator's user ID with another sigil.
func (r *Room) ID() id.RoomID { return r.id }

// CreateEvent returns the create event, nil before there is one.
func (r *Room) CreateEvent() *event.Event { return r.create }

// Create sends the create event that CreateSpec makes and returns the branch
// that begins there.
func (r *Room) Create(sender id.UserID, content any) *Branch {
	r.tb.Helper()
	b := r.Root()
	b.Send(r.CreateSpec(sender, content))
	return b
}

// CreateSpec is a create event with the content that the room version wants, to
// which the members of content, as in [Spec], are added.
func (r *Room) CreateSpec(sender id.UserID, content any) Spec {
	r.tb.Helper()
	whole := canonjson.Value(nil).With("room_version", canonjson.Text(string(r.rules.Version)))
	if r.rules.CreatorInContent {
		whole = whole.With("creator", canonjson.Text(string(sender)))
	}
	extra, err := contentJSON(content, r.rules)
	if err != nil {
		r.tb.Fatalf("roomtest: content of m.room.create: %v", err)
	}
	for name, value := range extra.Members() {
		whole = whole.With(name.String(), value)
	}
	return State(sender, event.TypeCreate, "", whole)
}

// Root returns the place before the first event, for create events that are
// written in full or may turn out not to be events. The first create event that
// is sent is that of the room.
func (r *Room) Root() *Branch {
	return &Branch{room: r, state: eventauth.MapState{}, snap: &snapshot{}}
}

// Events returns the events that were sent, in order. The slice is the
// room's own.
func (r *Room) Events() []*event.Event { return r.events }

// Event returns an event that was sent, or nil.
func (r *Room) Event(eventID id.EventID) *event.Event { return r.byID[eventID].event }

// AuthEvents returns the events that an event lists in auth_events. All must
// have been sent.
func (r *Room) AuthEvents(e *event.Event) []*event.Event {
	r.tb.Helper()
	events := make([]*event.Event, 0, len(e.AuthEvents()))
	for _, eventID := range e.AuthEvents() {
		events = append(events, r.node(eventID).event)
	}
	return events
}

// StateBefore returns a copy of the state before an event that was sent.
func (r *Room) StateBefore(e *event.Event) eventauth.MapState {
	r.tb.Helper()
	return r.node(e.ID()).before.state()
}

// StateAfter returns a copy of the state after an event that was sent.
func (r *Room) StateAfter(e *event.Event) eventauth.MapState {
	r.tb.Helper()
	return r.node(e.ID()).after.state()
}

// After returns a new branch that goes on after an event that was sent.
func (r *Room) After(e *event.Event) *Branch {
	r.tb.Helper()
	snap := r.node(e.ID()).after
	return &Branch{room: r, heads: []*event.Event{e}, state: snap.state(), snap: snap}
}

// A Resolution decides the state where branches meet. It is given the state of
// each, in the order of the branches, and may keep and change these maps; what
// it returns it must not change later. Other events are found in the room.
type Resolution func(room *Room, states []eventauth.MapState) eventauth.MapState

// Merge returns a new branch that follows the heads of all the others.
func (r *Room) Merge(resolve Resolution, branches ...*Branch) *Branch {
	var heads []*event.Event
	var states []eventauth.MapState
	for _, b := range branches {
		heads = append(heads, b.heads...)
		states = append(states, b.State())
	}
	resolved := resolve(r, states)
	return &Branch{room: r, heads: heads, state: maps.Clone(resolved), snap: &snapshot{full: resolved}}
}

func (r *Room) key(server id.ServerName) signing.Key {
	key, ok := r.keys[server]
	if !ok {
		key = Key(server)
		r.keys[server] = key
	}
	return key
}

func (r *Room) node(eventID id.EventID) node {
	r.tb.Helper()
	n, ok := r.byID[eventID]
	if !ok {
		r.tb.Fatalf("roomtest: event %s was not sent", eventID)
	}
	return n
}

// A snapshot is the state at one point: that of its parent and one event more,
// or a whole map where there is no parent. So remembering the states of a long
// history costs no more than the history.
type snapshot struct {
	parent *snapshot
	event  *event.Event
	full   eventauth.MapState
}

func (s *snapshot) state() eventauth.MapState {
	state := eventauth.MapState{}
	for ; s.parent != nil; s = s.parent {
		if t, _ := s.event.Tuple(); state[t] == nil {
			state[t] = s.event
		}
	}
	for t, e := range s.full {
		if state[t] == nil {
			state[t] = e
		}
	}
	return state
}
