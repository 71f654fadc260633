package room

import (
	"context"
	"sync"

	"parley/matrix/id"
)

// oneByOne lets one at a time do something to a room that takes long, and is not
// under the room's own lock.
type oneByOne struct {
	mu    sync.Mutex
	rooms map[id.RoomID]*turn
}

type turn struct {
	users int
	busy  chan struct{} // has one element while somebody is at it
}

// lock waits for the turn. The function it returns ends it.
func (o *oneByOne) lock(ctx context.Context, roomID id.RoomID) (unlock func(), err error) {
	o.mu.Lock()
	t := o.rooms[roomID]
	if t == nil {
		t = &turn{busy: make(chan struct{}, 1)}
		if o.rooms == nil {
			o.rooms = make(map[id.RoomID]*turn)
		}
		o.rooms[roomID] = t
	}
	t.users++
	o.mu.Unlock()
	done := func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(o.rooms, roomID)
		}
	}
	select {
	case t.busy <- struct{}{}:
		return func() { <-t.busy; done() }, nil
	case <-ctx.Done():
		done()
		return nil, ctx.Err()
	}
}
