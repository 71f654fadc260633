package apitest

import (
	"context"
	"encoding/json"
	"flag"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/endpoint"
	"parley/internal/hstest"
	"parley/internal/store/storetest"
)

func mustJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

// How long the server may take, in the time of a bubble, which only goes on when
// nobody does anything: longer than anybody may wait for news.
const patience = 6 * time.Minute

// attackRoute makes all requests of an attacker against a route, and returns the
// attacker at the end, who may be another one.
func (s *stage) attackRoute(t *testing.T, ctx context.Context, w *wire, route endpoint.Route, most int, seed uint64) {
	who := s.attacker()
	list := (&values{s: s, a: who}).attacks(route)
	h := fnv.New64a()
	h.Write([]byte(routeKey(route)))
	for _, i := range choose(len(list), most, rand.New(rand.NewPCG(seed, h.Sum64()))) {
		r := list[i]
		if s.realTime {
			if r.cut > 0 {
				continue // it would take half a minute
			}
			r.slow = true
		}
		rep, err := w.send(ctx, r, patience)
		if err != nil {
			if !r.broken && r.cut == 0 {
				t.Errorf("%v: %v", r, err)
			}
			continue
		}
		for _, wrong := range s.complaints(gate{r, &route, rep}) {
			t.Errorf("%v:\n\tgot %d %.300s\n\t%s", r, rep.status, rep.body, wrong)
		}
		if rep.status < 300 && route.Method != "GET" && !s.alive(who) {
			who = s.attacker()
			list = (&values{s: s, a: who}).attacks(route)
		}
	}
}

// choose returns which of n requests are made, at most so many of them: the same
// for the same seed.
func choose(n, most int, random *rand.Rand) []int {
	chosen := random.Perm(n)
	if most > 0 && n > most {
		chosen = chosen[:most]
	}
	slices.Sort(chosen)
	return chosen
}

var (
	attackSeed = flag.Uint64("attack.seed", 1, "of what TestEveryRouteUnderAttack chooses")
	attackMost = flag.Int("attack.most", 60, "requests for each route, 0 for all")
)

// TestEveryRouteUnderAttack sends each route what it should not be sent. Whatever
// comes, the answer is a Matrix error, or a success where that is right; it comes
// at once; it tells nobody the secrets of others; and nothing of others changes.
func TestEveryRouteUnderAttack(t *testing.T) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		if strings.HasPrefix(location, "postgres:") {
			s := newStage(t, hstest.Database(location))
			s.realTime = true // its sockets do not belong into a bubble
			s.attack(t)
			return
		}
		synctest.Test(t, func(t *testing.T) { newStage(t).attack(t) })
	})
}

// attack attacks all routes.
func (s *stage) attack(t *testing.T) {
	before := s.belongings()
	routes := make(chan endpoint.Route)
	var wg sync.WaitGroup
	for range 16 { // who commit together
		wg.Go(func() {
			w := &wire{net: s.world.Net}
			defer w.close()
			for r := range routes {
				s.attackRoute(t, t.Context(), w, r, *attackMost, *attackSeed)
			}
		})
	}
	for _, r := range s.routes {
		if s.realTime && r.Waits {
			continue // each request would take half a minute
		}
		routes <- r
	}
	close(routes)
	wg.Wait()
	for name, now := range s.belongings() {
		if before[name] != now {
			t.Errorf("%s of Alice has changed:\n\twas %s\n\tis  %s", name, before[name], now)
		}
	}
}
