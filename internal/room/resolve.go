package room

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/stateres"
)

// resolve makes one state of several, by the room's version. The caller holds
// mu.
func (r *live) resolve(ctx context.Context, roots []statetrie.Root) (statetrie.Root, error) {
	slices.SortFunc(roots, func(a, b statetrie.Root) int { return slices.Compare(a[:], b[:]) })
	roots = slices.Compact(roots)
	if len(roots) == 1 {
		return roots[0], nil
	}
	if r.merged.root == r.row.root && slices.Equal(r.merged.of, roots) {
		return r.merged.root, nil
	}
	root, err := r.resolveAnew(ctx, roots)
	if err == nil {
		r.merged = merged{slices.Clone(roots), root}
	}
	return root, err
}

// merged is the state that was last made of several. Where a room has branches, it
// is asked for with each message, which does not change it. Only as long as it is
// what the room is, it is certain that it is still stored.
type merged struct {
	of   []statetrie.Root
	root statetrie.Root
}

// resolveAnew is resolve for states that are in order and differ.
func (r *live) resolveAnew(ctx context.Context, roots []statetrie.Root) (statetrie.Root, error) {
	conflict, err := r.conflict(ctx, roots)
	if err != nil {
		return statetrie.Root{}, fmt.Errorf("comparing %d states of %s: %w", len(roots), r.id, err)
	}
	resolved, err := stateres.Resolve(r.rules, conflict, branches{ctx, r})
	if err != nil {
		return statetrie.Root{}, fmt.Errorf("resolving %d states of %s: %w", len(roots), r.id, err)
	}
	var changes []statetrie.Entry
	for t := range conflict.Conflicted {
		changes = append(changes, statetrie.Entry{Key: statetrie.Key(t), Number: uint64(resolved[t])})
	}
	for t, n := range resolved {
		if _, conflicted := conflict.Conflicted[t]; !conflicted {
			changes = append(changes, statetrie.Entry{Key: statetrie.Key(t), Number: uint64(n)})
		}
	}
	return statetrie.Apply(ctx, r.nodes, roots[0], changes)
}

// conflict finds where states differ, without reading what they share.
func (r *live) conflict(ctx context.Context, roots []statetrie.Root) (stateres.Conflict, error) {
	conflicted := make(map[event.Tuple][]stateres.Num)
	for _, other := range roots[1:] {
		for c, err := range statetrie.Diff(ctx, r.nodes, roots[0], other) {
			if err != nil {
				return stateres.Conflict{}, err
			}
			conflicted[event.Tuple(c.Key)] = make([]stateres.Num, len(roots))
		}
	}
	for t, nums := range conflicted {
		for i, root := range roots {
			n, err := statetrie.Get(ctx, r.nodes, root, statetrie.Key(t))
			if err != nil {
				return stateres.Conflict{}, err
			}
			nums[i] = stateres.Num(n)
		}
	}
	rest := agreement{ctx: ctx, room: r, root: roots[0], conflicted: conflicted}
	return stateres.Conflict{States: len(roots), Conflicted: conflicted, Unconflicted: rest}, nil
}

// agreement is what several states agree about: one of them, less where they
// differ.
type agreement struct {
	ctx        context.Context
	room       *live
	root       statetrie.Root
	conflicted map[event.Tuple][]stateres.Num
}

// StateNum implements stateres.View.
func (a agreement) StateNum(t event.Tuple) (stateres.Num, error) {
	if _, ok := a.conflicted[t]; ok {
		return 0, nil
	}
	n, err := statetrie.Get(a.ctx, a.room.nodes, a.root, statetrie.Key(t))
	return stateres.Num(n), err
}

// Nums implements stateres.View.
func (a agreement) Nums() iter.Seq2[stateres.Num, error] {
	return func(yield func(stateres.Num, error) bool) {
		for entry, err := range statetrie.All(a.ctx, a.room.nodes, a.root) {
			if _, ok := a.conflicted[event.Tuple(entry.Key)]; ok && err == nil {
				continue
			}
			if !yield(stateres.Num(entry.Number), err) {
				return
			}
		}
	}
}

// branches is the events of a live room as state resolution walks through them.
type branches struct {
	ctx  context.Context
	room *live
}

// Event implements stateres.Graph.
func (b branches) Event(n stateres.Num) (*event.Event, error) { return b.room.event(b.ctx, n) }

// AuthEvents implements stateres.Graph.
func (b branches) AuthEvents(n stateres.Num) ([]stateres.Num, error) {
	k, err := b.room.known(b.ctx, n)
	return k.auth, err
}

// Rejected implements stateres.Graph.
func (b branches) Rejected(n stateres.Num) (bool, error) {
	k, err := b.room.known(b.ctx, n)
	return k.status == rejected, err
}

// known is what the database has of an event beside its JSON.
type known struct {
	status  int64
	auth    []stateres.Num
	before  statetrie.Root
	follows []stateres.Num // see entry
	outlier bool
}

// known is what is known of an event that has a place, or was put aside.
func (m entry) known() known {
	return known{status: m.status, auth: m.auth, before: m.before, follows: m.follows}
}

// isOutlier is the condition for an event of which it is not known where it stands.
const isOutlier = "before IS NULL AND place IS NULL"

// graphKey names an event in the engine's cache. What is known of an outlier is only
// for the copy of the room that has read it: another node may place the event, of which
// the journal says nothing, but then what is decided on this copy is refused.
type graphKey struct {
	num  stateres.Num
	copy int64 // 0: for all
}

// recall returns what is in memory of what is known of an event.
func (r *live) recall(n stateres.Num) (known, bool) {
	if k, ok := r.engine.graph.Get(graphKey{num: n}); ok {
		return k, true
	}
	return r.engine.graph.Get(graphKey{n, r.copy})
}

// keep keeps in memory what is known of a committed event.
func (r *live) keep(n stateres.Num, k known) {
	key := graphKey{num: n}
	if k.outlier {
		key.copy = r.copy
	}
	r.engine.graph.Put(key, k)
}

// known returns what is known of an event. The caller holds mu.
func (r *live) known(ctx context.Context, n stateres.Num) (known, error) {
	if m, ok := r.pending[n]; ok {
		return m.known(), nil
	}
	if k, ok := r.recall(n); ok {
		return k, nil
	}
	var k known
	err := r.engine.db.View(ctx, func(tx *store.Tx) error {
		var auth, follows []byte
		err := tx.Row("SELECT status, auth, before, follows, "+isOutlier+" FROM events WHERE event = $1", n).
			Scan(&k.status, &auth, &k.before, &follows, &k.outlier)
		if err != nil {
			return err
		}
		if k.auth, err = decodeNums(auth); err != nil {
			return err
		}
		k.follows, err = decodeNums(follows)
		return err
	})
	if err != nil {
		return known{}, fmt.Errorf("reading event %d of %s: %w", n, r.id, err)
	}
	r.keep(n, k)
	return k, nil
}

// stateAfter returns the state after an event of the room. A rejected event
// changes nothing. The caller holds mu.
func (r *live) stateAfter(ctx context.Context, n stateres.Num) (statetrie.Root, error) {
	if m, ok := r.pending[n]; ok {
		return m.after, nil
	}
	k, err := r.known(ctx, n)
	if err != nil || k.status == rejected {
		return k.before, err
	}
	e, err := r.event(ctx, n)
	if err != nil {
		return statetrie.Root{}, err
	}
	t, ok := e.Tuple()
	if !ok {
		return k.before, nil
	}
	return statetrie.Put(ctx, r.nodes, k.before, statetrie.Key(t), uint64(n))
}

// statesAfter resolves the states after several events into one. The caller
// holds mu.
func (r *live) statesAfter(ctx context.Context, nums []stateres.Num) (statetrie.Root, error) {
	if len(nums) == 0 {
		return statetrie.Root{}, errors.New("no events to resolve the states of")
	}
	var roots []statetrie.Root
	for _, n := range nums {
		root, err := r.stateAfter(ctx, n)
		if err != nil {
			return statetrie.Root{}, err
		}
		roots = append(roots, root)
	}
	return r.resolve(ctx, roots)
}
