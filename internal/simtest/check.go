package simtest

import (
	"regexp"
	"slices"
	"strconv"

	"parley/internal/journal"
	"parley/matrix/canonjson"
	matrix "parley/matrix/event"
	"parley/matrix/id"
)

// What a room's event has in a sync, in the form for clients.
var eventMembers = []string{"content", "event_id", "origin_server_ts", "redacts", "sender", "state_key", "type", "unsigned"}

// check holds a response against what is true of any, before it is applied.
func (s *stream) check(response canonjson.Value) {
	if text(response, "next_batch") == "" {
		s.fail("no next_batch: %s", response)
	}
	if response.Get("device_one_time_keys_count") == nil || response.Get("device_unused_fallback_key_types") == nil {
		s.fail("nothing about keys: %s", response)
	}
	seen := make(map[string]bool)
	for section, rooms := range response.Get("rooms").Members() {
		name, _ := section.Text()
		for roomName, v := range rooms.Members() {
			id, _ := roomName.Text()
			if seen[id] {
				s.fail("%s is in two sections: %s", id, response)
			}
			seen[id] = true
			s.w.count("sections " + name)
			s.checkRoom(id, name, v)
		}
	}
}

func (s *stream) checkRoom(id, section string, v canonjson.Value) {
	if section == "invite" || section == "knock" {
		s.checkStripped(section, v)
		return
	}
	timeline := v.Get("timeline")
	events := parseEvents(timeline.Get("events"))
	if timeline.Get("events") == nil || timeline.Get("limited") == nil || text(timeline, "prev_batch") == "" {
		s.fail("%s has an incomplete timeline: %s", id, v)
	}
	if limit := s.filter.Room.Timeline.Limit; limit != nil && len(events) > *limit {
		s.fail("%s has %d events, limit %d", id, len(events), *limit)
	}
	if timeline.Get("limited").True() {
		s.w.count("limited")
	}
	for _, e := range events {
		s.checkEvent(id, e)
		s.person.sees(id, e.id)
		if !s.filter.Room.Timeline.passes(id, e) {
			s.fail("%s: the filter does not let %s pass", id, e.json)
		}
		s.checkSeen(id, e)
	}
	for _, member := range []string{"state", s.after} {
		for _, e := range parseEvents(v.Get(member).Get("events")) {
			s.checkEvent(id, e)
			if e.key == nil {
				s.fail("%s: %s is no state: %s\n%s", id, e.id, e.json, s.w.describeAll(&place{id: id}))
			}
			if !s.filter.Room.State.passes(id, e) {
				s.fail("%s: the filter does not let %s pass", id, e.json)
			}
		}
	}
	s.checkReplaced(id, v, events)
}

// checkEvent holds one event against the format.
func (s *stream) checkEvent(room string, e event) {
	if e.id == "" || e.kind == "" || e.sender == "" {
		s.fail("%s: an incomplete event: %s", room, e.json)
	}
	if s.filter.EventFields != nil {
		return
	}
	for name := range e.json.Members() {
		if key, _ := name.Text(); !slices.Contains(eventMembers, key) {
			s.fail("%s: an event has %s: %s", room, key, e.json)
		}
	}
	unsigned := e.json.Get("unsigned")
	if _, ok := e.json.Get("origin_server_ts").Int(); !ok || e.content().Kind() != canonjson.Object {
		s.fail("%s: an incomplete event: %s", room, e.json)
	}
	if age, ok := unsigned.Get("age").Int(); !ok || age < 0 {
		s.fail("%s: no age: %s", room, e.json)
	}
	if !slices.Contains([]string{"join", "leave", "invite", "knock", "ban"}, text(unsigned, "membership")) {
		s.fail("%s: no membership: %s", room, e.json)
	}
	if (unsigned.Get("prev_content") == nil) != (unsigned.Get("replaces_state") == nil) || e.key == nil && unsigned.Get("prev_content") != nil {
		s.fail("%s: what it replaced is not told as it should be: %s", room, e.json)
	}
	how, ours := s.w.sent[e.id]
	if want := how.device == s.device && ours; want && how.txn != text(unsigned, "transaction_id") || !want && ours && unsigned.Get("transaction_id") != nil {
		s.fail("%s: sent by %s in %q: %s", room, how.device.Device, how.txn, e.json)
	}
	if ours && how.device == s.device {
		s.w.count("transaction IDs")
	}
}

// checkSeen asks now and then whether the user may see an event.
func (s *stream) checkSeen(room string, e event) {
	if s.w.checks.IntN(6) > 0 || s.person.forgot[room] || e.key == nil && s.person.ignored[e.sender] {
		return
	}
	status, v := s.w.get(s.person.watcher, roomPath(room, "event", e.id))
	if status == 0 || status == 404 && s.w.purged(room) {
		return // it is gone since the response was made
	}
	if status != 200 {
		s.fail("%s: the user may not see %s: %d %s", room, e.json, status, v)
	}
	s.w.count("events looked up")
}

// checkReplaced follows the state through the timeline, where that is possible:
// nothing is left out, neither by the filter nor because the user was away.
func (s *stream) checkReplaced(id string, v canonjson.Value, events []event) {
	f := s.filter
	away := slices.ContainsFunc(events, func(e event) bool {
		return e.is("m.room.member", s.person.id) && text(e.json.Get("unsigned").Get("prev_content"), "membership") != "join"
	})
	if r := s.client.rooms[id]; away && r != nil && r.section == "join" {
		s.w.count("gaps of own absence")
	}
	if s.w.federation != nil || s.after != "" || f.EventFields != nil || f.Room.State.Lazy || !f.Room.State.open() || !f.Room.Timeline.open() || away {
		return
	}
	state := make(map[tuple]event)
	if r := s.client.rooms[id]; r != nil {
		for t, e := range r.state {
			state[t] = e
		}
	}
	for _, e := range parseEvents(v.Get("state").Get("events")) {
		state[e.tuple()] = e
	}
	// Who comes with a token that is too old is told some of it again.
	again := make(map[string]bool)
	for _, e := range events {
		again[e.id] = v.Get("timeline").Get("limited").True()
	}
	for _, e := range events {
		if e.key == nil {
			continue
		}
		before, ok := state[e.tuple()]
		if again[before.id] {
			again[e.id], state[e.tuple()] = false, e
			continue
		}
		again[e.id] = false
		unsigned := e.json.Get("unsigned")
		if got := text(unsigned, "replaces_state"); got != before.id {
			s.fail("%s: %s replaces %q, but the client has %q there: %s", id, e.json, got, before.id, v)
		}
		if ok && !before.redacted && string(unsigned.Get("prev_content")) != string(before.content()) {
			s.w.count("prev_content redacted") // by an event that came later
		}
		state[e.tuple()] = e
		s.w.count("state followed")
	}
}

// stripped are the types that somebody sees who is invited or knocks.
var stripped = []string{
	"m.room.create", "m.room.name", "m.room.avatar", "m.room.topic", "m.room.join_rules", "m.room.canonical_alias",
	"m.room.encryption", "m.room.member",
}

func (s *stream) checkStripped(section string, v canonjson.Value) {
	own, create := false, false
	for _, e := range parseEvents(v.Get(section + "_state").Get("events")) {
		if e.key == nil || e.sender == "" || e.content().Kind() != canonjson.Object || !slices.Contains(stripped, e.kind) || e.json.Get("event_id") != nil {
			s.fail("not stripped state: %s", e.json)
		}
		own = own || e.is("m.room.member", s.person.id) && e.membership() == section
		create = create || e.is("m.room.create", "")
	}
	if !own || !create {
		s.fail("incomplete %s: %s", section, v)
	}
}

// checkAfter is check for when the response was applied.
func (s *stream) checkAfter(response canonjson.Value) {
	for section, rooms := range response.Get("rooms").Members() {
		if !section.Is("join") && !section.Is("leave") {
			continue
		}
		for name := range rooms.Members() {
			id, _ := name.Text()
			s.checkSenders(id, s.client.rooms[id])
			if section.Is("join") {
				s.checkHeroes(id, s.client.rooms[id])
			}
		}
	}
}

// checkSenders demands that the client knows the members that it has events of.
func (s *stream) checkSenders(id string, r *room) {
	for _, e := range r.timeline {
		if r.section == "leave" && e.is("m.room.member", s.person.id) {
			continue // somebody who came when the user was not there may have sent it
		}
		s.needs(id, r, e.sender, "sent "+e.id)
	}
}

func (s *stream) checkHeroes(id string, r *room) {
	for v := range r.summary["m.heroes"].Elements() {
		if user, _ := v.Text(); user == s.person.id {
			s.fail("%s: the user is a hero: %s", id, r.summary["m.heroes"])
		} else {
			s.needs(id, r, user, "is a hero")
		}
	}
}

// wasMember reports whether the state of a room that the reader sees had a member event
// of a user at the position of the last response: where branches met to join need not
// have counted, and of a room that was just joined not all members are known.
func (s *stream) wasMember(room, user string) bool {
	token := regexp.MustCompile(`^s1_[A-Z0-9]+_([0-9]+)_`).FindStringSubmatch(s.client.since)
	if token == nil {
		s.fail("the token %s has no position", s.client.since)
	}
	pos, err := strconv.ParseInt(token[1], 10, 64)
	if err != nil {
		s.fail("the token %s: %v", s.client.since, err)
	}
	rooms, roomID := s.person.server().Rooms(), id.RoomID(room)
	sight, err := rooms.SightAt(s.w.Context(), roomID, id.UserID(s.person.id), journal.Position(pos))
	if err != nil {
		s.fail("%s at %d: %v", room, pos, err)
	}
	root := sight.At.Root
	if left := sight.Left(); left != 0 {
		if then, ok, err := rooms.StateBehind(s.w.Context(), roomID, left); err != nil {
			s.fail("%s at its place %d: %v", room, left, err)
		} else if ok {
			root = then
		}
	}
	member, err := rooms.State(s.w.Context(), roomID, root, matrix.Tuple{Type: matrix.TypeMember, StateKey: user})
	if err != nil {
		s.fail("%s at %d: %v", room, pos, err)
	}
	return member != nil
}

// needs demands that the client knows a member whom the filter cannot have left
// out.
func (s *stream) needs(roomID string, r *room, user, why string) {
	if _, ok := r.state[tuple{"m.room.member", user}]; !ok && s.filter.Room.State.open() {
		if s.w.federation != nil && !s.wasMember(roomID, user) {
			return
		}
		s.fail("%s: the client does not know %s, who %s", roomID, user, why)
	}
}
