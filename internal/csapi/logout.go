package csapi

import (
	"context"

	"parley/internal/endpoint"
)

func (s *Server) logoutRoutes() []endpoint.Route {
	policy := endpoint.Policy{Auth: endpoint.UserOrGuest, AllowLocked: true}
	return []endpoint.Route{
		endpoint.On("POST /_matrix/client/v3/logout", policy, s.logout),
		endpoint.On("POST /_matrix/client/v3/logout/all", policy, s.logoutAll),
	}
}

// logout serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3logout
func (s *Server) logout(ctx context.Context, c endpoint.Caller, _ endpoint.Empty) (endpoint.Empty, error) {
	return endpoint.Empty{}, s.Accounts.Logout(ctx, c.UserID, c.DeviceID)
}

// logoutAll serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3logoutall
func (s *Server) logoutAll(ctx context.Context, c endpoint.Caller, _ endpoint.Empty) (endpoint.Empty, error) {
	return endpoint.Empty{}, s.Accounts.LogoutAll(ctx, c.UserID)
}
