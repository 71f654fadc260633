package e2ee

import (
	"context"
	"fmt"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/id"
)

// RemoveDevices removes the keys of devices that are being removed, and what was
// signed with them or of them. Devices without keys are ignored.
func (k *Keys) RemoveDevices(ctx context.Context, user id.UserID, devices []id.DeviceID) error {
	// That there are none is for the transaction to find out: an upload that was
	// under way when the devices were logged out is committed before it.
	err := k.append(ctx, func() (journal.Change, error) {
		return func(b *journal.Batch) error { return k.removeDevices(b, user, devices) }, nil
	})
	if err != nil {
		return fmt.Errorf("removing the keys of %d devices of %s: %w", len(devices), user, err)
	}
	return nil
}

type removed struct {
	device id.DeviceID
	num    int64
	public bool // others know of it
}

func readKeyed(tx *store.Tx, user id.UserID, devices []id.DeviceID) (list []removed, err error) {
	in, names := tx.In(2, devices)
	rows := tx.Query("SELECT device_id, device, keys IS NOT NULL FROM keyed_devices WHERE user_id = $1 AND device_id "+in, user, names)
	for row, err := range rows {
		var r removed
		if err == nil {
			err = row.Scan(&r.device, &r.num, &r.public)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

func (k *Keys) removeDevices(b *journal.Batch, user id.UserID, devices []id.DeviceID) error {
	var keyed []removed
	err := b.Read(func(tx *store.Tx) (err error) {
		keyed, err = readKeyed(tx, user, devices)
		return err
	})
	if err != nil {
		return err
	}
	public := false
	for _, r := range keyed {
		if err := touch(b, touched{user, r.device}); err != nil {
			return err
		}
		public = public || r.public
		k.counted(b, user, r.device)
		forgetIdentity(b, r.num, user, r.device)
		b.Write(touched{user, r.device}, func(tx *store.Tx) error {
			if err := tx.Queue("DELETE FROM keyed_devices WHERE device = $1", r.num); err != nil {
				return err
			}
			if err := tx.Queue("DELETE FROM dehydrated_devices WHERE user_id = $1 AND device_id = $2", user, r.device); err != nil {
				return err
			}
			return tx.Queue("DELETE FROM key_signatures WHERE user_id = $1 AND signer = $1 AND key_id = $2", user, keyIDOf(string(r.device)))
		})
	}
	if public {
		k.Lists.Changed(b, user)
	}
	return nil
}

// Forget removes all keys of a user whose account was deactivated. Most have gone
// with the devices already.
func (k *Keys) Forget(ctx context.Context, user id.UserID) error {
	var devices []id.DeviceID
	err := k.db.View(ctx, func(tx *store.Tx) (err error) {
		devices, err = store.List[id.DeviceID](tx, "SELECT device_id FROM keyed_devices WHERE user_id = $1", user)
		return err
	})
	if err == nil && len(devices) > 0 {
		err = k.RemoveDevices(ctx, user, devices)
	}
	if err != nil {
		return err
	}
	err = k.append(ctx, func() (journal.Change, error) {
		return func(b *journal.Batch) error { return k.forget(b, user) }, nil
	})
	if err != nil {
		return fmt.Errorf("removing the keys of %s: %w", user, err)
	}
	return nil
}

func (k *Keys) forget(b *journal.Batch, user id.UserID) error {
	if err := touch(b, touched{user: user}); err != nil {
		return err
	}
	var had int64
	if err := b.Row("SELECT count(*) FROM cross_signing_keys WHERE user_id = $1", user).Scan(&had); err != nil {
		return err
	}
	if had > 0 {
		k.Lists.Changed(b, user)
	}
	b.Write(touched{user: user}, func(tx *store.Tx) error {
		if err := tx.Queue("DELETE FROM cross_signing_keys WHERE user_id = $1", user); err != nil {
			return err
		}
		return tx.Queue("DELETE FROM key_signatures WHERE user_id = $1 OR signer = $1", user)
	})
	return nil
}
