package remote

import (
	"container/list"
	"net/http"
	"sync"
)

// connections keeps connections to servers that were asked lately, so that the next
// request need not make one. [http.Transport.MaxIdleConns] does not close those of
// HTTP/2; a transport for each server can be told to close what it does not use.
type connections struct {
	most  int // servers
	fresh func() *http.Transport

	mu    sync.Mutex
	hosts map[string]*list.Element // of *kept
	order *list.List               // the one asked last is in front
}

// kept is the connections to one server.
type kept struct {
	host string
	*http.Transport
}

func newConnections(most int, fresh func() *http.Transport) *connections {
	return &connections{most: most, fresh: fresh, hosts: make(map[string]*list.Element), order: list.New()}
}

// RoundTrip implements http.RoundTripper.
func (c *connections) RoundTrip(r *http.Request) (*http.Response, error) {
	return c.to(r.URL.Host).RoundTrip(r)
}

// to returns the connections to a server. Others that are too many are closed, beside,
// since a server can take its time for that; those in use stay until they were not used
// for as long as one stays at most.
func (c *connections) to(host string) *kept {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.hosts[host]
	if e == nil {
		e = c.order.PushFront(&kept{host, c.fresh()})
		c.hosts[host] = e
	}
	c.order.MoveToFront(e)
	for c.order.Len() > c.most {
		last := c.order.Remove(c.order.Back()).(*kept)
		delete(c.hosts, last.host)
		go last.CloseIdleConnections()
	}
	return e.Value.(*kept)
}

// CloseIdleConnections closes those that are not in use. [http.Client] calls it.
func (c *connections) CloseIdleConnections() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.order.Front(); e != nil; e = e.Next() {
		e.Value.(*kept).CloseIdleConnections()
	}
}
