package todevice

import (
	"fmt"
	"maps"
	"slices"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

var insertMessages = &store.Insert{Table: "to_device", Columns: []store.Column{
	{Name: "user_id", Type: store.Text}, {Name: "device_id", Type: store.Text}, {Name: "pos", Type: store.Int}, {Name: "message", Type: store.Blob},
}}

// divide returns what of a message is for users of this server, and what is for
// others, by their server.
func (s *Store) divide(m Message) (local map[id.UserID]map[id.DeviceID]canonjson.Value, abroad map[id.ServerName][]canonjson.Value) {
	local = make(map[id.UserID]map[id.DeviceID]canonjson.Value)
	others := make(map[id.ServerName][]id.UserID)
	for _, user := range slices.Sorted(maps.Keys(m.To)) {
		if server := user.Server(); server == s.Server {
			local[user] = m.To[user]
		} else if len(m.To[user]) > 0 {
			others[server] = append(others[server], user)
		}
	}
	abroad = make(map[id.ServerName][]canonjson.Value, len(others))
	for server, users := range others {
		abroad[server] = edus(m, users)
	}
	return local, abroad
}

// deliver adds to the batch what the devices of local users get.
func (s *Store) deliver(b *journal.Batch, m Message, to map[id.UserID]map[id.DeviceID]canonjson.Value) error {
	if len(to) == 0 {
		return nil
	}
	users := slices.Sorted(maps.Keys(to))
	var there map[id.UserID][]id.DeviceID
	err := b.Read(func(tx *store.Tx) (err error) {
		there, err = s.Devices(tx, users)
		return err
	})
	if err != nil {
		return fmt.Errorf("reading the devices of %d users: %w", len(users), err)
	}
	reached := make(map[queue]canonjson.Value)
	for user, devices := range there {
		for _, device := range devices {
			content, ok := to[user][device]
			if !ok {
				content, ok = to[user][AllDevices]
			}
			if ok {
				reached[queue{user, device}] = m.event(content)
			}
		}
	}
	if err := s.measure(b, reached); err != nil {
		return err
	}
	for _, user := range users {
		pos := journal.Position(0)
		for _, device := range there[user] {
			q := queue{user, device}
			event, ok := reached[q]
			if !ok {
				continue
			}
			if pos == 0 {
				pos = b.Append(journal.UserScope(user), journal.KindToDevice, 0)
			}
			s.put(b, q, pos, event)
		}
	}
	return nil
}

// event returns a message as a device gets it.
func (m Message) event(content canonjson.Value) canonjson.Value {
	dst := append(make(canonjson.Value, 0, len(content)+len(m.Sender)+len(m.Type)+40), `{"content":`...)
	dst = canonjson.AppendString(append(append(dst, content...), `,"sender":`...), string(m.Sender))
	dst = canonjson.AppendString(append(dst, `,"type":`...), m.Type)
	return append(dst, '}')
}

// put adds a message for one device to the batch.
func (s *Store) put(b *journal.Batch, q queue, pos journal.Position, event canonjson.Value) {
	b.Insert(insertMessages, q.user, q.device, pos, []byte(event))
	b.Durable(func() { s.queues.Change(q, func(h held) held { return h.with(pos, int64(len(event))) }) })
	if h, ok := s.queues.Get(q); ok && s.full(h) {
		s.shorten(b, q, h)
	}
}

func (s *Store) full(h held) bool { return h.count >= s.MostMessages || h.bytes >= s.MostBytes }

// shortenBy is which part of a queue that is full is dropped, so that not each
// message that comes drops another.
const shortenBy = 10

// shorten drops the oldest of what waits for a device. Of several changes in a
// group that find it full one does.
func (s *Store) shorten(b *journal.Batch, q queue, h held) {
	surplus := max(1, h.count/shortenBy)
	var dropped int64
	b.Write(q, func(tx *store.Tx) (err error) {
		dropped, err = tx.Exec(`
			DELETE FROM to_device WHERE user_id = $1 AND device_id = $2 AND pos < (
				SELECT pos FROM to_device WHERE user_id = $1 AND device_id = $2 ORDER BY pos LIMIT 1 OFFSET $3)`,
			q.user, q.device, surplus)
		return err
	})
	b.Durable(func() {
		s.queues.Change(q, func(held) held { return held{unknown: true} })
		if dropped > 0 {
			s.dropped.Add(dropped)
			s.Log.Warn("a device does not fetch what is sent to it: the oldest messages are dropped",
				"user", q.user, "device", q.device, "messages", dropped, "in_all", s.dropped.Load())
			dropped = 0
		}
	})
}
