package room

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
)

// simulation is a federation with a network that is late.
type simulation struct {
	*federation
	random *rand.Rand
	world  *world
	views  []*view
	inbox  [][]*event.Event // of each server: what was sent to it and did not come yet
	cut    [][]bool         // whether a server does not hear another
	clock  int64
}

func newSimulation(t *testing.T, rules *roomver.Rules, fresh func() string, seed uint64) *simulation {
	const servers = 3
	s := &simulation{random: rand.New(rand.NewPCG(seed, 7)), world: newWorld(t, rules), clock: 1_700_000_000_000}
	// With little memory, what is known of the events is read again and again.
	s.federation = federate(t, rules, fresh, servers, Options{Memory: []int{0, 200 << 10}[seed%2]})
	var first []*event.Event
	for _, it := range s.nodes[0].items(s.roomID) {
		first = append(first, it.Event)
	}
	for range s.nodes {
		v := s.world.view()
		for _, e := range first {
			if outcome, err := v.receive(e); err != nil || outcome != Accepted {
				t.Fatalf("the model makes %d, %v of %s", outcome, err, e.JSON())
			}
		}
		s.views = append(s.views, v)
		s.cut = append(s.cut, make([]bool, servers))
	}
	s.inbox = make([][]*event.Event, servers)
	return s
}

// step lets something happen.
func (s *simulation) step() {
	i := s.random.IntN(len(s.nodes))
	switch n := s.random.IntN(100); {
	case n < 35:
		s.act(i)
	case n < 45:
		s.forge()
	case n < 50:
		s.cut[i][s.random.IntN(len(s.nodes))] = s.random.IntN(2) == 0
	default:
		s.deliver(i)
	}
}

// deliver hands a server one event of those that are on the way, even if it is
// too early, and sometimes twice.
func (s *simulation) deliver(i int) {
	var able []int
	for k, e := range s.inbox[i] {
		if from := s.serverOf(e); from == i || !s.cut[i][from] {
			able = append(able, k)
		}
	}
	if len(able) == 0 {
		return
	}
	k := able[s.random.IntN(len(able))]
	e := s.inbox[i][k]
	if s.receive(i, e) && s.random.IntN(8) > 0 {
		s.inbox[i] = slices.Delete(s.inbox[i], k, k+1)
	}
}

func (s *simulation) serverOf(e *event.Event) int { return int(e.Sender().Server()[0] - 'a') }

// receive reports whether the server has all that the event refers to.
func (s *simulation) receive(i int, e *event.Event) bool {
	s.t.Helper()
	want, wantErr := s.views[i].receive(e)
	got, err := s.nodes[i].tryReceive(e)
	if !sameOutcome(got, err, want, wantErr) {
		s.t.Fatalf("server %d makes %d, %v of %s, want %d, %v", i, got, err, e.JSON(), want, wantErr)
	}
	s.compare(i)
	return wantErr == nil
}

// compare holds the present state of a server against its view.
func (s *simulation) compare(i int) {
	s.t.Helper()
	n, v := s.nodes[i], s.views[i]
	now, err := n.Now(ctx, s.roomID)
	if err != nil {
		s.t.Fatal(err)
	}
	if !sameState(n.stateAt(s.roomID, now), v.state) {
		s.t.Fatalf("server %d: the state is %v, want %v", i, ids(n.stateAt(s.roomID, now)), v.state)
	}
	if joined, invited := counts(v.state); now.Joined != joined || now.Invited != invited {
		s.t.Fatalf("server %d: %d are joined and %d invited, want %d and %d", i, now.Joined, now.Invited, joined, invited)
	}
	s.compareSummary(i)
	if got, want := len(n.heads(s.roomID)), len(v.heads()); got != want {
		s.t.Fatalf("server %d has %d forward extremities, want %d", i, got, want)
	}
}

func sameState(got map[event.Tuple]Item, want eventauth.MapState) bool {
	if len(got) != len(want) {
		return false
	}
	for t, it := range got {
		if want[t] == nil || want[t].ID() != it.Event.ID() {
			return false
		}
	}
	return true
}

func ids(state map[event.Tuple]Item) map[event.Tuple]id.EventID {
	list := make(map[event.Tuple]id.EventID)
	for t, it := range state {
		list[t] = it.Event.ID()
	}
	return list
}

// act lets a user of a server do something, if the rules allow it.
func (s *simulation) act(i int) {
	s.t.Helper()
	d := s.draft(i)
	sent, err := s.nodes[i].Send(ctx, s.roomID, d)
	if errors.Is(err, mxerr.Forbidden) {
		return
	}
	if err != nil {
		s.t.Fatalf("server %d: sending %s %s: %v", i, d.Type, d.Content, err)
	}
	e := s.nodes[i].eventByID(s.roomID, sent.EventID)
	if s.views[i].has[e.ID()] != 0 {
		return // the state says so already
	}
	if outcome, err := s.views[i].receive(e); err != nil || outcome != Accepted {
		s.t.Fatalf("server %d sent %s, the model makes %d, %v of it", i, e.JSON(), outcome, err)
	}
	s.compare(i)
	s.post(i, e)
}

// post sends an event to all servers but one.
func (s *simulation) post(from int, e *event.Event) {
	for i := range s.nodes {
		if i != from {
			s.inbox[i] = append(s.inbox[i], e)
		}
	}
}

func (s *simulation) user(server int) id.UserID {
	return user([]string{"admin", "mod", "guest"}[s.random.IntN(3)], server)
}

// draft makes up what a user of a server may want to do.
func (s *simulation) draft(server int) Draft {
	sender, target := s.user(server), s.user(s.random.IntN(len(s.nodes)))
	pick := func(choices ...string) string { return choices[s.random.IntN(len(choices))] }
	number := func() string { return strconv.Itoa(s.random.IntN(1000)) }
	var d Draft
	switch s.random.IntN(13) {
	case 0, 1:
		d = join(sender)
	case 2:
		d = member(sender, sender, "leave")
	case 3:
		d = member(sender, target, pick("leave", "leave", "ban"))
	case 4:
		d = member(sender, target, "invite")
	case 5, 6:
		d = state(sender, pick("m.room.topic", "m.room.name"), "", `{"name":"`+number()+`","topic":"`+number()+`"}`)
	case 7:
		d = state(sender, event.TypeJoinRules, "", `{"join_rule":"`+pick("public", "public", "invite")+`"}`)
	case 8, 9:
		d = state(sender, event.TypePowerLevels, "", string(s.levels()))
	case 10:
		visibility := pick("world_readable", "shared", "invited", "joined")
		d = state(sender, event.TypeHistoryVisibility, "", `{"history_visibility":"`+visibility+`"}`)
	case 11:
		d = redaction(sender, s.world.events[s.random.IntN(len(s.world.events))].ID())
	default:
		d = message(sender, number())
	}
	if d.Content.Get("membership").Is("leave") && *d.StateKey == string(sender) && sender == admin(server) {
		d = message(sender, "I stay")
	}
	s.clock += s.random.Int64N(20)
	d.Time = s.clock - s.random.Int64N(40)
	return d
}

// levels are power levels in which the admins stand above everybody.
func (s *simulation) levels() canonjson.Value {
	users := canonjson.Value("{}")
	for i := range s.nodes {
		if !s.rules.PrivilegedCreators {
			users = users.With(string(admin(i)), level(100))
		}
		for _, name := range []string{"mod", "guest"} {
			users = users.With(string(user(name, i)), level(25*s.random.IntN(4)))
		}
	}
	return object("users", users).With("redact", level(25*s.random.IntN(3))).With("invite", level(25*s.random.IntN(3)))
}

// forge makes an event that follows any events, as a server may that wants no
// good, and sends it to all.
func (s *simulation) forge() {
	s.t.Helper()
	evil := s.random.IntN(len(s.nodes))
	d := s.draft(evil)
	var prev []*event.Event
	var prevIDs []id.EventID
	for range s.random.IntN(4) {
		// Mostly late ones, and those that were rejected among them.
		back := min(len(s.world.events), 1+s.random.IntN(40))
		e := s.world.events[len(s.world.events)-back]
		prev, prevIDs = append(prev, e), append(prevIDs, e.ID())
	}
	p := event.Proto{
		Type: d.Type, StateKey: d.StateKey, Sender: d.Sender, RoomID: s.roomID, Content: d.Content, Redacts: d.Redacts,
		OriginServerTS: d.Time, Depth: s.random.Int64N(100), EventID: id.EventID(fmt.Sprintf("$forged%d:%s", len(s.world.events), d.Sender.Server())),
	}
	for _, e := range prev {
		p.PrevEvents = append(p.PrevEvents, e.Reference())
	}
	before := s.world.stateAfter(prevIDs)
	selection := eventauth.Draft{Type: d.Type, StateKey: d.StateKey, Sender: d.Sender, Content: d.Content}
	for _, t := range selection.Selection(s.rules) {
		a := before[t]
		if s.random.IntN(10) == 0 { // another event in this place, or none, or of another place
			a = s.world.events[s.random.IntN(len(s.world.events))]
		}
		if a != nil && len(p.AuthEvents) < event.MaxAuthEvents {
			p.AuthEvents = append(p.AuthEvents, a.Reference())
		}
	}
	e, err := p.Build(s.rules, d.Sender.Server(), keyOf(s.t, d.Sender.Server()))
	if err != nil {
		s.t.Fatal(err)
	}
	s.world.add(e)
	for i := range s.nodes {
		s.inbox[i] = append(s.inbox[i], e)
	}
}

// heal delivers everything, and lets each server say something after what it
// has, which all the others hear.
func (s *simulation) heal() {
	s.t.Helper()
	for i := range s.cut {
		clear(s.cut[i])
	}
	s.deliverAll()
	for i, n := range s.nodes {
		if n.memberships(admin(i))[s.roomID] != event.MembershipJoin {
			// Where states of long ago are made to conflict with those of today,
			// a join can fall to today's join rule. It is the algorithm that
			// says so; and this server has nobody left to say anything.
			return
		}
		e := n.sent(s.roomID, message(admin(i), "back again"))
		if outcome, err := s.views[i].receive(e); err != nil || outcome != Accepted {
			s.t.Fatalf("the model makes %d, %v of %s", outcome, err, e.JSON())
		}
		s.post(i, e)
		s.deliverAll()
	}
	for i, n := range s.nodes {
		if heads := n.heads(s.roomID); len(heads) != 1 {
			s.t.Errorf("server %d has %d forward extremities", i, len(heads))
		}
		if !sameState(n.now(s.roomID), s.views[0].state) {
			s.t.Errorf("server %d: the state is %v, want %v", i, ids(n.now(s.roomID)), s.views[0].state)
		}
	}
}

func (s *simulation) deliverAll() {
	s.t.Helper()
	for i := range s.nodes {
		for len(s.inbox[i]) > 0 {
			s.deliver(i)
		}
	}
}
