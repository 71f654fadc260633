package accountdata

import (
	"context"

	"parley/matrix/id"
)

// deviceTypes are what account data about a device is called, less the device.
// https://github.com/matrix-org/matrix-spec-proposals/pull/3890
var deviceTypes = [...]string{"m.local_notification_settings.", "org.matrix.msc3890.local_notification_settings."}

// DeleteDevices deletes what is kept about devices of a user that are removed: whether
// they are silenced.
func (s *Store) DeleteDevices(ctx context.Context, user id.UserID, devices []id.DeviceID) error {
	for _, device := range devices {
		for _, prefix := range deviceTypes {
			dataType := prefix + string(device)
			if checkType(dataType) != nil {
				continue // so there is none
			}
			if err := s.Delete(ctx, user, "", dataType); err != nil {
				return err
			}
		}
	}
	return nil
}
