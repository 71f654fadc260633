package account

import (
	"context"
	"errors"
	"fmt"

	"parley/internal/store"
	"parley/matrix/id"
)

// Alive reports whether a device is there and somebody is logged in with it, in the
// transaction of whoever stores something for it: while a device is being removed
// nobody is. A tokenless one, of an application service, only has to be there.
func Alive(tx *store.Tx, user id.UserID, device id.DeviceID, tokenless bool) (bool, error) {
	query := "SELECT device_id FROM access_tokens WHERE user_id = $1 AND device_id = $2 LIMIT 1"
	if tokenless {
		query = "SELECT device_id FROM devices WHERE user_id = $1 AND device_id = $2 AND NOT leaving"
	}
	var found id.DeviceID
	err := tx.Row(query, user, device).Scan(&found)
	if errors.Is(err, store.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for device %s of %s: %w", device, user, err)
	}
	return true, nil
}

// DevicesOf returns all devices of some users, each with its name.
func (a *Accounts) DevicesOf(ctx context.Context, users []id.UserID) (map[id.UserID]map[id.DeviceID]string, error) {
	found := make(map[id.UserID]map[id.DeviceID]string, len(users))
	err := a.db.View(ctx, func(tx *store.Tx) error {
		in, list := tx.In(1, users)
		for row, err := range tx.Query("SELECT user_id, device_id, name FROM devices WHERE user_id "+in, list) {
			var user id.UserID
			var device id.DeviceID
			var name string
			if err == nil {
				err = row.Scan(&user, &device, &name)
			}
			if err != nil {
				return err
			}
			if found[user] == nil {
				found[user] = make(map[id.DeviceID]string)
			}
			found[user][device] = name
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the devices of %d users: %w", len(users), err)
	}
	return found, nil
}
