package server

import (
	"net"
	"sync"
)

// How many connections there may be, and how many files are kept for the
// database and all else: when connections have taken all that the process may
// open, nothing works any more.
const (
	mostConnections = 20_000
	reservedFiles   = 256
)

// connectionLimit is how many connections a process may have that may open so
// many files, 0 if that is not known.
func connectionLimit(files uint64) int {
	if files == 0 {
		return mostConnections
	}
	// Who allows few files gets half of them.
	free := max(int64(min(files, 1<<32))-reservedFiles, int64(files/2))
	return int(min(free, mostConnections))
}

// A limitedListener accepts no more connections while there are too many. Who
// comes then waits, as far as the system lets them.
type limitedListener struct {
	net.Listener
	slots  chan struct{} // shared with other listeners
	closed chan struct{}
	once   sync.Once
}

func limitConnections(l net.Listener, slots chan struct{}) net.Listener {
	return &limitedListener{Listener: l, slots: slots, closed: make(chan struct{})}
}

func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	c := &limitedConn{Conn: conn, slots: l.slots}
	if tcp, ok := conn.(*net.TCPConn); ok {
		return &limitedTCP{tcp, c}, nil
	}
	return c, nil
}

func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// A limitedConn gives its slot back when it is closed.
type limitedConn struct {
	net.Conn
	slots chan struct{}
	once  sync.Once
}

func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { <-c.slots })
	return err
}

// A limitedTCP is a limitedConn that can do what net/http wants of TCP besides:
// send files, and close one direction.
type limitedTCP struct {
	*net.TCPConn
	limited *limitedConn
}

func (c *limitedTCP) Close() error { return c.limited.Close() }
