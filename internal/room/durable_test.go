package room

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/event"
	"parley/matrix/roomver"
)

// TestReceivedTwiceAtOnce: by two nodes, each asked several times.
func TestReceivedTwiceAtOnce(t *testing.T) {
	storetest.EachKind(t, func(t *testing.T, fresh func() string) {
		f := federate(t, rulesOf(t, "11"), fresh, 2, Options{})
		a, b := f.nodes[0], f.nodes[1]
		location := fresh()
		nodes := []*node{start(t, storetest.Open(t, location), Options{}), start(t, storetest.Open(t, location), Options{Memory: 1})}
		a.receiveAll(b.sent(f.roomID, join(guest)))
		nodes[0].adopt(a.history(f.roomID))
		banned := a.sent(f.roomID, ban(admin(0), guest))
		nodes[0].receiveAll(banned)
		if err := nodes[1].journal.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
		for want, e := range []*event.Event{
			Accepted:   b.sent(f.roomID, topic(admin(1), "hi")),
			SoftFailed: b.sent(f.roomID, message(guest, "hi")),
			Rejected:   f.build(a, message("@stranger:b.test", "hi"), banned),
		} {
			if e == nil {
				continue
			}
			var mu sync.Mutex
			outcomes := make(map[Outcome]int)
			var wg sync.WaitGroup
			for i := range 12 {
				wg.Go(func() {
					outcome, err := nodes[i%2].Receive(ctx, e)
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					outcomes[outcome]++
				})
			}
			wg.Wait()
			if outcomes[Outcome(want)] != 1 || outcomes[Known] != 11 {
				t.Errorf("of twelve that received an event to be %d so many had an outcome: %v", want, outcomes)
			}
		}
	})
}

// bubble runs f with two servers whose room has a guest, on fake time, so that
// it can be waited for that nothing goes on by itself.
func bubble(t *testing.T, version roomver.Version, f func(t *testing.T, f *federation, a, b *node)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n := 0
		two := federate(t, rulesOf(t, version), func() string {
			n++
			return filepath.Join(dir, string(rune('a'+n)))
		}, 2, Options{})
		two.nodes[0].receiveAll(two.nodes[1].sent(two.roomID, join(guest)))
		f(t, two, two.nodes[0], two.nodes[1])
		for _, n := range two.nodes {
			n.stop()
		}
	})
}

// TestNothingIsAcknowledgedBeforeItIsDurable: not even to who comes second.
func TestNothingIsAcknowledgedBeforeItIsDurable(t *testing.T) {
	for name, do := range map[string]func(f *federation, a, b *node) func() error{
		"an event that is received": func(f *federation, a, b *node) func() error {
			e := b.sent(f.roomID, message(guest, "hi"))
			return func() error { _, err := a.tryReceive(e); return err }
		},
		"an event that is rejected": func(f *federation, a, b *node) func() error {
			e := f.build(b, message("@stranger:b.test", "hi"), f.last(a))
			return func() error { _, err := a.tryReceive(e); return err }
		},
		"a state that is set": func(f *federation, a, b *node) func() error {
			return func() error { _, err := a.Send(ctx, f.roomID, topic(admin(0), "hi")); return err }
		},
		"a message with a transaction": func(f *federation, a, b *node) func() error {
			d := message(admin(0), "hi")
			d.Transaction = Transaction{"PHONE", "1"}
			return func() error { _, err := a.Send(ctx, f.roomID, d); return err }
		},
		"a join": func(f *federation, a, b *node) func() error {
			return func() error { _, err := a.Join(ctx, f.roomID, Move{Sender: alice}); return err }
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, "11", func(t *testing.T, f *federation, a, b *node) {
				send := do(f, a, b)
				release := a.hold()
				var wg sync.WaitGroup
				committed, early := false, 0
				for range 3 {
					wg.Go(func() {
						if err := send(); err != nil {
							t.Error(err)
						}
						if !committed {
							early++
						}
					})
					synctest.Wait()
				}
				committed = true
				release()
				wg.Wait()
				if early > 0 {
					t.Errorf("%d were told too early", early)
				}
			})
		})
	}
}

// TestWhatBuildsOnAFailureFails: an event that was put aside is never committed
// without what it needs, nor what builds on it without it.
func TestWhatBuildsOnAFailureFails(t *testing.T) {
	eachFederation(t, func(t *testing.T, f *federation, a, b *node) {
		a.send(f.roomID, ban(admin(0), guest))
		first := b.sent(f.roomID, topic(admin(1), "first"))
		aside := b.sent(f.roomID, message(guest, "still here"))
		after := b.sent(f.roomID, topic(admin(1), "after it"))
		crash := errors.New("crash")
		door, failures := make(chan struct{}), 3
		a.db.FailAt(func(p store.Point) error {
			if p == store.BeforeBegin {
				<-door
			}
			if p != store.BeforeCommit || failures == 0 {
				return nil
			}
			failures--
			return crash
		})
		r, err := a.room(ctx, f.roomID)
		if err != nil {
			t.Fatal(err)
		}
		var waits []func() error
		for _, e := range []*event.Event{first, aside, after} {
			_, made, wait, err := r.take(ctx, e, gap{})
			if err != nil {
				t.Fatal(err)
			}
			waits = append(waits, func() error { _, err := r.settle(made, wait); return err })
		}
		close(door)
		for i, wait := range waits {
			if err := wait(); !errors.Is(err, crash) && !errors.Is(err, errConflict) {
				t.Errorf("event %d: %v", i, err)
			}
		}
		failures = 0
		a.forgetAll()
		a.receive(first, Accepted)
		a.receive(aside, SoftFailed)
		a.receive(after, Accepted)
		a.forgetAll()
		a.send(f.roomID, message(admin(0), "on we go"))
		if e := a.stateEvent(f.roomID, "m.room.topic", ""); !e.Content().Get("topic").Is("after it") {
			t.Errorf("the topic is %s", e.JSON())
		}
	})
}

// TestCrashPointsOfReceiving fails what receives an event at each point of its
// commit. The engine goes on, and can receive the event again.
func TestCrashPointsOfReceiving(t *testing.T) {
	for point := store.BeforeBegin; point <= store.AfterCommit; point++ {
		t.Run(fmt.Sprint("point ", point), func(t *testing.T) {
			eachFederation(t, func(t *testing.T, f *federation, a, b *node) { crashWhileReceiving(t, f, a, b, point) })
		})
	}
}

func crashWhileReceiving(t *testing.T, f *federation, a, b *node, point store.Point) {
	banned := a.sent(f.roomID, ban(admin(0), guest))
	before := f.authOf(b, message(guest, "")) // as b sees it
	events := []struct {
		event *event.Event
		want  Outcome
	}{
		{b.sent(f.roomID, topic(admin(1), "a topic")), Accepted},
		{b.sent(f.roomID, message(guest, "hi")), SoftFailed},
		{f.buildBy(message(guest, "hi"), before, banned), Rejected},
		{b.sent(f.roomID, message(admin(1), "hi")), Accepted},
	}
	crash := errors.New("crash")
	failing := false
	a.db.FailAt(func(p store.Point) error {
		if failing && p == point {
			return crash
		}
		return nil
	})
	for _, e := range events {
		failing = true
		if outcome, err := a.tryReceive(e.event); !errors.Is(err, crash) {
			t.Fatalf("%d, %v", outcome, err)
		}
		failing = false
		if point == store.AfterCommit {
			e.want = Known
		}
		a.receive(e.event, e.want)
		a.receive(e.event, Known)
	}
	a.forgetAll()
	a.send(f.roomID, message(admin(0), "on we go"))
	if got := len(a.heads(f.roomID)); got != 1 {
		t.Errorf("%d forward extremities", got)
	}
}
