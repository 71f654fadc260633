package csapi

import (
	"context"

	"parley/internal/account"
	"parley/internal/endpoint"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

func (s *Server) openIDRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("POST /_matrix/client/v3/user/{userID}/openid/request_token",
			endpoint.Policy{Auth: endpoint.User, Class: classCreate}, s.newOpenIDToken),
	}
}

type openIDRequest struct {
	UserID id.UserID       `path:"userID"`
	Body   canonjson.Value `body:"raw"` // there is nothing in it, for now
}

type openIDResponse struct {
	AccessToken string        `json:"access_token"`
	TokenType   string        `json:"token_type"`
	Server      id.ServerName `json:"matrix_server_name"`
	ExpiresIn   int64         `json:"expires_in"` // seconds
}

// newOpenIDToken serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3useruseridopenidrequest_token
func (s *Server) newOpenIDToken(ctx context.Context, c endpoint.Caller, req openIDRequest) (openIDResponse, error) {
	if err := own(c, req.UserID); err != nil {
		return openIDResponse{}, err
	}
	token, err := s.Accounts.NewOpenIDToken(ctx, c.UserID)
	return openIDResponse{token, "Bearer", s.Name, int64(account.OpenIDTokenLife.Seconds())}, err
}
