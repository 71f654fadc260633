package room

import (
	"context"
	"fmt"

	"parley/internal/journal"
	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// repaired is a room that has become whole, as it is to be committed: in one
// transaction, with an entry of its own in the journal.
type repaired struct {
	room          *live
	before, after record
	events        []*replayed
	counts        servers
	// moved is the members whom the present state has otherwise than it had.
	moved   []memberChange
	summary *Summary
	nodes   []statetrie.Node
}

// finish collects what is to be committed. The caller holds the lock of the room as
// it was.
func (x *replay) finish(ctx context.Context, was *live) (a repaired, err error) {
	a = repaired{room: was, before: was.row, after: was.row, events: x.events, counts: x.counts, nodes: x.nodes.fresh}
	change, err := was.engine.numbers.above(ctx, nil)
	if err != nil {
		return a, err
	}
	a.after.change, a.after.root, a.after.head = int64(change), x.live.row.root, x.live.row.head
	a.after.joined, a.after.invited = x.live.row.joined, x.live.row.invited
	if a.summary, err = x.summarise(ctx, a.after.root); err != nil {
		return a, err
	}
	seen := make(map[id.UserID]bool)
	for _, e := range x.events {
		if t, ok := e.event.Tuple(); ok && t.Type == event.TypeMember && isUser(t.StateKey) && !seen[id.UserID(t.StateKey)] {
			seen[id.UserID(t.StateKey)] = true
			if err := a.move(ctx, x, t); err != nil {
				return a, err
			}
		}
	}
	return a, nil
}

// move notes what a user has become by the repair, if that is something else.
func (a *repaired) move(ctx context.Context, x *replay, t event.Tuple) error {
	was, err := statetrie.Get(ctx, a.room.nodes, a.before.root, statetrie.Key(t))
	if err != nil {
		return err
	}
	is, err := statetrie.Get(ctx, x.nodes, a.after.root, statetrie.Key(t))
	if err != nil || was == is {
		return err
	}
	c := memberChange{user: id.UserID(t.StateKey), num: stateres.Num(is), membership: event.MembershipLeave}
	if is == 0 {
		c.num = stateres.Num(was)
	} else {
		e, err := x.live.event(ctx, c.num)
		if err != nil {
			return err
		}
		if membership := e.Membership(); membership != "" {
			c.membership = membership
		}
	}
	a.moved = append(a.moved, c)
	return nil
}

// change is what the journal is to commit.
func (a repaired) change(b *journal.Batch) error {
	r := a.room
	if _, err := expectChange(b, a.before); err != nil {
		return err
	}
	pos := b.Append(r.num.Scope(), journal.KindWhole, int64(r.num))
	a.after.pos, a.after.whole = pos, pos
	b.Remember(r.num, lastAppend{a.after.change, pos})
	for _, n := range a.nodes {
		b.Insert(insertNodes, r.num, n.Address, n.Bytes, b.Last())
	}
	b.Write(r.num, func(tx *store.Tx) error { return writeRoom(tx, a.after) })
	b.Write(repairKey{r.num}, func(tx *store.Tx) error {
		if err := a.write(tx, pos); err != nil {
			return fmt.Errorf("making room %d whole: %w", r.num, err)
		}
		return nil
	})
	for _, c := range a.moved {
		b.Write(memberKey{r.num, c.user}, func(tx *store.Tx) error { return putMembership(tx, r.num, c, pos) })
		if c.user.Server() == r.engine.server {
			b.Append(journal.UserScope(c.user), journal.KindMembership, int64(r.num))
		}
		if r.engine.gone != nil && c.membership != event.MembershipJoin {
			b.Durable(func() { r.engine.gone(r.num, c.user) })
		}
	}
	b.Write(summaryKey{r.num}, func(tx *store.Tx) error { return putSummary(tx, r.num, *a.summary) })
	b.Durable(func() { r.engine.renewed(r) })
	return nil
}

type repairKey struct{ room Num }

// write changes what the database has of the room.
func (a repaired) write(tx *store.Tx, pos journal.Position) error {
	r := a.room
	for _, e := range a.events {
		if err := e.rewrite(tx, r.num); err != nil {
			return err
		}
	}
	if err := a.writeSights(tx); err != nil {
		return err
	}
	if _, err := tx.Exec("DELETE FROM room_servers WHERE room = $1", r.num); err != nil {
		return err
	}
	var rows [][]any
	for server, p := range a.counts {
		rows = append(rows, []any{r.num, server, p.joined, pos})
	}
	if err := tx.QueueAll(insertServers, rows); err != nil {
		return err
	}
	return tx.Queue("DELETE FROM partial_joins WHERE room = $1", r.num)
}

// writeSights writes anew who may see what since the join.
func (a repaired) writeSights(tx *store.Tx) error {
	r := a.room
	if _, err := tx.Exec("DELETE FROM sights WHERE room = $1 AND place >= $2 AND pos > 0", r.num, a.events[0].place); err != nil {
		return err
	}
	var rows [][]any
	for _, e := range a.events {
		if e.status != accepted {
			continue
		}
		at, err := e.position(tx)
		if err != nil {
			return err
		}
		for _, c := range e.members {
			rows = append(rows, []any{r.num, c.user, e.place, at, c.num, c.membership})
		}
		if e.sight != nil {
			rows = append(rows, []any{r.num, "", e.place, at, e.sightNum, string(e.sight.Visibility)})
		}
	}
	return tx.QueueAll(insertSights, rows)
}

// position returns the position of an event, which may have got it just before.
func (e *replayed) position(tx *store.Tx) (pos int64, err error) {
	if !e.fresh() || len(e.members) == 0 && e.sight == nil {
		return e.pos, nil
	}
	err = tx.Row("SELECT pos FROM events WHERE event = $1", e.num).Scan(&pos)
	return pos, err
}

// rewrite changes the row of an event.
func (e *replayed) rewrite(tx *store.Tx, room Num) error {
	var current []byte
	if e.current != e.entry.before {
		current = e.current[:]
	}
	if e.status == accepted {
		return tx.Queue("UPDATE events SET before = $2, current = $3, merges = $4, replaces = $5 WHERE event = $1",
			e.num, e.entry.before, current, e.merges, optional(e.replaces))
	}
	if e.was != accepted {
		return tx.Queue("UPDATE events SET before = $2 WHERE event = $1", e.num, e.entry.before)
	}
	return e.takeBack(tx, room)
}

// takeBack makes an event one that was put aside. Clients that have it keep it: there
// is no way to tell them.
func (e *replayed) takeBack(tx *store.Tx, room Num) error {
	err := tx.Queue(`
		UPDATE events SET status = $2, before = $3, follows = $4, current = NULL, merges = $5, replaces = NULL, place = NULL, pos = NULL
		WHERE event = $1`, e.num, e.status, e.entry.before, encodeNums(e.follows), false)
	if err != nil {
		return err
	}
	if relType, parent, ok := relation(e.event); ok {
		if err := unrelate(tx, room, e.num, e.event.Sender(), relType, parent); err != nil {
			return err
		}
	}
	if _, err := tx.Exec("DELETE FROM highlights WHERE room = $1 AND place = $2", room, e.place); err != nil {
		return err
	}
	if e.event.Redacts() == "" {
		return nil
	}
	_, err = tx.Exec("UPDATE events SET redacted_by = NULL WHERE room = $1 AND redacted_by = $2", room, e.num)
	return err
}

// renewed drops what is in memory of a room of which the past has changed.
func (g *Engine) renewed(r *live) {
	g.mu.Lock()
	g.late(r.id)
	if e := g.rooms[r.id]; e != nil {
		g.drop(e)
	}
	g.mu.Unlock()
	g.graph.Clear()
	g.items.Clear()
	g.reads.Clear()
	g.servers.Clear()
}
