package room

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/event"
	"parley/matrix/id"
)

func TestTheEventNearestToATime(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		roomID := n.create(NewRoom{})
		base := n.items(roomID)[0].Event.OriginServerTS()
		random := rand.New(rand.NewPCG(1, 2))
		r, err := n.room(ctx, roomID)
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			var drafts []Draft
			count := len(n.items(roomID))
			for i := range 100 {
				d := message(alice, fmt.Sprint(i))
				// A second apart, with clocks that are wrong by up to ten.
				d.Time = base + int64(10+count+i)*1000 + random.Int64N(20_000) - 10_000
				drafts = append(drafts, d)
			}
			a, wait, err := r.submit(ctx, drafts, transactionKey{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.settle(a, wait); err != nil {
				t.Fatal(err)
			}
		}
		items := n.items(roomID)
		last := int64(len(items))
		for _, seen := range [][]Interval{{{1, last}}, {{1, 300}, {305, 310}, {900, last}}, {{500, 501}}, nil} {
			for range 100 {
				ts, back := base+random.Int64N(1_100_000)-30_000, random.IntN(2) == 0
				var want id.EventID
				best := int64(0)
				for _, it := range items {
					e := it.Event
					before := want != "" && (back && e.OriginServerTS() < best || !back && e.OriginServerTS() >= best)
					if !sees(seen, it.Place) || before || back && e.OriginServerTS() > ts || !back && e.OriginServerTS() < ts {
						continue
					}
					want, best = e.ID(), e.OriginServerTS()
				}
				it, ok, err := n.Nearest(ctx, roomID, ts, back, seen)
				if err != nil || ok != (want != "") || ok && it.Event.ID() != want {
					t.Errorf("%d back %v in %v: got %v, %v, %v, want %s at %d", ts-base, back, seen, ok, timeOf(it.Event)-base, err, want, best-base)
				}
			}
		}
	})
}

func timeOf(e *event.Event) int64 {
	if e == nil {
		return 0
	}
	return e.OriginServerTS()
}
