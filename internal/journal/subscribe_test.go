package journal

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"parley/internal/store"
	"parley/internal/store/storetest"
)

// inBubble runs f with a journal in a synctest bubble, so that a test can tell
// that somebody waits. The database is SQLite: a connection to a server would
// lie outside.
func inBubble(t *testing.T, o Options, f func(t *testing.T, j *Journal)) {
	location := t.TempDir() + "/parley.db"
	synctest.Test(t, func(t *testing.T) {
		db := storetest.Open(t, location)
		j := open(t, db, o)
		stop := run(t, j)
		f(t, j)
		stop()
	})
}

func TestWaiting(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, j *Journal) {
		appendAll(t, j, entry(room(1), 0), entry(room(2), 0))
		s := j.Subscribe(room(1), room(3))
		defer s.Close()
		if pos, err := s.Wait(ctx, 0, 0); err != nil || pos != 2 {
			t.Fatalf("what is there already: %d, %v", pos, err)
		}
		woken := make(chan Position, 1)
		go func() {
			pos, err := s.Wait(ctx, 2, 0)
			if err != nil {
				t.Error(err)
			}
			woken <- pos
		}()
		expectWaiting := func(why string) {
			t.Helper()
			synctest.Wait()
			select {
			case pos := <-woken:
				t.Fatalf("woken at %d, though %s", pos, why)
			default:
			}
		}
		expectWaiting("nothing happened")
		appendAll(t, j, entry(room(2), 0))
		expectWaiting("what happened does not concern it")
		appendAll(t, j, entry(room(3), 0))
		if pos := <-woken; pos != 4 {
			t.Errorf("woken with head %d", pos)
		}

		s.Remove(room(3))
		go func() {
			pos, _ := s.Wait(ctx, 4, 0)
			woken <- pos
		}()
		appendAll(t, j, entry(room(3), 0))
		expectWaiting("the room is no longer watched")
		s.Add(room(3))
		if pos := <-woken; pos != 5 {
			t.Errorf("woken with head %d by an added room", pos)
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := s.Wait(ended, 5, 0); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestWaitingBehindTheWindowEndsAtOnce(t *testing.T) {
	inBubble(t, Options{Window: 2}, func(t *testing.T, j *Journal) {
		for i := range int64(5) {
			appendAll(t, j, entry(room(1), i))
		}
		s := j.Subscribe(room(2))
		defer s.Close()
		if pos, err := s.Wait(ctx, 1, 0); err != nil || pos != 5 {
			t.Errorf("got %d, %v", pos, err)
		}
	})
}

func TestClosedSubscriptionsLeaveNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		j := open(t, db, Options{})
		for range 10 {
			s := j.Subscribe(room(1), room(2))
			s.Add(room(2), room(3))
			s.Remove(room(1))
			s.Close()
		}
		if len(j.subs) != 0 {
			t.Errorf("%d scopes are still watched", len(j.subs))
		}
	})
}

// TestWindowAgreesWithDatabase reads the same journal with windows of
// different sizes, down to none to speak of.
func TestWindowAgreesWithDatabase(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		large, small := start(t, db, Options{}), open(t, db, Options{Window: 3})
		rapid.Check(t, func(t *rapid.T) {
			for _, n := range rapid.SliceOfN(rapid.Int64Range(1, 4), 0, 5).Draw(t, "rooms") {
				if _, err := large.Append(ctx, entry(room(n), n)); err != nil {
					t.Fatal(err)
				}
			}
			if err := small.Refresh(ctx); err != nil {
				t.Fatal(err)
			}
			head := large.Head()
			after := Position(rapid.Int64Range(0, int64(head)).Draw(t, "after"))
			upTo := Position(rapid.Int64Range(int64(after), int64(head)).Draw(t, "upTo"))
			limit := rapid.IntRange(0, 10).Draw(t, "limit")
			a, err1 := large.Read(ctx, after, limit)
			b, err2 := small.Read(ctx, after, limit)
			if err1 != nil || err2 != nil || !slices.Equal(a, b) {
				t.Fatalf("read %v, %v and %v, %v", a, err1, b, err2)
			}
			scopes := []Scope{room(1), room(3)}
			a, err1 = large.ReadScopes(ctx, scopes, after, upTo)
			b, err2 = small.ReadScopes(ctx, scopes, after, upTo)
			if err1 != nil || err2 != nil || !slices.Equal(a, b) {
				t.Fatalf("read %v, %v and %v, %v of the scopes", a, err1, b, err2)
			}
		})
	})
}
