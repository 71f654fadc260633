package server

import (
	"context"

	"parley/internal/account"
	"parley/internal/e2ee"
	"parley/internal/journal"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// keyOptions is what the keys of users need of others.
func (p *parts) keyOptions() e2ee.Options {
	return e2ee.Options{
		Server: p.name, Lists: p.devices, Alive: account.Alive, Devices: p.accounts.DevicesOf, Remote: p.federation.servers, Cached: p.keysAbroad,
	}
}

// removing does what it means outside of accounts that devices are removed.
func (p *parts) removing(ctx context.Context, user id.UserID, devices []id.DeviceID) error {
	if err := p.data.DeleteDevices(ctx, user, devices); err != nil {
		return err
	}
	if err := p.pushers.RemoveDevices(ctx, user, devices); err != nil {
		return err
	}
	return p.keys.RemoveDevices(ctx, user, devices)
}

// inbox returns what was sent to a device.
func (p *parts) inbox(ctx context.Context, user id.UserID, device id.DeviceID, after journal.Position, limit int) ([]canonjson.Value, journal.Position, error) {
	events, upTo, err := p.toDevice.Read(ctx, user, device, after, p.journal.Head(), limit)
	return events, upTo, err
}
