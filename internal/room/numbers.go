package room

import (
	"context"
	"sync"

	"parley/internal/store"
	"parley/matrix/stateres"
)

// blockSize is how many event numbers are reserved at once. What is left of a
// block when the server stops is never used.
const blockSize = 4096

// numbers gives out event numbers from blocks that are reserved in the
// database. Later blocks are above earlier ones, on all nodes together.
type numbers struct {
	db   *store.DB
	name string

	mu         sync.Mutex
	next, last int64 // of the present block
}

// above returns an unused number that is greater than those of an event's auth
// events, which another node may have numbered from a later block.
func (n *numbers) above(ctx context.Context, auth []stateres.Num) (stateres.Num, error) {
	var least int64
	for _, a := range auth {
		least = max(least, int64(a))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.next > n.last || n.next <= least {
		first, err := reserveNumbers(ctx, n.db, n.name, blockSize)
		if err != nil {
			return 0, err
		}
		n.next, n.last = first, first+blockSize-1
	}
	num := n.next
	n.next++
	return stateres.Num(num), nil
}
