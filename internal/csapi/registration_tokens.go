package csapi

import (
	"context"

	"parley/internal/endpoint"
)

func (s *Server) registrationTokenRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_matrix/client/v1/register/m.login.registration_token/validity",
			endpoint.Policy{Auth: endpoint.None, Class: classAuth}, s.registrationTokenValidity),
	}
}

type registrationTokenRequest struct {
	Token string `query:"token" required:"true"`
}

type registrationTokenResponse struct {
	Valid bool `json:"valid"`
}

// registrationTokenValidity serves
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1registermloginregistration_tokenvalidity
func (s *Server) registrationTokenValidity(ctx context.Context, _ endpoint.Caller, req registrationTokenRequest) (registrationTokenResponse, error) {
	if s.Settings.Registration == RegistrationClosed {
		return registrationTokenResponse{}, registrationClosed()
	}
	valid, err := s.Accounts.RegistrationTokenGood(ctx, req.Token)
	return registrationTokenResponse{valid}, err
}
