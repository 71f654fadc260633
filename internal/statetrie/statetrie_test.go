package statetrie

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// pathFuncs are ways to place keys. All but the first make collisions and
// common prefixes that nobody can grind out of SHA-256, so that the code for
// them runs at all. As in hashPath, the first typeSize bytes depend on the
// type alone.
var pathFuncs = map[string]func(Key) path{
	"sha256": hashPath,
	"few paths": func(k Key) path {
		p := hashPath(k)
		return path{p[0] & 0x11, typeSize: p[typeSize] & 0x93}
	},
	"parting at the last digit": func(k Key) path {
		p := hashPath(k)
		return path{pathSize - 1: p[typeSize]}
	},
	"parting anywhere": func(k Key) path {
		p := hashPath(k)
		var out path
		out[typeSize+int(p[30])%(pathSize-typeSize)] = 1 << (p[31] % 8)
		return out
	},
	"parting early by length, late by hash": func(k Key) path {
		p := hashPath(k)
		out := path{pathSize - 1: p[typeSize]}
		out[typeSize+len(k.StateKey)/100*7] = 0x80
		return out
	},
	"one path": func(Key) path { return path{} },
}

// room is a trie under test: its store and the way it places keys.
type room struct {
	store  Store
	pathOf func(Key) path
}

func (r room) apply(root Root, changes ...Entry) (Root, error) {
	e := editor{reader: reader{context.Background(), r.store, r.pathOf}, store: r.store}
	return e.apply(root, changes)
}

func (r room) reader() *reader { return &reader{context.Background(), r.store, r.pathOf} }

func (r room) get(root Root, key Key) (uint64, error) { return r.reader().get(root, key) }

func (r room) state(root Root, what wanted) (map[Key]uint64, error) {
	got := make(map[Key]uint64)
	for entry, err := range r.reader().walk(root, what) {
		if err != nil {
			return nil, err
		}
		if _, again := got[entry.Key]; again {
			return nil, fmt.Errorf("%v yielded twice", entry.Key)
		}
		got[entry.Key] = entry.Number
	}
	return got, nil
}

func (r room) diff(before, after Root) (map[Key][2]uint64, error) {
	got := make(map[Key][2]uint64)
	d := differ{reader: *r.reader()}
	for c, err := range d.diff(before, after) {
		if err != nil {
			return nil, err
		}
		if _, again := got[c.Key]; again {
			return nil, fmt.Errorf("%v yielded twice", c.Key)
		}
		got[c.Key] = [2]uint64{c.Old, c.New}
	}
	return got, nil
}

func mapDiff(before, after map[Key]uint64) map[Key][2]uint64 {
	d := make(map[Key][2]uint64)
	for k, n := range before {
		if after[k] != n {
			d[k] = [2]uint64{n, after[k]}
		}
	}
	for k, n := range after {
		if before[k] == 0 {
			d[k] = [2]uint64{0, n}
		}
	}
	return d
}

func entriesOf(m map[Key]uint64) []Entry {
	var out []Entry
	for k, n := range m {
		out = append(out, Entry{k, n})
	}
	return out
}

// member gives the key of the i-th member of a large room.
func member(i int) Key {
	return Key{"m.room.member", fmt.Sprintf("@user%d:server%d.example.org", i, i%97)}
}

func members(n int) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for i := range n {
			if !yield(Entry{member(i), uint64(i + 1)}) {
				return
			}
		}
	}
}

func TestStateOfASmallRoom(t *testing.T) {
	ctx := context.Background()
	var (
		create = Key{"m.room.create", ""}
		alice  = Key{"m.room.member", "@alice:example.org"}
		bob    = Key{"m.room.member", "@bob:example.org"}
		empty  = Key{"", ""}
	)
	tests := []struct {
		name    string
		changes []Entry
		want    map[Key]uint64
	}{
		{"no changes give the empty state", nil, nil},
		{"an entry is found again", []Entry{{create, 1}}, map[Key]uint64{create: 1}},
		{"the later of two puts counts", []Entry{{alice, 2}, {alice, 3}}, map[Key]uint64{alice: 3}},
		{"a put after a delete counts", []Entry{{alice, 2}, {alice, 0}, {alice, 4}}, map[Key]uint64{alice: 4}},
		{"the last delete leaves the empty state", []Entry{{alice, 2}, {alice, 0}}, nil},
		{"a delete of what is not there changes nothing", []Entry{{alice, 2}, {bob, 0}}, map[Key]uint64{alice: 2}},
		{"empty strings are a key", []Entry{{empty, 7}}, map[Key]uint64{empty: 7}},
		{"the largest number is kept", []Entry{{alice, 1<<64 - 1}}, map[Key]uint64{alice: 1<<64 - 1}},
		{"type and state key are kept apart", []Entry{{Key{"ab", "c"}, 1}, {Key{"a", "bc"}, 2}}, map[Key]uint64{{"ab", "c"}: 1, {"a", "bc"}: 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var store Memory
			var oneByOne Root
			var err error
			for _, c := range tt.changes {
				if oneByOne, err = Put(ctx, &store, oneByOne, c.Key, c.Number); err != nil {
					t.Fatal(err)
				}
			}
			atOnce, err := Build(ctx, &store, slices.Values(tt.changes))
			if err != nil {
				t.Fatal(err)
			}
			if oneByOne != atOnce {
				t.Errorf("one by one the root is %s, at once %s", oneByOne, atOnce)
			}
			if (atOnce == Root{}) != (len(tt.want) == 0) {
				t.Errorf("root is %s for %v", atOnce, tt.want)
			}
			got := make(map[Key]uint64)
			for entry, err := range All(ctx, &store, atOnce) {
				if err != nil {
					t.Fatal(err)
				}
				got[entry.Key] = entry.Number
			}
			if !maps.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if n, err := Count(ctx, &store, atOnce); err != nil || n != uint64(len(tt.want)) {
				t.Errorf("count is %d, %v; want %d", n, err, len(tt.want))
			}
			for _, k := range []Key{create, alice, bob, empty} {
				if n, err := Get(ctx, &store, atOnce, k); err != nil || n != tt.want[k] {
					t.Errorf("%v is %d, %v; want %d", k, n, err, tt.want[k])
				}
			}
		})
	}
}

// The roots are stored: a change of this one is a change of format.
func TestRootIsStable(t *testing.T) {
	var store Memory
	root, err := Build(context.Background(), &store, members(1000))
	if err != nil {
		t.Fatal(err)
	}
	if want := "b782d96ee3a4269448b8bef18ee6c4b9"; root.String() != want {
		t.Errorf("root of 1,000 members is %s, want %s", root, want)
	}
}

// keys draws from few, so that operations meet; long keys and odd ones among
// them. A class of 0 to 2 limits the draw to a third of them, by length.
func keys(class int) *rapid.Generator[Key] {
	return rapid.Custom(func(t *rapid.T) Key {
		typ := rapid.SampledFrom([]string{"", "m.room.member", "m.room.name", "\x00", "org.example.x"}).Draw(t, "type")
		i := rapid.IntRange(0, 120).Draw(t, "key")
		if class <= 2 {
			i = i/3*3 + class
		}
		if i == 0 {
			return Key{typ, ""}
		}
		return Key{typ, fmt.Sprintf("%0*d", 1+i%3*100, i)}
	})
}

func changes(most int) *rapid.Generator[[]Entry] {
	return rapid.Custom(func(t *rapid.T) []Entry {
		class := rapid.IntRange(0, 3).Draw(t, "class")
		numbers := rapid.SampledFrom([][]uint64{{0}, {1, 2}, {0, 0, 1, 2, 300}}).Draw(t, "numbers")
		return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Entry {
			return Entry{keys(class).Draw(t, "of"), rapid.SampledFrom(numbers).Draw(t, "number")}
		}), rapid.SampledFrom([]int{0, most / 2}).Draw(t, "least"), most).Draw(t, "changes")
	})
}

// The trie must do what a map does, and its roots must be equal exactly when
// the maps are.
func TestTrieIsAMap(t *testing.T) {
	for name, pathOf := range pathFuncs {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { checkHistory(t, pathOf) })
		})
	}
}

func checkHistory(t *rapid.T, pathOf func(Key) path) {
	type version struct {
		root  Root
		plain map[Key]uint64
	}
	r := room{new(Memory), pathOf}
	versions := []version{{}}
	for range rapid.IntRange(1, 8).Draw(t, "steps") {
		from := rapid.SampledFrom(versions).Draw(t, "from")
		made := changes(rapid.SampledFrom([]int{1, 4, 150}).Draw(t, "most")).Draw(t, "changes")
		next := version{plain: maps.Clone(from.plain)}
		if next.plain == nil {
			next.plain = make(map[Key]uint64)
		}
		for _, c := range made {
			if next.plain[c.Key] = c.Number; c.Number == 0 {
				delete(next.plain, c.Key)
			}
		}
		var err error
		if len(made) > 30 || rapid.Bool().Draw(t, "at once") {
			next.root, err = r.apply(from.root, made...)
		} else {
			next.root = from.root
			for _, c := range made {
				if next.root, err = r.apply(next.root, c); err != nil {
					break
				}
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, next)
	}

	for _, v := range versions {
		checkState(t, r, v.root, v.plain)
		for _, w := range versions {
			if (v.root == w.root) != maps.Equal(v.plain, w.plain) {
				t.Fatalf("roots %s and %s for the states %v and %v", v.root, w.root, v.plain, w.plain)
			}
			got, err := r.diff(v.root, w.root)
			if err != nil {
				t.Fatal(err)
			}
			if want := mapDiff(v.plain, w.plain); !maps.Equal(got, want) {
				t.Fatalf("difference of %v and %v is %v, want %v", v.plain, w.plain, got, want)
			}
		}
	}
}

func checkState(t *rapid.T, r room, root Root, want map[Key]uint64) {
	got, err := r.state(root, wanted{})
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got, want) {
		t.Fatalf("state is %v, want %v", got, want)
	}
	if n, err := Count(context.Background(), r.store, root); err != nil || n != uint64(len(want)) {
		t.Fatalf("count is %d, %v; want %d", n, err, len(want))
	}
	for range 5 {
		key := keys(3).Draw(t, "key")
		if n, err := r.get(root, key); err != nil || n != want[key] {
			t.Fatalf("%v is %d, %v; want %d", key, n, err, want[key])
		}
	}
	only := keys(3).Draw(t, "with the type").Type
	ofType := maps.Clone(want)
	maps.DeleteFunc(ofType, func(k Key, _ uint64) bool { return k.Type != only })
	if got, err = r.state(root, wanted{some: true, typ: only}); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got, ofType) {
		t.Fatalf("state of type %q is %v, want %v", only, got, ofType)
	}
	fresh, err := r.apply(Root{}, rapid.Permutation(entriesOf(want)).Draw(t, "order")...)
	if err != nil {
		t.Fatal(err)
	}
	if fresh != root {
		t.Fatalf("root is %s, of the same state built afresh %s", root, fresh)
	}
}

// Shapes that random states seldom have: each is changed into each other, and
// compared with it.
func TestEveryStepBetweenShapes(t *testing.T) {
	pathOf := pathFuncs["parting early by length, late by hash"]
	group := func(m map[Key]uint64, length, n int) map[Key]uint64 {
		out := maps.Clone(m)
		for i := range n {
			out[Key{"m.room.member", fmt.Sprintf("%0*d", length, i)}] = uint64(length + i + 1)
		}
		return out
	}
	none := map[Key]uint64{}
	shapes := map[string]map[Key]uint64{
		"empty":                      none,
		"one entry":                  group(none, 5, 1),
		"a full leaf":                group(none, 5, leafMax),
		"a full leaf elsewhere":      group(none, 105, leafMax),
		"a branch":                   group(none, 5, leafMax+1),
		"a large branch":             group(none, 5, 60),
		"a branch elsewhere":         group(none, 105, 60),
		"two leaves":                 group(group(none, 5, 10), 105, 10),
		"two that fit a leaf":        group(group(none, 5, 8), 105, 8),
		"a branch and a leaf":        group(group(none, 5, 60), 105, 1),
		"a leaf and a branch":        group(group(none, 5, 1), 105, 60),
		"two branches":               group(group(none, 5, 60), 105, 60),
		"three branches":             group(group(group(none, 5, 60), 105, 60), 205, 60),
		"three branches, one larger": group(group(group(none, 5, 60), 105, 90), 205, 60),
		"three that fit a leaf":      group(group(group(none, 5, 5), 105, 5), 205, 6),
		"three that just do not fit": group(group(group(none, 5, 5), 105, 5), 205, 7),
		"a nested pair":              group(group(none, 105, 9), 205, 60),
	}
	r := room{new(Memory), pathOf}
	roots := map[string]Root{}
	for name, plain := range shapes {
		var err error
		if roots[name], err = r.apply(Root{}, entriesOf(plain)...); err != nil {
			t.Fatal(err)
		}
	}
	for from, before := range shapes {
		for to, after := range shapes {
			want := mapDiff(before, after)
			got, err := r.diff(roots[from], roots[to])
			if err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(got, want) {
				t.Errorf("from %s to %s the difference is %v, want %v", from, to, got, want)
			}
			var made []Entry
			for key, numbers := range want {
				made = append(made, Entry{key, numbers[1]})
			}
			root, err := r.apply(roots[from], made...)
			if err != nil {
				t.Fatal(err)
			}
			if root != roots[to] {
				t.Errorf("from %s to %s the root is %s, want %s", from, to, root, roots[to])
			}
		}
	}
}

func TestDeleteTakesPutBack(t *testing.T) {
	for name, pathOf := range pathFuncs {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				r := room{new(Memory), pathOf}
				base := maps.Collect(func(yield func(Key, uint64) bool) {
					for _, c := range changes(60).Draw(t, "state") {
						if !yield(c.Key, c.Number+1) {
							return
						}
					}
				})
				root, err := r.apply(Root{}, entriesOf(base)...)
				if err != nil {
					t.Fatal(err)
				}
				there, back := []Entry{}, []Entry{}
				for _, c := range changes(60).Draw(t, "changes") {
					there = append(there, c)
					back = append(back, Entry{c.Key, base[c.Key]})
				}
				changed, err := r.apply(root, there...)
				if err != nil {
					t.Fatal(err)
				}
				restored, err := r.apply(changed, back...)
				if err != nil {
					t.Fatal(err)
				}
				if restored != root {
					t.Fatalf("root %s came back as %s", root, restored)
				}
			})
		})
	}
}
