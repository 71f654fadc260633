package inbound

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
)

// dueRoom is a room whose first staged event came from a server.
type dueRoom struct {
	queue  *queue
	origin id.ServerName
}

// queue is what is staged of a room.
type queue struct {
	room id.RoomID

	mu      sync.Mutex // guards what follows, and is held over work in the database
	staged  int
	origins map[id.ServerName]int // how many are staged of each server
	running bool
	// failing are servers of which the first event could not be received. What is of
	// others comes first, so that they hold up nobody but themselves.
	failing map[id.ServerName]failure
	alarm   *time.Timer // has it worked on once a failure is over; nil if nothing is awaited
	gone    bool        // it is not in the map any more
}

func newQueue(roomID id.RoomID) *queue {
	return &queue{room: roomID, origins: make(map[id.ServerName]int), failing: make(map[id.ServerName]failure)}
}

var insertStaged = &store.Insert{Table: "staged_events", Columns: []store.Column{
	{Name: "room_id", Type: store.Text}, {Name: "place", Type: store.Int}, {Name: "origin", Type: store.Text}, {Name: "pdu", Type: store.Blob},
}}

// stage makes events durable as they are, and has their room's queue go on with
// them.
func (x *Inbox) stage(ctx context.Context, server id.ServerName, roomID id.RoomID, events []*event.Event) error {
	for {
		taken, err := x.stageIn(ctx, server, x.queue(roomID), events)
		if taken || err != nil {
			return err
		}
	}
}

// queue returns the queue of a room, which it makes if there is none.
func (x *Inbox) queue(roomID id.RoomID) *queue {
	x.mu.Lock()
	defer x.mu.Unlock()
	q := x.queues[roomID]
	if q == nil {
		q = newQueue(roomID)
		x.queues[roomID] = q
	}
	return q
}

// stageIn is stage; taken is false if the queue is gone.
func (x *Inbox) stageIn(ctx context.Context, server id.ServerName, q *queue, events []*event.Event) (taken bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gone {
		return false, nil
	}
	events = events[:min(len(events), max(0, mostStaged-q.staged), max(0, mostOfOne-q.origins[server]))]
	if len(events) == 0 {
		return true, nil
	}
	err = x.db.Update(ctx, func(tx *store.Tx) error {
		var last int64
		if err := tx.Row("SELECT coalesce(max(place), 0) FROM staged_events WHERE room_id = $1", q.room).Scan(&last); err != nil {
			return err
		}
		var rows [][]any
		for i, e := range events {
			rows = append(rows, []any{q.room, last + int64(i) + 1, server, []byte(e.JSON())})
		}
		return tx.QueueAll(insertStaged, rows)
	})
	if err != nil {
		if !q.running {
			x.remove(q) // nothing has been staged in it
		}
		return false, fmt.Errorf("staging %d events of %s: %w", len(events), q.room, err)
	}
	q.staged += len(events)
	q.origins[server] += len(events)
	x.wake(q, server)
	return true, nil
}

// remove takes a queue out of the map that has nothing. The caller holds its lock,
// and who waits for that will look for another queue.
func (x *Inbox) remove(q *queue) {
	q.gone = true
	q.quiet()
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.queues, q.room)
}

// wake has a queue worked on, unless it is. Its first event came from a server. The
// caller holds its lock.
func (x *Inbox) wake(q *queue, origin id.ServerName) {
	if !q.running {
		q.running = true
		q.quiet()
		x.put(q, origin)
	}
}

// put has a queue worked on by whoever has time.
func (x *Inbox) put(q *queue, origin id.ServerName) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.due = append(x.due, dueRoom{q, origin})
	x.notify()
}

func (x *Inbox) notify() {
	select {
	case x.signal <- struct{}{}:
	default: // somebody will be told of all that is due
	}
}

// nextDue returns a room to work on. Who has done so says [Inbox.leave].
func (x *Inbox) nextDue(ctx context.Context) (next dueRoom, ok bool) {
	for {
		select {
		case <-x.signal:
		case <-ctx.Done():
			return next, false
		}
		if next, ok = x.enter(); ok {
			return next, true
		}
	}
}

// enter takes the first of the rooms that are due that may be worked on.
func (x *Inbox) enter() (next dueRoom, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	i := slices.IndexFunc(x.due, func(d dueRoom) bool { return x.busy[d.origin] < perOrigin })
	if i < 0 {
		return next, false
	}
	next = x.due[i]
	x.due = slices.Delete(x.due, i, i+1)
	x.busy[next.origin]++
	if len(x.due) > 0 {
		x.notify()
	}
	return next, true
}

// leave ends the work on a room with events of a server.
func (x *Inbox) leave(origin id.ServerName) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.busy[origin]--; x.busy[origin] == 0 {
		delete(x.busy, origin)
	}
	if len(x.due) > 0 {
		x.notify()
	}
}
