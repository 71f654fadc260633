package loadgen

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"parley/matrix/id"
)

// outbounds measures how long it takes until a message has reached all servers of a
// room: those that there is a connection to, and those that there is none to yet.
func (a *among) outbounds(ctx context.Context) error {
	for _, n := range a.o.Destinations {
		cold, err := a.begin(ctx, "outbound", "a message for %s, not connected to", count(n, "server"))
		if err != nil {
			return err
		}
		warm := Row{Scenario: cold.Scenario, Case: fmt.Sprintf("the next messages for %s", count(n, "server"))}
		f, err := a.joined(ctx, n, a.names[:n])
		if err != nil {
			return err
		}
		if err := a.again(ctx); err != nil {
			return err
		}
		if err := a.rest(ctx); err != nil {
			return err
		}
		if err := a.spread(ctx, f, cold, 1); err != nil {
			return err
		}
		if err := a.spread(ctx, f, &warm, 5); err != nil {
			return err
		}
		a.rows = append(a.rows, *cold, warm)
	}
	return nil
}

// spread sends messages, each when all servers have the one before and it is noted
// down that they have.
func (a *among) spread(ctx context.Context, f *farRoom, row *Row, messages int) error {
	var latency Histogram
	m, err := a.g.measure()
	if err != nil {
		return err
	}
	before, err := a.statements(ctx)
	if err != nil {
		return err
	}
	for i := range messages {
		body := fmt.Sprintf("for all %s %d", a.batch(), i)
		all := a.arrivals(f, body)
		began := time.Now()
		if _, err := a.say(ctx, f, body, body); err != nil {
			return err
		}
		last, n, err := all.wait(ctx)
		if err != nil {
			return err
		}
		row.Missed += int64(len(f.servers) - n)
		latency.Record(last.Sub(began))
		if err := pause(ctx, a.o.Settle); err != nil {
			return err
		}
	}
	after, err := a.statements(ctx)
	if err != nil {
		return err
	}
	if err := m.stop(row); err != nil {
		return err
	}
	row.count(&latency)
	row.Rate = 0 // it waits on purpose
	row.note("until the last server has it; %d statements to the database for each message", (after-before)/int64(messages))
	return nil
}

// arrivals is the servers that have got a message.
type arrivals struct {
	mu   sync.Mutex // guards what follows
	seen map[id.ServerName]bool
	n    int
	last time.Time
	want int
	all  chan struct{}
}

// arrivals waits for a message, by its text.
func (a *among) arrivals(f *farRoom, body string) *arrivals {
	all := &arrivals{seen: make(map[id.ServerName]bool), want: len(f.servers), all: make(chan struct{})}
	text := []byte(body)
	a.listen(func(server id.ServerName, transaction []byte, at time.Time) {
		if !bytes.Contains(transaction, text) {
			return
		}
		all.mu.Lock()
		defer all.mu.Unlock()
		if all.seen[server] {
			return
		}
		all.seen[server] = true
		if all.n++; at.After(all.last) {
			all.last = at
		}
		if all.n == all.want {
			close(all.all)
		}
	})
	return all
}

// wait returns when the last server got the message, and how many did, of those that
// get it within a minute.
func (all *arrivals) wait(ctx context.Context) (last time.Time, n int, err error) {
	select {
	case <-all.all:
	case <-time.After(time.Minute):
	case <-ctx.Done():
		return last, 0, context.Cause(ctx)
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.n == 0 {
		return last, 0, fmt.Errorf("the message came to none of %d servers", all.want)
	}
	return all.last, all.n, nil
}
