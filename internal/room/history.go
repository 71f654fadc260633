package room

import (
	"context"
	"errors"
	"fmt"

	"parley/internal/journal"
	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/event"
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
	r, err := g.room(ctx, p.Room)
	if IsGone(err) {
		return nil // it was deleted meanwhile, and all of its history with it
	}
	if err != nil {
		return err
	}
	h := &historyPurge{Engine: g, Purge: p, num: r.num, rules: r.rules}
	if more, err := h.begin(ctx); err != nil || !more {
		return err
	}
	if !pause(ctx, g.purges.grace) {
		return ctx.Err()
	}
	for _, step := range []func(context.Context) error{
		h.mark, h.keepThreads, h.deleteShown, h.deleteAside, h.deleteHighlights, h.sweep, h.end,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// begin moves the beginning of the room's history. It reports false if there is
// nothing to do.
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

// end says that all is done.
func (h *historyPurge) end(ctx context.Context) error {
	for range attempts {
		_, err := h.changeRemains(ctx, h.Room, h.num, func(_ *journal.Batch, left remains) (remains, error) {
			left.busy = false
			return left, nil
		})
		if !errors.Is(err, errConflict) {
			return err
		}
	}
	return fmt.Errorf("ending the purge of %s: %w", h.Room, errConflict)
}

// storedNodes reads the nodes of a room past the cache, which is for others.
type storedNodes struct {
	db   *store.DB
	room Num
}

// Load implements statetrie.Nodes.
func (n storedNodes) Load(ctx context.Context, at []statetrie.Address, into [][]byte) error {
	places := make(map[statetrie.Address]int, len(at))
	wanted := make([][]byte, len(at))
	for i, a := range at {
		into[i], places[a], wanted[i] = nil, i, at[i][:]
	}
	return n.db.View(ctx, func(tx *store.Tx) error {
		in, list := tx.In(2, wanted)
		for row, err := range tx.Query("SELECT address, node FROM state_nodes WHERE room = $1 AND address "+in, n.room, list) {
			if err != nil {
				return err
			}
			var a statetrie.Address
			var b []byte
			if err := row.Scan(&a, &b); err != nil {
				return err
			}
			into[places[a]] = b
		}
		return nil
	})
}

// A pointer is what a row of an event refers to.
type pointer struct {
	num                  stateres.Num
	place                int64
	before, current      statetrie.Root
	replaces, redactedBy stateres.Num
	auth                 []stateres.Num
}

// pointers reads a page of what events refer to.
func (h *historyPurge) pointers(ctx context.Context, where string, args ...any) (list []pointer, err error) {
	err = h.db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query("SELECT event, place, before, current, replaces, redacted_by, auth FROM events WHERE "+where, args...) {
			if err != nil {
				return err
			}
			var p pointer
			var auth []byte
			if err := row.Scan(&p.num, &p.place, &p.before, &p.current, &p.replaces, &p.redactedBy, &auth); err != nil {
				return err
			}
			if p.auth, err = decodeNums(auth); err != nil {
				return err
			}
			list = append(list, p)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading what events of %s refer to: %w", h.Room, err)
	}
	return list, nil
}

// mark finds what is needed of what was before. What is appended from now on needs
// no more: it refers to states that are needed, and stores again whatever nodes it
// makes.
func (h *historyPurge) mark(ctx context.Context) error {
	h.marked, h.needed = make(map[statetrie.Address]struct{}), make(map[stateres.Num]struct{})
	h.whole = make(map[stateres.Num]bool)
	var row record
	err := h.db.View(ctx, func(tx *store.Tx) (err error) {
		row, err = readRoom(tx, h.Room)
		return err
	})
	if err != nil {
		return fmt.Errorf("reading room %s: %w", h.Room, err)
	}
	members, err := h.localMembers(ctx, h.num)
	if err != nil {
		return err
	}
	whole := row.head
	for _, m := range members {
		if m.inside() && m.membership != event.MembershipJoin {
			whole = append(whole, m.event)
		}
	}
	for _, n := range whole {
		h.whole[n] = true
	}
	if err := h.markState(ctx, row.root); err != nil {
		return err
	}
	if err := h.markEvents(ctx, whole); err != nil {
		return err
	}
	const page = 1000
	for place := h.left.place; ; {
		list, err := h.pointers(ctx, "room = $1 AND place >= $2 ORDER BY place LIMIT $3", h.num, place, page)
		if err != nil {
			return err
		}
		if err := h.markPointers(ctx, list); err != nil {
			return err
		}
		if len(list) < page {
			break
		}
		place = list[page-1].place + 1
	}
	for n := h.left.event; ; {
		list, err := h.pointers(ctx, "room = $1 AND place IS NULL AND event >= $2 ORDER BY event LIMIT $3", h.num, n, page)
		if err != nil {
			return err
		}
		if err := h.markPointers(ctx, list); err != nil {
			return err
		}
		if len(list) < page {
			break
		}
		n = list[page-1].num + 1
	}
	return h.close(ctx)
}

// markEvents marks what the events with these numbers refer to.
func (h *historyPurge) markEvents(ctx context.Context, nums []stateres.Num) error {
	for _, n := range nums {
		list, err := h.pointers(ctx, "event = $1", n)
		if err != nil {
			return err
		}
		h.needed[n] = struct{}{}
		if err := h.markPointers(ctx, list); err != nil {
			return err
		}
	}
	return nil
}

func (h *historyPurge) markPointers(ctx context.Context, list []pointer) error {
	for _, p := range list {
		for _, root := range []statetrie.Root{p.before, p.current} {
			if err := h.markState(ctx, root); err != nil {
				return err
			}
		}
		h.need(p)
		if p.replaces != 0 {
			h.needed[p.replaces] = struct{}{}
		}
	}
	return nil
}

func (h *historyPurge) markState(ctx context.Context, root statetrie.Root) error {
	return statetrie.Mark(ctx, storedNodes{h.db, h.num}, root, h.marked, func(n uint64) { h.needed[stateres.Num(n)] = struct{}{} })
}

// need notes what an event needs wherever it stands: what authorised it, and what
// redacted it.
func (h *historyPurge) need(p pointer) (more []stateres.Num) {
	for _, n := range append(p.auth, p.redactedBy) {
		if _, known := h.needed[n]; !known && n != 0 {
			h.needed[n] = struct{}{}
			more = append(more, n)
		}
	}
	return more
}

// close adds what the needed events need in turn.
func (h *historyPurge) close(ctx context.Context) error {
	var queue []stateres.Num
	for n := range h.needed {
		queue = append(queue, n)
	}
	for len(queue) > 0 {
		cut := max(0, len(queue)-500)
		chunk := queue[cut:]
		var list []pointer
		err := h.db.View(ctx, func(tx *store.Tx) error {
			in, arg := tx.In(1, chunk)
			for row, err := range tx.Query("SELECT redacted_by, auth FROM events WHERE event "+in, arg) {
				if err != nil {
					return err
				}
				var p pointer
				var auth []byte
				if err := row.Scan(&p.redactedBy, &auth); err != nil {
					return err
				}
				if p.auth, err = decodeNums(auth); err != nil {
					return err
				}
				list = append(list, p)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("reading what events of %s need: %w", h.Room, err)
		}
		queue = queue[:cut]
		for _, p := range list {
			queue = append(queue, h.need(p)...)
		}
	}
	return nil
}

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

// deleteHighlights deletes the highlights of local users that are gone.
func (h *historyPurge) deleteHighlights(ctx context.Context) error {
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
		last, gone := after, 0
		err = h.db.Update(ctx, func(tx *store.Tx) error {
			var out [][]byte
			var bytes int64
			seen = 0
			for row, err := range tx.Query(`
				SELECT address, length(node) FROM state_nodes WHERE room = $1 AND address > $2 AND pos < $3 ORDER BY address LIMIT $4`,
				h.num, after, h.left.began, limit) {
				if err != nil {
					return err
				}
				var address []byte
				var size int64
				if err := row.Scan(&address, &size); err != nil {
					return err
				}
				seen++
				last = address
				if _, marked := h.marked[statetrie.Address(address)]; !marked {
					out, bytes = append(out, address), bytes+size
				}
			}
			if len(out) == 0 {
				return nil
			}
			gone = len(out)
			in, arg := tx.In(2, out)
			if _, err := tx.Exec("DELETE FROM state_nodes WHERE room = $1 AND address "+in, h.num, arg); err != nil {
				return err
			}
			return countGone(tx, h.num, 0, bytes)
		})
		if err == nil {
			after, h.Nodes = last, h.Nodes+int64(gone)
		}
		return seen, err
	})
	if err != nil {
		return fmt.Errorf("sweeping the states of %s: %w", h.Room, err)
	}
	return nil
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
