package room

import (
	"context"
	"fmt"

	"parley/internal/store"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// A ThreadRoot is an event from which a thread begins.
type ThreadRoot struct {
	Item
	// Last is the place of the last event in the thread.
	Last int64
}

// ThreadRoots returns the roots of threads of a room whose last events are up to
// a place, the latest first. It does not ask whether they may be one.
func (g *Engine) ThreadRoots(ctx context.Context, roomID id.RoomID, upTo int64, limit int) ([]ThreadRoot, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return nil, err
	}
	var nums []stateres.Num
	var roots []ThreadRoot
	err = g.db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query(`
			SELECT t.last, e.event FROM threads t JOIN events e ON e.event_id = t.thread AND e.room = t.room
			WHERE t.room = $1 AND t.last <= $2 AND t.last >= $4 AND e.place >= $4 ORDER BY t.last DESC LIMIT $3`, r.num, upTo, limit, r.remains.place) {
			if err != nil {
				return err
			}
			var root ThreadRoot
			if err := row.Scan(&root.Last, &root.Num); err != nil {
				return err
			}
			nums, roots = append(nums, root.Num), append(roots, root)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the threads of %s: %w", roomID, err)
	}
	items, err := g.itemsOf(ctx, r, nums)
	for i, it := range items {
		roots[i].Item = it
	}
	return roots, err
}
