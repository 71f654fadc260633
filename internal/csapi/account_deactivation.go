package csapi

import (
	"context"
	"errors"
	"slices"

	"parley/internal/account"
	"parley/internal/endpoint"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) deactivationRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("POST /_matrix/client/v3/account/deactivate",
			endpoint.Policy{Auth: endpoint.Optional, Class: classAuth, BodyLimit: interactionLimit}, s.deactivate),
	}
}

type deactivateRequest struct {
	Body canonjson.Value `body:"raw"`
}

// deactivate serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountdeactivate
//
// Without an access token the password tells whose account it is.
func (s *Server) deactivate(ctx context.Context, c endpoint.Caller, req deactivateRequest) (unbindResponse, error) {
	if c.Guest {
		return unbindResponse{}, mxerr.New(mxerr.GuestAccessForbidden, "Guests have no password to confirm this with")
	}
	var options struct {
		Erase  bool          `json:"erase"`
		Server id.ServerName `json:"id_server"`
	}
	if err := decode(req.Body, &options); err != nil {
		return unbindResponse{}, err
	}
	done := account.Confirmed{User: c.UserID, Body: req.Body}
	if !s.endsGhost(c) {
		var err error
		if done, err = s.interact(ctx, c, toDeactivate, req.Body); err != nil {
			return unbindResponse{}, err
		}
	}
	if err := decode(done.Body, &options); err != nil {
		return unbindResponse{}, err
	}
	all, err := s.unbindAll(ctx, done.User, options.Server)
	if err != nil {
		return unbindResponse{}, err
	}
	return unbound(all), s.Accounts.Deactivate(ctx, done.User, options.Erase)
}

// unbindAll has identity servers forget a user, before the account is closed: all
// that know the user through this server or, if one is named, that. It reports
// whether they have. Refusals do not keep anybody from leaving.
func (s *Server) unbindAll(ctx context.Context, user id.UserID, server id.ServerName) (all bool, err error) {
	bindings, err := s.Accounts.Bindings(ctx, user)
	if err != nil {
		return false, err
	}
	if server != "" {
		contacts, err := s.Accounts.Contacts(ctx, user)
		if err != nil {
			return false, err
		}
		bindings = allAt(server, bindings, contacts)
	}
	all, err = s.unbindEach(ctx, user, bindings)
	if refusal := (*mxerr.Error)(nil); errors.As(err, &refusal) {
		err = nil
	}
	return all, err
}

// allAt are the bindings that a user may have at a server, of all addresses that are
// known to be the user's.
func allAt(server id.ServerName, elsewhere []account.Binding, contacts []account.Contact) (list []account.Binding) {
	add := func(which account.ThreePID) {
		if b := (account.Binding{ThreePID: which, Server: server}); !slices.Contains(list, b) {
			list = append(list, b)
		}
	}
	for _, b := range elsewhere {
		add(b.ThreePID)
	}
	for _, c := range contacts {
		add(c.ThreePID)
	}
	return list
}

// endsGhost reports whether an application service acts for a user of its own, who has
// no password: it has full control of those. Without its sender it would be nobody.
func (s *Server) endsGhost(c endpoint.Caller) bool {
	service := s.Services.Set().ByID(c.AppService)
	return service != nil && c.UserID != service.Sender && service.OwnsAlone(c.UserID)
}
