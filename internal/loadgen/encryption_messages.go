package loadgen

import (
	"context"
	"fmt"
	"net/url"
	"strings"
)

// writers is how many send to one device at once.
const writers = 16

// messages has messages wait for a device, which then gets them, and sends messages
// to many devices at once.
func (e *encrypted) messages(ctx context.Context) error {
	for _, n := range e.o.Waiting {
		if err := e.again(ctx); err != nil {
			return err
		}
		if err := e.drain(ctx, n); err != nil {
			return err
		}
	}
	for _, n := range e.o.Devices {
		if err := e.again(ctx); err != nil {
			return err
		}
		row := Row{Scenario: "encryption", Case: "a message goes to " + count(n, "device")}
		if err := e.sendToMany(ctx, &row, n); err != nil {
			return err
		}
		e.rows = append(e.rows, row)
	}
	return nil
}

// toDevices is the request that sends each device of some users a message, of an
// ordinary length for one that is encrypted.
func (e *encrypted) toDevices(from account, to []account, txn, text string) ([]byte, error) {
	content := map[string]string{"body": text, "padding": strings.Repeat("x", 1000)}
	messages := make(map[string]map[string]any, len(to))
	for _, a := range to {
		messages[a.User] = map[string]any{a.Device: content}
	}
	return call{
		method: "PUT", path: path("/_matrix/client/v3/sendToDevice/m.bench/%s", txn), token: from.Token, body: map[string]any{"messages": messages},
	}.request(e.target)
}

// drain has several send messages to a device, and the device get them.
func (e *encrypted) drain(ctx context.Context, n int) error {
	users, err := e.g.newUsers(ctx, 1+writers)
	if err != nil {
		return err
	}
	d := &drained{encrypted: e, reader: users[0], mark: e.g.newMark(), last: make([]int64, writers)}
	fill := Row{Scenario: "encryption", Case: fmt.Sprintf("%s to one device, by %d senders", count(n, "message"), writers)}
	err = e.together(ctx, &fill, writers, func(ctx context.Context, c *client, f *faults, latency *Histogram, i int) error {
		for serial := i; serial < n; serial += writers {
			text := string(appendSerial([]byte(d.mark), int64(serial)))
			request, err := e.toDevices(users[1+i], users[:1], fmt.Sprint(d.mark, serial), text)
			if err != nil {
				return err
			}
			if _, err := f.insist(ctx, c, request, latency); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	fill.spent("message")
	get := Row{Scenario: "encryption", Case: "the device gets " + count(n, "message")}
	if err := d.get(ctx, &get, n); err != nil {
		return err
	}
	e.rows = append(e.rows, fill, get)
	return nil
}

// drained is a device that gets what waits for it.
type drained struct {
	*encrypted
	reader account
	mark   string
	last   []int64 // of each writer, from 1: the message that came last
	count  int64
	order  int64 // messages that came after a later one of the same writer, or twice
}

// get syncs until nothing comes any more, each time acknowledging what has come.
func (d *drained) get(ctx context.Context, row *Row, n int) error {
	err := d.together(ctx, row, 1, func(ctx context.Context, c *client, f *faults, latency *Histogram, _ int) error {
		since, before := "", int64(-1)
		for d.count != before {
			before = d.count
			r, err := f.insist(ctx, c, []byte(d.target.head("GET", syncPath(lazyFilter, 0)+since, d.reader.Token, -1)), latency)
			if err != nil {
				return err
			}
			serials(r.body, []byte(d.mark), d.hear)
			next, ok := nextBatch(r.body)
			if !ok {
				return errNoToken
			}
			since = "&since=" + url.QueryEscape(next)
		}
		return nil
	})
	if err != nil {
		return err
	}
	row.Count, row.Missed, row.Twice = d.count, int64(n)-d.count, d.order
	row.Rate = float64(d.count) / row.Seconds
	row.spent("message")
	row.note("the latencies are those of syncs; %s of the messages came in another order than they were sent, or twice", digits(d.order))
	return nil
}

func (d *drained) hear(serial int64) {
	writer, number := serial%writers, 1+serial/writers
	if number <= d.last[writer] {
		d.order++
		return
	}
	d.last[writer] = number
	d.count++
}

// sendToMany sends messages to many devices, one after the other.
func (e *encrypted) sendToMany(ctx context.Context, row *Row, devices int) error {
	const times = 20
	users, err := e.g.newUsers(ctx, 1+devices)
	if err != nil {
		return err
	}
	err = e.together(ctx, row, 1, func(ctx context.Context, c *client, f *faults, latency *Histogram, _ int) error {
		mark := e.g.newMark()
		for i := range times {
			request, err := e.toDevices(users[0], users[1:], fmt.Sprint(mark, i), mark)
			if err != nil {
				return err
			}
			if _, err := f.insist(ctx, c, request, latency); err != nil {
				return err
			}
		}
		return nil
	})
	row.spent("message")
	return err
}
