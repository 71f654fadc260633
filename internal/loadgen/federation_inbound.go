package loadgen

import (
	"context"
	"fmt"
	"sync"

	"parley/matrix/canonjson"
	"parley/matrix/event"
)

// inboundServers is how many servers send at once.
const inboundServers = 10

// inbounds measures how many events are accepted that other servers send, each for
// rooms of its own.
func (a *among) inbounds(ctx context.Context) error {
	for _, rooms := range a.o.Rooms {
		row, err := a.begin(ctx, "inbound", "%s in %s", count(a.o.Events, "event"), count(rooms, "room"))
		if err != nil {
			return err
		}
		senders := min(inboundServers, rooms)
		all, own := make([]*farRoom, rooms), make([][]*farRoom, senders)
		for i := range all {
			s := i % senders
			if all[i], err = a.joined(ctx, 10, a.names[s:s+1]); err != nil {
				return err
			}
			own[s] = append(own[s], all[i])
		}
		news := make([][]*event.Event, senders)
		for s := range news {
			if news[s], err = chatter(own[s], a.o.Events/senders); err != nil {
				return err
			}
		}
		if err := a.receive(ctx, row, all, news); err != nil {
			return err
		}
		a.rows = append(a.rows, *row)
	}
	return nil
}

// chatter is so many messages, into rooms in turn.
func chatter(rooms []*farRoom, n int) (events []*event.Event, err error) {
	for i := range n {
		f := rooms[i%len(rooms)]
		e, err := f.tip.say("m.room.message", nil, f.members[i/len(rooms)%len(f.members)], message100(i))
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}

// message100 is a text of a hundred bytes.
func message100(i int) canonjson.Value {
	return canonjson.Value(fmt.Sprintf(`{"body":"%0100d","msgtype":"m.text"}`, i))
}

// receive sends what servers have, each by itself, and waits until the last event of
// each room can be read.
func (a *among) receive(ctx context.Context, row *Row, rooms []*farRoom, news [][]*event.Event) error {
	lists, total := make([][]transaction, len(news)), 0
	for i, events := range news {
		lists[i] = transactions(a.target, a.names[i], a.key, a.batch(), events)
		total += len(events)
	}
	var latency Histogram
	var f faults
	m, err := a.g.measure()
	if err != nil {
		return err
	}
	if err := sendAtOnce(ctx, a.target, lists, &latency, &f); err != nil {
		return err
	}
	for _, r := range rooms {
		if err := a.awaitEvent(ctx, r, r.tip.last(), setupPatience); err != nil {
			return err
		}
	}
	if err := m.stop(row); err != nil {
		return err
	}
	row.count(&latency)
	row.Count, row.Rate = int64(total), float64(total)/row.Seconds
	row.note("times are of transactions of %d events", mostPDUs)
	if row.Server != nil {
		row.note("an event takes %.0f µs of the server's processor time", row.Server.Cores*row.Seconds/float64(total)*1e6)
	}
	f.tell(row)
	return nil
}

func sendAtOnce(ctx context.Context, t Target, lists [][]transaction, latency *Histogram, f *faults) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	for _, list := range lists {
		group.Go(func() {
			if err := send(ctx, t, list, latency, f); err != nil {
				cancel(err)
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}
