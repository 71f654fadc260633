package simtest

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"parley/internal/hstest"
	"parley/matrix/id"
)

// A link is two servers, the first of which asks the second.
type link struct{ from, to id.ServerName }

// weather decides what becomes of requests between servers.
type weather struct {
	seed uint64

	mu    sync.Mutex // guards what follows
	links map[link]*rand.Rand
	cuts  map[link]time.Time // until when
	// Of a hundred requests so many are lost, slow, or arrive twice.
	lost, slow, twice int
	// delay is how long a slow one takes at most.
	delay time.Duration
}

func newWeather(seed uint64) *weather {
	return &weather{seed: seed, links: make(map[link]*rand.Rand), cuts: make(map[link]time.Time), delay: time.Second}
}

// change makes it another, and says which.
func (x *weather) change(rng *rand.Rand) string {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lost, x.slow, x.twice = pick(rng, []int{0, 0, 5, 20, 50}), pick(rng, []int{0, 20, 60, 100}), pick(rng, []int{0, 0, 10, 40})
	x.delay = pick(rng, []time.Duration{100 * time.Millisecond, time.Second, 10 * time.Second, 100 * time.Second})
	return fmt.Sprintf("%d %% lost, %d %% slow by %v, %d %% twice", x.lost, x.slow, x.delay, x.twice)
}

// calm has everything arrive.
func (x *weather) calm() {
	x.mu.Lock()
	defer x.mu.Unlock()
	clear(x.cuts)
	x.lost, x.slow, x.twice = 0, 0, 0
}

// cut cuts two servers off from each other.
func (x *weather) cut(a, b id.ServerName, until time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.cuts[link{a, b}], x.cuts[link{b, a}] = until, until
}

// fate is a function for [hstest.World.Post].
func (x *weather) fate(from, to id.ServerName, _ *http.Request) hstest.Fate {
	x.mu.Lock()
	defer x.mu.Unlock()
	l := link{from, to}
	rng := x.links[l]
	if rng == nil {
		rng = rngOf(x.seed, string(from)+" "+string(to))
		x.links[l] = rng
	}
	// As many numbers for each request, so that one that is lost does not change
	// what becomes of the others.
	chance, delay, answer, again, hang := rng.IntN(100), rng.Float64(), rng.Float64(), rng.Float64(), rng.IntN(3) == 0
	of := func(share float64) time.Duration { return time.Duration(share * float64(x.delay)) }
	f := hstest.Fate{Delay: time.Duration(delay * float64(50*time.Millisecond)), Answer: time.Duration(answer * float64(50*time.Millisecond))}
	if time.Now().Before(x.cuts[l]) {
		f.Lost = true
		if hang {
			f.Delay = 2 * time.Minute // until it is given up
		}
		return f
	}
	if chance < x.lost {
		f.Lost, f.AnswerLost = chance%2 == 0, chance%2 == 1
	}
	if (chance*7)%100 < x.slow {
		f.Delay, f.Answer = of(delay), of(answer)
	}
	if (chance*13)%100 < x.twice {
		f.Again = max(of(again), time.Millisecond)
	}
	return f
}
