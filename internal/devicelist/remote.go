package devicelist

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// Bounds of what is fetched while somebody waits.
const (
	mostFetched     = 100 // users
	mostFetchedOnce = 10  // at once
)

// Remote returns the keys of users of other servers who share a room with one of
// this. Lists that are not there, or not right any more, are fetched as long as the
// context lasts. Who is not in the answer is to be asked for elsewhere: the user
// shares no room, or there are too many of them, or the server cannot be reached.
func (s *Store) Remote(ctx context.Context, users []id.UserID) (map[id.UserID]Keys, error) {
	found, missing, err := s.kept(ctx, users)
	if err != nil || len(missing) == 0 {
		return found, err
	}
	missing = missing[:min(len(missing), mostFetched)]
	for range rounds {
		s.flyAll(ctx, missing)
		var fetched map[id.UserID]Keys
		fetched, missing, err = s.kept(context.WithoutCancel(ctx), missing)
		maps.Copy(found, fetched)
		if err != nil || len(missing) == 0 || ctx.Err() != nil {
			break
		}
	}
	return found, err
}

// rounds is how often a list is fetched while somebody waits: something may have
// changed meanwhile.
const rounds = 2

// flyAll fetches lists as long as the context lasts.
func (s *Store) flyAll(ctx context.Context, users []id.UserID) {
	places := make(chan struct{}, mostFetchedOnce)
	var wg sync.WaitGroup
	for _, user := range users {
		wg.Go(func() {
			select {
			case places <- struct{}{}:
				defer func() { <-places }()
			case <-ctx.Done():
				return
			}
			if err := s.fly(ctx, user); err != nil && ctx.Err() == nil {
				s.Log.Debug("the devices of a user cannot be fetched", "user", user, "err", err)
			}
		})
	}
	wg.Wait()
}

// kept returns the lists that are right, and which users share a room and have none
// such.
func (s *Store) kept(ctx context.Context, users []id.UserID) (found map[id.UserID]Keys, missing []id.UserID, err error) {
	found = make(map[id.UserID]Keys)
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		since, err := s.Rooms.KnownSince(tx, users)
		if err != nil {
			return err
		}
		right, err := readRight(tx, since)
		if err != nil {
			return err
		}
		maps.Copy(found, right)
		for user := range since {
			if _, ok := found[user]; !ok && user.Server() != s.Server {
				missing = append(missing, user)
			}
		}
		return readDevices(tx, found)
	})
	if err != nil {
		return nil, nil, fmt.Errorf("reading the device lists of %d users: %w", len(users), err)
	}
	return found, missing, nil
}

// readRight reads the lists, without devices, that are right for users who have
// shared a room since some position.
func readRight(tx *store.Tx, since map[id.UserID]journal.Position) (map[id.UserID]Keys, error) {
	users := make([]id.UserID, 0, len(since))
	for user := range since {
		users = append(users, user)
	}
	right := make(map[id.UserID]Keys)
	in, list := tx.In(1, users)
	for row, err := range tx.Query("SELECT user_id, pos, master, self FROM remote_lists WHERE NOT stale AND user_id "+in, list) {
		if err != nil {
			return nil, err
		}
		var user id.UserID
		var pos journal.Position
		var master, self []byte
		if err := row.Scan(&user, &pos, &master, &self); err != nil {
			return nil, err
		}
		if since[user] <= pos {
			right[user] = Keys{Devices: make(map[id.DeviceID]Device), Master: master, SelfSigning: self}
		}
	}
	return right, nil
}

func readDevices(tx *store.Tx, lists map[id.UserID]Keys) error {
	users := make([]id.UserID, 0, len(lists))
	for user := range lists {
		users = append(users, user)
	}
	in, list := tx.In(1, users)
	for row, err := range tx.Query("SELECT user_id, device_id, device FROM remote_devices WHERE user_id "+in, list) {
		if err != nil {
			return err
		}
		var user id.UserID
		var device id.DeviceID
		var object []byte
		if err := row.Scan(&user, &device, &object); err != nil {
			return err
		}
		name, _ := canonjson.Value(object).Get("device_display_name").Text()
		lists[user].Devices[device] = Device{name, canonjson.Value(object).Get("keys")}
	}
	return nil
}

// ErrRefused is what Parts.Fetch fails with if a server answers that it has no such
// list.
var ErrRefused = errors.New("the server has no devices of the user")

// parseList reads the answer of a server about one of its users.
func parseList(user id.UserID, answer canonjson.Value) (stream int64, devices map[id.DeviceID]canonjson.Value, keys Keys, err error) {
	_, keys, ok := ParseSigningKeys(user.Server(), answer.With("user_id", canonjson.Text(string(user))))
	stream, isInt := answer.Get("stream_id").Int()
	if !ok || !isInt || answer.Get("devices").Kind() != canonjson.Array || !answer.Get("user_id").Is(string(user)) {
		return 0, nil, keys, fmt.Errorf("the devices of %s are not what was asked for: %.200s", user, answer)
	}
	devices = make(map[id.DeviceID]canonjson.Value)
	for d := range answer.Get("devices").Elements() {
		text, _ := d.Get("device_id").Text()
		device, err := id.ParseDeviceID(text)
		if err != nil || len(devices) == mostDevices {
			continue
		}
		if object, ok := deviceOf(user, device, d); ok {
			devices[device] = object
		}
	}
	return stream, devices, keys, nil
}

// refresh fetches the list of a user, and stores it.
func (s *Store) refresh(ctx context.Context, user id.UserID) error {
	at := s.Journal.Head() // what changes from now on may not be in the answer
	answer, err := s.Fetch(ctx, user)
	if errors.Is(err, ErrRefused) {
		return s.drop(ctx, []id.UserID{user})
	}
	if err != nil {
		return err
	}
	stream, devices, keys, err := parseList(user, answer)
	if err != nil {
		return err
	}
	_, err = s.Journal.Append(ctx, func(b *journal.Batch) error {
		known, err := s.knows(b, user)
		if err != nil || !known {
			return err
		}
		e, err := s.entry(b, user)
		if err != nil {
			return err
		}
		last, err := lastChange(b, user)
		if err != nil {
			return err
		}
		if e.exists && !e.stale && e.stream > stream && e.pos == last && last > at {
			return nil // it was overtaken by changes that follow each other
		}
		if e.exists {
			if err := s.tellIfNew(b, user, e, devices, keys); err != nil {
				return err
			}
		}
		e.stale = last > at // something came meanwhile, and may be in it or not
		e.stream, e.pos, e.master, e.self = stream, at, keys.Master, keys.SelfSigning
		s.putEntry(b, user, e)
		b.Write(wholeKey{user}, func(tx *store.Tx) error { return putDevices(tx, user, devices) })
		if e.stale {
			b.Settled(func() { s.enqueue(user) })
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("storing the device list of %s: %w", user, err)
	}
	return nil
}

// lastChange returns the position at which the devices of a user changed last.
func lastChange(b *journal.Batch, user id.UserID) (pos journal.Position, err error) {
	if pos, ok := b.Memo(changed{user}); ok {
		return pos.(journal.Position), nil
	}
	err = b.Row("SELECT pos FROM device_lists WHERE user_id = $1", user).Scan(&pos)
	if errors.Is(err, store.ErrNoRows) {
		return 0, nil
	}
	return pos, err
}

// tellIfNew adds to a batch that the devices of a user have changed, if they have.
func (s *Store) tellIfNew(b *journal.Batch, user id.UserID, e entry, devices map[id.DeviceID]canonjson.Value, keys Keys) error {
	same := string(e.master) == string(keys.Master) && string(e.self) == string(keys.SelfSigning)
	count := 0
	err := b.Read(func(tx *store.Tx) error {
		for row, err := range tx.Query("SELECT device_id, device FROM remote_devices WHERE user_id = $1", user) {
			if err != nil {
				return err
			}
			var device id.DeviceID
			var object []byte
			if err := row.Scan(&device, &object); err != nil {
				return err
			}
			count++
			same = same && string(devices[device]) == string(object)
		}
		return nil
	})
	if err == nil && (!same || count != len(devices)) {
		s.Changed(b, user)
	}
	return err
}

var insertDevices = &store.Insert{Table: "remote_devices", Columns: []store.Column{
	{Name: "user_id", Type: store.Text}, {Name: "device_id", Type: store.Text}, {Name: "device", Type: store.Blob},
}}

func putDevices(tx *store.Tx, user id.UserID, devices map[id.DeviceID]canonjson.Value) error {
	if err := tx.Queue("DELETE FROM remote_devices WHERE user_id = $1", user); err != nil {
		return fmt.Errorf("replacing the devices of %s: %w", user, err)
	}
	rows := make([][]any, 0, len(devices))
	for device, object := range devices {
		rows = append(rows, []any{user, device, []byte(object)})
	}
	return tx.QueueAll(insertDevices, rows)
}

// drop forgets the lists of users.
func (s *Store) drop(ctx context.Context, users []id.UserID) error {
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		in, list := tx.In(1, users)
		if _, err := tx.Exec("DELETE FROM remote_devices WHERE user_id "+in, list); err != nil {
			return err
		}
		_, err := tx.Exec("DELETE FROM remote_lists WHERE user_id "+in, list)
		return err
	})
	if err != nil {
		return fmt.Errorf("forgetting the device lists of %d users: %w", len(users), err)
	}
	return nil
}
