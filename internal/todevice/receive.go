package todevice

import (
	"crypto/sha256"
	"fmt"
	"time"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// ParseEDU reads the content of an EDU that a server has sent. It is not ok if it
// makes no sense, is too large or is of a user of another server.
func ParseEDU(origin id.ServerName, content canonjson.Value) (m Message, messageID string, ok bool) {
	text, _ := content.Get("sender").Text()
	sender, err := id.ParseUserID(text)
	if err != nil || sender.Server() != origin {
		return m, "", false
	}
	kind, isText := content.Get("type").Text()
	messageID, named := content.Get("message_id").Text()
	if !isText || !named || len(kind) > mostType || len(messageID) > mostType {
		return m, "", false
	}
	m = Message{Sender: sender, Type: kind, To: make(map[id.UserID]map[id.DeviceID]canonjson.Value)}
	if !m.Address(content.Get("messages")) {
		return m, "", false
	}
	return m, messageID, true
}

// Address adds to whom what is said, from an object of users, of their devices,
// of objects. It reports whether that makes sense, as far as it is looked at:
// there is a bound to how many devices are spoken to.
func (m *Message) Address(messages canonjson.Value) bool {
	if messages.Kind() != canonjson.Object {
		return false
	}
	recipients := 0
	for name, devices := range messages.Members() {
		text, _ := name.Text()
		user, err := id.ParseUserID(text)
		if err != nil || devices.Kind() != canonjson.Object {
			return false
		}
		contents := make(map[id.DeviceID]canonjson.Value)
		for name, content := range devices.Members() {
			text, _ := name.Text()
			if recipients++; text == "" || content.Kind() != canonjson.Object || recipients > mostRecipients {
				return false
			}
			contents[id.DeviceID(text)] = content
		}
		m.To[user] = contents
	}
	return true
}

var insertReceived = &store.Insert{Table: "to_device_received", Columns: []store.Column{
	{Name: "server", Type: store.Text}, {Name: "message_id", Type: store.Blob}, {Name: "received", Type: store.Int},
}}

type received struct {
	server id.ServerName
	id     [sha256.Size]byte
}

// Receive takes in an EDU that a server has sent, unless it has come before, and
// returns a function that waits until it is durable. What makes no sense, or is for
// nobody here, is dropped.
func (s *Store) Receive(origin id.ServerName, content canonjson.Value) (wait func() error) {
	m, messageID, ok := ParseEDU(origin, content)
	if !ok {
		return func() error { return nil }
	}
	local := make(map[id.UserID]map[id.DeviceID]canonjson.Value)
	for user, contents := range m.To {
		for device, content := range contents {
			if len(content) > mostContent {
				delete(contents, device)
			}
		}
		if user.Server() == s.Server {
			local[user] = contents
		}
	}
	if len(local) == 0 {
		return func() error { return nil }
	}
	key := received{origin, sha256.Sum256([]byte(messageID))}
	durable := s.journal.Submit(func(b *journal.Batch) error {
		if came, err := s.came(b, key); came || err != nil {
			return err
		}
		return s.deliver(b, m, local)
	})
	return func() error {
		if _, err := durable(); err != nil {
			return fmt.Errorf("taking in a message of %s to devices: %w", m.Sender, err)
		}
		return nil
	}
}

// came reports whether a message has come before, and remembers that it has.
func (s *Store) came(b *journal.Batch, key received) (bool, error) {
	if _, ok := b.Memo(key); ok {
		return true, nil
	}
	var n int64
	err := b.Row("SELECT count(*) FROM to_device_received WHERE server = $1 AND message_id = $2", key.server, key.id).Scan(&n)
	if n > 0 || err != nil {
		return n > 0, err
	}
	b.Remember(key, true)
	b.Insert(insertReceived, key.server, key.id, time.Now().UnixMilli())
	return false, nil
}
