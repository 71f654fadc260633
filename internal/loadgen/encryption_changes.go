package loadgen

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"
)

// sharersInRoom is how many share each of the rooms of somebody whose device changes.
const sharersInRoom = 100

// changes measures what it takes until those hear of a change of a device who share
// a room with its user, of whom some wait for it.
func (e *encrypted) changes(ctx context.Context) error {
	for _, n := range e.o.Sharers {
		if err := e.again(ctx); err != nil {
			return err
		}
		row := Row{Scenario: "encryption", Case: fmt.Sprintf("a device changes, %s", count(n, "sharer"))}
		if err := e.change(ctx, &row, n); err != nil {
			return err
		}
		e.rows = append(e.rows, row)
	}
	return nil
}

func (e *encrypted) change(ctx context.Context, row *Row, sharers int) error {
	users, err := e.g.newUsers(ctx, 1+sharers)
	if err != nil {
		return err
	}
	owner, err := newKeyed(users[0])
	if err != nil {
		return err
	}
	rooms, err := e.g.createRooms(ctx, owner.account, (sharers+sharersInRoom-1)/sharersInRoom)
	if err != nil {
		return err
	}
	if err := e.g.join(ctx, spread(users[1:], rooms, 1)); err != nil {
		return err
	}
	row.Case += fmt.Sprintf(" in %s", count(len(rooms), "room"))
	c := &changing{encrypted: e, owner: owner, curve: madeUp()}
	if err := c.upload(ctx, 0); err != nil {
		return err
	}
	if c.crowd, err = e.g.gather(ctx, evenly(users[1:], e.o.Listeners), 30*time.Second); err != nil {
		return err
	}
	defer c.crowd.stop()
	return c.run(ctx, row)
}

// evenly returns so many accounts from all parts of a list.
func evenly(all []account, n int) (some []account) {
	n = min(n, len(all))
	for i := range n {
		some = append(some, all[i*len(all)/n])
	}
	return some
}

// changing is a device that changes, and those who wait for that.
type changing struct {
	*encrypted
	owner keyed
	curve string // the device stays the same, and supports one more algorithm each time
	crowd *crowd

	changed atomic.Int64 // when it did last, in nanoseconds since 1970
	heard   atomic.Int64
	latency Histogram
}

func (c *changing) upload(ctx context.Context, number int) error {
	keys, err := c.owner.identity(c.curve, "bench."+strconv.Itoa(number))
	if err != nil {
		return err
	}
	connection := newClient(c.target)
	defer connection.hangUp()
	return call{method: "POST", path: uploadPath, token: c.owner.Token, body: map[string]any{"device_keys": keys}}.do(ctx, connection)
}

// run has the device change again and again, each time when all have heard of the
// last.
func (c *changing) run(ctx context.Context, row *Row) error {
	c.progress("%s: %s", row.Scenario, row.Case)
	name := []byte(`"changed":["` + c.owner.User + `"`)
	c.crowd.start(ctx, func(_ int, body []byte, _, at time.Time) {
		if bytes.Contains(body, name) {
			c.latency.Record(at.Sub(time.Unix(0, c.changed.Load())))
			c.heard.Add(1)
		}
	})
	if err := c.rest(ctx); err != nil {
		return err
	}
	entries, err := c.entries(ctx)
	if err != nil {
		return err
	}
	meter, err := c.g.measure()
	if err != nil {
		return err
	}
	for i := range c.o.Changes {
		c.changed.Store(time.Now().UnixNano())
		if err := c.upload(ctx, 1+i); err != nil {
			return err
		}
		if _, err := await(ctx, &c.heard, int64((1+i)*len(c.crowd.listeners)), 10*time.Second); err != nil {
			return err
		}
	}
	if err := meter.stop(row); err != nil {
		return err
	}
	now, err := c.entries(ctx)
	if err != nil {
		return err
	}
	row.count(&c.latency)
	row.Missed = int64(c.o.Changes*len(c.crowd.listeners)) - c.heard.Load()
	row.note("until %s that wait have heard; %.3g entries in the journal for each change", count(len(c.crowd.listeners), "client"),
		float64(now-entries)/float64(c.o.Changes))
	c.crowd.tell(row)
	return nil
}
