package appservice

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"parley/internal/cache"
	"parley/internal/errand"
	"parley/internal/journal"
	"parley/internal/room"
	"parley/internal/store"
	"parley/matrix/canonjson"
)

// A worker tells one service what happens. What has no lock belongs to its goroutine.
type worker struct {
	*Services
	service *Service
	cursor  *journal.Cursor
	news    news
	// heard has room for one signal that the service has shown to be there.
	heard chan struct{}
	stats stats

	rooms *cache.Cache[room.Num, *interest] // nil: to be looked at anew
	// within is the room of the events at the end of the entries that were looked at, 0
	// if those are something else.
	within room.Num
	mark   string
	last   int64            // the number of the last transaction
	stored journal.Position // of the cursor, in the database
	// pending is what the last transaction says, nil if it has arrived. unsettled says
	// that it has and that this was not stored.
	pending   canonjson.Value
	unsettled bool
	// unsure says that it is not known whether the last commit has come about.
	unsure bool
	// told is of the pending one, see draft, or what has arrived and was not acknowledged.
	told map[deviceKey]journal.Position

	stop func() // ends it, and waits for that
}

// stats is how a service does. It is safe for concurrent use.
type stats struct {
	transactions, events, failures atomic.Int64
	down                           atomic.Bool
}

// cursorName is the name of a service's cursor.
func cursorName(service string) string { return "appservice " + service }

// newWorker returns the worker of a service, which begins where the last one has ended,
// or at the end of the journal if there was none.
func (s *Services) newWorker(ctx context.Context, service *Service) (*worker, error) {
	w := &worker{
		Services: s, service: service, heard: make(chan struct{}, 1),
		rooms: cache.New[room.Num](interestMemory, (*interest).weigh),
	}
	var err error
	if w.cursor, err = s.Journal.Cursor(ctx, cursorName(service.ID)); err != nil {
		return nil, err
	}
	w.stored = w.cursor.Position()
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`
			INSERT INTO appservices (service, mark, last) VALUES ($1, $2, 0)
			ON CONFLICT (service) DO UPDATE SET gone = NULL`, service.ID, strings.ToLower(rand.Text()[:10]))
		if err != nil {
			return err
		}
		var pending []byte
		err = tx.Row("SELECT mark, last, pending FROM appservices WHERE service = $1", service.ID).Scan(&w.mark, &w.last, &pending)
		w.pending = pending
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("finding out what application service %s was told: %w", service.ID, err)
	}
	w.told = toldBy(w.pending, w.stored)
	return w, nil
}

// retryAfter is how long to wait when something is wrong with this server.
const retryAfter = time.Second

// run tells the service what happens until the context ends.
func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := w.work(ctx)
		if err == nil || ctx.Err() != nil {
			continue
		}
		w.Log.Error("telling an application service what happens", "appservice", w.service.ID, "err", err)
		w.rooms.Clear() // what is in there may be of behind the cursor
		w.within = 0
		errand.Pause(ctx, retryAfter)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := w.settle(last); err != nil {
		w.Log.Error("telling an application service what happens", "appservice", w.service.ID, "err", err)
	}
}

// work sends what is pending, and then makes the next transaction.
func (w *worker) work(ctx context.Context) error {
	if w.unsure {
		if err := w.lookAgain(ctx); err != nil {
			return err
		}
	}
	if w.pending != nil {
		if err := w.deliver(ctx); err != nil {
			return err
		}
	}
	if err := w.acknowledge(ctx); err != nil {
		return err
	}
	entries, err := w.wait(ctx)
	if err != nil {
		return err
	}
	d, err := w.gather(ctx, entries)
	if err != nil {
		return err
	}
	if d.empty() {
		w.cursor.Pass(d.upTo)
		return w.passLong(ctx)
	}
	return w.commit(ctx, d)
}

// wait returns the next entries of the journal, none if there is other news. Before it
// waits, what has arrived is stored as such: while there is more, the next transaction
// does that.
func (w *worker) wait(ctx context.Context) ([]journal.Entry, error) {
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	if w.Journal.Head() <= w.cursor.Position() {
		if err := w.settle(ctx); err != nil {
			return nil, err
		}
		if !w.news.await(cancel) {
			if _, err := w.cursor.Next(waiting, 1); err != nil && (ctx.Err() != nil || waiting.Err() == nil) {
				return nil, err
			}
		}
	}
	if w.Journal.Head() <= w.cursor.Position() {
		return nil, nil
	}
	entries, err := w.cursor.Next(ctx, chunk)
	if errors.Is(err, journal.ErrGone) {
		w.Log.Warn("an application service misses what happened while it had no cursor", "appservice", w.service.ID)
		return nil, w.cursor.Done(ctx, w.Journal.Floor())
	}
	return entries, err
}

// farBehind is how far the cursor in the database may be behind, if nothing concerned
// the service for so long.
const farBehind = 5000

// passLong stores the position now and then while there is no transaction to store it
// with.
func (w *worker) passLong(ctx context.Context) error {
	pos := w.cursor.Position()
	if pos-w.stored < farBehind {
		return nil
	}
	err := w.cursor.Done(ctx, pos)
	if err == nil {
		w.stored = pos
	}
	return err
}

// commit makes a draft the pending transaction. From then on it is the same however
// often it is sent.
func (w *worker) commit(ctx context.Context, d *draft) error {
	body, err := w.body(ctx, d)
	if err != nil {
		return err
	}
	err = w.DB.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec("UPDATE appservices SET last = $2, pending = $3 WHERE service = $1", w.service.ID, w.last+1, []byte(body)); err != nil {
			return err
		}
		return w.cursor.DoneWith(tx, d.upTo)
	})
	w.unsure = errors.Is(err, store.ErrUnknown)
	if err != nil {
		return fmt.Errorf("storing a transaction for application service %s: %w", w.service.ID, err)
	}
	w.last, w.pending, w.told, w.unsettled = w.last+1, body, d.told, false
	w.cursor.Pass(d.upTo)
	w.stored = d.upTo
	w.stats.events.Add(int64(len(d.events)))
	return nil
}

// lookAgain finds out what became of a commit of which that is not known.
func (w *worker) lookAgain(ctx context.Context) error {
	again, err := w.newWorker(ctx, w.service)
	if err != nil {
		return err
	}
	w.cursor.Pass(again.stored)
	w.last, w.pending, w.told, w.unsettled, w.stored = again.last, again.pending, again.told, false, again.stored
	w.unsure = false
	return nil
}

// settle stores that the last transaction has arrived, once there is nothing else to be
// done about it.
func (w *worker) settle(ctx context.Context) error {
	if !w.unsettled || len(w.told) > 0 {
		return nil
	}
	err := w.DB.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("UPDATE appservices SET pending = NULL WHERE service = $1", w.service.ID)
		return err
	})
	if err != nil {
		return fmt.Errorf("storing that application service %s has a transaction: %w", w.service.ID, err)
	}
	w.unsettled = false
	return nil
}

// When a service that does not take a transaction gets it again: ever later, and at once
// when it has shown to be there, but not sooner than the first time.
const (
	firstRetry = time.Second
	lastRetry  = 5 * time.Minute
)

// deliver sends the pending transaction until it has arrived.
func (w *worker) deliver(ctx context.Context) error {
	delay := firstRetry
	for {
		select { // what was heard before this try is no news
		case <-w.heard:
		default:
		}
		err := w.send(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		w.stats.failures.Add(1)
		if !w.stats.down.Swap(true) {
			w.Log.Warn("an application service does not take what it is told, and gets it again", "appservice", w.service.ID, "err", err)
		}
		errand.Pause(ctx, firstRetry)
		select {
		case <-time.After(delay - firstRetry):
			delay = min(2*delay, lastRetry)
		case <-w.heard:
			delay = firstRetry
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if w.stats.down.Swap(false) {
		w.Log.Info("an application service takes what it is told again", "appservice", w.service.ID)
	}
	w.stats.transactions.Add(1)
	w.pending, w.unsettled = nil, true
	return nil
}

// acknowledge has messages to devices deleted that have arrived. A crash before that is
// as one before they had: the transaction is stored until then.
func (w *worker) acknowledge(ctx context.Context) error {
	for key, upTo := range w.told {
		if err := w.ToDevice.Acknowledge(ctx, key.user, key.device, upTo); err != nil {
			return err
		}
		delete(w.told, key)
	}
	return nil
}

// send sends the pending transaction once.
func (w *worker) send(ctx context.Context) error {
	name := url.PathEscape(w.txnID(w.last))
	answer, err := w.call(ctx, w.service, request{
		method: http.MethodPut, path: "/_matrix/app/v1/transactions/" + name, old: "/transactions/" + name, body: w.pending,
	})
	if err == nil && !answer.ok() {
		err = fmt.Errorf("it answers with status %d", answer.Status)
	}
	return err
}

// hear takes in that the service has shown to be there. It does not wait.
func (w *worker) hear() {
	if !w.stats.down.Load() {
		return
	}
	select {
	case w.heard <- struct{}{}:
	default:
	}
}
