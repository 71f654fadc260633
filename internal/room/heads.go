package room

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// A room in which servers send past each other gets more and more forward
// extremities, each of which counts in its state. The next event that is sent here
// follows them, as many as one may. Where nobody says anything, an event of this
// server does that which clients do not see.

// TypeDummy is the type of events that only follow others, as other servers send
// them too.
const TypeDummy = "org.matrix.dummy_event"

const (
	// manyHeads is how many forward extremities a room may have for long.
	manyHeads = 10
	// crowdedHeads is how many it may have for a while. With more of them each event
	// costs more.
	crowdedHeads = 50
	// All servers in the room see that there are many. Who waits longer finds that
	// another one has done it.
	leastWait, mostWait = 10 * time.Second, 70 * time.Second
	// mergePause is how often a room is merged that is not crowded.
	mergePause = 5 * time.Minute
	// mostMerges is how many events merge a room at one time.
	mostMerges = 500
)

// crowds are the rooms that have many forward extremities.
type crowds struct {
	mu     sync.Mutex // guards what follows
	due    map[id.RoomID]time.Time
	merged map[id.RoomID]time.Time // lately, or in vain
	// signal has an element when something is due earlier than before.
	signal chan struct{}
}

func newCrowds() *crowds {
	return &crowds{due: make(map[id.RoomID]time.Time), merged: make(map[id.RoomID]time.Time), signal: make(chan struct{}, 1)}
}

// note says that a room has so many forward extremities.
func (c *crowds) note(roomID id.RoomID, heads int) {
	if heads <= manyHeads {
		return
	}
	now := time.Now()
	at := now.Add(leastWait + rand.N(mostWait-leastWait))
	if heads > crowdedHeads {
		at = now.Add(time.Second)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if last, ok := c.merged[roomID]; ok && heads <= crowdedHeads && at.Before(last.Add(mergePause)) {
		at = last.Add(mergePause)
	}
	if due, ok := c.due[roomID]; ok && !at.Before(due) {
		return
	}
	c.due[roomID] = at
	select {
	case c.signal <- struct{}{}:
	default: // somebody will look
	}
}

// next returns a room that is due, or for how long none is.
func (c *crowds) next() (roomID id.RoomID, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for other, at := range c.merged {
		if now.Sub(at) > mergePause {
			delete(c.merged, other)
		}
	}
	wait = time.Hour
	for other, at := range c.due {
		if d := at.Sub(now); d < wait {
			roomID, wait = other, d
		}
	}
	if wait > 0 {
		return "", wait
	}
	delete(c.due, roomID)
	c.merged[roomID] = now
	return roomID, 0
}

// RunMerges merges rooms with many forward extremities, until the context ends.
func (g *Engine) RunMerges(ctx context.Context) {
	if err := g.findCrowds(ctx); err != nil && ctx.Err() == nil {
		g.log.Error("looking for rooms with many forward extremities", "err", err)
	}
	for {
		roomID, wait := g.crowds.next()
		if roomID != "" {
			if err := g.mergeHeads(ctx, roomID); err != nil && ctx.Err() == nil {
				g.log.Info("a room keeps many forward extremities", "room", roomID, "err", err)
			}
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-g.crowds.signal:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// findCrowds finds the rooms that had many when the server was ended.
func (g *Engine) findCrowds(ctx context.Context) error {
	return g.db.View(ctx, func(tx *store.Tx) error {
		// A number takes a byte at least.
		for row, err := range tx.Query("SELECT room_id, head FROM rooms WHERE length(head) > $1", int64(manyHeads)) {
			if err != nil {
				return err
			}
			var roomID id.RoomID
			var head []byte
			if err := row.Scan(&roomID, &head); err != nil {
				return err
			}
			nums, err := decodeNums(head)
			if err != nil {
				return err
			}
			g.crowds.note(roomID, len(nums))
		}
		return nil
	})
}

var errNoSpeaker = errors.New("no local user may send an event")

// mergeHeads sends events that follow the forward extremities of a room, until few
// are left.
func (g *Engine) mergeHeads(ctx context.Context, roomID id.RoomID) error {
	var speaker id.UserID
	for range mostMerges {
		heads, _, err := filling{Engine: g}.headsOf(ctx, roomID)
		if err != nil || len(heads) <= manyHeads {
			return err
		}
		if speaker == "" {
			if speaker, err = g.speaker(ctx, roomID); err != nil {
				return err
			}
		}
		if _, err := g.Send(ctx, roomID, Draft{Type: TypeDummy, Sender: speaker, Content: canonjson.Value("{}")}); err != nil {
			return err
		}
	}
	return nil
}

// speaker returns a local user who may send such an event.
func (g *Engine) speaker(ctx context.Context, roomID id.RoomID) (id.UserID, error) {
	members, err := g.LocalMembers(ctx, roomID)
	if err != nil {
		return "", err
	}
	levels, err := g.levels(ctx, roomID)
	if err != nil {
		return "", err
	}
	// Who has more power than others comes first.
	slices.SortFunc(members, func(a, b id.UserID) int {
		switch x, y := levels.User(a), levels.User(b); {
		case x > y:
			return -1
		case x < y:
			return +1
		}
		return 0
	})
	if len(members) == 0 || levels.User(members[0]) < levels.Send(TypeDummy, false) {
		return "", errNoSpeaker
	}
	return members[0], nil
}

// heads divides the forward extremities of the room into those that the next event
// follows, and the rest. All are followed, but where they are very many: then half of
// them are the last, which those follow who speak to each other, and half the oldest,
// so that whoever makes many cannot have others be forgotten. The caller holds mu.
func (r *live) heads() (nums, others []stateres.Num, events, rest []*event.Event) {
	const half = event.MaxPrevEvents / 2
	if len(r.head) <= event.MaxPrevEvents {
		return r.row.head, nil, r.head, nil
	}
	end := len(r.head) - half
	return slices.Concat(r.row.head[:half], r.row.head[end:]), r.row.head[half:end],
		slices.Concat(r.head[:half], r.head[end:]), r.head[half:end]
}
