package room

import (
	"sync"
	"testing"
	"testing/synctest"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/roomver"
	"parley/matrix/stateres"
)

func redaction(sender id.UserID, target id.EventID) Draft {
	return Draft{Type: event.TypeRedaction, Sender: sender, Redacts: target}
}

func TestRedactions(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
			roomID, other := n.create(NewRoom{Preset: PublicChat, Version: rules.Version}), n.create(NewRoom{Preset: PublicChat, Version: rules.Version})
			n.send(roomID, join(bob))
			n.send(other, join(bob))
			isRedacted := func(eventID id.EventID) (redacted bool, because id.EventID) {
				t.Helper()
				e := n.eventByID(roomID, eventID)
				if e == nil || e.ID() != eventID {
					t.Fatalf("event %s is %v", eventID, e)
				}
				text, _ := e.Unsigned().Get("redacted_because").Get("event_id").Text()
				return e.Content().Get("body") == nil, id.EventID(text)
			}
			own, others := n.send(roomID, message(bob, "oops")).EventID, n.send(roomID, message(bob, "spam")).EventID
			elsewhere := n.send(other, message(bob, "elsewhere")).EventID

			first := n.send(roomID, redaction(bob, own)).EventID
			n.send(roomID, redaction(alice, own))
			if redacted, because := isRedacted(own); !redacted || because != first {
				t.Errorf("own event redacted: %v, because of %s instead of %s", redacted, because, first)
			}
			n.send(roomID, redaction(alice, others))
			if redacted, _ := isRedacted(others); !redacted {
				t.Error("a moderator's redaction does not apply")
			}
			n.send(roomID, redaction(alice, elsewhere))
			if n.eventByID(other, elsewhere).Content().Get("body") == nil {
				t.Error("an event of another room is redacted")
			}
			n.send(roomID, redaction(alice, "$nowhere:a.test"))
			n.check(roomID)
		})
	})
}

// redactionOf returns the redaction because of which an event is shown redacted,
// empty if it is not: in memory, in the cache of single events, and in the
// database.
func (n *node) redactionOf(roomID id.RoomID, e *event.Event) id.EventID {
	n.t.Helper()
	because := func(e *event.Event) id.EventID {
		text, _ := e.Unsigned().Get("redacted_because").Get("event_id").Text()
		return id.EventID(text)
	}
	find := func() Item {
		for _, it := range n.items(roomID) {
			if it.Event.ID() == e.ID() {
				return it
			}
		}
		n.t.Fatalf("%s is not shown", e.ID())
		return Item{}
	}
	inMemory := find()
	cached, err := n.Items(ctx, roomID, []stateres.Num{inMemory.Num})
	if err != nil {
		n.t.Fatal(err)
	}
	n.forgetAll()
	got := []id.EventID{because(inMemory.Event), because(cached[0].Event), because(find().Event), because(n.eventByID(roomID, e.ID()))}
	for _, other := range got {
		if other != got[0] {
			n.t.Errorf("%s is redacted because of %q", e.ID(), got)
		}
	}
	return got[0]
}

// TestRedactionsAcrossBranches come before what they redact.
func TestRedactionsAcrossBranches(t *testing.T) {
	eachFederation(t, func(t *testing.T, f *federation, a, b *node) {
		last := f.last(a)
		other := b.sent(f.roomID, join("@other:b.test"))
		a.receiveAll(other)
		said := b.sent(f.roomID, message(guest, "oops"))
		own, second := f.build(a, redaction(guest, said.ID()), other), f.build(a, redaction(admin(0), said.ID()), last)
		a.receiveAll(own)
		b.receiveAll(own)
		a.receiveAll(second, said)
		for _, n := range []*node{a, b} {
			if got := n.redactionOf(f.roomID, said); got != own.ID() {
				t.Errorf("redacted because of %q, want %q", got, own.ID())
			}
		}

		kept := b.sent(f.roomID, message(admin(1), "mine"))
		d := redaction("@stranger:a.test", kept.ID())
		joined := a.sent(f.roomID, join("@stranger:a.test"))
		if !f.rules.RedactionRule { // otherwise it is not allowed at all
			a.receiveAll(f.build(a, d, joined))
		}
		a.receiveAll(kept)
		if got := a.redactionOf(f.roomID, kept); got != "" {
			t.Errorf("redacted because of %q by somebody who may not", got)
		}
	})
}

// TestRedactionsByWhoMayNotAnyMore are decided by the state before the
// redaction, so on all servers alike.
func TestRedactionsByWhoMayNotAnyMore(t *testing.T) {
	eachFederation(t, func(t *testing.T, f *federation, a, b *node) {
		levels := func(guestLevel int) Draft {
			users := object(string(guest), level(guestLevel))
			if !f.rules.PrivilegedCreators {
				users = users.With(string(admin(0)), level(100)).With(string(admin(1)), level(100))
			}
			return state(admin(0), event.TypePowerLevels, "", string(object("users", users)))
		}
		b.receiveAll(a.sent(f.roomID, levels(50)))
		said := a.sent(f.roomID, message(admin(0), "spam"))
		b.receiveAll(said)
		redacted := b.sent(f.roomID, redaction(guest, said.ID()))
		demoted := a.sent(f.roomID, levels(0))
		b.receiveAll(demoted)
		if f.rules.RedactionRule {
			a.receive(redacted, SoftFailed)
			return
		}
		a.receiveAll(redacted)
		if here, there := a.redactionOf(f.roomID, said), b.redactionOf(f.roomID, said); here != redacted.ID() || there != redacted.ID() {
			t.Errorf("redacted because of %q here, %q there", here, there)
		}
	})
}

// TestRedactionsInOneGroup are committed together with each other, and with what
// they redact.
func TestRedactionsInOneGroup(t *testing.T) {
	bubble(t, "11", func(t *testing.T, f *federation, a, b *node) {
		said := b.sent(f.roomID, message(guest, "oops"))
		first := b.sent(f.roomID, redaction(guest, said.ID()))
		second := b.sent(f.roomID, redaction(admin(1), said.ID()))
		release := a.hold()
		var wg sync.WaitGroup
		wg.Go(func() { a.send(f.roomID, message(admin(0), "first of all")) })
		synctest.Wait()
		for _, e := range []*event.Event{said, first, second} {
			wg.Go(func() { a.receiveAll(e) })
			synctest.Wait()
		}
		release()
		wg.Wait()
		if got := a.redactionOf(f.roomID, said); got != first.ID() {
			t.Errorf("redacted because of %q, want %q", got, first.ID())
		}
	})
}

func TestStateThatWasRedactedCanBeSetAgain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		roomID := n.create(NewRoom{})
		first := n.send(roomID, state(alice, "m.room.topic", "", `{"topic":"tea"}`))
		if again := n.send(roomID, state(alice, "m.room.topic", "", `{"topic":"tea"}`)); again != first {
			t.Errorf("the same topic is %v, then %v", first, again)
		}
		n.send(roomID, redaction(alice, first.EventID))
		again := n.send(roomID, state(alice, "m.room.topic", "", `{"topic":"tea"}`))
		if again.EventID == first.EventID {
			t.Error("the topic stays redacted")
		}
		n.check(roomID)
	})
}
