package e2ee

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
)

// A crash is a database that fails now and then.
type crash struct {
	on     atomic.Bool
	points []store.Point // at which it may fail

	mu     sync.Mutex
	random *rand.Rand
}

var errCrash = errors.New("made up by the test")

func (c *crash) fail(p store.Point) error {
	if !c.on.Load() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, point := range c.points {
		if p == point && c.random.IntN(6) == 0 {
			return errCrash
		}
	}
	return nil
}

// A ledger is which keys were given to whom.
type ledger struct {
	mu     sync.Mutex
	given  map[string]string // key to claim
	failed int               // claims of which nobody knows what came of them
}

func (l *ledger) note(t *testing.T, claim, key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if before, twice := l.given[key]; twice {
		t.Errorf("key %s was given to claim %s and to claim %s", key, before, claim)
	}
	l.given[key] = claim
}

// TestNoKeyIsGivenTwiceWhateverFails has two nodes of one database give out keys
// while uploads are repeated until they are acknowledged, and the database fails.
func TestNoKeyIsGivenTwiceWhateverFails(t *testing.T) {
	for name, points := range map[string][]store.Point{
		"nothing fails":               nil,
		"before the commit":           {store.BeforeBegin, store.BeforeCommit},
		"before and after the commit": {store.BeforeBegin, store.BeforeCommit, store.AfterCommit},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.EachLocation(t, func(t *testing.T, location string) { crashWhileClaiming(t, location, points) })
		})
	}
}

func crashWhileClaiming(t *testing.T, location string, points []store.Point) {
	const uploads, perUpload, claimers, claimsEach = 8, 10, 6, 25
	c := &crash{points: points, random: rand.New(rand.NewPCG(1, 2))}
	var nodes []*scene
	for range 2 {
		db := storetest.Open(t, location)
		db.FailAt(c.fail)
		nodes = append(nodes, newScene(t, db))
	}
	c.on.Store(true)
	phone := newClient(alice, "PHONE")
	l := &ledger{given: make(map[string]string)}
	var all sync.WaitGroup
	all.Go(func() {
		for i := range uploads {
			u := Upload{Device: phone.keys(), OneTime: phone.oneTime(numbered(i*perUpload+1, (i+1)*perUpload)...)}
			for n := 0; ; n++ {
				err := nodes[n%2].Upload(t.Context(), alice, "PHONE", u)
				if err == nil {
					break
				}
				if !errors.Is(err, errCrash) {
					t.Errorf("uploading: %v", err)
					return
				}
			}
		}
	})
	for who := range claimers {
		all.Go(func() {
			for i := range claimsEach {
				got, err := nodes[who%2].ClaimLocal(t.Context(), []Wish{phone.wish()})
				if err != nil && !errors.Is(err, errCrash) {
					t.Errorf("claiming: %v", err)
				}
				if errors.Is(err, store.ErrUnknown) {
					l.mu.Lock()
					l.failed++
					l.mu.Unlock()
				}
				for _, g := range got {
					l.note(t, fmt.Sprint(who, " ", i), g.Name)
				}
			}
		})
	}
	all.Wait()
	c.on.Store(false)
	// Another client that has lost an answer, and then everybody else.
	nodes[0].upload(phone, Upload{OneTime: phone.oneTime(numbered((uploads-1)*perUpload+1, uploads*perUpload)...)})
	for i := 0; ; i++ {
		name := nodes[i%2].claim(phone)
		if name == "" {
			break
		}
		l.note(t, fmt.Sprint("last ", i), "signed_curve25519:"+name)
	}
	if lost := uploads*perUpload - len(l.given); lost < 0 || lost > l.failed {
		t.Errorf("%d of %d keys were given to nobody, and %d claims had an end that nobody knows", lost, uploads*perUpload, l.failed)
	}
	nodes[0].has("left", nodes[0].counts(phone), "map[signed_curve25519:0] []")
	nodes[1].has("left", nodes[1].counts(phone), "map[signed_curve25519:0] []")
}

// TestClaimsAtOnceGetDifferentKeys has many want a key of one device, and each of
// many devices at a time.
func TestClaimsAtOnceGetDifferentKeys(t *testing.T) {
	play(t, func(s *scene) {
		const keys, claimers = 60, 80
		phone, laptop := newClient(alice, "PHONE"), newClient(bob, "LAPTOP")
		s.upload(phone, Upload{OneTime: phone.oneTime(numbered(1, keys)...), Fallback: phone.fallback("F")})
		s.upload(laptop, Upload{OneTime: laptop.oneTime(numbered(1, claimers)...)})
		var mu sync.Mutex
		seen := make(map[string]int)
		var all sync.WaitGroup
		for range claimers {
			all.Go(func() {
				got, err := s.ClaimLocal(s.ctx, []Wish{phone.wish(), laptop.wish(), {bob, "UNKNOWN", "signed_curve25519"}, {alice, "PHONE", "rot13"}})
				if err != nil || len(got) != 2 {
					t.Errorf("got %v, %v", got, err)
				}
				mu.Lock()
				defer mu.Unlock()
				for _, g := range got {
					seen[string(g.Device)+g.Name]++
				}
			})
		}
		all.Wait()
		if n := seen["PHONEsigned_curve25519:F"]; n != claimers-keys {
			t.Errorf("the fallback key was given %d times", n)
		}
		delete(seen, "PHONEsigned_curve25519:F")
		for name, n := range seen {
			if n != 1 {
				t.Errorf("key %s was given %d times", name, n)
			}
		}
		if len(seen) != keys+claimers {
			t.Errorf("%d keys were given", len(seen))
		}
	})
}

func TestWhoHasGoneTakesNoKey(t *testing.T) {
	play(t, func(s *scene) {
		phone := newClient(alice, "PHONE")
		s.upload(phone, Upload{OneTime: phone.oneTime("A")})
		ctx, cancel := context.WithCancel(s.ctx)
		cancel()
		if got, err := s.ClaimLocal(ctx, []Wish{phone.wish()}); err == nil {
			t.Errorf("got %v", got)
		}
		s.has("counts", s.counts(phone), "map[signed_curve25519:1] []")
	})
}
