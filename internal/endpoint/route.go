package endpoint

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
)

// DefaultBodyLimit is how many bytes the body of a request may have where the
// policy does not say otherwise. It is sixteen events of the largest size, and
// thousands of one-time keys.
const DefaultBodyLimit = 1 << 20

// Auth says who may call an endpoint. The zero value is not valid, so that a
// forgotten one is noticed.
type Auth uint8

const (
	// None: anybody. A token that comes along is not looked at.
	None Auth = iota + 1
	// Optional: anybody, but a token that comes along must be good.
	Optional
	// NoneOrAppService: anybody, and application services as such. Tokens of others are
	// not looked at.
	NoneOrAppService
	// User: users that are not guests, and application services for them.
	User
	// UserOrGuest: all users.
	UserOrGuest
	// Admin: users that administer the server. Others are refused before anything of
	// the request is looked at.
	Admin
	// AppService: application services.
	AppService
	// Server: other servers, by their signature.
	Server
)

func (a Auth) String() string {
	names := [...]string{None: "none", Optional: "optional", NoneOrAppService: "none or appservice", User: "user",
		UserOrGuest: "user or guest", Admin: "administrator", AppService: "appservice", Server: "server"}
	if a == 0 || int(a) >= len(names) {
		return fmt.Sprintf("Auth(%d)", uint8(a))
	}
	return names[a]
}

// A Policy is what applies to an endpoint before its handler is asked.
type Policy struct {
	Auth Auth
	// Realm checks who the caller is. Nil stands for Config.Users or, if Auth
	// is Server, Config.Servers.
	Realm Authenticator
	// AllowLocked lets users in whose account is locked: they may log out.
	// https://spec.matrix.org/v1.19/client-server-api/#account-locking
	AllowLocked bool
	// Class names one of Config.Limits. Empty: there is no limit.
	Class Class
	// Waits says that the handler waits for news for as long as the client
	// wants it to. Its context ends with Config.Stopping, and when the caller is
	// logged out or locked, see [Watcher]; [context.Cause] is then [ErrStopping],
	// and the handler may answer that there is no news.
	Waits bool
	// BodyLimit is the largest size of a request's body in bytes, 0 for
	// DefaultBodyLimit.
	BodyLimit int64
}

// A Route is one endpoint.
type Route struct {
	Method string
	// Pattern is the path with its wildcards, without the method.
	Pattern string
	Policy

	wildcards []wildcard
	request   reflect.Type // nil for a stream
	serve     func(*exchange) error
}

// Request is the request type of a typed handler, nil for others. It is there
// for tests that go through a whole table.
func (r Route) Request() reflect.Type { return r.request }

// Wildcards are the names of the wildcards in the path, in their order.
func (r Route) Wildcards() []string {
	names := make([]string, len(r.wildcards))
	for i, w := range r.wildcards {
		names[i] = w.name
	}
	return names
}

// A wildcard is a {name} at a segment of the path; the first segment is 0.
type wildcard struct {
	name    string
	segment int
}

// Empty is the request that asks for nothing, and the response {}.
type Empty struct{}

// On makes a Route of a typed handler. The pattern is a method and a path. It
// panics if the pattern, the policy or the request type is not as the package
// comment says, or if the wildcards are not those of the request type.
//
// The handler may be called concurrently. Its context ends with the request.
func On[Req, Resp any](pattern string, policy Policy, handle func(context.Context, Caller, Req) (Resp, error)) Route {
	r := newRoute(pattern, policy)
	r.request = reflect.TypeFor[Req]()
	p, err := compile(r.request, &r)
	if err != nil {
		panic(fmt.Sprintf("endpoint: %s: request type %s: %v", pattern, r.request, err))
	}
	r.serve = func(x *exchange) error {
		req := new(Req)
		if err := p.decode(x, reflect.ValueOf(req).Elem()); err != nil {
			return err
		}
		resp, err := handle(x.request.Context(), x.caller, *req)
		if err != nil {
			return err
		}
		return x.respond(resp)
	}
	return r
}

// A Streamer answers a request itself. The values of the wildcards are in
// r.PathValue, valid UTF-8 without NUL. Reading more of the body than the policy
// allows gives an [*http.MaxBytesError], which may be returned as it is. If the
// route is for servers, the body is what their signature covers, in canonical form.
//
// An error is handled as that of a typed handler if nothing was written before;
// otherwise the connection breaks off, so that what was sent does not look
// complete.
type Streamer func(w http.ResponseWriter, r *http.Request, c Caller) error

// Stream makes a Route of a handler that writes the response itself. It panics
// if the pattern or the policy is not as the package comment says.
func Stream(pattern string, policy Policy, handle Streamer) Route {
	r := newRoute(pattern, policy)
	r.serve = func(x *exchange) error {
		x.limitBody()
		x.restoreBody()
		return handle(&x.writer, x.request, x.caller)
	}
	return r
}

func newRoute(pattern string, policy Policy) Route {
	r := Route{Policy: policy}
	var found bool
	r.Method, r.Pattern, found = strings.Cut(pattern, " ")
	complain := func(reason string) { panic(fmt.Sprintf("endpoint: %s: %s", pattern, reason)) }
	switch {
	case !found:
		complain("the pattern is not a method, a space and a path")
	case !slices.Contains([]string{"GET", "POST", "PUT", "DELETE", "PATCH"}, r.Method):
		complain("the method is not GET, POST, PUT, DELETE or PATCH; HEAD comes with GET, OPTIONS with the table")
	case !strings.HasPrefix(r.Pattern, "/"):
		complain("the path does not begin with a slash")
	case strings.HasSuffix(r.Pattern, "/"):
		complain("a path that ends with a slash matches everything below it: end it with /{$}")
	case strings.Contains(r.Pattern, "...}"):
		complain("a wildcard for several segments is not supported")
	case policy.Auth < None || policy.Auth > Server:
		complain("the policy does not say who may call it")
	case policy.Auth == None && policy.Realm != nil:
		complain("the policy has a realm for callers that it does not ask who they are")
	case policy.BodyLimit < 0:
		complain("the limit of the body is negative")
	}
	if r.BodyLimit == 0 {
		r.BodyLimit = DefaultBodyLimit
	}
	for i, segment := range strings.Split(r.Pattern[1:], "/") {
		if name, ok := strings.CutPrefix(segment, "{"); ok && segment != "{$}" {
			r.wildcards = append(r.wildcards, wildcard{strings.TrimSuffix(name, "}"), i})
		}
	}
	return r
}

// needsCaller reports whether the endpoint asks who calls.
func (r *Route) needsCaller() bool { return r.Auth != None }
