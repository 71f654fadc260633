package server

import (
	"context"
	"errors"

	"parley/internal/account"
	"parley/internal/appservice"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// appServices reads which application services are registered. A command beside a
// server has none of its own.
func (p *parts) appServices(ctx context.Context, o Options) (*appservice.Services, error) {
	c := o.Config.AppServices
	services := appservice.New(appservice.Parts{
		Server: p.name, Dir: c.Dir, Files: c.Files.List(), Ensure: p.ensureAccount, Log: p.log,
	})
	if o.Beside {
		return services, nil
	}
	return services, services.Reload(ctx)
}

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
