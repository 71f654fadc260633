package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"parley/internal/room"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/mxerr"
)

func someTold(t *rapid.T) *told {
	some := &told{rooms: make(map[room.Num]sent), wants: rapid.SliceOfN(rapid.StringN(0, 20, 40), 1, 4).Draw(t, "wants")}
	if rapid.Bool().Draw(t, "follows profiles") {
		text := rapid.StringN(0, 20, 40).Draw(t, "profiles")
		some.profiles = &text
	}
	reaches := rapid.SampledFrom([]reach{reachAll, reachTo(1), reachTo(1 << 40)})
	for range rapid.IntRange(0, 20).Draw(t, "rooms") {
		some.rooms[room.Num(rapid.Int64Range(1, 1<<40).Draw(t, "room"))] = sent{
			history: reaches.Draw(t, "history"), data: reaches.Draw(t, "data"), receipts: reachNone,
			membership: membership(rapid.IntRange(0, len(memberships)-1).Draw(t, "membership")), direct: rapid.Bool().Draw(t, "direct"), profiles: rapid.Bool().Draw(t, "has profiles"),
			wants: rapid.IntRange(0, len(some.wants)-1).Draw(t, "want"), depth: rapid.SampledFrom([]int{0, 20, wholeDepth}).Draw(t, "depth"),
		}
	}
	return some
}

func same(a, b *told) bool {
	follows := a.profiles == b.profiles || a.profiles != nil && b.profiles != nil && *a.profiles == *b.profiles
	return follows && maps.Equal(a.rooms, b.rooms) && slices.Equal(a.wants, b.wants)
}

func TestWhatWasToldIsReadAsItWasStored(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		some := someTold(t)
		got, err := decodeTold(some.encode())
		if err != nil || !same(got, some) {
			t.Fatalf("got %v, %v, want %v", got, err, some)
		}
		compact := some.compact()
		if compact.profiles != some.profiles {
			t.Fatalf("compacted %v to %v", some, compact)
		}
		for num, s := range some.rooms {
			if c := compact.rooms[num]; compact.wants[c.wants] != some.wants[s.wants] {
				t.Fatalf("compacted %v to %v", s, c)
			}
		}
	})
}

func FuzzDecodeTold(f *testing.F) {
	f.Add((&told{rooms: map[room.Num]sent{3: {history: reachAll}}, wants: []string{"x"}}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := decodeTold(b)
		if err != nil {
			return
		}
		again, err := decodeTold(got.encode())
		if err != nil || !same(again, got) || !bytes.Equal(again.encode(), got.encode()) {
			t.Fatalf("got %v, then %v, %v", got, again, err)
		}
	})
}

// step comes with a version, and is told of a room.
func step(t *testing.T, cs *connections, key connKey, from int64, num room.Num) (int64, error) {
	t.Helper()
	c := cs.get(key)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := cs.come(t.Context(), c, from); err != nil {
		return 0, err
	}
	k, err := c.bear(&told{rooms: map[room.Num]sent{num: {history: reachAll}}, wants: []string{fmt.Sprint("want ", num)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := cs.save(t.Context(), c, k); err != nil {
		return 0, err
	}
	c.born(k)
	return k.version, nil
}

func mustStep(t *testing.T, cs *connections, key connKey, from int64, num room.Num) int64 {
	t.Helper()
	version, err := step(t, cs, key, from, num)
	if err != nil {
		t.Fatalf("from %d: %v", from, err)
	}
	return version
}

// has demands that a version says that these rooms were told.
func has(t *testing.T, cs *connections, key connKey, version int64, count int) {
	t.Helper()
	c := cs.get(key)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := cs.come(t.Context(), c, version); err != nil {
		t.Fatalf("version %d: %v", version, err)
	}
	if got := len(c.told.rooms); got != count {
		t.Errorf("version %d: got %d rooms, want %d", version, got, count)
	}
	for num, s := range c.told.rooms {
		if s.wants >= len(c.told.wants) {
			t.Errorf("room %d wants what is not there: %v", num, c.told)
		}
	}
}

func TestConnectionsOutliveTheProcess(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		key := connKey{"@alice:a.test", "D", "c"}
		cs := newConnections(db)
		at, before := int64(0), int64(0)
		for i := range 3 * mostChain {
			before, at = at, mustStep(t, cs, key, at, room.Num(i+1))
			if i%5 == 0 { // another process, or another node
				cs = newConnections(db)
			}
			if i%7 == 0 { // the answer is lost, and so are others
				lost := mustStep(t, cs, key, at, 1000)
				mustStep(t, cs, key, at, 1001)
				if i%2 == 0 {
					has(t, newConnections(db), key, lost, i+2)
				}
			}
			has(t, newConnections(db), key, at, i+1)
		}
		if _, err := step(t, newConnections(db), key, before, 1); err == nil {
			mustStep(t, newConnections(db), key, at, 2) // what it had come with was kept until it came with the next
		}
		var rows int
		err := db.View(t.Context(), func(tx *store.Tx) error { return tx.Row("SELECT count(*) FROM sliding").Scan(&rows) })
		if err != nil || rows > mostChain+2*mostChildren {
			t.Errorf("%d rows are kept, %v", rows, err)
		}
	})
}

func TestTwoNodesHaveOneConnection(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		key := connKey{"@alice:a.test", "D", ""}
		one, two := newConnections(db), newConnections(db)
		first := mustStep(t, one, key, 0, 1)
		second := mustStep(t, two, key, first, 2)
		third := mustStep(t, one, key, second, 3)
		has(t, two, key, third, 3)
		mustStep(t, two, key, third, 4)
		fifth := mustStep(t, two, key, third, 5)
		mustStep(t, two, key, fifth, 6)
		// The one still has in memory what the client has left behind.
		has(t, one, key, second, 2)
		if _, err := step(t, one, key, first, 7); !isUnknown(err) {
			t.Errorf("what nobody can come with any more: %v", err)
		}
		mustStep(t, one, key, fifth, 8)
		mustStep(t, one, key, 0, 9) // it begins anew
		if _, err := step(t, newConnections(db), key, fifth, 10); !isUnknown(err) {
			t.Errorf("a connection that was begun anew: %v", err)
		}
	})
}

func isUnknown(err error) bool { return errors.Is(err, mxerr.UnknownPos) }

func TestConnectionsOfADeviceAreBounded(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		cs := newConnections(db)
		name := func(i int) connKey { return connKey{"@alice:a.test", "D", fmt.Sprint(i)} }
		last := int64(0)
		for i := range mostConnections + 5 {
			last = mustStep(t, cs, name(i), 0, 1)
		}
		mustStep(t, cs, name(mostConnections+4), last, 2)
		names := 0
		err := db.View(t.Context(), func(tx *store.Tx) error {
			return tx.Row("SELECT count(DISTINCT conn) FROM sliding").Scan(&names)
		})
		if err != nil || names != mostConnections {
			t.Errorf("%d connections are kept, %v", names, err)
		}
	})
}

func TestConnectionsExpireThatNobodyUses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := storetest.Open(t, t.TempDir()+"/parley.db")
		defer db.Close()
		f := &Feed{Parts: Parts{DB: db}, connections: newConnections(db)}
		cs := f.connections
		used, unused := connKey{"@alice:a.test", "D", "used"}, connKey{"@alice:a.test", "D", "unused"}
		atUsed, atUnused := mustStep(t, cs, used, 0, 1), mustStep(t, cs, unused, 0, 1)
		has(t, cs, used, atUsed, 1)
		for range 20 {
			time.Sleep(24 * time.Hour)
			c := cs.get(used)
			if err := cs.touch(context.Background(), c); err != nil {
				t.Fatal(err)
			}
			if err := f.ForgetConnections(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		has(t, newConnections(db), used, atUsed, 1)
		if _, err := step(t, newConnections(db), unused, atUnused, 2); !isUnknown(err) {
			t.Errorf("a connection that nobody used: %v", err)
		}
	})
}
