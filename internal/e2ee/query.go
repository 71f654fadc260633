package e2ee

import (
	"context"
	"fmt"
	"slices"

	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// The cross-signing keys of a user.
const (
	usageMaster      = "master"
	usageSelfSigning = "self_signing"
	usageUserSigning = "user_signing"
)

// usersAtOnce is how many users are read in one transaction.
const usersAtOnce = 500

// Viewer is who wants to see keys: a local user, or nobody of this server if it is
// empty. Other servers are not told what devices are called.
type Viewer id.UserID

// Local returns the keys of local users as somebody may see them. All users are in
// the answer, those without keys too.
func (k *Keys) Local(ctx context.Context, viewer Viewer, users []id.UserID) (map[id.UserID]UserKeys, error) {
	found := make(map[id.UserID]UserKeys, len(users))
	for chunk := range slices.Chunk(users, usersAtOnce) {
		if err := k.readLocal(ctx, viewer, chunk, found); err != nil {
			return nil, fmt.Errorf("reading the keys of %d users: %w", len(chunk), err)
		}
	}
	return found, nil
}

func (k *Keys) readLocal(ctx context.Context, viewer Viewer, users []id.UserID, found map[id.UserID]UserKeys) error {
	for _, user := range users {
		found[user] = UserKeys{Devices: make(map[id.DeviceID]canonjson.Value)}
	}
	// The names first: of a device that comes in between the keys are not told yet.
	names, err := k.Devices(ctx, users)
	if err != nil {
		return err
	}
	return k.db.View(ctx, func(tx *store.Tx) error {
		signatures, err := readSignatures(tx, viewer, users)
		if err != nil {
			return err
		}
		in, list := tx.In(1, users)
		for row, err := range tx.Query("SELECT user_id, device_id, keys FROM keyed_devices WHERE keys IS NOT NULL AND user_id "+in, list) {
			var user id.UserID
			var device id.DeviceID
			var keys canonjson.Value
			if err == nil {
				err = row.Scan(&user, &device, &keys)
			}
			if err != nil {
				return err
			}
			name, there := names[user][device]
			if !there {
				continue // it is just being removed
			}
			keys = signatures.of(user, string(device)).attach(keys)
			if viewer != "" {
				keys = named(keys, name)
			}
			found[user].Devices[device] = keys
		}
		for row, err := range tx.Query("SELECT user_id, usage, public, key FROM cross_signing_keys WHERE user_id "+in, list) {
			var user id.UserID
			var usage, public string
			var key canonjson.Value
			if err == nil {
				err = row.Scan(&user, &usage, &public, &key)
			}
			if err != nil {
				return err
			}
			keys := found[user]
			key = signatures.of(user, public).attach(key)
			switch {
			case usage == usageMaster:
				keys.Master = key
			case usage == usageSelfSigning:
				keys.SelfSigning = key
			case usage == usageUserSigning && Viewer(user) == viewer:
				keys.UserSigning = key
			}
			found[user] = keys
		}
		return nil
	})
}

// named adds the name of a device, if it has one.
func named(keys canonjson.Value, name string) canonjson.Value {
	unsigned := canonjson.Value("{}")
	if name != "" {
		unsigned = unsigned.With("device_display_name", canonjson.Text(name))
	}
	return keys.With("unsigned", unsigned)
}

// A Query asks for the keys of users.
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysquery
type Query struct {
	// Users are those asked for, each with some devices, or none to ask for all.
	Users map[id.UserID][]id.DeviceID
	// Timeout is for how many milliseconds to wait for other servers, 0: as usual.
	Timeout uint64
}

// An Answer is what a query found.
type Answer struct {
	Users map[id.UserID]UserKeys
	// Failures are the servers that could not be asked.
	Failures []id.ServerName
}

// Query returns the keys of users of this server and of others, as a local user may
// see them.
func (k *Keys) Query(ctx context.Context, viewer id.UserID, q Query) (Answer, error) {
	var local, abroad []id.UserID
	for user := range q.Users {
		if user.Server() == k.Server {
			local = append(local, user)
		} else {
			abroad = append(abroad, user)
		}
	}
	found, err := k.Local(ctx, Viewer(viewer), local)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Users: found}
	if len(abroad) > 0 {
		if err := k.queryAbroad(ctx, q, abroad, &a); err != nil {
			return Answer{}, err
		}
		if err := k.addOwnSignatures(ctx, viewer, abroad, a.Users); err != nil {
			return Answer{}, err
		}
	}
	for user, devices := range q.Users {
		if keys, ok := a.Users[user]; ok {
			a.Users[user] = keys.Only(devices)
		}
	}
	return a, nil
}

// Only returns the keys with some devices only, or all if there are none.
func (u UserKeys) Only(devices []id.DeviceID) UserKeys {
	if len(devices) == 0 {
		return u
	}
	some := make(map[id.DeviceID]canonjson.Value, len(devices))
	for _, device := range devices {
		if keys, ok := u.Devices[device]; ok {
			some[device] = keys
		}
	}
	u.Devices = some
	return u
}

// addOwnSignatures adds to the master keys of users of other servers what a local
// user has signed of them.
func (k *Keys) addOwnSignatures(ctx context.Context, viewer id.UserID, users []id.UserID, found map[id.UserID]UserKeys) error {
	var own signatures
	err := k.db.View(ctx, func(tx *store.Tx) (err error) {
		own, err = readSignatures(tx, Viewer(viewer), users)
		return err
	})
	if err != nil {
		return fmt.Errorf("reading what %s has signed: %w", viewer, err)
	}
	for user, keys := range found {
		if user.Server() != k.Server && keys.Master != nil {
			keys.Master = own.of(user, publicOf(keys.Master)).attach(keys.Master)
			found[user] = keys
		}
	}
	return nil
}
