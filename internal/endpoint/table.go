package endpoint

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config is what a Table needs besides its routes. It must not be changed
// afterwards.
type Config struct {
	// Users knows access tokens; Servers knows signatures. Each may be nil if
	// no route needs it.
	Users, Servers Authenticator
	// QueryTokens says that the access token may also be in the query
	// parameter access_token, as old clients send it. Tokens in URLs end up in
	// the logs of proxies.
	QueryTokens bool
	// Limits has the limit of each class that occurs in a policy. Nil switches
	// all limits off.
	Limits map[Class]Limit
	// Strangers names one of Limits. It is for those who call endpoints for servers and
	// cannot show who they are: finding that out may cost requests to others. Empty:
	// there is none.
	Strangers Class
	// TrustedProxies are the networks of the reverse proxies whose
	// X-Forwarded-For is believed. If there are any, so is that of connections
	// without an IP address, such as those of Unix sockets.
	TrustedProxies []netip.Prefix
	// Log gets the faults. Nil: nobody does.
	Log *slog.Logger
	// NewRequestID returns what tells a request from others, in the header
	// X-Request-Id of its response and in the log. It is called concurrently.
	// Nil: requests have no ID.
	NewRequestID func() string
	// Observe, if not nil, is called after each request, concurrently, and the
	// request's connection waits for it.
	Observe func(Observation)
	// Stopping ends when the server is about to: the requests that wait, see
	// [Policy], end with it. Nil: it never does.
	Stopping context.Context
	// MaxWaiting is how many requests of one user may wait at a time, 0 for any
	// number. It is no limit of a rate, and holds where there are none.
	MaxWaiting int
}

// ErrStopping is why the context of a request that waits has ended, when that is
// because of Config.Stopping or a [Watcher].
var ErrStopping = errors.New("the server is about to end, or the caller's session has changed")

// An Observation is what a request came to.
type Observation struct {
	Method string
	// Route is the pattern of the route without its method, empty if there is
	// none for the request. It is safe as a label of metrics, unlike Method.
	Route string
	// Status is that of the response.
	Status int
	// Canceled says that the request's context ended before there was an
	// answer: nobody may have seen the status.
	Canceled bool
	// Bytes is the size of the response's body.
	Bytes    int64
	Duration time.Duration
	// Caller is who called, as far as it was known in the end. Its Addr and
	// RequestID are always set.
	Caller Caller
}

// A Table serves routes. It is an [http.Handler].
type Table struct {
	config  Config
	routes  []Route
	mux     *http.ServeMux
	limiter *limiter // nil: no limits
	waiting waiting
	log     *slog.Logger
	common  http.Header // what every response has
	json    []string    // the value of Content-Type
	buffers sync.Pool   // of *[]byte
}

// New makes a table of routes. It panics if two routes conflict, if a route
// needs an authenticator that is not there, or if a limit is missing or makes
// no sense.
func New(config Config, routes []Route) *Table {
	t := &Table{config: config, routes: slices.Clone(routes), mux: http.NewServeMux(), log: config.Log}
	t.waiting.most = config.MaxWaiting
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	if config.Limits != nil {
		t.limiter = newLimiter(config.Limits)
	}
	t.checkClass(config.Strangers, "Config.Strangers")
	methods := []string{"GET", "POST", "PUT", "DELETE", "OPTIONS"}
	for i := range t.routes {
		r := &t.routes[i]
		t.complete(r)
		t.mux.Handle(r.Method+" "+r.Pattern, found{r})
		if !slices.Contains(methods, r.Method) {
			methods = append(methods, r.Method)
		}
	}
	t.common, t.json = commonHeader(methods), []string{"application/json"}
	return t
}

// commonHeader is for all responses, errors included:
// https://spec.matrix.org/v1.19/client-server-api/#web-browser-clients. Headers
// that browsers would hide from web clients are exposed to them.
func commonHeader(methods []string) http.Header {
	return http.Header{
		"Access-Control-Allow-Origin":   {"*"},
		"Access-Control-Allow-Methods":  {strings.Join(methods, ", ")},
		"Access-Control-Allow-Headers":  {"X-Requested-With, Content-Type, Authorization, If-Match, If-None-Match"},
		"Access-Control-Expose-Headers": {"Retry-After, X-Request-Id, ETag"},
	}
}

// complete gives the route what its policy leaves to the table.
func (t *Table) complete(r *Route) {
	switch {
	case r.serve == nil:
		panic("endpoint: a route that was not made by On or Stream")
	case r.Realm == nil && r.Auth == Server:
		r.Realm = t.config.Servers
	case r.Realm == nil && r.needsCaller():
		r.Realm = t.config.Users
	}
	if r.Realm == nil && r.needsCaller() {
		panic(fmt.Sprintf("endpoint: %s %s: there is nothing to check callers with", r.Method, r.Pattern))
	}
	t.checkClass(r.Class, r.Method+" "+r.Pattern)
}

// checkClass panics unless there is a limit for a class.
func (t *Table) checkClass(name Class, where string) {
	if t.limiter != nil && name != "" && t.limiter.classes[name] == nil {
		panic(fmt.Sprintf("endpoint: %s: there is no limit for class %q, only for %q",
			where, name, slices.Sorted(maps.Keys(t.limiter.classes))))
	}
}

// Routes yields the routes in the order in which they were given, with the
// defaults of their policies filled in.
func (t *Table) Routes() iter.Seq[Route] {
	return func(yield func(Route) bool) {
		for _, r := range t.routes {
			if !yield(r) {
				return
			}
		}
	}
}
