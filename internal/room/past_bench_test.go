package room

import (
	"fmt"
	"testing"

	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/event"
	"parley/matrix/id"
)

// BenchmarkPastSights finds out what the state before events that were fetched means for
// local users, which keeps others out of the room: with few and many members, of other
// servers and of this one.
func BenchmarkPastSights(b *testing.B) {
	for _, members := range []int{1000, 100_000} {
		for _, server := range []id.ServerName{"b.test", "a.test"} {
			b.Run(fmt.Sprintf("members=%d/of=%s", members, server), func(b *testing.B) {
				n := start(b, storetest.Open(b, b.TempDir()+"/parley.db"), Options{})
				roomID := n.create(NewRoom{Preset: PublicChat})
				r, err := n.room(ctx, roomID)
				if err != nil {
					b.Fatal(err)
				}
				now, err := n.Now(ctx, roomID)
				if err != nil {
					b.Fatal(err)
				}
				first, err := statetrie.Get(ctx, n.committed(r.num), now.Root, statetrie.Key{Type: event.TypeMember, StateKey: string(alice)})
				if err != nil {
					b.Fatal(err)
				}
				var entries []statetrie.Entry
				var rows [][]any
				for i := range members {
					user := fmt.Sprintf("@user%d:%s", i, server)
					entries = append(entries, statetrie.Entry{Key: statetrie.Key{Type: event.TypeMember, StateKey: user}, Number: first})
					rows = append(rows, []any{user, r.num, event.MembershipJoin, int64(first), int64(1), false})
				}
				state, err := n.storeTrie(ctx, r, func(yield func(statetrie.Entry) bool) {
					for _, e := range entries {
						if !yield(e) {
							return
						}
					}
				})
				if err != nil {
					b.Fatal(err)
				}
				if err := n.db.Update(ctx, func(tx *store.Tx) error { return tx.QueueAll(insertMemberships, rows) }); err != nil {
					b.Fatal(err)
				}
				for b.Loop() {
					b.StopTimer() // nobody waits for that
					p := &past{room: r, earlier: Item{Current: state.root}}
					before := heardState{root: now.Root}
					if err := p.compare(ctx, []bygone{{before: &before}}); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
					if err := p.begin(ctx, now.Root); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
