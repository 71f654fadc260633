package remote

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"parley/internal/store"
	"parley/matrix/id"
)

// Health is which servers cannot be reached, and when each is to be tried again.
//
// After a failure a server is left alone, for twice as long after each further
// one, until anything is heard of it. What is known survives a restart, so that
// thousands of dead servers are not all tried at every start. Health is safe for
// concurrent use.
type Health struct {
	db *store.DB

	mu      sync.Mutex
	outages map[id.ServerName]outage
	back    func(id.ServerName)
}

// An outage is how long a server has not been reached.
type outage struct {
	since    time.Time
	failures int
	retry    time.Time
}

// For how long a server is left alone after the first failure, and at most.
const (
	firstPause = 5 * time.Second
	lastPause  = 2 * time.Hour
)

// OpenHealth reads what is known.
func OpenHealth(ctx context.Context, db *store.DB) (*Health, error) {
	h := &Health{db: db, outages: make(map[id.ServerName]outage), back: func(id.ServerName) {}}
	err := db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query("SELECT server, since, failures, retry FROM outages") {
			if err != nil {
				return err
			}
			var server id.ServerName
			var since, failures, retry int64
			if err := row.Scan(&server, &since, &failures, &retry); err != nil {
				return err
			}
			h.outages[server] = outage{time.UnixMilli(since), int(failures), time.UnixMilli(retry)}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading which servers could not be reached: %w", err)
	}
	return h, nil
}

// OnBack sets what is called when a server is heard of that could not be reached.
// It is called once for an outage and must not block. It is set before the
// first request.
func (h *Health) OnBack(f func(id.ServerName)) { h.back = f }

// Retry returns when a server is to be tried again: the zero time if it was
// reached when last tried.
func (h *Health) Retry(server id.ServerName) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.outages[server].retry
}

// Down returns since when a server has not been reached; ok is false if it was.
func (h *Health) Down(server id.ServerName) (since time.Time, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	o, ok := h.outages[server]
	return o.since, ok
}

// Failed takes in that a server could not be reached, by an attempt that began
// at the time given. Of many attempts at once only one counts. A server which
// itself says for how long to leave it alone is left alone at least so long.
func (h *Health) Failed(ctx context.Context, server id.ServerName, began time.Time, pause time.Duration) error {
	h.mu.Lock()
	o, down := h.outages[server]
	now := time.Now()
	if !down {
		o.since = began
	} else if began.Before(o.retry) {
		h.mu.Unlock()
		return nil
	}
	o.failures++
	o.retry = now.Add(min(max(pauseAfter(o.failures, rand.Float64()), pause), lastPause))
	h.outages[server] = o
	h.mu.Unlock()
	err := h.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`
			INSERT INTO outages (server, since, failures, retry) VALUES ($1, $2, $3, $4)
			ON CONFLICT (server) DO UPDATE SET since = excluded.since, failures = excluded.failures, retry = excluded.retry`,
			server, o.since.UnixMilli(), int64(o.failures), o.retry.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("storing that %s could not be reached: %w", server, err)
	}
	return nil
}

// pauseAfter returns for how long a server is left alone after so many failures:
// a share of 0.5 to 1 of twice as long as the time before, so that not all
// servers try at once. random is from 0 to 1.
func pauseAfter(failures int, random float64) time.Duration {
	pause := lastPause
	if shift := failures - 1; shift < 20 {
		pause = min(firstPause<<shift, lastPause)
	}
	return time.Duration(float64(pause) * (0.5 + random/2))
}

// Heard takes in a sign of life of a server. It costs nothing unless the server
// could not be reached before.
func (h *Health) Heard(ctx context.Context, server id.ServerName) error {
	h.mu.Lock()
	_, down := h.outages[server]
	delete(h.outages, server)
	h.mu.Unlock()
	if !down {
		return nil
	}
	h.back(server)
	err := h.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("DELETE FROM outages WHERE server = $1", server)
		return err
	})
	if err != nil {
		return fmt.Errorf("storing that %s was heard of: %w", server, err)
	}
	return nil
}
