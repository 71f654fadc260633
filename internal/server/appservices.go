package server

import (
	"context"
	"errors"
	"time"

	"parley/internal/account"
	"parley/internal/appservice"
	"parley/internal/e2ee"
	"parley/internal/feed"
	"parley/internal/remote"
	"parley/internal/room"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// appServices reads which application services are registered. A command beside a
// server has none of its own.
func (p *parts) appServices(ctx context.Context, db *store.DB, o Options, n Network) (*appservice.Services, error) {
	c := o.Config.AppServices
	services := appservice.New(appservice.Parts{
		Server: p.name, Dir: c.Dir, Files: c.Files.List(), QueryTokens: c.QueryTokens,
		DB: db, Journal: p.journal, Rooms: p.rooms, Aliases: p.aliases, Receipts: p.receipts, Board: p.typing,
		ToDevice: p.toDevice, DeviceLists: p.devices, Client: remote.New(n.appServices()),
		Show: func(ctx context.Context, roomID id.RoomID, items []room.Item) ([]canonjson.Value, error) {
			return p.feed.Show(ctx, feed.Viewer{}, roomID, items)
		},
		Ensure: p.ensureAccount, Known: p.accounts.Exists,
		WithDevices: p.accounts.WithDevices, DevicesOf: p.deviceIDs, HasToken: p.accounts.HasToken,
		KeysLeft: func(ctx context.Context, user id.UserID, device id.DeviceID) (map[string]int64, []string, error) {
			counts, err := p.keys.Counts(ctx, user, device)
			if err != nil {
				return nil, nil, err
			}
			return counts.OneTime, counts.Unused, nil
		},
		KeysRef: e2ee.Ref, Log: p.log,
	})
	if o.Beside {
		return services, nil
	}
	return services, services.Reload(ctx)
}

// appServices is how application services are reached. Where they are the operator
// says, so that may be nearby.
func (n Network) appServices() remote.Options {
	o := remote.Options{AllowPrivate: true, Timeout: time.Minute}
	if n.Web != nil {
		n.Web(&o)
	}
	return o
}

// residents are the users of the server, and those that application services make when
// somebody asks for them.
type residents struct {
	*account.Accounts
	services *appservice.Services
}

func (r residents) Exists(ctx context.Context, user id.UserID) (bool, error) {
	return r.services.Exists(ctx, user)
}

func (p *parts) users() residents { return residents{p.accounts, p.services} }

// ensureAccount makes the account of a user, unless there is one.
func (p *parts) ensureAccount(ctx context.Context, user id.UserID) error {
	exists, err := p.accounts.Exists(ctx, user)
	if err != nil || exists {
		return err
	}
	_, err = p.accounts.Create(ctx, account.NewAccount{Localpart: user.Localpart(), Service: true})
	if errors.Is(err, mxerr.UserInUse) {
		return nil // made at the same time
	}
	return err
}

// ReloadAppServices reads anew which application services are registered. If
// something is wrong with that everything stays as it was.
func (s *Server) ReloadAppServices(ctx context.Context) error { return s.services.Reload(ctx) }
