package feed

import (
	"math"
	"runtime/metrics"
	"sync"
	"time"
)

// pace says how long a turn is to rest before the next request in line gets it.
//
// When a thousand clients sync in a room in which many talk, they could use any
// number of processors, and are told the same a little later in fewer answers.
// Who sends cannot: each message waits several times for a processor on its way.
// So the longer goroutines wait for one, the longer turns rest, until hardly
// anything has to wait. While processors are free nothing rests.
type pace struct {
	mu      sync.Mutex
	looked  time.Time
	sample  [1]metrics.Sample
	before  []uint64 // the counts of the histogram when it was last looked at
	resting float64  // how many times its own duration a turn rests
}

const (
	// How often it is looked how long goroutines wait.
	paceInterval = 20 * time.Millisecond
	// Too many wait if more than this part of them waits longer than that.
	longWait = 500e-6 // seconds
	tooMany  = 0.1
	// By how much resting changes, and how long it gets at most.
	restStep    = 0.5
	longestRest = 3
)

func newPace() *pace {
	return &pace{sample: [1]metrics.Sample{{Name: "/sched/latencies:seconds"}}}
}

// rest returns how long a turn rests that took so long.
func (p *pace) rest(took time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.looked) > paceInterval {
		p.looked = now
		if p.overloaded() {
			p.resting = min(longestRest, p.resting+restStep)
		} else {
			p.resting = max(0, p.resting-restStep)
		}
	}
	return time.Duration(p.resting * float64(took))
}

// overloaded reports whether too many goroutines have waited for a processor
// since it was last asked.
func (p *pace) overloaded() bool {
	metrics.Read(p.sample[:])
	if p.sample[0].Value.Kind() != metrics.KindFloat64Histogram {
		return false // this Go does not tell
	}
	h := p.sample[0].Value.Float64Histogram()
	if p.before == nil {
		p.before = make([]uint64, len(h.Counts))
	}
	var all, long uint64
	for i, count := range h.Counts {
		n := count - p.before[i]
		all += n
		if lower := h.Buckets[i]; lower >= longWait && !math.IsInf(lower, -1) {
			long += n
		}
		p.before[i] = count
	}
	return float64(long) > tooMany*float64(all)
}
