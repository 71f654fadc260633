package feed

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestTurnsComeInOrder(t *testing.T) {
	line := newTurns(1, newPace(func() time.Duration { return 0 }))
	first, second, third := line.new(), line.new(), line.new()
	came := func(n *turn) bool {
		select {
		case <-n.granted:
			return true
		default:
			return false
		}
	}
	for _, n := range []*turn{first, second, third} {
		n.queue()
	}
	if !came(first) || came(second) || came(third) {
		t.Fatalf("came: %v %v %v", came(first), came(second), came(third))
	}
	second.end() // it goes away before its turn
	first.end()
	if came(second) || !came(third) {
		t.Fatalf("came: %v %v", came(second), came(third))
	}
	third.end()
	third.end()
	if line.free != 1 || len(line.line) != 0 {
		t.Errorf("%d are free, %d wait", line.free, len(line.line))
	}
}

func TestWhoWaitsForATurnMayGo(t *testing.T) {
	line := newTurns(0, newPace(func() time.Duration { return 0 }))
	n := line.new()
	n.queue()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	n.end()
	if len(line.line) != 0 {
		t.Error("it is still in line")
	}
}

func TestOnlySoManyHaveATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const count = 3
		line := newTurns(count, newPace(func() time.Duration { return 0 }))
		var mu sync.Mutex
		now, most := 0, 0
		add := func(n int) {
			mu.Lock()
			defer mu.Unlock()
			now += n
			most = max(most, now)
		}
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				n := line.new()
				n.queue()
				if err := n.wait(t.Context()); err != nil {
					t.Error(err)
				}
				defer n.end()
				add(1)
				time.Sleep(time.Second)
				add(-1)
			})
		}
		wg.Wait()
		if most != count || line.free != count {
			t.Errorf("%d had a turn at once, %d are free", most, line.free)
		}
	})
}

func TestTurnsRestWhileWhoSendsHasToWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lag := time.Duration(0)
		p := newPace(func() time.Duration { return lag })
		look := func() time.Duration {
			time.Sleep(2 * paceInterval)
			return p.rest(time.Millisecond)
		}
		if got := look(); got != 0 {
			t.Errorf("rests %v while nobody waits", got)
		}
		lag = time.Second
		var last time.Duration
		for range 20 {
			last = look()
		}
		if last != longestRest*time.Millisecond {
			t.Errorf("rests %v when everybody waits", last)
		}
		lag = 0
		for range 20 {
			last = look()
		}
		if last != 0 {
			t.Errorf("rests %v when nobody waits any more", last)
		}
	})
}
