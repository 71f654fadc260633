package room

import (
	"context"
	"fmt"
	"slices"

	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// A doomed event is one before what is left.
type doomed struct {
	num   stateres.Num
	place int64
	size  int64
	event *event.Event
}

// doom reads the next events that may go.
func (h *historyPurge) doom(tx *store.Tx, where string, args ...any) (list []doomed, err error) {
	for row, err := range tx.Query("SELECT event, place, event_id, json FROM events WHERE "+where, args...) {
		if err != nil {
			return nil, err
		}
		var d doomed
		var eventID id.EventID
		var json []byte
		if err := row.Scan(&d.num, &d.place, &eventID, &json); err != nil {
			return nil, err
		}
		if d.event, err = event.Load(json, eventID, h.rules); err != nil {
			return nil, err
		}
		d.size = int64(len(json))
		list = append(list, d)
	}
	return list, nil
}

// deleteShown deletes the events that the timeline had.
func (h *historyPurge) deleteShown(ctx context.Context) error {
	place := int64(-1 << 62)
	return h.deleteEvents(ctx, func(tx *store.Tx, limit int) ([]doomed, error) {
		list, err := h.doom(tx, "room = $1 AND place >= $2 AND place < $3 ORDER BY place LIMIT $4", h.num, place, h.left.place, limit)
		return list, err
	}, func(last doomed) { place = last.place + 1 })
}

// deleteAside deletes the events that it did not.
func (h *historyPurge) deleteAside(ctx context.Context) error {
	var after stateres.Num
	return h.deleteEvents(ctx, func(tx *store.Tx, limit int) ([]doomed, error) {
		return h.doom(tx, "room = $1 AND place IS NULL AND event > $2 AND event < $3 ORDER BY event LIMIT $4", h.num, after, h.left.event, limit)
	}, func(last doomed) { after = last.num })
}

// deleteEvents deletes what next gives, except what is needed.
func (h *historyPurge) deleteEvents(ctx context.Context, next func(*store.Tx, int) ([]doomed, error), passed func(doomed)) error {
	err := inSteps(ctx, func(limit int) (int, error) {
		var list []doomed
		var gone int64
		err := h.db.Update(ctx, func(tx *store.Tx) (err error) {
			if list, err = next(tx, limit); err != nil {
				return err
			}
			gone, err = h.dispose(tx, list)
			return err
		})
		if err != nil || len(list) == 0 {
			return 0, err
		}
		passed(list[len(list)-1])
		h.Events += gone
		return len(list), nil
	})
	if err != nil {
		return fmt.Errorf("deleting events of %s: %w", h.Room, err)
	}
	return h.savePurge(ctx, h.Purge)
}

// dispose deletes those events that are not needed. Of the others, the states
// before and after them are not known any more.
func (h *historyPurge) dispose(tx *store.Tx, list []doomed) (gone int64, err error) {
	var out, stay []stateres.Num
	var bytes int64
	for _, d := range list {
		_, needed := h.needed[d.num]
		switch {
		case h.whole[d.num]:
		case needed, h.KeepLocal && d.event.Sender().Server() == h.server:
			stay = append(stay, d.num)
		default:
			out = append(out, d.num)
			bytes += d.size
			if err := h.disposeRelations(tx, d); err != nil {
				return 0, err
			}
		}
	}
	in, arg := tx.In(1, stay)
	if _, err := tx.Exec("UPDATE events SET before = NULL, current = NULL WHERE event "+in, arg); err != nil {
		return 0, err
	}
	return int64(len(out)), deleteEvents(tx, h.num, out, bytes)
}

// disposeRelations deletes what else there is of an event.
func (h *historyPurge) disposeRelations(tx *store.Tx, d doomed) error {
	if relType, parent, ok := relation(d.event); ok {
		if err := unrelate(tx, h.num, d.num, d.event.Sender(), relType, parent); err != nil {
			return err
		}
	}
	if target := d.event.Redacts(); target != "" {
		_, err := tx.Exec("DELETE FROM early_redactions WHERE room = $1 AND target = $2 AND event = $3", h.num, target, d.num)
		return err
	}
	return nil
}

// deleteEvents deletes rows of events, and counts them.
func deleteEvents(tx *store.Tx, room Num, nums []stateres.Num, bytes int64) error {
	if len(nums) == 0 {
		return nil
	}
	in, arg := tx.In(1, nums)
	if _, err := tx.Exec("DELETE FROM events WHERE event "+in, arg); err != nil {
		return err
	}
	return countGone(tx, room, int64(len(nums)), bytes)
}

func countGone(tx *store.Tx, room Num, events, bytes int64) error {
	_, err := tx.Exec("UPDATE room_remains SET events = events + $2, bytes = bytes + $3 WHERE room = $1", room, events, bytes)
	return err
}

// keepThreads notes what threads had counted where what is left begins.
func (h *historyPurge) keepThreads(ctx context.Context) error {
	var after, last string
	const of = " FROM events e WHERE e.room = $1 AND e.thread = threads.thread AND e.place < $3 ORDER BY e.place DESC LIMIT 1)"
	err := inSteps(ctx, func(limit int) (n int, err error) {
		err = h.db.Update(ctx, func(tx *store.Tx) error {
			var page []string
			for row, err := range tx.Query("SELECT thread FROM threads WHERE room = $1 AND thread > $2 ORDER BY thread LIMIT $3", h.num, after, limit) {
				if err != nil {
					return err
				}
				var thread string
				if err := row.Scan(&thread); err != nil {
					return err
				}
				page = append(page, thread)
			}
			if n = len(page); n == 0 {
				return nil
			}
			last = page[n-1]
			in, arg := tx.In(2, page)
			_, err := tx.Exec(`
				UPDATE threads SET gone_unread = coalesce((SELECT e.thread_unread`+of+`, gone_unread),
					gone_loud = coalesce((SELECT e.thread_loud`+of+`, gone_loud)
				WHERE room = $1 AND thread `+in, h.num, arg, h.left.place)
			return err
		})
		after = last
		return n, err
	})
	if err != nil {
		return fmt.Errorf("keeping what threads of %s have counted: %w", h.Room, err)
	}
	return nil
}

// deleteHighlights deletes what is noted of events that are gone for single users.
func (h *historyPurge) deleteHighlights(ctx context.Context) error {
	err := h.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("DELETE FROM hidden WHERE room = $1 AND place < $2", h.num, h.left.place)
		return err
	})
	if err != nil {
		return fmt.Errorf("deleting from whom events of %s were hidden: %w", h.Room, err)
	}
	return h.eachLocal(ctx, h.num, func(tx *store.Tx, user id.UserID) error {
		_, err := tx.Exec("DELETE FROM highlights WHERE user_id = $1 AND room = $2 AND place < $3", user, h.num, h.left.place)
		return err
	})
}

// sweep deletes the nodes of states that nobody needs any more: those that were
// not marked, and not stored again since.
func (h *historyPurge) sweep(ctx context.Context) error {
	h.forgetItems()
	after := []byte{}
	err := inSteps(ctx, func(limit int) (seen int, err error) {
		last, gone := after, int64(0)
		err = h.db.Update(ctx, func(tx *store.Tx) error {
			page, err := store.List[[]byte](tx, "SELECT address FROM state_nodes WHERE room = $1 AND address > $2 AND pos < $3 ORDER BY address LIMIT $4",
				h.num, after, h.left.began, limit)
			if seen = len(page); err != nil || seen == 0 {
				return err
			}
			last = page[seen-1]
			gone, err = h.sweepAway(tx, slices.DeleteFunc(page, func(address []byte) bool {
				_, marked := h.marked[statetrie.Address(address)]
				return marked
			}))
			return err
		})
		if err == nil {
			after, h.Nodes = last, h.Nodes+gone
		}
		return seen, err
	})
	if err != nil {
		return fmt.Errorf("sweeping the states of %s: %w", h.Room, err)
	}
	return nil
}

// sweepAway deletes nodes, but those that an append has stored again since they were
// read: on PostgreSQL it may commit between two statements of this transaction.
func (h *historyPurge) sweepAway(tx *store.Tx, addresses [][]byte) (gone int64, err error) {
	if len(addresses) == 0 {
		return 0, nil
	}
	in, arg := tx.In(3, addresses)
	var bytes int64
	for row, err := range tx.Query("DELETE FROM state_nodes WHERE room = $1 AND pos < $2 AND address "+in+" RETURNING length(node)", h.num, h.left.began, arg) {
		if err != nil {
			return 0, err
		}
		var size int64
		if err := row.Scan(&size); err != nil {
			return 0, err
		}
		gone, bytes = gone+1, bytes+size
	}
	return gone, countGone(tx, h.num, 0, bytes)
}

// forgetItems forgets events with states that are about to go.
func (g *Engine) forgetItems() {
	g.items.Clear()
	g.graph.Clear()
}

// eachLocal calls f for each local user who has or had to do with a room, some in
// one transaction.
func (g *Engine) eachLocal(ctx context.Context, room Num, f func(*store.Tx, id.UserID) error) error {
	users, err := g.localMembers(ctx, room)
	if err != nil {
		return err
	}
	err = inSteps(ctx, func(limit int) (int, error) {
		chunk := users[:min(limit, len(users))]
		users = users[len(chunk):]
		if len(chunk) == 0 {
			return 0, nil
		}
		return len(chunk), g.db.Update(ctx, func(tx *store.Tx) error {
			for _, m := range chunk {
				if err := f(tx, m.user); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("deleting what users had of room %d: %w", room, err)
	}
	return nil
}
