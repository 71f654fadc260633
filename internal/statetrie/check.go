package statetrie

import (
	"bytes"
	"fmt"
	"maps"
)

// checkSaved panics if a node about to be saved is not in canonical form or
// does not read back as it was meant.
func (e *editor) checkSaved(t *subtree, b []byte, depth int) {
	n, err := parse(b)
	if err != nil {
		panic(fmt.Sprintf("statetrie: writes what it refuses to read: %v: %x", err, b))
	}
	if n.count != t.count || n.leaf != (t.kids == nil) || !bytes.Equal(n.prefix, t.prefix) {
		panic(fmt.Sprintf("statetrie: node reads back as another: %x", b))
	}
	if !n.leaf {
		if depth+len(n.prefix) >= pathDigits {
			panic(fmt.Sprintf("statetrie: branch below the last digit: %x", b))
		}
		return
	}
	first := e.pathOf(t.items[0].entry.Key)
	for i := range t.items {
		p := e.pathOf(t.items[i].entry.Key)
		if p.matches(first.digits(0, depth), 0) < depth {
			panic(fmt.Sprintf("statetrie: leaf at digit %d of entries that part before: %x", depth, b))
		}
		if len(t.items) > leafMax && p != first {
			panic(fmt.Sprintf("statetrie: large leaf of unequal paths: %x", b))
		}
	}
}

// checkMost is the size of the largest state that checkApplied looks at: it
// reads all of it at each change.
const checkMost = 2000

// checkApplied panics unless after is what the changes make of before,
// according to a plain map, and has the root that building it afresh gives.
func (e *editor) checkApplied(before Root, changes []Entry, after Root) error {
	want, err := e.plain(before)
	if err != nil || want == nil {
		return err
	}
	for _, c := range changes {
		if want[c.Key] = c.Number; c.Number == 0 {
			delete(want, c.Key)
		}
	}
	got, err := e.plain(after)
	if err != nil || got == nil {
		return err
	}
	if !maps.Equal(got, want) {
		panic(fmt.Sprintf("statetrie: %v applied to %s gave %v, want %v", changes, before, got, want))
	}
	var all []Entry
	for k, number := range want {
		all = append(all, Entry{k, number})
	}
	scratch := editor{reader: e.reader, store: new(Memory)}
	fresh, err := scratch.save(&child{tree: assemble(scratch.sorted(all), 0)}, 0)
	if err != nil {
		return err
	}
	if after != Root(fresh) {
		panic(fmt.Sprintf("statetrie: %v applied to %s gave the root %s, afresh it is %s", changes, before, after, fresh))
	}
	return nil
}

// plain returns a state as a map, nil if it is large.
func (e *editor) plain(root Root) (map[Key]uint64, error) {
	m := make(map[Key]uint64)
	for entry, err := range e.walk(root, wanted{}) {
		if err != nil {
			return nil, err
		}
		if len(m) == checkMost {
			return nil, nil
		}
		m[entry.Key] = entry.Number
	}
	return m, nil
}
