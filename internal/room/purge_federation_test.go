package room

import (
	"maps"
	"testing"
)

// TestEventsOfOthersAfterAPurge has another server go on from events that were
// purged here, and from others.
func TestEventsOfOthersAfterAPurge(t *testing.T) {
	eachFederation(t, func(t *testing.T, f *federation, a, b *node) {
		a.purges.grace = -1
		old := a.sent(f.roomID, topic(admin(0), "old"))
		b.receiveAll(old)
		behind := b.sent(f.roomID, message(guest, "b has not heard for a while"))
		a.send(f.roomID, message(admin(0), "meanwhile"))
		last := a.sent(f.roomID, message(admin(0), "last"))
		it, ok, err := a.Item(ctx, f.roomID, last.ID())
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		if p := a.purge(a.PurgeHistory(ctx, f.roomID, it.Place, false)); p.Status != PurgeComplete {
			t.Fatalf("got %+v", p)
		}
		a.missing(behind)
		a.missing(f.build(b, topic(admin(1), "from there"), old))
		a.receive(f.build(b, topic(admin(1), "new"), last), Accepted)
		a.receive(old, Known)
		if got, _ := a.stateEvent(f.roomID, "m.room.topic", "").Content().Get("topic").Text(); got != "new" {
			t.Errorf("the topic is %q", got)
		}
		a.send(f.roomID, message(admin(0), "on"))
	})
}

// TestBranchesSurviveAPurge purges a room up to the last of its two heads, and has
// the branches come together.
func TestBranchesSurviveAPurge(t *testing.T) {
	eachFederation(t, func(t *testing.T, f *federation, a, b *node) {
		a.purges.grace = -1
		base := a.sent(f.roomID, message(admin(0), "base"))
		b.receiveAll(base)
		a.send(f.roomID, topic(admin(0), "of a"))
		theirs := b.sent(f.roomID, state(admin(1), "m.room.name", "", `{"name":"of b"}`))
		a.receive(theirs, Accepted)
		if len(a.heads(f.roomID)) != 2 {
			t.Fatal("there is one branch")
		}
		before := a.now(f.roomID)
		if p := a.purge(a.PurgeHistory(ctx, f.roomID, Last, false)); p.Status != PurgeComplete {
			t.Fatalf("got %+v", p)
		}
		a.forgetAll()
		a.events.Clear()
		a.nodes.Clear()
		a.send(f.roomID, message(admin(0), "together"))
		if len(a.heads(f.roomID)) != 1 {
			t.Error("the branches did not come together")
		}
		if after := a.now(f.roomID); !maps.Equal(ids(before), ids(after)) {
			t.Errorf("the state was %v and is %v", ids(before), ids(after))
		}
		if got := len(a.items(f.roomID)); got != 2 {
			t.Errorf("%d events are left", got)
		}
	})
}
