package push

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"parley/internal/journal"
	"parley/internal/store"
)

// laggard is for how long something may wait before it is noted of its pusher by
// itself. Until then, how far the journal was followed is not moved beyond it.
const laggard = 30 * time.Second

// lags reports whether a target will not soon have got what is in its queue. The
// caller holds mu.
func (t *target) lags() bool {
	return t.Kind == KindEmail || t.failures > 0 || t.outlet.failures > 0 || len(t.queue) > 0 && time.Since(t.queue[0].queued) > laggard
}

// A lag is what is to be stored of how far a target is; 0: as far as all others.
type lag struct {
	*target
	behind journal.Position
}

// lagging returns what is to be stored of targets, and up to where all others have got
// everything.
func (s *Sender) lagging() (list []lag, upTo journal.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	upTo = s.reached
	for t := range s.pending {
		switch since := t.since(s.reached); {
		case len(t.queue) == 0 && t.recall == 0:
			if delete(s.pending, t); t.stored {
				list = append(list, lag{t, 0})
			}
		case t.stored || t.lags():
			if !t.stored { // it is not moved on: what is read, or old, is not found again
				list = append(list, lag{t, since})
			}
		default:
			upTo = min(upTo, since)
		}
	}
	return list, upTo
}

// store stores which targets lag behind, and then up to where all others have got
// everything, unless that is stored.
func (s *Sender) store(ctx context.Context, stored *journal.Position) error {
	list, upTo := s.lagging()
	if len(list) > 0 {
		err := s.DB.Update(ctx, func(tx *store.Tx) error {
			for _, l := range list {
				behind := any(l.behind)
				if l.behind == 0 {
					behind = nil
				}
				err := tx.Queue("UPDATE pushers SET behind = $5 WHERE user_id = $1 AND app_id = $2 AND pushkey = $3 AND pos = $4",
					l.User, l.AppID, l.Key, l.pos, behind)
				if err != nil {
					return err
				}
			}
			return nil
		})
		s.storedLags(list, err)
		if err != nil {
			return fmt.Errorf("storing that %d pushers lag behind: %w", len(list), err)
		}
	}
	if upTo <= *stored {
		return nil
	}
	err := s.cursor.Done(ctx, upTo)
	if err == nil {
		*stored = upTo
	}
	return err
}

// storedLags takes in what was stored of targets, or that it was not.
func (s *Sender) storedLags(list []lag, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range list {
		switch {
		case err == nil:
			l.stored = l.behind != 0
		case !l.gone:
			s.pending[l.target] = true // to be stored the next time
		}
	}
}

// counters are how often something became of a push.
type counters struct {
	sent, counts, letters, dropped, rejected, refused, unreached atomic.Int64
}

// Stats is how pushing goes.
type Stats struct {
	// How many events were pushed, and how many mere numbers of what is unread; and how
	// often somebody was told by mail.
	Sent, Counts, Letters int64
	// Dropped is how many were not, because they were read, old or too many.
	Dropped int64
	// Rejected is how many pushers were removed since their gateway rejects them.
	Rejected int64
	// How often gateways have refused to do something, and could not be reached.
	Refused, Unreached int64
	// Waiting is how many pushers have not got everything, and Away how many gateways
	// cannot be reached.
	Waiting, Away int
}

// Stats returns how pushing goes.
func (s *Sender) Stats() Stats {
	c := &s.counters
	now := Stats{
		Sent: c.sent.Load(), Counts: c.counts.Load(), Letters: c.letters.Load(), Dropped: c.dropped.Load(), Rejected: c.rejected.Load(),
		Refused: c.refused.Load(), Unreached: c.unreached.Load(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now.Waiting = len(s.pending)
	for _, g := range s.outlets {
		if g.failures > 0 {
			now.Away++
		}
	}
	return now
}

// reject removes a pusher that its gateway rejects, unless it was changed meanwhile.
func (s *Pushers) reject(ctx context.Context, p Pusher) error {
	_, err := s.journal.Append(ctx, func(b *journal.Batch) error {
		now, there, err := readPusher(b, p.name())
		if err == nil && there && now.pos == p.pos {
			remove(b, p)
		}
		return err
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("removing a pusher of %s that was rejected: %w", p.User, err)
	}
	return err
}
