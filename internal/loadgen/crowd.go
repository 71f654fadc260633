package loadgen

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// Filters of /sync. Presence is not asked for: it is news that no scenario
// makes. Servers differ in how many events they give unasked.
const (
	liveFilter = `{"presence":{"not_types":["*"]},"room":{"state":{"lazy_load_members":true},"timeline":{"limit":100}}}`
	fullFilter = `{"presence":{"not_types":["*"]},"room":{"timeline":{"limit":10}}}`
	lazyFilter = `{"presence":{"not_types":["*"]},"room":{"state":{"lazy_load_members":true},"timeline":{"limit":10}}}`
)

// syncPath returns the path of a sync that begins anew; a token may be appended
// to it behind "&since=".
func syncPath(filter string, poll time.Duration) string {
	return fmt.Sprintf("/_matrix/client/v3/sync?set_presence=offline&timeout=%d&filter=%s",
		poll.Milliseconds(), url.QueryEscape(filter))
}

// crowd is clients that sync, each from where it was, again and again.
type crowd struct {
	listeners []*listener
	poll      time.Duration // after which a sync without news is answered

	responses atomic.Int64
	limited   atomic.Int64 // responses that left out messages
	faults    faults

	cancel context.CancelFunc // nil before start
	group  sync.WaitGroup
}

// listener is one of a crowd.
type listener struct {
	client        *client
	since         string // escaped
	before, after string // the request, but for since
	request       []byte
}

// gather makes a crowd of users: they sync once, without a connection of their
// own, and wait to be started.
func (g *Generator) gather(ctx context.Context, users []account, poll time.Duration) (*crowd, error) {
	if len(users) > 0 {
		g.o.Progress("first syncs, %d times", len(users))
	}
	c := &crowd{poll: poll, listeners: make([]*listener, len(users))}
	return c, g.each(ctx, len(users), func(ctx context.Context, setup *client, i int) error {
		t := g.o.Target
		var first struct {
			NextBatch string `json:"next_batch"`
		}
		err := call{method: "GET", path: syncPath(liveFilter, 0), token: users[i].Token, result: &first}.do(ctx, setup)
		if err == nil && first.NextBatch == "" {
			err = errNoToken
		}
		c.listeners[i] = &listener{
			client: newClient(t),
			since:  url.QueryEscape(first.NextBatch),
			before: "GET " + t.prefix + syncPath(liveFilter, poll) + "&since=",
			after:  t.headers(users[i].Token, -1),
		}
		return err
	})
}

// errNoToken: a response to /sync is none.
var errNoToken = errors.New("a response to /sync has no next_batch")

// start lets the crowd sync until stop. Hear is called with each response and
// the times of its request and its arrival, by several goroutines at once, but
// by one at a time for one listener.
func (c *crowd) start(ctx context.Context, hear func(listener int, body []byte, asked, at time.Time)) {
	ctx, c.cancel = context.WithCancel(ctx)
	for i, l := range c.listeners {
		c.group.Go(func() {
			defer l.client.hangUp()
			c.listen(ctx, l, func(body []byte, asked, at time.Time) { hear(i, body, asked, at) })
		})
	}
}

// stop ends all syncs and waits for that.
func (c *crowd) stop() {
	if c.cancel != nil {
		c.cancel()
		c.group.Wait()
	}
}

func (c *crowd) listen(ctx context.Context, l *listener, hear func(body []byte, asked, at time.Time)) {
	var failures streak
	for {
		asked := time.Now()
		r, err := l.sync(ctx, c.poll)
		at := time.Now()
		next, found := "", false
		if err == nil && r.status == 200 {
			if next, found = nextBatch(r.body); !found {
				err = errNoToken
			}
		}
		ok, err := c.faults.judge(ctx, &failures, r, err)
		if err != nil {
			return
		}
		if ok {
			c.responses.Add(1)
			if limited(r.body) {
				c.limited.Add(1)
			}
			hear(r.body, asked, at)
			l.since = url.QueryEscape(next)
		}
	}
}

func (l *listener) sync(ctx context.Context, poll time.Duration) (response, error) {
	l.request = append(l.request[:0], l.before...)
	l.request = append(l.request, l.since...)
	l.request = append(l.request, l.after...)
	return l.client.do(ctx, l.request, poll+setupPatience)
}

// tell writes into a row what the crowd saw of failures.
func (c *crowd) tell(row *Row) {
	c.faults.tell(row)
	if n := c.limited.Load(); n > 0 {
		row.note("%d sync responses left out messages", n)
	}
}
