package room

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"parley/internal/journal"
	"parley/internal/store/storetest"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/stateres"
)

// TestARoomAtAPosition remembers what a room was at each position of the journal
// and asks again later: of memory, of memory that has become too short, of the
// database, of another node, and when the journal has lost what was before.
func TestARoomAtAPosition(t *testing.T) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		n, other := start(t, storetest.Open(t, location), Options{}), start(t, storetest.Open(t, location), Options{})
		elsewhere := n.create(NewRoom{Preset: PublicChat})
		before := n.journal.Head()
		roomID := n.create(NewRoom{Preset: PublicChat})
		was := make(map[journal.Position]Moment) // at every position
		for pos := range before + 1 {
			was[pos] = Moment{}
		}
		check := func(asked *node, floor journal.Position) {
			t.Helper()
			for pos, want := range was {
				if pos < floor {
					continue
				}
				got, err := asked.At(ctx, roomID, pos)
				got.Bumped = 0 // nobody noted it
				if err != nil || got != want {
					t.Fatalf("at %d the room is\n%+v, %v; was\n%+v", pos, got, err, want)
				}
			}
		}
		// Of the positions of one append, only the last could be asked for, but
		// the others are as good.
		note := func() {
			t.Helper()
			for _, it := range n.items(roomID) {
				if _, known := was[it.Pos]; known || it.Pos == 0 {
					continue
				}
				m := Moment{Pos: it.Pos, Place: it.Place, Root: it.Current, Total: it.Total, Threaded: it.Threaded}
				for t, it := range n.stateAt(roomID, m) {
					switch {
					case t.Type != event.TypeMember || !isUser(t.StateKey):
					case it.Event.Membership() == event.MembershipJoin:
						m.Joined++
					case it.Event.Membership() == event.MembershipInvite:
						m.Invited++
					}
				}
				was[it.Pos] = m
			}
			for pos := before + 1; pos <= n.journal.Head(); pos++ {
				if _, known := was[pos]; !known {
					was[pos] = was[pos-1]
				}
			}
		}
		random := rand.New(rand.NewPCG(1, 1))
		users := []id.UserID{alice, bob, carol}
		for i := range 3 * recentItems {
			sender, target := users[random.IntN(3)], users[1+random.IntN(2)]
			d := message(sender, "hi")
			switch random.IntN(5) {
			case 0:
				d = join(sender)
			case 1:
				d = member(sender, target, []string{"leave", "invite", "ban"}[random.IntN(3)])
			case 2:
				d = topic(sender, string(rune('a'+random.IntN(26))))
			case 3:
				n.send(elsewhere, message(alice, "meanwhile"))
			}
			if _, err := n.Send(ctx, roomID, d); err != nil && !errors.Is(err, mxerr.Forbidden) {
				t.Fatal(err)
			}
			note()
			if i%40 == 0 {
				check(n, 0)
				n.forgetAll()
			}
		}
		n.receive(inviteOfNobody(t, n, roomID), Accepted)
		note()
		check(n, 0)
		n.forgetAll()
		if err := other.journal.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
		n.send(roomID, message(alice, "the last one"))
		check(n, 0)
		check(other, 0)
		floor := n.journal.Head() - 20
		if _, err := n.journal.Trim(ctx, floor); err != nil {
			t.Fatal(err)
		}
		n.forgetAll()
		check(n, floor)
	})
}

// inviteOfNobody is a member event that makes nobody a member: the rules allow
// it, and only other servers send such.
func inviteOfNobody(t *testing.T, n *node, roomID id.RoomID) *event.Event {
	f := &federation{t: t, rules: n.stateEvent(roomID, event.TypeCreate, "").Rules(), roomID: roomID}
	return f.build(n, member(alice, "nobody", "invite"), f.last(n))
}

// TestRecentIsTheEndOfWhatWas pushes more than is kept, changes some of it, and
// asks for everything.
func TestRecentIsTheEndOfWhatWas(t *testing.T) {
	e, err := event.Proto{Type: "t", Sender: alice, RoomID: "!r:a.test"}.Build(rulesOf(t, "12"), "a.test", testKey(t))
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(2, 2))
	var c recent
	var items []Item
	was := []Moment{{Pos: 5}}
	c.moments = slices.Clone(was)
	check := func() {
		t.Helper()
		for _, m := range was {
			for pos := m.Pos; pos < m.Pos+2; pos++ {
				got, ok := c.at(pos)
				if ok && got != m || !ok && m.Pos >= was[max(0, len(was)-recentMoments)].Pos {
					t.Fatalf("at %d it was %+v, %v; want %+v", pos, got, ok, m)
				}
			}
		}
		if m, ok := c.at(4); ok {
			t.Fatalf("before everything it was %+v", m)
		}
		for range 50 {
			place, limit := random.Int64N(int64(len(items)+2)), 1+random.IntN(2*recentItems)
			back := c.upTo(place, limit)
			for i, it := range back {
				if want := items[min(place, int64(len(items)))-1-int64(i)]; it != want {
					t.Fatalf("%d back from place %d is %+v, want %+v", i, place, it, want)
				}
			}
			least := int64(max(0, len(items)-recentItems)) // the places behind it are kept
			if want := min(int64(limit), min(place, int64(len(items)))-least); int64(len(back)) < want || len(back) > limit {
				t.Fatalf("%d back from place %d, want %d", len(back), place, want)
			}
			forward, ok := c.from(place, limit)
			for i, it := range forward {
				if want := items[place-1+int64(i)]; it != want {
					t.Fatalf("%d on from place %d is %+v, want %+v", i, place, it, want)
				}
			}
			if want := min(limit, max(0, len(items)+1-int(place))); ok && len(forward) != want || !ok && place > least {
				t.Fatalf("%d on from place %d, %v, want %d", len(forward), place, ok, want)
			}
		}
	}
	for i := range 2*recentMoments + 100 {
		place := int64(i + 1)
		it, m := Item{Num: stateres.Num(place), Event: e, Place: place}, Moment{Pos: was[i].Pos + 2 + journal.Position(random.IntN(3)), Place: place}
		items, was = append(items, it), append(was, m)
		c.push(it, m)
		if k := random.IntN(len(items)); len(items)-k < recentItems {
			items[k].Loud++
			c.change(items[k].Num, func(Item) Item { return items[k] })
		}
		if i%97 == 0 || i > 2*recentMoments {
			check()
		}
	}
}
