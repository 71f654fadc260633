package account

import (
	"context"
	"fmt"
	"slices"

	"parley/internal/errand"
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
		if _, err := deleteTokens(tx, "UPDATE devices SET leaving = true WHERE", user, devices); err != nil {
			return err
		}
		return also(tx)
	})
	// Others go on: a request of theirs would end for nothing.
	a.sessions.drop(func(s Session) bool { return s.UserID == user && which(s.DeviceID) })
	if err == nil {
		err = a.finishDevices(ctx, user, devices)
	}
	if err != nil {
		a.removals.Add(user) // whoever asked for it may not be able to any more
	}
	return err
}

// finishDevices does the second and the third step for devices that are leaving.
func (a *Accounts) finishDevices(ctx context.Context, user id.UserID, devices []id.DeviceID) error {
	if len(devices) == 0 {
		return nil
	}
	if err := a.removing(ctx, user, devices); err != nil {
		return err
	}
	concerns := func(tx *store.Tx) (bool, error) { return anyOf(tx, user, devices) }
	err := a.change(ctx, user, concerns, func(tx *store.Tx) error {
		// Once more the tokens: somebody may have logged in again meanwhile,
		// with a device that is known to nobody else any more. Whoever did so after
		// another has come to this place has a device that is not leaving.
		there, err := deleteTokens(tx, "DELETE FROM devices WHERE leaving AND", user, devices)
		if err != nil {
			return err
		}
		return a.removed(tx, user, there)
	})
	a.sessions.drop(func(s Session) bool { return s.UserID == user && slices.Contains(devices, s.DeviceID) })
	return err
}

// finishRemoving removes what is left of the devices of a user that are leaving.
func (a *Accounts) finishRemoving(ctx context.Context, user id.UserID) error {
	var devices []id.DeviceID
	err := a.db.View(ctx, func(tx *store.Tx) (err error) {
		devices, err = store.List[id.DeviceID](tx, "SELECT device_id FROM devices WHERE user_id = $1 AND leaving", user)
		return err
	})
	if err == nil {
		err = a.finishDevices(ctx, user, devices)
	}
	if err != nil {
		return fmt.Errorf("removing what is left of devices of %s: %w", user, err)
	}
	return nil
}

// finishRemovals goes on with what a crash, or a fault, has interrupted.
func (a *Accounts) finishRemovals(ctx context.Context) {
	a.removals.Run(ctx, errand.Work[id.UserID]{
		What: "removing devices", Recall: a.losingDevices, Do: a.finishRemoving, AtOnce: 2, Log: a.log,
	})
}

func (a *Accounts) losingDevices(ctx context.Context) ([]id.UserID, error) {
	return a.users(ctx, "SELECT DISTINCT user_id FROM devices WHERE leaving")
}

// lookForRemovals finds what other processes have left.
func (a *Accounts) lookForRemovals(ctx context.Context) error {
	users, err := a.losingDevices(ctx)
	a.removals.Add(users...)
	return err
}

func selectDevices(tx *store.Tx, user id.UserID, which func(id.DeviceID) bool) ([]id.DeviceID, error) {
	devices, err := store.List[id.DeviceID](tx, "SELECT device_id FROM devices WHERE user_id = $1 ORDER BY device_id", user)
	return slices.DeleteFunc(devices, func(d id.DeviceID) bool { return !which(d) }), err
}

// lockDevices is for [deleteTokens], where nothing else is to change.
const lockDevices = "UPDATE devices SET seen = seen WHERE"

// deleteTokens removes the tokens of devices after a statement that changes their
// rows, and returns those devices. Like settle, it locks the devices first, or each
// could wait for the other; so it leaves alone one that is not there, or was not
// when it was to be locked.
func deleteTokens(tx *store.Tx, statement string, user id.UserID, devices []id.DeviceID) (there []id.DeviceID, err error) {
	in, list := tx.In(2, devices)
	there, err = store.List[id.DeviceID](tx, statement+" user_id = $1 AND device_id "+in+" RETURNING device_id", user, list)
	if err != nil {
		return nil, err
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
