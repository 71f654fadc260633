package room

import (
	"hash/maphash"
	"sync"
)

// generations is a cache with a bounded number of bytes. What is used moves to
// the young generation; when that has taken half of the bytes it becomes the old
// one, and what the old one had is forgotten. It is safe for concurrent use.
//
// Values that change are loaded between version and putSince, which keeps what
// is known not to have changed meanwhile.
type generations[K comparable, V any] struct {
	limit int // bytes of one generation
	weigh func(V) int

	mu         sync.Mutex
	young, old map[K]V
	size       int // bytes of young
	seed       maphash.Seed
	changes    [64]uint64 // how often values changed, of keys by their hash
}

func newGenerations[K comparable, V any](bytes int, weigh func(V) int) *generations[K, V] {
	return &generations[K, V]{limit: bytes / 2, weigh: weigh, young: make(map[K]V), seed: maphash.MakeSeed()}
}

func (g *generations[K, V]) get(key K) (V, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if v, ok := g.young[key]; ok {
		return v, true
	}
	v, ok := g.old[key]
	if ok {
		g.store(key, v)
	}
	return v, ok
}

func (g *generations[K, V]) put(key K, value V) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.store(key, value)
}

// version is to be asked before a value is loaded.
func (g *generations[K, V]) version(key K) uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return *g.counter(key)
}

// putSince puts a value that was loaded since a version, unless it may have
// changed since.
func (g *generations[K, V]) putSince(key K, value V, version uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if *g.counter(key) == version {
		g.store(key, value)
	}
}

// change replaces what is there under a key, if anything is.
func (g *generations[K, V]) change(key K, f func(V) V) {
	g.mu.Lock()
	defer g.mu.Unlock()
	*g.counter(key)++
	if v, ok := g.young[key]; ok {
		g.store(key, f(v))
	} else if v, ok := g.old[key]; ok {
		g.old[key] = f(v)
	}
}

func (g *generations[K, V]) clear() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.changes {
		g.changes[i]++
	}
	g.young, g.old, g.size = make(map[K]V), nil, 0
}

func (g *generations[K, V]) counter(key K) *uint64 {
	return &g.changes[maphash.Comparable(g.seed, key)%uint64(len(g.changes))]
}

func (g *generations[K, V]) store(key K, value V) {
	if before, known := g.young[key]; known {
		g.young[key] = value
		g.size += g.weigh(value) - g.weigh(before)
		return
	}
	if g.size > g.limit {
		g.old, g.young, g.size = g.young, make(map[K]V), 0
	}
	g.young[key] = value
	g.size += g.weigh(value)
}
