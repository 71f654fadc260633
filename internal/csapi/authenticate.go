package csapi

import (
	"context"

	"parley/internal/account"
	"parley/internal/endpoint"
)

// Users returns the authenticator of users, by their access tokens. It notes
// which devices are in use.
func Users(accounts *account.Accounts) endpoint.Authenticator { return tokens{accounts} }

type tokens struct{ accounts *account.Accounts }

func (t tokens) Authenticate(c endpoint.Credentials) (endpoint.Caller, error) {
	session, err := t.accounts.Authenticate(c.Request.Context(), c.Token)
	if err != nil {
		return endpoint.Caller{}, err
	}
	t.accounts.Seen(session, c.Addr, c.Request.UserAgent())
	return endpoint.Caller{
		UserID:    session.UserID,
		DeviceID:  session.DeviceID,
		Guest:     session.Guest,
		Locked:    session.Locked,
		Suspended: session.Suspended,
		Admin:     session.Admin,
	}, nil
}

// Watch makes it an [endpoint.Watcher].
func (t tokens) Watch(c endpoint.Caller) (context.Context, func()) {
	return t.accounts.Watch(c.UserID, c.DeviceID)
}
