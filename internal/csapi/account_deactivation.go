package csapi

import (
	"context"

	"parley/internal/account"
	"parley/internal/endpoint"
	"parley/matrix/canonjson"
	"parley/matrix/mxerr"
)

func (s *Server) deactivationRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("POST /_matrix/client/v3/account/deactivate",
			endpoint.Policy{Auth: endpoint.Optional, Class: classAuth, BodyLimit: interactionLimit}, s.deactivate),
	}
}

type deactivateRequest struct {
	Body canonjson.Value `body:"raw"`
}

type deactivateResponse struct {
	Unbound string `json:"id_server_unbind_result"`
}

// deactivate serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountdeactivate
//
// Without an access token the password tells whose account it is.
func (s *Server) deactivate(ctx context.Context, c endpoint.Caller, req deactivateRequest) (deactivateResponse, error) {
	if c.Guest {
		return deactivateResponse{}, mxerr.New(mxerr.GuestAccessForbidden, "Guests have no password to confirm this with")
	}
	var options struct {
		Erase bool `json:"erase"`
	}
	if err := decode(req.Body, &options); err != nil {
		return deactivateResponse{}, err
	}
	done := account.Confirmed{User: c.UserID, Body: req.Body}
	var err error
	if !s.endsGhost(c) {
		done, err = s.Accounts.Interact(ctx, account.Interaction{
			Operation: "POST /account/deactivate", User: c.UserID, Flows: byPassword(), Body: req.Body,
		})
	}
	if err != nil {
		return deactivateResponse{}, err
	}
	if err := decode(done.Body, &options); err != nil {
		return deactivateResponse{}, err
	}
	if err := s.Accounts.Deactivate(ctx, done.User, options.Erase); err != nil {
		return deactivateResponse{}, err
	}
	// No account here has a mail address or telephone number that an identity
	// server could know.
	return deactivateResponse{"success"}, nil
}

// endsGhost reports whether an application service acts for a user of its own, who has
// no password: it has full control of those. Without its sender it would be nobody.
func (s *Server) endsGhost(c endpoint.Caller) bool {
	service := s.Services.Set().ByID(c.AppService)
	return service != nil && c.UserID != service.Sender && service.OwnsAlone(c.UserID)
}
