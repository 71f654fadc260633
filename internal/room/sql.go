package room

import (
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

// KindEvent is the kind of journal entries for events: their reference is the
// number of an event.
const KindEvent journal.Kind = 1

var (
	insertEvents = &store.Insert{Table: "events", Columns: []store.Column{
		{Name: "event", Type: store.Int}, {Name: "room", Type: store.Int}, {Name: "event_id", Type: store.Text},
		{Name: "place", Type: store.Int}, {Name: "before", Type: store.Blob}, {Name: "auth", Type: store.Blob},
		{Name: "json", Type: store.Blob},
	}}
	insertNodes = &store.Insert{Table: "state_nodes", Columns: []store.Column{
		{Name: "room", Type: store.Int}, {Name: "address", Type: store.Blob}, {Name: "node", Type: store.Blob},
	}, Conflict: "ON CONFLICT (room, address) DO NOTHING"}
)

// record is the row of a room.
type record struct {
	num     Num
	version roomver.Version
	change  int64
	head    []stateres.Num
	root    statetrie.Root
	place   int64
}

func readRoom(tx *store.Tx, roomID id.RoomID) (record, error) {
	var r record
	var head []byte
	err := tx.Row("SELECT room, version, change, head, root, place FROM rooms WHERE room_id = $1", roomID).
		Scan(&r.num, &r.version, &r.change, &head, &r.root, &r.place)
	if err != nil {
		return record{}, err
	}
	r.head, err = decodeNums(head)
	return r, err
}

func writeRoom(tx *store.Tx, r record) error {
	_, err := tx.Exec("UPDATE rooms SET change = $2, head = $3, root = $4, place = $5 WHERE room = $1",
		r.num, r.change, encodeNums(r.head), r.root, r.place)
	if err != nil {
		return fmt.Errorf("storing the head of room %d: %w", r.num, err)
	}
	return nil
}

func insertRoom(tx *store.Tx, roomID id.RoomID, r record) error {
	_, err := tx.Exec(`
		INSERT INTO rooms (room, room_id, version, change, head, root, place)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		r.num, roomID, string(r.version), r.change, encodeNums(r.head), r.root, r.place)
	if err != nil {
		return fmt.Errorf("storing room %s: %w", roomID, err)
	}
	return nil
}

func putMembership(tx *store.Tx, room Num, user, membership string, event stateres.Num) error {
	_, err := tx.Exec(`
		INSERT INTO memberships (user_id, room, membership, event) VALUES ($1, $2, $3, $4)
		ON CONFLICT (user_id, room) DO UPDATE SET membership = excluded.membership, event = excluded.event`,
		user, room, membership, event)
	if err != nil {
		return fmt.Errorf("storing the membership of %s in room %d: %w", user, room, err)
	}
	return nil
}

// readEvent reads an event of a room by its number.
func readEvent(tx *store.Tx, num stateres.Num, rules *roomver.Rules) (*event.Event, error) {
	var eventID id.EventID
	var json []byte
	err := tx.Row("SELECT event_id, json FROM events WHERE event = $1", num).Scan(&eventID, &json)
	if err != nil {
		return nil, fmt.Errorf("reading event %d: %w", num, err)
	}
	return event.Load(json, eventID, rules)
}

// readShown reads an event of a room in the form in which it may be shown.
func readShown(tx *store.Tx, num stateres.Num, rules *roomver.Rules) (*event.Event, error) {
	e, err := readEvent(tx, num, rules)
	if err != nil {
		return nil, err
	}
	var redaction stateres.Num
	if err := tx.Row("SELECT redacted_by FROM events WHERE event = $1", num).Scan(&redaction); err != nil || redaction == 0 {
		return e, err
	}
	because, err := readEvent(tx, redaction, rules)
	if err != nil {
		return nil, err
	}
	return shown(e, because), nil
}

// findEvent returns the number of an event and its room, 0 when it is unknown.
func findEvent(tx *store.Tx, eventID id.EventID) (num stateres.Num, room Num, err error) {
	err = tx.Row("SELECT event, room FROM events WHERE event_id = $1", eventID).Scan(&num, &room)
	if errors.Is(err, store.ErrNoRows) {
		err = nil
	}
	return num, room, err
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
