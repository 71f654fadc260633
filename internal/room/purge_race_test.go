package room

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
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

// awaitLine waits until a transaction that changes nodes of states waits for another.
// On SQLite transactions stand in line before they begin.
func (n *node) awaitLine(t *testing.T) {
	for waits := !onPostgres(t); !waits; runtime.Gosched() {
		waits = n.count(`
			SELECT count(*) FROM pg_locks w JOIN pg_locks r ON r.pid = w.pid
			WHERE NOT w.granted AND r.relation = 'state_nodes'::regclass AND r.mode = 'RowExclusiveLock'`) > 0
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

// checkPresent demands that all of the present state of a room is in the database.
func (n *node) checkPresent(roomID id.RoomID) {
	n.t.Helper()
	n.forgetAll()
	n.nodes.Clear()
	n.events.Clear()
	now, err := n.Now(ctx, roomID)
	if err != nil {
		n.t.Fatal(err)
	}
	n.wholeState(roomID, now.Root)
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
		n.awaitLine(t)
		close(free)
		both.Wait()
		if again := doomed - h.Nodes - n.count("SELECT count(*) FROM state_nodes WHERE pos < $1", h.left.began); again == 0 {
			t.Error("no node was stored again that was to go")
		}
		n.checkPresent(roomID)
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
		talk.checkPresent(f.roomID)
		left := talk.items(f.roomID)
		for _, it := range left {
			talk.wholeState(f.roomID, it.Before)
			talk.wholeState(f.roomID, it.Current)
		}
		talk.checkAuth(left)
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
