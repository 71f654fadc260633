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
		Server: p.name, Lists: untold{}, Alive: account.Alive, Devices: p.accounts.DevicesOf, Remote: p.federation.servers,
	}
}

// removing does what it means outside of accounts that devices are removed.
func (p *parts) removing(ctx context.Context, user id.UserID, devices []id.DeviceID) error {
	return p.keys.RemoveDevices(ctx, user, devices)
}

// untold are device lists that nobody is told of.
type untold struct{}

func (untold) Changed(*journal.Batch, id.UserID) {}

// inbox returns what was sent to a device.
func (p *parts) inbox(_ context.Context, _ id.UserID, _ id.DeviceID, after journal.Position, _ int) ([]canonjson.Value, journal.Position, error) {
	return nil, max(after, p.journal.Head()), nil
}
