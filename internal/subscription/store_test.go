package subscription

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

const alice id.UserID = "@alice:a.test"

func open(t *testing.T, db *store.DB) (*Store, *journal.Journal, context.Context) {
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
	return New(db, j, func(context.Context, id.RoomID) (int64, error) { return 7, nil }), j, ctx
}

// TestChangesAddUp: pages of changes, in whatever size, are what the last change of
// each thread is, and an entry tells of each.
func TestChangesAddUp(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s, j, ctx := open(t, db)
		thread := func(n int) Thread { return Thread{"!r:a.test", id.EventID(fmt.Sprintf("$%d", n))} }
		var all sync.WaitGroup // so that many are in one batch
		for n := range 7 {
			all.Go(func() {
				err := s.Subscribe(ctx, alice, thread(n), nil)
				if n%2 == 1 {
					err = errors.Join(err, s.Unsubscribe(ctx, alice, thread(n)))
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		half := j.Head()
		if err := errors.Join(s.Unsubscribe(ctx, alice, thread(0)), s.Subscribe(ctx, alice, thread(9), nil), s.Subscribe(ctx, "@bob:a.test", thread(1), nil)); err != nil {
			t.Fatal(err)
		}
		for _, limit := range []int{1, 2, 3, 100} {
			got := make(map[id.EventID]bool)
			last := j.Head() + 1
			for to := j.Head(); to != 0; {
				list, next, err := s.Since(ctx, alice, 0, to, limit)
				if err != nil || len(list) > limit {
					t.Fatal(list, err)
				}
				for _, c := range list {
					if _, twice := got[c.Root]; twice || c.Pos >= last {
						t.Errorf("by %d: %v comes twice or out of order", limit, c)
					}
					got[c.Root], last = c.Subscribed, c.Pos
				}
				to = next
			}
			if fmt.Sprint(got) != "map[$0:false $1:false $2:true $3:false $4:true $5:false $6:true $9:true]" {
				t.Errorf("by %d: got %v", limit, got)
			}
		}
		list, next, err := s.Since(ctx, alice, half, j.Head(), 100)
		if err != nil || next != 0 || len(list) != 2 || list[0].Root != "$9" || list[1].Root != "$0" || list[1].Subscribed {
			t.Errorf("since %d: %v, %d, %v", half, list, next, err)
		}
		if j.Head() != 7+3+2+1 {
			t.Errorf("there are %d entries", j.Head())
		}
		if err := errors.Join(s.Subscribe(ctx, alice, thread(9), nil), s.Unsubscribe(ctx, alice, thread(0))); err != nil || j.Head() != 13 {
			t.Errorf("what changes nothing has an entry: %d, %v", j.Head(), err)
		}
		if err := s.Forget(ctx, alice); err != nil {
			t.Fatal(err)
		}
		if list, _, err := s.Since(ctx, alice, 0, j.Head(), 100); err != nil || len(list) != 0 {
			t.Errorf("after being forgotten: %v, %v", list, err)
		}
		if err := s.DeleteRoom(ctx, "!r:a.test"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(ctx, "@bob:a.test", thread(1)); !errors.Is(err, mxerr.NotFound) {
			t.Errorf("in a deleted room: %v", err)
		}
	})
}

func TestTokens(t *testing.T) {
	if pos, err := ParseToken(Token(42)); pos != 42 || err != nil {
		t.Errorf("got %d, %v", pos, err)
	}
	for _, token := range []string{"", "x", "ts", "ts-1", "42", "ts9223372036854775808", "ts" + strings.Repeat("1", 100)} {
		if pos, err := ParseToken(token); !errors.Is(err, mxerr.InvalidParam) {
			t.Errorf("%q: got %d, %v", token, pos, err)
		}
	}
}
