package endpoint

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// A Caller is who sent a request. Without authentication only Addr and
// RequestID are set.
type Caller struct {
	UserID   id.UserID
	DeviceID id.DeviceID // empty for application services that name none
	// Guest says that the account is one without registration.
	Guest bool
	// Locked says that the account can only log out for now.
	Locked bool
	// Suspended says that the account may read and leave, and little more. What
	// that means for a request is for its handler to say.
	Suspended bool
	// Admin says that the user administers this server.
	Admin bool
	// AppService is the ID of the application service that the token belongs
	// to; UserID is then the user it acts for.
	AppService string
	// Server is the server that signed the request.
	Server id.ServerName
	// Unlimited exempts the caller from rate limits, as the registration of an
	// application service may.
	Unlimited bool

	// Addr is the address that the request came from, not valid if it has
	// none. The table sets it.
	Addr netip.Addr
	// RequestID is what Config.NewRequestID returned. The table sets it.
	RequestID string
}

// An Authenticator finds out who sends a request.
type Authenticator interface {
	// Authenticate returns the caller with everything set but Addr and
	// RequestID. It is called concurrently, for every request that has to be
	// authenticated.
	//
	// A token that is not known is an [mxerr.UnknownToken], with the member
	// soft_logout where that applies; a request without a signature, where one
	// is needed, an [mxerr.Unauthorized]. That a token is needed and not
	// there, that the caller is a guest, or locked, or no application service,
	// is the table's to refuse. Errors that are not of mxerr are faults.
	Authenticate(Credentials) (Caller, error)
}

// A Watcher is an Authenticator that knows when what it said of a caller may be
// true no longer, because of a logout or a lock. Routes that wait, see [Policy],
// ask it. It is asked after Authenticate, and Authenticate once more after it.
type Watcher interface {
	// Watch returns a context that ends then. The caller of it calls stop when it
	// does not want to know any more.
	Watch(Caller) (changed context.Context, stop func())
}

// Credentials are the means by which a request shows who sent it.
type Credentials struct {
	// Token is the access token. It is empty only if the route is for servers.
	Token string
	// Addr is the address that the request came from, not valid if it has none.
	Addr netip.Addr
	// Request is the request. Its body is not for reading, use Content.
	Request *http.Request
	// Bare says that it matters which application service calls and not for whom: whom it
	// names need not exist yet.
	Bare bool

	exchange *exchange
}

// Content reads the body, as far as the route's limit allows, and returns it in
// canonical form by the lenient rules, nil if it is empty. The error is ready to
// be returned. Where nothing but the body can tell whether the caller is
// genuine, ask for it after all else has been checked.
func (c Credentials) Content() (canonjson.Value, error) { return c.exchange.readContent() }

// authenticate sets the caller if the route wants to know it, or refuses.
func (x *exchange) authenticate() error {
	route := x.lookup.route
	if !route.needsCaller() {
		return nil
	}
	credentials := Credentials{Addr: x.caller.Addr, Request: x.request, Bare: route.Auth == NoneOrAppService, exchange: x}
	if route.Auth != Server {
		token, err := x.token()
		switch {
		case err != nil:
			return err
		case token == "" && (route.Auth == Optional || route.Auth == NoneOrAppService):
			return nil
		case token == "":
			return mxerr.New(mxerr.MissingToken, "The request has no access token")
		}
		credentials.Token = token
	}
	genuine, err := x.limitStranger()
	if err != nil {
		return err
	}
	caller, err := route.Realm.Authenticate(credentials)
	if route.Auth == NoneOrAppService && (errors.Is(err, mxerr.UnknownToken) || err == nil && caller.AppService == "") {
		return nil
	}
	if err != nil {
		return err
	}
	genuine()
	caller.Addr, caller.RequestID = x.caller.Addr, x.caller.RequestID
	x.caller = caller
	return route.admit(&x.caller)
}

// token returns the access token of the request, empty if there is none:
// https://spec.matrix.org/v1.19/client-server-api/#using-access-tokens
func (x *exchange) token() (string, error) {
	if header := x.request.Header.Get("Authorization"); header != "" {
		scheme, token, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return "", nil
		}
		return strings.TrimSpace(token), nil
	}
	if !x.table.config.QueryTokens || x.request.URL.RawQuery == "" {
		return "", nil
	}
	query, err := parseQuery(x.request.URL)
	return query.Get("access_token"), err
}

func parseQuery(u *url.URL) (url.Values, error) {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, mxerr.New(mxerr.InvalidParam, "The query string is malformed").Wrap(err)
	}
	return query, nil
}

// admit refuses callers that are who they say and still may not call.
func (r *Route) admit(c *Caller) error {
	switch {
	case r.Auth == Server && c.Server == "", r.Auth != Server && c.UserID == "":
		return errors.New("the authenticator does not say who the caller is")
	case c.Locked && !r.AllowLocked:
		return mxerr.New(mxerr.UserLocked, "This account is locked").With("soft_logout", true)
	case !c.Admin && r.Auth == Admin:
		return mxerr.New(mxerr.Forbidden, "You are not an administrator of this server")
	case c.Guest && r.Auth == User:
		return mxerr.New(mxerr.GuestAccessForbidden, "Guests may not do this")
	case c.AppService == "" && r.Auth == AppService:
		return mxerr.New(mxerr.Forbidden, "Only application services may do this")
	}
	return nil
}
