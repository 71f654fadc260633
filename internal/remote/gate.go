package remote

import (
	"context"
	"sync"

	"parley/matrix/id"
)

// A Gate bounds how many requests are under way at once, in all and to each server.
// It is safe for concurrent use.
type Gate struct {
	all  chan struct{} // has a place for each request under way
	each int

	mu  sync.Mutex
	one map[id.ServerName]*queue
}

// A queue is who makes requests to one server.
type queue struct {
	users  int // who is in it or waits
	places chan struct{}
}

// NewGate returns a gate for so many requests in all, and to each server.
func NewGate(all, each int) *Gate {
	return &Gate{all: make(chan struct{}, all), each: each, one: make(map[id.ServerName]*queue)}
}

// Enter waits until one more request may be made to a server. The function that
// it returns ends the request.
func (g *Gate) Enter(ctx context.Context, server id.ServerName) (leave func(), err error) {
	q := g.queue(server)
	select {
	case q.places <- struct{}{}:
	case <-ctx.Done():
		g.unqueue(server, q)
		return nil, ctx.Err()
	}
	// A slow server has few of the places of all.
	select {
	case g.all <- struct{}{}:
	case <-ctx.Done():
		<-q.places
		g.unqueue(server, q)
		return nil, ctx.Err()
	}
	return func() {
		<-g.all
		<-q.places
		g.unqueue(server, q)
	}, nil
}

func (g *Gate) queue(server id.ServerName) *queue {
	g.mu.Lock()
	defer g.mu.Unlock()
	q := g.one[server]
	if q == nil {
		q = &queue{places: make(chan struct{}, g.each)}
		g.one[server] = q
	}
	q.users++
	return q
}

func (g *Gate) unqueue(server id.ServerName, q *queue) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if q.users--; q.users == 0 {
		delete(g.one, server)
	}
}
