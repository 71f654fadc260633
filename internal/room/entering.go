package room

import (
	"context"
	"errors"
	"sync"
	"time"

	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
)

// entering are the rooms of other servers that users are about to join. Whoever lets
// this server in tells it what happens at once, which may come before the room does.
type entering struct {
	mu    sync.Mutex
	rooms map[id.RoomID]*joining
}

type joining struct {
	users int
	over  chan struct{} // closed when nobody joins any more
}

// mostEntering is for how long what comes for a room waits until that is here.
const mostEntering = 30 * time.Second

// begin notes that somebody joins a room. The function it returns ends it.
func (n *entering) begin(roomID id.RoomID) (end func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.rooms[roomID]
	if e == nil {
		e = &joining{over: make(chan struct{})}
		if n.rooms == nil {
			n.rooms = make(map[id.RoomID]*joining)
		}
		n.rooms[roomID] = e
	}
	e.users++
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if e.users--; e.users == 0 {
			delete(n.rooms, roomID)
			close(e.over)
		}
	}
}

// wait waits until nobody joins a room.
func (n *entering) wait(ctx context.Context, roomID id.RoomID) {
	n.mu.Lock()
	e := n.rooms[roomID]
	n.mu.Unlock()
	if e == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, mostEntering)
	defer cancel()
	select {
	case <-e.over:
	case <-ctx.Done():
	}
}

// RulesSoon is [Engine.ParticipatingRules] for a room that somebody may be about to
// join: then it waits for that.
func (g *Engine) RulesSoon(ctx context.Context, roomID id.RoomID) (*roomver.Rules, error) {
	rules, err := g.ParticipatingRules(ctx, roomID)
	if !errors.Is(err, mxerr.NotFound) {
		return rules, err
	}
	g.entering.wait(ctx, roomID)
	return g.ParticipatingRules(ctx, roomID)
}
