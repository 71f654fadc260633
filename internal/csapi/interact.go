package csapi

import (
	"context"
	"encoding/json"

	"parley/internal/account"
	"parley/internal/endpoint"
	"parley/matrix/canonjson"
	"parley/matrix/mxerr"
)

// interactionLimit is the size of the body of requests that a user has to
// confirm.
const interactionLimit = 64 << 10

// byPassword are the flows in which a user confirms what cannot be undone.
func byPassword() []account.Flow { return []account.Flow{{account.StagePassword}} }

// confirm lets the caller confirm a request by password. Application services,
// whose users have none, need not.
func (s *Server) confirm(ctx context.Context, c endpoint.Caller, operation string, body canonjson.Value) (account.Confirmed, error) {
	if c.AppService != "" {
		return account.Confirmed{User: c.UserID, Body: body}, nil
	}
	return s.Accounts.Interact(ctx, account.Interaction{
		Operation: operation, User: c.UserID, Flows: byPassword(), Body: body,
	})
}

// decode reads a body that is only known as a whole when a request has been
// confirmed, since its first part may have come with an earlier one.
func decode(body canonjson.Value, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return mxerr.New(mxerr.BadJSON, "The body has a member of the wrong type").Wrap(err)
	}
	return nil
}
