package remote

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
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
// thousands of dead servers are not all tried at every start. A sign of life is
// stored at once, and failures soon, many in one commit; what cannot be stored is
// logged, and stored with the next change. Servers that nobody has tried
// for long are forgotten, and there is a limit of how many are known. Health is
// safe for concurrent use.
type Health struct {
	db  *store.DB
	log *slog.Logger

	// storing is held while changes are stored: what is stored last is what is so.
	storing sync.Mutex

	mu      sync.Mutex // guards what follows
	outages map[id.ServerName]outage
	changed map[id.ServerName]bool // what the database does not know of yet
	pruned  time.Time              // when it was last looked whom to forget
	back    []func(id.ServerName)
}

// An outage is that a server has not been reached.
type outage struct {
	failures int
	retry    time.Time
	busy     bool // it is there; a restart does not know that
}

// For how long a server is left alone after the first failure, and at most: as long
// as it may come back, and once it has been away for about a week.
const (
	firstPause   = 5 * time.Second
	lastPause    = 2 * time.Hour
	longPause    = 24 * time.Hour
	longFailures = 110
	// busyFailures is of how many failures one that is there has the pause at most,
	// unless it asks for a longer one itself: five minutes.
	busyFailures = 7
	// shortFailures is of how many failures one had at most that may be back any
	// moment: in a minute a server is started anew.
	shortFailures = 4
)

// Bounds of what is known. Names of servers cost whoever invents them nothing.
const (
	mostOutages = 50_000
	// forgetAfter is after how long a server is forgotten that might have been tried
	// again all the time.
	forgetAfter = 7 * 24 * time.Hour
	pruneEvery  = time.Hour
)

// OpenHealth reads what is known.
func OpenHealth(ctx context.Context, db *store.DB, log *slog.Logger) (*Health, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	h := &Health{
		db: db, log: log, outages: make(map[id.ServerName]outage), changed: make(map[id.ServerName]bool),
	}
	err := db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query("SELECT server, failures, retry FROM outages") {
			if err != nil {
				return err
			}
			var server id.ServerName
			var failures, retry int64
			if err := row.Scan(&server, &failures, &retry); err != nil {
				return err
			}
			h.outages[server] = outage{failures: int(failures), retry: time.UnixMilli(retry)}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading which servers could not be reached: %w", err)
	}
	return h, nil
}

// storeEvery is how often failures are stored. A crash in between costs a few more
// attempts to reach dead servers.
const storeEvery = time.Minute

// Run stores failures from time to time, and when the context ends.
func (h *Health) Run(ctx context.Context) {
	ticker := time.NewTicker(storeEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			h.store(ctx)
		case <-ctx.Done():
			h.store(ctx)
			return
		}
	}
}

// OnBack adds what is called when a server is heard of that could not be reached.
// It is called once for an outage and must not block. It is added before the
// first request.
func (h *Health) OnBack(f func(id.ServerName)) { h.back = append(h.back, f) }

// Retry returns when a server is to be tried again: the zero time if it was
// reached when last tried.
func (h *Health) Retry(server id.ServerName) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.outages[server].retry
}

// Lately reports whether a server could not be reached, and only for so short a time
// that it may be about to be back.
func (h *Health) Lately(server id.ServerName) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.outages[server]
	return o.failures > 0 && o.failures <= shortFailures && !o.busy
}

// Failed takes in that a server could not be reached, by an attempt that began
// at the time given. Of many attempts at once only one counts.
func (h *Health) Failed(server id.ServerName, began time.Time) {
	h.leave(server, began, 0, false)
}

// Busy takes in that a server is there and wants to be left alone: at least for as
// long as it says.
func (h *Health) Busy(server id.ServerName, began time.Time, pause time.Duration) {
	h.leave(server, began, pause, true)
}

// leave has a server left alone after one failure more.
func (h *Health) leave(server id.ServerName, began time.Time, pause time.Duration, busy bool) {
	h.mu.Lock()
	h.prune()
	o, down := h.outages[server]
	if down && began.Before(o.retry) || !down && len(h.outages) >= mostOutages {
		h.mu.Unlock()
		return
	}
	o.failures++
	if o.busy = busy; busy {
		o.failures = min(o.failures, busyFailures)
	}
	o.retry = time.Now().Add(max(pauseAfter(o.failures, rand.Float64()), min(pause, lastPause)))
	h.outages[server], h.changed[server] = o, true
	h.mu.Unlock()
}

// prune forgets servers that nobody tries any more. The caller holds mu.
func (h *Health) prune() {
	now := time.Now()
	if now.Sub(h.pruned) < pruneEvery {
		return
	}
	h.pruned = now
	for server, o := range h.outages {
		if now.Sub(o.retry) > forgetAfter {
			delete(h.outages, server)
			h.changed[server] = true
		}
	}
}

// pauseAfter returns for how long a server is left alone after so many failures:
// a share of 0.5 to 1 of twice as long as the time before, so that not all
// servers try at once. random is from 0 to 1.
func pauseAfter(failures int, random float64) time.Duration {
	pause := min(firstPause<<min(failures-1, 20), lastPause)
	if failures > longFailures {
		pause = longPause
	}
	return time.Duration(float64(pause) * (0.5 + random/2))
}

// Heard takes in a sign of life of a server. It costs nothing unless the server
// could not be reached before.
func (h *Health) Heard(ctx context.Context, server id.ServerName) {
	h.mu.Lock()
	_, down := h.outages[server]
	if down {
		delete(h.outages, server)
		h.changed[server] = true
	}
	h.mu.Unlock()
	if down {
		for _, f := range h.back {
			f(server)
		}
		h.store(ctx)
	}
}

// store makes durable what has changed, in one transaction if several wait for it.
// It is done even for a request that ends.
func (h *Health) store(ctx context.Context) {
	h.storing.Lock()
	defer h.storing.Unlock()
	h.mu.Lock()
	changed, now := h.changed, make(map[id.ServerName]outage)
	h.changed = make(map[id.ServerName]bool)
	for server := range changed {
		if o, down := h.outages[server]; down {
			now[server] = o
		}
	}
	h.mu.Unlock()
	if len(changed) == 0 {
		return // somebody else has stored it
	}
	err := h.db.Update(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		for server := range changed {
			if err := storeOutage(tx, server, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		h.log.Error("storing which servers can be reached", "servers", len(changed), "err", err)
		h.mu.Lock()
		defer h.mu.Unlock()
		maps.Copy(h.changed, changed)
	}
}

func storeOutage(tx *store.Tx, server id.ServerName, outages map[id.ServerName]outage) error {
	o, down := outages[server]
	if !down {
		return tx.Queue("DELETE FROM outages WHERE server = $1", server)
	}
	return tx.Queue(`
		INSERT INTO outages (server, failures, retry) VALUES ($1, $2, $3)
		ON CONFLICT (server) DO UPDATE SET failures = excluded.failures, retry = excluded.retry`,
		server, int64(o.failures), o.retry.UnixMilli())
}
