package csapi

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"parley/internal/account"
	"parley/internal/endpoint"
	"parley/matrix/mxerr"
)

// tokenRoutes are how people begin to show that a mail address or telephone number
// is theirs. The parameters id_server and id_access_token are ignored, as they have
// to be by a server that does this itself.
//
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3registeremailrequesttoken
func (s *Server) tokenRoutes() []endpoint.Route {
	policy := endpoint.Policy{Auth: endpoint.None, Class: classValidation, BodyLimit: 16 << 10}
	var routes []endpoint.Route
	for _, of := range []struct{ path, operation string }{
		{"/_matrix/client/v3/register", account.ToRegister},
		{"/_matrix/client/v3/account/password", account.ToReset},
		{"/_matrix/client/v3/account/3pid", account.ToAdd},
	} {
		byEmail := func(ctx context.Context, _ endpoint.Caller, req emailTokenRequest) (tokenResponse, error) {
			return s.requestToken(ctx, account.Email, of.operation, req.tokenRequest, func() (account.ThreePID, error) { return account.ParseEmail(req.Email) })
		}
		byPhone := func(ctx context.Context, _ endpoint.Caller, req phoneTokenRequest) (tokenResponse, error) {
			return s.requestToken(ctx, account.MSISDN, of.operation, req.tokenRequest, func() (account.ThreePID, error) { return account.ParseNumber(req.Country, req.Number) })
		}
		routes = append(routes,
			endpoint.On("POST "+of.path+"/email/requestToken", policy, byEmail),
			endpoint.On("POST "+of.path+"/msisdn/requestToken", policy, byPhone))
	}
	return routes
}

// A tokenRequest is what both kinds of requests have.
type tokenRequest struct {
	Secret   string `json:"client_secret" required:"true"`
	Attempt  int64  `json:"send_attempt" required:"true"`
	NextLink string `json:"next_link"`
}

type emailTokenRequest struct {
	Email string `json:"email" required:"true"`
	tokenRequest
}

type phoneTokenRequest struct {
	Country string `json:"country" required:"true"`
	Number  string `json:"phone_number" required:"true"`
	tokenRequest
}

type tokenResponse struct {
	SID       string `json:"sid"`
	SubmitURL string `json:"submit_url,omitempty"`
}

func (s *Server) requestToken(ctx context.Context, m account.Medium, operation string, r tokenRequest, parse func() (account.ThreePID, error)) (tokenResponse, error) {
	switch {
	case operation == account.ToRegister && s.Settings.Registration == RegistrationClosed:
		return tokenResponse{}, registrationClosed()
	case !s.Accounts.Supports(m):
		return tokenResponse{}, mxerr.New(mxerr.ThreePIDMediumNotSupported, "Accounts here have no such addresses")
	}
	who, err := parse()
	if err != nil {
		return tokenResponse{}, err
	}
	resp := tokenResponse{}
	resp.SID, err = s.Accounts.RequestValidation(ctx, account.ValidationRequest{
		Operation: operation, ThreePID: who, Secret: r.Secret, Attempt: r.Attempt, NextLink: s.nextLink(r.NextLink),
	})
	if err == nil && m == account.MSISDN { // else there is a link to follow
		resp.SubmitURL = s.Settings.BaseURL + submitPath
	}
	return resp, err
}

// nextLink returns where somebody is to be led on, empty if that is no site that
// the operator has named: then people go back to where they came from by themselves.
func (s *Server) nextLink(link string) string {
	u, err := url.Parse(link)
	if err != nil || len(link) > 2048 || strings.ContainsFunc(link, unicode.IsControl) || u.Opaque != "" || u.User != nil ||
		!slices.Contains(s.Settings.NextLinks, strings.ToLower(u.Scheme+"://"+u.Host)) {
		return ""
	}
	return u.String()
}
