package csapi

import (
	"context"
	"maps"

	"parley/internal/endpoint"
)

func (s *Server) versionsRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_matrix/client/versions", endpoint.Policy{Auth: endpoint.None}, s.versions),
	}
}

type versionsResponse struct {
	Versions         []string        `json:"versions"`
	UnstableFeatures map[string]bool `json:"unstable_features"`
}

// versions serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientversions
func (s *Server) versions(context.Context, endpoint.Caller, endpoint.Empty) (versionsResponse, error) {
	features := map[string]bool{}
	maps.Copy(features, s.Settings.UnstableFeatures)
	return versionsResponse{
		// All since the first of this kind: clients look whether the version is
		// there that brought what they need.
		Versions: []string{
			"v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8", "v1.9", "v1.10",
			"v1.11", "v1.12", "v1.13", "v1.14", "v1.15", "v1.16", "v1.17", "v1.18", "v1.19",
		},
		UnstableFeatures: features,
	}, nil
}
