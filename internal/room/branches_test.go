package room

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"parley/internal/store/storetest"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

// branchVersions have each algorithm of state resolution, and each form of event
// IDs and redactions.
var branchVersions = []roomver.Version{"1", "2", "10", "11", "12"}

// TestServersAgree lets three servers send into one room while they hear of each
// other late, in any order, or not at all for a while, and while one of them
// makes up events. At each step each server has what a naive reading of what it
// has received says; in the end all have the same.
func TestServersAgree(t *testing.T) {
	storetest.EachKind(t, func(t *testing.T, fresh func() string) {
		seeds := 3
		if testing.Short() || t.Name() != "TestServersAgree/sqlite" {
			seeds = 1
		}
		for _, version := range branchVersions {
			for seed := range seeds {
				t.Run(fmt.Sprintf("version %s/seed %d", version, seed), func(t *testing.T) {
					s := newSimulation(t, rulesOf(t, version), fresh, uint64(seed))
					for range 110 {
						s.step()
					}
					s.heal()
					for i := range s.nodes {
						s.verify(i)
					}
				})
			}
		}
	})
}

// TestServersTalkAtOnce has several people on each of three servers send at the
// same time, while the servers hear from each other, early and late.
func TestServersTalkAtOnce(t *testing.T) {
	storetest.EachKind(t, func(t *testing.T, fresh func() string) {
		for _, version := range someVersions(t) {
			t.Run("version "+string(version), func(t *testing.T) {
				s := newSimulation(t, rulesOf(t, version), fresh, 0)
				var wg sync.WaitGroup
				for i := range s.nodes {
					for k := range 3 {
						wg.Go(func() { s.talk(i, user(fmt.Sprint("guest", k), i), &wg) })
					}
				}
				wg.Wait()
				for i, n := range s.nodes {
					for _, it := range n.items(s.roomID)[len(s.views[i].line):] {
						if outcome, err := s.views[i].receive(it.Event); err != nil || outcome != Accepted {
							t.Fatalf("the model makes %d, %v of %s", outcome, err, it.Event.JSON())
						}
					}
					s.compare(i)
				}
				s.heal()
				for i := range s.nodes {
					s.verify(i)
				}
			})
		}
	})
}

// talk lets a user join, talk, and set state that nothing depends on, and brings
// each event to the other servers.
func (s *simulation) talk(i int, user id.UserID, wg *sync.WaitGroup) {
	for k := range 10 {
		d := message(user, fmt.Sprint(k))
		switch {
		case k%4 == 0:
			d = state(user, event.TypeMember, string(user), fmt.Sprintf(`{"displayname":"%d","membership":"join"}`, k))
		case k%4 == 1:
			d = topic(admin(i), string(user)+fmt.Sprint(k))
		}
		sent, err := s.nodes[i].Send(ctx, s.roomID, d)
		if err != nil {
			s.t.Error(err)
			return
		}
		e := s.nodes[i].eventByID(s.roomID, sent.EventID)
		for other, n := range s.nodes {
			if other == i {
				continue
			}
			wg.Go(func() {
				for {
					outcome, err := n.tryReceive(e)
					if errors.Is(err, ErrMissing) {
						runtime.Gosched()
						continue
					}
					if err != nil || outcome != Accepted {
						s.t.Errorf("server %d makes %d, %v of %s", other, outcome, err, e.JSON())
					}
					return
				}
			})
		}
	}
}
