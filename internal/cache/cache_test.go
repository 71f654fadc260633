package cache

import (
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// TestGenerationsAreNeverOld lets values be loaded while they change. What the
// cache returns is never older than the last change of it that was told.
func TestGenerationsAreNeverOld(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const keys = 3
		g := New[int](rapid.IntRange(0, 8).Draw(t, "bytes"), func(v int) int { return 1 + v%3 })
		type loading struct {
			value   int
			version uint64
		}
		var truth [keys]int // in the database
		var told [keys]int  // the last change that the cache was told
		loads := make([][]loading, keys)
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			key := rapid.IntRange(0, keys-1).Draw(t, "key")
			switch rapid.SampledFrom([]string{"change", "tell", "tell all", "load", "loaded", "get"}).Draw(t, "what") {
			case "change":
				truth[key]++
			case "tell":
				// Changes are told in their order, each when it is made.
				for ; told[key] < truth[key]; told[key]++ {
					next := told[key] + 1
					g.Change(key, func(v int) int { return max(v, next) })
				}
			case "tell all":
				told = truth
				g.Clear()
			case "load": // begins: the version is asked before the value
				version := g.Version(key)
				if rapid.Bool().Draw(t, "later") {
					truth[key]++
				}
				loads[key] = append(loads[key], loading{truth[key], version})
			case "loaded":
				if n := len(loads[key]); n > 0 {
					i := rapid.IntRange(0, n-1).Draw(t, "which")
					l := loads[key][i]
					loads[key] = append(loads[key][:i], loads[key][i+1:]...)
					g.PutSince(key, l.value, l.version)
				}
			}
			for key := range keys {
				if v, ok := g.Get(key); ok && (v < told[key] || v > truth[key]) {
					t.Fatalf("key %d is %d; %d was told, and %d is true", key, v, told[key], truth[key])
				}
			}
			if size := weightOf(g.young); size != g.size {
				t.Fatalf("the young generation has %d bytes and counts %d", size, g.size)
			}
		}
	})
}

func weightOf(m map[int]int) (size int) {
	for _, v := range m {
		size += 1 + v%3
	}
	return size
}

// TestGenerationsAreSafe for those who load and change at the same time.
func TestGenerationsAreSafe(t *testing.T) {
	g := New[int](20, func(int) int { return 1 })
	var mu sync.Mutex
	truth, told := make(map[int]int), make(map[int]int)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 2000 {
				key := i % 30
				mu.Lock()
				truth[key]++
				now := truth[key]
				g.Change(key, func(int) int { return now })
				told[key] = now
				mu.Unlock()
			}
		})
		wg.Go(func() {
			for i := range 4000 {
				key := i % 30
				mu.Lock()
				least := told[key]
				mu.Unlock()
				if v, ok := g.Get(key); ok {
					if v < least {
						t.Errorf("key %d is %d after it was %d", key, v, least)
					}
					continue
				}
				version := g.Version(key)
				mu.Lock()
				v := truth[key]
				mu.Unlock()
				g.PutSince(key, v, version)
			}
		})
	}
	wg.Wait()
}

func TestTheCacheIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	const used, huge = -1, -2
	c := New[int](100_000, func(v int) int {
		if v == huge {
			return 1 << 20
		}
		return 1000
	})
	c.Put(used, used)
	for i := range 10_000 {
		c.Put(i, i)
		if v, ok := c.Get(used); !ok || v != used {
			t.Fatalf("after %d others: %d, %v", i, v, ok)
		}
		if n := len(c.young) + len(c.old); n > 100 {
			t.Fatalf("%d values", n)
		}
	}
	if _, ok := c.Get(0); ok {
		t.Error("the oldest is still there")
	}
	c.Put(huge, huge)
	if v, ok := c.Get(huge); !ok || v != huge {
		t.Error("what was put last is not there")
	}
}
