package statetrie

import (
	"context"
	"fmt"
	"iter"
	"slices"
)

// Change is a difference of two states: the key has event Old in the one and
// event New in the other, 0 where it has none. Old and New differ.
type Change struct {
	Key
	Old, New uint64
}

// Diff yields the changes that lead from the state of before to that of after,
// in an order that is the same each time and otherwise without meaning. Equal
// parts are not read: the work grows with the number of changes, not with the
// states. An error is yielded last, with a zero change.
func Diff(ctx context.Context, nodes Nodes, before, after Root) iter.Seq2[Change, error] {
	d := differ{reader: reader{ctx, nodes, hashPath}}
	return d.diff(before, after)
}

type differ struct {
	reader
	stack []pair
}

// pair is two subtrees at one place of the trie, to be compared.
type pair struct {
	old, new side
	depth    int
}

// side is one of them, in one of three forms: nothing; the node at an address,
// of whose prefix cut digits lie above the pair's depth; or some of a leaf's
// items.
type side struct {
	at  Address
	cut int

	items []item
	paths bool // are filled in, and the items sorted by them
}

func (d *differ) diff(before, after Root) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		if before == after {
			return
		}
		d.stack = append(d.stack[:0], pair{old: side{at: Address(before)}, new: side{at: Address(after)}})
		for len(d.stack) > 0 {
			cut := max(0, len(d.stack)-loadChunk/2)
			chunk := slices.Clone(d.stack[cut:])
			d.stack = d.stack[:cut]
			nodes, err := d.open(chunk)
			if err != nil {
				yield(Change{}, fmt.Errorf("comparing the states %s and %s: %w", before, after, err))
				return
			}
			for i := range chunk {
				if !d.compare(&chunk[i], &nodes[2*i], &nodes[2*i+1], yield) {
					return
				}
			}
		}
	}
}

// open loads the nodes of the pairs, old and new alternating. Leaves it turns
// into items and leaves their node zero.
func (d *differ) open(pairs []pair) ([]node, error) {
	nodes := make([]node, 2*len(pairs))
	sides := make([]*side, 0, 2*len(pairs))
	var at []Address
	for i := range pairs {
		sides = append(sides, &pairs[i].old, &pairs[i].new)
	}
	for _, s := range sides {
		if s.at != (Address{}) {
			at = append(at, s.at)
		}
	}
	if len(at) == 0 {
		return nodes, nil
	}
	into := make([][]byte, len(at))
	if err := d.load(at, into); err != nil {
		return nil, err
	}
	for i, s := range sides {
		if s.at == (Address{}) {
			continue
		}
		n, err := d.node(s.at, into[0], pairs[i/2].depth-s.cut)
		if err != nil {
			return nil, err
		}
		into = into[1:]
		if n.leaf {
			*s = side{items: n.appendItems(nil)}
		} else {
			nodes[i] = n
		}
	}
	return nodes, nil
}

// compare yields the changes that are in plain sight and pushes the pairs of
// children that differ. It reports whether to go on.
func (d *differ) compare(p *pair, old, new *node, yield func(Change, error) bool) bool {
	oldBranch, newBranch := p.old.at != (Address{}), p.new.at != (Address{})
	if !oldBranch && !newBranch {
		return yieldItems(p.old.items, p.new.items, yield)
	}
	// The digits below depth that each branch of the pair has.
	var prefix []byte
	switch {
	case oldBranch && newBranch:
		a, b := old.prefix[p.old.cut:], new.prefix[p.new.cut:]
		for len(prefix) < min(len(a), len(b)) && a[len(prefix)] == b[len(prefix)] {
			prefix = a[:len(prefix)+1]
		}
	case oldBranch:
		prefix = old.prefix[p.old.cut:]
	default:
		prefix = new.prefix[p.new.cut:]
	}
	split := p.depth + len(prefix)
	var olds, news [fanOut]side
	if oldBranch {
		p.old.spread(old, len(prefix), &olds)
	} else if !d.spreadItems(&p.old, prefix, p.depth, &olds, func(i []item) bool { return yieldItems(i, nil, yield) }) {
		return false
	}
	if newBranch {
		p.new.spread(new, len(prefix), &news)
	} else if !d.spreadItems(&p.new, prefix, p.depth, &news, func(i []item) bool { return yieldItems(nil, i, yield) }) {
		return false
	}
	for i := range fanOut {
		a, b := olds[i], news[i]
		if a.at == b.at && len(a.items) == 0 && len(b.items) == 0 {
			continue // equal, or both empty
		}
		d.stack = append(d.stack, pair{a, b, split + 1})
	}
	return true
}

// spread sorts what is under a branch by the digit that follows the first
// shared ones of its remaining prefix.
func (s *side) spread(n *node, shared int, to *[fanOut]side) {
	if cut := s.cut + shared; cut < len(n.prefix) {
		to[n.prefix[cut]] = side{at: s.at, cut: cut + 1}
		return
	}
	for d := range fanOut {
		to[d] = side{at: n.kid(d)}
	}
}

// spreadItems does the same to items; those without the prefix have nothing to
// be compared with and go to alone.
func (d *differ) spreadItems(s *side, prefix []byte, depth int, to *[fanOut]side, alone func([]item) bool) bool {
	if !s.paths {
		for i := range s.items {
			s.items[i].path = d.pathOf(s.items[i].entry.Key)
		}
		slices.SortFunc(s.items, item.compare)
	}
	before, in, after := within(s.items, prefix, depth)
	for digit, run := range byDigit(in, depth+len(prefix)) {
		to[digit] = side{items: run, paths: true}
	}
	return alone(before) && alone(after)
}

// yieldItems yields the changes from one leaf's items to another's.
func yieldItems(old, new []item, yield func(Change, error) bool) bool {
	byKey := func(a, b item) int { return a.entry.Compare(b.entry.Key) }
	slices.SortFunc(old, byKey)
	slices.SortFunc(new, byKey)
	for len(old) > 0 || len(new) > 0 {
		var c Change
		switch {
		case len(new) == 0 || len(old) > 0 && byKey(old[0], new[0]) < 0:
			c, old = Change{old[0].entry.Key, old[0].entry.Number, 0}, old[1:]
		case len(old) == 0 || byKey(old[0], new[0]) > 0:
			c, new = Change{new[0].entry.Key, 0, new[0].entry.Number}, new[1:]
		default:
			c, old, new = Change{old[0].entry.Key, old[0].entry.Number, new[0].entry.Number}, old[1:], new[1:]
		}
		if c.Old != c.New && !yield(c, nil) {
			return false
		}
	}
	return true
}
