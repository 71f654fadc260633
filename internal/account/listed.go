package account

import (
	"context"
	"errors"
	"fmt"

	"parley/internal/store"
	"parley/matrix/id"
)

// A Change makes a change of a user's devices. First it asks whether others are to
// learn of it, in the transaction in which it then does it; an error of either is
// its own, and nothing was done. Both may be called more than once, and what the
// first sees may lack what other changes are about to do.
type Change func(ctx context.Context, user id.UserID, concerns func(*store.Tx) (bool, error), do func(*store.Tx) error) error

// changeAlone is a Change that nobody learns of.
func changeAlone(db *store.DB) Change {
	return func(ctx context.Context, _ id.UserID, concerns func(*store.Tx) (bool, error), do func(*store.Tx) error) error {
		return db.Update(ctx, func(tx *store.Tx) error {
			if _, err := concerns(tx); err != nil {
				return err
			}
			return do(tx)
		})
	}
}

// isNew reports whether a user has no such device.
func isNew(tx *store.Tx, user id.UserID, device id.DeviceID) (bool, error) {
	var n int64
	err := tx.Row("SELECT count(*) FROM devices WHERE user_id = $1 AND device_id = $2", user, device).Scan(&n)
	return n == 0, err
}

// isNamed reports whether a device has a name; ErrNoRows if there is no such
// device.
func isNamed(tx *store.Tx, user id.UserID, device id.DeviceID, name string) (bool, error) {
	var is string
	err := tx.Row("SELECT name FROM devices WHERE user_id = $1 AND device_id = $2", user, device).Scan(&is)
	return is == name, err
}

// anyOf reports whether a user has one of some devices.
func anyOf(tx *store.Tx, user id.UserID, devices []id.DeviceID) (bool, error) {
	in, list := tx.In(2, devices)
	var one id.DeviceID
	err := tx.Row("SELECT device_id FROM devices WHERE user_id = $1 AND device_id "+in+" LIMIT 1", user, list).Scan(&one)
	if errors.Is(err, store.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for devices of %s: %w", user, err)
	}
	return true, nil
}
