package statetrie

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
)

// A node is either
//
//	leaf:   kindLeaf, count, then count entries in the order of Key.Compare:
//	        0 if the type is that of the entry before, else 1 + length and
//	        bytes of the type; length and bytes of the state key; number
//	branch: kindBranch, count, length and digits of the prefix (a byte each),
//	        bitmap of the children present (a byte, bit d for digit d), their
//	        addresses by rising digit
//
// where counts, lengths and numbers are the shortest unsigned varints and the
// count of a branch is that of all entries under it. The kind is also the
// version of the format: another format takes other kinds.
const (
	kindLeaf   = 0x01
	kindBranch = 0x02
)

// node is a view of a node's bytes. Nothing is copied until it is asked for.
type node struct {
	leaf    bool
	count   uint64
	entries []byte // leaf
	prefix  []byte // branch: digits that all entries under it share
	bitmap  byte   // branch
	kids    []byte // branch: addresses
}

// parse checks all of b that can be checked without other nodes.
func parse(b []byte) (node, error) {
	if len(b) == 0 {
		return node{}, errors.New("no bytes")
	}
	kind := b[0]
	count, b, err := cutUvarint(b[1:])
	if err != nil {
		return node{}, fmt.Errorf("count: %w", err)
	}
	switch kind {
	case kindLeaf:
		return parseLeaf(count, b)
	case kindBranch:
		return parseBranch(count, b)
	}
	return node{}, fmt.Errorf("unknown kind %#02x", kind)
}

func parseLeaf(count uint64, b []byte) (node, error) {
	if count == 0 {
		return node{}, errors.New("leaf without entries")
	}
	n := node{leaf: true, count: count, entries: b}
	scan := scanner{rest: b}
	for i := range count {
		if err := scan.next(); err != nil {
			return node{}, fmt.Errorf("entry %d of %d: %w", i, count, err)
		}
	}
	if len(scan.rest) > 0 {
		return node{}, fmt.Errorf("%d bytes after the last entry", len(scan.rest))
	}
	return n, nil
}

func parseBranch(count uint64, b []byte) (node, error) {
	if count <= leafMax {
		return node{}, fmt.Errorf("branch over %d entries, which fit a leaf", count)
	}
	n := node{count: count}
	var err error
	if n.prefix, b, err = cutBytes(b); err != nil {
		return node{}, fmt.Errorf("prefix: %w", err)
	}
	if len(n.prefix) >= pathDigits {
		return node{}, fmt.Errorf("prefix of %d digits", len(n.prefix))
	}
	for _, d := range n.prefix {
		if d >= fanOut {
			return node{}, fmt.Errorf("digit %d in the prefix", d)
		}
	}
	if len(b) == 0 {
		return node{}, errors.New("bitmap is cut short")
	}
	n.bitmap, n.kids = b[0], b[1:]
	kids := bits.OnesCount8(n.bitmap)
	if kids < 2 {
		return node{}, fmt.Errorf("branch with %d children", kids)
	}
	if len(n.kids) != kids*len(Address{}) {
		return node{}, fmt.Errorf("%d bytes of addresses for %d children", len(n.kids), kids)
	}
	for i := range kids {
		if Address(n.kids[i*len(Address{}):]) == (Address{}) {
			return node{}, fmt.Errorf("address of child %d is zero", i)
		}
	}
	return n, nil
}

// kid returns the address of the child at digit d, zero if there is none.
func (n *node) kid(d int) Address {
	if n.bitmap&(1<<d) == 0 {
		return Address{}
	}
	i := bits.OnesCount8(n.bitmap & (1<<d - 1))
	return Address(n.kids[i*len(Address{}):])
}

// scanner reads the entries of a leaf. After next, typ, key and number are
// those of the entry and share the node's bytes.
type scanner struct {
	rest     []byte
	typ, key []byte
	number   uint64
	started  bool
}

func (s *scanner) next() error {
	typ, key, started := s.typ, s.key, s.started
	n, rest, err := cutUvarint(s.rest)
	if err != nil {
		return fmt.Errorf("type: %w", err)
	}
	if n == 0 {
		if !started {
			return errors.New("type of the entry before the first")
		}
	} else {
		if n-1 > uint64(len(rest)) {
			return errors.New("type is cut short")
		}
		s.typ, rest = rest[:n-1], rest[n-1:]
		if started && string(s.typ) <= string(typ) {
			return errors.New("types do not rise")
		}
	}
	if s.key, rest, err = cutBytes(rest); err != nil {
		return fmt.Errorf("state key: %w", err)
	}
	if n == 0 && string(s.key) <= string(key) {
		return errors.New("state keys do not rise")
	}
	if s.number, rest, err = cutUvarint(rest); err != nil {
		return fmt.Errorf("event number: %w", err)
	}
	if s.number == 0 {
		return errors.New("event number is 0")
	}
	s.rest, s.started = rest, true
	return nil
}

// get finds the number of k in a leaf, 0 if it is not there.
func (n *node) get(k Key) uint64 {
	scan := scanner{rest: n.entries}
	for range n.count {
		if scan.next() != nil {
			return 0 // parse has seen all entries
		}
		if string(scan.key) == k.StateKey && string(scan.typ) == k.Type {
			return scan.number
		}
	}
	return 0
}

// appendItems appends the entries of a leaf, in the order of their keys and
// with paths left zero.
func (n *node) appendItems(to []item) []item {
	to = slices.Grow(to, int(min(n.count, uint64(len(n.entries)))))
	scan := scanner{rest: n.entries}
	typ := ""
	for range n.count {
		if scan.next() != nil {
			return to // parse has seen all entries
		}
		if string(scan.typ) != typ {
			typ = string(scan.typ)
		}
		to = append(to, item{entry: Entry{Key{typ, string(scan.key)}, scan.number}})
	}
	return to
}

// encodeLeaf expects items in the order of their keys.
func encodeLeaf(items []item) []byte {
	size := 16
	for i := range items {
		size += len(items[i].entry.Type) + len(items[i].entry.StateKey) + 8
	}
	b := append(make([]byte, 0, size), kindLeaf)
	b = binary.AppendUvarint(b, uint64(len(items)))
	for i := range items {
		e := &items[i].entry
		if i > 0 && e.Type == items[i-1].entry.Type {
			b = append(b, 0)
		} else {
			b = binary.AppendUvarint(b, 1+uint64(len(e.Type)))
			b = append(b, e.Type...)
		}
		b = binary.AppendUvarint(b, uint64(len(e.StateKey)))
		b = append(b, e.StateKey...)
		b = binary.AppendUvarint(b, e.Number)
	}
	return b
}

// encodeBranch takes the zero address for no child.
func encodeBranch(count uint64, prefix []byte, kids *[fanOut]Address) []byte {
	b := make([]byte, 0, 16+len(prefix)+fanOut*len(Address{}))
	b = append(b, kindBranch)
	b = binary.AppendUvarint(b, count)
	b = binary.AppendUvarint(b, uint64(len(prefix)))
	b = append(b, prefix...)
	var bitmap byte
	for d := range kids {
		if kids[d] != (Address{}) {
			bitmap |= 1 << d
		}
	}
	b = append(b, bitmap)
	for d := range kids {
		if kids[d] != (Address{}) {
			b = append(b, kids[d][:]...)
		}
	}
	return b
}

// cutUvarint refuses varints that could have been shorter: each node has one
// encoding.
func cutUvarint(b []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(b)
	switch {
	case n == 0:
		return 0, nil, errors.New("varint is cut short")
	case n < 0:
		return 0, nil, errors.New("varint is over 64 bits")
	case n > 1 && b[n-1] == 0:
		return 0, nil, errors.New("varint is longer than it need be")
	}
	return v, b[n:], nil
}

func cutBytes(b []byte) ([]byte, []byte, error) {
	n, rest, err := cutUvarint(b)
	if err != nil {
		return nil, nil, err
	}
	if n > uint64(len(rest)) {
		return nil, nil, fmt.Errorf("%d bytes announced, %d left", n, len(rest))
	}
	return rest[:n], rest[n:], nil
}
