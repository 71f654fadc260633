package ssapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/matrix/id"
)

// wellKnownRoutes are there if it is configured where the server is: others take it
// that there is none for a hint that it is where its name says.
func (s *Server) wellKnownRoutes() []endpoint.Route {
	if s.Settings.Delegate == "" {
		return nil
	}
	return []endpoint.Route{endpoint.On("GET /.well-known/matrix/server", endpoint.Policy{Auth: endpoint.None}, s.wellKnown)}
}

type wellKnownResponse struct {
	Server id.ServerName `json:"m.server"`
}

// wellKnown serves https://spec.matrix.org/v1.19/server-server-api/#getwell-knownmatrixserver
func (s *Server) wellKnown(context.Context, endpoint.Caller, endpoint.Empty) (wellKnownResponse, error) {
	return wellKnownResponse{s.Settings.Delegate}, nil
}
