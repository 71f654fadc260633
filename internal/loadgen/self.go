package loadgen

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Self is how the generator is measured alone.
type Self struct {
	Clients  int // at once, in the cases that have several
	Duration time.Duration
}

// Self measures the generator against responses that are ready made, given by
// the same process: so no measurement can show more than this, and what the
// generator costs for a request is less than what is shown here for both ends.
func (g *Generator) Self(ctx context.Context, o Self) ([]Row, error) {
	if err := firstError(
		within("the number of clients", o.Clients, 1, 20_000),
		within("the duration", o.Duration, time.Millisecond, time.Minute),
	); err != nil {
		return nil, err
	}
	c, err := newCanned()
	if err != nil {
		return nil, err
	}
	defer c.close()
	target, err := Aim(ctx, "http://"+c.listener.Addr().String(), false)
	if err != nil {
		return nil, err
	}
	alone := &Generator{o: g.o, run: g.run}
	alone.o.Target, alone.o.Processes = target, nil
	g.o.Progress("the generator alone")
	var rows []Row
	for _, n := range []int{1, o.Clients} {
		row := Row{Scenario: "self", Case: count(n, "sender")}
		if err := alone.selfSend(ctx, &row, n, o.Duration); err != nil {
			return rows, err
		}
		rows = append(rows, row)
	}
	row := Row{Scenario: "self", Case: count(o.Clients, "syncing client") + ", a message each time"}
	if err := alone.selfSync(ctx, &row, o.Clients, o.Duration); err != nil {
		return rows, err
	}
	return append(rows, row), nil
}

func (g *Generator) selfSend(ctx context.Context, row *Row, n int, d time.Duration) error {
	mark := g.newMark()
	senders := make([]*sender, n)
	for i := range senders {
		senders[i] = g.newSender(account{Token: "token"}, []string{"!room:localhost"}, mark, i, 100)
		defer senders[i].client.hangUp()
	}
	var latency Histogram
	var f faults
	m, err := g.measure()
	if err != nil {
		return err
	}
	if err := sendAll(ctx, senders, d, 0, &latency, &f); err != nil {
		return err
	}
	return m.finish(row, &latency, &f)
}

func (g *Generator) selfSync(ctx context.Context, row *Row, n int, d time.Duration) error {
	crowd, err := g.gather(ctx, make([]account, n), time.Second)
	if err != nil {
		return err
	}
	defer crowd.stop()
	var latency Histogram
	m, err := g.measure()
	if err != nil {
		return err
	}
	crowd.start(ctx, func(_ int, body []byte, asked, at time.Time) {
		serials(body, []byte(cannedMark), func(int64) { latency.Record(at.Sub(asked)) })
	})
	if err := pause(ctx, d); err != nil {
		return err
	}
	crowd.stop()
	return m.finish(row, &latency, &crowd.faults)
}

// finish writes into a row what a request costs, on both ends.
func (m *meter) finish(row *Row, latency *Histogram, f *faults) error {
	if err := m.stop(row); err != nil {
		return err
	}
	row.count(latency)
	f.tell(row)
	if row.Generator != nil && row.Count > 0 {
		row.note("a request takes %.1f µs of the processor, both ends together", row.Generator.Cores*row.Seconds/float64(row.Count)*1e6)
	}
	return nil
}

// canned answers requests with one of two responses, over TCP on this machine.
type canned struct {
	listener   net.Listener
	send, sync []byte
	group      sync.WaitGroup
}

// cannedMark stands before the serial number in the canned sync response.
const cannedMark = "bench-self:"

func newCanned() (*canned, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	event := fmt.Sprintf(`{"content":{"body":"%s%s %s","msgtype":"m.text"},"event_id":"$%s","origin_server_ts":1700000000000,`+
		`"sender":"@bench:localhost","type":"m.room.message","unsigned":{"age":1}}`,
		cannedMark, strings.Repeat("0", serialDigits), strings.Repeat("x", 80), strings.Repeat("e", 43))
	c := &canned{
		listener: listener,
		send:     cannedResponse(`{"event_id":"$` + strings.Repeat("e", 43) + `"}`),
		sync: cannedResponse(`{"next_batch":"s1","rooms":{"join":{"!room:localhost":{"timeline":{"events":[` + event +
			`],"limited":false,"prev_batch":"s0"}}}}}`),
	}
	c.group.Go(c.accept)
	return c, nil
}

func cannedResponse(body string) []byte {
	return []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}

func (c *canned) accept() {
	for {
		tcp, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.group.Go(func() {
			defer tcp.Close()
			c.serve(tcp)
		})
	}
}

// serve answers until the client, which is ours, hangs up.
func (c *canned) serve(tcp net.Conn) {
	in := bufio.NewReaderSize(tcp, maxLine)
	for {
		line, err := readLine(in)
		if err != nil {
			return
		}
		answer := c.send
		if bytes.HasPrefix(line, []byte("GET")) {
			answer = c.sync
		}
		f, err := readHeaders(in)
		if err != nil {
			return
		}
		if _, err := in.Discard(int(max(f.length, 0))); err != nil {
			return
		}
		if _, err := tcp.Write(answer); err != nil {
			return
		}
	}
}

func (c *canned) close() {
	c.listener.Close()
	c.group.Wait()
}
