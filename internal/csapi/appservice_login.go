package csapi

import (
	"context"
	"errors"
	"strings"

	"parley/internal/account"
	"parley/internal/appservice"
	"parley/internal/endpoint"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// anyToken is an access token that need not be good, where others than application
// services need none.
type anyToken struct {
	Authorization string `header:"Authorization"`
	QueryToken    string `query:"access_token"`
}

// service returns the application service that calls, or refuses.
func (s *Server) service(c endpoint.Caller, t anyToken) (*appservice.Service, error) {
	if service := s.Services.Set().ByID(c.AppService); service != nil {
		return service, nil
	}
	if t == (anyToken{}) {
		return nil, mxerr.New(mxerr.MissingToken, "The request has no access token")
	}
	return nil, mxerr.New(mxerr.UnknownToken, "The access token is that of no application service")
}

// registerGhost makes a user of an application service.
// https://spec.matrix.org/v1.19/application-service-api/#server-admin-style-permissions
func (s *Server) registerGhost(ctx context.Context, c endpoint.Caller, req registerRequest) (loginResponse, error) {
	service, err := s.service(c, req.anyToken)
	if err != nil {
		return loginResponse{}, err
	}
	var r registration
	if err := decode(req.Body, &r); err != nil {
		return loginResponse{}, err
	}
	if r.Username == "" {
		return loginResponse{}, mxerr.New(mxerr.MissingParam, "username is missing")
	}
	if user := s.userOf(r.Username); !service.Owns(user) || s.Services.Set().Reserved(user, service) {
		return loginResponse{}, exclusive("The application service may not make this user")
	}
	answer, err := s.create(ctx, c, r, account.NewAccount{Localpart: r.Username, Service: true})
	if answer.DeviceID != "" {
		s.Services.Devices(answer.UserID)
	}
	return answer, err
}

// whoseGhostLogsIn returns the user whom an application service logs in.
func (s *Server) whoseGhostLogsIn(ctx context.Context, c endpoint.Caller, req loginRequest) (id.UserID, error) {
	service, err := s.service(c, req.anyToken)
	if err != nil {
		return "", err
	}
	user, err := s.Accounts.Identified(ctx, req.Body)
	if err == nil && user == "" {
		err = mxerr.New(mxerr.MissingParam, "identifier is missing")
	}
	if err == nil && !service.Owns(user) {
		err = exclusive("The application service may not act for this user")
	}
	if err != nil {
		return "", err
	}
	_, err = s.Accounts.Info(ctx, user)
	if errors.Is(err, mxerr.NotFound) {
		err = mxerr.New(mxerr.Forbidden, "The application service has not registered this user").Wrap(err)
	}
	return user, err
}

// userOf returns the ID that a user with a localpart would have.
func (s *Server) userOf(localpart string) id.UserID {
	return id.UserID("@" + strings.ToLower(localpart) + ":" + string(s.Name))
}

// available returns nil if a person could register a name.
func (s *Server) available(ctx context.Context, localpart string) error {
	if s.Services.Set().Reserved(s.userOf(localpart), nil) {
		return exclusive("This username is for users of an application service")
	}
	return s.Accounts.Available(ctx, localpart)
}

// mayMakeAlias refuses who may neither make nor remove an alias. Services may with
// those in their namespaces, and with no others.
func (s *Server) mayMakeAlias(c endpoint.Caller, alias id.RoomAlias) error {
	service := s.Services.Set().ByID(c.AppService)
	if service != nil && !service.OwnsAlias(alias) {
		return exclusive("The application service may not have this alias")
	}
	if s.Services.Set().ReservedAlias(alias, service) {
		return exclusive("This alias is for an application service")
	}
	return nil
}

func exclusive(why string) error { return mxerr.New(mxerr.Exclusive, "%s", why) }

// timeParam is when an event of an application service is said to have been sent.
// https://spec.matrix.org/v1.19/application-service-api/#timestamp-massaging
type timeParam struct {
	Time *int64 `query:"ts"` // milliseconds since 1970
}

// at returns when an event is to have been sent, 0 for now.
func (p timeParam) at(c endpoint.Caller) (int64, error) {
	if p.Time == nil || c.AppService == "" {
		return 0, nil
	}
	if *p.Time < 0 || *p.Time > canonjson.MaxInt {
		return 0, mxerr.New(mxerr.InvalidParam, "ts is not a time that an event can have")
	}
	return *p.Time, nil
}
