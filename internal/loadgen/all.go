package loadgen

import (
	"context"
	"time"
)

// All is every scenario, at several sizes.
type All struct {
	Sizes    []int // of rooms, crowds and accounts
	Duration time.Duration
	Senders  int
	Body     int
	Poll     time.Duration
	Grace    time.Duration
}

// deliveriesPerSecond is what All asks of a fan-out, whatever its size: so sizes
// differ in what a delivery costs and not in how much is delivered.
const deliveriesPerSecond = 10_000

// All runs all scenarios at all sizes. Together with an error it returns the
// rows it has.
func (g *Generator) All(ctx context.Context, o All) ([]Row, error) {
	rows, err := g.Self(ctx, Self{Clients: o.Senders, Duration: min(o.Duration, 2*time.Second)})
	for _, size := range o.Sizes {
		if err != nil {
			return rows, err
		}
		var more []Row
		more, err = g.allAt(ctx, o, size)
		rows = append(rows, more...)
	}
	return rows, err
}

func (g *Generator) allAt(ctx context.Context, o All, size int) ([]Row, error) {
	send := Send{Senders: o.Senders, Rooms: 1, Body: o.Body, Duration: o.Duration, Poll: o.Poll}
	members, syncers, many := send, send, send
	members.Members = size
	syncers.Syncers = size
	many.Rooms = size
	fanout := Fanout{
		Clients: size, Rooms: 1, RoomsPerClient: 1, Senders: 1, Body: o.Body,
		Rate:     min(200, max(1, float64(deliveriesPerSecond)/float64(size))),
		Duration: o.Duration, Poll: o.Poll, Grace: o.Grace,
	}
	tens := fanout
	tens.Rooms, tens.Rate = max(1, size/10), 200
	var rows []Row
	for _, run := range []func() ([]Row, error){
		func() ([]Row, error) { return g.Send(ctx, members) },
		func() ([]Row, error) { return g.Send(ctx, syncers) },
		func() ([]Row, error) { return g.Send(ctx, many) },
		func() ([]Row, error) { return g.Fanout(ctx, fanout) },
		func() ([]Row, error) { return g.Fanout(ctx, tens) },
		func() ([]Row, error) {
			return g.Initial(ctx, Initial{Rooms: size, Members: 3, Messages: 10, Repeats: 5})
		},
		func() ([]Row, error) {
			return g.Idle(ctx, Idle{Clients: size, Duration: o.Duration, Poll: o.Poll, Settle: min(o.Duration, 2*time.Second), Grace: o.Grace})
		},
	} {
		more, err := run()
		rows = append(rows, more...)
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}
