package loadgen

import (
	"context"
	"fmt"
	"time"
)

// Fanout is how messages reach those who wait for them.
type Fanout struct {
	Clients        int // which sync
	Rooms          int
	RoomsPerClient int
	Senders        int     // which share the messages, and are in all rooms
	Rate           float64 // of messages a second, altogether
	Body           int     // length of the messages' texts, in bytes

	Duration time.Duration
	Poll     time.Duration // the timeout of the syncs
	Grace    time.Duration // how long after the last message deliveries may come
}

func (o Fanout) check() error {
	if err := firstError(
		within("the number of clients", o.Clients, 1, 20_000),
		within("the number of rooms", o.Rooms, 1, 100_000),
		within("the number of rooms of a client", o.RoomsPerClient, 1, o.Rooms),
		within("the number of senders", o.Senders, 1, 1000),
		within("the rate", o.Rate, 0.01, 100_000),
		within("the length of the body", o.Body, 0, 60_000),
		within("the duration", o.Duration, time.Millisecond, time.Hour),
		within("the timeout of syncs", o.Poll, time.Millisecond, 10*time.Minute),
		within("the time for late deliveries", o.Grace, 0, 10*time.Minute),
	); err != nil {
		return err
	}
	return within("the number of messages", o.messages(), 1, 1e6)
}

func (o Fanout) messages() int64 { return int64(o.Rate * o.Duration.Seconds()) }

// Fanout measures the time from the moment before a message is sent to the
// arrival of the sync response that has it. The messages go into the rooms in
// turn, at a steady rate. The second row is the sending itself.
func (g *Generator) Fanout(ctx context.Context, o Fanout) ([]Row, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	users, err := g.users(ctx, o.Senders+o.Clients)
	if err != nil {
		return nil, err
	}
	writers, readers := users[:o.Senders], users[o.Senders:]
	rooms, err := g.createRooms(ctx, writers[0], o.Rooms)
	if err != nil {
		return nil, err
	}
	heard := spread(readers, rooms, o.RoomsPerClient)
	if err := g.join(ctx, append(spread(writers[1:], rooms, len(rooms)), heard...)); err != nil {
		return nil, err
	}
	c, err := g.gather(ctx, readers, o.Poll)
	if err != nil {
		return nil, err
	}
	defer c.stop()

	mark := g.newMark()
	untimed := int64(len(rooms)) // the first message into each room
	d := newDeliveries(mark, len(readers), untimed+o.messages(), untimed)
	senders := make([]*sender, len(writers))
	for i, w := range writers {
		senders[i] = g.newSender(w, rooms, mark, i, o.Body)
		defer senders[i].client.hangUp()
	}
	c.start(ctx, func(i int, body []byte, _, at time.Time) { d.hear(i, body, at) })
	if err := d.warmUp(ctx, senders[0], int64(len(heard)), warmUpLimit); err != nil {
		return nil, err
	}
	run := &fanoutRun{o: o, d: d, c: c, senders: senders, audience: audience(rooms, heard)}
	return run.measure(ctx, g)
}

// audience returns how many hear of each room.
func audience(rooms []string, heard []membership) []int32 {
	number := make(map[string]int, len(rooms))
	for i, r := range rooms {
		number[r] = i
	}
	n := make([]int32, len(rooms))
	for _, m := range heard {
		n[number[m.room]]++
	}
	return n
}

// fanoutRun is a fan-out that is set up.
type fanoutRun struct {
	o        Fanout
	d        *deliveries
	c        *crowd
	senders  []*sender
	audience []int32 // by room

	sent    []bool // by message: whether it was accepted
	sending Histogram
	faults  faults
}

func (f *fanoutRun) measure(ctx context.Context, g *Generator) ([]Row, error) {
	o := f.o
	row := Row{Scenario: "fanout", Case: fmt.Sprintf("%s, each in %d of %s, %.4g messages/s, %s",
		count(o.Clients, "client"), o.RoomsPerClient, count(o.Rooms, "room"), o.Rate, bytesOf(int64(o.Body)))}
	sending := Row{Scenario: "fanout", Case: "  the sending of it, from " + count(o.Senders, "sender")}
	g.o.Progress("%s: %s", row.Scenario, row.Case)
	m, err := g.measure()
	if err != nil {
		return nil, err
	}
	if err := f.send(ctx); err != nil {
		return nil, err
	}
	sending.Seconds = time.Since(m.began).Seconds()
	sending.count(&f.sending)
	if _, err := f.d.await(ctx, f.expected(), o.Grace); err != nil {
		return nil, err
	}
	if err := m.stop(&row); err != nil {
		return nil, err
	}
	f.c.stop()
	row.count(&f.d.latency)
	row.Missed, row.Twice = f.missed(), f.d.twice.Load()
	f.c.tell(&row)
	f.faults.tell(&sending)
	if sending.Rate < 0.95*o.Rate && sending.Count > 1 {
		sending.note("%.4g messages a second were asked for, and %.4g sent: the server or the senders did not keep up", o.Rate, sending.Rate)
	}
	return []Row{row, sending}, nil
}

// send sends all messages, each at its time or, when its sender is late, as soon
// as it can. Each is sent once, and not again when it fails.
func (f *fanoutRun) send(ctx context.Context) error {
	f.sent = make([]bool, f.o.messages())
	began := time.Now()
	return parallel(ctx, len(f.senders), func(ctx context.Context, next func() int) error {
		k := next()
		var failures streak
		for i := k; i < len(f.sent); i += len(f.senders) {
			at := began.Add(time.Duration(float64(i) / f.o.Rate * float64(time.Second)))
			if err := pause(ctx, time.Until(at)); err != nil {
				return err
			}
			serial := f.d.timed + int64(i)
			before := time.Now()
			f.d.send(serial)
			r, err := f.senders[k].put(ctx, i%len(f.audience), serial)
			took := time.Since(before)
			if f.sent[i], err = f.faults.judge(ctx, &failures, r, err); err != nil {
				return err
			}
			if f.sent[i] {
				f.sending.Record(took)
			}
		}
		return nil
	})
}

// expected is how many deliveries there should be, those of the first messages
// included. More may come, of messages whose acceptance was not heard of.
func (f *fanoutRun) expected() int64 {
	var n int64
	for _, a := range f.audience {
		n += int64(a)
	}
	for i, ok := range f.sent {
		if ok {
			n += int64(f.audience[i%len(f.audience)])
		}
	}
	return n
}

// missed is how many deliveries of accepted messages did not come.
func (f *fanoutRun) missed() int64 {
	var n int64
	for i, ok := range f.sent {
		if ok {
			n += int64(f.audience[i%len(f.audience)] - f.d.got[f.d.timed+int64(i)].Load())
		}
	}
	return n
}
