package csapi

import (
	"context"

	"parley/internal/account"
	"parley/internal/endpoint"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// The module server administration of the specification.
func (s *Server) adminRoutes() []endpoint.Route {
	read := endpoint.Policy{Auth: endpoint.User, Class: classRead}
	write := endpoint.Policy{Auth: endpoint.User, Class: classWrite}
	return []endpoint.Route{
		endpoint.On("GET /_matrix/client/v3/admin/whois/{userID}", read, s.whois),
		endpoint.On("GET /_matrix/client/v1/admin/suspend/{userID}", read, s.suspended),
		endpoint.On("PUT /_matrix/client/v1/admin/suspend/{userID}", write, s.suspend),
		endpoint.On("GET /_matrix/client/v1/admin/lock/{userID}", read, s.locked),
		endpoint.On("PUT /_matrix/client/v1/admin/lock/{userID}", write, s.lock),
	}
}

type accountRequest struct {
	UserID id.UserID `path:"userID"`
}

// whois serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3adminwhoisuserid
func (s *Server) whois(ctx context.Context, c endpoint.Caller, req accountRequest) (account.Whois, error) {
	if c.UserID != req.UserID {
		if err := s.mustAdminister(c, req.UserID); err != nil {
			return account.Whois{}, err
		}
	}
	return s.Accounts.Whois(ctx, req.UserID)
}

// mustAdminister refuses who does not administer the server, before anything
// about the user is looked at, and users of other servers.
func (s *Server) mustAdminister(c endpoint.Caller, user id.UserID) error {
	switch {
	case !c.Admin:
		return mxerr.New(mxerr.Forbidden, "You are not an administrator of this server")
	case user.Server() != s.Name:
		return mxerr.New(mxerr.InvalidParam, "%s is not a user of this server", user)
	}
	return nil
}

// moderated returns the account of a user whom the caller may suspend and lock.
func (s *Server) moderated(ctx context.Context, c endpoint.Caller, user id.UserID) (account.Info, error) {
	if err := s.mustAdminister(c, user); err != nil {
		return account.Info{}, err
	}
	info, err := s.Accounts.Info(ctx, user)
	switch {
	case err != nil:
		return info, err
	case info.Deactivated:
		return info, mxerr.New(mxerr.NotFound, "The account %s was deactivated", user)
	case info.Admin && user != c.UserID:
		return info, mxerr.New(mxerr.Forbidden, "%s is an administrator, too", user)
	}
	return info, nil
}

// moderate changes something about an account that is not the caller's own.
func (s *Server) moderate(ctx context.Context, c endpoint.Caller, user id.UserID, set func(context.Context, id.UserID, bool) error, value bool) error {
	if c.Admin && c.UserID == user {
		return mxerr.New(mxerr.Forbidden, "This is your own account")
	}
	if _, err := s.moderated(ctx, c, user); err != nil {
		return err
	}
	return set(ctx, user, value)
}

type suspension struct {
	Suspended bool `json:"suspended"`
}

// suspended serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1adminsuspenduserid
func (s *Server) suspended(ctx context.Context, c endpoint.Caller, req accountRequest) (suspension, error) {
	info, err := s.moderated(ctx, c, req.UserID)
	return suspension{info.Suspended}, err
}

type suspendRequest struct {
	accountRequest
	Suspended bool `json:"suspended" required:"true"`
}

// suspend serves https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv1adminsuspenduserid
func (s *Server) suspend(ctx context.Context, c endpoint.Caller, req suspendRequest) (suspension, error) {
	return suspension{req.Suspended}, s.moderate(ctx, c, req.UserID, s.Accounts.SetSuspended, req.Suspended)
}

type lock struct {
	Locked bool `json:"locked"`
}

// locked serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1adminlockuserid
func (s *Server) locked(ctx context.Context, c endpoint.Caller, req accountRequest) (lock, error) {
	info, err := s.moderated(ctx, c, req.UserID)
	return lock{info.Locked}, err
}

type lockRequest struct {
	accountRequest
	Locked bool `json:"locked" required:"true"`
}

// lock serves https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv1adminlockuserid
func (s *Server) lock(ctx context.Context, c endpoint.Caller, req lockRequest) (lock, error) {
	return lock{req.Locked}, s.moderate(ctx, c, req.UserID, s.Accounts.SetLocked, req.Locked)
}
