package filter

import (
	"sync"

	"parley/matrix/id"
)

// A key names a filter: one that a user has uploaded by its number, or any by its
// text, for no user.
type key struct {
	user id.UserID
	text string
}

// A cache keeps filters that were used lately, in two generations: when the
// younger one is full the older one is dropped, less what was used meanwhile.
type cache[F any] struct {
	limit int // of bytes in one generation, roughly

	// mu guards what follows.
	mu         sync.Mutex
	size       int // of the younger generation
	young, old map[key]entry[F]
}

type entry[F any] struct {
	filter F
	size   int
}

func newCache[F any](bytes int) *cache[F] {
	return &cache[F]{limit: bytes / 2, young: make(map[key]entry[F])}
}

func (c *cache[F]) get(k key) (filter F, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.young[k]
	if ok {
		return e.filter, true
	}
	if e, ok = c.old[k]; ok {
		c.add(k, e)
	}
	return e.filter, ok
}

// put remembers a filter that was made of a text of some length.
func (c *cache[F]) put(k key, filter F, length int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// A compiled list takes several times what its text did, if its entries
	// are short.
	c.add(k, entry[F]{filter, 1024 + len(k.text) + 8*length})
}

func (c *cache[F]) add(k key, e entry[F]) {
	if c.size+e.size > c.limit {
		c.old, c.young, c.size = c.young, make(map[key]entry[F]), 0
	}
	c.young[k] = e
	c.size += e.size
}
