package todevice

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// EDUType is the type of the EDU in which messages go to other servers.
// https://spec.matrix.org/v1.19/server-server-api/#send-to-device-messaging
const EDUType = "m.direct_to_device"

// edus returns a message to some users of another server, in as many EDUs as
// it needs.
func edus(m Message, users []id.UserID) (list []canonjson.Value) {
	var messages canonjson.Value
	flush := func() {
		if messages == nil {
			return
		}
		content := canonjson.Value("{}").
			With("message_id", canonjson.Text(messageID())).
			With("messages", append(messages, '}')).
			With("sender", canonjson.Text(string(m.Sender))).
			With("type", canonjson.Text(m.Type))
		list = append(list, canonjson.Value("{}").With("content", content).With("edu_type", canonjson.Text(EDUType)))
		messages = nil
	}
	for _, user := range users {
		devices := slices.Sorted(maps.Keys(m.To[user]))
		for len(devices) > 0 {
			// At least one, and as many as fit.
			n, size := 0, len(messages)
			for n < len(devices) && (n == 0 || size+len(m.To[user][devices[n]]) <= mostContent) {
				size += len(m.To[user][devices[n]])
				n++
			}
			if messages != nil && size > mostContent {
				flush()
				continue
			}
			messages = appendUser(messages, user, devices[:n], m.To[user])
			devices = devices[n:]
		}
	}
	flush()
	return list
}

// appendUser appends what is said to some devices of a user.
func appendUser(dst canonjson.Value, user id.UserID, devices []id.DeviceID, contents map[id.DeviceID]canonjson.Value) canonjson.Value {
	open := byte(',')
	if dst == nil {
		open = '{'
	}
	dst = append(canonjson.AppendString(append(dst, open), string(user)), ':')
	open = '{'
	for _, device := range devices {
		dst = append(canonjson.AppendString(append(dst, open), string(device)), ':')
		dst = append(dst, contents[device]...)
		open = ','
	}
	return append(dst, '}')
}

var insertAbroad = &store.Insert{Table: "to_device_abroad", Columns: []store.Column{
	{Name: "server", Type: store.Text}, {Name: "pos", Type: store.Int}, {Name: "part", Type: store.Int}, {Name: "edu", Type: store.Blob},
}}

// putAbroad adds to the batch what other servers get.
func (s *Store) putAbroad(b *journal.Batch, abroad map[id.ServerName][]canonjson.Value) error {
	if err := s.measureAbroad(b, abroad); err != nil {
		return err
	}
	pos := b.Append(journal.NewScope(journal.ScopeServers, 0), journal.KindAbroad, 0)
	for server, list := range abroad {
		size := int64(0)
		for part, edu := range list {
			b.Insert(insertAbroad, server, pos, int64(part), []byte(edu))
			size += int64(len(edu))
		}
		q := queueOf(server)
		b.Durable(func() {
			s.queues.Change(q, func(h held) held {
				h.count += int64(len(list))
				h.bytes += size
				return h
			})
		})
		if h, ok := s.known(q); ok && s.full(h) {
			s.shortenAbroad(b, server, h)
		}
	}
	return nil
}

// queueOf names what waits for a server, of which only count and bytes are known.
func queueOf(server id.ServerName) queue { return queue{device: id.DeviceID(server)} }

func (s *Store) measureAbroad(b *journal.Batch, abroad map[id.ServerName][]canonjson.Value) error {
	versions := make(map[id.ServerName]uint64)
	for server := range abroad {
		if _, ok := s.known(queueOf(server)); !ok {
			versions[server] = s.queues.Version(queueOf(server))
		}
	}
	if len(versions) == 0 {
		return nil
	}
	all := make(map[id.ServerName]held)
	err := b.Read(func(tx *store.Tx) error {
		in, list := tx.In(1, slices.Collect(maps.Keys(versions)))
		for row, err := range tx.Query("SELECT server, count(*), sum(length(edu)) FROM to_device_abroad WHERE server "+in+" GROUP BY server", list) {
			if err != nil {
				return err
			}
			var server id.ServerName
			var h held
			if err := row.Scan(&server, &h.count, &h.bytes); err != nil {
				return err
			}
			all[server] = h
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("measuring what waits for other servers: %w", err)
	}
	for server, version := range versions {
		s.queues.PutSince(queueOf(server), all[server], version)
	}
	return nil
}

// shortenAbroad drops the oldest of what waits for a server.
func (s *Store) shortenAbroad(b *journal.Batch, server id.ServerName, h held) {
	surplus := max(1, h.count/shortenBy)
	var dropped int64
	b.Write(queueOf(server), func(tx *store.Tx) (err error) {
		dropped, err = tx.Exec(`
			DELETE FROM to_device_abroad WHERE server = $1 AND pos < (
				SELECT pos FROM to_device_abroad WHERE server = $1 ORDER BY pos, part LIMIT 1 OFFSET $2)`, server, surplus)
		return err
	})
	b.Durable(func() {
		s.queues.Change(queueOf(server), func(held) held { return held{unknown: true} })
		if dropped > 0 {
			s.dropped.Add(dropped)
			s.Log.Warn("a server cannot be reached: the oldest messages to devices of its users are dropped",
				"server", server, "messages", dropped, "in_all", s.dropped.Load())
			dropped = 0
		}
	})
}

// An Owed is an EDU that another server is to get.
type Owed struct {
	Server id.ServerName
	Pos    journal.Position
	EDU    canonjson.Value
}

// Owed returns what other servers are to get that was sent between two positions
// of the journal, both included, in order.
func (s *Store) Owed(ctx context.Context, from, to journal.Position) (list []Owed, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		list, err = scanOwed(tx, "SELECT server, pos, edu FROM to_device_abroad WHERE pos BETWEEN $1 AND $2 ORDER BY pos, part", from, to)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading messages to devices of others from %d to %d: %w", from, to, err)
	}
	return list, nil
}

// OwedTo is Owed for one server, and up to a limit: it returns up to which position
// that is all.
func (s *Store) OwedTo(ctx context.Context, server id.ServerName, from, to journal.Position, limit int) (list []Owed, upTo journal.Position, err error) {
	upTo = to
	err = s.db.View(ctx, func(tx *store.Tx) error {
		var pos journal.Position
		err := tx.Row("SELECT pos FROM to_device_abroad WHERE server = $1 AND pos BETWEEN $2 AND $3 ORDER BY pos, part LIMIT 1 OFFSET $4",
			server, from, to, limit-1).Scan(&pos)
		if err == nil {
			upTo = pos // with all that has this position
		} else if !errors.Is(err, store.ErrNoRows) {
			return err
		}
		list, err = scanOwed(tx, `
			SELECT server, pos, edu FROM to_device_abroad
			WHERE server = $1 AND pos BETWEEN $2 AND $3 ORDER BY pos, part`, server, from, upTo)
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("reading messages to devices of %s from %d to %d: %w", server, from, to, err)
	}
	return list, upTo, nil
}

func scanOwed(tx *store.Tx, query string, args ...any) (list []Owed, err error) {
	for row, err := range tx.Query(query, args...) {
		if err != nil {
			return nil, err
		}
		var o Owed
		var edu []byte
		if err := row.Scan(&o.Server, &o.Pos, &edu); err != nil {
			return nil, err
		}
		o.EDU = edu
		list = append(list, o)
	}
	return list, nil
}

// Taken deletes what a server has taken: all before a position.
func (s *Store) Taken(tx *store.Tx, server id.ServerName, before journal.Position) error {
	if err := tx.Queue("DELETE FROM to_device_abroad WHERE server = $1 AND pos < $2", server, before); err != nil {
		return fmt.Errorf("deleting messages that %s has: %w", server, err)
	}
	s.queues.Change(queueOf(server), func(held) held { return held{unknown: true} })
	return nil
}
