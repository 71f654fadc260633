package feed

import (
	"sync"
	"time"
)

// pace says how long a turn is to rest before the next request in line gets it.
//
// When a thousand clients sync in a room in which many talk, they could use any
// number of processors, and are told the same a little later in fewer answers.
// Who sends cannot: each message waits for a processor several times on its way.
// So while those who send have to wait, turns rest, longer and longer, until
// hardly anybody has to. While nobody sends nothing rests.
type pace struct {
	lag func() time.Duration // how long who sends waits for a processor

	mu      sync.Mutex
	looked  time.Time
	resting float64 // how many times its own duration a turn rests
}

const (
	paceInterval = 20 * time.Millisecond
	// How long who sends may wait.
	tolerance = 400 * time.Microsecond
	// By how much resting changes, and how long it gets at most.
	restStep, longestRest = 0.5, 4
)

func newPace(lag func() time.Duration) *pace { return &pace{lag: lag} }

// rest returns how long a turn rests that took so long.
func (p *pace) rest(took time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.looked) > paceInterval {
		p.looked = now
		if p.lag() > tolerance {
			p.resting = min(longestRest, p.resting+restStep)
		} else {
			p.resting = max(0, p.resting-restStep)
		}
	}
	return time.Duration(p.resting * float64(took))
}
