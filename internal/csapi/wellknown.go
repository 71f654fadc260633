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
	if s.Settings.PolicyKey != "" {
		routes = append(routes, endpoint.On("GET /.well-known/matrix/policy_server", endpoint.Policy{Auth: endpoint.None}, s.wellKnownPolicyServer))
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

type policyServer struct {
	PublicKeys struct {
		Ed25519 string `json:"ed25519"`
	} `json:"public_keys"`
}

// wellKnownPolicyServer serves https://spec.matrix.org/v1.19/client-server-api/#getwell-knownmatrixpolicy_server
func (s *Server) wellKnownPolicyServer(context.Context, endpoint.Caller, endpoint.Empty) (p policyServer, err error) {
	p.PublicKeys.Ed25519 = s.Settings.PolicyKey
	return p, nil
}
