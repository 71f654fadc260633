package todevice

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// queue names what waits for one device.
type queue struct {
	user   id.UserID
	device id.DeviceID
}

// held is what is known of what waits for a device, so that one for which nothing
// does costs no query. Count and bytes are about right; there is nothing outside
// of first and last.
type held struct {
	unknown      bool // it has to be looked up
	first, last  journal.Position
	count, bytes int64
}

// with returns it with one more message.
func (h held) with(pos journal.Position, size int64) held {
	if h.count == 0 {
		h.first = pos
	}
	h.last = max(h.last, pos)
	h.count++
	h.bytes += size
	return h
}

// without returns it without the first few messages, up to a position.
func (h held) without(upTo journal.Position, gone int64) held {
	if h.last <= upTo {
		return held{unknown: h.unknown}
	}
	h.first = max(h.first, upTo+1)
	if h.count > 0 {
		h.bytes -= h.bytes / h.count * min(gone, h.count)
	}
	h.count = max(h.count-gone, 1)
	return h
}

// known returns what is known of a queue.
func (s *Store) known(q queue) (held, bool) {
	h, ok := s.queues.Get(q)
	return h, ok && !h.unknown
}

// held returns what waits for a device.
func (s *Store) held(ctx context.Context, q queue) (held, error) {
	if h, ok := s.known(q); ok {
		return h, nil
	}
	version := s.queues.Version(q)
	var h held
	err := s.db.View(ctx, func(tx *store.Tx) error {
		all, err := readHeld(tx, []id.UserID{q.user})
		h = all[q]
		return err
	})
	if err != nil {
		return h, err
	}
	s.queues.PutSince(q, h, version)
	return h, nil
}

// measure finds out what waits for the devices that are about to get something,
// where it is not known.
func (s *Store) measure(b *journal.Batch, reached map[queue]canonjson.Value) error {
	versions := make(map[queue]uint64)
	users := make(map[id.UserID]bool)
	for q := range reached {
		if _, ok := s.known(q); !ok {
			versions[q], users[q.user] = s.queues.Version(q), true
		}
	}
	if len(users) == 0 {
		return nil
	}
	var all map[queue]held
	err := b.Read(func(tx *store.Tx) (err error) {
		all, err = readHeld(tx, slices.Collect(maps.Keys(users)))
		return err
	})
	for q, version := range versions {
		s.queues.PutSince(q, all[q], version)
	}
	return err
}

func readHeld(tx *store.Tx, users []id.UserID) (map[queue]held, error) {
	all := make(map[queue]held)
	in, list := tx.In(1, users)
	for row, err := range tx.Query(`
		SELECT user_id, device_id, min(pos), max(pos), count(*), sum(length(message)) FROM to_device
		WHERE user_id `+in+` GROUP BY user_id, device_id`, list) {
		if err != nil {
			return nil, fmt.Errorf("measuring what waits for devices: %w", err)
		}
		var q queue
		var h held
		if err := row.Scan(&q.user, &q.device, &h.first, &h.last, &h.count, &h.bytes); err != nil {
			return nil, fmt.Errorf("measuring what waits for devices: %w", err)
		}
		all[q] = h
	}
	return all, nil
}

// Read returns what a device gets that was told everything up to a position of
// the journal: up to limit messages behind it and up to another position, in
// order, and the position up to which it is told everything with them. For a
// device for which nothing waits it costs no query.
func (s *Store) Read(ctx context.Context, user id.UserID, device id.DeviceID, after, upTo journal.Position, limit int) (
	messages []canonjson.Value, told journal.Position, err error) {
	q := queue{user, device}
	h, err := s.held(ctx, q)
	if err != nil || h.last <= after || h.first > upTo {
		return nil, upTo, err
	}
	told = upTo
	err = s.db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query(`
			SELECT pos, message FROM to_device WHERE user_id = $1 AND device_id = $2 AND pos > $3 AND pos <= $4
			ORDER BY pos LIMIT $5`, user, device, after, upTo, limit+1) {
			if err != nil {
				return err
			}
			var pos journal.Position
			var message []byte
			if err := row.Scan(&pos, &message); err != nil {
				return err
			}
			if len(messages) == limit {
				return nil
			}
			messages, told = append(messages, message), pos
		}
		told = upTo
		return nil
	})
	if err != nil {
		return nil, after, fmt.Errorf("reading what is sent to device %s of %s: %w", device, user, err)
	}
	if len(messages) == 0 && h.last <= upTo {
		// They went with the device, before it came again.
		s.queues.Change(q, func(held) held { return held{unknown: true} })
	}
	return messages, told, nil
}

// Sent returns what was sent to the devices of a user by the entry of the journal at a
// position, as far as they have not got it.
func (s *Store) Sent(ctx context.Context, user id.UserID, pos journal.Position) (map[id.DeviceID]canonjson.Value, error) {
	messages := make(map[id.DeviceID]canonjson.Value)
	err := s.db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query("SELECT device_id, message FROM to_device WHERE user_id = $1 AND pos = $2", user, pos) {
			if err != nil {
				return err
			}
			var device id.DeviceID
			var message []byte
			if err := row.Scan(&device, &message); err != nil {
				return err
			}
			messages[device] = message
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading what is sent to devices of %s: %w", user, err)
	}
	return messages, nil
}

// Deliver is Acknowledge and Read for clients that name what they were told by a
// token of its own: it returns up to limit messages behind a token that it returned
// before, empty for none, as of a position, and the token behind them. What is no
// token is refused; one from before the journal began anew is as none.
func (s *Store) Deliver(ctx context.Context, user id.UserID, device id.DeviceID, since string, limit int, upTo journal.Position) (
	messages []canonjson.Value, next string, err error) {
	after, err := s.parseToken(since)
	if err != nil {
		return nil, "", err
	}
	if after > 0 {
		if err := s.Acknowledge(ctx, user, device, after); err != nil {
			return nil, "", err
		}
	}
	messages, told, err := s.Read(ctx, user, device, after, upTo, limit)
	return messages, s.token(told), err
}

func (s *Store) token(pos journal.Position) string {
	return "d1_" + strconv.FormatInt(int64(pos), 10) + "_" + s.journal.Epoch()
}

// parseToken reads what token wrote.
func (s *Store) parseToken(text string) (journal.Position, error) {
	if text == "" {
		return 0, nil
	}
	rest, ok := strings.CutPrefix(text, "d1_")
	number, epoch, split := strings.Cut(rest, "_")
	pos, err := strconv.ParseInt(number, 10, 64)
	if !ok || !split || err != nil || pos < 0 {
		return 0, mxerr.New(mxerr.InvalidParam, "The token is not one that this server gave out")
	}
	if epoch != s.journal.Epoch() || journal.Position(pos) > s.journal.Head() {
		return 0, nil
	}
	return journal.Position(pos), nil
}

// ack names in a batch that a device has what it was told.
type ack struct {
	queue
	upTo journal.Position
}

// Acknowledge takes in that a device has everything up to a position, and deletes
// it. If there is nothing it costs no query.
func (s *Store) Acknowledge(ctx context.Context, user id.UserID, device id.DeviceID, upTo journal.Position) error {
	q := queue{user, device}
	h, err := s.held(ctx, q)
	if err != nil || h.count == 0 || h.first > upTo {
		return err
	}
	_, err = s.journal.Append(ctx, func(b *journal.Batch) error {
		var gone int64
		b.Write(ack{q, upTo}, func(tx *store.Tx) (err error) {
			gone, err = tx.Exec("DELETE FROM to_device WHERE user_id = $1 AND device_id = $2 AND pos <= $3", user, device, upTo)
			return err
		})
		b.Durable(func() { s.queues.Change(q, func(h held) held { return h.without(upTo, gone) }) })
		return nil
	})
	if err != nil {
		return fmt.Errorf("deleting what device %s of %s has: %w", device, user, err)
	}
	return nil
}

// Forget removes what waits for devices that are removed, in the transaction that
// removes them.
func (s *Store) Forget(tx *store.Tx, user id.UserID, devices []id.DeviceID) error {
	in, list := tx.In(2, devices)
	if _, err := tx.Exec("DELETE FROM to_device WHERE user_id = $1 AND device_id "+in, user, list); err != nil {
		return fmt.Errorf("deleting what waits for %d devices of %s: %w", len(devices), user, err)
	}
	return nil
}
