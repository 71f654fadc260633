package inbound

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"parley/internal/errand"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// Run goes on with what is staged, until the context ends.
func (x *Inbox) Run(ctx context.Context) {
	if !errand.Insist(ctx, x.log, "looking for what is staged", x.load) {
		return
	}
	close(x.loaded)
	var wg sync.WaitGroup
	wg.Go(func() { x.listen(ctx) })
	for range mostRooms {
		wg.Go(func() {
			for {
				next, ok := x.nextDue(ctx)
				if !ok {
					return
				}
				x.workOn(ctx, next)
				x.leave(next.origin)
			}
		})
	}
	wg.Wait()
}

// load finds the rooms that have something staged from before. Nobody has a queue
// yet.
func (x *Inbox) load(ctx context.Context) error {
	var found []dueRoom
	err := x.db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query(`
			SELECT room_id, origin, count(*) FROM staged_events GROUP BY room_id, origin ORDER BY room_id, min(place)`) {
			if err != nil {
				return err
			}
			var roomID id.RoomID
			var origin id.ServerName
			var count int
			if err := row.Scan(&roomID, &origin, &count); err != nil {
				return err
			}
			if len(found) == 0 || found[len(found)-1].queue.room != roomID {
				d := dueRoom{newQueue(roomID), origin}
				d.queue.running = true
				found = append(found, d)
			}
			q := found[len(found)-1].queue
			q.staged, q.origins[origin] = q.staged+count, count
		}
		return nil
	})
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, d := range found {
		x.queues[d.queue.room] = d.queue
	}
	x.due = append(x.due, found...)
	if len(x.due) > 0 {
		x.notify()
	}
	return nil
}

// workOn goes through what is staged of a room until there is nothing left, or the
// next event came from another server, whose turn it may not be.
func (x *Inbox) workOn(ctx context.Context, room dueRoom) {
	for ctx.Err() == nil {
		first, ok, err := x.first(ctx, room.queue)
		switch {
		case err == nil && !ok:
			return
		case err == nil && first.origin != room.origin:
			x.put(room.queue, first.origin)
			return
		case err == nil:
			err = x.next(ctx, room.queue, first)
		}
		if err != nil && ctx.Err() == nil {
			x.log.Error("going on with what is staged", "room", room.queue.room, "err", err)
			errand.Pause(ctx, retryPause)
		}
	}
}

// staged is an event that waits.
type staged struct {
	place  int64
	origin id.ServerName
	pdu    canonjson.Value
}

// next takes in the first event that is staged of a room, unless it is to be tried
// once more.
func (x *Inbox) next(ctx context.Context, q *queue, first staged) error {
	lack, err := x.fetch(ctx, q.room, first)
	refused := (*mxerr.Error)(nil)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil, lack == Nothing && errors.As(err, &refused):
	case q.again(first, lack == Silent):
		x.log.Debug("an event cannot be received yet", "room", q.room, "origin", first.origin, "err", err)
		return nil
	default:
		x.log.Info("an event is given up", "room", q.room, "origin", first.origin, "err", err)
	}
	return x.done(ctx, q, first)
}

// first returns the first event that is staged of a room, of servers that do not fail
// if there is one. If there is none, the queue is gone when it returns, or will be due
// when a failure is over.
func (x *Inbox) first(ctx context.Context, q *queue) (s staged, ok bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	failing, waiting := q.failures(time.Now())
	err = x.db.View(ctx, func(tx *store.Tx) error {
		in, list := tx.In(2, failing)
		not, others := tx.In(3, waiting)
		return tx.Row(`
			SELECT place, origin, pdu FROM staged_events WHERE room_id = $1 AND NOT origin `+not+`
			ORDER BY CASE WHEN origin `+in+` THEN 1 ELSE 0 END, place LIMIT 1`, q.room, list, others).
			Scan(&s.place, &s.origin, (*[]byte)(&s.pdu))
	})
	switch {
	case errors.Is(err, store.ErrNoRows) && len(waiting) > 0:
		x.rest(q)
		return s, false, nil
	case errors.Is(err, store.ErrNoRows):
		x.remove(q)
		return s, false, nil
	case err != nil:
		return s, false, fmt.Errorf("reading what is staged of %s: %w", q.room, err)
	}
	return s, true, nil
}

func (x *Inbox) fetch(ctx context.Context, roomID id.RoomID, s staged) (Lack, error) {
	rules, err := x.rooms.Rules(ctx, roomID)
	if err != nil {
		return Nothing, err
	}
	// It has passed the checks; what was stored is the form to go on with.
	e, err := event.Parse(s.pdu, rules)
	if err != nil {
		return Nothing, mxerr.New(mxerr.BadJSON, "%s", err.Error())
	}
	return x.rooms.Fetch(ctx, s.origin, e)
}

// done removes an event that was taken in, or given up.
func (x *Inbox) done(ctx context.Context, q *queue, s staged) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	err := x.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("DELETE FROM staged_events WHERE room_id = $1 AND place = $2", q.room, s.place)
		return err
	})
	if err != nil {
		return fmt.Errorf("removing what was staged of %s: %w", q.room, err)
	}
	q.staged--
	if q.origins[s.origin]--; q.origins[s.origin] == 0 {
		delete(q.origins, s.origin)
	}
	delete(q.failing, s.origin)
	return nil
}
