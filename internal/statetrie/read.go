package statetrie

import (
	"context"
	"fmt"
	"iter"
)

// Entry is one piece of state: what key is set to by which event. Event
// numbers begin at 1; 0 stands for no event.
type Entry struct {
	Key
	Number uint64
}

// Get returns the number of the event that key has in the state of root, 0 if
// it has none.
func Get(ctx context.Context, nodes Nodes, root Root, key Key) (uint64, error) {
	r := reader{ctx, nodes, hashPath}
	return r.get(root, key)
}

// Count returns the number of entries. It reads one node.
func Count(ctx context.Context, nodes Nodes, root Root) (uint64, error) {
	if root == (Root{}) {
		return 0, nil
	}
	f := fetch{reader: &reader{ctx, nodes, hashPath}}
	n, err := f.one(Address(root), 0)
	if err != nil {
		return 0, fmt.Errorf("counting the state %s: %w", root, err)
	}
	return n.count, nil
}

// All yields all entries, in an order that is the same each time and otherwise
// without meaning. An error is yielded last, with a zero entry.
func All(ctx context.Context, nodes Nodes, root Root) iter.Seq2[Entry, error] {
	r := reader{ctx, nodes, hashPath}
	return r.walk(root, nil)
}

// OfType yields the entries of one event type as All does. It reads the nodes
// of that type and the few above them.
func OfType(ctx context.Context, nodes Nodes, root Root, eventType string) iter.Seq2[Entry, error] {
	r := reader{ctx, nodes, hashPath}
	return r.walk(root, &eventType)
}

func (r *reader) get(root Root, key Key) (uint64, error) {
	f := fetch{reader: r}
	p := r.pathOf(key)
	depth := 0
	for at := Address(root); at != (Address{}); {
		n, err := f.one(at, depth)
		if err != nil {
			return 0, fmt.Errorf("reading (%q, %q) in the state %s: %w", key.Type, key.StateKey, root, err)
		}
		if n.leaf {
			return n.get(key), nil
		}
		if p.matches(n.prefix, depth) < len(n.prefix) {
			return 0, nil
		}
		depth += len(n.prefix)
		at = n.kid(p.digit(depth))
		depth++
	}
	return 0, nil
}

// walk yields the entries under root, only those of a type if one is given.
func (r *reader) walk(root Root, only *string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if root == (Root{}) {
			return
		}
		w := walker{reader: r, only: only, stack: []visit{{Address(root), 0}}}
		if only != nil {
			w.typePath = r.pathOf(Key{Type: *only})
		}
		for len(w.stack) > 0 {
			more, err := w.step(yield)
			if err != nil {
				yield(Entry{}, fmt.Errorf("reading the state %s: %w", root, err))
				return
			}
			if !more {
				return
			}
		}
	}
}

// walker visits nodes depth first, but a chunk of them at a time to spare the
// store round trips.
type walker struct {
	*reader
	only     *string // the type wanted, nil for all
	typePath path

	stack []visit // still to come
	chunk []visit
	at    []Address
	into  [][]byte
}

type visit struct {
	at    Address
	depth int
}

// step visits the uppermost chunk of the stack. It reports whether the caller
// wants more.
func (w *walker) step(yield func(Entry, error) bool) (bool, error) {
	cut := max(0, len(w.stack)-loadChunk)
	w.chunk = append(w.chunk[:0], w.stack[cut:]...)
	w.stack = w.stack[:cut]
	w.at, w.into = w.at[:0], w.into[:0]
	for _, v := range w.chunk {
		w.at, w.into = append(w.at, v.at), append(w.into, nil)
	}
	if err := w.load(w.at, w.into); err != nil {
		return false, err
	}
	for i, v := range w.chunk {
		n, err := w.node(v.at, w.into[i], v.depth)
		if err != nil {
			return false, err
		}
		if !n.leaf {
			w.push(&n, v.depth)
		} else if !n.yield(w.only, yield) {
			return false, nil
		}
	}
	return true, nil
}

// push adds the children of n to the stack, as far as the type wanted can be
// under them.
func (w *walker) push(n *node, depth int) {
	fixed := 0 // digits from depth on that the type decides
	if w.only != nil {
		fixed = max(0, typeDigits-depth)
	}
	shared := n.prefix[:min(fixed, len(n.prefix))]
	if w.typePath.matches(shared, depth) < len(shared) {
		return
	}
	split := depth + len(n.prefix)
	for d := range fanOut {
		if len(n.prefix) < fixed && w.typePath.digit(split) != d {
			continue
		}
		if kid := n.kid(d); kid != (Address{}) {
			w.stack = append(w.stack, visit{kid, split + 1})
		}
	}
}

// yield yields the entries of a leaf, only those of a type if one is given.
func (n *node) yield(only *string, yield func(Entry, error) bool) bool {
	scan := scanner{rest: n.entries}
	var typ string
	for range n.count {
		if scan.next() != nil {
			return true // parse has seen all entries
		}
		if only != nil && string(scan.typ) != *only {
			continue
		}
		if string(scan.typ) != typ {
			typ = string(scan.typ)
		}
		if !yield(Entry{Key{typ, string(scan.key)}, scan.number}, nil) {
			return false
		}
	}
	return true
}
