package loadgen

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"time"
)

// client is one simulated client: HTTP/1.1 over one TCP connection that is kept
// alive, one request at a time. It connects at the first request, and anew when
// the connection was lost. A request is never sent twice.
type client struct {
	target Target
	tcp    net.Conn // nil when there is no connection
	in     *bufio.Reader
	idle   time.Time // since when the connection has nothing to do
	body   []byte    // of the last response
}

const (
	// idleLimit is how long a connection may have had nothing to do and is used
	// all the same. Servers close idle connections, and a request that crosses
	// that is lost.
	idleLimit = 3 * time.Second
	// keptBody is the largest buffer kept for the next response.
	keptBody = 256 << 10
)

func newClient(t Target) *client { return &client{target: t} }

// response is what there is to know of a response.
type response struct {
	status     int
	body       []byte        // until the next request of the client
	retryAfter time.Duration // 0 where the server says nothing
	last       bool          // the connection ends with it
}

// do sends the bytes of a request and reads the response. It gives up after the
// given time, and when the context ends.
func (c *client) do(ctx context.Context, request []byte, patience time.Duration) (response, error) {
	var r response
	err := c.over(ctx, patience, func() (last bool, err error) {
		r, err = c.exchange(request)
		return r.last, err
	})
	return r, err
}

// over does something over the connection, which is made where there is none, and
// ended where that fails or says that it was the last. It gives up after the given
// time, and when the context ends.
func (c *client) over(ctx context.Context, patience time.Duration, do func() (last bool, err error)) error {
	if c.tcp != nil && time.Since(c.idle) > idleLimit {
		c.hangUp()
	}
	if c.tcp == nil {
		if err := c.connect(ctx); err != nil {
			return err
		}
	}
	tcp := c.tcp
	if err := tcp.SetDeadline(time.Now().Add(patience)); err != nil {
		c.hangUp()
		return err
	}
	stop := context.AfterFunc(ctx, func() { tcp.SetDeadline(time.Unix(1, 0)) })
	last, err := do()
	if !stop() || err != nil || last {
		c.hangUp()
	}
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	c.idle = time.Now()
	return err
}

func (c *client) exchange(request []byte) (response, error) {
	if _, err := c.tcp.Write(request); err != nil {
		return response{}, fmt.Errorf("sending a request: %w", err)
	}
	if cap(c.body) > keptBody {
		c.body = nil
	}
	r, err := readResponse(c.in, c.body)
	if err != nil {
		return response{}, fmt.Errorf("reading a response: %w", err)
	}
	c.body = r.body
	return r, nil
}

func (c *client) connect(ctx context.Context) error {
	tcp, err := dial(ctx, c.target.addr)
	if err != nil {
		return err
	}
	c.tcp = tcp
	if c.in == nil {
		c.in = bufio.NewReaderSize(tcp, maxLine)
	} else {
		c.in.Reset(tcp)
	}
	return nil
}

// hangUp ends the connection, if there is one.
func (c *client) hangUp() {
	if c.tcp != nil {
		c.tcp.Close()
		c.tcp = nil
	}
}
