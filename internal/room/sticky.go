package room

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/internal/errand"
	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// A sticky event is to reach all clients and servers of its room for a while: clients
// that do not see so far back, servers that come into the room, and all of them though
// it was soft-failed, once the state allows it.
// https://github.com/matrix-org/matrix-spec-proposals/pull/4354

var insertSticky = &store.Insert{Table: "sticky", Columns: []store.Column{
	{Name: "event", Type: store.Int}, {Name: "room", Type: store.Int}, {Name: "pos", Type: store.Int},
	{Name: "own", Type: store.Bool}, {Name: "expires", Type: store.Int},
}}

// stick finds out until when an event is sticky. Who says that it comes of the future
// does not make it last longer.
func (r *live) stick(m *entry, row *record) {
	if m.event.Sticky() == 0 {
		return
	}
	now := r.engine.now().UnixMilli()
	if expires := min(now, m.event.OriginServerTS()) + m.event.Sticky(); expires > now {
		m.sticky = expires
		row.sticky = max(row.sticky, expires)
		r.sticky.Store(row.sticky)
	}
}

// writeSticky adds to the batch what a sticky event leaves beside itself. Without a
// position it is not for clients yet.
func (m entry) writeSticky(b *journal.Batch, r *live, pos journal.Position) {
	if m.sticky != 0 {
		b.Insert(insertSticky, m.num, r.num, optional(pos), m.event.Sender().Server() == r.engine.server, m.sticky)
	}
}

// A Sticky is an event that is sticky until a time, in milliseconds since 1970.
type Sticky struct {
	Item
	Expires int64
}

// mostSticky is how many sticky events of one sender in a room are told of, the last
// ones: those of a client replace each other.
const mostSticky = 100

// Sticky returns the events of a room that are sticky still and of which clients learn
// between two positions of the journal, the first excluded, in order. Where nothing
// has been sticky lately it costs nothing. Of one that was soft-failed, the place is the
// last of the room.
func (g *Engine) Sticky(ctx context.Context, roomID id.RoomID, after, upTo journal.Position) ([]Sticky, error) {
	r, err := g.room(ctx, roomID)
	if err != nil || r.sticky.Load() <= g.now().UnixMilli() {
		return nil, err
	}
	var nums []stateres.Num
	var found []Sticky
	err = g.db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query("SELECT event, pos, expires FROM sticky WHERE room = $1 AND pos > $2 AND pos <= $3 AND expires > $4 ORDER BY pos",
			r.num, after, upTo, g.now().UnixMilli()) {
			if err != nil {
				return err
			}
			var s Sticky
			if err := row.Scan(&s.Num, &s.Pos, &s.Expires); err != nil {
				return err
			}
			nums, found = append(nums, s.Num), append(found, s)
		}
		return nil
	})
	if err != nil || len(found) == 0 {
		return nil, wrapSticky(roomID, err)
	}
	items, err := g.itemsFound(ctx, r, nums)
	if err != nil {
		return nil, err
	}
	now, err := g.At(ctx, roomID, upTo)
	if err != nil {
		return nil, err
	}
	return lastOfEach(found, items, now.Place), nil
}

func wrapSticky(roomID id.RoomID, err error) error {
	if err != nil {
		err = fmt.Errorf("reading the sticky events of %s: %w", roomID, err)
	}
	return err
}

// lastOfEach returns the last events of each sender. What was redacted is not sticky
// any more, and what was purged is gone.
func lastOfEach(found []Sticky, items []Item, last int64) (list []Sticky) {
	of := make(map[id.UserID]int)
	for _, it := range items {
		if it.Event != nil && it.Event.Sticky() > 0 {
			of[it.Event.Sender()]++
		}
	}
	for i, it := range items {
		if it.Event == nil || it.Event.Sticky() == 0 {
			continue
		}
		sender := it.Event.Sender()
		if of[sender]--; of[sender] >= mostSticky {
			continue
		}
		if it.Place == 0 {
			it.Place = last
		}
		it.Pos = found[i].Pos
		list = append(list, Sticky{it, found[i].Expires})
	}
	return list
}

// MaySticky reports whether there may be events of a room that are sticky still. It is
// quick.
func (g *Engine) MaySticky(ctx context.Context, roomID id.RoomID) (bool, error) {
	r, err := g.room(ctx, roomID)
	return err == nil && r.sticky.Load() > g.now().UnixMilli(), err
}

// StickyRooms returns the rooms that a user is in and of which clients learn of sticky
// events behind a position of the journal.
func (g *Engine) StickyRooms(ctx context.Context, user id.UserID, after journal.Position) (rooms []Num, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		rooms, err = store.List[Num](tx, `
			SELECT m.room FROM memberships m JOIN rooms r ON r.room = m.room
			WHERE m.user_id = $1 AND m.membership = $2 AND r.sticky > $3
				AND (m.pos > $4 OR EXISTS (SELECT 1 FROM sticky s WHERE s.room = m.room AND s.pos > $4))`,
			user, event.MembershipJoin, g.now().UnixMilli(), after)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for sticky events in the rooms of %s: %w", user, err)
	}
	return rooms, nil
}

// OwedSticky returns what another server is owed for having come into a room between
// two positions of the journal, both included: the events of this server that are
// sticky still and were sent before it came, each with the position at which it came.
func (g *Engine) OwedSticky(ctx context.Context, server id.ServerName, from, to journal.Position) (list []Owed, err error) {
	var rows []owedRow
	err = g.db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query(`
			SELECT s.pos, e.event_id, e.json, rooms.room_id FROM room_servers s
			JOIN sticky st ON st.room = s.room AND st.pos < s.pos
			JOIN events e ON e.event = st.event
			JOIN rooms ON rooms.room = s.room
			WHERE s.server = $1 AND s.joined > 0 AND s.pos BETWEEN $2 AND $3 AND st.own AND st.expires > $4 AND e.redacted_by IS NULL
			ORDER BY s.pos, st.pos`, server, from, to, g.now().UnixMilli()) {
			if err != nil {
				return err
			}
			var o owedRow
			if err := row.Scan(&o.pos, &o.event, &o.json, &o.room); err != nil {
				return err
			}
			rows = append(rows, o)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading what %s is owed of sticky events: %w", server, err)
	}
	for _, row := range rows {
		o, err := g.owed(ctx, row)
		if IsGone(err) {
			continue // it was purged this moment
		}
		if err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return list, nil
}

// unstick has the sticky events of the room that were soft-failed judged again, if
// there may be any: somebody has become something else to the room.
func (r *live) unstick() {
	if r.sticky.Load() > r.engine.now().UnixMilli() {
		r.engine.stuck.Add(r.id)
	}
}

// RunSticky judges sticky events again that were soft-failed, when the members of their
// room change, until the context ends. It is run once.
func (g *Engine) RunSticky(ctx context.Context) {
	g.stuck.Run(ctx, errand.Work[id.RoomID]{
		What: "judging sticky events again", Recall: g.stuckRooms, Do: g.judgeAgain, AtOnce: 1, Log: g.log,
		Usual: func(err error) bool { return errors.Is(err, errConflict) },
	})
}

func (g *Engine) stuckRooms(ctx context.Context) (rooms []id.RoomID, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		rooms, err = store.List[id.RoomID](tx, `
			SELECT room_id FROM rooms WHERE room IN (SELECT room FROM sticky WHERE pos IS NULL AND expires > $1)`, g.now().UnixMilli())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for rooms with sticky events to judge again: %w", err)
	}
	return rooms, nil
}

// judgeAgain has clients told of the sticky events of a room that were soft-failed and
// are allowed by now.
func (g *Engine) judgeAgain(ctx context.Context, roomID id.RoomID) error {
	for range attempts {
		r, err := g.room(ctx, roomID)
		if err != nil {
			if IsGone(err) {
				return nil
			}
			return err
		}
		wait, err := r.judgeStuck(ctx)
		if err == nil && wait != nil {
			_, err = wait()
		}
		if !errors.Is(err, errConflict) {
			return err
		}
		g.forget(r)
	}
	return fmt.Errorf("judging sticky events of %s: %w", roomID, errConflict)
}

// judgeStuck hands to the journal which events clients are to be told of after all.
// Without a function to wait there are none.
func (r *live) judgeStuck(ctx context.Context) (wait func() (journal.Position, error), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stale {
		return nil, errConflict
	}
	var nums, allowed []stateres.Num
	err = r.engine.db.View(ctx, func(tx *store.Tx) error {
		nums, err = store.List[stateres.Num](tx, "SELECT event FROM sticky WHERE room = $1 AND pos IS NULL AND expires > $2 ORDER BY event",
			r.num, r.engine.now().UnixMilli())
		return err
	})
	if err != nil {
		return nil, wrapSticky(r.id, err)
	}
	for _, n := range nums {
		e, err := r.event(ctx, n)
		if err != nil {
			return nil, err
		}
		current := &snapshot{ctx: ctx, room: r, root: r.row.root}
		refused := eventauth.Check(e, current)
		if current.fault != nil {
			return nil, current.fault
		}
		if refused == nil && r.recommended(ctx, e, r.row.root) == nil {
			allowed = append(allowed, n)
		}
	}
	if len(allowed) == 0 {
		return nil, nil
	}
	before := r.row
	return r.engine.journal.Submit(func(b *journal.Batch) error {
		if _, err := expectChange(b, before); err != nil {
			return err
		}
		for _, n := range allowed {
			pos := b.Append(r.num.Scope(), journal.KindSticky, int64(n))
			b.Write(stickyKey{n}, func(tx *store.Tx) error {
				return tx.Queue("UPDATE sticky SET pos = $2 WHERE event = $1 AND pos IS NULL", n, pos)
			})
		}
		return nil
	}), nil
}

type stickyKey struct{ num stateres.Num }

// ForgetSticky forgets what is not sticky any more. What expired a moment ago may still
// be on its way.
func (g *Engine) ForgetSticky(ctx context.Context) error {
	err := g.db.Update(ctx, func(tx *store.Tx) error {
		return tx.Queue("DELETE FROM sticky WHERE expires < $1", g.now().Add(-time.Minute).UnixMilli())
	})
	if err != nil {
		return fmt.Errorf("forgetting sticky events: %w", err)
	}
	return nil
}
