package room

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"parley/internal/journal"
	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// A heardState is one by the word of another server. It is stored before an event of
// the room refers to it. A purge that begins in between knows nothing of it.
type heardState struct {
	root statetrie.Root
	// left is when what was left of the room had changed last, as [remains.began].
	left journal.Position
}

// errOutdated is that something of a room was purged since a state of it was stored,
// which has to be stored again.
var errOutdated = fmt.Errorf("%w: something was purged meanwhile", ErrMissing)

// expectHeard refuses a state of which parts may be gone.
func (r *live) expectHeard(t heardState) error {
	if t.left != r.remains.began {
		return errOutdated
	}
	return nil
}

// storeState stores the trie of a state, in pieces.
func (g *Engine) storeState(ctx context.Context, r *live, state map[event.Tuple]*event.Event, nums map[id.EventID]stateres.Num) (heardState, error) {
	return g.storeTrie(ctx, r, func(yield func(statetrie.Entry) bool) {
		for t, e := range state {
			if !yield(statetrie.Entry{Key: statetrie.Key(t), Number: uint64(nums[e.ID()])}) {
				return
			}
		}
	})
}

func (g *Engine) storeTrie(ctx context.Context, r *live, entries iter.Seq[statetrie.Entry]) (t heardState, err error) {
	var nums []stateres.Num
	for entry := range entries {
		nums = append(nums, stateres.Num(entry.Number))
	}
	if t.left, err = g.expectStays(ctx, r.num, nums); err != nil {
		return t, fmt.Errorf("storing a state of %s: %w", r.id, err)
	}
	n := &nodes{engine: g, room: r.num, uncommitted: make(map[statetrie.Address][]byte)}
	if t.root, err = statetrie.Build(ctx, n, entries); err != nil {
		return t, fmt.Errorf("building the state of %s: %w", r.id, err)
	}
	pos := max(g.journal.Head(), t.left) // another node may have purged, of which this one has not heard
	for chunk := range slices.Chunk(n.fresh, chainStep) {
		err := g.db.Update(ctx, func(tx *store.Tx) error {
			rows := make([][]any, len(chunk))
			for i, node := range chunk {
				rows[i] = []any{r.num, node.Address, node.Bytes, pos}
			}
			return tx.QueueAll(insertNodes, rows)
		})
		if err != nil {
			return t, fmt.Errorf("storing the state of %s: %w", r.id, err)
		}
	}
	n.settled(n.fresh)
	return t, nil
}

// expectStays refuses events that are about to be deleted: what is stored and refers to
// them after the purge has marked what is needed would refer to nothing. What the
// present state has stays. It returns when what is left of the room has changed last.
func (g *Engine) expectStays(ctx context.Context, room Num, nums []stateres.Num) (journal.Position, error) {
	var left remains
	var root statetrie.Root
	going := make(map[stateres.Num]bool)
	err := g.db.View(ctx, func(tx *store.Tx) (err error) {
		if left, err = readRemains(tx, room); err != nil || !left.busy {
			return err
		}
		for _, n := range nums {
			going[n] = true
		}
		for chunk := range slices.Chunk(nums, chainStep) {
			if err := left.spare(tx, chunk, going); err != nil {
				return err
			}
		}
		return tx.Row("SELECT root FROM rooms WHERE room = $1", room).Scan(&root)
	})
	if err != nil {
		return 0, fmt.Errorf("reading what is left of room %d: %w", room, err)
	}
	if len(going) == 0 {
		return left.began, nil
	}
	for entry, err := range statetrie.All(ctx, g.committed(room), root) {
		if err != nil {
			return 0, err
		}
		delete(going, stateres.Num(entry.Number))
	}
	if len(going) > 0 {
		return 0, fmt.Errorf("%w: %d of them are being deleted", ErrMissing, len(going))
	}
	return left.began, nil
}

// spare takes those of some events out of a set that were not purged.
func (r remains) spare(tx *store.Tx, nums []stateres.Num, going map[stateres.Num]bool) error {
	in, list := tx.In(1, nums)
	for row, err := range tx.Query("SELECT event, place FROM events WHERE event "+in, list) {
		if err != nil {
			return err
		}
		var n stateres.Num
		var place int64
		if err := row.Scan(&n, &place); err != nil {
			return err
		}
		if !r.lost(place, n) {
			delete(going, n)
		}
	}
	return nil
}
