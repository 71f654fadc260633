package room

import (
	"cmp"
	"context"
	"encoding/binary"
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

// Num is the number of a room on this server.
type Num int64

// Scope is where the journal has what happens in a room.
func (n Num) Scope() journal.Scope { return journal.NewScope(journal.ScopeRoom, int64(n)) }

// The values of events.status.
const (
	accepted   = 1
	softFailed = 2 // allowed when it was sent, and not by the present state
	rejected   = 3
)

var (
	insertEvents = &store.Insert{Table: "events", Columns: []store.Column{
		{Name: "event", Type: store.Int}, {Name: "room", Type: store.Int}, {Name: "event_id", Type: store.Text},
		{Name: "place", Type: store.Int}, {Name: "pos", Type: store.Int}, {Name: "status", Type: store.Int},
		{Name: "before", Type: store.Blob}, {Name: "current", Type: store.Blob}, {Name: "merges", Type: store.Bool},
		{Name: "replaces", Type: store.Int}, {Name: "unread", Type: store.Int}, {Name: "loud", Type: store.Int},
		{Name: "threaded_unread", Type: store.Int}, {Name: "threaded_loud", Type: store.Int}, {Name: "thread", Type: store.Text},
		{Name: "thread_unread", Type: store.Int}, {Name: "thread_loud", Type: store.Int}, {Name: "auth", Type: store.Blob}, {Name: "follows", Type: store.Blob},
		{Name: "json", Type: store.Blob}, {Name: "device", Type: store.Text}, {Name: "txn", Type: store.Text}, {Name: "relays", Type: store.Bool},
	}}
	insertNodes = &store.Insert{Table: "state_nodes", Columns: []store.Column{
		{Name: "room", Type: store.Int}, {Name: "address", Type: store.Blob}, {Name: "node", Type: store.Blob},
		{Name: "pos", Type: store.Int},
	}, Conflict: "ON CONFLICT (room, address) DO UPDATE SET pos = excluded.pos WHERE state_nodes.pos < excluded.pos"}
	insertSights = &store.Insert{Table: "sights", Columns: []store.Column{
		{Name: "room", Type: store.Int}, {Name: "user_id", Type: store.Text}, {Name: "place", Type: store.Int},
		{Name: "pos", Type: store.Int}, {Name: "event", Type: store.Int}, {Name: "value", Type: store.Text},
	}}
)

// record is the row of a room.
type record struct {
	num             Num
	version         roomver.Version
	change          int64
	pos             journal.Position // known only of what is committed
	head            []stateres.Num
	root            statetrie.Root
	place           int64
	joined, invited int64
	total, threaded Total
	sticky          int64 // until when an event is sticky, in milliseconds since 1970
	bumped          int64 // when something was said last, in milliseconds since 1970
	events, bytes   int64 // that were stored, ever
	// whole is the position from which on all members are known, 0 for all the time,
	// or notWhole.
	whole journal.Position
}

// moment returns the room as its row says, which must be committed.
func (r record) moment() Moment {
	return Moment{Pos: r.pos, Place: r.place, Root: r.root, Joined: r.joined, Invited: r.invited, Total: r.total, Threaded: r.threaded, Bumped: r.bumped}
}

// readRoom reads the row of a room.
func readRoom(tx *store.Tx, roomID id.RoomID) (record, error) {
	rows, err := readRooms(tx, []id.RoomID{roomID})
	if row, ok := rows[roomID]; ok {
		return row, nil
	}
	return record{}, cmp.Or(err, store.ErrNoRows)
}

// readRooms reads the rows of rooms, of those that are there.
func readRooms(tx *store.Tx, ids []id.RoomID) (map[id.RoomID]record, error) {
	found := make(map[id.RoomID]record, len(ids))
	in, list := tx.In(1, ids)
	for row, err := range tx.Query(`
		SELECT room_id, room, version, change, pos, head, root, place, joined, invited, unread, loud,
			threaded_unread, threaded_loud, events, bytes, whole, bumped, sticky
		FROM rooms WHERE room_id `+in, list) {
		if err != nil {
			return nil, err
		}
		var roomID id.RoomID
		var r record
		var head []byte
		if err := row.Scan(&roomID, &r.num, &r.version, &r.change, &r.pos, &head, &r.root, &r.place, &r.joined, &r.invited,
			&r.total.Unread, &r.total.Loud, &r.threaded.Unread, &r.threaded.Loud, &r.events, &r.bytes, &r.whole, &r.bumped, &r.sticky); err != nil {
			return nil, err
		}
		if r.head, err = decodeNums(head); err != nil {
			return nil, err
		}
		found[roomID] = r
	}
	return found, nil
}

func writeRoom(tx *store.Tx, r record) error {
	err := tx.Queue(`
		UPDATE rooms SET change = $2, pos = $3, head = $4, root = $5, place = $6, joined = $7, invited = $8,
			unread = $9, loud = $10, threaded_unread = $11, threaded_loud = $12, events = $13, bytes = $14, whole = $15, bumped = $16, sticky = $17
		WHERE room = $1`,
		r.num, r.change, r.pos, encodeNums(r.head), r.root, r.place, r.joined, r.invited,
		r.total.Unread, r.total.Loud, r.threaded.Unread, r.threaded.Loud, r.events, r.bytes, r.whole, r.bumped, r.sticky)
	if err != nil {
		return fmt.Errorf("storing the head of room %d: %w", r.num, err)
	}
	return nil
}

func insertRoom(tx *store.Tx, roomID id.RoomID, r record) error {
	err := tx.Queue(`
		INSERT INTO rooms (room, room_id, version, change, pos, head, root, place, joined, invited,
			unread, loud, threaded_unread, threaded_loud, published, events, bytes, whole, bumped, sticky)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)`,
		r.num, roomID, string(r.version), r.change, r.pos, encodeNums(r.head), r.root, r.place, r.joined, r.invited,
		r.total.Unread, r.total.Loud, r.threaded.Unread, r.threaded.Loud, false, r.events, r.bytes, r.whole, r.bumped, r.sticky)
	if err != nil {
		return fmt.Errorf("storing room %s: %w", roomID, err)
	}
	return nil
}

// putMembership stores what a user has become. A room that was forgotten remains
// so until the user joins it again, whoever invites or bans the user meanwhile.
func putMembership(tx *store.Tx, room Num, c memberChange, pos journal.Position) error {
	err := tx.Queue(`
		INSERT INTO memberships (user_id, room, membership, event, pos, forgotten) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (user_id, room) DO UPDATE SET
			membership = excluded.membership, event = excluded.event, pos = excluded.pos,
			forgotten = memberships.forgotten AND excluded.membership <> $7`,
		c.user, room, c.membership, c.num, pos, false, event.MembershipJoin)
	if err != nil {
		return fmt.Errorf("storing the membership of %s in room %d: %w", c.user, room, err)
	}
	return nil
}

// readEvents reads events of a room by their numbers. That one is missing is an
// error.
func readEvents(tx *store.Tx, nums []stateres.Num, rules *roomver.Rules) (map[stateres.Num]*event.Event, error) {
	found := make(map[stateres.Num]*event.Event, len(nums))
	in, list := tx.In(1, nums)
	for row, err := range tx.Query("SELECT event, event_id, json FROM events WHERE event "+in, list) {
		if err != nil {
			return nil, err
		}
		var n stateres.Num
		var eventID id.EventID
		var json []byte
		if err := row.Scan(&n, &eventID, &json); err != nil {
			return nil, err
		}
		if found[n], err = event.Load(json, eventID, rules); err != nil {
			return nil, fmt.Errorf("reading event %d: %w", n, err)
		}
	}
	for _, n := range nums {
		if found[n] == nil {
			return nil, fmt.Errorf("reading event %d: %w", n, store.ErrNoRows)
		}
	}
	return found, nil
}

// findEvent returns the number of an event of a room, 0 when it is unknown.
func findEvent(tx *store.Tx, room Num, eventID id.EventID) (num stateres.Num, err error) {
	err = tx.Row("SELECT event FROM events WHERE event_id = $1 AND room = $2", eventID, room).Scan(&num)
	if errors.Is(err, store.ErrNoRows) {
		err = nil
	}
	return num, err
}

// reserveNumbers gives out a block of numbers and returns the first.
func reserveNumbers(ctx context.Context, db *store.DB, name string, count int64) (first int64, err error) {
	err = db.Update(ctx, func(tx *store.Tx) error {
		var last int64
		err := tx.Row(`
			INSERT INTO numbers (name, last) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET last = numbers.last + excluded.last
			RETURNING last`, name, count).Scan(&last)
		first = last - count + 1
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("reserving %d %s numbers: %w", count, name, err)
	}
	return first, nil
}

// encodeNums encodes numbers in their order.
func encodeNums(nums []stateres.Num) []byte {
	b := make([]byte, 0, 4*len(nums))
	for _, n := range nums {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return b
}

func decodeNums(b []byte) ([]stateres.Num, error) {
	var nums []stateres.Num
	for len(b) > 0 {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			return nil, errors.New("malformed list of event numbers")
		}
		nums = append(nums, stateres.Num(n))
		b = b[size:]
	}
	return nums, nil
}
