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
		Devices: p.deviceNames,
		Fetch:   p.fetchDevices,
		Retry:   func(server id.ServerName) time.Time { return p.federation.health.Retry(server) },
	}
}

// deviceNames returns the devices of a local user, and what they are called.
func (p *parts) deviceNames(ctx context.Context, user id.UserID) (map[id.DeviceID]string, error) {
	list, err := p.accounts.Devices(ctx, user)
	names := make(map[id.DeviceID]string, len(list))
	for _, d := range list {
		names[d.ID] = d.Name
	}
	return names, err
}

// fetchDevices asks the server of a user for the user's devices.
func (p *parts) fetchDevices(ctx context.Context, user id.UserID) (canonjson.Value, error) {
	answer, err := p.federation.servers.UserDevices(ctx, user)
	refusal := (*remote.Refusal)(nil)
	if errors.As(err, &refusal) && (refusal.Status == http.StatusForbidden || refusal.Status == http.StatusNotFound) {
		return nil, fmt.Errorf("%w: %w", devicelist.Refused, err)
	}
	return answer, err
}
