package devicelist

import (
	"fmt"
	"testing"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
)

// BenchmarkChange measures a change of a user who shares rooms with many, all of
// whom wait for news: until each was told, and what it costs each to find it.
func BenchmarkChange(b *testing.B) {
	for _, size := range []struct{ rooms, sharers int }{{50, 5000}, {500, 50_000}} {
		b.Run(fmt.Sprintf("%d rooms %d sharers", size.rooms, size.sharers), func(b *testing.B) {
			storetest.Bench(b, func(b *testing.B, db *store.DB) {
				h := build(b, db)
				for room := range size.rooms {
					h.join(int64(room), alice)
				}
				subs := make([]*journal.Subscription, size.sharers)
				for i := range subs {
					for n := range 10 {
						h.join(int64((i+n*7)%size.rooms), sharer(i))
					}
					var scopes []journal.Scope
					for n := range 10 {
						scopes = append(scopes, scopeOf(int64((i+n*7)%size.rooms)))
					}
					subs[i] = h.Journal.Subscribe(scopes...)
				}
				first, changes := h.Journal.Head(), 0
				for b.Loop() {
					before := h.Journal.Head()
					pos := h.changes(alice)
					changes++
					for _, sub := range subs {
						if _, err := sub.Wait(ctx, before, 0); err != nil {
							b.Fatal(err)
						}
					}
					for i := range 1000 { // those who are there
						home := scopeOf(int64(i % size.rooms))
						found, err := h.Since(ctx, sharer(i), func(s journal.Scope) bool { return s == home }, before, pos)
						if err != nil || len(found) != 1 || found[0] != alice {
							b.Fatalf("found %v, %v", found, err)
						}
					}
				}
				b.ReportMetric(float64(h.Journal.Head()-first)/float64(changes), "entries/change")
			})
		})
	}
}

func sharer(i int) id.UserID { return id.UserID(fmt.Sprintf("@sharer%d:a.test", i)) }
