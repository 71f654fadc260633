package statetrie

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
)

// leafBytes and branchBytes write nodes that the encoders would not.
func leafBytes(count byte, rest string) []byte { return append([]byte{kindLeaf, count}, rest...) }

func branchBytes(head string, kids int) []byte {
	b := append([]byte{kindBranch}, head...)
	for i := range kids {
		b = append(b, bytes.Repeat([]byte{byte(i + 1)}, len(Address{}))...)
	}
	return b
}

func TestParseRefuses(t *testing.T) {
	tests := []struct {
		name string
		node []byte
		want string
	}{
		{"nothing", nil, "no bytes"},
		{"an unknown kind", []byte{3, 1}, "unknown kind"},
		{"no count", []byte{kindLeaf}, "count: varint is cut short"},
		{"a long form of a varint", []byte{kindLeaf, 0x81, 0}, "longer than it need be"},
		{"a varint over 64 bits", append([]byte{kindLeaf}, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"...), "over 64 bits"},
		{"a leaf without entries", leafBytes(0, ""), "without entries"},
		{"fewer entries than announced", leafBytes(2, "\x02a\x01b\x05"), "entry 1 of 2: type: varint is cut short"},
		{"a first entry without a type", leafBytes(1, "\x00\x01b\x05"), "before the first"},
		{"a type longer than the node", leafBytes(1, "\x09a"), "type is cut short"},
		{"a state key longer than the node", leafBytes(1, "\x02a\x09b"), "9 bytes announced, 1 left"},
		{"an entry without a number", leafBytes(1, "\x02a\x01b"), "event number: varint is cut short"},
		{"event number 0", leafBytes(1, "\x02a\x01b\x00"), "event number is 0"},
		{"a type written twice", leafBytes(2, "\x02a\x01b\x05\x02a\x01c\x05"), "types do not rise"},
		{"types out of order", leafBytes(2, "\x02b\x01b\x05\x02a\x01c\x05"), "types do not rise"},
		{"a state key twice", leafBytes(2, "\x02a\x01b\x05\x00\x01b\x06"), "state keys do not rise"},
		{"bytes after the last entry", leafBytes(1, "\x02a\x01b\x05!"), "1 bytes after"},
		{"a branch that fits a leaf", branchBytes("\x10\x00\x03", 2), "fit a leaf"},
		{"a prefix longer than the node", branchBytes("\x11\x7f", 0), "prefix: 127 bytes announced"},
		{"a prefix longer than a path", branchBytes("\x11\x55"+strings.Repeat("\x00", 0x55)+"\x03", 2), "prefix of 85 digits"},
		{"a digit over the base", branchBytes("\x11\x01\x08\x03", 2), "digit 8"},
		{"no bitmap", branchBytes("\x11\x00", 0), "bitmap is cut short"},
		{"a branch with one child", branchBytes("\x11\x00\x04", 1), "1 children"},
		{"fewer addresses than children", branchBytes("\x11\x00\x07", 2), "32 bytes of addresses for 3 children"},
		{"more addresses than children", branchBytes("\x11\x00\x03", 3), "48 bytes of addresses for 2 children"},
		{"an address of zeros", append(branchBytes("\x11\x00\x03", 1), make([]byte, 16)...), "zero"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(tt.node)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("parse of %q gave %v, want an error with %q", tt.node, err, tt.want)
			}
		})
	}
}

// A node that parses is the one encoding of what it says.
func FuzzDecodeNode(f *testing.F) {
	store := new(Memory)
	if _, err := Build(context.Background(), store, members(100)); err != nil {
		f.Fatal(err)
	}
	for _, b := range store.All() {
		f.Add(b)
	}
	f.Add(branchBytes("\x11\x02\x01\x02\x81", 2))
	f.Add(leafBytes(2, "\x02a\x01b\x05\x00\x01c\x06"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := parse(b)
		if err != nil {
			return
		}
		var again []byte
		if n.leaf {
			items := n.appendItems(nil)
			again = encodeLeaf(items)
			for _, i := range items {
				if got := n.get(i.entry.Key); got != i.entry.Number {
					t.Errorf("%v is %d in the leaf, want %d", i.entry.Key, got, i.entry.Number)
				}
			}
		} else {
			var kids [fanOut]Address
			for d := range kids {
				kids[d] = n.kid(d)
			}
			again = encodeBranch(n.count, n.prefix, &kids)
		}
		if !bytes.Equal(again, b) {
			t.Errorf("%x was read as %x", b, again)
		}

		// Nor do well-formed nodes that no writer made upset the operations.
		ctx, at := context.Background(), addressOf(b)
		store := new(Memory)
		if err := store.Save(ctx, []Node{{at, b}}); err != nil {
			t.Fatal(err)
		}
		root := Root(at)
		_, err = Get(ctx, store, root, member(1))
		wantBroken(t, err)
		for _, err := range OfType(ctx, store, root, "m.room.member") {
			wantBroken(t, err)
		}
		for _, err := range Diff(ctx, store, Root{}, root) {
			wantBroken(t, err)
		}
		for _, err := range Diff(ctx, store, root, Root{1}) {
			wantBroken(t, err)
		}
		if invariants {
			return // a change of a state that is not canonical panics then
		}
		_, err = Put(ctx, store, root, member(1), 9)
		wantBroken(t, err)
		if n.leaf {
			_, err = Delete(ctx, store, root, n.appendItems(nil)[0].entry.Key)
			wantBroken(t, err)
		}
	})
}

func wantBroken(t *testing.T, err error) {
	if err != nil && !errors.Is(err, ErrMissing) && !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v, want a missing or corrupt node", err)
	}
}

// Operations read from bytes, two each: what and on which key.
func FuzzOperations(f *testing.F) {
	f.Add([]byte("0123456789abcdefghijklmnopqrstuvwxyz"), byte(0))
	f.Add(bytes.Repeat([]byte{1, 2, 3, 250, 9, 77, 200, 5, 0}, 40), byte(1))
	f.Add(slices.Repeat([]byte{8, 1, 16, 2, 3, 3, 4, 4, 0, 4}, 30), byte(2))
	names := slices.Sorted(maps.Keys(pathFuncs))
	f.Fuzz(func(t *testing.T, ops []byte, paths byte) {
		ops = ops[:min(len(ops), 400)]
		r := room{new(Memory), pathFuncs[names[int(paths)%len(names)]]}
		var root, before Root
		var waiting []Entry
		plain, plainBefore := map[Key]uint64{}, map[Key]uint64{}
		for ; len(ops) >= 2; ops = ops[2:] {
			key := Key{fmt.Sprint("type", ops[1]%3), strings.Repeat("k", int(ops[1]/3))}
			number := uint64(ops[0] / 8)
			waiting = append(waiting, Entry{key, number})
			if plain[key] = number; number == 0 {
				delete(plain, key)
			}
			if ops[0]%8 > 2 && len(ops) >= 4 {
				continue // collect, to apply more at once
			}
			var err error
			if root, err = r.apply(root, waiting...); err != nil {
				t.Fatal(err)
			}
			waiting = waiting[:0]
			if ops[0]%8 == 0 {
				before, plainBefore = root, maps.Clone(plain)
			}
		}
		got, err := r.state(root, wanted{})
		if err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(got, plain) {
			t.Fatalf("state is %v, want %v", got, plain)
		}
		changed, err := r.diff(before, root)
		if err != nil {
			t.Fatal(err)
		}
		if want := mapDiff(plainBefore, plain); !maps.Equal(changed, want) {
			t.Fatalf("difference is %v, want %v", changed, want)
		}
	})
}

func TestBrokenNodesAreNamed(t *testing.T) {
	ctx := context.Background()
	store := new(Memory)
	root, err := Build(ctx, store, members(300))
	if err != nil {
		t.Fatal(err)
	}
	for at, good := range store.All() {
		flipped := slices.Clone(good)
		flipped[len(flipped)/2] ^= 0x20
		for want, bad := range map[error][]byte{ErrMissing: nil, ErrCorrupt: flipped} {
			store.nodes[at] = bad
			var got error
			for _, err := range All(ctx, store, root) {
				got = err
			}
			if !errors.Is(got, want) || !strings.Contains(got.Error(), at.String()) {
				t.Fatalf("got %v, want that %s is %v", got, at, want)
			}
		}
		store.nodes[at] = good
	}
}

// Branches can stand no deeper than a path has digits, whatever a store says.
func TestBranchBelowThePathIsCorrupt(t *testing.T) {
	ctx := context.Background()
	store := new(Memory)
	var at Address
	put := func(b []byte) {
		at = addressOf(b)
		if err := store.Save(ctx, []Node{{at, b}}); err != nil {
			t.Fatal(err)
		}
	}
	put(encodeLeaf([]item{{entry: Entry{member(1), 1}}}))
	for range pathDigits + 1 {
		put(encodeBranch(math.MaxUint64, nil, &[fanOut]Address{at, at, at, at, at, at, at, at}))
	}
	if _, err := Get(ctx, store, Root(at), member(1)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Get gave %v, want %v", err, ErrCorrupt)
	}
	if _, err := Put(ctx, store, Root(at), member(1), 5); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Put gave %v, want %v", err, ErrCorrupt)
	}
}

func TestCountsThatDoNotAddUpAreCorrupt(t *testing.T) {
	if invariants {
		return // they panic before they are noticed
	}
	ctx := context.Background()
	store := new(Memory)
	one := Key{"m.room.name", ""}
	two := Key{"m.room.topic", ""}
	pathOne, pathTwo := hashPath(one), hashPath(two)
	if pathOne.digit(0) == pathTwo.digit(0) {
		t.Fatal("the keys must part at once")
	}
	branch := func(count uint64, first, second []byte) Root {
		var kids [fanOut]Address
		kids[pathOne.digit(0)], kids[pathTwo.digit(0)] = addressOf(first), addressOf(second)
		top := encodeBranch(count, nil, &kids)
		nodes := []Node{{addressOf(first), first}, {addressOf(second), second}, {addressOf(top), top}}
		if err := store.Save(ctx, nodes); err != nil {
			t.Fatal(err)
		}
		return Root(addressOf(top))
	}
	leafOne, leafTwo := encodeLeaf([]item{{entry: Entry{one, 1}}}), encodeLeaf([]item{{entry: Entry{two, 2}}})
	inner := encodeBranch(90, nil, &[fanOut]Address{addressOf(leafOne), addressOf(leafTwo)})
	tests := []struct {
		name string
		root Root
		gone []Entry
	}{
		{"more announced than there are", branch(1000, leafOne, leafTwo), []Entry{{one, 0}, {two, 0}}},
		{"fewer announced than there are", branch(17, leafOne, inner), []Entry{{one, 0}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Apply(ctx, store, tt.root, tt.gone); !errors.Is(err, ErrCorrupt) {
				t.Errorf("got %v, want %v", err, ErrCorrupt)
			}
		})
	}
}
