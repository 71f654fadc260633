package difftest

import (
	"maps"
	"math/rand/v2"
	"strconv"

	"github.com/matrix-org/gomatrixserverlib"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/roomver"
	"parley/matrix/stateres"
)

type stateMap = map[event.Tuple]*event.Event

// forkedRoom is a room with the states that are to be resolved. Each event is
// authorised by its auth events and by the state of its branch.
type forkedRoom struct {
	rng   *rand.Rand
	rules *roomver.Rules
	other gomatrixserverlib.IRoomVersion
	id    id.RoomID

	create   *event.Event
	events   []*event.Event // auth events before what they authorise
	byID     map[id.EventID]*event.Event
	pdus     map[id.EventID]gomatrixserverlib.PDU
	rejected map[id.EventID]bool
	honest   bool // auth events are always those of the state

	states []stateMap
}

// place is where the next event of a branch goes.
type place struct {
	heads   []*event.Event
	state   stateMap
	history []*event.Event // state events, for auth events that are not the newest
}

func (p *place) fork() *place {
	return &place{heads: p.heads, state: maps.Clone(p.state), history: p.history[:len(p.history):len(p.history)]}
}

func newForkedRoom(rng *rand.Rand) *forkedRoom {
	rules := pick(rng, versions...)
	switch n := rng.IntN(100); {
	case n < 8:
		rules = versions[0]
	case n < 25:
		rules = versions[len(versions)-1]
	}
	r := &forkedRoom{
		rng:      rng,
		rules:    rules,
		other:    gomatrixserverlib.MustGetRoomVersion(gomatrixserverlib.RoomVersion(rules.Version)),
		id:       "!room:a.test",
		byID:     make(map[id.EventID]*event.Event),
		pdus:     make(map[id.EventID]gomatrixserverlib.PDU),
		rejected: make(map[id.EventID]bool),
	}
	trunk := r.begin()
	r.grow(trunk, rng.IntN(8))
	branches := []*place{trunk}
	for range 1 + rng.IntN(3) {
		branches = append(branches, trunk.fork())
	}
	for _, b := range branches {
		r.grow(b, 1+rng.IntN(8))
	}
	if chance(rng, 40) {
		branches[0] = r.merge(branches[0], branches[1])
		r.grow(branches[0], rng.IntN(6))
		if chance(rng, 50) {
			again := branches[0].fork()
			r.grow(again, 1+rng.IntN(4))
			branches = append(branches, again)
		}
	}
	for _, b := range branches {
		r.states = append(r.states, b.state)
	}
	if chance(rng, 5) {
		for range 1 + rng.IntN(3) {
			r.rejected[pick(rng, r.events...).ID()] = true
		}
	}
	return r
}

// begin creates the room and lets in some users.
func (r *forkedRoom) begin() *place {
	var content object
	content.set("room_version", quote(string(r.rules.Version)))
	if r.rules.CreatorInContent {
		content.set("creator", quote(string(users[0])))
	}
	if r.rules.PrivilegedCreators && chance(r.rng, 40) {
		content.set("additional_creators", `["@bob:b.test"]`)
	}
	p := &place{state: make(stateMap)}
	r.create = r.send(p, users[0], event.TypeCreate, "", content.String())
	r.id = r.create.RoomID()
	r.join(p, users[0])
	if chance(r.rng, 90) {
		levels := object{{"users", r.levelUsers(100)}}
		if chance(r.rng, 30) {
			levels.set("events", `{"m.room.topic":0}`)
		}
		r.send(p, users[0], event.TypePowerLevels, "", levels.String())
	}
	rule := pick(r.rng, "public", "public", "public", "invite", "restricted", "knock")
	r.send(p, users[0], event.TypeJoinRules, "", `{"join_rule":`+quote(rule)+`}`)
	for _, user := range users[1:] {
		if chance(r.rng, 70) {
			if rule != "public" && r.send(p, users[0], event.TypeMember, string(user), `{"membership":"invite"}`) == nil {
				continue
			}
			r.join(p, user)
		}
	}
	return p
}

func (r *forkedRoom) levelUsers(most int) string {
	var o object
	for _, user := range users {
		if r.rules.PrivilegedCreators && (user == users[0] || r.create != nil && eventauth.IsCreator(r.create, user)) {
			continue
		}
		if user == users[0] {
			o.set(string(user), strconv.Itoa(most))
		} else if chance(r.rng, 40) {
			o.set(string(user), strconv.Itoa(pick(r.rng, 0, 25, 50, 50, 75, min(100, most))))
		}
	}
	return o.String()
}

func (r *forkedRoom) join(p *place, user id.UserID) *event.Event {
	return r.send(p, user, event.TypeMember, string(user), `{"membership":"join"}`)
}

// grow makes up to n random events that the rules allow.
func (r *forkedRoom) grow(p *place, n int) {
	for range n {
		for range 6 {
			if r.random(p) != nil {
				break
			}
		}
	}
}

func (r *forkedRoom) random(p *place) *event.Event {
	rng := r.rng
	sender, target := pick(rng, users...), pick(rng, users...)
	if chance(rng, 50) {
		sender = pick(rng, users[:3]...)
	}
	member := func(sender, target id.UserID, content string) *event.Event {
		return r.send(p, sender, event.TypeMember, string(target), content)
	}
	switch n := rng.IntN(100); {
	case n < 15:
		content := `{"membership":"join"}`
		if chance(rng, 50) {
			content = `{"displayname":"x` + strconv.Itoa(rng.IntN(100)) + `","membership":"join"}`
		}
		if r.rules.Restricted && chance(rng, 30) {
			content = `{"join_authorised_via_users_server":` + quote(string(target)) + `,"membership":"join"}`
		}
		return member(sender, sender, content)
	case n < 22:
		return member(sender, target, `{"membership":"invite"}`)
	case n < 27:
		return member(sender, sender, `{"membership":"leave"}`)
	case n < 30:
		return member(sender, sender, `{"membership":"knock"}`)
	case n < 40:
		return member(sender, target, `{"membership":"leave"}`)
	case n < 50:
		return member(sender, target, `{"membership":"ban"}`)
	case n < 70:
		return r.send(p, sender, event.TypePowerLevels, "", r.changedLevels(p))
	case n < 80:
		rule := pick(rng, "public", "public", "invite", "knock", "restricted", "knock_restricted", "private")
		return r.send(p, sender, event.TypeJoinRules, "", `{"join_rule":`+quote(rule)+`}`)
	case n < 84:
		return r.send(p, sender, event.TypeThirdPartyInvite, pick(rng, tokens...), `{"display_name":"x"}`)
	case n < 94:
		return r.send(p, sender, pick(rng, "m.room.topic", "m.room.name"), "", `{"x":`+strconv.Itoa(rng.IntN(1000))+`}`)
	case n < 97:
		return r.send(p, sender, pick(rng, event.TypeAliases, "x.custom"), string(sender.Server()), `{"aliases":[]}`)
	default:
		return r.send(p, sender, pick(rng, event.TypePowerLevels, event.TypeJoinRules), "odd", `{"join_rule":"public"}`)
	}
}

func (r *forkedRoom) changedLevels(p *place) string {
	rng := r.rng
	current := p.state[event.Tuple{Type: event.TypePowerLevels}]
	if current == nil {
		return `{"users":` + r.levelUsers(100) + `}`
	}
	content := current.Content()
	for range 1 + rng.IntN(2) {
		level := canonjson.Value(strconv.Itoa(pick(rng, 0, 10, 25, 50, 50, 75, 100)))
		user := pick(rng, users...)
		switch {
		case chance(rng, 65):
			if r.rules.PrivilegedCreators && eventauth.IsCreator(r.create, user) {
				continue
			}
			content = content.With("users", content.Get("users").With(string(user), level))
		case chance(rng, 50):
			content = content.With(pick(rng, scalars...), level)
		default:
			content = content.With("events", content.Get("events").With(pick(rng, levelTypes...), level))
		}
	}
	return string(content)
}

// send makes an event where the rules allow it, and otherwise returns nil.
func (r *forkedRoom) send(p *place, sender id.UserID, eventType, stateKey, content string) *event.Event {
	draft := eventauth.Draft{Type: eventType, StateKey: &stateKey, Sender: sender, Content: canonjson.Value(content)}
	var auth []*event.Event
	for _, t := range draft.Selection(r.rules) {
		if e := r.authEvent(p, t); e != nil {
			auth = append(auth, e)
		}
	}
	e := r.build(p, auth, sender, eventType, stateKey, content)
	if r.byID[e.ID()] != nil || eventauth.Check(e, eventauth.MapState(p.state)) != nil ||
		eventauth.Check(e, eventauth.AuthState(auth, r.impliedCreate())) != nil {
		return nil
	}
	pdu, err := r.other.NewEventFromTrustedJSONWithEventID(string(e.ID()), e.JSON(), false)
	if err != nil {
		panic("difftest: gomatrixserverlib: " + err.Error())
	}
	r.events = append(r.events, e)
	r.byID[e.ID()], r.pdus[e.ID()] = e, pdu
	t, _ := e.Tuple()
	p.state[t] = e
	p.heads = []*event.Event{e}
	p.history = append(p.history, e)
	return e
}

// authEvent returns the event of the state, or sometimes an older one of the
// same place: a server may lie about what it knew.
func (r *forkedRoom) authEvent(p *place, t event.Tuple) *event.Event {
	if !r.honest && chance(r.rng, 4) {
		for _, e := range p.history {
			if e.IsState(t.Type, t.StateKey) && chance(r.rng, 60) {
				return e
			}
		}
	}
	return p.state[t]
}

func (r *forkedRoom) impliedCreate() *event.Event {
	if r.rules.RoomIDFromCreate {
		return r.create
	}
	return nil
}

func (r *forkedRoom) build(p *place, auth []*event.Event, sender id.UserID, eventType, stateKey, content string) *event.Event {
	depth := int64(1)
	for _, head := range p.heads {
		depth = max(depth, head.Depth()+1)
	}
	var o object
	o.set("auth_events", r.references(auth))
	o.set("content", content)
	o.set("depth", strconv.FormatInt(depth, 10))
	if r.rules.EventID == roomver.EventIDCarried {
		o.set("event_id", quote("$"+strconv.Itoa(r.rng.IntN(1e6))+":"+string(sender.Server())))
	}
	// The number stands in for a content hash, and makes event IDs differ.
	o.set("hashes", `{"sha256":"`+strconv.Itoa(r.rng.IntN(1e9))+`"}`)
	o.set("origin_server_ts", strconv.Itoa(1_600_000_000_000+r.rng.IntN(1+len(r.events))))
	o.set("prev_events", r.references(p.heads))
	if eventType != event.TypeCreate || !r.rules.RoomIDFromCreate {
		o.set("room_id", quote(string(r.id)))
	}
	o.set("sender", quote(string(sender)))
	o.set("signatures", "{}")
	o.set("state_key", quote(stateKey))
	o.set("type", quote(eventType))
	e, err := event.Parse([]byte(o.String()), r.rules)
	if err != nil {
		panic("difftest: " + err.Error() + ": " + o.String())
	}
	return e
}

func (r *forkedRoom) references(events []*event.Event) string {
	w := world{rules: r.rules}
	ids := make([]string, 0, len(events))
	for _, e := range events {
		ids = append(ids, string(e.ID()))
	}
	return w.references(ids...)
}

// merge returns a place after both. The state there is what parley resolves,
// which the test would find wrong elsewhere if it were.
func (r *forkedRoom) merge(a, b *place) *place {
	return &place{
		heads:   append(append([]*event.Event(nil), a.heads...), b.heads...),
		state:   r.parley([]stateMap{a.state, b.state}),
		history: append(append([]*event.Event(nil), a.history...), b.history...),
	}
}

// parley resolves states with package stateres.
func (r *forkedRoom) parley(states []stateMap) stateMap {
	index, err := stateres.NewIndex(r.graph(), func(eventID id.EventID) bool { return r.rejected[eventID] })
	if err != nil {
		panic("difftest: " + err.Error())
	}
	numbered := make([]map[event.Tuple]stateres.Num, len(states))
	for i, state := range states {
		numbered[i] = make(map[event.Tuple]stateres.Num, len(state))
		for t, e := range state {
			numbered[i][t] = index.Num(e.ID())
		}
	}
	resolved, err := stateres.ResolveMaps(r.rules, numbered, index)
	if err != nil {
		panic("difftest: " + err.Error())
	}
	result := make(stateMap, len(resolved))
	for t, n := range resolved {
		if result[t], err = index.Event(n); err != nil {
			panic("difftest: " + err.Error())
		}
	}
	return result
}

// graph returns the events in random order: numbers must not matter.
func (r *forkedRoom) graph() []*event.Event {
	events := append([]*event.Event(nil), r.events...)
	rng := rand.New(rand.NewPCG(uint64(len(events)), 1))
	rng.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	return events
}
