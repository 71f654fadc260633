package csapi

import (
	"context"

	"parley/internal/endpoint"
)

func (s *Server) refreshRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("POST /_matrix/client/v3/refresh", endpoint.Policy{Auth: endpoint.None, Class: classRefresh}, s.refresh),
	}
}

type refreshRequest struct {
	Token string `json:"refresh_token" required:"true"`
}

type refreshResponse struct {
	AccessToken string `json:"access_token"`
	Refresh     string `json:"refresh_token"`
	ExpiresIn   int64  `json:"expires_in_ms,omitempty"`
}

// refresh serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3refresh
func (s *Server) refresh(ctx context.Context, _ endpoint.Caller, req refreshRequest) (refreshResponse, error) {
	t, err := s.Accounts.Refresh(ctx, req.Token)
	return refreshResponse{t.Token, t.Refresh, t.Life.Milliseconds()}, err
}
