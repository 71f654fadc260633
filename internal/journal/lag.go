package journal

import (
	"sync"
	"time"
)

// lag is how long the journal has waited lately for a processor, with something
// to commit and nothing else to do.
type lag struct {
	mu   sync.Mutex
	mean time.Duration // of what was measured, the last counting most
	at   time.Time     // when it was measured last
}

const (
	lagWeight = 8 // one in so many is the part of a new value in the mean
	lagAge    = 100 * time.Millisecond
)

func (l *lag) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mean += (d - l.mean) / lagWeight
	l.at = time.Now()
}

// Lag returns how long the journal waits at present for a processor when there is
// something to commit: whoever appends waits at least as long. It is 0 when
// nobody has appended lately.
func (j *Journal) Lag() time.Duration {
	j.lag.mu.Lock()
	defer j.lag.mu.Unlock()
	if time.Since(j.lag.at) > lagAge {
		return 0
	}
	return j.lag.mean
}
