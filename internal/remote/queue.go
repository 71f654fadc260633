package remote

import (
	"context"

	"parley/matrix/id"
)

// A queue is who makes requests to one server.
type queue struct {
	users  int // who is in it or waits
	places chan struct{}
}

// enter waits until one more request may be made to a server. The function that
// it returns ends the request.
func (s *Servers) enter(ctx context.Context, server id.ServerName) (leave func(), err error) {
	q := s.queue(server)
	select {
	case q.places <- struct{}{}:
	case <-ctx.Done():
		s.unqueue(server, q)
		return nil, ctx.Err()
	}
	// A slow server has few of the places of all.
	select {
	case s.all <- struct{}{}:
	case <-ctx.Done():
		<-q.places
		s.unqueue(server, q)
		return nil, ctx.Err()
	}
	return func() {
		<-s.all
		<-q.places
		s.unqueue(server, q)
	}, nil
}

func (s *Servers) queue(server id.ServerName) *queue {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.one[server]
	if q == nil {
		q = &queue{places: make(chan struct{}, mostPerServer)}
		s.one[server] = q
	}
	q.users++
	return q
}

func (s *Servers) unqueue(server id.ServerName, q *queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.users--; q.users == 0 {
		delete(s.one, server)
	}
}
