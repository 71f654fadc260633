package csapi

import (
	"context"
	"encoding/json"

	"parley/internal/account"
	"parley/internal/endpoint"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// interactionLimit is the size of the body of requests that a user has to
// confirm.
const interactionLimit = 64 << 10

// What users confirm, beside what [account] knows of.
const (
	toLogInAnother  = "POST /login/get_token"
	toReplaceKeys   = "POST /keys/device_signing/upload"
	toDeactivate    = "POST /account/deactivate"
	toLogOutDevices = "POST /delete_devices"
	toLogOutDevice  = "DELETE /devices/" // and its ID
)

// byPassword are the flows in which a user confirms what cannot be undone.
func byPassword() []account.Flow { return []account.Flow{{account.StagePassword}} }

// confirm lets the caller confirm a request. Application services,
// whose users have none, need not.
func (s *Server) confirm(ctx context.Context, c endpoint.Caller, operation string, body canonjson.Value) (account.Confirmed, error) {
	if c.AppService != "" {
		return account.Confirmed{User: c.UserID, Body: body}, nil
	}
	return s.interact(ctx, c, operation, body)
}

// interact is confirm for application services, too.
func (s *Server) interact(ctx context.Context, c endpoint.Caller, operation string, body canonjson.Value) (account.Confirmed, error) {
	flows, err := s.confirming(ctx, c.UserID)
	if err != nil {
		return account.Confirmed{}, err
	}
	return s.Accounts.Interact(ctx, account.Interaction{
		Operation: operation, User: c.UserID, Flows: flows, Body: body,
	})
}

// confirming are the flows in which a user confirms something: by password, if there
// is one, or by an identity provider that knows the user. Who is not known yet has a
// password to tell it.
func (s *Server) confirming(ctx context.Context, user id.UserID) ([]account.Flow, error) {
	providers, err := s.providersOf(ctx, user)
	if err != nil || len(providers) == 0 {
		return byPassword(), err
	}
	flows := []account.Flow{{account.StageSSO}}
	has, err := s.Accounts.HasPassword(ctx, user)
	if has {
		flows = append(byPassword(), flows...)
	}
	return flows, err
}

// canConfirm reports whether there is a flow that a user can go through.
func (s *Server) canConfirm(ctx context.Context, user id.UserID) (bool, error) {
	providers, err := s.providersOf(ctx, user)
	if err != nil || len(providers) > 0 {
		return err == nil, err
	}
	return s.Accounts.HasPassword(ctx, user)
}

// decode reads a body that is only known as a whole when a request has been
// confirmed, since its first part may have come with an earlier one.
func decode(body canonjson.Value, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return mxerr.New(mxerr.BadJSON, "The body has a member of the wrong type").Wrap(err)
	}
	return nil
}
