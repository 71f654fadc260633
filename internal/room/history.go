package room

import (
	"context"
	"errors"
	"fmt"

	"parley/internal/errand"
	"parley/internal/journal"
	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/id"
	"parley/matrix/roomver"
	"parley/matrix/stateres"
)

// PurgeHistory has the events of a room removed that are before a place, and
// returns the name by which the purge can be asked for. The last event of the room
// stays in any case. What of the state is still needed stays in the database: the
// present state, that of the events that are left, and what authorised it.
//
// Nobody sees what is purged from the moment on that the purge begins.
func (g *Engine) PurgeHistory(ctx context.Context, roomID id.RoomID, before int64, keepLocal bool) (string, error) {
	if _, err := g.room(ctx, roomID); err != nil {
		return "", err
	}
	return g.schedule(ctx, roomID, PurgeHistory, PurgeTask{Before: before, KeepLocal: keepLocal})
}

// PlaceAt returns the place of the first event of a room that is not older than a
// time, in milliseconds since 1970. If all are, it is behind the last.
func (g *Engine) PlaceAt(ctx context.Context, roomID id.RoomID, ts int64) (int64, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return 0, err
	}
	return g.firstNotOlder(ctx, r, 1, ts)
}

// firstNotOlder is PlaceAt from a place on.
func (g *Engine) firstNotOlder(ctx context.Context, r *live, place, ts int64) (int64, error) {
	for {
		items, err := g.forward(ctx, r, place, 200)
		if err != nil || len(items) == 0 {
			return place, err
		}
		for _, it := range items {
			if it.Event.OriginServerTS() >= ts {
				return it.Place, nil
			}
			place = it.Place + 1
		}
	}
}

// A historyPurge is a purge of a part of a room's history, under way.
type historyPurge struct {
	*Engine
	*Purge
	num   Num
	rules *roomver.Rules
	left  remains
	// whole are events of which the states stay, too, wherever they are: the heads
	// of the room, and invites, which are shown with the state of then.
	whole map[stateres.Num]bool
	// marked are the nodes of states that are needed, and needed the events.
	marked map[statetrie.Address]struct{}
	needed map[stateres.Num]struct{}
}

// purgeHistory does a purge of history. It can be repeated from any point.
func (g *Engine) purgeHistory(ctx context.Context, p *Purge) error {
	h, more, err := g.beginPurge(ctx, p)
	if IsGone(err) {
		return nil // it was deleted meanwhile, and all of its history with it
	}
	if err != nil || !more {
		return err
	}
	if !errand.Pause(ctx, g.purges.grace) {
		return ctx.Err()
	}
	return h.remove(ctx)
}

// beginPurge begins a purge of history. It reports false if there is nothing to do.
func (g *Engine) beginPurge(ctx context.Context, p *Purge) (h *historyPurge, more bool, err error) {
	r, err := g.room(ctx, p.Room)
	if err != nil {
		return nil, false, err
	}
	h = &historyPurge{Engine: g, Purge: p, num: r.num, rules: r.rules}
	more, err = h.begin(ctx)
	return h, more, err
}

// remove removes what nobody sees any more since the purge has begun.
func (h *historyPurge) remove(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		h.mark, h.keepThreads, h.deleteShown, h.deleteAside, h.deleteHighlights, h.sweep, h.end,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// begin moves the beginning of the room's history.
func (h *historyPurge) begin(ctx context.Context) (more bool, err error) {
	for range attempts {
		h.left, err = h.changeRemains(ctx, h.Room, h.num, func(b *journal.Batch, left remains) (remains, error) {
			more = false
			first, err := h.firstLeft(b, left)
			if err != nil {
				return left, err
			}
			if first.place > left.place && first.place > 1 || left.busy {
				more = true
				first.events, first.bytes, first.busy = left.events, left.bytes, true
				return first, nil
			}
			return left, errNothing
		})
		if errors.Is(err, errNothing) {
			return false, nil
		}
		if !errors.Is(err, errConflict) {
			return more, err
		}
	}
	return false, fmt.Errorf("purging the history of %s: %w", h.Room, errConflict)
}

var errNothing = errors.New("there is nothing to purge")

// firstLeft finds what is to be left: from the first event on that is not before
// the place of the purge, but the last in any case.
func (h *historyPurge) firstLeft(b *journal.Batch, left remains) (remains, error) {
	var partial int
	if err := b.Row("SELECT count(*) FROM partial_joins WHERE room = $1", h.num).Scan(&partial); err != nil || partial > 0 {
		return left, err // what has come since the join is needed until the room is whole
	}
	var last int64
	if err := b.Row("SELECT place FROM events WHERE room = $1 AND place IS NOT NULL AND pos IS NOT NULL ORDER BY place DESC LIMIT 1", h.num).Scan(&last); err != nil {
		return left, err
	}
	place := max(min(h.PurgeTask.Before, last), left.place)
	first := remains{}
	err := b.Row("SELECT place, event FROM events WHERE room = $1 AND place >= $2 ORDER BY place LIMIT 1", h.num, place).
		Scan(&first.place, &first.event)
	if err != nil {
		return left, err
	}
	err = b.Row("SELECT pos FROM events WHERE room = $1 AND place >= $2 AND pos IS NOT NULL ORDER BY place LIMIT 1", h.num, place).
		Scan(&first.pos)
	if err != nil {
		return left, err
	}
	first.gone = Mark{Place: first.place - 1}
	err = b.Row(`
		SELECT unread, loud, threaded_unread, threaded_loud FROM events WHERE room = $1 AND place < $2 ORDER BY place DESC LIMIT 1`,
		h.num, first.place).
		Scan(&first.gone.Unread, &first.gone.Loud, &first.gone.Threaded.Unread, &first.gone.Threaded.Loud)
	if errors.Is(err, store.ErrNoRows) {
		gone := left.gone
		gone.Place = first.gone.Place
		first.gone, err = gone, nil
	}
	if first.place == left.place {
		first.gone = left.gone
	}
	return first, err
}

// end says that all is done. If another node does the same purge, and has begun later,
// it is that which ends it: until then rows may go.
func (h *historyPurge) end(ctx context.Context) error {
	for range attempts {
		_, err := h.changeRemains(ctx, h.Room, h.num, func(_ *journal.Batch, left remains) (remains, error) {
			if left.began != h.left.began {
				return left, errNothing
			}
			left.busy = false
			return left, nil
		})
		if errors.Is(err, errNothing) {
			return nil
		}
		if !errors.Is(err, errConflict) {
			return err
		}
	}
	return fmt.Errorf("ending the purge of %s: %w", h.Room, errConflict)
}
