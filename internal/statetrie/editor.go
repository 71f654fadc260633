package statetrie

import "fmt"

// open reads the subtree of c if it is not in memory. The node stands at the
// given depth.
func (e *editor) open(c *child, depth int) error {
	if c.tree != nil || c.at == (Address{}) {
		return nil
	}
	var n node
	var err error
	if b, ok := e.read[c.at]; ok {
		n, err = e.node(c.at, b, depth)
	} else {
		f := fetch{reader: &e.reader}
		n, err = f.one(c.at, depth)
	}
	if err != nil {
		return err
	}
	t := &subtree{at: c.at, count: n.count}
	if n.leaf {
		t.items = n.appendItems(nil)
	} else {
		t.prefix = n.prefix
		t.kids = new([fanOut]child)
		for d := range fanOut {
			t.kids[d].at = n.kid(d)
		}
	}
	c.tree = t
	return nil
}

// prefetch reads the nodes on the way to the items, level by level: a store
// far away is asked as often as the trie is deep, not as often as it has nodes.
func (e *editor) prefetch(root Address, items []item) error {
	type visit struct {
		at    Address
		depth int
		items []item
	}
	if root == (Address{}) || len(items) < 2 {
		return nil
	}
	e.read = make(map[Address][]byte)
	level := []visit{{root, 0, items}}
	for len(level) > 0 {
		var next []visit
		for len(level) > 0 {
			chunk := level[:min(len(level), loadChunk)]
			level = level[len(chunk):]
			at, into := make([]Address, len(chunk)), make([][]byte, len(chunk))
			for i := range chunk {
				at[i] = chunk[i].at
			}
			if err := e.load(at, into); err != nil {
				return err
			}
			for i, v := range chunk {
				e.read[v.at] = into[i]
				n, err := e.node(v.at, into[i], v.depth)
				if err != nil {
					return err
				}
				if n.leaf {
					continue
				}
				split := v.depth + len(n.prefix)
				_, on, _ := within(v.items, n.prefix, v.depth)
				for d, run := range byDigit(on, split) {
					if kid := n.kid(d); kid != (Address{}) {
						next = append(next, visit{kid, split + 1, run})
					}
				}
			}
		}
		level = next
	}
	return nil
}

// save stores what is new under c, children first, and returns its address.
func (e *editor) save(c *child, depth int) (Address, error) {
	t := c.tree
	if t == nil {
		return c.at, nil
	}
	if t.at != (Address{}) {
		return t.at, nil
	}
	var b []byte
	if t.kids == nil {
		b = encodeLeaf(t.items)
	} else {
		var kids [fanOut]Address
		for d := range t.kids {
			var err error
			if kids[d], err = e.save(&t.kids[d], depth+len(t.prefix)+1); err != nil {
				return Address{}, err
			}
		}
		b = encodeBranch(t.count, t.prefix, &kids)
	}
	if invariants {
		e.checkSaved(t, b, depth)
	}
	t.at = addressOf(b)
	e.saved = append(e.saved, Node{t.at, b})
	if len(e.saved) == saveChunk {
		return t.at, e.flush()
	}
	return t.at, nil
}

func (e *editor) flush() error {
	if len(e.saved) == 0 {
		return nil
	}
	if err := e.store.Save(e.ctx, e.saved); err != nil {
		return fmt.Errorf("saving %d state nodes: %w", len(e.saved), err)
	}
	e.saved = e.saved[:0]
	return nil
}
