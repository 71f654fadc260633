package identity

import (
	"context"
	"net/http"
	"strings"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/xmatrix"
)

// A Binding is a validation at an identity server, by which that is to tell
// everybody who asks who has the address.
type Binding struct {
	Server      id.ServerName
	Token       string // of the user, for that server
	SID, Secret string // of the validation
}

// Bind binds an address to a user, and returns the address. What the identity server
// refuses is refused by its code, if that is one for this.
//
// https://spec.matrix.org/v1.19/identity-service-api/#post_matrixidentityv23pidbind
func (s *Servers) Bind(ctx context.Context, b Binding, user id.UserID) (medium, address string, err error) {
	if b.Server == "" || b.Token == "" || b.SID == "" || b.Secret == "" {
		return "", "", mxerr.New(mxerr.MissingParam, "To bind an address needs id_server, id_access_token, sid and client_secret")
	}
	if !isAccessToken(b.Token) {
		return "", "", mxerr.New(mxerr.InvalidParam, "This is no access token")
	}
	answer, err := s.ask(ctx, Address{Server: b.Server, Token: b.Token}, "POST", "3pid/bind",
		map[string]any{"sid": b.SID, "client_secret": b.Secret, "mxid": user})
	if err != nil {
		return "", "", err
	}
	medium, _ = answer.Get("medium").Text()
	address, _ = answer.Get("address").Text()
	if medium != Email && medium != MSISDN || address == "" || len(address) > maxAddress || strings.IndexByte(address, 0) >= 0 {
		return "", "", bad(http.StatusOK)
	}
	return medium, address, nil
}

// Unbind has an identity server forget who has an address, in the name of the
// user's server. It reports false if the identity server does not do such a thing.
//
// https://spec.matrix.org/v1.19/identity-service-api/#post_matrixidentityv23pidunbind
func (s *Servers) Unbind(ctx context.Context, server id.ServerName, user id.UserID, medium, address string) (done bool, err error) {
	const path = pathPrefix + "3pid/unbind"
	which := canonjson.Value("{}").With("address", canonjson.Text(address)).With("medium", canonjson.Text(medium))
	body := canonjson.Value("{}").With("mxid", canonjson.Text(string(user))).With("threepid", which)
	signed := xmatrix.Request{Method: "POST", URI: path, Origin: s.options.Server, Destination: server, Content: body}
	status, answer, err := s.request(ctx, server, "POST", path, signed.Sign(s.options.Key), body)
	if err != nil {
		return false, err
	}
	code, isRefusal := answer.Get("errcode").Text()
	switch {
	case status == http.StatusOK:
		return true, nil
	case code == string(mxerr.Unrecognized):
		return false, nil
	case !isRefusal && (status == http.StatusBadRequest || status == http.StatusNotFound || status == http.StatusNotImplemented):
		return false, nil
	case status == http.StatusUnauthorized || status == http.StatusForbidden && code != string(mxerr.TermsNotSigned):
		return false, mxerr.New(mxerr.Forbidden, "The identity server refuses to unbind the address")
	}
	return false, refusal(status, answer)
}
