package e2ee

import (
	"context"
	"fmt"
	"slices"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// maxDeviceData is how many bytes the data of a dehydrated device may have: it is
// all its private keys.
const maxDeviceData = 128 << 10

// A Dehydrated is a device that nobody is logged in with. Data is its private keys,
// encrypted, for whichever client comes next.
// https://github.com/matrix-org/matrix-spec-proposals/pull/3814
type Dehydrated struct {
	Device id.DeviceID
	Data   canonjson.Value
	// Add adds to the batch that stores the keys that the device is made, unless it is
	// there, and reports whether it is. Nil for [CheckDehydrated] and in what is read.
	Add func(*journal.Batch) (made bool, err error)
}

// CheckDehydrated refuses what cannot be a dehydrated device with its keys, with
// what [Keys.Upload] refuses keys with or [mxerr.MissingParam].
func CheckDehydrated(user id.UserID, d Dehydrated, u Upload) error {
	if algorithm, ok := d.Data.Get("algorithm").Text(); d.Data.Kind() != canonjson.Object || !ok || algorithm == "" {
		return bad("device_data has to be an object with an algorithm")
	}
	if len(d.Data) > maxDeviceData {
		return mxerr.New(mxerr.TooLarge, "device_data can have %d bytes and not more", maxDeviceData)
	}
	if u.Device.Kind() == canonjson.Absent || u.Device.Kind() == canonjson.Null {
		return mxerr.New(mxerr.MissingParam, "device_keys is missing: nobody could encrypt anything for the device")
	}
	p, err := parseUpload(user, d.Device, u)
	if err == nil {
		err = p.verify(nil)
	}
	return err
}

// PutDehydrated makes a device of a user the dehydrated one, together with its keys. One
// that is there has to be dehydrated: others are refused with [mxerr.InvalidParam]. It
// returns those that were so before: they are for the caller to remove.
func (k *Keys) PutDehydrated(ctx context.Context, user id.UserID, d Dehydrated, u Upload) (before []id.DeviceID, err error) {
	if err := CheckDehydrated(user, d, u); err != nil {
		return nil, err
	}
	p, err := parseUpload(user, d.Device, u)
	if err != nil {
		return nil, err
	}
	p.tokenless = true
	err = k.append(ctx, func() (journal.Change, error) {
		row, err := k.readDevice(ctx, user, d.Device)
		if err != nil {
			return nil, err
		}
		return func(b *journal.Batch) (err error) {
			if before, p.made, err = dehydrate(b, user, d); err == nil {
				err = k.upload(b, &p, row)
			}
			return err
		}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("storing dehydrated device %s of %s: %w", d.Device, user, err)
	}
	return before, nil
}

// dehydrating is touched by who changes which device of a user is the dehydrated one.
type dehydrating struct{ user id.UserID }

func dehydrate(b *journal.Batch, user id.UserID, d Dehydrated) (before []id.DeviceID, made bool, err error) {
	if _, ok := b.Memo(dehydrating{user}); ok {
		return nil, false, errAgain
	}
	b.Remember(dehydrating{user}, true)
	var last int64
	err = b.Read(func(tx *store.Tx) (err error) {
		before, err = store.List[id.DeviceID](tx, "SELECT device_id FROM dehydrated_devices WHERE user_id = $1", user)
		if err != nil {
			return err
		}
		return tx.Row("SELECT coalesce(max(made), 0) FROM dehydrated_devices WHERE user_id = $1", user).Scan(&last)
	})
	if err != nil {
		return nil, false, err
	}
	if made, err = d.Add(b); err == nil && !made && !slices.Contains(before, d.Device) {
		err = mxerr.New(mxerr.InvalidParam, "There is a device of this name already") // somebody is logged in with it
	}
	if err != nil {
		return nil, false, err
	}
	b.Write(dehydrating{user}, func(tx *store.Tx) error {
		return tx.Queue(`
			INSERT INTO dehydrated_devices (user_id, device_id, made, data) VALUES ($1, $2, $3, $4)
			ON CONFLICT (user_id, device_id) DO UPDATE SET made = excluded.made, data = excluded.data`,
			user, d.Device, last+1, []byte(d.Data))
	})
	return slices.DeleteFunc(before, func(device id.DeviceID) bool { return device == d.Device }), made, nil
}

// Dehydrated returns the dehydrated device of a user, or [mxerr.NotFound].
func (k *Keys) Dehydrated(ctx context.Context, user id.UserID) (d Dehydrated, err error) {
	err = k.db.View(ctx, func(tx *store.Tx) error {
		err := tx.Row("SELECT device_id, data FROM dehydrated_devices WHERE user_id = $1 ORDER BY made DESC LIMIT 1", user).Scan(&d.Device, &d.Data)
		if none(err) {
			return mxerr.New(mxerr.NotFound, "There is no dehydrated device")
		}
		return err
	})
	if err != nil {
		return Dehydrated{}, fmt.Errorf("reading the dehydrated device of %s: %w", user, err)
	}
	return d, nil
}

// AllDehydrated returns the dehydrated devices of a user: the one there is, and those
// that a crash has left.
func (k *Keys) AllDehydrated(ctx context.Context, user id.UserID) (devices []id.DeviceID, err error) {
	err = k.db.View(ctx, func(tx *store.Tx) error {
		devices, err = store.List[id.DeviceID](tx, "SELECT device_id FROM dehydrated_devices WHERE user_id = $1 ORDER BY made", user)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the dehydrated devices of %s: %w", user, err)
	}
	return devices, nil
}
