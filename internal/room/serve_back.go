package room

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"parley/internal/store"
	"parley/matrix/id"
)

// mostServed is how many events a server gets at once.
const mostServed = 100

// Backfill returns events to a server that has members in the room: those named,
// and what came before them, newest first, up to a limit of 100. It goes by the
// room's own order, in which whatever an event follows comes before it.
// https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1backfillroomid
func (g *Engine) Backfill(ctx context.Context, roomID id.RoomID, server id.ServerName, from []id.EventID, limit int) ([]Served, error) {
	return g.walkBack(ctx, roomID, server, walkBack{from: from, limit: limit, inclusive: true})
}

// MissingEvents returns events to a server that has members in the room and lacks
// what the latest of its events follow: the predecessors of those, less what is
// behind the earliest, oldest first, up to a limit.
// https://spec.matrix.org/v1.19/server-server-api/#post_matrixfederationv1get_missing_eventsroomid
func (g *Engine) MissingEvents(ctx context.Context, roomID id.RoomID, server id.ServerName, latest, earliest []id.EventID, limit int, minDepth int64) ([]Served, error) {
	served, err := g.walkBack(ctx, roomID, server, walkBack{from: latest, stop: earliest, limit: limit, minDepth: minDepth})
	slices.Reverse(served)
	return served, err
}

// walkBack is a walk from events to those that they follow.
type walkBack struct {
	from, stop []id.EventID
	limit      int
	minDepth   int64
	inclusive  bool // what it begins with is part of it
}

// walkBack walks from newer to older events by their references.
func (g *Engine) walkBack(ctx context.Context, roomID id.RoomID, server id.ServerName, w walkBack) ([]Served, error) {
	r, err := g.sharedWith(ctx, roomID, server)
	if err != nil {
		return nil, err
	}
	seen := make(map[id.EventID]bool)
	for _, eventID := range w.stop {
		seen[eventID] = true
	}
	var front, found []Item
	reach := func(ids []id.EventID, count bool) error {
		var fresh []id.EventID
		for _, eventID := range ids {
			if !seen[eventID] {
				seen[eventID] = true
				fresh = append(fresh, eventID)
			}
		}
		items, err := g.shownItems(ctx, r, fresh)
		for _, it := range items {
			if !count || it.Event.Depth() >= w.minDepth {
				front = append(front, it)
			}
		}
		return err
	}
	if err := reach(w.from[:min(len(w.from), mostServed)], w.inclusive); err != nil {
		return nil, err
	}
	if !w.inclusive {
		begin := front
		front = nil
		for _, it := range begin {
			if err := reach(it.Event.PrevEvents(), true); err != nil {
				return nil, err
			}
		}
	}
	for len(front) > 0 && len(found) < min(w.limit, mostServed) {
		newest := slices.MaxFunc(front, func(a, b Item) int { return cmp.Compare(a.Place, b.Place) })
		front = slices.DeleteFunc(front, func(it Item) bool { return it.Num == newest.Num })
		found = append(found, newest)
		if err := reach(newest.Event.PrevEvents(), true); err != nil {
			return nil, err
		}
	}
	return g.serve(ctx, roomID, server, found)
}

// shownItems returns those of some events of a room that have a place.
func (g *Engine) shownItems(ctx context.Context, r *live, ids []id.EventID) ([]Item, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var list []Item
	err := g.db.View(ctx, func(tx *store.Tx) (err error) {
		in, arg := tx.In(2, ids)
		list, err = scanItems(tx, r, "WHERE e.room = $1 AND e.place IS NOT NULL AND e.event_id "+in, r.num, arg)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading events of %s: %w", r.id, err)
	}
	return list, nil
}
