package devicelist

import (
	"errors"
	"fmt"
	"slices"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// Bounds of what is kept of a user of another server.
const (
	mostDevices = 2000
	mostObject  = 64 << 10 // bytes of a device, or of a key
)

// An Update is a change of a device of a user of another server.
type Update struct {
	User     id.UserID
	DeviceID id.DeviceID
	Stream   int64
	Prev     []int64
	// Device is nil if it was deleted, or has no keys.
	Device canonjson.Value
}

// ParseUpdate reads the content of an EDU that a server has sent. It is not ok if it
// makes no sense or is about a user of another server.
func ParseUpdate(origin id.ServerName, content canonjson.Value) (u Update, ok bool) {
	if u.User, ok = userOf(origin, content); !ok {
		return u, false
	}
	text, _ := content.Get("device_id").Text()
	device, err := id.ParseDeviceID(text)
	stream, isInt := content.Get("stream_id").Int()
	if err != nil || !isInt || stream < 0 {
		return u, false
	}
	u.DeviceID, u.Stream = device, stream
	for prev := range content.Get("prev_id").Elements() {
		if n, isInt := prev.Int(); isInt && len(u.Prev) < 100 {
			u.Prev = append(u.Prev, n)
		}
	}
	if content.Get("deleted").True() || content.Get("keys") == nil {
		return u, true
	}
	u.Device, ok = deviceOf(u.User, device, content)
	return u, ok
}

func userOf(origin id.ServerName, content canonjson.Value) (id.UserID, bool) {
	text, _ := content.Get("user_id").Text()
	user, err := id.ParseUserID(text)
	return user, err == nil && user.Server() == origin
}

// deviceOf returns a device as it is kept, if it makes sense.
func deviceOf(user id.UserID, device id.DeviceID, content canonjson.Value) (canonjson.Value, bool) {
	keys := content.Get("keys")
	if keys.Kind() != canonjson.Object || !keys.Get("user_id").Is(string(user)) || !keys.Get("device_id").Is(string(device)) {
		return nil, false
	}
	d := canonjson.Value("{}").With("keys", keys)
	if name := content.Get("device_display_name"); name.Kind() == canonjson.String {
		d = d.With("device_display_name", name)
	}
	return d, len(d) <= mostObject
}

// ParseSigningKeys reads the content of an EDU that a server has sent, or as much of
// an answer: the keys of one of its users. A key that makes no sense is as none.
func ParseSigningKeys(origin id.ServerName, content canonjson.Value) (user id.UserID, keys Keys, ok bool) {
	if user, ok = userOf(origin, content); !ok {
		return user, keys, false
	}
	keys.Master = keyOf(user, "master", content.Get("master_key"))
	keys.SelfSigning = keyOf(user, "self_signing", content.Get("self_signing_key"))
	return user, keys, true
}

func keyOf(user id.UserID, usage string, key canonjson.Value) canonjson.Value {
	if key.Kind() != canonjson.Object || !key.Get("user_id").Is(string(user)) || len(key) > mostObject {
		return nil
	}
	for use := range key.Get("usage").Elements() {
		if use.Is(usage) {
			return key
		}
	}
	return nil
}

// entry is the row of a user of another server.
type entry struct {
	exists       bool
	stream       int64
	pos          journal.Position
	stale        bool
	master, self []byte
}

// listKey and deviceKey name rows in a batch, and wholeKey all devices of a user.
type (
	listKey   struct{ user id.UserID }
	wholeKey  struct{ user id.UserID }
	deviceKey struct {
		user   id.UserID
		device id.DeviceID
	}
)

func (s *Store) entry(b *journal.Batch, user id.UserID) (entry, error) {
	if e, ok := b.Memo(listKey{user}); ok {
		return e.(entry), nil
	}
	return readEntry(b, user)
}

// querier is what reads one row, in a transaction or in a batch.
type querier interface {
	Row(query string, args ...any) store.Row
}

func readEntry(q querier, user id.UserID) (e entry, err error) {
	err = q.Row("SELECT stream, pos, stale, master, self FROM remote_lists WHERE user_id = $1", user).
		Scan(&e.stream, &e.pos, &e.stale, &e.master, &e.self)
	if errors.Is(err, store.ErrNoRows) {
		return entry{}, nil
	}
	if err != nil {
		return entry{}, fmt.Errorf("reading the device list of %s: %w", user, err)
	}
	e.exists = true
	return e, nil
}

// putEntry adds the row of a user to the batch.
func (s *Store) putEntry(b *journal.Batch, user id.UserID, e entry) {
	e.exists = true
	b.Remember(listKey{user}, e)
	b.Write(listKey{user}, func(tx *store.Tx) error {
		err := tx.Queue(`
			INSERT INTO remote_lists (user_id, stream, pos, stale, master, self) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (user_id) DO UPDATE SET stream = excluded.stream, pos = excluded.pos, stale = excluded.stale,
				master = excluded.master, self = excluded.self`, user, e.stream, e.pos, e.stale, e.master, e.self)
		if err != nil {
			return fmt.Errorf("storing the device list of %s: %w", user, err)
		}
		return nil
	})
}

// Receive takes in an EDU that a server has sent about devices or keys of one of
// its users, and returns a function that waits until it is durable. What makes no
// sense, or is about somebody whom nobody here knows, is dropped.
func (s *Store) Receive(origin id.ServerName, kind string, content canonjson.Value) (wait func() error) {
	var take journal.Change
	switch kind {
	case UpdateEDU:
		u, ok := ParseUpdate(origin, content)
		if !ok {
			break
		}
		take = func(b *journal.Batch) error { return s.takeUpdate(b, u) }
	case SigningKeyEDU:
		user, keys, ok := ParseSigningKeys(origin, content)
		if !ok {
			break
		}
		take = func(b *journal.Batch) error { return s.takeKeys(b, user, keys) }
	}
	if take == nil {
		return func() error { return nil }
	}
	durable := s.Journal.Submit(take)
	return func() error {
		if _, err := durable(); err != nil {
			return fmt.Errorf("taking in %s of %s: %w", kind, origin, err)
		}
		return nil
	}
}

// knows reports whether a user shares a room with one of this server.
func (s *Store) knows(b *journal.Batch, user id.UserID) (known bool, err error) {
	err = b.Read(func(tx *store.Tx) error {
		since, err := s.Rooms.KnownSince(tx, []id.UserID{user})
		_, known = since[user]
		return err
	})
	return known, err
}

func (s *Store) takeUpdate(b *journal.Batch, u Update) error {
	known, err := s.knows(b, u.User)
	if err != nil || !known {
		return err
	}
	e, err := s.entry(b, u.User)
	if err != nil {
		return err
	}
	follows := slices.Contains(u.Prev, e.stream)
	if e.exists && !e.stale && !follows {
		if _, again := s.seen.Get(seen{u.User, u.Stream}); again || u.Stream == e.stream {
			return nil // it was on its way twice
		}
	}
	pos := s.change(b, u.User)
	if !e.exists {
		return nil
	}
	if follows && !e.stale {
		if ok, err := s.hasRoom(b, u); err != nil || !ok {
			return err
		}
		e.stream, e.pos = u.Stream, pos
		s.putEntry(b, u.User, e)
		b.Write(deviceKey{u.User, u.DeviceID}, func(tx *store.Tx) error { return putDevice(tx, u.User, u.DeviceID, u.Device) })
		b.Durable(func() { s.seen.Put(seen{u.User, u.Stream}, struct{}{}) })
		return nil
	}
	e.stale = true
	s.putEntry(b, u.User, e)
	b.Settled(func() { s.enqueue(u.User) })
	return nil
}

// hasRoom reports whether one more device of a user is kept.
func (s *Store) hasRoom(b *journal.Batch, u Update) (bool, error) {
	if u.Device == nil {
		return true, nil
	}
	var n int64
	err := b.Row("SELECT count(*) FROM remote_devices WHERE user_id = $1 AND device_id <> $2", u.User, u.DeviceID).Scan(&n)
	return n < mostDevices, err
}

func putDevice(tx *store.Tx, user id.UserID, device id.DeviceID, what canonjson.Value) (err error) {
	if what == nil {
		err = tx.Queue("DELETE FROM remote_devices WHERE user_id = $1 AND device_id = $2", user, device)
	} else {
		err = tx.Queue(`
			INSERT INTO remote_devices (user_id, device_id, device) VALUES ($1, $2, $3)
			ON CONFLICT (user_id, device_id) DO UPDATE SET device = excluded.device`, user, device, []byte(what))
	}
	if err != nil {
		return fmt.Errorf("storing device %s of %s: %w", device, user, err)
	}
	return nil
}

func (s *Store) takeKeys(b *journal.Batch, user id.UserID, keys Keys) error {
	known, err := s.knows(b, user)
	if err != nil || !known || keys.Master == nil && keys.SelfSigning == nil {
		return err
	}
	e, err := s.entry(b, user)
	if err != nil {
		return err
	}
	if e.exists {
		same := true
		if keys.Master != nil {
			same, e.master = string(keys.Master) == string(e.master), keys.Master
		}
		if keys.SelfSigning != nil {
			same, e.self = same && string(keys.SelfSigning) == string(e.self), keys.SelfSigning
		}
		if same {
			return nil
		}
		s.putEntry(b, user, e)
	}
	s.Changed(b, user)
	return nil
}
