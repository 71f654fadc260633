package devicelist

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// The types of EDUs about devices and keys.
const (
	UpdateEDU     = "m.device_list_update"
	SigningKeyEDU = "m.signing_key_update"
)

// mostAtOnce is of how many devices of a user other servers are told one by one.
// When more have changed they find a gap, and fetch the list.
const mostAtOnce = 20

// An Owed is an EDU that another server is to get.
type Owed struct {
	Server id.ServerName
	Pos    journal.Position
	EDU    canonjson.Value
}

// Publish finds out what other servers have to be told of local users, by some
// entries of the journal that follow each other, and makes it durable. It must not
// be called by several at once.
func (s *Store) Publish(ctx context.Context, entries []journal.Entry) ([]Owed, error) {
	from, to := entries[0].Pos, entries[len(entries)-1].Pos
	first := make(map[journal.Scope]journal.Position)
	for _, e := range slices.Backward(entries) {
		if e.Kind == journal.KindDeviceList && e.Ref == refLocal {
			first[e.Scope] = e.Pos
		}
	}
	if len(first) == 0 {
		return nil, nil
	}
	var users []id.UserID
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		users, err = store.List[id.UserID](tx, "SELECT user_id FROM device_lists WHERE pos >= $1", from)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading whose devices have changed since %d: %w", from, err)
	}
	servers := make(map[id.UserID][]id.ServerName)
	for _, user := range users {
		// What is said between two changes may depend on the first.
		pos, ok := first[journal.SharersScope(user)]
		if !ok || user.Server() != s.Server {
			continue
		}
		if servers[user], err = s.Rooms.Servers(ctx, user); err != nil {
			return nil, err
		}
		if len(servers[user]) == 0 {
			continue // what they will see later, they will fetch
		}
		if err := s.publish(ctx, user, pos); err != nil {
			return nil, err
		}
	}
	if len(servers) == 0 {
		return nil, nil
	}
	updates, err := s.updates(ctx, from, to)
	var list []Owed
	for _, u := range updates {
		for _, server := range servers[u.user] {
			list = append(list, Owed{server, u.pos, u.edu})
		}
	}
	return list, err
}

// OwedTo returns what of that a server is to get, with which a user may share rooms,
// up to a limit of what is looked at: it returns up to which position that is all.
func (s *Store) OwedTo(ctx context.Context, server id.ServerName, from, to journal.Position, limit int) (list []Owed, upTo journal.Position, err error) {
	upTo, err = s.reach(ctx, from, to, limit)
	if err != nil {
		return nil, 0, err
	}
	updates, err := s.updates(ctx, from, upTo)
	if err != nil {
		return nil, 0, err
	}
	shares := make(map[id.UserID]bool)
	for _, u := range updates {
		is, known := shares[u.user]
		if !known {
			servers, err := s.Rooms.Servers(ctx, u.user)
			if err != nil {
				return nil, 0, err
			}
			is = slices.Contains(servers, server)
			shares[u.user] = is
		}
		if is {
			list = append(list, Owed{server, u.pos, u.edu})
		}
	}
	return list, upTo, nil
}

// reach returns up to which position there are so many updates, if there are more
// than that up to another one.
func (s *Store) reach(ctx context.Context, from, to journal.Position, limit int) (upTo journal.Position, err error) {
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT pos FROM device_updates WHERE pos BETWEEN $1 AND $2 ORDER BY pos LIMIT 1 OFFSET $3", from, to, limit-1).Scan(&upTo)
	})
	if errors.Is(err, store.ErrNoRows) {
		return to, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading changes of devices from %d to %d: %w", from, to, err)
	}
	return upTo, nil
}

type published struct {
	user id.UserID
	pos  journal.Position
	edu  canonjson.Value
}

func (s *Store) updates(ctx context.Context, from, to journal.Position) (list []published, err error) {
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query(`
			SELECT user_id, pos, edu FROM device_updates WHERE pos BETWEEN $1 AND $2
			ORDER BY pos, user_id, stream`, from, to) {
			if err != nil {
				return err
			}
			var p published
			var edu []byte
			if err := row.Scan(&p.user, &p.pos, &edu); err != nil {
				return err
			}
			p.edu = edu
			list = append(list, p)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading changes of devices from %d to %d: %w", from, to, err)
	}
	return list, nil
}

// told is what other servers were told of a device.
type told struct {
	hash    []byte
	deleted bool
}

// publish compares what there is of a user's devices with what other servers were
// told, and stores what they are to be told.
func (s *Store) publish(ctx context.Context, user id.UserID, pos journal.Position) error {
	devices, keys, err := s.own(ctx, user)
	if err != nil {
		return err
	}
	now := time.Now().UnixMilli()
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		before, err := readTold(tx, user)
		if err != nil {
			return err
		}
		n := numbering{user: user, pos: pos, now: now}
		if err := tx.Row("SELECT stream FROM device_lists WHERE user_id = $1", user).Scan(&n.stream); err != nil {
			return err
		}
		if keys != nil && !before[""].says(keys) {
			if err := n.store(tx, "", keys, edu(SigningKeyEDU, keys), false); err != nil {
				return err
			}
		}
		return n.storeAll(tx, before, devices)
	})
	if err != nil {
		return fmt.Errorf("storing what others are told of the devices of %s: %w", user, err)
	}
	return nil
}

// own returns what there is to tell of the devices of a local user, and of the
// user's keys, nil if there are none.
func (s *Store) own(ctx context.Context, user id.UserID) (devices map[id.DeviceID]canonjson.Value, keys canonjson.Value, err error) {
	all, err := s.local(ctx, user)
	if err != nil {
		return nil, nil, err
	}
	devices = make(map[id.DeviceID]canonjson.Value, len(all.Devices))
	for device, d := range all.Devices {
		devices[device] = d.object(device).With("user_id", canonjson.Text(string(user)))
	}
	if all.Master != nil || all.SelfSigning != nil {
		keys = all.signing(user)
	}
	return devices, keys, nil
}

// local returns the devices of a local user, those without keys included, and the
// user's keys.
func (s *Store) local(ctx context.Context, user id.UserID) (Keys, error) {
	devices, err := s.Devices(ctx, user)
	if err != nil {
		return Keys{}, err
	}
	keys, err := s.Keys(ctx, user)
	if err != nil {
		return Keys{}, err
	}
	all := Keys{Devices: make(map[id.DeviceID]Device, len(devices)), Master: keys.Master, SelfSigning: keys.SelfSigning}
	for _, device := range devices {
		all.Devices[device] = Device{Keys: keys.Devices[device].Keys}
	}
	return all, nil
}

// object returns a device as other servers get it. What it is called is for the user
// and those on this server.
func (d Device) object(device id.DeviceID) canonjson.Value {
	v := canonjson.Value("{}").With("device_id", canonjson.Text(string(device)))
	if d.Keys != nil {
		v = v.With("keys", d.Keys)
	}
	return v
}

// signing returns the keys for cross-signing as other servers get them.
func (k Keys) signing(user id.UserID) canonjson.Value {
	v := canonjson.Value("{}").With("user_id", canonjson.Text(string(user)))
	if k.Master != nil {
		v = v.With("master_key", k.Master)
	}
	if k.SelfSigning != nil {
		v = v.With("self_signing_key", k.SelfSigning)
	}
	return v
}

func edu(kind string, content canonjson.Value) canonjson.Value {
	return canonjson.Value("{}").With("content", content).With("edu_type", canonjson.Text(kind))
}

func (t told) says(what canonjson.Value) bool {
	hash := sha256.Sum256(what)
	return !t.deleted && string(t.hash) == string(hash[:])
}

func readTold(tx *store.Tx, user id.UserID) (map[id.DeviceID]told, error) {
	all := make(map[id.DeviceID]told)
	for row, err := range tx.Query("SELECT device_id, deleted, hash FROM device_updates WHERE user_id = $1", user) {
		if err != nil {
			return nil, err
		}
		var device string // an empty one is no ID
		var t told
		if err := row.Scan(&device, &t.deleted, &t.hash); err != nil {
			return nil, err
		}
		all[id.DeviceID(device)] = t
	}
	return all, nil
}

// numbering gives the changes of a user's devices their numbers.
type numbering struct {
	user   id.UserID
	pos    journal.Position
	stream int64 // the last
	now    int64
}

// storeAll stores what has changed of the devices.
func (n *numbering) storeAll(tx *store.Tx, before map[id.DeviceID]told, devices map[id.DeviceID]canonjson.Value) error {
	var news []id.DeviceID
	for device, what := range devices {
		if !before[device].says(what) {
			news = append(news, device)
		}
	}
	for device, t := range before {
		if _, there := devices[device]; !there && !t.deleted && device != "" {
			news = append(news, device)
		}
	}
	slices.Sort(news)
	pos := n.pos
	for i, device := range news {
		n.pos = pos
		if i < len(news)-mostAtOnce {
			n.pos = 0
		}
		what, there := devices[device]
		if !there {
			what = canonjson.Value(`{"deleted":true}`).With("device_id", canonjson.Text(string(device))).With("user_id", canonjson.Text(string(n.user)))
		}
		content := what.With("prev_id", list(n.stream))
		n.stream = max(n.stream+1, n.now)
		content = content.With("stream_id", number(n.stream))
		if err := n.store(tx, device, what, edu(UpdateEDU, content), !there); err != nil {
			return err
		}
	}
	if len(news) == 0 {
		return nil
	}
	return tx.Queue("UPDATE device_lists SET stream = $2 WHERE user_id = $1", n.user, n.stream)
}

// list returns what comes before a change, which is nothing for the first.
func list(stream int64) canonjson.Value {
	if stream == 0 {
		return canonjson.Value("[]")
	}
	return append(append(canonjson.Value("["), number(stream)...), ']')
}

func number(n int64) canonjson.Value { return canonjson.Value(strconv.FormatInt(n, 10)) }

func (n *numbering) store(tx *store.Tx, device id.DeviceID, what, edu canonjson.Value, deleted bool) error {
	hash := sha256.Sum256(what)
	return tx.Queue(`
		INSERT INTO device_updates (user_id, device_id, pos, stream, deleted, hash, edu, changed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (user_id, device_id) DO UPDATE SET pos = excluded.pos, stream = excluded.stream, deleted = excluded.deleted,
			hash = excluded.hash, edu = excluded.edu, changed = excluded.changed`,
		n.user, string(device), n.pos, n.stream, deleted, hash[:], []byte(edu), n.now)
}

// UserDevices returns the devices of a local user that have keys as other servers
// get them.
// https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1userdevicesuserid
func (s *Store) UserDevices(ctx context.Context, user id.UserID) (canonjson.Value, error) {
	// What is newer than its number is told again.
	var stream int64
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT stream FROM device_lists WHERE user_id = $1", user).Scan(&stream)
	})
	if err != nil && !errors.Is(err, store.ErrNoRows) {
		return nil, fmt.Errorf("reading the number of the last change of the devices of %s: %w", user, err)
	}
	all, err := s.local(ctx, user)
	if err != nil {
		return nil, err
	}
	var devices []canonjson.Value
	for _, device := range slices.Sorted(maps.Keys(all.Devices)) {
		d := all.Devices[device]
		if d.Keys == nil {
			continue
		}
		devices = append(devices, d.object(device))
	}
	return all.signing(user).With("devices", canonjson.ArrayOf(devices)).With("stream_id", number(stream)), nil
}
