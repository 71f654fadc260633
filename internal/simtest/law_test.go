package simtest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/url"
	"testing"
	"time"

	"parley/internal/store/storetest"
)

var (
	seed  = flag.Uint64("sim.seed", 0, "simulate from this seed only")
	steps = flag.Int("sim.steps", 250, "how long each simulation is")
	span  = flag.Duration("sim.for", 0, "simulate from new seeds, for so long")
)

// TestLaw simulates from the same few seeds each time, so that it says something
// about the change that is being made. make soak looks for what these do not
// find.
func TestLaw(t *testing.T) {
	switch {
	case *seed != 0:
		law(t, *seed)
	case *span != 0:
		for end := time.Now().Add(*span); time.Now().Before(end) && !t.Failed(); {
			law(t, rand.Uint64N(1e9))
		}
	default:
		for s := range uint64(3) {
			law(t, s+1)
		}
	}
}

func law(t *testing.T, seed uint64) {
	t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
		storetest.EachLocation(t, func(t *testing.T, location string) {
			if u, err := url.Parse(location); err != nil || u.Scheme == "" {
				location = "" // the server makes a file in its own directory
			}
			t.Log(Run(t, seed, *steps, location))
		})
	})
}
