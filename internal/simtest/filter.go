package simtest

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"

	"parley/matrix/canonjson"
)

// A filter is one for /sync, as a client writes it.
// https://spec.matrix.org/v1.19/client-server-api/#filtering
type filter struct {
	EventFields []string `json:"event_fields,omitzero"`
	AccountData part     `json:"account_data,omitzero"`
	Room        struct {
		Rooms        []string `json:"rooms,omitzero"`
		NotRooms     []string `json:"not_rooms,omitzero"`
		IncludeLeave bool     `json:"include_leave,omitempty"`
		Timeline     part     `json:"timeline,omitzero"`
		State        part     `json:"state,omitzero"`
		Ephemeral    part     `json:"ephemeral,omitzero"`
		AccountData  part     `json:"account_data,omitzero"`
	} `json:"room,omitzero"`
}

type part struct {
	Types       []string `json:"types,omitzero"`
	NotTypes    []string `json:"not_types,omitzero"`
	Senders     []string `json:"senders,omitzero"`
	NotSenders  []string `json:"not_senders,omitzero"`
	Rooms       []string `json:"rooms,omitzero"`
	NotRooms    []string `json:"not_rooms,omitzero"`
	ContainsURL *bool    `json:"contains_url,omitempty"`
	Limit       *int     `json:"limit,omitempty"`
	Lazy        bool     `json:"lazy_load_members,omitempty"`
	Redundant   bool     `json:"include_redundant_members,omitempty"`
	Threads     bool     `json:"unread_thread_notifications,omitempty"`
}

func (f *filter) json() string {
	text, err := json.Marshal(f)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// open reports whether the filter leaves out no events.
func (p part) open() bool {
	return p.Types == nil && p.NotTypes == nil && p.Senders == nil && p.NotSenders == nil &&
		p.Rooms == nil && p.NotRooms == nil && p.ContainsURL == nil
}

// passes says what the specification does of a room's event.
func (p part) passes(room string, e event) bool {
	matches := func(pattern string) bool { return wildcard(pattern, e.kind) }
	return (p.Rooms == nil || slices.Contains(p.Rooms, room)) && !slices.Contains(p.NotRooms, room) &&
		(p.Types == nil || slices.ContainsFunc(p.Types, matches)) && !slices.ContainsFunc(p.NotTypes, matches) &&
		(p.Senders == nil || slices.Contains(p.Senders, e.sender)) && !slices.Contains(p.NotSenders, e.sender) &&
		(p.ContainsURL == nil || *p.ContainsURL == (e.content().Get("url") != nil))
}

// wildcard reports whether a pattern with at most one star matches.
func wildcard(pattern, s string) bool {
	before, after, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == s
	}
	return len(s) >= len(before)+len(after) && strings.HasPrefix(s, before) && strings.HasSuffix(s, after)
}

func (w *world) chance(percent int) bool { return w.rng.IntN(100) < percent }

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// some picks some of a list, at least one.
func some[T any](r *rand.Rand, list []T) []T {
	var picked []T
	for len(picked) == 0 {
		for _, x := range list {
			if r.IntN(3) == 0 {
				picked = append(picked, x)
			}
		}
	}
	return picked
}

// newFilter makes a random filter.
func (w *world) newFilter() *filter {
	f := new(filter)
	if w.chance(20) {
		return f
	}
	if w.chance(80) {
		limit := pick(w.rng, []int{0, 1, 2, 5, 20})
		f.Room.Timeline.Limit = &limit
	}
	if w.chance(45) {
		f.Room.State.Lazy, f.Room.State.Redundant = true, w.chance(25)
	}
	f.Room.IncludeLeave = w.chance(40)
	f.Room.Timeline.Threads = w.chance(30)
	if w.chance(10) {
		f.EventFields = pick(w.rng, [][]string{
			{"type", "event_id", "sender", "state_key", "content"},
			{"type", "event_id", "sender", "state_key", "content.body", "content.url", "content.membership", "redacts"},
		})
	}
	eventTypes := []string{"m.room.message", "m.room.member", "m.room.topic", "m.room.n*", "m.room.*", "org.sim.*", "m.reaction", "*.redaction"}
	if w.chance(40) {
		w.restrict(&f.Room.Timeline, eventTypes)
	}
	if w.chance(25) {
		w.restrict(&f.Room.State, eventTypes)
	}
	if w.chance(15) {
		w.byType(&f.Room.Ephemeral, []string{"m.typing", "m.receipt"})
	}
	if w.chance(15) {
		w.byType(&f.Room.AccountData, []string{"m.tag", "m.fully_read", "org.sim.*"})
	}
	if w.chance(15) {
		w.byType(&f.AccountData, []string{"m.push_rules", "org.sim.a", "org.*"})
	}
	if w.chance(10) && len(w.rooms) > 0 {
		if w.chance(50) {
			f.Room.Rooms = some(w.rng, w.roomIDs())
		} else {
			f.Room.NotRooms = some(w.rng, w.roomIDs())
		}
	}
	return f
}

func (w *world) byType(p *part, types []string) {
	switch {
	case w.chance(10):
		p.Types = []string{}
	case w.chance(50):
		p.Types = some(w.rng, types)
	default:
		p.NotTypes = some(w.rng, types)
	}
}

func (w *world) restrict(p *part, types []string) {
	if w.chance(60) {
		w.byType(p, types)
	}
	if w.chance(25) {
		if w.chance(50) {
			p.Senders = some(w.rng, w.userIDs())
		} else {
			p.NotSenders = some(w.rng, w.userIDs())
		}
	}
	if w.chance(10) {
		wanted := w.chance(50)
		p.ContainsURL = &wanted
	}
	if w.chance(15) && len(w.rooms) > 0 {
		p.NotRooms = some(w.rng, w.roomIDs())
	}
}

// same reports whether two clients got an event with the same content. What was
// redacted is not compared with what was not.
func same(a, b event) bool {
	return a.redacted != b.redacted || a.redacted || canonjson.Value(a.content()).String() == b.content().String()
}
