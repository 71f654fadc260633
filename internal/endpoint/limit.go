package endpoint

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"parley/matrix/mxerr"
)

// A Class names endpoints that share a rate limit: requests to any of them
// count for all of them.
type Class string

// A Limit is a token bucket: Burst requests at once, and PerSecond in the long
// run, for each user, each server or, where nobody has to say who they are, each
// IPv4 address and each /64 network of IPv6. The zero Limit does not limit.
type Limit struct {
	PerSecond float64
	Burst     int
}

// bucketsPerGeneration bounds how many callers a limiter knows, to twice as many.
const bucketsPerGeneration = 1 << 15

// longestRefill is how long a bucket may take to fill up again.
const longestRefill = 30 * 24 * time.Hour

// A limiter remembers of each bucket the moment at which it will be full again,
// which is all there is to know of it. A bucket that is full need not be
// remembered. When young has grown to size it becomes old and the old ones are
// forgotten, so a caller that does not come back for a while vanishes at no
// cost. Somebody who calls from size other addresses in between gets a full
// bucket before its time.
type limiter struct {
	start   time.Time
	size    int
	classes map[Class]*class

	mu         sync.Mutex // guards what follows
	young, old map[bucket]time.Duration
}

// A class is a Limit in terms of the time that a request uses up.
type class struct {
	interval time.Duration // between two requests in the long run
	slack    time.Duration // by how much a burst may be ahead of that
}

// A bucket belongs to one caller in one class.
type bucket struct {
	class *class
	name  string // of a user or server
	addr  netip.Addr
}

func newLimiter(limits map[Class]Limit) *limiter {
	l := &limiter{
		start:   time.Now(),
		size:    bucketsPerGeneration,
		classes: make(map[Class]*class, len(limits)),
		young:   make(map[bucket]time.Duration),
	}
	for name, limit := range limits {
		if limit == (Limit{}) {
			l.classes[name] = &class{}
			continue
		}
		seconds := 1 / limit.PerSecond
		if limit.Burst < 1 || !(limit.PerSecond > 0) || seconds*float64(limit.Burst) > longestRefill.Seconds() {
			panic(fmt.Sprintf("endpoint: limit %q of %v requests per second and bursts of %d makes no sense",
				name, limit.PerSecond, limit.Burst))
		}
		interval := time.Duration(seconds * float64(time.Second))
		l.classes[name] = &class{interval: interval, slack: interval * time.Duration(limit.Burst-1)}
	}
	return l
}

// take lets a request pass and returns 0, or returns how long to wait for one to
// pass.
func (l *limiter) take(b bucket) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Since(l.start)
	full, known := l.young[b]
	if !known {
		full = l.old[b]
		if len(l.young) >= l.size {
			l.old, l.young = l.young, make(map[bucket]time.Duration)
		}
	}
	full = max(full, now)
	wait := full - now - b.class.slack
	if wait <= 0 {
		wait = 0
		full += b.class.interval
	}
	l.young[b] = full // also if refused: who keeps trying is not forgotten
	return wait
}

// give takes back a request that passed.
func (l *limiter) give(b bucket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if full, known := l.young[b]; known {
		l.young[b] = full - b.class.interval
	}
}

// limitStranger refuses a request by a server whose address has shown too often
// that it is none. The function that it returns is for who is genuine after all.
func (x *exchange) limitStranger() (genuine func(), err error) {
	l := x.table.limiter
	if l == nil || x.lookup.route.Auth != Server || x.table.config.Strangers == "" {
		return func() {}, nil
	}
	b := bucket{class: l.classes[x.table.config.Strangers], addr: network(x.caller.Addr)}
	if b.class.interval == 0 {
		return func() {}, nil
	}
	return func() { l.give(b) }, tooSoon(l.take(b))
}

// limitRate refuses a request that comes too soon:
// https://spec.matrix.org/v1.19/client-server-api/#rate-limiting
func (x *exchange) limitRate() error {
	l, name := x.table.limiter, x.lookup.route.Class
	if l == nil || name == "" || x.caller.Unlimited {
		return nil
	}
	b := bucket{class: l.classes[name]}
	switch {
	case b.class.interval == 0:
		return nil
	case x.caller.UserID != "":
		b.name = string(x.caller.UserID)
	case x.caller.Server != "":
		b.name = string(x.caller.Server)
	default:
		b.addr = network(x.caller.Addr)
	}
	return tooSoon(l.take(b))
}

// tooSoon refuses a request that has to wait, if it has to.
func tooSoon(wait time.Duration) error {
	if wait == 0 {
		return nil
	}
	ms := (wait + time.Millisecond - 1).Milliseconds()
	return mxerr.New(mxerr.LimitExceeded, "Too many requests").With(retryAfterMS, ms)
}

// network returns what is limited as one: who has an IPv6 address has at least
// the 2^64 of its network.
func network(addr netip.Addr) netip.Addr {
	if !addr.Is6() {
		return addr
	}
	p, _ := addr.Prefix(64) // fails only for more bits than there are
	return p.Addr()
}
