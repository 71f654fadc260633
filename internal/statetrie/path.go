package statetrie

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"iter"
	"strings"
)

// Shape of the trie, fixed by measurement: docs/decisions/0003-state-trie.md.
// Each of these is part of the stored format.
const (
	digitBits = 3              // bits of the path that one branch consumes
	fanOut    = 1 << digitBits // children of a branch
	leafMax   = 16             // a subtree of at most this many entries is one leaf

	pathSize   = sha256.Size
	pathDigits = pathSize * 8 / digitBits

	// The first typeSize bytes of a path, a whole number of digits, depend on
	// the type alone, which makes the entries of a type one subtree.
	typeSize   = 9
	typeDigits = typeSize * 8 / digitBits
)

// Key names one piece of a room's state.
//
// Both strings may be empty and hold any bytes. The trie sets no limit on
// their length: the 255 bytes of the size limits
// (https://spec.matrix.org/v1.19/client-server-api/#size-limits) are checked
// where events are.
type Key struct{ Type, StateKey string }

// Compare orders keys by type and then by state key, bytewise.
func (k Key) Compare(other Key) int {
	return cmp.Or(strings.Compare(k.Type, other.Type), strings.Compare(k.StateKey, other.StateKey))
}

// path is where in the trie a key belongs. Keys with equal paths are possible
// in principle and handled: they share a leaf, which holds whole keys.
type path [pathSize]byte

// hashPath gives the path of k. The second part covers the type too, so that
// two types whose first parts collide (birthday work: 2^36) do not make equal
// paths of equal state keys.
func hashPath(k Key) path {
	var p path
	byType := sha256.Sum256([]byte(k.Type))
	copy(p[:typeSize], byType[:])

	var space [128]byte
	text := binary.AppendUvarint(space[:0], uint64(len(k.Type)))
	text = append(text, k.Type...)
	text = append(text, k.StateKey...)
	whole := sha256.Sum256(text)
	copy(p[typeSize:], whole[:])
	return p
}

// digit returns the i-th digit of p, 0 <= i < pathDigits.
func (p *path) digit(i int) int {
	bit := i * digitBits
	window := uint(p[bit/8]) << 8 // a digit can lie across two bytes
	if bit/8+1 < pathSize {
		window |= uint(p[bit/8+1])
	}
	return int(window>>(16-digitBits-bit%8)) & (fanOut - 1)
}

// digits spells out the digits from (inclusive) to (exclusive), one per byte.
func (p *path) digits(from, to int) []byte {
	out := make([]byte, to-from)
	for i := range out {
		out[i] = byte(p.digit(from + i))
	}
	return out
}

// matches returns how many digits of prefix p has, in a row, from digit at on.
func (p *path) matches(prefix []byte, at int) int {
	for i, d := range prefix {
		if p.digit(at+i) != int(d) {
			return i
		}
	}
	return len(prefix)
}

// item is an entry with the path it has. Lists of items are sorted by path,
// then by key, wherever nothing else is said.
type item struct {
	path  path
	entry Entry
}

// within cuts from sorted items those that have all of prefix from digit at
// on. All items must agree on the digits before at.
func within(items []item, prefix []byte, at int) (before, in, after []item) {
	lo := 0
	for lo < len(items) && items[lo].path.matches(prefix, at) < len(prefix) {
		lo++
	}
	hi := lo
	for hi < len(items) && items[hi].path.matches(prefix, at) == len(prefix) {
		hi++
	}
	return items[:lo], items[lo:hi], items[hi:]
}

// byDigit yields the runs of sorted items that share the digit at, with it.
func byDigit(items []item, at int) iter.Seq2[int, []item] {
	return func(yield func(int, []item) bool) {
		for len(items) > 0 {
			d, n := items[0].path.digit(at), 1
			for n < len(items) && items[n].path.digit(at) == d {
				n++
			}
			if !yield(d, items[:n:n]) {
				return
			}
			items = items[n:]
		}
	}
}
