package room

import (
	"slices"
	"testing"

	"parley/internal/journal"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
)

// fillAll fills the last gap of a room, as far as it can be.
func (n *node) fillAll(roomID id.RoomID) {
	n.t.Helper()
	for range 100 {
		place, ok, err := n.GapIn(ctx, roomID, 1, Last)
		if err != nil {
			n.t.Fatal(err)
		}
		if !ok {
			return
		}
		more, err := n.Fill(ctx, roomID, place)
		if err != nil {
			n.t.Fatal(err)
		}
		if !more {
			return
		}
	}
	n.t.Error("a gap has no end")
}

// sameHistory fails unless two servers show the same events in the same order, and
// the state was the same at each.
func sameHistory(t *testing.T, roomID id.RoomID, a, b *node) {
	t.Helper()
	want, got := a.items(roomID), b.items(roomID)
	if len(got) != len(want) {
		t.Fatalf("got %d events, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i].Event.ID() != want[i].Event.ID() {
			t.Fatalf("event %d is %s, want %s", i, got[i].Event.ID(), want[i].Event.ID())
		}
		for _, roots := range [][2]Moment{{{Root: want[i].Before}, {Root: got[i].Before}}, {{Root: want[i].Current}, {Root: got[i].Current}}} {
			was, is := a.stateAt(roomID, roots[0]), b.stateAt(roomID, roots[1])
			for tuple, it := range was {
				if is[tuple].Event == nil || is[tuple].Event.ID() != it.Event.ID() {
					t.Errorf("at event %d %v is another", i, tuple)
				}
			}
			if len(is) != len(was) {
				t.Errorf("at event %d the state has %d events, want %d", i, len(is), len(was))
			}
		}
	}
}

func TestAGapIsFilled(t *testing.T) {
	eachApart(t, func(t *testing.T, a, b *node, roomID id.RoomID, n *neighbours) {
		head := b.journal.Head()
		before, err := b.Now(ctx, roomID)
		if err != nil {
			t.Fatal(err)
		}
		b.fillAll(roomID)
		sameHistory(t, roomID, a, b)
		if now, err := b.Now(ctx, roomID); err != nil || now.Root != before.Root || now.Total != before.Total {
			t.Errorf("what is old was news: %v", err)
		}
		entries, err := b.journal.Read(ctx, head, 1000)
		if err != nil || len(entries) == 0 {
			t.Errorf("who goes through everything is not told: %v", err)
		}
		for _, e := range entries {
			if e.Kind != journal.KindPast || e.Scope != journal.NewScope(journal.ScopeNobody, int64(b.num(roomID))) {
				t.Errorf("what is old was news: %v", e)
			}
		}
		b.forgetAll()
		sameHistory(t, roomID, a, b)
		a.receiveAll(b.sent(roomID, message(guest, "so it was")))
		same(t, roomID, a, b)
		sameHistory(t, roomID, a, b)
	})
}

func TestAGapBetweenWhatIsKnownIsClosed(t *testing.T) {
	eachApart(t, func(t *testing.T, a, b *node, roomID id.RoomID, n *neighbours) {
		b.fillAll(roomID)
		n.broken["missing"] = true
		a.send(roomID, message(admin(0), "lost"))
		a.send(roomID, topic(admin(0), "new"))
		a.send(roomID, join("@new:a.test"))
		a.send(roomID, message("@new:a.test", "lost, too"))
		if got := b.from("a.test", a.sent(roomID, message("@new:a.test", "hello"))); got != Accepted {
			t.Fatalf("got outcome %d", got)
		}
		if place, ok, err := b.GapIn(ctx, roomID, 1, Last); err != nil || !ok {
			t.Fatalf("there is no gap: %d %v", place, err)
		}
		b.fillAll(roomID)
		if _, ok, err := b.GapIn(ctx, roomID, 1, Last); err != nil || ok {
			t.Errorf("the gap is not closed: %v", err)
		}
		sameHistory(t, roomID, a, b)
		same(t, roomID, a, b)
	})
}

func TestAGapThatNobodyCanFillStays(t *testing.T) {
	eachApart(t, func(t *testing.T, a, b *node, roomID id.RoomID, n *neighbours) {
		n.broken["backfill"] = true
		b.fillAll(roomID)
		b.fillAll(roomID)
		if n.asked["backfill"] != 1 {
			t.Errorf("it was asked %d times", n.asked["backfill"])
		}
		if _, ok, err := b.GapIn(ctx, roomID, 1, Last); err != nil || !ok {
			t.Errorf("the gap is not there: %v", err)
		}
		n.broken["backfill"] = false
		b.forgetAll()
		b.fillAll(roomID)
		sameHistory(t, roomID, a, b)
	})
}

func TestHistoryWithoutItsStateIsNotTaken(t *testing.T) {
	eachApart(t, func(t *testing.T, a, b *node, roomID id.RoomID, n *neighbours) {
		for range 2 * mostFilled {
			a.send(roomID, message(admin(0), "far back"))
		}
		a.send(roomID, message(admin(0), "near"))
		n.broken["missing"] = true
		b.from("a.test", a.sent(roomID, message(admin(0), "now")))
		n.broken["state_ids"] = true
		n.asked = make(map[string]int)
		b.fillAll(roomID)
		if got := len(b.items(roomID)); got != 2 {
			t.Errorf("b shows %d events, want those that it had", got)
		}
		if n.asked["state_ids"] > mostQuestions {
			t.Errorf("it was asked for %d states", n.asked["state_ids"])
		}
	})
}

func TestRedactionsAndThreadsOfThePastCount(t *testing.T) {
	eachApart(t, func(t *testing.T, a, b *node, roomID id.RoomID, n *neighbours) {
		b.fillAll(roomID)
		n.broken["missing"] = true
		root := a.send(roomID, message(admin(0), "root")).EventID
		in := message(admin(0), "in the thread")
		in.Content = in.Content.With("m.relates_to", canonjson.Value(`{"event_id":"`+string(root)+`","rel_type":"m.thread"}`))
		a.send(roomID, in)
		bad := a.send(roomID, message(admin(0), "bad")).EventID
		a.send(roomID, Draft{Type: event.TypeRedaction, Sender: admin(0), Redacts: bad})
		b.from("a.test", a.sent(roomID, message(admin(0), "now")))
		b.fillAll(roomID)
		sameHistory(t, roomID, a, b)
		it, _, err := b.Item(ctx, roomID, bad)
		if err != nil || it.Event.Unsigned().Get("redacted_because") == nil {
			t.Errorf("what was redacted is shown: %v", err)
		}
		i := slices.IndexFunc(b.items(roomID), func(it Item) bool { return it.Thread == root })
		if i < 0 {
			t.Error("nothing is in the thread")
		}
	})
}

// TestWhatWasRedactedBeforeItsPlaceWasKnownStaysSo redacts a part of the state that
// was handed over, and has what was before the join fetched then.
func TestWhatWasRedactedBeforeItsPlaceWasKnownStaysSo(t *testing.T) {
	eachApart(t, func(t *testing.T, a, b *node, roomID id.RoomID, n *neighbours) {
		target := a.stateEvent(roomID, "m.room.guest_access", "")
		b.from("a.test", a.sent(roomID, Draft{Type: event.TypeRedaction, Sender: admin(0), Redacts: target.ID()}))
		b.fillAll(roomID)
		b.forgetAll()
		b.Engine.items.Clear()
		it, ok, err := b.Item(ctx, roomID, target.ID())
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		if it.Event.Unsigned().Get("redacted_because") == nil {
			t.Errorf("it is shown as %s", it.Event.JSON())
		}
		sameHistory(t, roomID, a, b)
	})
}
