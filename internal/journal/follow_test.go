package journal

import (
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/store"
)

func TestAFollowerWaitsForMoreUnlessSomebodyWaitsForIt(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, j *Journal) {
		f := j.Follower("test")
		next := func(limit int, busy bool) (refs []int64, took time.Duration) {
			t.Helper()
			began := time.Now()
			entries, err := f.Next(ctx, limit, busy)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				refs = append(refs, e.Ref)
			}
			return refs, time.Since(began)
		}
		want := func(what string, refs []int64, took time.Duration, n int, wantTook time.Duration) {
			t.Helper()
			if len(refs) != n || took != wantTook {
				t.Errorf("%s: got %v after %v, want %d after %v", what, refs, took, n, wantTook)
			}
		}
		began := time.Now()
		if j.Follower("other").CatchUp(ctx); time.Since(began) != patience {
			t.Errorf("it was waited for %v for one that does not run", time.Since(began))
		}
		if err := f.Open(ctx); err != nil || f.Behind() != 0 {
			t.Fatalf("it is %d behind, %v", f.Behind(), err)
		}
		refs, took := next(10, false)
		want("nothing", refs, took, 0, idle)
		refs, took = next(10, true)
		want("nothing, with something else to do", refs, took, 0, 0)
		appendAll(t, j, entry(room(1), 1))
		go func() {
			time.Sleep(pace / 2)
			appendAll(t, j, entry(room(1), 2))
		}()
		refs, took = next(10, false)
		want("what comes together", refs, took, 2, pace)
		refs, took = next(2, false)
		want("as many as are wanted", refs, took, 2, 0)
		refs, took = next(10, true)
		want("with something else to do", refs, took, 2, 0)
		waited := make(chan bool)
		go func() {
			time.Sleep(pace / 4)
			f.CatchUp(ctx)
			close(waited)
		}()
		refs, took = next(10, false)
		want("when somebody waits", refs, took, 2, pace/4)
		synctest.Wait()
		select {
		case <-waited:
			t.Error("who waits does not, before it is done")
		default:
		}
		f.Pass(2)
		<-waited
		f.CatchUp(ctx) // there is nothing to wait for
	})
}

func TestWhatAFollowerSkipsIsStoredNowAndThen(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, j *Journal) {
		f := j.Follower("test")
		if err := f.Open(ctx); err != nil {
			t.Fatal(err)
		}
		stored := func() (pos Position) {
			t.Helper()
			err := j.db.View(ctx, func(tx *store.Tx) error {
				return tx.Row("SELECT pos FROM journal_cursors WHERE name = 'test'").Scan(&pos)
			})
			if err != nil {
				t.Fatal(err)
			}
			return pos
		}
		for _, row := range []struct{ skip, want Position }{
			{100, 0}, {storeEvery - 1, 0}, {storeEvery, storeEvery}, {storeEvery + 5, storeEvery}, {2*storeEvery + 1, 2*storeEvery + 1},
		} {
			if err := f.Skip(ctx, row.skip); err != nil {
				t.Fatal(err)
			}
			if got := stored(); got != row.want {
				t.Errorf("up to %d it is stored that %d is done, want %d", row.skip, got, row.want)
			}
		}
		if err := f.Skip(ctx, 2*storeEvery+9); err != nil {
			t.Fatal(err)
		}
		time.Sleep(storeAfter)
		if _, err := f.Next(ctx, 1, true); err != nil || stored() != 2*storeEvery+9 {
			t.Errorf("after a while it is stored that %d is done, %v", stored(), err)
		}
		pos := Position(3 * storeEvery)
		if err := j.db.Update(ctx, func(tx *store.Tx) error { return f.Store(tx, pos) }); err != nil {
			t.Fatal(err)
		}
		f.Pass(pos)
		if got := stored(); got != pos {
			t.Errorf("%d is stored, want %d", got, pos)
		}
		if err := j.db.Update(ctx, func(tx *store.Tx) error { return ForgetCursor(tx, "test") }); err != nil {
			t.Fatal(err)
		}
	})
}
