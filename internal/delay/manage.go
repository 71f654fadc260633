package delay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// rowKey is the key of what is written about an event, and of the event as it will
// be then.
type rowKey struct{ delayID string }

// current returns an event as it is when all before is committed.
func current(b *journal.Batch, delayID string) (Event, error) {
	if e, ok := b.Memo(rowKey{delayID}); ok {
		return e.(Event), nil
	}
	e, err := scan(b.Row("SELECT "+columns+" FROM delayed_events WHERE delay_id = $1", delayID).Scan)
	if errors.Is(err, store.ErrNoRows) {
		return Event{}, notFound()
	}
	return e, err
}

// put writes what can change of an event.
func put(b *journal.Batch, e Event) {
	b.Remember(rowKey{e.ID}, e)
	b.Write(rowKey{e.ID}, func(tx *store.Tx) error {
		var finalised, failure any
		if e.Finalised != 0 {
			finalised = e.Finalised
		}
		if e.Error != nil {
			failure = []byte(e.Error)
		}
		return tx.Queue("UPDATE delayed_events SET begun = $2, due = $3, finalised = $4, event_id = $5, error = $6 WHERE delay_id = $1",
			e.ID, e.Begun, e.Due, finalised, optional(string(e.EventID)), failure)
	})
}

// change changes a scheduled event. One that is finalised is handed to done, which
// says what to answer.
func (s *Store) change(ctx context.Context, delayID string, change func(*Event) error, done func(Event) error) error {
	_, err := s.journal.Append(ctx, func(b *journal.Batch) error {
		e, err := current(b, delayID)
		if err == nil && e.Finalised != 0 {
			return done(e)
		}
		if err == nil {
			err = change(&e)
		}
		if err == nil {
			put(b, e)
		}
		return err
	})
	return err
}

// own makes a change one of a user, to whom the events of others do not exist.
func own(user id.UserID, change func(*Event) error) func(*Event) error {
	return func(e *Event) error {
		if e.User != user {
			return notFound()
		}
		return change(e)
	}
}

// ended answers a user about an event that is finalised.
func ended(user id.UserID, fits func(Event) bool) func(Event) error {
	return func(e Event) error {
		switch {
		case e.User != user:
			return notFound()
		case fits(e):
			return nil
		case e.EventID != "":
			return conflict("The delayed event was sent already")
		}
		return conflict("The delayed event was cancelled already")
	}
}

func conflict(message string) error { return mxerr.New(mxerr.Unknown, "%s", message).WithStatus(409) }

func sent(e Event) bool      { return e.EventID != "" }
func cancelled(e Event) bool { return e.EventID == "" }
func never(Event) bool       { return false }

// Restart starts the time of an event anew, and returns when that is durable.
func (s *Store) Restart(ctx context.Context, user id.UserID, delayID string) error {
	var due int64
	err := s.change(ctx, delayID, own(user, func(e *Event) error {
		e.begin(time.Now())
		due = e.Due
		return nil
	}), ended(user, never))
	if err != nil {
		return fmt.Errorf("restarting delayed event %s: %w", delayID, err)
	}
	s.alarm.set(due)
	return nil
}

// Cancel has an event never be sent. One that is cancelled stays so.
func (s *Store) Cancel(ctx context.Context, user id.UserID, delayID string) error {
	err := s.change(ctx, delayID, own(user, func(e *Event) error {
		e.Finalised = time.Now().UnixMilli()
		return nil
	}), ended(user, cancelled))
	if err != nil {
		return fmt.Errorf("cancelling delayed event %s: %w", delayID, err)
	}
	return nil
}

// SendNow sends an event before its time. If that is refused it stays scheduled. One
// that is sent stays so.
func (s *Store) SendNow(ctx context.Context, user id.UserID, delayID string) error {
	e, err := s.Get(ctx, user, delayID)
	if err != nil {
		return err
	}
	if e.Finalised != 0 {
		return ended(user, sent)(e)
	}
	err = s.send(ctx, e, func(Event) bool { return true })
	if !errors.Is(err, errOver) {
		return err
	}
	if e, err = s.Get(ctx, user, delayID); err != nil {
		return err
	}
	return ended(user, sent)(e)
}

// Forget cancels all events of a user, and forgets what became of the others.
func (s *Store) Forget(ctx context.Context, user id.UserID) error {
	_, err := s.journal.Append(ctx, func(b *journal.Batch) error {
		b.Write(countKey{user}, func(tx *store.Tx) error {
			return tx.Queue("DELETE FROM delayed_events WHERE user_id = $1", user)
		})
		return nil
	})
	if err != nil {
		return fmt.Errorf("forgetting the delayed events of %s: %w", user, err)
	}
	return nil
}

// For how long, and how many of a user, finalised events are kept.
const (
	keep     = 7 * 24 * time.Hour
	keepMost = 1000
)

// Tidy forgets what became of events long ago.
func (s *Store) Tidy(ctx context.Context) error {
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec("DELETE FROM delayed_events WHERE finalised < $1", time.Now().Add(-keep).UnixMilli()); err != nil {
			return err
		}
		_, err := tx.Exec(`
			DELETE FROM delayed_events WHERE delay_id IN (
				SELECT delay_id FROM (
					SELECT delay_id, row_number() OVER (PARTITION BY user_id ORDER BY finalised DESC, delay_id) AS nth
					FROM delayed_events WHERE finalised IS NOT NULL) AS numbered
				WHERE nth > $1)`, keepMost)
		return err
	})
	if err != nil {
		return fmt.Errorf("forgetting old delayed events: %w", err)
	}
	return nil
}
