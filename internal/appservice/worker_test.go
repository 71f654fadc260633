package appservice

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
)

// An office has workers for one service over a journal, and nothing else.
type office struct {
	*Services
	t   *testing.T
	ctx context.Context
}

func newOffice(t *testing.T, db *store.DB) *office {
	ctx, cancel := context.WithCancel(context.Background())
	j, err := journal.Open(ctx, db, func() string { return "epoch" }, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { j.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return &office{New(Parts{Server: "a.test", DB: db, Journal: j}), t, ctx}
}

// happens adds an entry to the journal.
func (o *office) happens() journal.Position {
	o.t.Helper()
	pos, err := o.Journal.Append(o.ctx, func(b *journal.Batch) error {
		b.Append(journal.UserScope("@alice:a.test"), journal.KindAccountData, 0)
		return nil
	})
	if err != nil {
		o.t.Fatal(err)
	}
	return pos
}

// begins is a worker that begins where the last one has ended.
func (o *office) begins() *worker {
	o.t.Helper()
	w, err := o.newWorker(o.ctx, &Service{ID: "irc"})
	if err != nil {
		o.t.Fatal(err)
	}
	return w
}

// saying is a draft of one event, with all up to a position.
func saying(event string, upTo journal.Position) *draft {
	return &draft{events: []canonjson.Value{canonjson.Value(event)}, upTo: upTo}
}

// TestWhatIsStoredOfAService is about what outlives the process.
func TestWhatIsStoredOfAService(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newOffice(t, db)
		ctx, happen, begin := s.ctx, s.happens, s.begins
		do := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}

		first := happen()
		w := begin()
		if w.cursor.Position() != first || w.pending != nil || w.last != 0 {
			t.Errorf("a new service begins at %d of %d, with transaction %d: %s", w.cursor.Position(), first, w.last, w.pending)
		}
		second := happen()
		do(w.commit(ctx, saying(`{"a":1}`, second)))
		again := begin()
		if again.cursor.Position() != second || string(again.pending) != `{"events":[{"a":1}]}` || again.txnID(again.last) != w.txnID(1) {
			t.Errorf("after a crash it is at %d of %d, with %s: %s", again.cursor.Position(), second, again.txnID(again.last), again.pending)
		}
		again.pending, again.unsettled = nil, true
		do(again.settle(ctx))
		if last := begin(); last.pending != nil || last.last != 1 {
			t.Errorf("after it has arrived there is transaction %d: %s", last.last, last.pending)
		}

		do(s.tidy(ctx)) // nobody works for it: from now on it is gone
		if back := begin(); back.last != 1 || back.mark != w.mark {
			t.Errorf("who comes again soon has transaction %d of %s, not of %s", back.last, back.mark, w.mark)
		}
		do(s.tidy(ctx))
		do(db.Update(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec("UPDATE appservices SET gone = $1", time.Now().Add(-2*keepFor).UnixMilli())
			return err
		}))
		do(s.tidy(ctx))
		third := happen()
		if back := begin(); back.last != 0 || back.mark == w.mark || back.cursor.Position() != third {
			t.Errorf("who comes again late has transaction %d of %s, at %d", back.last, back.mark, back.cursor.Position())
		}
	})
}

// TestFaultsOfCommits is about a worker that goes on after a commit has failed, or may
// have.
func TestFaultsOfCommits(t *testing.T) {
	for _, row := range []struct {
		name  string
		at    store.Point
		comes bool // it has come about all the same
	}{
		{"before it begins", store.BeforeBegin, false}, {"before the commit", store.BeforeCommit, false}, {"after the commit", store.AfterCommit, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				var fails atomic.Bool
				db.FailAt(func(p store.Point) error {
					if p == row.at && fails.Load() {
						return errors.New("a fault")
					}
					return nil
				})
				s := newOffice(t, db)
				first := s.happens()
				w := s.begins()
				second := s.happens()
				fails.Store(true)
				if err := w.commit(s.ctx, saying(`{"a":1}`, second)); err == nil {
					t.Fatal("there was no fault")
				}
				if row.comes != w.unsure {
					t.Errorf("it is unsure: %v", w.unsure)
				}
				fails.Store(false)
				if w.unsure {
					if err := w.lookAgain(s.ctx); err != nil {
						t.Fatal(err)
					}
				}
				pending, last, pos := "", int64(0), first
				if row.comes {
					pending, last, pos = `{"events":[{"a":1}]}`, 1, second
				}
				for what, w := range map[string]*worker{"it": w, "the next one": s.begins()} {
					if string(w.pending) != pending || w.last != last || w.cursor.Position() != pos || w.unsure {
						t.Errorf("%s is at %d, with transaction %d: %s", what, w.cursor.Position(), w.last, w.pending)
					}
				}
			})
		})
	}
}
