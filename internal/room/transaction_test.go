package room

import (
	"errors"
	"path/filepath"
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

// TestWhatIsSaidAgainIsDurable: who says what the state is about to say is not
// answered before that is committed.
func TestWhatIsSaidAgainIsDurable(t *testing.T) {
	for _, fails := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := start(t, storetest.Open(t, filepath.Join(t.TempDir(), "parley.db")), Options{})
			roomID := n.create(NewRoom{})
			topic := state(alice, "m.room.topic", "", `{"topic":"again"}`)
			var answers [2]error
			var sent [2]Sent
			var both sync.WaitGroup
			say := func(i int) {
				both.Go(func() { sent[i], answers[i] = n.Send(ctx, roomID, topic) })
			}
			first := true
			n.db.FailAt(func(p store.Point) error {
				if p != store.BeforeCommit || !first {
					return nil
				}
				first = false
				say(1)
				synctest.Wait() // until the second one waits too
				if sent[1].EventID != "" {
					t.Error("the second one was answered before the commit")
				}
				if fails {
					return errors.New("failure")
				}
				return nil
			})
			say(0)
			both.Wait()
			n.db.FailAt(nil)
			for i, err := range answers {
				if err != nil && !(fails && i == 0) {
					t.Errorf("answer %d: %v", i, err)
				}
				if err == nil && n.eventByID(roomID, sent[i].EventID) == nil {
					t.Errorf("answer %d is an event that is not there", i)
				}
			}
			if !fails && sent[0] != sent[1] {
				t.Errorf("two answers: %v", sent)
			}
			n.stop()
			n.db.Close()
		})
	}
}
