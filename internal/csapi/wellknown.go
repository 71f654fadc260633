package csapi

import (
	"context"

	"parley/internal/endpoint"
)

// wellKnownRoutes are those that are configured: clients take it that there is
// none for a hint that the web server of the domain may know.
func (s *Server) wellKnownRoutes() []endpoint.Route {
	var routes []endpoint.Route
	if s.Settings.BaseURL != "" {
		routes = append(routes, endpoint.On("GET /.well-known/matrix/client", endpoint.Policy{Auth: endpoint.None}, s.wellKnownClient))
	}
	if !s.Settings.Support.isZero() {
		routes = append(routes, endpoint.On("GET /.well-known/matrix/support", endpoint.Policy{Auth: endpoint.None}, s.wellKnownSupport))
	}
	return routes
}

type wellKnown struct {
	Homeserver struct {
		BaseURL string `json:"base_url"`
	} `json:"m.homeserver"`
}

// wellKnownClient serves https://spec.matrix.org/v1.19/client-server-api/#getwell-knownmatrixclient
func (s *Server) wellKnownClient(context.Context, endpoint.Caller, endpoint.Empty) (wellKnown, error) {
	return *s.discovery(), nil
}

// discovery is what clients are told of where the server is, nil if nothing.
func (s *Server) discovery() *wellKnown {
	if s.Settings.BaseURL == "" {
		return nil
	}
	w := &wellKnown{}
	w.Homeserver.BaseURL = s.Settings.BaseURL
	return w
}

// wellKnownSupport serves https://spec.matrix.org/v1.19/client-server-api/#getwell-knownmatrixsupport
func (s *Server) wellKnownSupport(context.Context, endpoint.Caller, endpoint.Empty) (Support, error) {
	return s.Settings.Support, nil
}
