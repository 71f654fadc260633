package loadgen

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"parley/matrix/id"
)

// Federation is how a server is measured among others. Unlike in other scenarios
// the generator starts it, and is all the other servers.
type Federation struct {
	Own
	// Parts is which of the parts there are to do; nil is all.
	Parts []string

	Joins        []int // members of the rooms that are joined
	Rooms        []int // which events come in at once for
	Events       int   // that come in
	Destinations []int // servers that a message is for
	Forks        []int // events of each of two forks
	ForkMembers  int   // members of the room that forks
	Members      []int // of the rooms in which what an event costs is compared

	// Settle is how long the server has to note down that it has sent a message.
	Settle time.Duration
}

// federationParts are the parts, in the order in which they are done.
func federationParts() []part[*among] {
	return []part[*among]{
		{"join", (*among).joins}, {"inbound", (*among).inbounds}, {"outbound", (*among).outbounds}, {"heal", (*among).heals}, {"size", (*among).sizes},
	}
}

func (o Federation) check() error {
	all := []error{
		o.Own.check(),
		checkParts(o.Parts, federationParts()),
		within("the number of events", o.Events, 1, 10_000_000),
		within("the number of members of the room that forks", o.ForkMembers, 1, 500_000),
		within("the time to settle", o.Settle, time.Millisecond, time.Minute),
	}
	for _, n := range slices.Concat(o.Joins, o.Members) {
		all = append(all, within("the number of members", n, 1, 500_000))
	}
	for _, n := range o.Rooms {
		all = append(all, within("the number of rooms", n, 1, 10_000))
	}
	for _, n := range o.Destinations {
		all = append(all, within("the number of destinations", n, 1, 5_000))
	}
	for _, n := range o.Forks {
		all = append(all, within("the number of events of a fork", n, 1, 100_000))
	}
	return firstError(all...)
}

// among is a server among others, and what was measured of it.
type among struct {
	*measured
	*neighbours
	o        Federation
	progress func(format string, args ...any)
	rows     []Row
	batches  int
}

// Federation measures a server among others. Together with an error it returns the
// rows it has.
func (g *Generator) Federation(ctx context.Context, o Federation) (rows []Row, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	all, err := settle(max(10, slices.Max(append([]int{1}, o.Destinations...))))
	if err != nil {
		return nil, err
	}
	defer all.close()
	m, err := newMeasured(o.Own, all.authority, g.o.Progress)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.end()) }()
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	a := &among{measured: m, neighbours: all, o: o, progress: g.o.Progress}
	err = runParts(ctx, a, o.Parts, federationParts())
	return a.rows, err
}

// begin starts the server anew and says what is being measured. What was measured
// before is none of its business.
func (a *among) begin(ctx context.Context, scenario, format string, args ...any) (*Row, error) {
	row := &Row{Scenario: scenario, Case: fmt.Sprintf(format, args...)}
	a.progress("%s: %s", row.Scenario, row.Case)
	a.forget()
	return row, a.again(ctx)
}

// room makes a room of so many members, who are of servers in turn.
func (a *among) room(members int, servers []id.ServerName) (*farRoom, error) {
	f, err := newRoom(a.key, servers, members)
	if err == nil {
		a.add(f)
	}
	return f, err
}

// joined is room for one that the measured server has joined, too.
func (a *among) joined(ctx context.Context, members int, servers []id.ServerName) (*farRoom, error) {
	f, err := a.room(members, servers)
	if err == nil {
		err = a.join(ctx, f)
	}
	if err == nil {
		err = a.whole(ctx, f)
	}
	return f, err
}

// batch names transactions.
func (a *among) batch() string {
	a.batches++
	return fmt.Sprintf("%s-%d", a.g.run, a.batches)
}

// took records how long something took that is done once.
func (r *Row) took(h *Histogram, d time.Duration) {
	h.Record(d)
	r.count(h)
}
