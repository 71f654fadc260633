package csapi

import (
	"context"
	"net/http"

	"parley/internal/account"
	"parley/internal/endpoint"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) loginRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_matrix/client/v3/login", endpoint.Policy{Auth: endpoint.None, Class: classRead}, s.loginFlows),
		endpoint.On("POST /_matrix/client/v3/login", endpoint.Policy{Auth: endpoint.NoneOrAppService, Class: classAuth}, s.login),
	}
}

type loginFlow struct {
	Type          string             `json:"type"`
	GetLoginToken bool               `json:"get_login_token,omitempty"`
	Providers     []identityProvider `json:"identity_providers,omitempty"`
}

// An identityProvider is https://spec.matrix.org/v1.19/client-server-api/#definition-mloginsso-flow-schema_idp
type identityProvider struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Icon  string `json:"icon,omitempty"`
	Brand string `json:"brand,omitempty"`
}

// The ways to log in.
const (
	loginPassword   = "m.login.password"
	loginToken      = "m.login.token"
	loginAppService = "m.login.application_service"
	loginSSO        = "m.login.sso"
)

type loginFlowsResponse struct {
	Flows []loginFlow `json:"flows"`
}

// loginFlows serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3login
func (s *Server) loginFlows(context.Context, endpoint.Caller, endpoint.Empty) (loginFlowsResponse, error) {
	flows := []loginFlow{{Type: loginPassword}}
	if s.SSO != nil {
		flow := loginFlow{Type: loginSSO}
		for _, p := range s.SSO.Providers() {
			flow.Providers = append(flow.Providers, identityProvider{p.ID, p.Name, p.Icon, p.Brand})
		}
		flows = append(flows, flow)
	}
	if s.takesTokens() {
		flows = append(flows, loginFlow{Type: loginToken, GetLoginToken: s.Settings.LoginTokens})
	}
	if len(s.Services.Set().All()) > 0 {
		flows = append(flows, loginFlow{Type: loginAppService})
	}
	return loginFlowsResponse{flows}, nil
}

// takesTokens reports whether somebody may come with a token to log in: from another
// device, or from an identity provider.
func (s *Server) takesTokens() bool { return s.Settings.LoginTokens || s.SSO != nil }

type loginRequest struct {
	Body       canonjson.Value `body:"raw"`
	Type       string          `json:"type" required:"true"`
	Password   string          `json:"password"`
	Token      string          `json:"token"`
	DeviceID   string          `json:"device_id"`
	DeviceName string          `json:"initial_device_display_name"`
	Refreshes  bool            `json:"refresh_token"`
	anyToken
}

// loginResponse is the answer to those who log in or register.
type loginResponse struct {
	UserID      id.UserID     `json:"user_id"`
	AccessToken string        `json:"access_token,omitempty"`
	DeviceID    id.DeviceID   `json:"device_id,omitempty"`
	Refresh     string        `json:"refresh_token,omitempty"`
	ExpiresIn   int64         `json:"expires_in_ms,omitempty"`
	HomeServer  id.ServerName `json:"home_server"` // which old clients want
	WellKnown   *wellKnown    `json:"well_known,omitempty"`
}

func (s *Server) loggedIn(l account.Login) loginResponse {
	r := loginResponse{UserID: l.UserID, AccessToken: l.Token, HomeServer: s.Name}
	if l.Token != "" {
		r.DeviceID, r.WellKnown = l.DeviceID, s.discovery()
		r.Refresh, r.ExpiresIn = l.Refresh, l.Life.Milliseconds()
	}
	return r
}

// login serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3login
func (s *Server) login(ctx context.Context, c endpoint.Caller, req loginRequest) (loginResponse, error) {
	user, err := s.whoLogsIn(ctx, c, req)
	if err != nil {
		return loginResponse{}, err
	}
	login, err := s.Accounts.Login(ctx, account.NewDevice{
		User: user, ID: id.DeviceID(req.DeviceID), Name: req.DeviceName, Addr: c.Addr, Refreshes: req.Refreshes,
	})
	if err != nil {
		return loginResponse{}, err
	}
	return s.loggedIn(login), nil
}

// whoLogsIn returns the user who has shown to be one.
func (s *Server) whoLogsIn(ctx context.Context, c endpoint.Caller, req loginRequest) (id.UserID, error) {
	switch {
	case req.Type == loginAppService:
		return s.whoseGhostLogsIn(ctx, c, req)
	case req.Type == loginToken && s.takesTokens() && req.Token == "":
		return "", mxerr.New(mxerr.MissingParam, "token is missing")
	case req.Type == loginToken && s.takesTokens():
		return s.Accounts.UseLoginToken(ctx, req.Token)
	case req.Type != loginPassword:
		return "", mxerr.New(mxerr.Unknown, "Nobody can log in in this way").WithStatus(http.StatusBadRequest)
	}
	user, err := s.Accounts.Identified(ctx, req.Body)
	if err != nil {
		return "", err
	}
	if user == "" {
		return "", mxerr.New(mxerr.MissingParam, "identifier is missing")
	}
	info, err := s.Accounts.CheckPassword(ctx, user, req.Password)
	return info.UserID, err
}
