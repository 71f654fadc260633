package csapi

import (
	"context"

	"parley/internal/account"
	"parley/internal/endpoint"
	"parley/matrix/canonjson"
)

// loginTokenRoutes are there if the operator wants them.
func (s *Server) loginTokenRoutes() []endpoint.Route {
	if !s.Settings.LoginTokens {
		return nil
	}
	return []endpoint.Route{
		endpoint.On("POST /_matrix/client/v1/login/get_token",
			endpoint.Policy{Auth: endpoint.User, Class: classLoginToken, BodyLimit: interactionLimit}, s.newLoginToken),
	}
}

type loginTokenRequest struct {
	Body canonjson.Value `body:"raw"`
}

type loginTokenResponse struct {
	Token     string `json:"login_token"`
	ExpiresIn int64  `json:"expires_in_ms"`
}

// newLoginToken serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv1loginget_token
func (s *Server) newLoginToken(ctx context.Context, c endpoint.Caller, req loginTokenRequest) (loginTokenResponse, error) {
	if _, err := s.confirm(ctx, c, toLogInAnother, req.Body); err != nil {
		return loginTokenResponse{}, err
	}
	token, err := s.Accounts.NewLoginToken(ctx, c.UserID)
	return loginTokenResponse{token, account.LoginTokenLife.Milliseconds()}, err
}
