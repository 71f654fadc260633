package devicelist

import (
	"context"
	"fmt"
	"slices"
	"time"

	"parley/internal/store"
	"parley/matrix/id"
)

// A flight is the fetching of one list, for all who wait for it.
type flight struct {
	done chan struct{} // is closed when err is set
	err  error
}

// flightTime is how long it may take.
const flightTime = 20 * time.Second

// fly fetches a list, or waits for somebody who does.
func (s *Store) fly(ctx context.Context, user id.UserID) error {
	f := s.depart(user)
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) depart(user id.UserID) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.flights[user]; f != nil {
		return f
	}
	f := &flight{done: make(chan struct{})}
	s.flights[user] = f
	parent := s.ctx
	if parent == nil {
		parent = context.Background()
	}
	s.working.Go(func() {
		ctx, cancel := context.WithTimeout(parent, flightTime)
		defer cancel()
		f.err = s.refresh(ctx, user)
		s.mu.Lock()
		delete(s.flights, user)
		s.mu.Unlock()
		close(f.done)
	})
	return f
}

// line is the users of a server whose lists are to be fetched, one after the other.
type line struct {
	users    []id.UserID
	running  bool
	waiting  *time.Timer // until it is gone on with
	failures int         // in a row
}

// Pauses after a list could not be fetched from a server that can be reached.
const (
	firstPause = 30 * time.Second
	lastPause  = time.Hour
)

// enqueue has the list of a user fetched. It does not block.
func (s *Store) enqueue(user id.UserID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lines[user.Server()]
	if l == nil {
		l = new(line)
		s.lines[user.Server()] = l
	}
	if !slices.Contains(l.users, user) {
		l.users = append(l.users, user)
	}
	s.start(user.Server(), l)
}

// start goes on with a line, unless it is gone on with or has to wait. The caller
// holds mu.
func (s *Store) start(server id.ServerName, l *line) {
	if l.running || l.waiting != nil || s.ctx == nil || s.ctx.Err() != nil {
		return
	}
	if pause := time.Until(s.Retry(server)); pause > 0 {
		s.pause(server, l, pause)
		return
	}
	l.running = true
	s.working.Go(func() { s.work(server, l) })
}

// pause goes on with a line later. The caller holds mu.
func (s *Store) pause(server id.ServerName, l *line, pause time.Duration) {
	l.waiting = time.AfterFunc(pause, func() { s.goOn(server) })
}

// goOn goes on with the line of a server that was left alone.
func (s *Store) goOn(server id.ServerName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.lines[server]; l != nil && l.waiting != nil {
		l.waiting.Stop()
		l.waiting = nil
		s.start(server, l)
	}
}

// Back is to be called when a server is heard of that could not be reached. It does
// not block.
func (s *Store) Back(server id.ServerName) { go s.goOn(server) }

// work fetches the lists of a line until there are none, or the server is to be
// left alone.
func (s *Store) work(server id.ServerName, l *line) {
	for {
		s.mu.Lock()
		if len(l.users) == 0 {
			delete(s.lines, server)
			s.mu.Unlock()
			return
		}
		user := l.users[0]
		l.users = l.users[1:]
		s.mu.Unlock()
		err := s.fly(s.ctx, user)
		if err == nil {
			l.failures = 0 // nobody else uses it while the line runs
			continue
		}
		s.Log.Debug("the devices of a user cannot be fetched", "user", user, "err", err)
		s.mu.Lock()
		if !slices.Contains(l.users, user) {
			l.users = append(l.users, user)
		}
		l.failures++
		l.running = false
		if s.ctx.Err() == nil {
			s.pause(server, l, max(time.Until(s.Retry(server)), min(firstPause<<min(l.failures-1, 10), lastPause)))
		}
		s.mu.Unlock()
		return
	}
}

// Run fetches the lists that are stale, until the context ends.
func (s *Store) Run(ctx context.Context) {
	s.mu.Lock()
	s.ctx = ctx
	s.mu.Unlock()
	for {
		err := s.recall(ctx)
		if err == nil || ctx.Err() != nil {
			break
		}
		s.Log.Error("looking for device lists that are stale", "err", err)
		select {
		case <-time.After(firstPause):
		case <-ctx.Done():
		}
	}
	<-ctx.Done()
	s.mu.Lock()
	for _, l := range s.lines {
		if l.waiting != nil {
			l.waiting.Stop()
		}
	}
	s.mu.Unlock()
	s.working.Wait()
}

// recall finds the lists that were stale when the server ended.
func (s *Store) recall(ctx context.Context) error {
	var users []id.UserID
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		users, err = store.List[id.UserID](tx, "SELECT user_id FROM remote_lists WHERE stale ORDER BY user_id")
		return err
	})
	for _, user := range users {
		s.enqueue(user)
	}
	return err
}

// toldAge is how long it is remembered that others were told that a device is gone.
// Who was away for longer finds a gap.
const toldAge = 90 * 24 * time.Hour

// Tidy forgets the lists of users who share no room any more, and what others were
// told long ago of devices that are gone.
func (s *Store) Tidy(ctx context.Context) error {
	const some = 500
	for last := id.UserID(""); ; {
		var users, strangers []id.UserID
		err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
			users, err = store.List[id.UserID](tx, "SELECT user_id FROM remote_lists WHERE user_id > $1 ORDER BY user_id LIMIT $2", string(last), some)
			if err != nil || len(users) == 0 {
				return err
			}
			known, err := s.Rooms.KnownSince(tx, users)
			for _, user := range users {
				if _, ok := known[user]; !ok {
					strangers = append(strangers, user)
				}
			}
			return err
		})
		if err == nil && len(strangers) > 0 {
			err = s.drop(ctx, strangers)
		}
		if err != nil {
			return fmt.Errorf("looking for users who share no room any more: %w", err)
		}
		if len(users) < some {
			break
		}
		last = users[len(users)-1]
	}
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("DELETE FROM device_updates WHERE deleted AND changed < $1", time.Now().Add(-toldAge).UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("forgetting what was told of devices that are gone: %w", err)
	}
	return nil
}
