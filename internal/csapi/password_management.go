package csapi

import (
	"context"

	"parley/internal/account"
	"parley/internal/endpoint"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) passwordRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("POST /_matrix/client/v3/account/password",
			endpoint.Policy{Auth: endpoint.Optional, Class: classAuth, BodyLimit: interactionLimit}, s.changePassword),
	}
}

type changePasswordRequest struct {
	Body canonjson.Value `body:"raw"`
}

// changePassword serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountpassword
//
// Without an access token the old password tells whose it is, or an address of the
// account.
func (s *Server) changePassword(ctx context.Context, c endpoint.Caller, req changePasswordRequest) (endpoint.Empty, error) {
	if c.Guest {
		return endpoint.Empty{}, mxerr.New(mxerr.GuestAccessForbidden, "Guests have no password")
	}
	if req.Body.Get("auth") == nil && req.Body.Get("new_password") == nil {
		return endpoint.Empty{}, passwordMissing()
	}
	var options struct {
		LogoutDevices *bool `json:"logout_devices"`
	}
	if err := decode(req.Body, &options); err != nil {
		return endpoint.Empty{}, err
	}
	flows, err := s.passwordFlows(ctx, c)
	if err != nil {
		return endpoint.Empty{}, err
	}
	done, err := s.Accounts.Interact(ctx, account.Interaction{
		Operation: account.ToReset, User: c.UserID, Flows: flows, Body: req.Body, Secret: "new_password",
	})
	if err != nil {
		return endpoint.Empty{}, err
	}
	if done.Password == "" {
		return endpoint.Empty{}, passwordMissing()
	}
	if err := decode(done.Body, &options); err != nil {
		return endpoint.Empty{}, err
	}
	if err := s.Accounts.UseProofs(ctx, done.Proofs); err != nil {
		return endpoint.Empty{}, err
	}
	keep := func(d id.DeviceID) bool { return d == c.DeviceID }
	if options.LogoutDevices != nil && !*options.LogoutDevices {
		keep = nil
	}
	return endpoint.Empty{}, s.Accounts.SetPassword(ctx, done.User, done.Password, keep)
}

// passwordFlows are how somebody shows that a password is theirs to change. Who has
// forgotten it shows an address; who is logged in cannot have.
func (s *Server) passwordFlows(ctx context.Context, c endpoint.Caller) ([]account.Flow, error) {
	if c.UserID != "" {
		return s.confirming(ctx, c.UserID)
	}
	flows := byPassword()
	if s.Accounts.Supports(account.Email) {
		flows = append(flows, account.Flow{account.StageEmail})
	}
	if s.Accounts.Supports(account.MSISDN) {
		flows = append(flows, account.Flow{account.StageMSISDN})
	}
	return flows, nil
}

func passwordMissing() error { return mxerr.New(mxerr.MissingParam, "new_password is missing") }
