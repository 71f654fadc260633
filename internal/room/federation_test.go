package room

import (
	"crypto/rand"
	"errors"
	"slices"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/roomver"
	"parley/matrix/stateres"
)

// adopt makes the room of another server known whose events are one line so far:
// what is left of joining over federation without the federation.
func (n *node) adopt(events []*event.Event) {
	n.t.Helper()
	num, err := reserveNumbers(ctx, n.db, "room", 1)
	if err != nil {
		n.t.Fatal(err)
	}
	r := newLive(n.Engine, Num(num), events[0].Rules())
	r.id = events[0].RoomID()
	r.mu.Lock()
	var made []entry
	for _, e := range events {
		auth, err := r.findAll(ctx, e.AuthEvents(), anywhere)
		if err != nil {
			n.t.Fatal(err)
		}
		num, err := n.numbers.above(ctx, auth)
		if err != nil {
			n.t.Fatal(err)
		}
		m, err := r.follow(ctx, entry{num: num, event: e, auth: auth, before: r.row.root, status: accepted}, nil, nil)
		if err != nil {
			n.t.Fatal(err)
		}
		made = append(made, m)
	}
	a := r.finish(record{}, made)
	wait := n.journal.Submit(a.change)
	r.mu.Unlock()
	if _, err := r.settle(a, wait); err != nil {
		n.t.Fatal(err)
	}
}

// federation is several servers in one room, each with a database of its own.
// The first made the room.
type federation struct {
	t      *testing.T
	rules  *roomver.Rules
	roomID id.RoomID
	nodes  []*node
}

// federate makes a room that the servers a.test, b.test and so on know, in which
// an admin of each has joined: @admin:a.test and so on. No admin can do anything
// to another.
func federate(t *testing.T, rules *roomver.Rules, fresh func() string, servers int, o Options) *federation {
	t.Helper()
	f := &federation{t: t, rules: rules}
	room := NewRoom{Creator: admin(0), Version: rules.Version, Preset: PublicChat}
	levels := object("users_default", level(0))
	users := object(string(admin(0)), level(100))
	for i := range servers {
		o.Server = admin(i).Server()
		f.nodes = append(f.nodes, start(t, storetest.Open(t, fresh()), o))
		users = users.With(string(admin(i)), level(100))
		if i > 0 && rules.PrivilegedCreators {
			room.Preset, room.Invites = TrustedPrivateChat, append(room.Invites, admin(i))
		}
	}
	if rules.PrivilegedCreators {
		room.State = append(room.State, state("", event.TypeJoinRules, "", `{"join_rule":"public"}`))
	} else {
		room.Levels = levels.With("users", users)
	}
	f.roomID = f.nodes[0].create(room)
	for i := 1; i < servers; i++ {
		f.nodes[i].adopt(f.nodes[0].history(f.roomID))
		joined := f.nodes[i].send(f.roomID, join(admin(i)))
		e := f.nodes[i].eventByID(f.roomID, joined.EventID)
		for _, n := range f.nodes[:i] {
			n.receive(e, Accepted)
		}
	}
	return f
}

func admin(i int) id.UserID { return user("admin", i) }

// user returns a user of the server with a number.
func user(name string, server int) id.UserID {
	return id.UserID("@" + name + ":" + string(rune('a'+server)) + ".test")
}

// receive hands an event to the engine in the form in which it would come.
func (n *node) receive(e *event.Event, want Outcome) {
	n.t.Helper()
	if got, err := n.tryReceive(e); err != nil || got != want {
		n.t.Fatalf("receiving %s: got outcome %d, %v; want %d", e.JSON(), got, err, want)
	}
}

func (n *node) tryReceive(e *event.Event) (Outcome, error) {
	n.t.Helper()
	parsed, err := event.Parse(slices.Clone(e.JSON()), e.Rules())
	if err != nil {
		n.t.Fatal(err)
	}
	return n.Receive(ctx, parsed)
}

func (n *node) receiveAll(events ...*event.Event) {
	n.t.Helper()
	for _, e := range events {
		n.receive(e, Accepted)
	}
}

func (n *node) missing(e *event.Event) {
	n.t.Helper()
	if got, err := n.tryReceive(e); !errors.Is(err, ErrMissing) {
		n.t.Fatalf("receiving %s: got outcome %d, %v; want ErrMissing", e.JSON(), got, err)
	}
}

// sent returns the event that somebody sends.
func (n *node) sent(roomID id.RoomID, d Draft) *event.Event {
	n.t.Helper()
	return n.eventByID(roomID, n.send(roomID, d).EventID)
}

// now returns the current state of a room by its places.
func (n *node) now(roomID id.RoomID) map[event.Tuple]Item {
	n.t.Helper()
	now, err := n.Now(ctx, roomID)
	if err != nil {
		n.t.Fatal(err)
	}
	return n.stateAt(roomID, now)
}

// stateEvent returns the event in a place of the current state, nil when there is
// none.
func (n *node) stateEvent(roomID id.RoomID, eventType, key string) *event.Event {
	n.t.Helper()
	return n.now(roomID)[event.Tuple{Type: eventType, StateKey: key}].Event
}

func (n *node) stateAt(roomID id.RoomID, m Moment) map[event.Tuple]Item {
	n.t.Helper()
	items, err := n.FullState(ctx, roomID, m.Root)
	if err != nil {
		n.t.Fatal(err)
	}
	state := make(map[event.Tuple]Item)
	for _, it := range items {
		t, _ := it.Event.Tuple()
		state[t] = it
	}
	return state
}

// items returns all that is shown of a room, oldest first.
func (n *node) items(roomID id.RoomID) []Item {
	n.t.Helper()
	var all []Item
	for place := int64(1); ; {
		items, err := n.Forward(ctx, roomID, place, 13)
		if err != nil {
			n.t.Fatal(err)
		}
		if len(items) == 0 {
			return all
		}
		all = append(all, items...)
		place = items[len(items)-1].Place + 1
	}
}

// heads returns the forward extremities of a room.
func (n *node) heads(roomID id.RoomID) []stateres.Num {
	n.t.Helper()
	r, err := n.room(ctx, roomID)
	if err != nil {
		n.t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.row.head)
}

// build makes the event that a server may make of a draft which authorises it by
// what a node has as the current state, and follows other events.
func (f *federation) build(n *node, d Draft, prev ...*event.Event) *event.Event {
	f.t.Helper()
	return f.buildBy(d, f.authOf(n, d), prev...)
}

// authOf returns what of a node's current state authorises a draft.
func (f *federation) authOf(n *node, d Draft) []*event.Event {
	f.t.Helper()
	var auth []*event.Event
	now := n.now(f.roomID)
	selection := eventauth.Draft{Type: d.Type, StateKey: d.StateKey, Sender: d.Sender, Content: d.Content}
	for _, t := range selection.Selection(f.rules) {
		if it, ok := now[t]; ok {
			auth = append(auth, it.Event)
		}
	}
	return auth
}

// buildBy is build with other auth events.
func (f *federation) buildBy(d Draft, auth []*event.Event, prev ...*event.Event) *event.Event {
	f.t.Helper()
	p := event.Proto{
		Type: d.Type, StateKey: d.StateKey, Sender: d.Sender, RoomID: f.roomID, Content: d.Content, Redacts: d.Redacts,
		OriginServerTS: 1_700_000_000_000, Depth: 100,
	}
	server := d.Sender.Server()
	var err error
	if p.EventID, err = id.NewEventID(rand.Text(), server); err != nil {
		f.t.Fatal(err)
	}
	for _, e := range prev {
		p.PrevEvents = append(p.PrevEvents, e.Reference())
	}
	for _, e := range auth {
		p.AuthEvents = append(p.AuthEvents, e.Reference())
	}
	e, err := p.Build(f.rules, server, keyOf(f.t, server))
	if err != nil {
		f.t.Fatal(err)
	}
	return e
}

// last returns the last event that a server shows of the room.
func (f *federation) last(n *node) *event.Event {
	f.t.Helper()
	items, err := n.Back(ctx, f.roomID, Last, 1)
	if err != nil {
		f.t.Fatal(err)
	}
	return items[0].Event
}

// hold keeps a node from committing until it is released.
func (n *node) hold() (release func()) {
	door := make(chan struct{})
	n.db.FailAt(func(p store.Point) error {
		if p == store.BeforeBegin {
			<-door
		}
		return nil
	})
	return func() { close(door) }
}
