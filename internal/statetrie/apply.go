package statetrie

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
)

// Put sets key to the event number and returns the root of the state that
// results. Number 0 takes key away, as Delete does.
func Put(ctx context.Context, store Store, root Root, key Key, number uint64) (Root, error) {
	return Apply(ctx, store, root, []Entry{{key, number}})
}

// Delete returns the root of the state without key. Where the state has no
// such key, that is the same root.
func Delete(ctx context.Context, store Store, root Root, key Key) (Root, error) {
	return Apply(ctx, store, root, []Entry{{key, 0}})
}

// Build stores the state of the given entries, which may come in any order, and
// returns its root. It is Apply to the empty state.
func Build(ctx context.Context, store Store, entries iter.Seq[Entry]) (Root, error) {
	return Apply(ctx, store, Root{}, slices.Collect(entries))
}

// Apply makes changes to the state of root and returns the root of the state
// that results. It is as if they were made one after another: of several to
// one key, the last counts; number 0 takes a key away. But each node touched
// is written once.
//
// Nothing that exists is changed. After an error some new nodes may be stored;
// no root leads to them, and to try again is safe.
func Apply(ctx context.Context, store Store, root Root, changes []Entry) (Root, error) {
	e := editor{reader: reader{ctx, store, hashPath}, store: store}
	return e.apply(root, changes)
}

// editor is one Apply. It edits a copy in memory of the part of the trie that
// the changes touch, and saves it when all is done: what a node looks like is
// known only when its children are final, since deletions can collapse them.
type editor struct {
	reader
	store Store
	read  map[Address][]byte // by prefetch
	saved []Node             // waiting for a full chunk
}

func (e *editor) apply(root Root, changes []Entry) (Root, error) {
	items := e.sorted(changes)
	if err := e.prefetch(Address(root), items); err != nil {
		return Root{}, fmt.Errorf("changing the state %s: %w", root, err)
	}
	top := child{at: Address(root)}
	if err := e.open(&top, 0); err != nil {
		return Root{}, fmt.Errorf("changing the state %s: %w", root, err)
	}
	tree, err := e.edit(top.tree, 0, items)
	if err != nil {
		return Root{}, fmt.Errorf("changing the state %s: %w", root, err)
	}
	at, err := e.save(&child{tree: tree}, 0)
	if err == nil {
		err = e.flush()
	}
	if err != nil {
		return Root{}, fmt.Errorf("storing the state after %s: %w", root, err)
	}
	if invariants {
		if err := e.checkApplied(root, changes, Root(at)); err != nil {
			return Root{}, fmt.Errorf("checking the state after %s: %w", root, err)
		}
	}
	return Root(at), nil
}

// sorted gives the changes their paths and leaves the last one of each key.
func (e *editor) sorted(changes []Entry) []item {
	items := make([]item, len(changes))
	for i, c := range changes {
		items[i] = item{e.pathOf(c.Key), c}
	}
	slices.SortStableFunc(items, item.compare)
	kept := items[:0]
	for i := range items {
		if i+1 == len(items) || items[i].entry.Key != items[i+1].entry.Key {
			kept = append(kept, items[i])
		}
	}
	return kept
}

func (i item) compare(other item) int {
	return cmp.Or(slices.Compare(i.path[:], other.path[:]), i.entry.Compare(other.entry.Key))
}

// subtree is a part of the trie, opened for editing. The nil subtree is empty.
type subtree struct {
	at    Address // where it is stored as it is; zero if it is new
	count uint64

	items []item // leaf: in the order of their keys, paths not filled in

	prefix []byte         // branch
	kids   *[fanOut]child // branch; nil in a leaf
}

// child is a branch's reference to a subtree: none if both fields are zero,
// not yet read if tree is nil, new or changed if at is zero.
type child struct {
	at   Address
	tree *subtree
}

func (t *subtree) size() uint64 {
	if t == nil {
		return 0
	}
	return t.count
}

// edit returns t with the changes made, or t itself if they change nothing.
// The changes are sorted, one for each key.
func (e *editor) edit(t *subtree, depth int, changes []item) (*subtree, error) {
	if t == nil || t.kids == nil {
		return e.editLeaf(t, depth, changes), nil
	}
	return e.editBranch(t, depth, changes)
}

func (e *editor) editLeaf(t *subtree, depth int, changes []item) *subtree {
	var items []item
	if t != nil {
		items = slices.Clone(t.items)
	}
	old, changed := len(items), false
	for _, c := range changes {
		i := slices.IndexFunc(items[:old], func(i item) bool { return i.entry.Key == c.entry.Key })
		switch {
		case i < 0 && c.entry.Number != 0:
			items = append(items, c)
		case i >= 0 && c.entry.Number != items[i].entry.Number:
			items[i].entry.Number = c.entry.Number // perhaps 0: swept out below
		default:
			continue
		}
		changed = true
	}
	if !changed {
		return t
	}
	kept := items[:0]
	for i := range items {
		if items[i].entry.Number == 0 {
			continue
		}
		kept = append(kept, items[i])
	}
	if len(kept) <= leafMax {
		return newLeaf(kept)
	}
	for i := range min(old, len(kept)) {
		kept[i].path = e.pathOf(kept[i].entry.Key)
	}
	slices.SortFunc(kept, item.compare)
	return assemble(kept, depth)
}

// newLeaf takes possession of items, in any order.
func newLeaf(items []item) *subtree {
	if len(items) == 0 {
		return nil
	}
	slices.SortFunc(items, func(a, b item) int { return a.entry.Compare(b.entry.Key) })
	return &subtree{count: uint64(len(items)), items: items}
}

// assemble makes the one subtree that holds sorted items. Its rule is the
// canonical form: up to leafMax entries are a leaf, more are a branch where
// their paths first differ; only entries of equal paths share a larger leaf.
func assemble(items []item, depth int) *subtree {
	if len(items) <= leafMax {
		return newLeaf(items)
	}
	first, last := &items[0].path, &items[len(items)-1].path
	split := depth
	for split < pathDigits && first.digit(split) == last.digit(split) {
		split++
	}
	if split == pathDigits {
		return newLeaf(items)
	}
	t := &subtree{
		count:  uint64(len(items)),
		prefix: first.digits(depth, split),
		kids:   new([fanOut]child),
	}
	for d, run := range byDigit(items, split) {
		t.kids[d].tree = assemble(run, split+1)
	}
	return t
}

func (e *editor) editBranch(t *subtree, depth int, changes []item) (*subtree, error) {
	// A change that does not share the whole prefix asks for a branch above t.
	// (If it deletes what is not there, settle takes that branch out again.)
	shared := len(t.prefix)
	for i := range changes {
		shared = min(shared, changes[i].path.matches(t.prefix, depth))
	}
	edited := &subtree{count: t.count, prefix: t.prefix[:shared], kids: new([fanOut]child)}
	if shared == len(t.prefix) {
		*edited.kids = *t.kids
	} else {
		edited.kids[t.prefix[shared]].tree = &subtree{count: t.count, prefix: t.prefix[shared+1:], kids: t.kids}
	}

	changed := false
	split := depth + shared
	for d, run := range byDigit(changes, split) {
		kid := &edited.kids[d]
		if err := e.open(kid, split+1); err != nil {
			return nil, err
		}
		tree, err := e.edit(kid.tree, split+1, run)
		if err != nil {
			return nil, err
		}
		if tree == kid.tree {
			continue
		}
		changed = true
		edited.count += tree.size() - kid.tree.size()
		*kid = child{tree: tree}
	}
	if !changed {
		return t, nil
	}
	return e.settle(edited, split)
}

// settle puts a branch into canonical form whose children, below digit split,
// are in it already.
func (e *editor) settle(t *subtree, split int) (*subtree, error) {
	if t.count <= leafMax {
		return e.collapse(t, split)
	}
	only, kids := 0, 0
	for d := range t.kids {
		if t.kids[d] != (child{}) {
			only, kids = d, kids+1
		}
	}
	switch {
	case kids > 1:
		return t, nil
	case kids == 0: // the counts that were read do not add up
		return nil, fmt.Errorf("state node: %w: branch of %d entries became empty", ErrCorrupt, t.count)
	}
	if err := e.open(&t.kids[only], split+1); err != nil {
		return nil, err
	}
	kid := t.kids[only].tree
	if kid.kids == nil { // a large leaf, of equal paths
		return kid, nil
	}
	prefix := slices.Concat(t.prefix, []byte{byte(only)}, kid.prefix)
	return &subtree{count: kid.count, prefix: prefix, kids: kid.kids}, nil
}

// collapse makes one leaf of a branch with few entries. Its children, of still
// fewer, are leaves.
func (e *editor) collapse(t *subtree, split int) (*subtree, error) {
	var items []item
	for d := range t.kids {
		kid := &t.kids[d]
		if err := e.open(kid, split+1); err != nil {
			return nil, err
		}
		switch {
		case kid.tree == nil:
		case kid.tree.kids == nil:
			items = append(items, kid.tree.items...)
		default:
			return nil, fmt.Errorf("state node %s: %w: %d entries under a branch of %d", kid.at, ErrCorrupt, kid.tree.count, t.count)
		}
	}
	return newLeaf(items), nil
}
