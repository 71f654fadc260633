package receipt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

var ctx = context.Background()

const (
	alice id.UserID = "@alice:a.test"
	bob   id.UserID = "@bob:a.test"
)

// locate finds the event "$7" of the room "!1" at place 7 of room 1, and "$+7" there
// in the thread "$root".
func locate(_ context.Context, room id.RoomID, event id.EventID) (At, error) {
	num, err := strconv.ParseInt(string(room[1:]), 10, 64)
	if err != nil {
		return At{}, mxerr.New(mxerr.NotFound, "no such room")
	}
	place, err := strconv.ParseInt(string(event[1:]), 10, 64)
	if err != nil {
		return At{}, mxerr.New(mxerr.NotFound, "no such event")
	}
	at := At{Room: num, Scope: scope(num), Mark: markAt(place), Thread: ThreadMain}
	if event[1] == '+' {
		at.Thread, at.InThread = "$root", Mark{Place: place, Unread: place / 3, Loud: place / 4}
	}
	return at, nil
}

func markAt(place int64) Mark { return Mark{place, 2 * place, place / 2, place / 3, place / 4} }

func scope(room int64) journal.Scope { return journal.NewScope(journal.ScopeRoom, room) }

func at(place int64) id.EventID { return id.EventID("$" + strconv.FormatInt(place, 10)) }

// node is a book with its journal, running.
type node struct {
	*Book
	t    testing.TB
	stop func()
}

func start(t testing.TB, db *store.DB) *node {
	t.Helper()
	j, err := journal.Open(ctx, db, func() string { return "epoch" }, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := New(db, j, locate)
	running, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { j.Run(running) })
	stop := func() {
		cancel()
		wg.Wait()
	}
	t.Cleanup(stop)
	return &node{b, t, stop}
}

func (n *node) put(room id.RoomID, r Receipt) {
	n.t.Helper()
	if err := n.Put(ctx, room, r); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) all(viewer id.UserID, rooms ...int64) map[int64][]Receipt {
	n.t.Helper()
	found, err := n.All(ctx, rooms, viewer, n.journal.Head())
	if err != nil {
		n.t.Fatal(err)
	}
	return found
}

func (n *node) marked(user id.UserID, rooms ...int64) map[int64]Marks {
	n.t.Helper()
	found, err := n.Marks(ctx, user, rooms)
	if err != nil {
		n.t.Fatal(err)
	}
	return found
}

func read(user id.UserID, place int64) Receipt {
	return Receipt{User: user, Type: TypeRead, EventID: at(place), TS: place}
}

func private(user id.UserID, place int64) Receipt {
	return Receipt{User: user, Type: TypePrivate, EventID: at(place), TS: place}
}

func (r Receipt) in(thread string) Receipt {
	r.Thread = thread
	return r
}

// threaded is in for the thread that an event of a place can be in.
func (r Receipt) threaded(thread string) Receipt {
	if thread == "$root" {
		r.EventID = "$+" + r.EventID[1:]
	}
	return r.in(thread)
}

func TestAReceiptNeverMovesBackwards(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db)
		for _, step := range []struct {
			name    string
			receipt Receipt
			news    bool
			stands  id.EventID
		}{
			{"the first", read(alice, 5), true, "$5"},
			{"repeated", read(alice, 5), false, "$5"},
			{"an earlier event", read(alice, 3), false, "$5"},
			{"a later event", read(alice, 8), true, "$8"},
			{"before the beginning of what was known", read(alice, -2), false, "$8"},
		} {
			before := n.journal.Head()
			n.put("!1", step.receipt)
			if news := n.journal.Head() > before; news != step.news {
				t.Errorf("%s: news: %v", step.name, news)
			}
			if got := n.all(bob, 1)[1]; len(got) != 1 || got[0].EventID != step.stands {
				t.Errorf("%s: got %v, want one at %s", step.name, got, step.stands)
			}
		}
	})
}

func TestReceiptsArePutTogether(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		commits := 0
		db.FailAt(func(p store.Point) error {
			if p == store.BeforeCommit {
				commits++
			}
			return nil
		})
		n := start(t, db)
		n.put("!1", read("@u7:a.test", 200))
		before := commits
		list := []Receipt{read(alice, 3), {User: alice, Type: TypeRead, EventID: "$unknown"}, read(alice, 2), {User: bob, Type: "m.odd", EventID: at(1)}}
		for i := range 60 {
			list = append(list, read(id.UserID(fmt.Sprintf("@u%d:a.test", i)), int64(i)+1))
		}
		if err := n.PutAll(ctx, "!1", list); err != nil {
			t.Fatal(err)
		}
		if commits -= before; commits != 1 {
			t.Errorf("%d commits, want 1", commits)
		}
		got := make(map[id.UserID]id.EventID)
		for _, r := range n.all(alice, 1)[1] {
			got[r.User] = r.EventID
		}
		if len(got) != 61 || got[alice] != at(3) || got["@u7:a.test"] != at(200) || got["@u59:a.test"] != at(60) {
			t.Errorf("got %v", got)
		}
	})
}

func TestWhatIsRefused(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db)
		for _, tt := range []struct {
			name    string
			room    id.RoomID
			receipt Receipt
			want    mxerr.Code
		}{
			{"an unknown event", "!1", Receipt{User: alice, Type: TypeRead, EventID: "$x"}, mxerr.NotFound},
			{"an unknown room", "!x", read(alice, 1), mxerr.NotFound},
			{"an unknown type", "!1", Receipt{User: alice, Type: "m.fully_read", EventID: "$1"}, mxerr.InvalidParam},
			{"a thread that is no event", "!1", read(alice, 1).in("side"), mxerr.InvalidParam},
			{"a thread that the event is not in", "!1", read(alice, 1).in("$other"), mxerr.InvalidParam},
			{"another thread than the event is in", "!1", read(alice, 1).threaded("$root").in("$other"), mxerr.InvalidParam},
			{"the main thread for an event of another", "!1", read(alice, 1).threaded("$root").in(ThreadMain), mxerr.InvalidParam},
			{"a thread with a NUL", "!1", read(alice, 1).in("$a\x00"), mxerr.InvalidParam},
		} {
			if err := n.Put(ctx, tt.room, tt.receipt); !errors.Is(err, tt.want) {
				t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
			}
		}
		if n.journal.Head() != 0 {
			t.Error("something was written")
		}
	})
}

// TestReceiptsAtTheSameTime: whoever comes last, the furthest stays, and each
// that a reader saw on the way was further than the one before.
func TestReceiptsAtTheSameTime(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db)
		threads := []string{"", ThreadMain, "$root"}
		var senders, readers sync.WaitGroup
		done := make(chan struct{})
		readers.Go(func() { n.watch(done) })
		for s := range uint64(8) {
			random := rand.New(rand.NewPCG(s, 1))
			senders.Go(func() {
				for range 40 {
					place := random.Int64N(1000)
					if err := n.Put(ctx, "!1", read(alice, place).threaded(threads[random.IntN(3)])); err != nil {
						t.Error(err)
					}
					if m, err := n.Marks(ctx, bob, []int64{1}); err != nil || len(m) != 0 {
						t.Errorf("bob has read up to %v (%v)", m, err)
					}
				}
				for _, thread := range threads {
					if err := n.Put(ctx, "!1", read(alice, 1000+int64(s)).threaded(thread)); err != nil {
						t.Error(err)
					}
					m := n.marked(alice, 1)[1]
					mark := map[string]Mark{"": m.All, ThreadMain: m.Main, "$root": further(m.All, m.Threads["$root"])}[thread]
					if mark.Place < 1000+int64(s) {
						t.Errorf("the mark in thread %q is at %d after a receipt at %d", thread, mark.Place, 1000+s)
					}
				}
			})
		}
		senders.Wait()
		close(done)
		readers.Wait()
		got := n.all(alice, 1)[1]
		if len(got) != len(threads) {
			t.Errorf("got %v", got)
		}
		for _, r := range got {
			if !strings.HasSuffix(string(r.EventID), "1007") {
				t.Errorf("thread %q stands at %s", r.Thread, r.EventID)
			}
		}
	})
}

// watch follows the journal and complains of a receipt that moves backwards.
func (n *node) watch(done chan struct{}) {
	places := make(map[string]int64)
	for after, last := journal.Position(0), false; !last; {
		select {
		case <-done:
			last = true
		default:
		}
		head := n.journal.Head()
		found, err := n.Since(ctx, []int64{1}, alice, after, head)
		if err != nil {
			n.t.Error(err)
		}
		for _, r := range found[1] {
			place, _ := strconv.ParseInt(string(r.EventID[1:]), 10, 64)
			if place <= places[r.Thread] {
				n.t.Errorf("thread %q moved from %d to %d", r.Thread, places[r.Thread], place)
			}
			places[r.Thread] = place
		}
		after = head
	}
}

func TestPrivateReceiptsAreForTheirUser(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db)
		n.put("!1", read(alice, 1))
		n.put("!1", private(alice, 2))
		entries, err := n.journal.Read(ctx, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		want := []journal.Entry{
			{Pos: 1, Scope: scope(1), Kind: journal.KindReceipt, Ref: 1},
			{Pos: 2, Scope: journal.UserScope(alice), Kind: journal.KindReceipt, Ref: 1},
		}
		if !slices.Equal(entries, want) {
			t.Errorf("got entries %v", entries)
		}
		if got := n.all(alice, 1)[1]; len(got) != 2 {
			t.Errorf("alice sees %v", got)
		}
		if got := n.all(bob, 1)[1]; len(got) != 1 || got[0].Type != TypeRead {
			t.Errorf("bob sees %v", got)
		}
		if got := n.marked(bob, 1); len(got) != 0 {
			t.Errorf("bob has read up to %v", got)
		}
	})
}

// TestChangesAddUp: from wherever a reader starts, what all changed parts say is
// in the end what is there.
func TestChangesAddUp(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db)
		random := rand.New(rand.NewPCG(1, 1))
		rooms := []int64{1, 2, 3}
		type place struct {
			room int64
			kind string
			user id.UserID
		}
		apply := func(seen map[place]id.EventID, found map[int64][]Receipt) {
			for room, receipts := range found {
				for _, r := range receipts {
					seen[place{room, r.Type + r.Thread, r.User}] = r.EventID
				}
			}
		}
		var readers []map[place]id.EventID
		after := journal.Position(0)
		for range 20 {
			seen := make(map[place]id.EventID)
			apply(seen, n.all(alice, rooms...))
			readers = append(readers, seen)
			for range 1 + random.IntN(5) {
				r := read([]id.UserID{alice, bob}[random.IntN(2)], random.Int64N(100))
				r.Type = []string{TypeRead, TypePrivate}[random.IntN(2)]
				n.put(id.RoomID(fmt.Sprintf("!%d", 1+random.IntN(4))), r)
			}
			head := n.journal.Head()
			news, err := n.Since(ctx, rooms, alice, after, head)
			if err != nil {
				t.Fatal(err)
			}
			for _, seen := range readers {
				apply(seen, news)
			}
			after = head
		}
		want := make(map[place]id.EventID)
		apply(want, n.all(alice, rooms...))
		for i, seen := range readers {
			if !maps.Equal(seen, want) {
				t.Errorf("the reader since round %d has %v, want %v", i, seen, want)
			}
		}
	})
}

func TestTheMarksAreTheFurthest(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db)
		n.put("!3", read(alice, 7))
		for _, step := range []struct {
			name            string
			receipt         Receipt
			all, main, root int64
		}{
			{"public", read(alice, 5), 5, 0, 0},
			{"private, behind it", private(alice, 4), 5, 0, 0},
			{"private, ahead of it", private(alice, 6), 6, 0, 0},
			{"in the main thread", read(alice, 9).in(ThreadMain), 6, 9, 0},
			{"of another user", read(bob, 30), 6, 9, 0},
			{"privately in the main thread", private(alice, 31).in(ThreadMain), 6, 31, 0},
			{"in another thread", read(alice, 20).threaded("$root"), 6, 31, 20},
			{"privately in another thread", private(alice, 21).threaded("$root"), 6, 31, 21},
			{"in another thread for its root", Receipt{User: alice, Type: TypeRead, EventID: "$40", Thread: "$40"}, 6, 31, 21},
			{"without a thread, ahead of what is in one", read(alice, 25), 25, 31, 0},
			{"without a thread for an event that is in one", read(alice, 26).threaded("$root").in(""), 26, 31, 0},
		} {
			n.put("!1", step.receipt)
			for range 2 { // read, then remembered
				got := n.marked(alice, 1, 2, 3)
				var root Mark
				if step.root > 0 {
					root = Mark{Place: step.root, Unread: step.root / 3, Loud: step.root / 4}
				}
				m := got[1]
				if m.All != markAt(step.all) || m.Main != markAt(step.main) || m.Threads["$root"] != root || len(m.Threads) > 1 {
					t.Errorf("%s: got %v", step.name, m)
				}
				if len(got) != 2 || got[3].All != markAt(7) {
					t.Errorf("%s: got %v", step.name, got)
				}
			}
		}
	})
}

// TestMarksOfTwoNodes: what another node stores is no longer what is in memory
// once its entries are visible.
func TestMarksOfTwoNodes(t *testing.T) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		a, b := start(t, storetest.Open(t, location)), start(t, storetest.Open(t, location))
		a.put("!1", read(alice, 1))
		a.marked(alice, 1)
		b.put("!1", read(alice, 2))
		b.put("!1", private(alice, 3))
		if err := a.journal.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
		if got := a.marked(alice, 1)[1].All.Place; got != 3 {
			t.Errorf("the mark is at %d", got)
		}
	})
}

// TestFailures lets each transaction fail at each point: what Put acknowledged
// is there, and the mark is what the database says.
func TestFailures(t *testing.T) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		broken := errors.New("broken")
		for _, point := range []store.Point{store.BeforeBegin, store.BeforeCommit, store.AfterCommit} {
			db := storetest.Open(t, location)
			var fail sync.Mutex
			failing := false
			db.FailAt(func(p store.Point) error {
				fail.Lock()
				defer fail.Unlock()
				if failing && p == point {
					return broken
				}
				return nil
			})
			n := start(t, db)
			n.put("!1", read(alice, 1+10*int64(point)))
			before := n.marked(alice, 1)[1].All.Place
			fail.Lock()
			failing = true
			fail.Unlock()
			err := n.Put(ctx, "!1", read(alice, 5+10*int64(point)))
			if !errors.Is(err, broken) || errors.Is(err, store.ErrUnknown) != (point == store.AfterCommit) {
				t.Errorf("point %d: got %v", point, err)
			}
			want := before
			if point == store.AfterCommit {
				want += 4
			}
			if got := n.marked(alice, 1)[1].All.Place; got != want {
				t.Errorf("point %d: the mark went from %d to %d, want %d", point, before, got, want)
			}
			n.stop()
			db.Close()
		}
	})
}

// marksAt is marks in memory, more or fewer.
func marksAt(place int64) Marks {
	m := Marks{All: Mark{Place: place}}
	if place%3 == 1 {
		m.Threads = map[id.EventID]Mark{"$root": {Place: place + 1}}
	}
	return m
}

func TestMarksInMemoryAreBounded(t *testing.T) {
	m := newMarks(8)
	for room := range int64(100) {
		missing := m.get(alice, []int64{room}, map[int64]Marks{})
		m.put(alice, missing, map[int64]Marks{room: marksAt(room)})
		// One that is asked for all the time stays.
		found := map[int64]Marks{}
		if m.get(alice, []int64{0}, found); found[0].All != (Mark{}) || len(found) != 1 {
			t.Fatalf("forgotten after %d others", room)
		}
		if size := m.young.size + m.old.size; size > 8 {
			t.Fatalf("%d are in memory", size)
		}
	}
	for room := range int64(100) {
		m.dropRoom(room)
	}
	if m.young.size+m.old.size != 0 || len(m.young.rooms)+len(m.old.rooms) != 0 {
		t.Errorf("after all were dropped, %d and %d are there", m.young.size, m.old.size)
	}
}

// TestAMarkReadBeforeItChanged: who has read a mark before it was changed and
// comes to remember it afterwards must not.
func TestAMarkReadBeforeItChanged(t *testing.T) {
	for name, drop := range map[string]func(*marks){
		"by this node": func(m *marks) { m.drop(1, alice) },
		"by another":   func(m *marks) { m.dropRoom(1) },
	} {
		m := newMarks(8)
		missing := m.get(alice, []int64{1, 2}, map[int64]Marks{})
		drop(m)
		m.put(alice, missing, map[int64]Marks{1: marksAt(1), 2: marksAt(1)})
		found := map[int64]Marks{}
		if again := m.get(alice, []int64{1, 2}, found); len(again.rooms) != 1 || again.rooms[0] != 1 || len(found) != 1 {
			t.Errorf("%s: remembered %v", name, found)
		}
	}
}

func TestContents(t *testing.T) {
	for _, tt := range []struct {
		name     string
		receipts []Receipt
		want     []string
	}{
		{"none", nil, nil},
		{"one", []Receipt{read(alice, 1)}, []string{`{"$1":{"m.read":{"@alice:a.test":{"ts":1}}}}`}},
		{"in a thread", []Receipt{read(alice, 1).in("$root")},
			[]string{`{"$1":{"m.read":{"@alice:a.test":{"thread_id":"$root","ts":1}}}}`}},
		{"events, types and users in order", []Receipt{read(bob, 2), private(alice, 1), read(alice, 2), read(alice, 1)},
			[]string{`{"$1":{"m.read":{"@alice:a.test":{"ts":1}},"m.read.private":{"@alice:a.test":{"ts":1}}},` +
				`"$2":{"m.read":{"@alice:a.test":{"ts":2},"@bob:a.test":{"ts":2}}}}`}},
		{"two of one user at one event", []Receipt{read(alice, 1).in(ThreadMain), read(bob, 1), read(alice, 1)},
			[]string{`{"$1":{"m.read":{"@alice:a.test":{"ts":1},"@bob:a.test":{"ts":1}}}}`,
				`{"$1":{"m.read":{"@alice:a.test":{"thread_id":"main","ts":1}}}}`}},
		{"characters that need escapes", []Receipt{{User: `@"\:a.test`, Type: TypeRead, EventID: "$\n", TS: 1}},
			[]string{`{"$\n":{"m.read":{"@\"\\:a.test":{"ts":1}}}}`}},
	} {
		var got []string
		for _, c := range Contents(tt.receipts) {
			got = append(got, string(c))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.name, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
		}
	}
}
