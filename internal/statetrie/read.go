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
	return r.walk(root, wanted{})
}

// OfType yields the entries of one event type as All does. It reads the nodes
// of that type and the few above them.
func OfType(ctx context.Context, nodes Nodes, root Root, eventType string) iter.Seq2[Entry, error] {
	r := reader{ctx, nodes, hashPath}
	return r.walk(root, wanted{some: true, typ: eventType})
}

// NotOfType yields the entries of all other event types as All does. It does
// not read the nodes of that type, which may be nearly all there are. Types that
// were ground (2^36 hashes) to share the subtree of this one are left out too.
func NotOfType(ctx context.Context, nodes Nodes, root Root, eventType string) iter.Seq2[Entry, error] {
	r := reader{ctx, nodes, hashPath}
	return r.walk(root, wanted{some: true, typ: eventType, but: true})
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

// wanted says which entries a walk yields: all, those of one type, or all but
// those.
type wanted struct {
	some bool
	typ  string
	but  bool
}

func (w wanted) wants(typ []byte) bool { return !w.some || (string(typ) == w.typ) != w.but }

// walk yields the entries under root that are wanted.
func (r *reader) walk(root Root, what wanted) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if root == (Root{}) {
			return
		}
		w := walker{reader: r, wanted: what, stack: []visit{{Address(root), 0, true}}}
		if what.some {
			w.typePath = r.pathOf(Key{Type: what.typ})
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
	wanted
	typePath path // of the type

	stack []visit // still to come
	chunk []visit
	at    []Address
	into  [][]byte
}

type visit struct {
	at     Address
	depth  int
	ofType bool // the way to it is, so far as a type decides it, that of the type
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
			w.push(&n, v)
		} else if !n.yield(w.wanted, yield) {
			return false, nil
		}
	}
	return true, nil
}

// push adds the children of n to the stack, as far as anything wanted can be
// under them.
func (w *walker) push(n *node, v visit) {
	fixed := max(0, typeDigits-v.depth) // digits from here on that the type decides
	shared := n.prefix[:min(fixed, len(n.prefix))]
	ofType := v.ofType && w.typePath.matches(shared, v.depth) == len(shared)
	split := v.depth + len(n.prefix)
	for d := range fanOut {
		kid := visit{n.kid(d), split + 1, ofType && (split >= typeDigits || w.typePath.digit(split) == d)}
		switch {
		case kid.at == (Address{}):
		case !w.some:
			w.stack = append(w.stack, kid)
		case w.but && kid.ofType && kid.depth >= typeDigits: // the type has this subtree for itself
		case !w.but && !kid.ofType:
		default:
			w.stack = append(w.stack, kid)
		}
	}
}

// yield yields the entries of a leaf that are wanted.
func (n *node) yield(what wanted, yield func(Entry, error) bool) bool {
	scan := scanner{rest: n.entries}
	var typ string
	for range n.count {
		if scan.next() != nil {
			return true // parse has seen all entries
		}
		if !what.wants(scan.typ) {
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
