package simtest

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"testing"
	"time"

	"parley/internal/store/storetest"
)

// TestSlidingLaw is TestLaw for clients of sliding sync.
func TestSlidingLaw(t *testing.T) {
	switch {
	case *seed != 0:
		slidingLaw(t, *seed, *steps)
	case *span != 0:
		for end := time.Now().Add(*span); time.Now().Before(end) && !t.Failed(); {
			slidingLaw(t, rand.Uint64N(1e9), *steps)
		}
	default:
		for s := range uint64(2) {
			slidingLaw(t, s+1, *steps)
		}
		for s, steps := range map[uint64]int{561958780: 545, 876722009: 600} { // with which something was found
			slidingLaw(t, s, steps)
		}
	}
}

func slidingLaw(t *testing.T, seed uint64, steps int) {
	t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
		storetest.EachLocation(t, func(t *testing.T, location string) {
			if u, err := url.Parse(location); err != nil || u.Scheme == "" {
				location = ""
			}
			t.Log(RunSliding(t, seed, steps, location))
		})
	})
}
