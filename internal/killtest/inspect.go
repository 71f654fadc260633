package killtest

import (
	"context"
	"fmt"
	"slices"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

// A Snapshot is what a database has at a moment.
type Snapshot struct {
	epoch       string
	head, floor int64
	entries     []journal.Entry // those behind floor

	rooms        map[string]*roomRow
	byNum        map[int64]*eventRow
	byID         map[string]*eventRow
	markers      map[string]int // how many events have each
	transactions map[transaction]string
	receipts     map[[2]string]receiptRow // by room and user, those of type m.read
}

type transaction struct {
	user, device, txn string
	room              int64
}

type receiptRow struct {
	eventID string
	place   int64
}

// Inspect reads a database, which a server may be using, and checks that it
// agrees with itself.
func Inspect(ctx context.Context, db *store.DB) (*Snapshot, error) {
	s := &Snapshot{
		rooms: make(map[string]*roomRow), byNum: make(map[int64]*eventRow), byID: make(map[string]*eventRow),
		markers: make(map[string]int), transactions: make(map[transaction]string), receipts: make(map[[2]string]receiptRow),
	}
	err := db.View(ctx, func(tx *store.Tx) error {
		for _, step := range []func(*store.Tx) error{
			s.readJournal, s.readRooms, s.readEvents, s.checkEntries, s.readTransactions, s.readReceipts, s.checkPositions,
		} {
			if err := step(tx); err != nil {
				return err
			}
		}
		for roomID, r := range s.rooms {
			if err := r.replay(ctx, tx); err != nil {
				return fmt.Errorf("room %s: %w", roomID, err)
			}
		}
		return nil
	})
	return s, err
}

// each runs a query and gives each row to f.
func each(tx *store.Tx, query string, f func(store.Cursor) error) error {
	for row, err := range tx.Query(query) {
		if err != nil {
			return err
		}
		if err := f(row); err != nil {
			return err
		}
	}
	return nil
}

// readJournal checks that positions are contiguous.
func (s *Snapshot) readJournal(tx *store.Tx) error {
	if err := tx.Row("SELECT pos, floor, epoch FROM journal_head").Scan(&s.head, &s.floor, &s.epoch); err != nil {
		return err
	}
	err := each(tx, "SELECT pos, scope, kind, ref FROM journal ORDER BY pos", func(row store.Cursor) error {
		var e journal.Entry
		if err := row.Scan(&e.Pos, &e.Scope, &e.Kind, &e.Ref); err != nil {
			return err
		}
		if want := s.floor + int64(len(s.entries)) + 1; int64(e.Pos) != want {
			return fmt.Errorf("the journal has position %d, want %d", e.Pos, want)
		}
		s.entries = append(s.entries, e)
		return nil
	})
	if err == nil && s.floor+int64(len(s.entries)) != s.head {
		err = fmt.Errorf("the journal has %d entries behind %d, and its head is %d", len(s.entries), s.floor, s.head)
	}
	return err
}

func (s *Snapshot) entry(pos int64) journal.Entry { return s.entries[pos-s.floor-1] }

func (s *Snapshot) readRooms(tx *store.Tx) error {
	return each(tx, "SELECT room, room_id, version, pos, head, root, place, joined, invited, unread, loud FROM rooms", func(row store.Cursor) error {
		r := &roomRow{snapshot: s}
		var roomID string
		var head []byte
		err := row.Scan(&r.num, &roomID, &r.version, &r.pos, &head, &r.root, &r.place, &r.joined, &r.invited, &r.unread, &r.loud)
		if err != nil {
			return err
		}
		r.head = decodeNums(head)
		s.rooms[roomID] = r
		return nil
	})
}

// readEvents checks that events are what their IDs say.
func (s *Snapshot) readEvents(tx *store.Tx) error {
	byNum := make(map[int64]*roomRow)
	for _, r := range s.rooms {
		byNum[r.num] = r
	}
	return each(tx, `
		SELECT event, room, event_id, place, pos, before, current, unread, loud, json, coalesce(device, ''), coalesce(txn, ''),
			coalesce(redacted_by, 0)
		FROM events ORDER BY room, place`, func(row store.Cursor) error {
		e := new(eventRow)
		var json []byte
		err := row.Scan(&e.num, &e.room, &e.id, &e.place, &e.pos, &e.before, &e.current, &e.unread, &e.loud, &json, &e.device, &e.txn,
			&e.redactedBy)
		if err != nil {
			return err
		}
		r := byNum[e.room]
		if r == nil {
			return fmt.Errorf("event %s is in no room", e.id)
		}
		rules, _ := roomver.Lookup(roomver.Version(r.version))
		if e.event, err = event.Parse(json, rules); err != nil {
			return fmt.Errorf("event %s: %w", e.id, err)
		}
		if e.event.ID() != id.EventID(e.id) || !e.event.HashMatches() {
			return fmt.Errorf("event %s is not what its ID and its hash say", e.id)
		}
		r.events = append(r.events, e)
		s.byNum[e.num], s.byID[e.id] = e, e
		if m := text(e.event.Content(), marker); m != "" {
			s.markers[m]++
		}
		return nil
	})
}

// checkEntries checks that the journal has each event once, at its position.
func (s *Snapshot) checkEntries(*store.Tx) error {
	found := 0
	for _, entry := range s.entries {
		if entry.Kind != journal.KindEvent {
			continue
		}
		e := s.byNum[entry.Ref]
		if e == nil || e.pos != int64(entry.Pos) || entry.Scope != journal.NewScope(journal.ScopeRoom, e.room) {
			return fmt.Errorf("entry %v is not that of its event: %v", entry, e)
		}
		found++
	}
	if s.floor == 0 && found != len(s.byNum) {
		return fmt.Errorf("the journal has %d events, the table %d", found, len(s.byNum))
	}
	return nil
}

func (s *Snapshot) readTransactions(tx *store.Tx) error {
	return each(tx, "SELECT user_id, device_id, txn_id, room, event_id FROM transactions", func(row store.Cursor) error {
		var t transaction
		var eventID string
		if err := row.Scan(&t.user, &t.device, &t.txn, &t.room, &eventID); err != nil {
			return err
		}
		e := s.byID[eventID]
		if e == nil || e.device != t.device || e.txn != t.txn || string(e.event.Sender()) != t.user || e.room != t.room {
			return fmt.Errorf("transaction %v has become %s, which is %v", t, eventID, e)
		}
		s.transactions[t] = eventID
		return nil
	})
}

func (s *Snapshot) readReceipts(tx *store.Tx) error {
	return each(tx, "SELECT room_id, user_id, type, event_id, r.place, r.unread, r.loud FROM receipts r JOIN rooms ON rooms.room = r.room",
		func(row store.Cursor) error {
			var roomID, user, receiptType string
			var r receiptRow
			var unread, loud int64
			if err := row.Scan(&roomID, &user, &receiptType, &r.eventID, &r.place, &unread, &loud); err != nil {
				return err
			}
			e := s.byID[r.eventID]
			if e == nil || e.room != s.rooms[roomID].num || e.place != r.place || e.unread != unread || e.loud != loud {
				return fmt.Errorf("the receipt of %s in %s is %v, %d, %d; its event is %v", user, roomID, r, unread, loud, e)
			}
			s.receipts[[2]string{roomID, user}] = r
			return nil
		})
}

// checkPositions checks that what /sync finds by a position has an entry there.
func (s *Snapshot) checkPositions(tx *store.Tx) error {
	for _, table := range []struct {
		name, query string
		kind        journal.Kind
	}{
		{"receipts", "SELECT pos FROM receipts", journal.KindReceipt},
		{"account_data", "SELECT pos FROM account_data", journal.KindAccountData},
		{"sticky", "SELECT pos FROM sticky WHERE pos IS NOT NULL AND event NOT IN (SELECT event FROM events WHERE pos IS NOT NULL)", journal.KindSticky},
		{"thread_subscriptions", "SELECT pos FROM thread_subscriptions", journal.KindSubscription},
		{"profile_fields", "SELECT pos FROM profile_fields", journal.KindProfile},
		{"push_rules", "SELECT pos FROM push_rules", journal.KindAccountData},
		{"memberships", "SELECT pos FROM memberships", journal.KindEvent},
		{"sights", "SELECT pos FROM sights", journal.KindEvent},
	} {
		err := each(tx, table.query, func(row store.Cursor) error {
			var pos int64
			if err := row.Scan(&pos); err != nil {
				return err
			}
			if pos <= s.floor {
				return nil
			}
			if pos > s.head || s.entry(pos).Kind != table.kind {
				return fmt.Errorf("%s has position %d, of which the journal knows nothing", table.name, pos)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// follows checks that nothing of what was there before has changed or gone.
func (s *Snapshot) follows(before *Snapshot) error {
	if s.epoch != before.epoch || s.head < before.head {
		return fmt.Errorf("the journal was at %s %d, and is at %s %d", before.epoch, before.head, s.epoch, s.head)
	}
	if i := s.floor - before.floor; i >= 0 && i < int64(len(before.entries)) && !slices.Equal(before.entries[i:], s.entries[:before.head-s.floor]) {
		return fmt.Errorf("entries of the journal up to %d have changed", before.head)
	}
	for eventID, e := range before.byID {
		now := s.byID[eventID]
		if now == nil || now.num != e.num || now.place != e.place || now.pos != e.pos || string(now.event.JSON()) != string(e.event.JSON()) {
			return fmt.Errorf("event %v has become %v", e, now)
		}
	}
	for t, eventID := range before.transactions {
		if s.transactions[t] != eventID {
			return fmt.Errorf("transaction %v was %s, and is %s", t, eventID, s.transactions[t])
		}
	}
	return nil
}

// holds checks that something that was sent is there once.
func (s *Snapshot) holds(m *sending, who *account) error {
	e, r := s.byID[m.eventID], s.rooms[m.room]
	if e == nil || r == nil || e.room != r.num {
		return fmt.Errorf("event %s was acknowledged and is not there", m.eventID)
	}
	if n := s.markers[m.marker]; m.redacts == "" && n != 1 {
		return fmt.Errorf("%s was sent once and is there %d times", m.marker, n)
	}
	if m.txn != "" {
		if got := s.transactions[transaction{who.userID, who.device, m.txn, r.num}]; got != m.eventID {
			return fmt.Errorf("transaction %s is %q, want %s", m.txn, got, m.eventID)
		}
	}
	if (e.redactedBy != 0) != m.redacted {
		return fmt.Errorf("event %s: redacted by %d, acknowledged: %v", m.eventID, e.redactedBy, m.redacted)
	}
	return nil
}

// receipt returns up to where a user has read a room.
func (s *Snapshot) receipt(roomID, user string) string {
	return s.receipts[[2]string{roomID, user}].eventID
}

// membership returns what a user is to a room.
func (s *Snapshot) membership(roomID, user string) string {
	return s.rooms[roomID].members[user].membership
}

// unread counts what a user has not read of a room, event by event: messages
// behind a receipt and behind what the user said, and those that mention the
// user.
func (s *Snapshot) unread(roomID, user string) string {
	r := s.rooms[roomID]
	mark := max(s.receipts[[2]string{roomID, user}].place, r.spoken[user])
	notifications, highlights := 0, 0
	for _, e := range r.events {
		if e.place <= mark || !e.notifies() {
			continue
		}
		notifications++
		for v := range e.event.Content().Get("m.mentions").Get("user_ids").Elements() {
			if v.Is(user) {
				highlights++
			}
		}
	}
	return fmt.Sprint(notifications, highlights)
}
