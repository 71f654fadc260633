package statetrie

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
)

// reads counts what is asked of a store and can be made to fail.
type reads struct {
	Store
	calls, nodes int
	failLoad     int // the call that fails, counted down to 0; -1 for none
	failSave     int
}

var errStore = errors.New("store is gone")

func (s *reads) Load(ctx context.Context, at []Address, into [][]byte) error {
	if s.failLoad--; s.failLoad == -1 {
		return errStore
	}
	s.calls++
	s.nodes += len(at)
	return s.Store.Load(ctx, at, into)
}

func (s *reads) Save(ctx context.Context, nodes []Node) error {
	if s.failSave--; s.failSave == -1 {
		return errStore
	}
	return s.Store.Save(ctx, nodes)
}

func TestEveryFailureOfTheStoreSurfaces(t *testing.T) {
	ctx := context.Background()
	var memory Memory
	root, err := Build(ctx, &memory, members(600))
	if err != nil {
		t.Fatal(err)
	}
	other, err := Apply(ctx, &memory, root, []Entry{{member(1), 0}, {member(2), 9000}, {member(7000), 1}})
	if err != nil {
		t.Fatal(err)
	}
	operations := map[string]func(s Store) error{
		"Get": func(s Store) error {
			_, err := Get(ctx, s, root, member(5))
			return err
		},
		"Count": func(s Store) error {
			_, err := Count(ctx, s, root)
			return err
		},
		"All": func(s Store) (last error) {
			for _, err := range All(ctx, s, root) {
				last = err
			}
			return last
		},
		"OfType": func(s Store) (last error) {
			for _, err := range OfType(ctx, s, root, "m.room.member") {
				last = err
			}
			return last
		},
		"Diff": func(s Store) (last error) {
			for _, err := range Diff(ctx, s, root, other) {
				last = err
			}
			return last
		},
		"Put": func(s Store) error {
			_, err := Put(ctx, s, root, member(601), 601)
			return err
		},
		"Delete": func(s Store) error {
			_, err := Delete(ctx, s, root, member(5))
			return err
		},
		"Apply": func(s Store) error {
			var all []Entry
			for entry := range members(590) { // 10 are left: branches collapse
				all = append(all, Entry{entry.Key, 0})
			}
			_, err := Apply(ctx, s, root, all)
			return err
		},
		"Build": func(s Store) error {
			_, err := Build(ctx, s, members(5000))
			return err
		},
	}
	for name, run := range operations {
		t.Run(name, func(t *testing.T) {
			for _, save := range []bool{false, true} {
				for fail := 0; ; fail++ {
					s := &reads{Store: &memory, failLoad: -1, failSave: -1}
					if save {
						s.failSave = fail
					} else {
						s.failLoad = fail
					}
					err := run(s)
					if s.failLoad >= 0 || s.failSave >= 0 {
						if err != nil {
							t.Fatalf("without a failure: %v", err)
						}
						break
					}
					if !errors.Is(err, errStore) {
						t.Fatalf("failure of call %d (of Save: %t) came out as %v", fail, save, err)
					}
				}
			}
		})
	}
}

// contract is a store that holds its caller to what Store promises.
type contract struct {
	t *testing.T
	Memory
	saved map[Address]bool // by the operation under test
}

func (c *contract) Save(ctx context.Context, nodes []Node) error {
	if len(nodes) == 0 || len(nodes) > saveChunk {
		c.t.Errorf("%d nodes in one call of Save", len(nodes))
	}
	for _, n := range nodes {
		if addressOf(n.Bytes) != n.Address {
			c.t.Errorf("%x saved under %s", n.Bytes, n.Address)
		}
		if c.saved[n.Address] {
			c.t.Errorf("node %s saved twice", n.Address)
		}
		c.saved[n.Address] = true
		c.eachKid(n.Bytes, func(kid Address) {
			if c.nodes[kid] == nil && !slices.ContainsFunc(nodes, func(n Node) bool { return n.Address == kid }) {
				c.t.Errorf("node %s saved before its child %s", n.Address, kid)
			}
		})
	}
	return c.Memory.Save(ctx, nodes)
}

func (c *contract) eachKid(b []byte, do func(Address)) {
	n, err := parse(b)
	if err != nil {
		c.t.Fatal(err)
	}
	for d := range fanOut {
		if kid := n.kid(d); !n.leaf && kid != (Address{}) {
			do(kid)
		}
	}
}

func (c *contract) reach(at Address, seen map[Address]bool) {
	seen[at] = true
	c.eachKid(c.nodes[at], func(kid Address) { c.reach(kid, seen) })
}

func TestOnlyNodesOfTheNewStateAreWritten(t *testing.T) {
	ctx := context.Background()
	var drop, replace []Entry
	for entry := range members(2000) {
		drop = append(drop, Entry{entry.Key, 0})
		replace = append(replace, Entry{entry.Key, entry.Number + 5000})
	}
	tests := []struct {
		name    string
		changes []Entry
		most    int // nodes written
	}{
		{"building", slices.Collect(members(2000)), 1000},
		{"one change", replace[:1], 8},
		{"one entry more", []Entry{{member(3000), 3000}}, 10},
		{"one entry of another type", []Entry{{Key{"m.room.topic", ""}, 3000}}, 3},
		{"one entry less", drop[:1], 8},
		{"twenty changes", replace[:20], 100},
		{"all but fourteen go", drop[:1986], 1},
		{"all but forty go", drop[:1960], 12},
		{"all change", replace, 1000},
		{"all go", drop, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			store := &contract{t: t, saved: map[Address]bool{}}
			var base Root
			var err error
			if tt.name != "building" {
				if base, err = Build(ctx, store, members(2000)); err != nil {
					t.Fatal(err)
				}
			}
			clear(store.saved)
			root, err := Apply(ctx, store, base, tt.changes)
			if err != nil {
				t.Fatal(err)
			}
			if len(store.saved) > tt.most {
				t.Errorf("%d nodes written, want %d at most", len(store.saved), tt.most)
			}
			reached := map[Address]bool{}
			if root != (Root{}) {
				store.reach(Address(root), reached)
			}
			for at := range store.saved {
				if !reached[at] {
					t.Errorf("node %s written, but not part of the state", at)
				}
			}

			clear(store.saved)
			again, err := Apply(ctx, store, root, tt.changes)
			if err != nil {
				t.Fatal(err)
			}
			if again != root || len(store.saved) > 0 {
				t.Errorf("the same changes again wrote %d nodes and made %s of %s", len(store.saved), again, root)
			}
		})
	}
}

// The work grows with the answer, not with the state.
func TestReadsAreFew(t *testing.T) {
	ctx := context.Background()
	store := &reads{Store: new(Memory), failLoad: -1, failSave: -1}
	root, err := Build(ctx, store, slices.Values(benchRoom(20_000)))
	if err != nil {
		t.Fatal(err)
	}
	var made []Entry
	for i := range 20 {
		made = append(made, Entry{member(i * 900), uint64(i + 1)})
	}
	after, err := Apply(ctx, store, root, made)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name         string
		calls, nodes int // at most
		run          func() (int, error)
		want         int
	}{
		{"the difference of a state and itself", 0, 0, func() (int, error) { return count(Diff(ctx, store, root, root)) }, 0},
		{"twenty changes", 10, 250, func() (int, error) { return count(Diff(ctx, store, root, after)) }, 20},
		{"a type with ten entries among 20,000", 3, 5, func() (int, error) {
			return count(OfType(ctx, store, root, "im.vector.modular.widgets"))
		}, 10},
		{"what is not of the type that has nearly all", 4, 12, func() (int, error) {
			return count(NotOfType(ctx, store, root, "m.room.member"))
		}, 21},
		{"what is not of a type that is not there", 400, 20_000, func() (int, error) {
			return count(NotOfType(ctx, store, root, "m.room.tombstone"))
		}, 20_021},
		{"a type that is not there", 3, 3, func() (int, error) { return count(OfType(ctx, store, root, "m.room.tombstone")) }, 0},
		{"the number of entries", 1, 1, func() (int, error) {
			n, err := Count(ctx, store, root)
			return int(n), err
		}, 20_021},
		{"one entry", 9, 9, func() (int, error) {
			n, err := Get(ctx, store, after, member(900))
			return int(n), err
		}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			store.calls, store.nodes = 0, 0
			if got, err := tt.run(); err != nil || got != tt.want {
				t.Errorf("got %d, %v; want %d", got, err, tt.want)
			}
			if store.calls > tt.calls || store.nodes > tt.nodes {
				t.Errorf("read %d nodes in %d calls, want %d in %d at most", store.nodes, store.calls, tt.nodes, tt.calls)
			}
		})
	}
	if invariants {
		return // the checks read too
	}
	t.Run("levels, not nodes, are asked for", func(t *testing.T) {
		store.calls, store.nodes = 0, 0
		if _, err := Apply(ctx, store, root, made); err != nil {
			t.Fatal(err)
		}
		if store.calls > 9 {
			t.Errorf("twenty changes took %d calls of Load for %d nodes", store.calls, store.nodes)
		}
	})
}

func count[T any](all func(yield func(T, error) bool)) (n int, last error) {
	for _, err := range all {
		if last = err; err == nil {
			n++
		}
	}
	return n, last
}

func TestIterationCanStop(t *testing.T) {
	ctx := context.Background()
	store := new(Memory)
	root, err := Build(ctx, store, members(100))
	if err != nil {
		t.Fatal(err)
	}
	for _, stop := range []int{1, 2, 50, 100} {
		n := 0
		for range All(ctx, store, root) {
			if n++; n == stop {
				break
			}
		}
		for range Diff(ctx, store, root, Root{}) {
			if n++; n == 2*stop {
				break
			}
		}
		if n != 2*stop {
			t.Errorf("stopped after %d, want %d", n, 2*stop)
		}
	}
}

// Run with -race: readers and writers of the same roots.
func TestOperationsRunAtOnce(t *testing.T) {
	ctx := context.Background()
	store := new(Memory)
	root, err := Build(ctx, store, members(500))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			next := root
			for j := range 25 {
				var err error
				if next, err = Put(ctx, store, next, member(j), uint64(1000+i)); err != nil {
					t.Error(err)
					return
				}
				if n, err := Get(ctx, store, next, member(j)); err != nil || n != uint64(1000+i) {
					t.Errorf("%v is %d, %v", member(j), n, err)
				}
			}
			if n, err := count(Diff(ctx, store, root, next)); err != nil || n != 25 {
				t.Errorf("%d changes, %v; want 25", n, err)
			}
		})
	}
	wg.Wait()
}
