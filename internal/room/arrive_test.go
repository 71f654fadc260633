package room

import (
	"errors"
	"slices"
	"strconv"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
	"parley/matrix/stateres"
)

// sign makes the event that a template is for, as the user's server does.
func (n *node) sign(user id.UserID, t Template) *event.Event {
	n.t.Helper()
	rules := rulesOf(n.t, t.Version)
	object := t.Event
	if rules.EventID == roomver.EventIDCarried {
		eventID, err := n.newEventID(rules)
		if err != nil {
			n.t.Fatal(err)
		}
		object = object.With("event_id", canonjson.Text(string(eventID)))
	}
	e, err := event.Complete(object, rules, user.Server(), n.key)
	if err != nil {
		n.t.Fatal(err)
	}
	return e
}

// pdus returns events as they come over the wire.
func (n *node) pdus(roomID id.RoomID, rules *roomver.Rules, nums []stateres.Num) (list []*event.Event) {
	n.t.Helper()
	err := n.PDUs(ctx, roomID, nums, func(pdu canonjson.Value) error {
		e, err := event.Parse(slices.Clone(pdu), rules)
		list = append(list, e)
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return list
}

// visit is what another server hands over of a room when a user joins, its events as
// they are checked.
type visit struct {
	join         *event.Event
	from         id.ServerName
	state, chain []*event.Event
	partial      bool
	servers      []id.ServerName
}

// handshake is what a resident server hands over to one whose user joins.
func handshake(resident, joining *node, roomID id.RoomID, user id.UserID) visit {
	joining.t.Helper()
	return handshakes(resident, joining, roomID, user)[0]
}

// handshakes are those of users of a server who join at once.
func handshakes(resident, joining *node, roomID id.RoomID, users ...id.UserID) (visits []visit) {
	joining.t.Helper()
	var joins []*event.Event
	for _, user := range users {
		t, err := resident.Template(ctx, roomID, user, event.MembershipJoin, nil)
		if err != nil {
			joining.t.Fatal(err)
		}
		joins = append(joins, joining.sign(user, t))
	}
	for _, join := range joins {
		join, err := resident.Take(ctx, roomID, join)
		if err != nil {
			joining.t.Fatal(err)
		}
		h, err := resident.HandOver(ctx, join, true)
		if err != nil {
			joining.t.Fatal(err)
		}
		visits = append(visits, visit{
			join: join, from: resident.server,
			state: resident.pdus(roomID, join.Rules(), h.State), chain: resident.pdus(roomID, join.Rules(), h.AuthChain),
		})
	}
	return visits
}

// arrive has the room taken over.
func (n *node) arrive(v visit) (Sent, error) {
	n.t.Helper()
	r, err := n.roomOrNew(ctx, v.join.RoomID(), v.join.Rules())
	if err != nil {
		n.t.Fatal(err)
	}
	x := n.gather(r)
	defer func() {
		if err := x.discard(ctx); err != nil {
			n.t.Error(err)
		}
	}()
	x.add(batchOf(v.chain, false))
	x.add(batchOf(v.state, true))
	if err := x.end(ctx); err != nil {
		return Sent{}, err
	}
	return n.Engine.arrive(ctx, arrival{join: v.join, from: v.from, state: x, partial: v.partial, servers: v.servers})
}

// batchOf is events that have passed their checks.
func batchOf(events []*event.Event, inState bool) (b batch) {
	for _, e := range events {
		b.results, b.inState = append(b.results, event.Result{Event: e}), append(b.inState, inState)
	}
	return b
}

func (n *node) arrives(a visit) Sent {
	n.t.Helper()
	sent, err := n.arrive(a)
	if err != nil {
		n.t.Fatal(err)
	}
	return sent
}

// two starts two servers of which only the first has a room.
func two(t *testing.T, fresh func() string, version roomver.Version) (a, b *node, roomID id.RoomID) {
	a = start(t, storetest.Open(t, fresh()), Options{Server: "a.test"})
	b = start(t, storetest.Open(t, fresh()), Options{Server: "b.test"})
	roomID = a.create(NewRoom{Creator: admin(0), Version: version, Preset: PublicChat})
	a.send(roomID, message(admin(0), "before anybody came"))
	return a, b, roomID
}

func eachTwo(t *testing.T, f func(t *testing.T, a, b *node, roomID id.RoomID)) {
	storetest.EachKind(t, func(t *testing.T, fresh func() string) {
		for _, version := range []roomver.Version{"1", "3", "6", "9", "11", "12"} {
			t.Run("version "+string(version), func(t *testing.T) {
				a, b, roomID := two(t, fresh, version)
				f(t, a, b, roomID)
			})
		}
	})
}

// same fails unless two servers agree about a room.
func same(t *testing.T, roomID id.RoomID, a, b *node) {
	t.Helper()
	mine, theirs := ids(a.now(roomID)), ids(b.now(roomID))
	if len(mine) != len(theirs) {
		t.Errorf("the states have %d and %d events", len(mine), len(theirs))
	}
	for place, eventID := range mine {
		if theirs[place] != eventID {
			t.Errorf("%v is %s and %s", place, eventID, theirs[place])
		}
	}
	a.checkServers(roomID)
	b.checkServers(roomID)
}

func TestAServerJoinsARoomOfAnother(t *testing.T) {
	eachTwo(t, func(t *testing.T, a, b *node, roomID id.RoomID) {
		b.arrives(handshake(a, b, roomID, guest))
		same(t, roomID, a, b)
		for i := range 3 {
			b.receiveAll(a.sent(roomID, message(admin(0), "hello")), a.sent(roomID, topic(admin(0), strconv.Itoa(i))))
			a.receiveAll(b.sent(roomID, message(guest, "hello")))
		}
		same(t, roomID, a, b)
		sight, err := b.Sight(ctx, roomID, guest)
		if err != nil || sight.Membership() != event.MembershipJoin {
			t.Errorf("the guest is %q, %v", sight.Membership(), err)
		}
		moment, err := b.Now(ctx, roomID)
		if err != nil || moment.Joined != 2 {
			t.Errorf("there are %d members, %v", moment.Joined, err)
		}
		b.forgetAll()
		same(t, roomID, a, b)
	})
}

func TestAServerComesBack(t *testing.T) {
	eachTwo(t, func(t *testing.T, a, b *node, roomID id.RoomID) {
		b.arrives(handshake(a, b, roomID, guest))
		a.receiveAll(b.sent(roomID, member(guest, guest, event.MembershipLeave)))
		a.send(roomID, topic(admin(0), "while nobody was there"))
		a.send(roomID, join("@third:a.test"))
		b.arrives(handshake(a, b, roomID, guest))
		same(t, roomID, a, b)
		b.receiveAll(a.sent(roomID, message(admin(0), "welcome back")))
		b.forgetAll()
		same(t, roomID, a, b)
	})
}

func TestWhoArrivesTwiceIsThereOnce(t *testing.T) {
	eachTwo(t, func(t *testing.T, a, b *node, roomID id.RoomID) {
		arrival := handshake(a, b, roomID, guest)
		b.arrives(arrival)
		b.arrives(arrival)
		same(t, roomID, a, b)
	})
}

func TestHostileHandovers(t *testing.T) {
	storetest.EachKind(t, func(t *testing.T, fresh func() string) {
		a, first, roomID := two(t, fresh, "11")
		other := a.create(NewRoom{Creator: admin(0), Version: "11", Preset: PublicChat})
		good := handshake(a, first, roomID, guest)
		is := func(eventType string) func(*event.Event) bool {
			return func(e *event.Event) bool { return e.Type() == eventType }
		}
		for name, change := range map[string]func(*visit){
			"nothing":         func(a *visit) { a.state, a.chain = nil, nil },
			"no beginning":    func(a *visit) { a.state = slices.DeleteFunc(a.state, is(event.TypeCreate)) },
			"no join rules":   func(a *visit) { a.state = slices.DeleteFunc(a.state, is(event.TypeJoinRules)) },
			"no auth events":  func(a *visit) { a.chain, a.state = nil, a.state[:1] },
			"of another room": func(h *visit) { h.state = handshake(a, first, other, guest).state },
			"a contradiction": func(h *visit) {
				h.state = append(h.state, a.sent(roomID, topic(admin(0), "1")), a.sent(roomID, topic(admin(0), "2")))
			},
			"a state of a guest": func(h *visit) { h.state = append(h.state, forged(t, a, roomID)) },
		} {
			h := visit{join: good.join, from: good.from, state: slices.Clone(good.state), chain: slices.Clone(good.chain)}
			change(&h)
			b := start(t, storetest.Open(t, fresh()), Options{Server: "b.test"})
			_, err := b.arrive(h)
			if name == "a state of a guest" {
				if err != nil {
					t.Errorf("%s: %v", name, err)
				} else if b.stateEvent(roomID, "m.room.topic", "") != nil {
					t.Errorf("%s: it counts", name)
				}
				continue
			}
			if !errors.Is(err, mxerr.Unknown) && !errors.Is(err, mxerr.Forbidden) {
				t.Errorf("%s: %v", name, err)
			}
			if n := b.strays(); n != 0 {
				t.Errorf("%s: %d events are left of no room", name, n)
			}
		}
	})
}

// strays is how many events there are of rooms that are not there.
func (n *node) strays() (count int64) {
	n.t.Helper()
	err := n.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT count(*) FROM events WHERE room NOT IN (SELECT room FROM rooms)").Scan(&count)
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return count
}

// forged returns a topic that nobody may set.
func forged(t *testing.T, a *node, roomID id.RoomID) *event.Event {
	f := &federation{t: t, rules: rulesOf(t, "11"), roomID: roomID, nodes: []*node{a}}
	head := a.history(roomID)
	return f.build(a, topic("@stranger:b.test", "mine"), head[len(head)-1])
}
