package loadgen

import (
	"context"
	"fmt"
	"time"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
)

// sizes compares what an event costs in rooms of different sizes: messages and joins
// that come in, and messages that are sent.
func (a *among) sizes(ctx context.Context) error {
	for _, members := range a.o.Members {
		in, err := a.begin(ctx, "size", "%s: messages come in", count(members, "member"))
		if err != nil {
			return err
		}
		f, err := a.joined(ctx, members, a.names[:1])
		if err != nil {
			return err
		}
		messages, err := chatter([]*farRoom{f}, a.o.Events/10)
		if err != nil {
			return err
		}
		if err := a.receive(ctx, in, []*farRoom{f}, [][]*event.Event{messages}); err != nil {
			return err
		}
		come := Row{Scenario: in.Scenario, Case: count(members, "member") + ": users join"}
		joins, err := arrivalsOf(f, a.o.Events/10)
		if err != nil {
			return err
		}
		if err := a.receive(ctx, &come, []*farRoom{f}, [][]*event.Event{joins}); err != nil {
			return err
		}
		out := Row{Scenario: in.Scenario, Case: count(members, "member") + ": messages are sent"}
		if err := a.sayMany(ctx, &out, f, a.o.Events/10); err != nil {
			return err
		}
		a.rows = append(a.rows, *in, come, out)
	}
	return nil
}

// arrivalsOf is joins of users who were not there before.
func arrivalsOf(f *farRoom, n int) (events []*event.Event, err error) {
	for i := range n {
		user := id.UserID(fmt.Sprintf("@newcomer%d:%s", i, f.servers[0]))
		e, err := f.tip.say(event.TypeMember, text(string(user)), user, canonjson.Value(joinContent))
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}

// sayMany sends messages, one after the other.
func (a *among) sayMany(ctx context.Context, row *Row, f *farRoom, n int) error {
	var latency Histogram
	s := a.g.newSender(a.user, []string{string(f.id)}, a.g.newMark(), 0, 100)
	defer s.client.hangUp()
	m, err := a.g.measure()
	if err != nil {
		return err
	}
	var faults faults
	var failures streak
	for range n {
		began := time.Now()
		r, err := s.next(ctx)
		if ok, err := faults.judge(ctx, &failures, r, err); err != nil {
			return err
		} else if ok {
			latency.Record(time.Since(began))
		}
	}
	if err := m.stop(row); err != nil {
		return err
	}
	row.count(&latency)
	faults.tell(row)
	if row.Server != nil {
		row.note("a message takes %.0f µs of the server's processor time, sending it to another server included", row.Server.Cores*row.Seconds/float64(n)*1e6)
	}
	return nil
}
