package account

import (
	"context"
	"fmt"
	"slices"

	"parley/internal/store"
	"parley/matrix/id"
)

// Logout removes the device of a session.
func (a *Accounts) Logout(ctx context.Context, user id.UserID, device id.DeviceID) error {
	return a.DeleteDevices(ctx, user, []id.DeviceID{device})
}

// LogoutAll removes all devices of a user.
func (a *Accounts) LogoutAll(ctx context.Context, user id.UserID) error {
	return a.remove(ctx, user, func(id.DeviceID) bool { return true })
}

// DeleteDevices removes devices of a user. Devices that there are not are
// ignored.
func (a *Accounts) DeleteDevices(ctx context.Context, user id.UserID, devices []id.DeviceID) error {
	return a.remove(ctx, user, func(d id.DeviceID) bool { return slices.Contains(devices, d) })
}

func (a *Accounts) remove(ctx context.Context, user id.UserID, which func(id.DeviceID) bool) error {
	err := a.removeDevices(ctx, user, which, func(*store.Tx) error { return nil })
	if err != nil {
		return fmt.Errorf("removing devices of %s: %w", user, err)
	}
	return nil
}

// removeDevices removes devices of a user in the three steps that the package
// comment explains. What also has to be done joins the first.
func (a *Accounts) removeDevices(ctx context.Context, user id.UserID, which func(id.DeviceID) bool, also func(*store.Tx) error) error {
	var devices []id.DeviceID
	err := a.db.Update(ctx, func(tx *store.Tx) (err error) {
		if devices, err = selectDevices(tx, user, which); err != nil {
			return err
		}
		if _, err := deleteTokens(tx, user, devices); err != nil {
			return err
		}
		return also(tx)
	})
	// Others go on: a request of theirs would end for nothing.
	a.sessions.drop(func(s Session) bool { return s.UserID == user && which(s.DeviceID) })
	if err != nil || len(devices) == 0 {
		return err
	}
	if err := a.removing(ctx, user, devices); err != nil {
		return err
	}
	concerns := func(tx *store.Tx) (bool, error) { return anyOf(tx, user, devices) }
	return a.change(ctx, user, concerns, func(tx *store.Tx) error {
		// Once more the tokens: somebody may have logged in again meanwhile,
		// with a device that is known to nobody else any more.
		there, err := deleteTokens(tx, user, devices)
		if err != nil {
			return err
		}
		if err := deleteOf(tx, "devices", user, there); err != nil {
			return err
		}
		return a.removed(tx, user, there)
	})
}

func selectDevices(tx *store.Tx, user id.UserID, which func(id.DeviceID) bool) ([]id.DeviceID, error) {
	devices, err := store.List[id.DeviceID](tx, "SELECT device_id FROM devices WHERE user_id = $1 ORDER BY device_id", user)
	return slices.DeleteFunc(devices, func(d id.DeviceID) bool { return !which(d) }), err
}

// deleteTokens removes the tokens of devices, and returns those devices. Like
// settle, it locks the devices first, or each could wait for the other; so it leaves
// alone one that is not there, or was not when it was to be locked.
func deleteTokens(tx *store.Tx, user id.UserID, devices []id.DeviceID) (there []id.DeviceID, err error) {
	in, list := tx.In(2, devices)
	for row, err := range tx.Query("UPDATE devices SET seen = seen WHERE user_id = $1 AND device_id "+in+" RETURNING device_id", user, list) {
		if err != nil {
			return nil, err
		}
		var d id.DeviceID
		if err := row.Scan(&d); err != nil {
			return nil, err
		}
		there = append(there, d)
	}
	if err := deleteOf(tx, "access_tokens", user, there); err != nil {
		return nil, err
	}
	return there, deleteOf(tx, "refresh_tokens", user, there)
}

func deleteOf(tx *store.Tx, table string, user id.UserID, devices []id.DeviceID) error {
	in, list := tx.In(2, devices)
	_, err := tx.Exec("DELETE FROM "+table+" WHERE user_id = $1 AND device_id "+in, user, list)
	return err
}
