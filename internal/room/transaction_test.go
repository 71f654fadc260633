package room

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
)

func TestARepeatedRequestIsSentOnce(t *testing.T) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		n := start(t, storetest.Open(t, location), Options{})
		roomID, other := n.create(NewRoom{Preset: PublicChat}), n.create(NewRoom{Preset: PublicChat})
		request := message(alice, "hi")
		request.Transaction = Transaction{Device: "PHONE", ID: "1"}
		first := n.send(roomID, request)
		if again := n.send(roomID, request); again.EventID != first.EventID {
			t.Errorf("repeated as %s", again.EventID)
		}
		laptop := request
		laptop.Transaction.Device = "LAPTOP"
		next := request
		next.Transaction.ID = "2"
		for name, sent := range map[string]Sent{
			"another device": n.send(roomID, laptop), "another transaction": n.send(roomID, next),
			"another room": n.send(other, request), "no transaction": n.send(roomID, message(alice, "hi")),
		} {
			if sent.EventID == first.EventID {
				t.Errorf("%s was taken for a repetition", name)
			}
		}
		n.stop()
		n.db.Close()
		n = start(t, storetest.Open(t, location), Options{})
		if again := n.send(roomID, request); again.EventID != first.EventID {
			t.Errorf("repeated after a restart as %s", again.EventID)
		}
		if got := len(n.check(roomID)); got != 6+4 {
			t.Errorf("%d events", got)
		}
	})
}

// TestRequestsAtTheSameTime: whoever comes first, all get the same event, and
// the room goes on.
func TestRequestsAtTheSameTime(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		roomID := n.create(NewRoom{Preset: PublicChat})
		request := message(alice, "hi")
		request.Transaction = Transaction{Device: "PHONE", ID: "1"}
		var mu sync.Mutex
		seen := make(map[id.EventID]bool)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				sent, err := n.Send(ctx, roomID, request)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				seen[sent.EventID] = true
			})
			wg.Go(func() {
				if _, err := n.Send(ctx, roomID, message(alice, "meanwhile")); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(seen) != 1 {
			t.Errorf("the requests became %v", seen)
		}
		if got := len(n.check(roomID)); got != 6+8+1 {
			t.Errorf("%d events", got)
		}
	})
}

func TestOldTransactionsAreForgotten(t *testing.T) {
	location := t.TempDir() + "/parley.db"
	synctest.Test(t, func(t *testing.T) {
		n := start(t, storetest.Open(t, location), Options{})
		roomID := n.create(NewRoom{Preset: PublicChat})
		request := message(alice, "hi")
		request.Transaction = Transaction{Device: "PHONE", ID: "1"}
		first := n.send(roomID, request)
		forget := func() id.EventID {
			if err := n.ForgetTransactions(ctx); err != nil {
				t.Fatal(err)
			}
			return n.send(roomID, request).EventID
		}
		if time.Sleep(transactionAge / 2); forget() != first.EventID {
			t.Error("forgotten too early")
		}
		if time.Sleep(transactionAge); forget() == first.EventID {
			t.Error("not forgotten")
		}
		n.stop()
	})
}
