package delay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"parley/internal/errand"
	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// lookAgain is after what time the database is asked at the latest, for what other
// nodes have scheduled and not sent.
const lookAgain = 30 * time.Second

// roomsAtOnce is in how many rooms events are sent at once. In one room they are sent
// one after the other.
const roomsAtOnce = 8

// Run sends what is due until the context ends.
func (s *Store) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		s.queue.Run(ctx, errand.Work[id.RoomID]{
			What: "sending delayed events", Recall: nothing, Do: s.sendDue, AtOnce: roomsAtOnce, Log: s.Log,
		})
	})
	for ctx.Err() == nil {
		s.alarm.look()
		next, err := s.look(ctx, time.Now().UnixMilli())
		if err != nil && ctx.Err() == nil {
			s.Log.ErrorContext(ctx, "looking for delayed events that are due", "err", err)
		}
		select {
		case <-s.alarm.at(next):
		case <-s.alarm.changed:
		case <-ctx.Done():
		}
	}
}

// nothing is left from before that Run does not find by itself.
func nothing(context.Context) ([]id.RoomID, error) { return nil, nil }

// look has what is due at a time sent, and returns when to look again.
func (s *Store) look(ctx context.Context, now int64) (next int64, err error) {
	var rooms []id.RoomID
	next = now + lookAgain.Milliseconds()
	err = s.db.View(ctx, func(tx *store.Tx) error {
		if rooms, err = roomsDue(tx, now); err != nil {
			return err
		}
		var due int64 // 0: nothing
		err := tx.Row("SELECT min(due) FROM delayed_events WHERE finalised IS NULL AND due > $1", now).Scan(&due)
		if due != 0 {
			next = min(next, due)
		}
		return err
	})
	if err != nil {
		return now + time.Second.Milliseconds(), err
	}
	s.queue.Add(rooms...)
	return next, nil
}

// roomsDue returns the rooms of what is due, that which has waited longest first.
func roomsDue(tx *store.Tx, now int64) ([]id.RoomID, error) {
	return store.List[id.RoomID](tx, "SELECT room_id FROM delayed_events WHERE finalised IS NULL AND due <= $1 GROUP BY room_id ORDER BY min(due)", now)
}

// sendDue sends what is due in a room.
func (s *Store) sendDue(ctx context.Context, room id.RoomID) error {
	var list []Event
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		list, err = store.Collect(tx.Query("SELECT "+columns+` FROM delayed_events
			WHERE room_id = $1 AND finalised IS NULL AND due <= $2 ORDER BY due, delay_id LIMIT 100`, room, time.Now().UnixMilli()), scan)
		return err
	})
	if err != nil {
		return fmt.Errorf("looking for what is due in %s: %w", room, err)
	}
	for _, e := range list {
		err := s.send(ctx, e, func(now Event) bool { return now.Due == e.Due })
		refusal := (*mxerr.Error)(nil)
		switch {
		case errors.Is(err, errOver):
			continue
		case errors.As(err, &refusal) && refusal.Status < 500:
			err = s.fail(ctx, e, refusal)
		}
		if err != nil {
			return err
		}
	}
	if len(list) == 100 {
		s.queue.Add(room)
	}
	return nil
}

// errOver: the event is not to be sent any more, or not now.
var errOver = errors.New("the delayed event was cancelled, sent or restarted")

// send sends an event if it still is as it should be.
func (s *Store) send(ctx context.Context, e Event, still func(Event) bool) error {
	noted := false
	eventID, err := s.Send(ctx, e, func(b *journal.Batch, eventID id.EventID) error {
		now, err := current(b, e.ID)
		switch {
		case errors.Is(err, mxerr.NotFound), err == nil && (now.Finalised != 0 || !still(now)):
			return errOver
		case err != nil:
			return err
		}
		now.EventID, now.Finalised = eventID, time.Now().UnixMilli()
		put(b, now)
		b.Durable(func() { noted = true })
		return nil
	})
	if err != nil || noted {
		return err
	}
	// It has changed nothing, so nothing was committed.
	return s.finalise(ctx, e, func(now *Event) { now.EventID = eventID })
}

// fail cancels an event because of an error.
func (s *Store) fail(ctx context.Context, e Event, refusal *mxerr.Error) error {
	text, err := json.Marshal(refusal)
	if err != nil {
		return err
	}
	body, err := canonjson.Canonical(text, canonjson.Lenient)
	if err != nil {
		return err
	}
	return s.finalise(ctx, e, func(now *Event) { now.Error = body })
}

// finalise ends an event unless it has ended or was restarted meanwhile.
func (s *Store) finalise(ctx context.Context, e Event, set func(*Event)) error {
	err := s.change(ctx, e.ID, func(now *Event) error {
		if now.Due == e.Due {
			now.Finalised = time.Now().UnixMilli()
			set(now)
		}
		return nil
	}, func(Event) error { return nil })
	if errors.Is(err, mxerr.NotFound) {
		return nil // forgotten meanwhile
	}
	return err
}

// An alarm wakes Run earlier than it meant to be.
type alarm struct {
	changed chan struct{} // has room for one signal
	mu      *sync.Mutex
	next    *int64 // when Run wakes by itself
}

func newAlarm() alarm {
	return alarm{changed: make(chan struct{}, 1), mu: new(sync.Mutex), next: new(int64)}
}

// look says that Run is about to look when it has to wake.
func (a alarm) look() {
	a.mu.Lock()
	*a.next = 1 << 62
	a.mu.Unlock()
}

// at returns what is told at a time.
func (a alarm) at(next int64) <-chan time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	*a.next = min(*a.next, next)
	return time.After(time.Until(time.UnixMilli(next)))
}

// set says that something is due at a time.
func (a alarm) set(due int64) {
	a.mu.Lock()
	earlier := due < *a.next
	if earlier {
		*a.next = due
	}
	a.mu.Unlock()
	if earlier {
		select {
		case a.changed <- struct{}{}:
		default:
		}
	}
}
