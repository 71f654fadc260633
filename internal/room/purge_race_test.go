package room

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/event"
	"parley/matrix/id"
)

// holdCommit keeps the next transaction that writes from its commit: written is closed
// when all else is done, and it goes on when free is closed.
func (n *node) holdCommit() (written <-chan struct{}, free chan<- struct{}) {
	arrived, door := make(chan struct{}), make(chan struct{})
	var held atomic.Bool
	n.db.FailAt(func(p store.Point) error {
		if p == store.BeforeCommit && held.CompareAndSwap(false, true) {
			close(arrived)
			<-door
		}
		return nil
	})
	return arrived, door
}

// awaitLine waits until a transaction that changes a table waits for another. On SQLite
// transactions stand in line before they begin.
func (n *node) awaitLine(t *testing.T, table string) {
	for waits := !onPostgres(t); !waits; runtime.Gosched() {
		waits = n.count(`
			SELECT count(*) FROM pg_locks w JOIN pg_locks r ON r.pid = w.pid
			WHERE NOT w.granted AND r.relation = $1::regclass AND r.mode = 'RowExclusiveLock'`, table) > 0
	}
}

// begun schedules a purge of all but the last event of a room, and begins it.
func (n *node) begun(roomID id.RoomID) *historyPurge {
	n.t.Helper()
	name, err := n.PurgeHistory(ctx, roomID, Last, false)
	if err != nil {
		n.t.Fatal(err)
	}
	p, err := n.PurgeByID(ctx, name, PurgeHistory)
	if err != nil {
		n.t.Fatal(err)
	}
	h, more, err := n.beginPurge(ctx, &p)
	if err != nil || !more {
		n.t.Fatalf("got %t, %v", more, err)
	}
	return h
}

// checkWhole demands that all that the room refers to is in the database.
func (t *talk) checkWhole() {
	t.t.Helper()
	t.forgetAll()
	t.nodes.Clear()
	t.events.Clear()
	now, err := t.Now(ctx, t.roomID)
	if err != nil {
		t.t.Fatal(err)
	}
	t.wholeState(t.roomID, now.Root)
	left := t.items(t.roomID)
	for _, it := range left {
		t.wholeState(t.roomID, it.Before)
		t.wholeState(t.roomID, it.Current)
	}
	t.checkAuth(left)
}

// TestWhatIsStoredAgainIsNotSwept has an append store a node again that nobody needs,
// after the sweep has read that it may go and before it is deleted.
func TestWhatIsStoredAgainIsNotSwept(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, soon)
		roomID := n.create(NewRoom{Preset: PublicChat})
		set := func(key int) { n.send(roomID, state(alice, "org.test", fmt.Sprint(key), `{}`)) }
		const full = 14 // then they share a node with the create event and another, and one more makes several of it
		for key := range full {
			set(key)
		}
		h := n.begun(roomID)
		doomed := n.count("SELECT count(*) FROM state_nodes WHERE pos < $1", h.left.began)
		written, free := n.holdCommit()
		var both sync.WaitGroup
		both.Go(func() { set(full) }) // in one node the create event is alone, as when the room began
		<-written
		both.Go(func() {
			if err := h.remove(ctx); err != nil {
				t.Error(err)
			}
		})
		n.awaitLine(t, "state_nodes")
		close(free)
		both.Wait()
		if again := doomed - h.Nodes - n.count("SELECT count(*) FROM state_nodes WHERE pos < $1", h.left.began); again == 0 {
			t.Error("no node was stored again that was to go")
		}
		(&talk{node: n, roomID: roomID}).checkWhole()
	})
}

// TestAnEventThatGetsItsPlaceIsNotDeleted has an event come that was known without its
// place, after the purge has read that it may go and before it is deleted.
func TestAnEventThatGetsItsPlaceIsNotDeleted(t *testing.T) {
	storetest.EachKind(t, func(t *testing.T, fresh func() string) {
		f := federate(t, rulesOf(t, "12"), fresh, 2, soon)
		a, b := f.nodes[0], f.nodes[1]
		first := b.sent(f.roomID, message(admin(1), "first"))
		e := b.sent(f.roomID, message(admin(1), "second"))
		r, err := a.room(ctx, f.roomID)
		if err != nil {
			t.Fatal(err)
		}
		stays := f.build(a, message(admin(0), "it is local"), first)
		if _, _, err := a.storeJudged(ctx, r, map[id.EventID]*event.Event{e.ID(): e, stays.ID(): stays}); err != nil {
			t.Fatal(err)
		}
		other := start(t, a.db, Options{Server: "a.test", Grace: -1}) // has later numbers
		other.receive(first, Accepted)
		h := other.begun(f.roomID)
		h.KeepLocal = true
		if err := h.mark(ctx); err != nil {
			t.Fatal(err)
		}
		var both sync.WaitGroup
		written, free := other.holdCommit()
		both.Go(func() {
			err := a.db.Update(ctx, func(tx *store.Tx) error {
				_, err := tx.Exec("UPDATE events SET relays = relays WHERE event_id = $1", stays.ID())
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
		<-written
		if !onPostgres(t) {
			close(free)
			other.receive(e, Accepted)
		}
		both.Go(func() {
			for _, step := range []func(context.Context) error{h.deleteAside, h.deleteShown, h.sweep, h.end} {
				if err := step(ctx); err != nil {
					t.Error(err)
				}
			}
		})
		if onPostgres(t) {
			other.awaitLine(t, "events")
			other.receive(e, Accepted)
			close(free)
		}
		both.Wait()
		if !other.shows(f.roomID, e) {
			t.Error("it is gone")
		}
		(&talk{node: other, roomID: f.roomID}).checkWhole()
	})
}

// TestAPurgeThatTwoNodesDoEndsWithTheLast has a purge that is under way begun once more,
// as a node does that starts meanwhile.
func TestAPurgeThatTwoNodesDoEndsWithTheLast(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, soon)
		roomID := n.create(NewRoom{Preset: PublicChat})
		first := n.begun(roomID)
		second, _, err := start(t, db, soon).beginPurge(ctx, first.Purge)
		if err != nil {
			t.Fatal(err)
		}
		for i, h := range []*historyPurge{first, second} {
			if err := h.remove(ctx); err != nil {
				t.Fatal(err)
			}
			if busy := n.count("SELECT count(*) FROM room_remains WHERE busy"); busy != int64(1-i) {
				t.Errorf("after the end of %d of 2 there are %d rooms of which rows are being deleted", i+1, busy)
			}
		}
		(&talk{node: n, roomID: roomID}).checkWhole()
	})
}

// TestPurgesBesideAppends has people talk and set state, on branches that part and come
// together, so that states are made again which nobody needed any more, while the
// history is purged again and again.
func TestPurgesBesideAppends(t *testing.T) {
	storetest.EachKind(t, func(t *testing.T, fresh func() string) {
		f := federate(t, rulesOf(t, "12"), fresh, 2, soon)
		talk := &talk{node: f.nodes[0], roomID: f.roomID}
		talk.send(f.roomID, message(admin(0), "hello"))
		var talking sync.WaitGroup
		for speaker := range 2 {
			talking.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(speaker), 1))
				for range 100 {
					if _, err := talk.Send(ctx, f.roomID, somethingOf(rng, admin(0))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		auth := f.authOf(talk.node, message(admin(1), ""))
		talking.Go(func() {
			rng := rand.New(rand.NewPCG(2, 1))
			for range 100 {
				late, err := talk.Back(ctx, f.roomID, Last, 3)
				if err != nil {
					t.Error(err)
					return
				}
				e := f.buildBy(somethingOf(rng, admin(1)), auth, late[rng.IntN(len(late))].Event)
				_, err = talk.tryReceive(e)
				if gone := errors.Is(err, ErrMissing) || errors.Is(err, store.ErrNoRows); err != nil && !gone { // without grace it may go meanwhile
					t.Errorf("receiving %s: %v", e.JSON(), err)
				}
			}
		})
		for range 12 {
			now, err := talk.Now(ctx, f.roomID)
			if err != nil {
				t.Fatal(err)
			}
			if p := talk.purge(talk.PurgeHistory(ctx, f.roomID, now.Place-3, false)); p.Status != PurgeComplete {
				t.Fatalf("got %+v", p)
			}
		}
		talking.Wait()
		talk.checkWhole()
		for range 5 { // the branches come together, and what was made of them is to go
			talk.send(f.roomID, message(admin(0), "hello"))
		}
		talk.purge(talk.PurgeHistory(ctx, f.roomID, Last, false))
		talk.checkNodes(talk.items(f.roomID))
	})
}

// somethingOf is what a user says, or state that is set to and fro.
func somethingOf(rng *rand.Rand, user id.UserID) Draft {
	if rng.IntN(2) == 0 {
		return message(user, "hello")
	}
	return state(user, "org.test", string(rune('a'+rng.IntN(30))), fmt.Sprintf(`{"x":%d}`, rng.IntN(2)))
}
