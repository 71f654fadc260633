package server

import (
	"parley/internal/account"
	"parley/internal/endpoint"
)

// users is the accounts in the eyes of package endpoint: it knows access tokens.
type users struct{ accounts *account.Accounts }

func (u users) Authenticate(c endpoint.Credentials) (endpoint.Caller, error) {
	session, err := u.accounts.Authenticate(c.Request.Context(), c.Token)
	if err != nil {
		return endpoint.Caller{}, err
	}
	u.accounts.Seen(session, c.Addr)
	return endpoint.Caller{
		UserID: session.UserID, DeviceID: session.DeviceID,
		Guest: session.Guest, Locked: session.Locked, Suspended: session.Suspended, Admin: session.Admin,
	}, nil
}
