package room

import (
	"context"
	"fmt"

	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/stateres"
)

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
	shown := func(p pointer) int64 { return p.place }
	if err := h.markFrom(ctx, h.left.place, "place >= $2 ORDER BY place", shown); err != nil {
		return err
	}
	aside := func(p pointer) int64 { return int64(p.num) }
	if err := h.markFrom(ctx, int64(h.left.event), "place IS NULL AND event >= $2 ORDER BY event", aside); err != nil {
		return err
	}
	return h.close(ctx)
}

// markFrom marks what events of the room refer to, page by page from a number on.
func (h *historyPurge) markFrom(ctx context.Context, from int64, which string, number func(pointer) int64) error {
	const page = 1000
	for {
		list, err := h.pointers(ctx, "room = $1 AND "+which+" LIMIT $3", h.num, from, page)
		if err != nil {
			return err
		}
		if err := h.markPointers(ctx, list); err != nil {
			return err
		}
		if len(list) < page {
			return nil
		}
		from = number(list[page-1]) + 1
	}
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
