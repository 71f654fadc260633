package media

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"parley/internal/store"
	"parley/matrix/id"
)

// How often it is done what has to be done from time to time.
const (
	noteUses   = 5 * time.Minute
	tidyEvery  = time.Hour
	sweepEvery = 24 * time.Hour
)

// Run collects what nothing names, and keeps what can be had again within its
// bounds, until the context ends.
func (s *Store) Run(ctx context.Context) {
	var sweeping sync.WaitGroup
	sweeping.Go(func() { s.sweepAgain(ctx) }) // taking files to a bucket may take days
	defer sweeping.Wait()
	s.report(ctx, "looking how much there is", errors.Join(s.evict(ctx), s.trim(ctx)))
	uses, tidy := time.NewTicker(noteUses), time.NewTicker(tidyEvery)
	defer uses.Stop()
	defer tidy.Stop()
	for {
		select {
		case <-uses.C:
			s.report(ctx, "noting which media were used", s.noteUses(ctx))
		case <-tidy.C:
			s.report(ctx, "tidying media", errors.Join(s.noteUses(ctx), s.tidy(ctx), s.evict(ctx), s.trim(ctx)))
		case <-s.files.full:
			s.report(ctx, "making room for files", s.trim(ctx))
		case <-ctx.Done():
			return
		}
	}
}

// sweepAgain sweeps now and every day, or sooner where that has failed.
func (s *Store) sweepAgain(ctx context.Context) {
	for {
		err, next := s.Sweep(ctx), sweepEvery
		if s.report(ctx, "collecting files that nothing names", err); err != nil {
			next = tidyEvery
		}
		timer := time.NewTimer(next)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// trim keeps what there is beside the bucket within its bounds.
func (s *Store) trim(ctx context.Context) error {
	if s.files.bucket == nil {
		return nil
	}
	return s.files.trim(ctx, s.o.ShelfSize)
}

func (s *Store) report(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		s.o.Log.Error(what, "err", err)
	}
}

// Sweep removes what had not come completely when a process ended, and files that no
// row names, as a crash leaves them. It takes to the bucket what is not there yet.
func (s *Store) Sweep(ctx context.Context) error {
	w := sweep{files: s.files, known: s.known(ctx)}
	return errors.Join(s.files.clean(), w.run(ctx))
}

// tidy removes what has expired.
func (s *Store) tidy(ctx context.Context) error {
	now := time.Now().UnixMilli()
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec("DELETE FROM media WHERE expires > 0 AND expires < $1", now); err != nil {
			return err
		}
		_, err := tx.Exec("DELETE FROM url_previews WHERE expires < $1", now)
		return err
	})
	if err != nil {
		return fmt.Errorf("removing what has expired: %w", err)
	}
	return nil
}

// evictStep is how many are looked at together when room is made.
const evictStep = 100

// evict removes what can be had again and was not used for longest, until the rest
// takes no more than it may.
func (s *Store) evict(ctx context.Context) error {
	for {
		var bytes int64
		var oldest []Media
		err := s.db.View(ctx, func(tx *store.Tx) (err error) {
			if err = tx.Row("SELECT CAST(coalesce(sum(size), 0) AS bigint) FROM media WHERE cached").Scan(&bytes); err != nil || bytes <= s.o.CacheSize {
				return err
			}
			oldest, err = store.Collect(tx.Query("SELECT "+columns+" FROM "+tables+" WHERE m.cached ORDER BY m.used LIMIT $1", evictStep), scan)
			return err
		})
		if err != nil {
			return fmt.Errorf("looking for what was not used: %w", err)
		}
		s.counters.copyBytes.Store(bytes)
		if bytes <= s.o.CacheSize || len(oldest) == 0 {
			return nil
		}
		n := 0
		for ; n < len(oldest) && bytes > s.o.CacheSize; n++ {
			bytes -= oldest[n].Size
			s.counters.evicted.Add(1)
			s.counters.evictedBytes.Add(oldest[n].Size)
		}
		if err := s.remove(ctx, oldest[:n]); err != nil {
			return err
		}
	}
}

// remove removes media, and the contents that nothing else names.
func (s *Store) remove(ctx context.Context, list []Media) error {
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		for _, m := range list {
			if _, err := tx.Exec("DELETE FROM media WHERE server = $1 AND media_id = $2", m.URI.Server(), m.URI.MediaID()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("removing media: %w", err)
	}
	var errs []error
	for _, m := range list {
		if !m.pending() {
			_, err := s.files.release(m.Hash, s.known(ctx))
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// uses are which media were used since that was last noted.
type uses struct {
	mu  sync.Mutex
	all map[id.ContentURI]time.Time
	// noting is held while they are noted: who goes on behind that finds all of them.
	noting sync.Mutex
}

// useStep is how old a note has to be for another one, and mostUses how many are
// remembered until they are noted.
const (
	useStep  = time.Hour
	mostUses = 50_000
)

func (u *uses) note(m *Media) {
	now := time.Now()
	if now.Sub(m.Used) < useStep {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.all == nil {
		u.all = make(map[id.ContentURI]time.Time)
	}
	if len(u.all) < mostUses {
		u.all[m.URI] = now
	}
}

func (u *uses) take() map[id.ContentURI]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := u.all
	u.all = nil
	return all
}

// noteUses writes down which media were used. What a crash forgets only makes some
// look older than they are.
func (s *Store) noteUses(ctx context.Context) error {
	s.uses.noting.Lock()
	defer s.uses.noting.Unlock()
	all := s.uses.take()
	if len(all) == 0 {
		return nil
	}
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		for u, at := range all {
			if err := tx.Queue("UPDATE media SET used = $1 WHERE server = $2 AND media_id = $3", at.UnixMilli(), u.Server(), u.MediaID()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("noting which media were used: %w", err)
	}
	return nil
}
