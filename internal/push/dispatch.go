package push

import (
	"context"
	"maps"
	"slices"
	"time"

	"parley/internal/accountdata"
	"parley/internal/journal"
	"parley/internal/room"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/pushrule"
	"parley/matrix/stateres"
)

// A message is what there is to push about an event, the same for everybody.
type message struct {
	pos    journal.Position
	came   time.Time
	room   room.Num
	roomID id.RoomID
	event  *event.Event
	item   room.Item // without an event for an invite into a room that this server is not in
	// How the sender and the room are called, empty for those that have no name.
	sender, roomName, roomAlias string
}

// A note is a message to somebody.
type note struct {
	*message
	result *pushrule.Result
	queued time.Time
}

// invites reports whether a note is of an invite of a user.
func (n note) invites(user id.UserID) bool {
	return n.event.IsState(event.TypeMember, string(user)) && n.event.Membership() == event.MembershipInvite
}

// dispatch puts what happened into the queues of those whom it notifies. If it fails
// it is called again with the same.
func (s *Sender) dispatch(ctx context.Context, entries []journal.Entry) error {
	receipts := make(map[int64]bool)
	for _, e := range entries {
		var err error
		switch e.Kind {
		case journal.KindPusher:
			err = s.reload(ctx, e.Scope.Number())
		case journal.KindMembership:
			err = s.memberships(ctx, e)
		case journal.KindAccountData:
			s.setRules(e)
		case journal.KindEvent:
			err = s.happened(ctx, e)
		case journal.KindReceipt:
			s.received(e, receipts)
		}
		if err != nil && !room.IsGone(err) {
			return err
		}
	}
	return s.publicReceipts(ctx, slices.Sorted(maps.Keys(receipts)), entries[0].Pos-1, entries[len(entries)-1].Pos)
}

// memberships takes in that the membership of somebody has changed.
func (s *Sender) memberships(ctx context.Context, e journal.Entry) error {
	for _, r := range slices.Clone(s.scopes[e.Scope]) {
		num := room.Num(e.Ref)
		if err := s.move(ctx, num, r); err != nil {
			return err
		}
		if err := s.invited(ctx, e.Pos, num, r); err != nil && !room.IsGone(err) {
			return err
		}
	}
	return nil
}

// setRules takes in that somebody has changed push rules, by which everything may
// count otherwise.
func (s *Sender) setRules(e journal.Entry) {
	for _, r := range s.scopes[e.Scope] {
		if e.Ref == accountdata.RefPushRules {
			r.version++
			s.outdateAll(r)
		}
	}
}

// happened deals with an event of a room.
func (s *Sender) happened(ctx context.Context, e journal.Entry) error {
	num := room.Num(e.Scope.Number())
	a, err := s.audience(ctx, num)
	if err != nil || len(a.members) == 0 {
		return err
	}
	roomID, err := s.Rooms.RoomID(ctx, num)
	if err != nil {
		return err
	}
	items, err := s.Rooms.ItemsShown(ctx, roomID, []stateres.Num{stateres.Num(e.Ref)})
	if err != nil || len(items) == 0 {
		return err
	}
	it := items[0]
	if l, ok := a.members[it.Event.Sender()]; ok {
		s.outdate(l.recipient, num) // who speaks has read
	}
	s.called(it.Event, num, a)
	if isRedacted(it.Event) {
		return nil
	}
	hits, err := s.judge(ctx, e.Pos, num, roomID, it, a)
	if err != nil || len(hits) == 0 {
		return err
	}
	m := &message{pos: e.Pos, came: s.came(e.Pos, it.Event), room: num, roomID: roomID, event: it.Event, item: it}
	if err := s.name(ctx, m); err != nil {
		return err
	}
	s.enqueue(m, hits)
	return nil
}

func isRedacted(e *event.Event) bool { return e.Unsigned().Get("redacted_because") != nil }

// came is when an event came, as far as that is known: of those that are older than
// this process it is when they say that they were sent.
func (s *Sender) came(pos journal.Position, e *event.Event) time.Time {
	now := time.Now()
	if sent := time.UnixMilli(e.OriginServerTS()); pos <= s.began && sent.Before(now) {
		return sent
	}
	return now
}

// name finds out how the sender and the room of a message are called.
func (s *Sender) name(ctx context.Context, m *message) (err error) {
	now, err := s.Rooms.Now(ctx, m.roomID)
	if err != nil {
		return err
	}
	if m.sender, err = s.Rooms.NameOf(ctx, m.roomID, now, m.event.Sender()); err != nil {
		return err
	}
	summary, err := s.Rooms.Summary(ctx, m.roomID)
	m.roomName, m.roomAlias = summary.Name, summary.CanonicalAlias
	return err
}

// enqueue puts a message into the queues of those whom it notifies.
func (s *Sender) enqueue(m *message, hits []hit) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range hits {
		h.outdate(m.room)
		if m.event.Type() == "m.call.invite" {
			h.rings(m)
		}
		for _, t := range h.targets {
			if t.Enabled && t.Active && t.pos < m.pos && t.last < m.pos && t.outlet != nil {
				s.put(t, note{m, h.result, now})
			}
		}
	}
}

// put puts a note into the queue of a target. The caller holds mu.
func (s *Sender) put(t *target, n note) {
	if t.last = n.pos; t.recall != 0 {
		return // it is found with what was before
	}
	if t.Kind == KindEmail { // as what is unread when it is to be sent
		t.recall, s.pending[t] = n.pos-1, true
		s.wake(t)
		return
	}
	if t.queue = append(t.queue, n); len(t.queue) > mostQueued {
		t.queue = slices.Delete(t.queue, 0, len(t.queue)-mostQueued)
		s.counters.dropped.Add(1)
	}
	s.pending[t] = true
	s.wake(t)
}

// received takes in that somebody has read a room: at once if it is for nobody else to
// know, and otherwise it is noted that it was there.
func (s *Sender) received(e journal.Entry, public map[int64]bool) {
	if e.Scope.Kind() == journal.ScopeRoom {
		public[e.Ref] = true
		return
	}
	for _, r := range s.scopes[e.Scope] {
		s.outdate(r, room.Num(e.Ref))
	}
}

// publicReceipts finds out who has read rooms between two positions of the journal.
func (s *Sender) publicReceipts(ctx context.Context, rooms []int64, after, upTo journal.Position) error {
	rooms = slices.DeleteFunc(rooms, func(num int64) bool {
		a, ok := s.audiences.Get(room.Num(num))
		return ok && len(a.members) == 0 || len(s.users) == 0
	})
	found, err := s.Receipts.Since(ctx, rooms, "", after, upTo)
	for num, list := range found {
		for _, r := range list {
			if reader, ok := s.users[r.User]; ok {
				s.outdate(reader, room.Num(num))
			}
		}
	}
	return err
}
