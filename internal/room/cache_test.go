package room

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
		g := newGenerations[int](rapid.IntRange(0, 8).Draw(t, "bytes"), func(v int) int { return 1 + v%3 })
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
					g.change(key, func(v int) int { return max(v, next) })
				}
			case "tell all":
				told = truth
				g.clear()
			case "load": // begins: the version is asked before the value
				version := g.version(key)
				if rapid.Bool().Draw(t, "later") {
					truth[key]++
				}
				loads[key] = append(loads[key], loading{truth[key], version})
			case "loaded":
				if n := len(loads[key]); n > 0 {
					i := rapid.IntRange(0, n-1).Draw(t, "which")
					l := loads[key][i]
					loads[key] = append(loads[key][:i], loads[key][i+1:]...)
					g.putSince(key, l.value, l.version)
				}
			}
			for key := range keys {
				if v, ok := g.get(key); ok && (v < told[key] || v > truth[key]) {
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
	g := newGenerations[int](20, func(int) int { return 1 })
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
				g.change(key, func(int) int { return now })
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
				if v, ok := g.get(key); ok {
					if v < least {
						t.Errorf("key %d is %d after it was %d", key, v, least)
					}
					continue
				}
				version := g.version(key)
				mu.Lock()
				v := truth[key]
				mu.Unlock()
				g.putSince(key, v, version)
			}
		})
	}
	wg.Wait()
}
