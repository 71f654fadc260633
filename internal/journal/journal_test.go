package journal

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"parley/internal/store"
	"parley/internal/store/storetest"
)

var ctx = context.Background()

func open(t testing.TB, db *store.DB, o Options) *Journal {
	t.Helper()
	j, err := Open(ctx, db, func() string { return "epoch" }, o)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// start opens a journal and runs it until the test ends.
func start(t testing.TB, db *store.DB, o Options) *Journal {
	t.Helper()
	j := open(t, db, o)
	run(t, j)
	return j
}

// run runs a journal until the function it returns is called or the test ends.
func run(t testing.TB, j *Journal) (stop func()) {
	running, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { j.Run(running) })
	stop = func() {
		cancel()
		wg.Wait()
	}
	t.Cleanup(stop)
	return stop
}

func room(n int64) Scope { return NewScope(ScopeRoom, n) }

const kind Kind = 1

// entry is a change that appends one entry.
func entry(s Scope, ref int64) Change {
	return func(b *Batch) error {
		b.Append(s, kind, ref)
		return nil
	}
}

func appendAll(t testing.TB, j *Journal, changes ...Change) {
	t.Helper()
	var waits []func() (Position, error)
	for _, c := range changes {
		waits = append(waits, j.Submit(c))
	}
	for _, wait := range waits {
		if _, err := wait(); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t testing.TB, j *Journal, after Position) []Entry {
	t.Helper()
	entries, err := j.Read(ctx, after, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		if e.Pos != after+Position(i)+1 {
			t.Fatalf("entry %d behind %d has position %d", i, after, e.Pos)
		}
	}
	return entries
}

func refs(entries []Entry) (refs []int64) {
	for _, e := range entries {
		refs = append(refs, e.Ref)
	}
	return refs
}

func TestScopesKeepTheirParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := ScopeKind(rapid.IntRange(0, 127).Draw(t, "kind"))
		number := rapid.Int64Range(0, 1<<idBits-1).Draw(t, "number")
		if s := NewScope(kind, number); s.Kind() != kind || s.Number() != number {
			t.Errorf("scope %d, %d came back as %d, %d", kind, number, s.Kind(), s.Number())
		}
	})
}

func TestEntriesComeBackInOrder(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		j := start(t, db, Options{})
		appendAll(t, j, entry(room(1), 10), entry(room(2), 20), entry(room(1), 30))
		want := []Entry{{1, room(1), kind, 10}, {2, room(2), kind, 20}, {3, room(1), kind, 30}}
		if got := read(t, j, 0); !reflect.DeepEqual(got, want) {
			t.Errorf("got %v", got)
		}
		if got := refs(read(t, j, 1)); !slices.Equal(got, []int64{20, 30}) {
			t.Errorf("behind 1 are %v", got)
		}
		if got, err := j.Read(ctx, 0, 2); err != nil || len(got) != 2 {
			t.Errorf("with a limit: %v, %v", got, err)
		}
		if got, err := j.ReadScopes(ctx, []Scope{room(1)}, 0, 3); err != nil || !slices.Equal(refs(got), []int64{10, 30}) {
			t.Errorf("of one room: %v, %v", got, err)
		}
		again := open(t, db, Options{})
		if again.Head() != 3 || again.Epoch() != "epoch" || !reflect.DeepEqual(read(t, again, 0), want) {
			t.Errorf("after opening again: head %d, epoch %s, %v", again.Head(), again.Epoch(), read(t, again, 0))
		}
	})
}

func TestAnEpochIsKept(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		open(t, db, Options{})
		j, err := Open(ctx, db, func() string { return "another" }, Options{})
		if err != nil || j.Epoch() != "epoch" {
			t.Errorf("epoch %q, %v", j.Epoch(), err)
		}
	})
}

// TestManyAppendersMakeOneLine runs two nodes on one database, with small
// windows, and a reader that follows each of them meanwhile.
func TestManyAppendersMakeOneLine(t *testing.T) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		nodes := []*Journal{
			start(t, storetest.Open(t, location), Options{Window: 16}),
			start(t, storetest.Open(t, location), Options{Window: 1000}),
		}
		const appenders, each = 8, 25
		var writing, reading sync.WaitGroup
		for i := range appenders {
			writing.Go(func() {
				for n := range each {
					if _, err := nodes[i%2].Append(ctx, entry(room(int64(i)), int64(n))); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for i, node := range nodes {
			reading.Go(func() {
				cursor, err := node.Cursor(ctx, fmt.Sprint(i))
				if err != nil {
					t.Error(err)
					return
				}
				next := make(map[Scope]int64)
				for pos := cursor.Position(); pos < appenders*each; {
					entries, err := cursor.Next(ctx, 7)
					if err != nil {
						t.Error(err)
						return
					}
					for _, e := range entries {
						if pos++; e.Pos != pos {
							t.Errorf("position %d follows %d", e.Pos, pos-1)
						}
						if n, seen := next[e.Scope]; seen && e.Ref != n {
							t.Errorf("entry %d of %d comes when %d is due", e.Ref, e.Scope, n)
						}
						next[e.Scope] = e.Ref + 1
					}
					if err := cursor.Done(ctx, pos); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		writing.Wait()
		for _, node := range nodes {
			if err := node.Refresh(ctx); err != nil {
				t.Fatal(err)
			}
		}
		reading.Wait()
		first, second := read(t, nodes[0], 0), read(t, nodes[1], 0)
		if len(first) != appenders*each || !reflect.DeepEqual(first, second) {
			t.Errorf("the nodes read %d and %d entries", len(first), len(second))
		}
	})
}

func TestAFailedChangeLeavesItsGroupAlone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		j := open(t, db, Options{})
		refusal := errors.New("refused")
		type key struct{}
		put := &store.Insert{Table: "journal_cursors", Columns: []store.Column{{Name: "name", Type: store.Text}, {Name: "pos", Type: store.Int}}}
		insert := func(name string) Change {
			return func(b *Batch) error {
				b.Insert(put, name, b.Append(room(1), kind, 0))
				return nil
			}
		}
		changes := []Change{
			func(b *Batch) error {
				b.Remember(key{}, 1)
				return insert("a")(b)
			},
			func(b *Batch) error { // writes, remembers, then changes its mind
				insert("b")(b)
				b.Remember(key{}, 2)
				b.Remember(key{}, 3)
				b.Remember("other", 3)
				b.Write("w", func(*store.Tx) error { return errors.New("must not be done") })
				return refusal
			},
			func(b *Batch) error { // its query fails, which on PostgreSQL breaks the transaction
				var n int
				return b.Row("SELECT nothing FROM nowhere").Scan(&n)
			},
			func(b *Batch) error {
				// A broken group is committed one by one, where nothing is
				// remembered of the others; never what was taken back.
				if v, ok := b.Memo(key{}); ok && v != 1 {
					return fmt.Errorf("remembers %v", v)
				}
				if v, ok := b.Memo("other"); ok {
					return fmt.Errorf("remembers %v", v)
				}
				return insert("c")(b)
			},
		}
		var waits []func() (Position, error)
		for _, c := range changes {
			waits = append(waits, j.Submit(c))
		}
		run(t, j)
		var errs []error
		for _, wait := range waits {
			_, err := wait()
			errs = append(errs, err)
		}
		if errs[0] != nil || !errors.Is(errs[1], refusal) || errs[2] == nil || errs[3] != nil {
			t.Errorf("got %v", errs)
		}
		if j.Head() != 2 {
			t.Errorf("head is %d", j.Head())
		}
		// A row that cannot be inserted fails its own change only.
		_, err := j.Append(ctx, insert("a"))
		if err == nil {
			t.Error("a duplicate was inserted")
		}
		head := j.Head()
		appendAll(t, j, insert("d"), insert("e"))
		if j.Head() != head+2 {
			t.Errorf("head moved from %d to %d", head, j.Head())
		}
	})
}

func TestWhatIsDoneAfterACommitComesInTwoSteps(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		j := open(t, db, Options{})
		refusal := errors.New("refused")
		var done []string
		change := func(name string, err error) Change {
			return func(b *Batch) error {
				pos := b.Append(room(1), kind, 0)
				note := func(what string) func() {
					return func() { done = append(done, fmt.Sprint(what, " ", name, ", visible: ", j.Head() >= pos)) }
				}
				b.Settled(note("settled"))
				b.Durable(note("durable"))
				return err
			}
		}
		waits := []func() (Position, error){j.Submit(change("one", nil)), j.Submit(change("refused", refusal)), j.Submit(change("two", nil))}
		run(t, j)
		for i, wait := range waits {
			if _, err := wait(); (err != nil) != (i == 1) {
				t.Errorf("change %d: %v", i, err)
			}
		}
		want := []string{
			"durable one, visible: false", "durable two, visible: false", "settled one, visible: true", "settled two, visible: true",
		}
		if !slices.Equal(done, want) {
			t.Errorf("got %q, want %q", done, want)
		}
	})
}

func TestOneBadRowFailsItsOwnChangeOnly(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		j := open(t, db, Options{})
		put := &store.Insert{Table: "journal_cursors", Columns: []store.Column{{Name: "name", Type: store.Text}, {Name: "pos", Type: store.Int}}}
		var waits []func() (Position, error)
		for _, name := range []string{"a", "b", "a", "c"} {
			waits = append(waits, j.Submit(func(b *Batch) error {
				b.Insert(put, name, b.Append(room(1), kind, 0))
				return nil
			}))
		}
		run(t, j)
		for i, wait := range waits {
			if _, err := wait(); (err != nil) != (i == 2) {
				t.Errorf("change %d: %v", i, err)
			}
		}
		if got := read(t, j, 0); len(got) != 3 {
			t.Errorf("entries are %v", got)
		}
	})
}

func TestWritesWithOneKeyAreDoneOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		j := open(t, db, Options{})
		var done []string
		note := func(key, what string) Change {
			return func(b *Batch) error {
				b.Write(key, func(*store.Tx) error {
					done = append(done, what)
					return nil
				})
				return nil
			}
		}
		waits := []func() (Position, error){
			j.Submit(note("x", "x1")), j.Submit(note("y", "y1")), j.Submit(note("x", "x2")), j.Submit(note("z", "z1")),
		}
		run(t, j)
		for _, wait := range waits {
			if _, err := wait(); err != nil {
				t.Error(err)
			}
		}
		if want := []string{"x2", "y1", "z1"}; !slices.Equal(done, want) {
			t.Errorf("done: %v", done)
		}
	})
}

// TestCrashPoints fails an append at each point of its transaction and opens
// the journal again: positions stay contiguous, what was acknowledged is there,
// and what is there was acknowledged or said to be unknown.
func TestCrashPoints(t *testing.T) {
	for point := store.BeforeBegin; point <= store.AfterCommit; point++ {
		storetest.EachLocation(t, func(t *testing.T, location string) {
			db := storetest.Open(t, location)
			j := open(t, db, Options{})
			stop := run(t, j)
			appendAll(t, j, entry(room(1), 1), entry(room(1), 2))
			crash := errors.New("crash")
			failing := true
			db.FailAt(func(p store.Point) error {
				if failing && p == point {
					return crash
				}
				return nil
			})
			_, err := j.Append(ctx, entry(room(1), 3))
			if !errors.Is(err, crash) {
				t.Fatalf("point %d: %v", point, err)
			}
			unknown := errors.Is(err, store.ErrUnknown)
			stop()
			failing = false
			db.Close()

			j = start(t, storetest.Open(t, location), Options{})
			appendAll(t, j, entry(room(1), 4))
			want := []int64{1, 2, 4}
			if unknown {
				want = []int64{1, 2, 3, 4}
			}
			if got := refs(read(t, j, 0)); !slices.Equal(got, want) {
				t.Errorf("point %d: entries %v, want %v", point, got, want)
			}
		})
	}
}

// TestGoingOnAfterAnUnknownCommit: the journal itself also goes on correctly.
func TestGoingOnAfterAnUnknownCommit(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var once sync.Once
		j := start(t, db, Options{})
		db.FailAt(func(p store.Point) (err error) {
			if p == store.AfterCommit {
				once.Do(func() { err = errors.New("connection lost") })
			}
			return err
		})
		if _, err := j.Append(ctx, entry(room(1), 1)); !errors.Is(err, store.ErrUnknown) {
			t.Errorf("got %v", err)
		}
		if j.Head() != 1 {
			t.Errorf("what happened after all is not visible: head is %d", j.Head())
		}
		appendAll(t, j, entry(room(1), 2))
		if got := refs(read(t, j, 0)); !slices.Equal(got, []int64{1, 2}) {
			t.Errorf("entries are %v", got)
		}
	})
}

// TestARefusalDoesNotOutliveItsGroup: a change that is refused because of another
// in its group, as one that repeats it, must not be told so if the other did not
// come about, or may not have.
func TestARefusalDoesNotOutliveItsGroup(t *testing.T) {
	repeated := errors.New("repeated")
	once := func(b *Batch) error {
		if _, ok := b.Memo("key"); ok {
			return repeated
		}
		b.Remember("key", true)
		b.Append(room(1), kind, 1)
		return nil
	}
	for point := store.BeforeBegin; point <= store.AfterCommit; point++ {
		storetest.Each(t, func(t *testing.T, db *store.DB) {
			j := open(t, db, Options{})
			failure := errors.New("failure")
			db.FailAt(func(p store.Point) error {
				if p == point {
					return failure
				}
				return nil
			})
			waits := []func() (Position, error){j.Submit(once), j.Submit(once)}
			run(t, j)
			for i, wait := range waits {
				if _, err := wait(); !errors.Is(err, failure) {
					t.Errorf("point %d: change %d got %v", point, i, err)
				}
			}
		})
	}
}

func TestStopping(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		j := open(t, db, Options{})
		wait := j.Submit(entry(room(1), 1))
		stopped, cancel := context.WithCancel(ctx)
		cancel()
		j.Run(stopped)
		if pos, err := wait(); err != nil || pos != 1 {
			t.Errorf("what was submitted before: %d, %v", pos, err)
		}
		if _, err := j.Append(ctx, entry(room(1), 2)); !errors.Is(err, ErrStopped) {
			t.Errorf("what was submitted after: %v", err)
		}
	})
}

func TestAppendGivesUpWithItsContext(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		j := open(t, db, Options{}) // does not run
		gone, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := j.Append(gone, entry(room(1), 1)); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestTrim(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		j := start(t, db, Options{Window: 2})
		cursor, err := j.Cursor(ctx, "slow")
		if err != nil {
			t.Fatal(err)
		}
		for i := range int64(10) {
			appendAll(t, j, entry(room(1), i))
		}
		if floor, err := j.Trim(ctx, 6); err != nil || floor != 0 {
			t.Errorf("trimmed up to %d, %v, which a cursor needs", floor, err)
		}
		if err := cursor.Done(ctx, 4); err != nil {
			t.Fatal(err)
		}
		if floor, err := j.Trim(ctx, 6); err != nil || floor != 4 || j.Floor() != 4 {
			t.Errorf("trimmed up to %d, %v", floor, err)
		}
		if _, err := j.Read(ctx, 3, 10); !errors.Is(err, ErrGone) {
			t.Errorf("reading what is gone: %v", err)
		}
		if _, err := j.ReadScopes(ctx, []Scope{room(1)}, 3, 10); !errors.Is(err, ErrGone) {
			t.Errorf("reading scopes of what is gone: %v", err)
		}
		if got := refs(read(t, j, 4)); len(got) != 6 {
			t.Errorf("entries behind the floor: %v", got)
		}
		again := open(t, db, Options{})
		if again.Floor() != 4 || len(read(t, again, 4)) != 6 {
			t.Errorf("after opening again the floor is %d", again.Floor())
		}
		if c, err := again.Cursor(ctx, "slow"); err != nil || c.Position() != 4 {
			t.Errorf("the cursor is at %d, %v", c.Position(), err)
		}
	})
}
