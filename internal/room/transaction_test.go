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
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
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

// TestWhoHasNoDeviceRepeatsRequests: an application service may act for users that
// have none.
func TestWhoHasNoDeviceRepeatsRequests(t *testing.T) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		n := start(t, storetest.Open(t, location), Options{})
		roomID := n.create(NewRoom{Preset: PublicChat})
		request := message(alice, "hi")
		request.Transaction = Transaction{ID: "1"}
		first := n.send(roomID, request)
		if again := n.send(roomID, request); again.EventID != first.EventID {
			t.Errorf("repeated as %s", again.EventID)
		}
		n.stop()
		n.db.Close()
		n = start(t, storetest.Open(t, location), Options{})
		if again := n.send(roomID, request); again.EventID != first.EventID {
			t.Errorf("repeated after a restart as %s", again.EventID)
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

// duringCommit starts an engine, sends an event, and does something from the
// moment before that is committed on, until all have to wait; then the commit
// goes on, or fails.
func duringCommit(t *testing.T, fails bool, with func(n *node, roomID id.RoomID) (send, do func())) *node {
	n := start(t, storetest.Open(t, filepath.Join(t.TempDir(), "parley.db")), Options{})
	send, do := with(n, n.create(NewRoom{Preset: PublicChat}))
	var both sync.WaitGroup
	first := true
	n.db.FailAt(func(p store.Point) error {
		if p != store.BeforeCommit || !first {
			return nil
		}
		first = false
		both.Go(do)
		synctest.Wait()
		if fails {
			return errors.New("failure")
		}
		return nil
	})
	both.Go(send)
	both.Wait()
	n.db.FailAt(nil)
	return n
}

// TestWhatIsSaidAgainIsDurable: who says what the state is about to say is not
// answered before that is committed.
func TestWhatIsSaidAgainIsDurable(t *testing.T) {
	for _, fails := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var answers [2]error
			var sent [2]Sent
			var room id.RoomID
			n := duringCommit(t, fails, func(n *node, roomID id.RoomID) (send, do func()) {
				room = roomID
				say := func(i int) func() {
					return func() {
						sent[i], answers[i] = n.Send(ctx, roomID, state(alice, "m.room.topic", "", `{"topic":"again"}`))
					}
				}
				return say(0), say(1)
			})
			if answers[1] != nil || (answers[0] != nil) != fails {
				t.Errorf("fails: %v, the answers are %v", fails, answers)
			}
			for i, err := range answers {
				if err == nil && n.eventByID(room, sent[i].EventID) == nil {
					t.Errorf("fails: %v, answer %d is an event that is not there", fails, i)
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

// TestAMemberIsUpdatedAfterWhatIsUnderWay: an update that meets another change of
// the member waits for its commit, instead of looking until it gives up.
func TestAMemberIsUpdatedAfterWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := duringCommit(t, false, func(n *node, roomID id.RoomID) (send, do func()) {
			n.send(roomID, join(bob))
			return func() { n.send(roomID, state(bob, event.TypeMember, string(bob), `{"membership":"leave"}`)) },
				func() {
					name := func(v canonjson.Value) canonjson.Value { return v.With("displayname", canonjson.Text("Bob")) }
					if err := n.UpdateMember(ctx, roomID, bob, name); err != nil {
						t.Error(err)
					}
				}
		})
		for _, membership := range n.memberships(bob) {
			if membership != event.MembershipLeave {
				t.Errorf("got %s", membership)
			}
		}
		n.stop()
		n.db.Close()
	})
}

func TestWhoMayNotSaySomethingAnyMoreMayNotRepeatIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		roomID := n.create(NewRoom{Preset: PublicChat, Levels: canonjson.Value(`{"state_default":0}`)})
		n.send(roomID, join(bob))
		topic := state(bob, "m.room.topic", "", `{"topic":"beer"}`)
		first := n.send(roomID, topic)
		if again := n.send(roomID, topic); again.EventID != first.EventID {
			t.Errorf("repeated, %s became %s", first.EventID, again.EventID)
		}
		n.send(roomID, state(bob, event.TypeMember, string(bob), `{"membership":"leave"}`))
		if _, err := n.Send(ctx, roomID, topic); !errors.Is(err, mxerr.Forbidden) {
			t.Errorf("who has left repeats it: %v", err)
		}
	})
}
