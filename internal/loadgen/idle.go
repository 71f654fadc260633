package loadgen

import (
	"context"
	"sync/atomic"
	"time"
)

// Idle is clients that wait for news which do not come.
type Idle struct {
	Clients int // all in one room

	Duration time.Duration // of the waiting
	Poll     time.Duration // the timeout of the syncs
	Settle   time.Duration // between the first syncs and the waiting
	Grace    time.Duration // how long the message may take that ends it
}

func (o Idle) check() error {
	return firstError(
		within("the number of clients", o.Clients, 1, 20_000),
		within("the duration", o.Duration, time.Millisecond, time.Hour),
		within("the timeout of syncs", o.Poll, time.Millisecond, 10*time.Minute),
		within("the time to settle", o.Settle, 0, 10*time.Minute),
		within("the time for the last message", o.Grace, time.Millisecond, 10*time.Minute),
	)
}

// idleWatch tells the syncs that waited from those that did not.
type idleWatch struct {
	poll    time.Duration
	settled time.Time
	ended   atomic.Bool // the message that ends the waiting is on its way

	waited atomic.Int64 // syncs that were answered when their time was over
	early  atomic.Int64 // and those that were answered before
}

func (w *idleWatch) hear(asked, at time.Time) {
	switch {
	case asked.Before(w.settled) || w.ended.Load():
	case at.Sub(asked) < w.poll*9/10:
		w.early.Add(1)
	default:
		w.waited.Add(1)
	}
}

// Idle measures what waiting clients cost: memory, if a process was named, and
// processor time. At last a message is sent, and what is timed is how it reaches
// them all; so nobody waits in vain.
func (g *Generator) Idle(ctx context.Context, o Idle) ([]Row, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	users, err := g.users(ctx, 1+o.Clients)
	if err != nil {
		return nil, err
	}
	rooms, err := g.createRooms(ctx, users[0], 1)
	if err != nil {
		return nil, err
	}
	if err := g.join(ctx, spread(users[1:], rooms, 1)); err != nil {
		return nil, err
	}
	c, err := g.gather(ctx, users[1:], o.Poll)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	row := Row{Scenario: "idle", Case: count(o.Clients, "client") + ", woken once"}
	g.o.Progress("%s: %s", row.Scenario, row.Case)
	if err := pause(ctx, o.Settle); err != nil {
		return nil, err
	}
	before, err := g.measure()
	if err != nil {
		return nil, err
	}
	mark := g.newMark()
	d := newDeliveries(mark, o.Clients, 1, 0)
	watch := &idleWatch{poll: o.Poll, settled: time.Now().Add(o.Settle)}
	c.start(ctx, func(i int, body []byte, asked, at time.Time) {
		watch.hear(asked, at)
		d.hear(i, body, at)
	})
	if err := pause(ctx, o.Settle); err != nil {
		return nil, err
	}
	if err := g.wait(ctx, o, before, &row); err != nil {
		return nil, err
	}
	watch.ended.Store(true)
	s := g.newSender(users[0], rooms, mark, 0, 0)
	defer s.client.hangUp()
	if err := d.warmUp(ctx, s, 0, 0); err != nil {
		return nil, err
	}
	if _, err := d.await(ctx, int64(o.Clients), o.Grace); err != nil {
		return nil, err
	}
	c.stop()
	row.count(&d.latency)
	row.Rate = 0
	row.Missed = int64(o.Clients) - d.total.Load()
	watch.tell(&row)
	c.tell(&row)
	return []Row{row}, nil
}

// wait lets the clients wait, and writes into the row what that costs. Memory is
// compared with that before the clients came.
func (g *Generator) wait(ctx context.Context, o Idle, before *meter, row *Row) error {
	m, err := g.measure()
	if err != nil {
		return err
	}
	if err := pause(ctx, o.Duration); err != nil {
		return err
	}
	if err := m.stop(row); err != nil {
		return err
	}
	if row.Server != nil {
		row.Server.Before = before.server.rss
		row.Bytes = (row.Server.RSS - row.Server.Before) / int64(o.Clients)
		row.note("the server took %s for each client, %s before they came and %s with them",
			bytesOf(row.Bytes), bytesOf(row.Server.Before), bytesOf(row.Server.RSS))
	}
	return nil
}

func (w *idleWatch) tell(row *Row) {
	if n := w.early.Load(); n > 0 {
		row.note("%s syncs were answered before their time, without a message", digits(n))
	}
	row.note("%s syncs were answered when their time of %v was over", digits(w.waited.Load()), w.poll)
}
