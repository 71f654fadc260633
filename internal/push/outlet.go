package push

import (
	"math/rand/v2"
	"net/url"
	"strings"
	"time"
)

// An outlet is where pushers of many users may send to. One that cannot be reached is
// left alone, and then tried with one request at first. It is guarded by the mu of the
// sender.
type outlet struct {
	host     string
	targets  int       // how many pushers send to it
	ready    []*target // that have something to send, in the order in which they take their turns
	active   int       // how many requests are under way
	failures int       // how often it could not be reached, in a row
	answered bool      // it was reached the last time
	retry    time.Time
	timer    *time.Timer // until it is tried again
}

// PerGateway is how many requests to one gateway there are at once.
const PerGateway = 32

// mostAtOnce is how many there are to all together, and mostDoubtful to those of which
// it is not known that they answer: what hangs takes nothing from others, however much
// of it there is.
const (
	mostAtOnce   = 256
	mostDoubtful = 128
)

// For how long a gateway is left alone that cannot be reached, and a pusher for which
// it refuses to do anything: twice as long after each failure, but not so long that
// what waits gets old; and at most, if that is what the gateway asks for.
const (
	leastGatewayPause = 5 * time.Second
	mostGatewayPause  = 10 * time.Minute
	leastPause        = 2 * time.Second
	mostPause         = 15 * time.Minute
	mostAskedFor      = time.Hour
)

// pauseAfter returns how long to wait after so many failures: a share of 0.5 to 1, by
// random from 0 to 1, of twice as long as the time before.
func pauseAfter(failures int, least, most time.Duration, random float64) time.Duration {
	pause := min(least<<min(failures-1, 20), most)
	return time.Duration(float64(pause) * (0.5 + random/2))
}

// outletOf returns the gateway of a pusher, with those who are reached through the
// same host, or nil if it cannot be reached. All mail goes one way. The caller holds mu.
func (s *Sender) outletOf(p Pusher) *outlet {
	u, err := url.Parse(p.url())
	if err != nil {
		return nil // which was checked when it was set
	}
	host := strings.ToLower(u.Host)
	switch {
	case p.Kind == KindEmail && s.Post == nil:
		return nil
	case p.Kind == KindEmail:
		host = "mail"
	case p.Kind == KindWeb && s.WebPush == nil:
		return nil
	case p.Kind == KindWeb:
		host = "web push to " + host
	case s.Local != nil && s.Local.Is(p.url()):
		host += " to " + s.Local.Host(p.AppID, p.Key, p.Data)
	}
	g := s.outlets[host]
	if g == nil {
		g = &outlet{host: host}
		s.outlets[host] = g
	}
	g.targets++
	return g
}

// wake has a target sent to, if there is something for it and it has not to wait. The
// caller holds mu.
func (s *Sender) wake(t *target) {
	if t.idle() || t.gone || t.running || t.ready || t.waiting != nil || t.outlet == nil {
		return
	}
	if t.Kind == KindEmail && !t.ripe {
		s.ripen(t)
		return
	}
	t.ready = true
	t.outlet.ready = append(t.outlet.ready, t)
	s.pump(t.outlet)
}

// pump begins as many requests to a gateway as there may be. The caller holds mu.
func (s *Sender) pump(g *outlet) {
	if s.ctx == nil || s.ctx.Err() != nil {
		return
	}
	most := PerGateway
	if g.failures > 0 {
		most = 1
		if pause := time.Until(g.retry); pause > 0 {
			if g.timer == nil {
				g.timer = time.AfterFunc(pause, func() { s.tryAgain(g) })
			}
			return
		}
	}
	for len(g.ready) > 0 && g.active < most {
		if !s.mayAsk(g) {
			s.starved[g] = true
			return
		}
		t := g.ready[0]
		if g.ready = g.ready[1:]; t.gone {
			continue
		}
		t.ready, t.running, t.doubtful = false, true, !g.answered
		g.active++
		s.active++
		if t.doubtful {
			s.doubtful++
		}
		s.sending.Go(func() { s.turn(s.ctx, t) })
	}
}

// mayAsk reports whether there may be one more request, to a gateway. The caller holds
// mu.
func (s *Sender) mayAsk(g *outlet) bool {
	return s.active < mostAtOnce && (g.answered || s.doubtful < mostDoubtful)
}

func (s *Sender) tryAgain(g *outlet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g.timer = nil
	s.pump(g)
}

// leave ends the turn of a target, so that others have theirs. The caller holds mu.
func (s *Sender) leave(t *target) {
	g := t.outlet
	t.running = false
	g.active--
	s.active--
	if t.doubtful {
		s.doubtful--
	}
	s.wake(t)
	s.pump(g)
	for other := range s.starved {
		if s.mayAsk(other) {
			delete(s.starved, other)
			s.pump(other)
		}
	}
}

// unreached takes in that a gateway could not be reached. Of many attempts at once
// only one counts. The caller holds mu.
func (s *Sender) unreached(g *outlet, began time.Time) {
	g.answered = false
	if began.Before(g.retry) {
		return
	}
	g.failures++
	g.retry = time.Now().Add(pauseAfter(g.failures, leastGatewayPause, mostGatewayPause, rand.Float64()))
}

// refused has a target wait for longer, since the gateway does nothing for it. The
// caller holds mu.
func (s *Sender) refused(t *target, atLeast time.Duration) {
	t.failures++
	pause := max(pauseAfter(t.failures, leastPause, mostPause, rand.Float64()), min(atLeast, mostAskedFor))
	t.waiting = time.AfterFunc(pause, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		t.waiting = nil
		s.wake(t)
	})
}

// stopWaiting ends all timers. The context has ended.
func (s *Sender) stopWaiting() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.outlets {
		if g.timer != nil {
			g.timer.Stop()
		}
	}
	for _, r := range s.users {
		for _, t := range r.targets {
			for _, timer := range []*time.Timer{t.waiting, t.clearing} {
				if timer != nil {
					timer.Stop()
				}
			}
		}
	}
}
