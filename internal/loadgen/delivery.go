package loadgen

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// deliveries is how messages reach a crowd: each has a serial number, and is
// known again by the mark before it.
type deliveries struct {
	mark    []byte
	began   time.Time
	sent    []atomic.Int64 // by serial: when it was sent, since began
	got     []atomic.Int32 // by serial: how many listeners got it
	seen    [][]uint64     // by listener, a set of serials; each is its listener's own
	timed   int64          // the first serial whose latency counts
	latency Histogram
	total   atomic.Int64
	twice   atomic.Int64
}

func newDeliveries(mark string, listeners int, messages, untimed int64) *deliveries {
	d := &deliveries{
		mark: []byte(mark), began: time.Now(), timed: untimed,
		sent: make([]atomic.Int64, messages), got: make([]atomic.Int32, messages),
		seen: make([][]uint64, listeners),
	}
	for i := range d.seen {
		d.seen[i] = make([]uint64, (messages+63)/64)
	}
	return d
}

// send is called at the moment before a message is sent.
func (d *deliveries) send(serial int64) { d.sent[serial].Store(int64(time.Since(d.began))) }

// hear notes what is in a response to a listener, which arrived at a time.
func (d *deliveries) hear(listener int, body []byte, at time.Time) {
	seen := d.seen[listener]
	serials(body, d.mark, func(n int64) {
		if n >= int64(len(d.sent)) {
			return
		}
		word, bit := n/64, uint64(1)<<(n%64)
		if seen[word]&bit != 0 {
			d.twice.Add(1)
			return
		}
		seen[word] |= bit
		if n >= d.timed {
			d.latency.Record(at.Sub(d.began) - time.Duration(d.sent[n].Load()))
		}
		d.got[n].Add(1)
		d.total.Add(1)
	})
}

// await waits until there were so many deliveries, and not longer than a limit.
// It says whether they came.
func (d *deliveries) await(ctx context.Context, total int64, limit time.Duration) (bool, error) {
	return await(ctx, &d.total, total, limit)
}

// await waits until something was counted so often, and not longer than a limit. It
// says whether it was.
func await(ctx context.Context, counted *atomic.Int64, total int64, limit time.Duration) (bool, error) {
	for ends := time.Now().Add(limit); counted.Load() < total; {
		if time.Now().After(ends) {
			return false, nil
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return false, err
		}
	}
	return true, nil
}

// warmUp sends the first message into each room, and waits until all who are to
// hear of one did: then everybody listens.
func (d *deliveries) warmUp(ctx context.Context, s *sender, total int64, limit time.Duration) error {
	for room := range s.messages {
		d.send(int64(room))
		if err := s.insist(ctx, room, int64(room)); err != nil {
			return fmt.Errorf("sending the first message: %w", err)
		}
	}
	all, err := d.await(ctx, total, limit)
	if err == nil && !all {
		err = fmt.Errorf("of %d syncing clients that were to hear the first messages, %d did", total, d.total.Load())
	}
	return err
}

// warmUpLimit is how long the first messages may take.
const warmUpLimit = 30 * time.Second
