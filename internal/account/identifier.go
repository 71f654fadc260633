package account

import (
	"context"
	"errors"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// Identified returns the user of this server whom the identifier of a login, or its
// member user of old, means; empty if there is neither. The refusals are
// [mxerr.BadJSON], and [mxerr.Forbidden] as for a wrong password. An address that
// is nobody's is that of a user that there is not, so that to refuse it takes as
// long as to compare a password.
//
// https://spec.matrix.org/v1.19/client-server-api/#identifier-types
func (a *Accounts) Identified(ctx context.Context, login canonjson.Value) (id.UserID, error) {
	var kind string
	identifier := login.Get("identifier")
	switch identifier.Kind() {
	case canonjson.Absent, canonjson.Null:
		identifier = login // which is how it was before there were identifiers
	case canonjson.Object:
		var err error
		if kind, err = text(identifier, "type"); err != nil {
			return "", err
		}
	default:
		return "", mxerr.New(mxerr.BadJSON, "identifier has to be an object")
	}
	switch byAddress := identifier.Get("medium").Kind() == canonjson.String; {
	case kind == "m.id.user" || kind == "" && !byAddress:
		return a.identifiedByName(identifier)
	case kind == "m.id.thirdparty" || kind == "":
		return a.identifiedByAddress(ctx, identifier, "medium", "address", ParseThreePID)
	case kind == "m.id.phone":
		return a.identifiedByAddress(ctx, identifier, "country", "phone", ParseNumber)
	}
	return "", mxerr.New(mxerr.Forbidden, "Users are identified by their ID, an address or a telephone number")
}

func (a *Accounts) identifiedByName(identifier canonjson.Value) (id.UserID, error) {
	name, err := text(identifier, "user")
	if err != nil || name == "" {
		return "", err
	}
	return a.LocalUser(name)
}

// identifiedByAddress reads the address from two members.
func (a *Accounts) identifiedByAddress(ctx context.Context, identifier canonjson.Value, of, which string, parse func(string, string) (ThreePID, error)) (id.UserID, error) {
	first, err := text(identifier, of)
	if err != nil {
		return "", err
	}
	second, err := text(identifier, which)
	if err != nil {
		return "", err
	}
	var user id.UserID
	t, err := parse(first, second)
	if err == nil {
		user, err = a.Owner(ctx, t)
	}
	if refusal := (*mxerr.Error)(nil); errors.As(err, &refusal) {
		return a.nobody(), nil
	}
	return user, err
}

// nobody is a user whom there cannot be: names do not begin with an underscore.
func (a *Accounts) nobody() id.UserID { return id.UserID("@_:" + string(a.server)) }
