package csapi

import (
	"context"
	"errors"
	"net/url"

	"parley/internal/account"
	"parley/internal/appservice"
	"parley/internal/endpoint"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// Users returns the authenticator of users, by their access tokens, and of application
// services that act for users. It notes which devices are in use.
func Users(accounts *account.Accounts, services *appservice.Services) endpoint.Authenticator {
	return tokens{accounts, services}
}

type tokens struct {
	accounts *account.Accounts
	services *appservice.Services
}

func (t tokens) Authenticate(c endpoint.Credentials) (endpoint.Caller, error) {
	service := t.services.Set().ByToken(c.Token)
	var session account.Session
	var err error
	if service != nil {
		t.services.Heard(service)
		session, err = t.act(c, service)
	} else {
		session, err = t.accounts.Authenticate(c.Request.Context(), c.Token)
	}
	if err != nil {
		return endpoint.Caller{}, err
	}
	if session.DeviceID != "" {
		t.accounts.Seen(session, c.Addr, c.Request.UserAgent())
	}
	caller := endpoint.Caller{
		UserID:    session.UserID,
		DeviceID:  session.DeviceID,
		Guest:     session.Guest,
		Locked:    session.Locked,
		Suspended: session.Suspended,
		Admin:     session.Admin,
	}
	if service != nil {
		caller.AppService, caller.Unlimited = service.ID, !service.RateLimited || session.UserID == service.Sender
	}
	return caller, nil
}

// act finds out for whom an application service acts.
// https://spec.matrix.org/v1.19/application-service-api/#identity-assertion
func (t tokens) act(c endpoint.Credentials, service *appservice.Service) (account.Session, error) {
	if c.Bare {
		return account.Session{UserID: service.Sender}, nil
	}
	query, err := url.ParseQuery(c.Request.URL.RawQuery)
	if err != nil {
		return account.Session{}, mxerr.New(mxerr.InvalidParam, "The query string is malformed").Wrap(err)
	}
	user, device := service.Sender, id.DeviceID(query.Get("device_id"))
	if device == "" {
		device = id.DeviceID(query.Get("org.matrix.msc3202.device_id"))
	}
	if name := query.Get("user_id"); name != "" {
		if user, err = id.ParseUserID(name); err != nil {
			return account.Session{}, mxerr.New(mxerr.InvalidParam, "user_id is no user").Wrap(err)
		}
	}
	if !service.Owns(user) {
		return account.Session{}, mxerr.New(mxerr.Forbidden, "The application service may not act for this user")
	}
	if device != "" {
		if _, err := id.ParseDeviceID(string(device)); err != nil {
			return account.Session{}, mxerr.New(mxerr.UnknownDevice, "The user has no such device").Wrap(err)
		}
	}
	session, err := t.accounts.Act(c.Request.Context(), user, device)
	if errors.Is(err, mxerr.NotFound) {
		err = mxerr.New(mxerr.Forbidden, "The application service has not registered this user").Wrap(err)
	}
	return session, err
}

// Watch makes it an [endpoint.Watcher].
func (t tokens) Watch(c endpoint.Caller) (context.Context, func()) {
	return t.accounts.Watch(c.UserID, c.DeviceID)
}
