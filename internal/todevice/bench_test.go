package todevice

import (
	"fmt"
	"testing"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// BenchmarkDrain measures how fast a device gets what waits for it, a hundred
// messages at a time, each acknowledged with the next request.
func BenchmarkDrain(b *testing.B) {
	for _, count := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			storetest.Bench(b, func(b *testing.B, db *store.DB) {
				n := start(b, db)
				for b.Loop() {
					b.StopTimer()
					n.fill(count)
					b.StartTimer()
					n.drain(count)
				}
				b.ReportMetric(float64(count)*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
			})
		})
	}
}

// fill sends messages to one device, many at once.
func (n *node) fill(count int) {
	n.t.Helper()
	waits := make([]func() (journal.Position, error), count)
	for i := range waits {
		m := message(fmt.Sprint(i), "@alice:a.test PHONE")
		waits[i] = n.journal.Submit(func(b *journal.Batch) error { return n.deliver(b, m, m.To) })
	}
	for _, wait := range waits {
		if _, err := wait(); err != nil {
			n.t.Fatal(err)
		}
	}
}

// drain has the device get all that waits for it, in order.
func (n *node) drain(count int) {
	n.t.Helper()
	told := journal.Position(0)
	for got := 0; got < count; {
		if told != 0 {
			n.acknowledge(alice, "PHONE", told)
		}
		var texts []string
		if texts, told = n.reads(alice, "PHONE", told, 100); len(texts) == 0 {
			n.t.Fatalf("there are %d of %d", got, count)
		}
		for _, text := range texts {
			if text != fmt.Sprint(got) {
				n.t.Fatalf("%s comes at %d", text, got)
			}
			got++
		}
	}
	n.acknowledge(alice, "PHONE", told)
}

// BenchmarkSend measures sending to the devices of a large room, in one request.
func BenchmarkSend(b *testing.B) {
	for _, count := range []int{20, 250} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			storetest.Bench(b, func(b *testing.B, db *store.DB) {
				n := start(b, db)
				m := message("x")
				for i := range count {
					user := id.UserID(fmt.Sprintf("@user%d:a.test", i))
					n.devices[user] = []id.DeviceID{"PHONE"}
					m.To[user] = map[id.DeviceID]canonjson.Value{"PHONE": canonjson.Value(`{"ciphertext":"` + fmt.Sprintf("%01000d", i) + `"}`)}
				}
				for b.Loop() {
					if err := n.Send(ctx, m, Transaction{}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(count)*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
			})
		})
	}
}
