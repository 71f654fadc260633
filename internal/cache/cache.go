// Package cache keeps in memory what was used lately of what is elsewhere too,
// within a bound of bytes.
package cache

import (
	"hash/maphash"
	"sync"
)

// Cache has two generations. What is used moves to the young one; when that has
// taken half of the bytes it becomes the old one, and what the old one had is
// forgotten. A Cache is safe for concurrent use.
//
// Values that change are loaded between Version and PutSince, which keeps what
// is known not to have changed meanwhile: whoever changes a value calls Change
// when it has changed, whether it is in the cache or not.
type Cache[K comparable, V any] struct {
	limit int // bytes of one generation
	weigh func(V) int

	mu         sync.Mutex
	young, old map[K]V
	size       int // bytes of young
	seed       maphash.Seed
	changes    [64]uint64 // how often values changed, of keys by their hash
}

// New returns an empty cache of so many bytes, as weigh counts them.
func New[K comparable, V any](bytes int, weigh func(V) int) *Cache[K, V] {
	return &Cache[K, V]{limit: bytes / 2, weigh: weigh, young: make(map[K]V), seed: maphash.MakeSeed()}
}

// Get returns what is there under a key.
func (c *Cache[K, V]) Get(key K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok := c.young[key]; ok {
		return v, true
	}
	v, ok := c.old[key]
	if ok {
		c.store(key, v)
	}
	return v, ok
}

// Put keeps a value that never changes, or whose changes the caller knows of.
func (c *Cache[K, V]) Put(key K, value V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.store(key, value)
}

// Version is to be asked before a value is loaded.
func (c *Cache[K, V]) Version(key K) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return *c.counter(key)
}

// PutSince puts a value that was loaded since a version, unless it may have
// changed since.
func (c *Cache[K, V]) PutSince(key K, value V, version uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if *c.counter(key) == version {
		c.store(key, value)
	}
}

// Change replaces what is there under a key, if anything is.
func (c *Cache[K, V]) Change(key K, f func(V) V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*c.counter(key)++
	if v, ok := c.young[key]; ok {
		c.store(key, f(v))
	} else if v, ok := c.old[key]; ok {
		c.old[key] = f(v)
	}
}

// Clear forgets everything, because it may have changed.
func (c *Cache[K, V]) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.changes {
		c.changes[i]++
	}
	c.young, c.old, c.size = make(map[K]V), nil, 0
}

func (c *Cache[K, V]) counter(key K) *uint64 {
	return &c.changes[maphash.Comparable(c.seed, key)%uint64(len(c.changes))]
}

func (c *Cache[K, V]) store(key K, value V) {
	if before, known := c.young[key]; known {
		c.young[key] = value
		c.size += c.weigh(value) - c.weigh(before)
		return
	}
	weight := c.weigh(value)
	if c.size+weight > c.limit {
		c.old, c.young, c.size = c.young, make(map[K]V), 0
	}
	c.young[key] = value
	c.size += weight
}
