package appservice

import (
	"context"
	"sync"
	"testing"
	"time"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
)

// TestWhatIsStoredOfAService is about what outlives the process.
func TestWhatIsStoredOfAService(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx, cancel := context.WithCancel(context.Background())
		j, err := journal.Open(ctx, db, func() string { return "epoch" }, journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() { j.Run(ctx) })
		defer wg.Wait()
		defer cancel()
		happen := func() journal.Position {
			pos, err := j.Append(ctx, func(b *journal.Batch) error {
				b.Append(journal.UserScope("@alice:a.test"), journal.KindAccountData, 0)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return pos
		}
		s := New(Parts{Server: "a.test", DB: db, Journal: j})
		service := &Service{ID: "irc"}
		begin := func() *worker {
			t.Helper()
			w, err := s.newWorker(ctx, service)
			if err != nil {
				t.Fatal(err)
			}
			return w
		}
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
		do(w.commit(ctx, &draft{events: []canonjson.Value{canonjson.Value(`{"a":1}`)}, upTo: second}))
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
