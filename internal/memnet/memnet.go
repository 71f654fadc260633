// Package memnet is a network in memory, for tests: servers listen on it under
// their names, and connections go from one goroutine to another. It works in the
// bubbles of testing/synctest, where real sockets do not.
package memnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// A Network is a network of its own. It is safe for concurrent use.
type Network struct {
	mu        sync.Mutex // guards what follows
	listeners map[string]*Listener
	cut       map[string]bool // names that cannot be reached
	port      int             // of the last connection
}

// New returns a network on which nobody listens.
func New() *Network { return &Network{listeners: make(map[string]*Listener)} }

// Listen listens under a name. It panics if somebody does already.
func (n *Network) Listen(name string) *Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[name] != nil {
		panic("memnet: somebody listens as " + name)
	}
	l := &Listener{net: n, name: name, waiting: make(chan net.Conn), closed: make(chan struct{}), conns: make(map[*conn]struct{})}
	n.listeners[name] = l
	return l
}

// Cut makes a name one that cannot be reached, and breaks the connections to it.
func (n *Network) Cut(name string) {
	n.mu.Lock()
	if n.cut == nil {
		n.cut = make(map[string]bool)
	}
	n.cut[name] = true
	l := n.listeners[name]
	n.mu.Unlock()
	if l != nil {
		l.breakAll()
	}
}

// Mend takes a cut back.
func (n *Network) Mend(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.cut, name)
}

// Dial connects to whoever listens under a name. To it, the connection comes
// from the machine itself.
func (n *Network) Dial(ctx context.Context, name string) (net.Conn, error) {
	return n.DialFrom(ctx, "", name)
}

// DialFrom is Dial for a caller with a name, which [Caller] tells.
func (n *Network) DialFrom(ctx context.Context, caller, name string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[name]
	if n.cut[name] {
		l = nil
	}
	n.port++
	from := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1 + n.port%65535}
	n.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("memnet: nobody listens as %s", name)
	}
	client, far := net.Pipe()
	served := &conn{Conn: far, from: from, caller: caller, listener: l}
	if !l.add(served) {
		return nil, fmt.Errorf("memnet: nobody listens as %s any more", name)
	}
	select {
	case l.waiting <- served:
		return &near{Conn: client}, nil
	case <-l.closed:
		served.Close()
		return nil, fmt.Errorf("memnet: nobody listens as %s any more", name)
	case <-ctx.Done():
		served.Close()
		return nil, ctx.Err()
	}
}

// A Listener is a [net.Listener].
type Listener struct {
	net     *Network
	name    string
	waiting chan net.Conn
	closed  chan struct{}

	mu    sync.Mutex // guards what follows
	gone  bool
	conns map[*conn]struct{}
}

func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.waiting:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close gives the name up. Connections stay.
func (l *Listener) Close() error {
	l.net.mu.Lock()
	if l.net.listeners[l.name] == l {
		delete(l.net.listeners, l.name)
	}
	l.net.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.gone {
		l.gone = true
		close(l.closed)
	}
	return nil
}

// Sever closes the listener and breaks all its connections, as the end of its
// process would.
func (l *Listener) Sever() {
	l.Close()
	l.breakAll()
}

// breakAll breaks all connections.
func (l *Listener) breakAll() {
	l.mu.Lock()
	var conns []*conn
	for c := range l.conns {
		conns = append(conns, c)
	}
	l.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}

func (l *Listener) Addr() net.Addr { return address(l.name) }

func (l *Listener) add(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.gone {
		l.conns[c] = struct{}{}
	}
	return !l.gone
}

// near is the end of a connection that dialled it. What it writes when the
// other end is closed is lost without an error, as it is on a real network until
// the other end complains; so that there is time to read what was answered to the
// first half of a request.
type near struct {
	net.Conn
	closed atomic.Bool
}

func (c *near) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if errors.Is(err, io.ErrClosedPipe) && !c.closed.Load() {
		return len(p), nil
	}
	return n, err
}

func (c *near) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}

// conn is the listener's end of a connection.
type conn struct {
	net.Conn
	from     net.Addr
	caller   string
	listener *Listener
}

// Caller returns the name of who made a connection that a listener has accepted,
// perhaps with TLS in it: empty if that has no name.
func Caller(c net.Conn) string {
	for {
		switch over := c.(type) {
		case *conn:
			return over.caller
		case interface{ NetConn() net.Conn }:
			c = over.NetConn()
		default:
			return ""
		}
	}
}

func (c *conn) RemoteAddr() net.Addr { return c.from }

func (c *conn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.conns, c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

type address string

func (address) Network() string  { return "memnet" }
func (a address) String() string { return string(a) }
