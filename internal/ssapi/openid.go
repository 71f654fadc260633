package ssapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) openIDRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_matrix/federation/v1/openid/userinfo", endpoint.Policy{Auth: endpoint.None, Class: classServed}, s.openIDUser),
	}
}

type openIDRequest struct {
	Token string `query:"access_token"`
}

type openIDResponse struct {
	User id.UserID `json:"sub"`
}

// openIDUser serves https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1openiduserinfo
func (s *Server) openIDUser(ctx context.Context, _ endpoint.Caller, req openIDRequest) (openIDResponse, error) {
	if req.Token == "" {
		return openIDResponse{}, mxerr.New(mxerr.MissingToken, "query parameter access_token is missing")
	}
	user, err := s.Users.OpenIDUser(ctx, req.Token)
	return openIDResponse{user}, err
}
