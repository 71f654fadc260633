package room

import (
	"fmt"

	"parley/internal/journal"
	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// appended is events that were appended together, and the nodes of the states
// after them.
type appended struct {
	room    *live
	entries []entry
	nodes   []statetrie.Node
	before  record
	creates bool // the room, too
}

// finish collects what was built on the room as it was before. The caller holds
// mu.
func (r *live) finish(before record, entries []entry) appended {
	a := appended{room: r, entries: entries, nodes: r.nodes.fresh, before: before, creates: !r.exists}
	r.nodes.fresh = nil
	r.exists = true
	r.row.events += int64(len(entries))
	for _, m := range entries {
		r.row.bytes += int64(len(m.event.JSON()))
	}
	for _, n := range a.nodes {
		r.row.bytes += int64(len(n.Bytes))
	}
	last := &entries[len(entries)-1].row
	last.events, last.bytes = r.row.events, r.row.bytes
	return a
}

// change is what the journal is to commit.
func (a appended) change(b *journal.Batch) error {
	r := a.room
	pos, err := a.expect(b)
	if err != nil {
		return err
	}
	after := a.entries[len(a.entries)-1].row
	after.pos = pos
	var items []Item
	for _, m := range a.entries {
		if m.status != accepted {
			m.writeAside(b, r)
			continue
		}
		if m.past != nil {
			m.writePast(b, r)
			continue
		}
		after.pos = b.Append(r.num.Scope(), journal.KindEvent, int64(m.num))
		items = append(items, m.item(after.pos))
		m.write(b, r, after.pos)
	}
	b.Remember(r.num, lastAppend{after.change, after.pos})
	a.writeNodes(b)
	if a.creates {
		b.Write(createKey{r.num}, func(tx *store.Tx) error { return insertRoom(tx, r.id, after) })
	}
	b.Write(r.num, func(tx *store.Tx) error { return writeRoom(tx, after) })
	b.Durable(func() { a.show(items) })
	return nil
}

// expect refuses what was not decided on the room as it is, and returns the
// position of the room's last event.
func (a appended) expect(b *journal.Batch) (journal.Position, error) {
	if a.creates {
		return 0, expectNoRoom(b, a.room.id)
	}
	return expectChange(b, a.before)
}

func (a appended) writeNodes(b *journal.Batch) {
	for _, n := range a.nodes {
		b.Insert(insertNodes, a.room.num, n.Address, n.Bytes, b.Last())
	}
}

// item returns the event in its place.
func (m entry) item(pos journal.Position) Item {
	count := counted{m.row.total, m.row.threaded}
	if m.past != nil {
		count = *m.past
	}
	return Item{
		Num: m.num, Event: shown(m.event, m.because.event), Place: m.place, Pos: pos, Before: m.before, Current: m.current, Merges: m.merges,
		Replaces: m.replaces, Total: count.all, Threaded: count.threaded, Thread: m.thread, Own: m.own, Transaction: m.transaction, Relays: m.relays,
	}
}

// show keeps in memory what was committed, before anybody can ask for it.
func (a appended) show(items []Item) {
	r := a.room
	for _, m := range a.entries {
		if m.outlier {
			r.placed(m)
		}
		if m.status != accepted {
			continue // nobody can
		}
		if m.redacts != 0 {
			r.redacted(m.redacts, m.event)
		}
		if m.past != nil {
			continue
		}
		row := m.row
		row.pos = items[0].Pos
		r.recent.push(items[0], row.moment())
		items = items[1:]
		if m.gap != nil {
			r.recent.moveGap(0, m.place)
		}
		m.remember(r)
		r.engine.movedServers(r, m.members, row.pos)
		if len(m.members) > 0 {
			r.unstick()
		}
		if m.unwelcome && r.engine.unwelcome != nil {
			r.engine.unwelcome(r.id)
		}
	}
	r.engine.appended(r, a.creates)
}

// placed changes what is in memory of an event that was an outlier.
func (r *live) placed(m entry) {
	r.engine.graph.Change(graphKey{m.num, r.copy}, func(known) known { return m.known() })
	r.engine.items.Change(m.num, func(it Item) Item {
		now := m.item(it.Pos)
		if now.Transaction = it.Transaction; it.Event != nil {
			now.Event = it.Event // redacted, if it was
		}
		return now
	})
}

// write adds to the batch what the event leaves in the database.
func (m entry) write(b *journal.Batch, r *live, pos journal.Position) {
	var current []byte
	if m.current != m.before {
		current = m.current[:]
	}
	m.insert(b, m.num, r.num, m.event.ID(), m.place, pos, m.status, m.before, current, m.merges, optional(m.replaces),
		m.row.total.Unread, m.row.total.Loud, m.row.threaded.Unread, m.row.threaded.Loud, m.thread, optional(m.own.Unread), optional(m.own.Loud),
		encodeNums(m.auth), nil, m.event.JSON(), m.transaction.Device, optional(m.transaction.ID), m.relays)
	m.writeRelation(b, r)
	m.writeRedactions(b, r)
	for _, c := range m.members {
		b.Insert(insertSights, r.num, c.user, m.place, pos, c.num, c.membership)
		b.Write(memberKey{r.num, c.user}, func(tx *store.Tx) error { return putMembership(tx, r.num, c, pos) })
		c.writeServer(b, r, pos)
		if c.user.Server() == r.engine.server {
			b.Append(journal.UserScope(c.user), journal.KindMembership, int64(r.num))
		} else {
			b.Append(journal.NewScope(journal.ScopeNobody, int64(r.num)), journal.KindMembers, int64(c.num))
		}
		if c.inherits {
			r.writeHeir(b, c)
		}
		if r.engine.gone != nil && c.membership != event.MembershipJoin {
			b.Durable(func() { r.engine.gone(r.num, c.user) })
		}
	}
	if m.sight != nil {
		b.Insert(insertSights, r.num, "", m.place, pos, m.sightNum, string(m.sight.Visibility))
	}
	m.writeHidden(b, r)
	m.writeReads(b, r)
	m.writeSticky(b, r, pos)
	m.writeGap(b, r)
	m.writeSummary(b, r)
}

// writeAside adds to the batch an event that does not become part of what is
// shown of the room.
func (m entry) writeAside(b *journal.Batch, r *live) {
	m.insert(b, m.num, r.num, m.event.ID(), nil, nil, m.status, m.before, nil, false, nil,
		int64(0), int64(0), int64(0), int64(0), nil, nil, nil, encodeNums(m.auth), encodeNums(m.follows), m.event.JSON(), nil, nil, false)
	m.writeSticky(b, r, 0)
}

// insert adds the row of the event to the batch, in place of the one that it has as
// an outlier.
func (m entry) insert(b *journal.Batch, row ...any) {
	if !m.outlier {
		b.Insert(insertEvents, row...)
		return
	}
	b.Write(outlierKey{m.num}, func(tx *store.Tx) error {
		if _, err := tx.Exec("DELETE FROM events WHERE event = $1", m.num); err != nil {
			return fmt.Errorf("placing event %s: %w", m.event.ID(), err)
		}
		return tx.QueueAll(insertEvents, [][]any{row})
	})
}

type outlierKey struct{ num stateres.Num }

// optional returns a value to be stored, NULL for the zero value.
func optional[T comparable](v T) any {
	if v == *new(T) {
		return nil
	}
	return v
}

type (
	memberKey struct {
		room Num
		user id.UserID
	}
	createKey struct{ room Num }
)

// lastAppend is the last append of a room, and the position of its last event.
type lastAppend struct {
	change int64
	pos    journal.Position
}

// expectChange refuses an append that was decided on another change of the
// room than its last, and returns the position of the room's last event. A
// change has a name and not a count: two nodes can make different changes that
// would have the same count, and what one of them built on its own, which was
// refused, must not pass for built on the other's. The database is asked once
// per room and group.
func expectChange(b *journal.Batch, before record) (journal.Position, error) {
	var last lastAppend
	if memo, ok := b.Memo(before.num); ok {
		last = memo.(lastAppend)
	} else if err := b.Row("SELECT change, pos FROM rooms WHERE room = $1", before.num).Scan(&last.change, &last.pos); err != nil {
		return 0, fmt.Errorf("reading room %d: %w", before.num, err)
	}
	if last.change != before.change {
		return 0, errConflict
	}
	return last.pos, nil
}

// expectNoRoom refuses to create a room whose ID there is already, and keeps
// the ID from the rest of the group.
func expectNoRoom(b *journal.Batch, roomID id.RoomID) error {
	var taken int
	if err := b.Row("SELECT count(*) FROM rooms WHERE room_id = $1", roomID).Scan(&taken); err != nil {
		return fmt.Errorf("looking for room %s: %w", roomID, err)
	}
	if _, inGroup := b.Memo(roomID); taken > 0 || inGroup {
		return errConflict
	}
	b.Remember(roomID, true)
	return nil
}
