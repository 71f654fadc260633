package csapi

import (
	"context"

	"parley/internal/account"
	"parley/internal/endpoint"
	"parley/internal/profile"
	"parley/matrix/mxerr"
)

// synapseRegisterRoutes are there if there is a shared secret. They are not part
// of Matrix, but what scripts that make accounts use:
// https://element-hq.github.io/synapse/latest/admin_api/register_api.html
func (s *Server) synapseRegisterRoutes() []endpoint.Route {
	if s.Settings.SharedSecret == "" {
		return nil
	}
	policy := endpoint.Policy{Auth: endpoint.None, Class: classAuth, BodyLimit: interactionLimit}
	return []endpoint.Route{
		endpoint.On("GET /_synapse/admin/v1/register", policy, s.registerNonce),
		endpoint.On("POST /_synapse/admin/v1/register", policy, s.registerWithSecret),
	}
}

type nonceResponse struct {
	Nonce string `json:"nonce"`
}

func (s *Server) registerNonce(ctx context.Context, _ endpoint.Caller, _ endpoint.Empty) (nonceResponse, error) {
	nonce, err := s.Accounts.NewNonce(ctx)
	return nonceResponse{nonce}, err
}

type registerWithSecretRequest struct {
	Nonce        string `json:"nonce" required:"true"`
	Username     string `json:"username" required:"true"`
	Password     string `json:"password" required:"true"`
	MAC          string `json:"mac" required:"true"`
	Admin        bool   `json:"admin"`
	UserType     string `json:"user_type"` // part of what is authenticated; there are no types here
	Displayname  string `json:"displayname"`
	InhibitLogin bool   `json:"inhibit_login"`
}

func (s *Server) registerWithSecret(ctx context.Context, c endpoint.Caller, req registerWithSecretRequest) (loginResponse, error) {
	proof := account.SharedSecret{
		Nonce: req.Nonce, Username: req.Username, Password: req.Password, Admin: req.Admin, UserType: req.UserType,
	}
	if !proof.Check(s.Settings.SharedSecret, req.MAC) {
		return loginResponse{}, mxerr.New(mxerr.Forbidden, "The MAC is not right")
	}
	if err := profile.CheckDisplayname(req.Displayname); err != nil {
		return loginResponse{}, err
	}
	if err := s.Accounts.UseNonce(ctx, req.Nonce); err != nil {
		return loginResponse{}, err
	}
	password, err := s.Accounts.HashPassword(ctx, req.Password)
	if err != nil {
		return loginResponse{}, err
	}
	return s.create(ctx, c, registration{InhibitLogin: req.InhibitLogin}, account.NewAccount{
		Localpart: req.Username, Password: password, Admin: req.Admin, Name: req.Displayname,
	})
}
