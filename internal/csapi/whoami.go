package csapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/matrix/id"
)

func (s *Server) whoamiRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_matrix/client/v3/account/whoami", endpoint.Policy{Auth: endpoint.UserOrGuest, Class: classRead}, s.whoami),
	}
}

type whoamiResponse struct {
	UserID   id.UserID   `json:"user_id"`
	DeviceID id.DeviceID `json:"device_id,omitempty"`
	IsGuest  bool        `json:"is_guest"`
}

// whoami serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3accountwhoami
func (s *Server) whoami(_ context.Context, c endpoint.Caller, _ endpoint.Empty) (whoamiResponse, error) {
	return whoamiResponse{c.UserID, c.DeviceID, c.Guest}, nil
}
