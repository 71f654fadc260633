package ssapi

import (
	"context"

	"parley/internal/endpoint"
)

func (s *Server) versionRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_matrix/federation/v1/version", endpoint.Policy{Auth: endpoint.None}, s.version),
	}
}

type versionResponse struct {
	Server struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	} `json:"server"`
}

// version serves https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1version
func (s *Server) version(context.Context, endpoint.Caller, endpoint.Empty) (resp versionResponse, err error) {
	resp.Server.Name, resp.Server.Version = "parley", s.Version
	return resp, nil
}
