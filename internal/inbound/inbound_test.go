package inbound

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	"parley/matrix/roomver"
)

// house has rooms for an inbox, which keep what they get.
type house struct {
	t     *testing.T
	db    *store.DB
	rules *roomver.Rules
	// slow is which servers do not answer until then.
	slow map[id.ServerName]chan struct{}
	// shut is which rooms receive nothing at once.
	shut map[id.RoomID]bool
	// broken is which rooms can fetch nothing.
	broken map[id.RoomID]bool
	// unable is which servers do not have what is fetched from them, and away which do
	// not answer.
	unable, away map[id.ServerName]bool

	mu      sync.Mutex // guards what follows
	got     map[id.RoomID][]int64
	asking  map[id.ServerName]int
	mostAsk map[id.ServerName]int
}

func newHouse(t *testing.T) *house {
	rules, ok := roomver.Lookup("10")
	if !ok {
		t.Fatal("there is no room version 10")
	}
	return &house{
		t: t, rules: rules, db: storetest.Open(t, t.TempDir()+"/parley.db"),
		slow: make(map[id.ServerName]chan struct{}), shut: make(map[id.RoomID]bool), broken: make(map[id.RoomID]bool), unable: make(map[id.ServerName]bool), away: make(map[id.ServerName]bool),
		got: make(map[id.RoomID][]int64), asking: make(map[id.ServerName]int), mostAsk: make(map[id.ServerName]int),
	}
}

func (h *house) keep(e *event.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got[e.RoomID()] = append(h.got[e.RoomID()], e.Depth())
}

func (h *house) fetch(ctx context.Context, server id.ServerName, e *event.Event) (Lack, error) {
	h.mu.Lock()
	h.asking[server]++
	h.mostAsk[server] = max(h.mostAsk[server], h.asking[server])
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.asking[server]--
	}()
	if answer := h.slow[server]; answer != nil {
		select {
		case <-answer:
		case <-ctx.Done():
			return Nothing, ctx.Err()
		}
	}
	switch {
	case h.isAway(server):
		return Silent, errors.New("there is no answer")
	case h.broken[e.RoomID()] || h.unable[server]:
		return Missing, mxerr.New(mxerr.Forbidden, "what it refers to is not told")
	}
	h.keep(e)
	return Nothing, nil
}

func (h *house) isAway(server id.ServerName) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.away[server]
}

// comesBack has a server answer again.
func (h *house) comesBack(server id.ServerName) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.away[server] = false
}

// inbox returns an inbox of the house that is not running.
func (h *house) inbox() *Inbox {
	return New(h.db, Rooms{
		Rules: func(context.Context, id.RoomID) (*roomver.Rules, error) { return h.rules, nil },
		Check: func(_ context.Context, rules *roomver.Rules, pdus []canonjson.Value) (list []event.Result, err error) {
			for _, pdu := range pdus {
				e, err := event.Parse(pdu, rules)
				list = append(list, event.Result{Event: e, Err: err})
			}
			return list, nil
		},
		Receive: func(_ context.Context, events []*event.Event) (int, bool, error) {
			if h.shut[events[0].RoomID()] {
				return 0, false, nil
			}
			some := events[:(len(events)+1)/2] // the rest would take too long at once
			for _, e := range some {
				h.keep(e)
			}
			return len(some), true, nil
		},
		Fetch:  h.fetch,
		Stray:  func(context.Context, id.ServerName, canonjson.Value) error { return nil },
		Admits: func(context.Context, id.RoomID, id.ServerName) error { return nil },
	}, nil)
}

// run has an inbox run, until the function is called that it returns.
func run(x *Inbox) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { x.Run(ctx) })
	return func() {
		cancel()
		wg.Wait()
	}
}

// pdu is an event of a room, told from others by its depth.
func pdu(room id.RoomID, depth int) canonjson.Value {
	return canonjson.Value(fmt.Sprintf(`{"auth_events":["$auth"],"content":{"body":"hello"},"depth":%d,"hashes":{"sha256":"aGFzaA"},"origin_server_ts":1,`+
		`"prev_events":["$prev"],"room_id":"%s","sender":"@a:a.test","signatures":{"a.test":{"ed25519:1":"c2ln"}},"type":"m.room.message"}`, depth, room))
}

func (h *house) take(x *Inbox, server id.ServerName, pdus ...canonjson.Value) {
	h.t.Helper()
	verdicts, err := x.Take(h.t.Context(), server, pdus)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, v := range verdicts {
		if v.Err != nil {
			h.t.Errorf("%s is refused: %v", v.ID, v.Err)
		}
	}
	if len(verdicts) != len(pdus) {
		h.t.Errorf("of %d events %d are known", len(pdus), len(verdicts))
	}
}

// has fails unless a room has got events, in order.
func (h *house) has(room id.RoomID, want ...int64) {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Equal(h.got[room], want) {
		h.t.Errorf("%s has %v, want %v", room, h.got[room], want)
	}
}

// play plays a scene in virtual time.
func play(t *testing.T, f func(t *testing.T, h *house)) {
	synctest.Test(t, func(t *testing.T) { f(t, newHouse(t)) })
}

// wait lets the inbox do what is to be done.
func wait() {
	time.Sleep(time.Minute)
	synctest.Wait()
}

func TestWhatIsStagedComesInOrder(t *testing.T) {
	play(t, func(t *testing.T, h *house) {
		x := h.inbox()
		defer run(x)()
		h.slow["a.test"], h.shut["!r:a.test"] = make(chan struct{}), true
		for depth := range 5 {
			h.take(x, "a.test", pdu("!r:a.test", depth))
			h.shut["!r:a.test"] = false // and yet the rest waits behind the first
		}
		wait()
		h.has("!r:a.test")
		close(h.slow["a.test"])
		wait()
		h.has("!r:a.test", 0, 1, 2, 3, 4)
		if len(x.queues) != 0 {
			t.Errorf("%d queues are left of nothing", len(x.queues))
		}
		h.take(x, "a.test", pdu("!r:a.test", 5))
		h.has("!r:a.test", 0, 1, 2, 3, 4, 5) // at once
	})
}

func TestWhatIsStagedOutlastsARestart(t *testing.T) {
	play(t, func(t *testing.T, h *house) {
		x := h.inbox()
		stop := run(x)
		h.slow["a.test"], h.shut["!r:a.test"] = make(chan struct{}), true
		h.take(x, "a.test", pdu("!r:a.test", 1), pdu("!r:a.test", 2))
		h.take(x, "b.test", pdu("!r:a.test", 3))
		stop()
		h.slow["a.test"], h.shut["!r:a.test"] = nil, false
		x = h.inbox()
		defer run(x)()
		h.take(x, "b.test", pdu("!r:a.test", 4))
		wait()
		h.has("!r:a.test", 1, 2, 3, 4)
	})
}

func TestNothingOvertakesWhatIsStagedWhileThatCannotBeRead(t *testing.T) {
	play(t, func(t *testing.T, h *house) {
		x := h.inbox()
		stop := run(x)
		h.slow["a.test"], h.shut["!r:a.test"] = make(chan struct{}), true
		h.take(x, "a.test", pdu("!r:a.test", 1))
		stop()
		h.slow["a.test"], h.shut["!r:a.test"] = nil, false
		rename(t, h.db, "staged_events", "away")
		x = h.inbox()
		defer run(x)()
		if _, err := x.Take(t.Context(), "a.test", []canonjson.Value{pdu("!r:a.test", 2)}); err == nil {
			t.Error("an event is taken in")
		}
		wait()
		h.has("!r:a.test")
		rename(t, h.db, "away", "staged_events")
		wait()
		h.has("!r:a.test", 1)
		h.take(x, "a.test", pdu("!r:a.test", 2))
		h.has("!r:a.test", 1, 2)
	})
}

func rename(t *testing.T, db *store.DB, from, to string) {
	t.Helper()
	if err := db.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec("ALTER TABLE " + from + " RENAME TO " + to)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func TestAServerThatAnswersSlowlyHoldsUpNoOther(t *testing.T) {
	play(t, func(t *testing.T, h *house) {
		x := h.inbox()
		defer run(x)()
		h.slow["slow.test"] = make(chan struct{})
		for i := range 3 * mostRooms {
			room := id.RoomID(fmt.Sprintf("!r%d:slow.test", i))
			h.shut[room] = true
			h.take(x, "slow.test", pdu(room, 1))
		}
		h.shut["!quick:a.test"] = true
		h.take(x, "a.test", pdu("!quick:a.test", 1))
		wait()
		h.has("!quick:a.test", 1)
		if got := h.mostAsk["slow.test"]; got != perOrigin {
			t.Errorf("%d rooms wait for the slow server, want %d", got, perOrigin)
		}
		close(h.slow["slow.test"])
		wait()
		for i := range 3 * mostRooms {
			h.has(id.RoomID(fmt.Sprintf("!r%d:slow.test", i)), 1)
		}
		if len(x.queues)+len(x.busy)+len(x.due) != 0 {
			t.Errorf("left of nothing: %v, %v, %v", x.queues, x.busy, x.due)
		}
	})
}

func TestEventsOfASlowServerAreNotFetchedInTheNameOfAnother(t *testing.T) {
	play(t, func(t *testing.T, h *house) {
		x := h.inbox()
		defer run(x)()
		h.slow["a.test"], h.slow["slow.test"] = make(chan struct{}), make(chan struct{})
		for i := range mostRooms {
			room := id.RoomID(fmt.Sprintf("!r%d:a.test", i))
			h.shut[room] = true
			h.take(x, "a.test", pdu(room, 1))
			h.take(x, "slow.test", pdu(room, 2))
		}
		close(h.slow["a.test"])
		wait()
		if got := h.mostAsk["slow.test"]; got != perOrigin {
			t.Errorf("%d rooms wait for the slow server, want %d", got, perOrigin)
		}
		close(h.slow["slow.test"])
		wait()
		h.has("!r0:a.test", 1, 2)
	})
}

func TestWhatCannotBeFetchedIsGivenUp(t *testing.T) {
	play(t, func(t *testing.T, h *house) {
		x := h.inbox()
		defer run(x)()
		h.shut["!r:a.test"], h.broken["!r:a.test"] = true, true
		h.take(x, "a.test", pdu("!r:a.test", 1))
		time.Sleep((mostTries-1)*retryPause - time.Second)
		synctest.Wait()
		if !x.waiting("!r:a.test", "a.test") {
			t.Error("it is given up before it was tried often enough")
		}
		wait()
		if x.waiting("!r:a.test", "a.test") {
			t.Error("it still waits")
		}
	})
}

func TestARoomIsStagedWhileAnotherOneIsWorkedOn(t *testing.T) {
	play(t, func(t *testing.T, h *house) {
		x := h.inbox()
		defer run(x)()
		wait()
		q := x.queue("!held:a.test")
		q.mu.Lock() // as it is over work in the database
		defer q.mu.Unlock()
		h.take(x, "a.test", pdu("!other:a.test", 1))
		h.has("!other:a.test", 1)
	})
}

func TestNothingIsStagedInAQueueThatIsGone(t *testing.T) {
	play(t, func(t *testing.T, h *house) {
		x := h.inbox()
		q := x.queue("!r:a.test") // as who has waited for its lock
		x.remove(q)
		if taken, err := x.stageIn(t.Context(), "a.test", q, nil); taken || err != nil {
			t.Errorf("it is staged: %t, %v", taken, err)
		}
		if x.queue("!r:a.test") == q {
			t.Error("there is no other queue")
		}
	})
}

func TestAServerHoldsUpOnlyItselfInARoom(t *testing.T) {
	play(t, func(t *testing.T, h *house) {
		x := h.inbox()
		defer run(x)()
		h.slow["slow.test"] = make(chan struct{})
		h.shut["!r:a.test"] = true
		h.take(x, "slow.test", pdu("!r:a.test", 1))
		wait()
		h.shut["!r:a.test"] = false
		h.take(x, "b.test", pdu("!r:a.test", 2))
		h.has("!r:a.test", 2)
		close(h.slow["slow.test"])
		wait()
		h.has("!r:a.test", 2, 1)
	})
}

func TestWhatCannotBeFetchedLetsOthersPass(t *testing.T) {
	play(t, func(t *testing.T, h *house) {
		x := h.inbox()
		h.shut["!r:a.test"] = true
		h.unable["bad.test"] = true
		go func() {
			for i := range 10 {
				h.take(x, "bad.test", pdu("!r:a.test", i))
			}
			h.take(x, "b.test", pdu("!r:a.test", 11))
		}()
		defer run(x)()
		time.Sleep(retryPause + time.Second)
		synctest.Wait()
		h.has("!r:a.test", 11)
	})
}

func TestWhatNobodyAnswersForWaitsUntilItsServerIsBack(t *testing.T) {
	play(t, func(t *testing.T, h *house) {
		x := h.inbox()
		defer run(x)()
		h.shut["!r:a.test"], h.away["a.test"] = true, true
		h.take(x, "a.test", pdu("!r:a.test", 1), pdu("!r:a.test", 2))
		time.Sleep(silence / 2)
		synctest.Wait()
		h.take(x, "b.test", pdu("!r:a.test", 3))
		synctest.Wait()
		h.has("!r:a.test", 3)
		h.comesBack("a.test")
		x.Back("a.test")
		synctest.Wait()
		h.has("!r:a.test", 3, 1, 2)
	})
}

func TestWhatNobodyAnswersForIsTriedAfterPauses(t *testing.T) {
	play(t, func(t *testing.T, h *house) {
		x := h.inbox()
		defer run(x)()
		h.shut["!r:a.test"], h.away["a.test"] = true, true
		h.take(x, "a.test", pdu("!r:a.test", 1))
		time.Sleep(silence / 2)
		h.comesBack("a.test")
		time.Sleep(longestRest)
		synctest.Wait()
		h.has("!r:a.test", 1)
	})
}

func TestWhatNobodyEverAnswersForIsGivenUp(t *testing.T) {
	play(t, func(t *testing.T, h *house) {
		x := h.inbox()
		defer run(x)()
		h.shut["!r:a.test"], h.away["a.test"] = true, true
		h.take(x, "a.test", pdu("!r:a.test", 1))
		time.Sleep(silence - time.Second)
		synctest.Wait()
		if !x.waiting("!r:a.test", "a.test") {
			t.Error("it is given up too soon")
		}
		time.Sleep(longestRest)
		synctest.Wait()
		if len(x.queues) != 0 {
			t.Error("it still waits")
		}
	})
}
