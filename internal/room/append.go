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

// entry is an event that is being appended, with what belongs to it.
type entry struct {
	num   stateres.Num
	event *event.Event
	auth  []stateres.Num
	// status is what it is kept as. Of one that is put aside, follows are the
	// room's heads that it came after, and of what is below, only before, after
	// and row are filled in.
	status  int64
	follows []stateres.Num
	// before is the state before it, after the state after it, and current that
	// of the room with it, which is another if it is one of several heads.
	before, after, current statetrie.Root
	// redacts is the event that it takes effect on, if it is a redaction; awaits
	// is the event that it names, if the room does not have that yet.
	redacts stateres.Num
	target  *event.Event // what it takes effect on, as it was
	awaits  id.EventID
	// thread is the root of the thread that it is in, empty for the main timeline.
	thread id.EventID
	// outlier says that it is in the database already, without its place.
	outlier bool
	// past is what was counted before the gap that it is put into, nil if it is not
	// put into one. Others are behind it then, and it is no news.
	past *counted
	// gap is what it follows and the room does not have, if that is so.
	gap []id.EventID
	// because is the redaction that was there before the event, if there was one.
	because cause
	// relays says that other servers are told of it though it is another's.
	relays bool
	// transaction is the request of its sender that it comes from.
	transaction Transaction

	// What follows is filled in by advance.
	place    int64
	own      Total // of its thread, if it is in one
	replaces stateres.Num
	merges   bool
	members  []memberChange
	sight    *Visibility // what the history visibility is from now on, if that changed
	summary  *Summary    // what the room's is from now on, if it may have changed
	// unwelcome says that guests cannot be in the room from now on.
	unwelcome bool
	tally     tally
	row       record // the room with it
}

// memberChange is what a user has become by the current state.
type memberChange struct {
	user       id.UserID
	num        stateres.Num // of the member event; that of the one before, if there is none any more
	before     string       // empty: nothing
	membership string
	inherits   bool // what the user has set for the room that this one replaces
}

// advance moves the room on to an event, which is the state that made.current
// says and leaves these forward extremities. The create event gives the room
// its ID where it has none before. The caller holds mu.
func (r *live) advance(ctx context.Context, made entry, heads []stateres.Num, head []*event.Event) (entry, error) {
	row := r.row
	row.change, row.root, row.head = int64(made.num), made.current, heads
	if made.gap != nil {
		row.place += gapPlaces
	}
	row.place++
	made.place = row.place
	summarised, err := r.note(ctx, &made, &row)
	if err != nil {
		return entry{}, err
	}
	if made.redacts != 0 && !summarised {
		target, err := r.event(ctx, made.redacts)
		if err != nil {
			return entry{}, err
		}
		t, isState := target.Tuple()
		summarised = isState && isSummarised(t)
	}
	if summarised {
		if made.summary, err = r.summarise(ctx, row.root); err != nil {
			return entry{}, err
		}
	}
	tally, err := r.tally(ctx, made.event, row)
	if err != nil {
		return entry{}, err
	}
	made.tally, row.total = tally, row.total.plus(tally.total())
	if made.thread != "" {
		row.threaded = row.threaded.plus(tally.total())
		if made.own, err = r.countThread(ctx, made.thread, tally.total()); err != nil {
			return entry{}, err
		}
	}
	if r.id == "" {
		r.id = made.event.RoomID()
	}
	made.row = row
	r.row, r.head = row, head
	return made, nil
}

// note finds out what the event changes of the room's state, and whether it is
// what the event says. summarised says that the room's summary depends on it.
func (r *live) note(ctx context.Context, made *entry, row *record) (summarised bool, err error) {
	own, isState := made.event.Tuple()
	if isState {
		n, err := statetrie.Get(ctx, r.nodes, made.before, statetrie.Key(own))
		if err != nil {
			return false, fmt.Errorf("reading the state of %s: %w", r.id, err)
		}
		made.replaces = stateres.Num(n)
	}
	won := !isState
	for c, err := range statetrie.Diff(ctx, r.nodes, r.row.root, made.current) {
		if err != nil {
			return false, fmt.Errorf("comparing states of %s: %w", r.id, err)
		}
		if isState && c.Key == statetrie.Key(own) && c.New == uint64(made.num) {
			won = true
		} else {
			made.merges = true
		}
		summarised = summarised || isSummarised(event.Tuple(c.Key))
		if err := r.noteChange(ctx, c, made, row); err != nil {
			return false, err
		}
	}
	made.merges = made.merges || !won
	return summarised, nil
}

// noteChange keeps account of one change of the state.
func (r *live) noteChange(ctx context.Context, c statetrie.Change, made *entry, row *record) error {
	switch {
	case c.Type == event.TypeMember:
	case c.Type == event.TypeHistoryVisibility && c.StateKey == "":
		e, err := r.eventOrNil(ctx, stateres.Num(c.New))
		if err != nil {
			return err
		}
		v := VisibilityOf(e)
		made.sight = &v
		return nil
	case c.Type == typeGuestAccess && c.StateKey == "":
		e, err := r.eventOrNil(ctx, stateres.Num(c.New))
		made.unwelcome = c.Old != 0 && !admitsGuests(e)
		return err
	default:
		return nil
	}
	if !isUser(c.StateKey) {
		return nil
	}
	m := memberChange{user: id.UserID(c.StateKey), num: stateres.Num(c.New), membership: event.MembershipLeave}
	before, err := r.eventOrNil(ctx, stateres.Num(c.Old))
	if err != nil {
		return err
	}
	after, err := r.eventOrNil(ctx, stateres.Num(c.New))
	if err != nil {
		return err
	}
	if before != nil {
		m.before = before.Membership()
	}
	row.count(before, -1)
	row.count(after, +1)
	if after == nil {
		m.num = stateres.Num(c.Old)
	} else if m.membership = after.Membership(); m.membership == "" {
		m.membership = event.MembershipLeave
	}
	if m.inherits, err = r.inherits(ctx, m, made.current); err != nil {
		return err
	}
	made.members = append(made.members, m)
	return nil
}

const typeGuestAccess = "m.room.guest_access"

// admitsGuests reports whether guests can join by a guest access event, nil if
// there is none. https://spec.matrix.org/v1.19/client-server-api/#guest-access
func admitsGuests(e *event.Event) bool { return e != nil && text(e, "guest_access") == "can_join" }

// isUser reports whether a state key is that of a user's member event. The
// authorization rules let member events pass that make nobody a member.
func isUser(stateKey string) bool {
	_, err := id.ParseUserID(stateKey)
	return err == nil
}

// count adds to the number of members.
func (row *record) count(member *event.Event, by int64) {
	if member == nil {
		return
	}
	switch member.Membership() {
	case event.MembershipJoin:
		row.joined += by
	case event.MembershipInvite:
		row.invited += by
	}
}

func (r *live) eventOrNil(ctx context.Context, n stateres.Num) (*event.Event, error) {
	if n == 0 {
		return nil, nil
	}
	return r.event(ctx, n)
}

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
			r.engine.placed(m)
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
		if m.unwelcome && r.engine.unwelcome != nil {
			r.engine.unwelcome(r.id)
		}
	}
	r.engine.appended(r, a.creates)
}

// placed changes what is in memory of an event that was an outlier.
func (g *Engine) placed(m entry) {
	g.graph.Change(m.num, func(known) known { return known{status: m.status, auth: m.auth, before: m.before, follows: m.follows} })
	g.items.Change(m.num, func(it Item) Item {
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
		}
		if c.inherits {
			r.writeHeir(b, c)
		}
		if r.engine.gone != nil && c.membership != event.MembershipJoin {
			b.Durable(func() { r.engine.gone(r.num, c.user) })
		}
	}
	if m.sight != nil {
		b.Insert(insertSights, r.num, "", m.place, pos, m.num, string(*m.sight))
	}
	m.writeReads(b, r)
	m.writeGap(b, r)
	m.writeSummary(b, r)
}

// writeAside adds to the batch an event that does not become part of what is
// shown of the room.
func (m entry) writeAside(b *journal.Batch, r *live) {
	m.insert(b, m.num, r.num, m.event.ID(), nil, nil, m.status, m.before, nil, false, nil,
		int64(0), int64(0), int64(0), int64(0), nil, nil, nil, encodeNums(m.auth), encodeNums(m.follows), m.event.JSON(), nil, nil, false)
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
