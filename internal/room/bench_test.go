package room

import (
	"fmt"
	"sync"
	"testing"

	"parley/internal/store/storetest"
	"parley/matrix/id"
)

// BenchmarkSend sends messages into one room, each sender waiting for its
// commit, with few and with many members.
func BenchmarkSend(b *testing.B) {
	for _, members := range []int{20, 2000} {
		for _, senders := range []int{1, 16} {
			b.Run(fmt.Sprintf("members=%d/senders=%d", members, senders), func(b *testing.B) {
				n := start(b, storetest.Open(b, b.TempDir()+"/parley.db"), Options{})
				roomID := n.create(NewRoom{Preset: PublicChat})
				user := func(i int) id.UserID { return id.UserID(fmt.Sprintf("@user%d:a.test", i)) }
				var wg sync.WaitGroup
				for w := range 20 {
					wg.Go(func() {
						for i := w; i < members; i += 20 {
							if _, err := n.Send(ctx, roomID, join(user(i))); err != nil {
								b.Error(err)
							}
						}
					})
				}
				wg.Wait()
				b.ResetTimer()
				for s := range senders {
					wg.Go(func() {
						for i := s; i < b.N; i += senders {
							if _, err := n.Send(ctx, roomID, message(user(s), "hello, how are you today?")); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sends/s")
			})
		}
	}
}
