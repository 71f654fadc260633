package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"parley/internal/devicelist"
	"parley/internal/e2ee"
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
		Keys:    p.keysOf,
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

// keysOf returns the keys of a local user as other servers may see them.
func (p *parts) keysOf(ctx context.Context, user id.UserID) (devicelist.Keys, error) {
	found, err := p.keys.Local(ctx, "", []id.UserID{user})
	if err != nil {
		return devicelist.Keys{}, err
	}
	own := found[user]
	keys := devicelist.Keys{Devices: make(map[id.DeviceID]devicelist.Device, len(own.Devices)), Master: own.Master, SelfSigning: own.SelfSigning}
	for device, identity := range own.Devices {
		keys.Devices[device] = devicelist.Device{Keys: identity}
	}
	return keys, nil
}

// keysAbroad returns what is known of the keys of users of other servers.
func (p *parts) keysAbroad(ctx context.Context, users []id.UserID) (map[id.UserID]e2ee.UserKeys, error) {
	known, err := p.devices.Remote(ctx, users)
	found := make(map[id.UserID]e2ee.UserKeys, len(known))
	for user, theirs := range known {
		keys := e2ee.UserKeys{Devices: make(map[id.DeviceID]canonjson.Value, len(theirs.Devices)), Master: said(theirs.Master, user), SelfSigning: said(theirs.SelfSigning, user)}
		for device, d := range theirs.Devices {
			if d.Keys == nil {
				continue
			}
			identity := e2ee.Said(d.Keys, user)
			if d.Name != "" {
				identity = identity.With("unsigned", canonjson.Value("{}").With("device_display_name", canonjson.Text(d.Name)))
			}
			keys.Devices[device] = identity
		}
		found[user] = keys
	}
	return found, err
}

// said is a cross-signing key of another server's user as it may be shown, nil if
// there is none.
func said(key canonjson.Value, user id.UserID) canonjson.Value {
	if key == nil {
		return nil
	}
	return e2ee.Said(key, user)
}
