package room

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"parley/internal/store/storetest"
	"parley/matrix/id"
)

// BenchmarkPurge purges all but the last hundred events of a room, while somebody
// sends: how long each send takes at most, and how many events and nodes go in a
// second.
func BenchmarkPurge(b *testing.B) {
	for _, size := range []int{2000, 20000} {
		for _, whole := range []bool{false, true} {
			b.Run(fmt.Sprintf("events=%d/room=%v", size, whole), func(b *testing.B) {
				var events, nodes, longest float64
				var took time.Duration
				for b.Loop() {
					b.StopTimer()
					db := storetest.Open(b, filepath.Join(b.TempDir(), "parley.db"))
					n := start(b, db, soon)
					roomID, other := n.create(NewRoom{Preset: PublicChat}), n.create(NewRoom{Preset: PublicChat})
					n.send(roomID, join(bob))
					fill(b, n, roomID, size)
					var name string
					var err error
					if whole {
						name, err = n.Delete(ctx, roomID, Deletion{Purge: true})
					} else {
						name, err = n.PurgeHistory(ctx, roomID, int64(size-100), false)
					}
					stop, longestSend := sendOn(n, func() error { _, err := n.Send(ctx, other, message(alice, "hello")); return err })
					b.StartTimer()
					began := time.Now()
					p := n.purge(name, err)
					took += time.Since(began)
					b.StopTimer()
					events, nodes = events+float64(p.Events), nodes+float64(p.Nodes)
					stop()
					longest = max(longest, float64(longestSend().Milliseconds()))
					n.stop()
					db.Close()
					b.StartTimer()
				}
				b.ReportMetric(events/took.Seconds(), "events/s")
				b.ReportMetric(nodes/took.Seconds(), "nodes/s")
				b.ReportMetric(longest, "longest-send-ms")
			})
		}
	}
}

// fill sends messages, a tenth of which is state, by several senders at once.
func fill(b *testing.B, n *node, roomID id.RoomID, count int) {
	b.Helper()
	const senders = 16
	var wg sync.WaitGroup
	for sender := range senders {
		wg.Go(func() {
			for i := range count / senders {
				d := message(alice, "a message as people write them, neither short nor long")
				if i%10 == 0 {
					d = state(alice, "org.test", fmt.Sprint(sender, " ", i%50), fmt.Sprintf(`{"x":%d}`, i))
				}
				if _, err := n.Send(ctx, roomID, d); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// sendOn calls send again and again, and tells how long the longest took.
func sendOn(n *node, send func() error) (stop func(), longest func() time.Duration) {
	var wg sync.WaitGroup
	ended := make(chan struct{})
	var most time.Duration
	wg.Go(func() {
		for {
			select {
			case <-ended:
				return
			default:
			}
			began := time.Now()
			if err := send(); err != nil {
				n.t.Error(err)
				return
			}
			most = max(most, time.Since(began))
		}
	})
	return func() { close(ended); wg.Wait() }, func() time.Duration { return most }
}
