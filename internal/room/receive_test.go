package room

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

// eachFederation runs f with two servers in one room, in some room versions. On
// the second there is a guest.
func eachFederation(t *testing.T, f func(t *testing.T, f *federation, a, b *node)) {
	storetest.EachKind(t, func(t *testing.T, fresh func() string) {
		for _, version := range someVersions(t) {
			t.Run("version "+string(version), func(t *testing.T) {
				two := federate(t, rulesOf(t, version), fresh, 2, Options{})
				a, b := two.nodes[0], two.nodes[1]
				a.receiveAll(b.sent(two.roomID, join(guest)))
				f(t, two, a, b)
			})
		}
	})
}

// someVersions are the room versions that a test goes through, on this database.
// That the versions differ is shown on SQLite; what is different on PostgreSQL,
// and slower there, has nothing to do with versions.
func someVersions(t *testing.T) []roomver.Version {
	if onPostgres(t) {
		return []roomver.Version{"12"}
	}
	return []roomver.Version{"1", "11", "12"}
}

// onPostgres reports whether a subtest of storetest is one with PostgreSQL.
func onPostgres(t *testing.T) bool { return strings.HasSuffix(t.Name(), "/postgres") }

const guest id.UserID = "@guest:b.test"

func ban(sender, target id.UserID) Draft { return member(sender, target, event.MembershipBan) }

func topic(sender id.UserID, topic string) Draft {
	return state(sender, "m.room.topic", "", `{"topic":"`+topic+`"}`)
}

func (n *node) shows(roomID id.RoomID, e *event.Event) bool {
	n.t.Helper()
	_, ok, err := n.Item(ctx, roomID, e.ID())
	if err != nil {
		n.t.Fatal(err)
	}
	return ok
}

func TestRejectedEvents(t *testing.T) {
	eachFederation(t, func(t *testing.T, f *federation, a, b *node) {
		late := message(guest, "am I still in?")
		before := f.authOf(a, late)
		banned := a.sent(f.roomID, ban(admin(0), guest))
		b.receiveAll(banned)
		rejected := map[string]*event.Event{
			"a message of a stranger":                    f.build(a, message("@stranger:b.test", "hi"), banned),
			"a message without auth events":              f.buildBy(message(admin(1), "hi"), nil, banned),
			"a message with an auth event of no use":     f.buildBy(message(admin(1), "hi"), append(f.authOf(a, message(admin(1), "")), banned), banned),
			"a message that its auth events would allow": f.buildBy(late, before, banned),
			"a message with nothing before it":           f.build(a, message(admin(1), "hi")),
		}
		if !f.rules.RoomIDFromCreate {
			beginning := state(admin(0), event.TypeCreate, "", `{"creator":"`+string(admin(0))+`"}`)
			rejected["another beginning"] = f.buildBy(beginning, nil)
			rejected["a beginning in the middle"] = f.buildBy(beginning, nil, banned)
		}
		news, state := a.journal.Head(), ids(a.now(f.roomID))
		for name, e := range rejected {
			t.Run(name, func(t *testing.T) {
				a.receive(e, Rejected)
				a.receive(e, Known)
				a.receive(f.buildBy(message(admin(1), "because of that"), []*event.Event{e}, banned), Rejected)
				if a.shows(f.roomID, e) {
					t.Error("it is shown")
				}
			})
		}
		if now := a.journal.Head(); now != news {
			t.Errorf("the journal has %d entries about them", now-news)
		}
		a.receive(f.build(a, message(admin(1), "after that"), rejected["a message of a stranger"]), Accepted)
		if heads := a.heads(f.roomID); len(heads) != 1 {
			t.Errorf("%d forward extremities", len(heads))
		}
		if now := ids(a.now(f.roomID)); !maps.Equal(now, state) {
			t.Errorf("the state was %v, is %v", state, now)
		}
	})
}

// TestSoftFailedEvents: somebody who was banned goes on on a server that does
// not know it yet.
func TestSoftFailedEvents(t *testing.T) {
	eachFederation(t, func(t *testing.T, f *federation, a, b *node) {
		levels := object("users", object(string(admin(0)), level(100)).With(string(admin(1)), level(100)).With(string(guest), level(50)))
		if f.rules.PrivilegedCreators {
			levels = object("users", object(string(guest), level(50)))
		}
		b.receiveAll(a.sent(f.roomID, state(admin(0), event.TypePowerLevels, "", string(levels))))

		banned := a.sent(f.roomID, ban(admin(0), guest))
		news, state := a.journal.Head(), ids(a.now(f.roomID))
		said, set := b.sent(f.roomID, message(guest, "still here")), b.sent(f.roomID, topic(guest, "I rule"))
		for _, e := range []*event.Event{said, set} {
			a.receive(e, SoftFailed)
			a.receive(e, Known)
			if a.shows(f.roomID, e) {
				t.Errorf("%s is shown", e.JSON())
			}
		}
		if now := a.journal.Head(); now != news {
			t.Errorf("the journal has %d entries about them", now-news)
		}
		if now := ids(a.now(f.roomID)); !maps.Equal(now, state) {
			t.Errorf("the state was %v, is %v", state, now)
		}

		// What somebody else builds on them takes the place of what they follow.
		after := b.sent(f.roomID, message(admin(1), "is there anybody?"))
		a.receiveAll(after)
		if heads := a.heads(f.roomID); len(heads) != 2 {
			t.Errorf("%d forward extremities instead of the ban and the message", len(heads))
		}
		b.receiveAll(banned)
		answer := a.sent(f.roomID, message(admin(0), "yes"))
		b.receiveAll(answer)
		if a, b := ids(a.now(f.roomID)), ids(b.now(f.roomID)); !maps.Equal(a, b) || len(answer.PrevEvents()) != 2 {
			t.Errorf("after the ban and what was said meanwhile (%v) the state is\n%v there and\n%v here", answer.PrevEvents(), a, b)
		}
		// The first algorithm sees no conflict where only one side has something.
		if e := a.stateEvent(f.roomID, "m.room.topic", ""); e != nil && f.rules.StateRes != roomver.StateResV1 {
			t.Errorf("the topic is %s", e.JSON())
		}
	})
}

func TestMissingEvents(t *testing.T) {
	eachFederation(t, func(t *testing.T, f *federation, a, b *node) {
		first, second := b.sent(f.roomID, topic(admin(1), "first")), b.sent(f.roomID, message(admin(1), "second"))
		joined := b.sent(f.roomID, join("@late:b.test"))
		said := f.build(b, message("@late:b.test", "hi"), f.last(a)) // its auth event is not there
		state := ids(a.now(f.roomID))
		for _, e := range []*event.Event{second, joined, said, second} {
			a.missing(e)
		}
		if now := ids(a.now(f.roomID)); !maps.Equal(now, state) {
			t.Errorf("the state was %v, is %v", state, now)
		}
		a.receiveAll(first, second, joined)
		a.receive(said, Rejected) // its sender was not there before it
	})
}

// TestUnsignedIsNotTakenOver: nobody vouches for it, and what this server shows
// there is its own.
func TestUnsignedIsNotTakenOver(t *testing.T) {
	eachFederation(t, func(t *testing.T, f *federation, a, b *node) {
		e := b.sent(f.roomID, message(guest, "hi"))
		a.receiveAll(e.WithUnsigned(object("redacted_because", object("event_id", level(1)))))
		if got := a.eventByID(f.roomID, e.ID()); string(got.JSON()) != string(e.JSON()) {
			t.Errorf("got %s, want %s", got.JSON(), e.JSON())
		}
		a.send(f.roomID, redaction(admin(0), e.ID()))
		if got := a.items(f.roomID); got[len(got)-2].Event.Content().Get("body") != nil {
			t.Error("it is not redacted")
		}
	})
}

// TestAnEventIDInTwoRooms: where servers choose the IDs, one may choose an ID
// twice.
func TestAnEventIDInTwoRooms(t *testing.T) {
	storetest.EachKind(t, func(t *testing.T, fresh func() string) {
		first, second := federate(t, rulesOf(t, "2"), fresh, 2, Options{}), federate(t, rulesOf(t, "2"), fresh, 2, Options{})
		a := first.nodes[0]
		a.adopt(second.nodes[0].history(second.roomID))
		for _, f := range []*federation{first, second} {
			e := f.build(a, message(admin(1), "hi"), f.last(a))
			same, err := event.Parse(e.JSON().With("event_id", canonjson.Text("$same:b.test")), f.rules)
			if err != nil {
				t.Fatal(err)
			}
			a.receive(same, Accepted)
			a.receive(same, Known)
		}
		for _, f := range []*federation{first, second} {
			if e := a.eventByID(f.roomID, "$same:b.test"); e == nil || e.RoomID() != f.roomID {
				t.Errorf("in %s it is %v", f.roomID, e)
			}
		}
	})
}

// TestManyBranches: an event has at most twenty prev events, a room may have
// more branches.
func TestManyBranches(t *testing.T) {
	eachFederation(t, func(t *testing.T, f *federation, a, b *node) {
		last := f.last(a)
		for i := range 50 {
			a.receiveAll(f.build(a, message(admin(1), fmt.Sprint("branch ", i)), last))
		}
		for _, want := range []int{31, 12, 1} {
			a.send(f.roomID, message(admin(0), "all together"))
			if got := len(a.heads(f.roomID)); got != want {
				t.Errorf("%d forward extremities, want %d", got, want)
			}
		}
		a.forgetAll()
		a.send(f.roomID, topic(admin(0), "one line"))
		if got := len(a.heads(f.roomID)); got != 1 {
			t.Errorf("%d forward extremities", got)
		}
	})
}
