package csapi

import (
	"context"
	"slices"

	"parley/internal/account"
	"parley/internal/endpoint"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) registrationRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("POST /_matrix/client/v3/register",
			endpoint.Policy{Auth: endpoint.NoneOrAppService, Class: classAuth, BodyLimit: interactionLimit}, s.register),
		endpoint.On("GET /_matrix/client/v3/register/available",
			endpoint.Policy{Auth: endpoint.None, Class: classRead}, s.usernameAvailable),
	}
}

type registerRequest struct {
	Kind string          `query:"kind"`
	Body canonjson.Value `body:"raw"`
	anyToken
}

// registration is the body of the request without what proves that it may be.
type registration struct {
	Username     string `json:"username"`
	DeviceID     string `json:"device_id"`
	DeviceName   string `json:"initial_device_display_name"`
	InhibitLogin bool   `json:"inhibit_login"`
	Refreshes    bool   `json:"refresh_token"`
	GuestToken   string `json:"guest_access_token"`
}

// register serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3register
func (s *Server) register(ctx context.Context, c endpoint.Caller, req registerRequest) (loginResponse, error) {
	switch {
	case req.Body.Get("type").Is(loginAppService):
		return s.registerGhost(ctx, c, req)
	case req.Kind == "guest":
		return s.registerGuest(ctx, c, req.Body)
	case req.Kind != "" && req.Kind != "user":
		return loginResponse{}, mxerr.New(mxerr.InvalidParam, "There are accounts of kind user and guest only")
	case s.Settings.Registration == RegistrationClosed:
		return loginResponse{}, registrationClosed()
	}
	// What is wrong with the request is said before anybody is asked for proof.
	body, err := s.checkRegistration(ctx, req.Body)
	if err != nil {
		return loginResponse{}, err
	}
	flows, err := s.registrationFlows(ctx)
	if err != nil {
		return loginResponse{}, err
	}
	done, err := s.Accounts.Interact(ctx, account.Interaction{
		Operation: account.ToRegister, Flows: flows, Terms: s.Settings.Terms, Body: body, Secret: "password",
	})
	if err != nil {
		return loginResponse{}, err
	}
	var r registration
	if err := decode(done.Body, &r); err != nil {
		return loginResponse{}, err
	}
	n := account.NewAccount{Localpart: r.Username, Password: done.Password, Token: done.Token, Accepted: done.Accepted, Proofs: done.Proofs}
	if guest, ok := done.Body.Get(memberGuest).Text(); ok {
		n.Localpart, n.Upgrades = id.UserID(guest).Localpart(), true
	}
	return s.create(ctx, c, r, n)
}

// memberGuest is the member of a request that says which guest has shown to be
// the one who wants a whole account, in place of the guest's access token: that
// is not kept.
const memberGuest = "org.parley.guest"

// checkRegistration refuses what nobody needs to be asked for proof for, and
// returns the body as it may be kept.
func (s *Server) checkRegistration(ctx context.Context, body canonjson.Value) (canonjson.Value, error) {
	var r registration
	if err := decode(body, &r); err != nil {
		return nil, err
	}
	body = body.Without(memberGuest, "guest_access_token")
	switch {
	case r.GuestToken != "" && r.Username == "":
		return nil, mxerr.New(mxerr.MissingParam, "username is missing: guests keep their names")
	case r.GuestToken != "":
		guest, err := s.Accounts.UpgradingGuest(ctx, r.GuestToken, r.Username)
		return body.With(memberGuest, canonjson.Text(string(guest))), err
	case r.Username != "":
		return body, s.available(ctx, r.Username)
	}
	return body, nil
}

// create makes an account and, unless that is not wanted, logs in.
func (s *Server) create(ctx context.Context, c endpoint.Caller, r registration, n account.NewAccount) (loginResponse, error) {
	if !r.InhibitLogin {
		n.Login = &account.NewDevice{ID: id.DeviceID(r.DeviceID), Name: r.DeviceName, Addr: c.Addr, Refreshes: r.Refreshes}
	}
	login, err := s.Accounts.Create(ctx, n)
	if err != nil {
		return loginResponse{}, err
	}
	answer := s.loggedIn(login)
	answer.WellKnown = nil // it is told to those who log in
	return answer, nil
}

// registerGuest ignores all but the name of the device, as it has to.
func (s *Server) registerGuest(ctx context.Context, c endpoint.Caller, body canonjson.Value) (loginResponse, error) {
	if !s.Settings.Guests {
		return loginResponse{}, mxerr.New(mxerr.GuestAccessForbidden, "This server has no guests")
	}
	var r registration
	if name, ok := body.Get("initial_device_display_name").Text(); ok {
		r.DeviceName = name
	}
	return s.create(ctx, c, r, account.NewAccount{Guest: true})
}

// registrationFlows are the ways to be allowed an account. As long as there is
// none, the token that makes the first administrator is one in open servers too,
// and there is nobody whom a mail that does not arrive could be told. Policies are to
// be accepted in each.
func (s *Server) registrationFlows(ctx context.Context) ([]account.Flow, error) {
	inhabited, err := s.Accounts.Inhabited(ctx)
	if err != nil {
		return nil, err
	}
	byToken, open := account.Flow{account.StageRegistrationToken}, account.Flow{}
	if len(s.Settings.Terms) > 0 {
		byToken, open = append(byToken, account.StageTerms), account.Flow{account.StageTerms}
	}
	first := []account.Flow{byToken}
	switch {
	case s.Settings.Registration == RegistrationToken && inhabited:
		return s.withAddress(byToken), nil
	case s.Settings.Registration == RegistrationToken:
		return first, nil
	case inhabited:
		return s.withAddress(open), nil
	}
	return append(s.withAddress(open), first...), nil
}

// withAddress are the flows that begin with some stages and, as the settings want
// it, go on with an address. No flow is the beginning of another one, or it could
// not be told which a client wants that has done its stages.
func (s *Server) withAddress(stages account.Flow) []account.Flow {
	ending := func(stage account.Stage) account.Flow { return append(slices.Clone(stages), stage) }
	var flows []account.Flow
	if s.Settings.EmailRequired {
		return []account.Flow{ending(account.StageEmail)}
	}
	if s.Accounts.Supports(account.Email) {
		flows = append(flows, ending(account.StageEmail))
	}
	if s.Accounts.Supports(account.MSISDN) {
		flows = append(flows, ending(account.StageMSISDN))
	}
	if len(flows) > 0 || len(stages) == 0 {
		return append([]account.Flow{ending(account.StageDummy)}, flows...)
	}
	return []account.Flow{stages}
}

func registrationClosed() error {
	return mxerr.New(mxerr.Forbidden, "Nobody can make an account here by themselves")
}

type usernameAvailableRequest struct {
	Username string `query:"username" required:"true"`
}

type usernameAvailableResponse struct {
	Available bool `json:"available"`
}

// usernameAvailable serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3registeravailable
func (s *Server) usernameAvailable(ctx context.Context, _ endpoint.Caller, req usernameAvailableRequest) (usernameAvailableResponse, error) {
	if err := s.available(ctx, req.Username); err != nil {
		return usernameAvailableResponse{}, err
	}
	return usernameAvailableResponse{true}, nil
}
