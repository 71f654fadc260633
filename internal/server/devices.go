package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"parley/internal/devicelist"
	"parley/internal/remote"
	"parley/internal/room"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// deviceLists is what device lists stand on.
func (p *parts) deviceLists(db *store.DB, log *slog.Logger) devicelist.Parts {
	return devicelist.Parts{
		Server: p.name, DB: db, Journal: p.journal, Log: log,
		Rooms: devicelist.Rooms{
			Scopes: room.JoinedScopes, KnownSince: p.rooms.KnownSince, Sharers: p.rooms.Sharers, Servers: p.rooms.ServersOf,
		},
		Devices: p.deviceIDs,
		Fetch:   p.fetchDevices,
		Retry:   func(server id.ServerName) time.Time { return p.federation.health.Retry(server) },
	}
}

// deviceIDs returns the devices of a local user.
func (p *parts) deviceIDs(ctx context.Context, user id.UserID) (list []id.DeviceID, err error) {
	devices, err := p.accounts.Devices(ctx, user)
	for _, d := range devices {
		list = append(list, d.ID)
	}
	return list, err
}

// fetchDevices asks the server of a user for the user's devices.
func (p *parts) fetchDevices(ctx context.Context, user id.UserID) (canonjson.Value, error) {
	answer, err := p.federation.servers.UserDevices(ctx, user)
	refusal := (*remote.Refusal)(nil)
	if errors.As(err, &refusal) && (refusal.Status == http.StatusForbidden || refusal.Status == http.StatusNotFound) {
		return nil, fmt.Errorf("%w: %w", devicelist.ErrRefused, err)
	}
	return answer, err
}
