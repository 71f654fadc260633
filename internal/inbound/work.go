package inbound

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// Run goes on with what is staged, until the context ends.
func (x *Inbox) Run(ctx context.Context) {
	if err := x.load(ctx); err != nil && ctx.Err() == nil {
		x.log.Error("looking for what is staged", "err", err)
	}
	var wg sync.WaitGroup
	for range mostRooms {
		wg.Go(func() {
			for {
				roomID, ok := x.nextDue(ctx)
				if !ok {
					return
				}
				x.workOn(ctx, roomID)
			}
		})
	}
	wg.Wait()
}

// load finds the rooms that have something staged from before.
func (x *Inbox) load(ctx context.Context) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query("SELECT room_id, count(*) FROM staged_events GROUP BY room_id") {
			if err != nil {
				return err
			}
			var roomID id.RoomID
			var count int
			if err := row.Scan(&roomID, &count); err != nil {
				return err
			}
			q := x.queues[roomID]
			if q == nil {
				q = new(queue)
				x.queues[roomID] = q
			}
			q.staged = count
			x.wake(roomID, q)
		}
		return nil
	})
}

// workOn goes through what is staged of a room until there is nothing left.
func (x *Inbox) workOn(ctx context.Context, roomID id.RoomID) {
	for ctx.Err() == nil {
		more, err := x.next(ctx, roomID)
		if err != nil && ctx.Err() == nil {
			x.log.Error("going on with what is staged", "room", roomID, "err", err)
			pause(ctx, retryPause)
			continue
		}
		if !more {
			return
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// staged is an event that waits.
type staged struct {
	place  int64
	origin id.ServerName
	pdu    canonjson.Value
}

// next takes in the first event that is staged of a room; more is false when there
// is none.
func (x *Inbox) next(ctx context.Context, roomID id.RoomID) (more bool, err error) {
	first, ok, err := x.first(ctx, roomID)
	if err != nil || !ok {
		return ok, err
	}
	err = x.fetch(ctx, roomID, first)
	refused := (*mxerr.Error)(nil)
	switch {
	case ctx.Err() != nil:
		return true, ctx.Err()
	case err == nil, errors.As(err, &refused):
	case x.again(roomID):
		x.log.Debug("an event cannot be received yet", "room", roomID, "origin", first.origin, "err", err)
		pause(ctx, retryPause)
		return true, nil
	default:
		x.log.Info("an event is given up", "room", roomID, "origin", first.origin, "err", err)
	}
	return true, x.done(ctx, roomID, first.place)
}

// first returns the first event that is staged of a room. If there is none, the
// queue is gone when it returns.
func (x *Inbox) first(ctx context.Context, roomID id.RoomID) (s staged, ok bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	err = x.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT place, origin, pdu FROM staged_events WHERE room_id = $1 ORDER BY place LIMIT 1", roomID).
			Scan(&s.place, &s.origin, (*[]byte)(&s.pdu))
	})
	if errors.Is(err, store.ErrNoRows) {
		delete(x.queues, roomID)
		return s, false, nil
	}
	if err != nil {
		return s, false, fmt.Errorf("reading what is staged of %s: %w", roomID, err)
	}
	return s, true, nil
}

func (x *Inbox) fetch(ctx context.Context, roomID id.RoomID, s staged) error {
	rules, err := x.rooms.Rules(ctx, roomID)
	if err != nil {
		return err
	}
	// It has passed the checks; what was stored is the form to go on with.
	e, err := event.Parse(s.pdu, rules)
	if err != nil {
		return mxerr.New(mxerr.BadJSON, "%s", err.Error())
	}
	return x.rooms.Fetch(ctx, s.origin, e)
}

// again reports whether the first event of a queue is to be tried once more.
func (x *Inbox) again(roomID id.RoomID) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	q := x.queues[roomID]
	q.tries++
	return q.tries < mostTries
}

// done removes an event that was taken in, or given up.
func (x *Inbox) done(ctx context.Context, roomID id.RoomID, place int64) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	err := x.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("DELETE FROM staged_events WHERE room_id = $1 AND place = $2", roomID, place)
		return err
	})
	if err != nil {
		return fmt.Errorf("removing what was staged of %s: %w", roomID, err)
	}
	q := x.queues[roomID]
	q.staged, q.tries = q.staged-1, 0
	return nil
}
