package simtest

import (
	"fmt"
	"math/big"
	"slices"

	"parley/internal/hstest"
	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/canonjson"
	matrix "parley/matrix/event"
	"parley/matrix/id"
)

// A graph is all events of a room that any server has.
type graph struct {
	events map[string]*vertex
}

type vertex struct {
	id     string
	json   canonjson.Value
	prev   []string
	server *hstest.Server // that has it with the state before it; nil if none
	before statetrie.Root
	index  int
	// past is the indices of all events that it follows.
	past *big.Int
}

// checkSecrets demands that nobody was ever shown an event that the history
// visibility hides. What decides is the state at the event, on the server that
// sent it if that has it:
// https://spec.matrix.org/v1.19/client-server-api/#server-behaviour-5
//
// A join that does not count where branches met is let pass, on whose server it did, and
// so is a leaving.
func (w *world) checkSecrets() {
	for _, r := range w.rooms {
		g := w.graph(r)
		for _, p := range w.people {
			w.readAll(r, p)
			for eventID := range p.saw[r.id] {
				w.checkSecret(r, g, p, eventID)
			}
		}
	}
}

// readAll has somebody read all of a room's history.
func (w *world) readAll(r *place, p *person) {
	for from := ""; ; {
		status, v := w.get(p.watcher, roomPath(r.id, "messages")+fmt.Sprintf("?dir=b&limit=100&from=%s", from))
		if status != 200 {
			return
		}
		for _, e := range parseEvents(v.Get("chunk")) {
			p.sees(r.id, e.id)
		}
		if from = text(v, "end"); from == "" {
			return
		}
	}
}

func (w *world) checkSecret(r *place, g *graph, p *person, eventID string) {
	e := g.events[eventID]
	if e == nil {
		w.fail("%s: %s was shown %s, which no server has", r.id, p.id, eventID)
	}
	if e.server == nil {
		w.count("events without a state")
		return
	}
	w.count("sights")
	changed := g.changes(p.id)
	visibility := w.told(e, r, matrix.Tuple{Type: "m.room.history_visibility"}, "history_visibility")
	membership := w.told(e, r, matrix.Tuple{Type: matrix.TypeMember, StateKey: p.id}, "membership")
	parsed := parseEvent(e.json)
	if parsed.is("m.room.member", p.id) {
		return
	}
	later := slices.ContainsFunc(changed, func(c *vertex) bool {
		return parseEvent(c.json).membership() == "join" && !g.follows(e, c)
	})
	allowed := func(visibility string) bool {
		switch visibility {
		case "world_readable":
			return true
		case "invited":
			return membership == "join" || membership == "invite"
		case "joined":
			return membership == "join"
		}
		return membership == "join" || later
	}
	if allowed(visibility) || parsed.is("m.room.history_visibility", "") && allowed(text(parsed.content(), "history_visibility")) {
		return
	}
	if g.undone(e, changed) {
		w.count("sights of whose join does not count")
		return
	}
	if visibility == "shared" && !w.isDown(p.server()) && w.joinedAgain(r, p) {
		w.count("sights of whose leaving does not count")
		return
	}
	w.fail("%s: %s was shown an event that is hidden: on %s the visibility is %q, the membership %q: %s %s\n\n%s",
		r.id, p.id, e.server.Name, visibility, membership, e.id, e.json, w.describeAll(r))
}

// joinedAgain reports whether a user is in a room, as its server sees it: who left, and
// where branches met did not, has joined later, by no event.
func (w *world) joinedAgain(r *place, p *person) bool {
	status, v := w.get(p.watcher, roomPath(r.id, "state", "m.room.member", p.id))
	return status == 200 && text(v, "membership") == "join"
}

// undone reports whether the last that an event follows of the changes is that the
// user joins, which then did not count where branches met: on the server of the user
// that may be so from another event on.
func (g *graph) undone(e *vertex, changes []*vertex) bool {
	for _, c := range changes {
		if parseEvent(c.json).membership() != "join" || !g.follows(e, c) {
			continue
		}
		if !slices.ContainsFunc(changes, func(later *vertex) bool {
			return parseEvent(later.json).kind == "m.room.member" && g.follows(e, later) && g.follows(later, c)
		}) {
			return true
		}
	}
	return false
}

// told is what the state before an event says.
func (w *world) told(e *vertex, r *place, t matrix.Tuple, name string) string {
	state, err := e.server.Rooms().State(w.Context(), id.RoomID(r.id), e.before, t)
	if err != nil {
		w.fail("reading the state before %s on %s: %v", e.id, e.server.Name, err)
	}
	if state == nil {
		return ""
	}
	return text(state.Content(), name)
}

// changes are the events by which it changes what a user may see.
func (g *graph) changes(user string) (list []*vertex) {
	for _, v := range g.events {
		if e := parseEvent(v.json); e.is("m.room.member", user) || e.is("m.room.history_visibility", "") {
			list = append(list, v)
		}
	}
	return list
}

// follows reports whether an event follows another, at whatever distance.
func (g *graph) follows(e, other *vertex) bool { return g.pastOf(e).Bit(other.index) == 1 }

func (g *graph) pastOf(v *vertex) *big.Int {
	if v.past != nil {
		return v.past
	}
	v.past = new(big.Int)
	for _, name := range v.prev {
		if p := g.events[name]; p != nil {
			v.past.Or(v.past, g.pastOf(p))
			v.past.SetBit(v.past, p.index, 1)
		}
	}
	return v.past
}

// graph reads what all servers have of a room.
func (w *world) graph(r *place) *graph {
	g := &graph{events: make(map[string]*vertex)}
	for _, s := range w.servers {
		w.look(s, func(tx *store.Tx) error {
			for row, err := range tx.Query(`SELECT e.event_id, e.json, e.before FROM events e JOIN rooms ON rooms.room = e.room
				WHERE rooms.room_id = $1 ORDER BY e.event`, r.id) {
				if err != nil {
					return err
				}
				var eventID string
				var json, before []byte
				if err := row.Scan(&eventID, &json, &before); err != nil {
					return err
				}
				g.add(s, eventID, json, before)
			}
			return nil
		})
	}
	return g
}

func (g *graph) add(s *hstest.Server, eventID string, json, before []byte) {
	v := g.events[eventID]
	if v == nil {
		v = &vertex{id: eventID, json: canonjson.Value(json), index: len(g.events)}
		for p := range v.json.Get("prev_events").Elements() {
			v.prev = append(v.prev, reference(p))
		}
		g.events[eventID] = v
	}
	origin := id.UserID(text(v.json, "sender")).Server() == s.Name
	if before != nil && (v.server == nil || origin) {
		v.server = s
		copy(v.before[:], before)
	}
}

// reference is the ID of an event that another refers to, whatever the version.
func reference(v canonjson.Value) string {
	for first := range v.Elements() {
		v = first // and then a hash
		break
	}
	name, _ := v.Text()
	return name
}
