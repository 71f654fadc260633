package loadgen

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// Send is how messages are sent.
type Send struct {
	Senders int // at once, in the second phase; in the first there is one
	Rooms   int // which the messages are spread over
	Members int // further members, spread over the rooms
	Syncers int // further members who sync all the time
	Body    int // length of the messages' texts, in bytes

	Duration time.Duration // of each phase
	Count    int64         // of messages, at which a phase ends; 0 for no such end
	Poll     time.Duration // the timeout of the syncs
}

func (o Send) check() error {
	return firstError(
		within("the number of senders", o.Senders, 1, 10_000),
		within("the number of rooms", o.Rooms, 1, 100_000),
		within("the number of members", o.Members, 0, 500_000),
		within("the number of syncing clients", o.Syncers, 0, 20_000),
		within("the length of the body", o.Body, 0, 60_000),
		within("the duration", o.Duration, time.Millisecond, time.Hour),
		within("the number of messages", o.Count, 0, 1e9),
		within("the timeout of syncs", o.Poll, time.Millisecond, 10*time.Minute),
	)
}

// Send measures how fast messages are accepted: from one sender, each after the
// answer to the one before, and from several at once.
func (g *Generator) Send(ctx context.Context, o Send) ([]Row, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	users, err := g.users(ctx, o.Senders+o.Syncers+o.Members)
	if err != nil {
		return nil, err
	}
	senders, syncers, members := users[:o.Senders], users[o.Senders:][:o.Syncers], users[o.Senders+o.Syncers:]
	rooms, err := g.createRooms(ctx, senders[0], o.Rooms)
	if err != nil {
		return nil, err
	}
	joins := append(spread(syncers, rooms, 1), spread(members, rooms, 1)...)
	for i, u := range senders[1:] {
		for _, r := range share(rooms, i+1, o.Senders) {
			joins = append(joins, membership{u, r})
		}
	}
	if err := g.join(ctx, joins); err != nil {
		return nil, err
	}
	crowd, err := g.gather(ctx, syncers, o.Poll)
	if err != nil {
		return nil, err
	}
	defer crowd.stop()
	if err := g.assemble(ctx, crowd, senders[0], rooms); err != nil {
		return nil, err
	}
	rows := make([]Row, 0, 2)
	for _, n := range []int{1, o.Senders} {
		if len(rows) == 1 && n == 1 {
			break
		}
		row, err := g.sendPhase(ctx, o, senders[:n], rooms, crowd)
		if err != nil {
			return rows, err
		}
		rows = append(rows, row)
	}
	crowd.stop()
	crowd.tell(&rows[len(rows)-1])
	return rows, nil
}

// share returns the rooms of one of several senders. Together they have all.
func share(rooms []string, sender, senders int) []string {
	if senders >= len(rooms) {
		return rooms[sender%len(rooms):][:1]
	}
	var mine []string
	for i := sender; i < len(rooms); i += senders {
		mine = append(mine, rooms[i])
	}
	return mine
}

// assemble starts a crowd of which each is in one of the rooms, and returns when
// all of it listens.
func (g *Generator) assemble(ctx context.Context, c *crowd, sender account, rooms []string) error {
	mark := g.newMark()
	d := newDeliveries(mark, len(c.listeners), int64(len(rooms)), 0)
	c.start(ctx, func(i int, body []byte, _, at time.Time) { d.hear(i, body, at) })
	s := g.newSender(sender, rooms, mark, 0, 0)
	defer s.client.hangUp()
	return d.warmUp(ctx, s, int64(len(c.listeners)), warmUpLimit)
}

func (g *Generator) sendPhase(ctx context.Context, o Send, users []account, rooms []string, c *crowd) (Row, error) {
	row := Row{Scenario: "send", Case: fmt.Sprintf("%s, %s, %s, %s syncing, %s",
		count(len(users), "sender"), count(len(rooms), "room"), count(o.Members, "member"), digits(int64(o.Syncers)), bytesOf(int64(o.Body)))}
	g.o.Progress("%s: %s", row.Scenario, row.Case)
	mark := g.newMark()
	senders := make([]*sender, len(users))
	for i, u := range users {
		senders[i] = g.newSender(u, share(rooms, i, len(users)), mark, i, o.Body)
		defer senders[i].client.hangUp()
	}
	// Before the clock runs each sends a message, to be connected and known.
	err := parallel(ctx, len(senders), func(ctx context.Context, next func() int) error {
		s := senders[next()]
		s.serial = 1
		return s.insist(ctx, 0, 0)
	})
	if err != nil {
		return row, err
	}
	var latency Histogram
	var f faults
	heard := c.responses.Load()
	m, err := g.measure()
	if err != nil {
		return row, err
	}
	if err := sendAll(ctx, senders, o.Duration, o.Count, &latency, &f); err != nil {
		return row, err
	}
	if err := m.stop(&row); err != nil {
		return row, err
	}
	row.count(&latency)
	f.tell(&row)
	if o.Syncers > 0 {
		row.note("the syncing clients got %s responses meanwhile", digits(c.responses.Load()-heard))
	}
	return row, nil
}

// sendAll lets senders send, for a time or until there are so many messages; 0
// is no such number. What fails counts as sent too.
func sendAll(ctx context.Context, senders []*sender, d time.Duration, messages int64, latency *Histogram, f *faults) error {
	var sent atomic.Int64
	ends := time.Now().Add(d)
	return parallel(ctx, len(senders), func(ctx context.Context, next func() int) error {
		s := senders[next()]
		var failures streak
		for {
			before := time.Now()
			if before.After(ends) || messages > 0 && sent.Add(1) > messages {
				return nil
			}
			r, err := s.next(ctx)
			took := time.Since(before)
			ok, err := f.judge(ctx, &failures, r, err)
			if err != nil {
				return err
			}
			if ok {
				latency.Record(took)
			}
		}
	})
}
