package room

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// in makes a draft say that it is in a thread.
func (d Draft) in(root id.EventID) Draft {
	d.Content = d.Content.With("m.relates_to", canonjson.Value(fmt.Sprintf(`{"event_id":%q,"rel_type":"m.thread"}`, root)))
	return d
}

// TestAThreadIsCountedWithoutWhatWasWithdrawn: of drafts that belong together one
// is refused, when others were counted already.
func TestAThreadIsCountedWithoutWhatWasWithdrawn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		roomID := n.create(NewRoom{})
		root := n.send(roomID, message(alice, "root")).EventID
		n.send(roomID, message(alice, "one").in(root))
		r, err := n.room(ctx, roomID)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = r.submit(ctx, []Draft{message(alice, "two").in(root), message(bob, "no").in(root)}, transactionKey{})
		if !errors.Is(err, mxerr.Forbidden) {
			t.Fatalf("got %v", err)
		}
		n.send(roomID, message(alice, "three").in(root))
		items := n.items(roomID)
		checkTotals(t, items)
		if got := items[len(items)-1].Own.Unread; got != 2 {
			t.Errorf("%d were counted", got)
		}
	})
}

// TestThreadsOfWhichNothingIsUnreadCostNoQuery: nobody asks the database where the
// totals of the room say that there is nothing, or where it was asked before.
func TestThreadsOfWhichNothingIsUnreadCostNoQuery(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		roomID := n.create(NewRoom{Preset: PublicChat})
		n.send(roomID, join(bob))
		var receipts Reads
		noQuery, cancel := context.WithCancel(ctx)
		cancel()
		count := func(ctx context.Context, want string) {
			t.Helper()
			now, err := n.Now(context.Background(), roomID)
			if err != nil {
				t.Fatal(err)
			}
			u, err := n.Unread(ctx, bob, n.num(roomID), now, receipts, true)
			if got := fmt.Sprint(u.Counts, u.Threads, err); got != want+" <nil>" {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		count(ctx, "{0 0} map[]")
		root := n.send(roomID, message(alice, "root")).EventID
		count(noQuery, "{1 0} map[]")
		n.send(roomID, message(alice, "one").in(root))
		count(ctx, fmt.Sprintf("{1 0} map[%s:{1 0}]", root))
		items := n.items(roomID)
		last := items[len(items)-1]
		receipts.Threads = map[id.EventID]Mark{root: {Place: last.Place, Total: last.Own}}
		count(ctx, "{1 0} map[]")
		count(noQuery, "{1 0} map[]")
		n.send(roomID, message(alice, "in the main timeline"))
		count(noQuery, "{2 0} map[]")
		n.send(roomID, message(alice, "two").in(root))
		receipts.All = Mark{Place: last.Place + 2, Total: last.Total.plus(Total{2, 0}), Threaded: last.Threaded.plus(Total{1, 0})}
		count(noQuery, "{0 0} map[]")
	})
}
