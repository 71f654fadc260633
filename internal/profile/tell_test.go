package profile

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

var errBroken = errors.New("broken")

// rooms is a room engine that has only the members of rooms. They survive what
// the profiles go through.
type rooms struct {
	t *testing.T
	// before is called for each update, without the lock, and may refuse it.
	before func(room id.RoomID, user id.UserID) error

	mu      sync.Mutex
	members map[id.UserID]map[id.RoomID]canonjson.Value
	events  int // how many member events were sent
	now     map[id.UserID]map[id.RoomID]bool
	most    int // how many updates there were at once, of one user
}

func newRooms(t *testing.T, count int, users ...id.UserID) *rooms {
	r := &rooms{t: t, members: make(map[id.UserID]map[id.RoomID]canonjson.Value), now: make(map[id.UserID]map[id.RoomID]bool)}
	for _, user := range users {
		r.members[user], r.now[user] = make(map[id.RoomID]canonjson.Value), make(map[id.RoomID]bool)
		for i := range count {
			r.members[user][id.RoomID(fmt.Sprintf("!%d", i))] = canonjson.Value(`{"membership":"join"}`)
		}
	}
	return r
}

func (r *rooms) Joined(_ context.Context, user id.UserID) (joined []id.RoomID, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for room := range r.members[user] {
		joined = append(joined, room)
	}
	return joined, nil
}

func (r *rooms) Update(ctx context.Context, room id.RoomID, user id.UserID, set func(canonjson.Value) canonjson.Value) error {
	r.begin(room, user)
	defer r.end(room, user)
	if r.before != nil {
		if err := r.before(room, user); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	old := r.members[user][room]
	if content := set(old); string(content) != string(old) {
		r.members[user][room] = content
		r.events++
	}
	return nil
}

func (r *rooms) begin(room id.RoomID, user id.UserID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now[user][room] {
		r.t.Errorf("%s is told of %s twice at once", room, user)
	}
	r.now[user][room] = true
	r.most = max(r.most, len(r.now[user]))
}

func (r *rooms) end(room id.RoomID, user id.UserID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.now[user], room)
}

// differ returns a room that does not have the profile of a user.
func (r *rooms) differ(user id.UserID, fields canonjson.Value) (room id.RoomID, found bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	want := Member(canonjson.Value(`{"membership":"join"}`), fields)
	for room, content := range r.members[user] {
		if string(content) != string(want) {
			return room, true
		}
	}
	return "", false
}

// play runs f on each database in a bubble, in which time passes when there is
// nothing else to do.
func play(t *testing.T, f func(t *testing.T, db *store.DB)) {
	playAt(t, func(t *testing.T, location string) { f(t, storetest.Open(t, location)) })
}

// playAt is play for tests that open and close the database themselves.
func playAt(t *testing.T, f func(t *testing.T, location string)) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		synctest.Test(t, func(t *testing.T) { f(t, location) })
	})
}

// run runs a keeper until the function it returns is called.
func run(t *testing.T, db *store.DB, r *rooms) (k *Keeper, stop func()) {
	k, end := keepUntil(t, db, Rooms{Joined: r.Joined, Update: r.Update})
	running, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { k.Run(running) })
	stop = func() {
		cancel()
		wg.Wait()
		end()
	}
	t.Cleanup(stop)
	return k, stop
}

// settle waits until there is nothing left to tell, and checks that all rooms have
// what the profiles say.
func settle(t *testing.T, k *Keeper, r *rooms, users ...id.UserID) {
	t.Helper()
	const looks = 20_000
	for look := 0; ; look++ {
		left, err := k.noted(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			break
		}
		if look == looks {
			t.Fatalf("%v were never told", left)
		}
		time.Sleep(time.Second)
	}
	for _, user := range users {
		fields, err := k.Get(ctx, user)
		if err != nil {
			t.Fatal(err)
		}
		if room, differs := r.differ(user, fields); differs {
			t.Errorf("%s has %s of %s, whose profile is %s", room, r.members[user][room], user, fields)
		}
	}
}

func set(t *testing.T, k *Keeper, user id.UserID, name string) {
	t.Helper()
	if err := k.Set(ctx, user, Displayname, text(name)); err != nil {
		t.Fatal(err)
	}
}

func TestAllRoomsAreTold(t *testing.T) {
	play(t, func(t *testing.T, db *store.DB) {
		r := newRooms(t, 20, alice, bob)
		k, _ := run(t, db, r)
		set(t, k, alice, "Alice")
		set(t, k, bob, "Bob")
		settle(t, k, r, alice, bob)
		if r.events != 40 || r.most > roomsAtOnce {
			t.Errorf("%d events, %d at once", r.events, r.most)
		}
		set(t, k, alice, "Alice") // no change
		if err := k.Set(ctx, alice, "m.tz", text("UTC")); err != nil {
			t.Fatal(err)
		}
		if err := k.Retell(ctx, alice); err != nil {
			t.Fatal(err)
		}
		settle(t, k, r, alice, bob)
		if r.events != 40 {
			t.Errorf("%d events after nothing has changed for the rooms", r.events)
		}
	})
}

// TestARoomThatWasJoinedTooLate: who joined with the profile of before is told
// again on demand.
func TestARoomThatWasJoinedTooLate(t *testing.T) {
	play(t, func(t *testing.T, db *store.DB) {
		r := newRooms(t, 1, alice)
		k, _ := run(t, db, r)
		set(t, k, alice, "Alice")
		settle(t, k, r, alice)
		r.mu.Lock()
		r.members[alice]["!late"] = canonjson.Value(`{"displayname":"before","membership":"join"}`)
		r.mu.Unlock()
		if err := k.Retell(ctx, alice); err != nil {
			t.Fatal(err)
		}
		settle(t, k, r, alice)
	})
}

// TestQuickChangesAreToldAsOne: while the first change is being told others come.
func TestQuickChangesAreToldAsOne(t *testing.T) {
	play(t, func(t *testing.T, db *store.DB) {
		r := newRooms(t, 50, alice)
		changing := make(chan struct{})
		r.before = func(id.RoomID, id.UserID) error {
			<-changing
			return nil
		}
		k, _ := run(t, db, r)
		for i := range 20 {
			set(t, k, alice, fmt.Sprint("Alice ", i))
		}
		close(changing)
		settle(t, k, r, alice)
		// Those that were about to be told when the changes came are told twice.
		if r.events > 50+roomsAtOnce {
			t.Errorf("20 changes made %d events in 50 rooms", r.events)
		}
	})
}

func TestARoomThatRefusesIsNotAskedAgain(t *testing.T) {
	play(t, func(t *testing.T, db *store.DB) {
		r := newRooms(t, 5, alice)
		var mu sync.Mutex
		asked := 0
		r.before = func(room id.RoomID, _ id.UserID) error {
			if room != "!3" {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			asked++
			return mxerr.New(mxerr.Forbidden, "banned meanwhile")
		}
		k, _ := run(t, db, r)
		set(t, k, alice, "Alice")
		settle(t, k, r)
		r.mu.Lock()
		delete(r.members[alice], "!3")
		r.mu.Unlock()
		settle(t, k, r, alice)
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
	})
}

// TestKilledInTheMiddle stops everything again and again while rooms are being
// told, at the latest when one more room was, and starts anew: in the end each
// room has the last profile.
func TestKilledInTheMiddle(t *testing.T) {
	playAt(t, func(t *testing.T, location string) {
		r := newRooms(t, 30, alice, bob)
		random := rand.New(rand.NewPCG(1, 1))
		for round := range 15 {
			db := storetest.Open(t, location)
			most, reached := random.IntN(20), make(chan struct{})
			left := most
			var mu sync.Mutex
			r.before = func(id.RoomID, id.UserID) error {
				mu.Lock()
				defer mu.Unlock()
				if left--; left == 0 {
					close(reached)
				}
				if left <= 0 {
					return errBroken
				}
				return nil
			}
			k, stop := run(t, db, r)
			if most > 0 {
				set(t, k, alice, fmt.Sprint("Alice ", round))
				set(t, k, bob, fmt.Sprint("Bob ", round))
				<-reached
			}
			stop()
			db.Close()
		}
		r.before = nil
		k, _ := run(t, storetest.Open(t, location), r)
		settle(t, k, r, alice, bob)
		if fields, _ := k.Get(ctx, alice); string(fields) == "{}" {
			t.Error("nothing was set")
		}
	})
}

// TestFaultsOnTheWay lets transactions fail at each of their points, and rooms
// now and then: what Set acknowledged is told in the end.
func TestFaultsOnTheWay(t *testing.T) {
	for seed := range uint64(4) {
		location := filepath.Join(t.TempDir(), "parley.db")
		synctest.Test(t, func(t *testing.T) {
			db := storetest.Open(t, location)
			var mu sync.Mutex
			random, failing := rand.New(rand.NewPCG(seed, 1)), false
			fails := func(oneIn int) bool {
				mu.Lock()
				defer mu.Unlock()
				return failing && random.IntN(oneIn) == 0
			}
			db.FailAt(func(store.Point) error {
				if fails(6) {
					return errBroken
				}
				return nil
			})
			r := newRooms(t, 10, alice)
			r.before = func(id.RoomID, id.UserID) error {
				if fails(10) {
					return errBroken
				}
				return nil
			}
			k, stop := run(t, db, r)
			mu.Lock()
			failing = true
			mu.Unlock()
			for i := range 40 {
				err := k.Set(ctx, alice, Displayname, text(fmt.Sprint("Alice ", i)))
				if err != nil && !errors.Is(err, errBroken) {
					t.Error(err)
				}
				if err == nil {
					if fields, err := k.Get(ctx, alice); err != nil || !fields.Get(Displayname).Is(fmt.Sprint("Alice ", i)) {
						t.Errorf("set %d and got %s, %v", i, fields, err)
					}
				}
				time.Sleep(time.Duration(i%3) * time.Second)
			}
			began := time.Now()
			settle(t, k, r, alice)
			if waited := time.Since(began); waited > time.Hour {
				t.Errorf("telling took another %v", waited)
			}
			stop()
			db.Close()
		})
	}
}

func TestARoomWithAFaultIsTriedLessAndLess(t *testing.T) {
	location := filepath.Join(t.TempDir(), "parley.db")
	synctest.Test(t, func(t *testing.T) {
		db := storetest.Open(t, location)
		r := newRooms(t, 1, alice)
		var asked atomic.Int64
		var healed atomic.Bool
		r.before = func(id.RoomID, id.UserID) error {
			asked.Add(1)
			if healed.Load() {
				return nil
			}
			return errBroken
		}
		k, stop := run(t, db, r)
		set(t, k, alice, "Alice")
		for _, step := range []struct {
			until time.Duration
			want  int64
		}{{500 * time.Millisecond, 1}, {time.Second, 2}, {2 * time.Second, 3}, {4 * time.Second, 4}, {24 * time.Hour, 0}} {
			time.Sleep(step.until)
			synctest.Wait()
			if got := asked.Load(); step.want != 0 && got != step.want {
				t.Errorf("%v later asked %d times, want %d", step.until, got, step.want)
			}
		}
		before := asked.Load()
		if before < 24*12 || before > 24*12+10 {
			t.Errorf("asked %d times in a day", before)
		}
		set(t, k, alice, "Alicia")
		synctest.Wait()
		if asked.Load() != before+1 {
			t.Error("a new change has to wait because of a fault of before")
		}
		healed.Store(true)
		settle(t, k, r, alice)
		stop()
		db.Close()
	})
}
