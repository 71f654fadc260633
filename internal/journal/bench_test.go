package journal

import (
	"fmt"
	"sync"
	"testing"

	"parley/internal/store/storetest"
)

// BenchmarkAppend appends one entry at a time from one or many goroutines,
// each waiting for its commit, into journals of different length.
func BenchmarkAppend(b *testing.B) {
	for _, length := range []int{0, 200_000} {
		for _, appenders := range []int{1, 16, 128} {
			b.Run(fmt.Sprintf("length=%d/appenders=%d", length, appenders), func(b *testing.B) {
				j := start(b, storetest.Open(b, b.TempDir()+"/parley.db"), Options{})
				var last func() (Position, error)
				for i := range length {
					last = j.Submit(entry(room(int64(i%1000)), int64(i)))
				}
				if last != nil {
					if _, err := last(); err != nil {
						b.Fatal(err)
					}
				}
				b.ResetTimer()
				var wg sync.WaitGroup
				for a := range appenders {
					wg.Go(func() {
						for i := a; i < b.N; i += appenders {
							if _, err := j.Submit(entry(room(int64(a)), int64(i)))(); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
			})
		}
	}
}

// BenchmarkWake is from an append's submission to the return of a wait for it.
func BenchmarkWake(b *testing.B) {
	for _, watchers := range []int{1, 1000} {
		b.Run(fmt.Sprintf("watchers=%d", watchers), func(b *testing.B) {
			j := start(b, storetest.Open(b, b.TempDir()+"/parley.db"), Options{})
			subs := make([]*Subscription, watchers)
			for i := range subs {
				subs[i] = j.Subscribe(room(1))
			}
			for b.Loop() {
				head := j.Head()
				wait := j.Submit(entry(room(1), 0))
				for _, s := range subs {
					if _, err := s.Wait(ctx, head, 0); err != nil {
						b.Fatal(err)
					}
				}
				if _, err := wait(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
