package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// tokens is an Authenticator that knows callers by their token and servers by
// the text of their Authorization header.
type tokens map[string]Caller

func (a tokens) Authenticate(c Credentials) (Caller, error) {
	key := c.Token
	if key == "" {
		key = c.Request.Header.Get("Authorization")
	}
	switch caller, ok := a[key]; {
	case ok:
		return caller, nil
	case key == "broken":
		return Caller{}, errors.New("the database is away")
	case key == "nobody":
		return Caller{}, nil
	case strings.HasPrefix(key, "X-Signed "):
		return signedBy(c)
	case key == "logged-out":
		return Caller{}, mxerr.New(mxerr.UnknownToken, "Logged out").With("soft_logout", true)
	}
	return Caller{}, mxerr.New(mxerr.UnknownToken, "Unknown token")
}

// signedBy takes for the signature of a server that the body names its origin.
func signedBy(c Credentials) (Caller, error) {
	content, err := c.Content()
	if err != nil {
		return Caller{}, err
	}
	origin, ok := content.Get("origin").Text()
	if !ok {
		return Caller{}, mxerr.New(mxerr.Unauthorized, "No signature").WithStatus(http.StatusUnauthorized)
	}
	return Caller{Server: id.ServerName(origin)}, nil
}

var (
	alice = Caller{UserID: "@alice:a.test", DeviceID: "PHONE"}
	users = tokens{
		"alice":   alice,
		"bob":     {UserID: "@bob:a.test"},
		"guest":   {UserID: "@1:a.test", Guest: true},
		"locked":  {UserID: "@locked:a.test", Locked: true},
		"bridge":  {UserID: "@bridge:a.test", AppService: "irc", Unlimited: true},
		"X-Plain": {Server: "b.test"},
	}
)

var (
	asNone = Policy{Auth: None}
	asUser = Policy{Auth: User}
)

// A request is what a test sends; an empty method is GET.
type request struct {
	method, target, token, body string
	header                      map[string]string
}

func (r request) send(h http.Handler) *httptest.ResponseRecorder {
	if r.method == "" {
		r.method = "GET"
	}
	var body io.Reader
	if r.body != "" {
		body = strings.NewReader(r.body)
	}
	req := httptest.NewRequest(r.method, r.target, body)
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

// isRefusal checks the status and that the body is a standard error response
// with the code, and returns its message.
func isRefusal(t *testing.T, w *httptest.ResponseRecorder, status int, code mxerr.Code) string {
	t.Helper()
	var body struct {
		Code    mxerr.Code `json:"errcode"`
		Message *string    `json:"error"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Message == nil {
		t.Fatalf("got %d with body %q, want an error response", w.Code, w.Body)
	}
	if w.Code != status || body.Code != code {
		t.Errorf("got %d %s (%s), want %d %s", w.Code, body.Code, *body.Message, status, code)
	}
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("got Content-Type %q", got)
	}
	return *body.Message
}

func isJSON(t *testing.T, w *httptest.ResponseRecorder, status int, body string) {
	t.Helper()
	if w.Code != status || w.Body.String() != body {
		t.Errorf("got %d %s, want %d %s", w.Code, w.Body, status, body)
	}
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("got Content-Type %q", got)
	}
}

// quietly is a Config whose log is the test's failure.
func quietly(t testing.TB) Config {
	return Config{Users: users, Servers: users, Log: slog.New(slog.NewTextHandler(failing{t}, nil))}
}

type failing struct{ t testing.TB }

func (f failing) Write(p []byte) (int, error) {
	f.t.Errorf("logged: %s", p)
	return len(p), nil
}

type echoRequest struct {
	RoomID string `path:"roomID,optional"`
	Type   string `path:"type,optional"`
	Key    string `path:"key,optional"`
}

// echo answers with the pattern and the values that the path had for it.
func echo(pattern string) Route {
	type response struct {
		Route  string
		Values []string
	}
	return On(pattern, asNone, func(_ context.Context, _ Caller, req echoRequest) (response, error) {
		return response{pattern, []string{req.RoomID, req.Type, req.Key}}, nil
	})
}

func TestLookup(t *testing.T) {
	table := New(quietly(t), []Route{
		echo("GET /versions"),
		echo("POST /rooms/{roomID}/kick"),
		echo("PUT /rooms/{roomID}/state/{type}"),
		echo("PUT /rooms/{roomID}/state/{type}/{$}"),
		echo("PUT /rooms/{roomID}/state/{type}/{key}"),
		echo("GET /rooms/{roomID}/state/{type}/{key}"),
		echo("GET /rules/{$}"),
		echo("GET /query/{type}"),
		echo("GET /query/directory"),
	})
	const (
		state    = "PUT /rooms/{roomID}/state/{type}"
		stateKey = state + "/{key}"
	)
	for _, row := range []struct {
		name, method, target, route string
		values                      []string
	}{
		{"a literal path", "GET", "/versions", "GET /versions", []string{"", "", ""}},
		{"HEAD goes to GET", "HEAD", "/versions", "GET /versions", []string{"", "", ""}},
		{"a wildcard", "POST", "/rooms/!r:a.test/kick", "POST /rooms/{roomID}/kick", []string{"!r:a.test", "", ""}},
		{"escapes", "POST", "/rooms/%21r%3Aa.test/kick", "POST /rooms/{roomID}/kick", []string{"!r:a.test", "", ""}},
		{"an encoded slash", "POST", "/rooms/a%2Fb/kick", "POST /rooms/{roomID}/kick", []string{"a/b", "", ""}},
		{"an encoded percent sign before 2F", "POST", "/rooms/a%252Fb/kick", "POST /rooms/{roomID}/kick", []string{"a%2Fb", "", ""}},
		{"nothing but an encoded slash", "PUT", "/rooms/r/state/t/%2F", stateKey, []string{"r", "t", "/"}},
		{"nothing but an encoded slash, twice", "PUT", "/rooms/%2f/state/t/%2f", stateKey, []string{"/", "t", "/"}},
		{"two encoded slashes", "PUT", "/rooms/r/state/t/%2F%2F", stateKey, []string{"r", "t", "//"}},
		{"encoded dots", "PUT", "/rooms/r/state/t/%2e%2E", stateKey, []string{"r", "t", ".."}},
		{"dots within a segment", "PUT", "/rooms/r/state/..t/a..", stateKey, []string{"r", "..t", "a.."}},
		{"plus is not a space", "PUT", "/rooms/r/state/t/a+b%20c", stateKey, []string{"r", "t", "a+b c"}},
		{"no state key", "PUT", "/rooms/r/state/t", state, []string{"r", "t", ""}},
		{"an empty state key", "PUT", "/rooms/r/state/t/", state + "/{$}", []string{"r", "t", ""}},
		{"a state key", "PUT", "/rooms/r/state/t/k", stateKey, []string{"r", "t", "k"}},
		{"a route with a slash at its end", "GET", "/rules/", "GET /rules/{$}", []string{"", "", ""}},
		{"a literal before a wildcard", "GET", "/query/directory", "GET /query/directory", []string{"", "", ""}},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := request{method: row.method, target: row.target}.send(table)
			var got struct {
				Route  string
				Values []string
			}
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatalf("got %d %q", w.Code, w.Body)
			}
			if got.Route != row.route || !slices.Equal(got.Values, row.values) {
				t.Errorf("%s %s: got %s %q, want %s %q", row.method, row.target, got.Route, got.Values, row.route, row.values)
			}
		})
	}

	for _, row := range []struct {
		name, method, target string
		status               int
		code                 mxerr.Code
		allow                string
	}{
		{name: "an unknown path", target: "/nothing", status: 404, code: mxerr.Unrecognized},
		{name: "the root", target: "/", status: 404, code: mxerr.Unrecognized},
		{name: "a slash too many at the end", target: "/versions/", status: 404, code: mxerr.Unrecognized},
		{name: "a slash missing at the end", target: "/rules", status: 404, code: mxerr.Unrecognized},
		{name: "two slashes", target: "//versions", status: 404, code: mxerr.Unrecognized},
		{name: "an empty segment", method: "POST", target: "/rooms//kick", status: 404, code: mxerr.Unrecognized},
		{name: "dots", target: "/x/../versions", status: 404, code: mxerr.Unrecognized},
		{name: "a dot", target: "/./versions", status: 404, code: mxerr.Unrecognized},
		{name: "dots and an encoded slash", target: "/x/../%2F", status: 404, code: mxerr.Unrecognized},
		{name: "an encoded slash between segments", target: "/query%2Fdirectory", status: 404, code: mxerr.Unrecognized},
		{name: "an encoded slash for the whole rest", target: "/rules/%2F", status: 404, code: mxerr.Unrecognized},
		{name: "another method", method: "DELETE", target: "/versions", status: 405, code: mxerr.Unrecognized, allow: "GET, HEAD, OPTIONS"},
		{name: "another method of several", method: "POST", target: "/rooms/r/state/t/k", status: 405, code: mxerr.Unrecognized, allow: "GET, HEAD, PUT, OPTIONS"},
		{name: "a method in lower case", method: "get", target: "/versions", status: 405, code: mxerr.Unrecognized, allow: "GET, HEAD, OPTIONS"},
		{name: "CONNECT", method: "CONNECT", target: "a.test:443", status: 404, code: mxerr.Unrecognized},
		{name: "NUL in the path", method: "POST", target: "/rooms/a%00b/kick", status: 400, code: mxerr.InvalidParam},
		{name: "invalid UTF-8 in the path", method: "POST", target: "/rooms/a%FFb/kick", status: 400, code: mxerr.InvalidParam},
		{name: "NUL in no wildcard", target: "/versions%00", status: 404, code: mxerr.Unrecognized},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := request{method: row.method, target: row.target}.send(table)
			isRefusal(t, w, row.status, row.code)
			if got := w.Header().Get("Allow"); got != row.allow {
				t.Errorf("got Allow %q, want %q", got, row.allow)
			}
			if w.Header().Get("Location") != "" {
				t.Errorf("redirected to %q", w.Header().Get("Location"))
			}
		})
	}
}

func TestRoutes(t *testing.T) {
	table := New(quietly(t), []Route{
		echo("PUT /a/{key}"),
		On("GET /b", Policy{Auth: User, Class: "slow", BodyLimit: 7}, func(context.Context, Caller, Empty) (Empty, error) {
			return Empty{}, nil
		}),
	})
	var got []string
	for r := range table.Routes() {
		got = append(got, r.Method+" "+r.Pattern+" "+r.Auth.String()+" "+string(r.Class))
	}
	if want := []string{"PUT /a/{key} none ", "GET /b user slow"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for r := range table.Routes() {
		if r.BodyLimit != DefaultBodyLimit {
			t.Errorf("%s: got limit %d, want the default", r.Pattern, r.BodyLimit)
		}
		break
	}
}

type registration func()

type memberA struct {
	A string `json:"a"`
}

// on is a registration with request type Req.
func on[Req any](pattern string) registration {
	return func() {
		On(pattern, asNone, func(context.Context, Caller, Req) (Empty, error) { return Empty{}, nil })
	}
}

func TestRegistrationPanics(t *testing.T) {
	ok := func(context.Context, Caller, Empty) (Empty, error) { return Empty{}, nil }
	table := func(c Config, routes ...Route) registration { return func() { New(c, routes) } }
	for _, row := range []struct {
		name     string
		register registration
		want     string
	}{
		{"no method", on[Empty]("/a"), "not a method, a space and a path"},
		{"OPTIONS", on[Empty]("OPTIONS /a"), "the method is not"},
		{"a host", on[Empty]("GET a.test/a"), "does not begin with a slash"},
		{"a slash at the end", on[Empty]("GET /a/"), "end it with /{$}"},
		{"a wildcard for the rest", on[Empty]("GET /a/{rest...}"), "for several segments"},
		{"a wildcard without field", on[Empty]("GET /a/{roomID}"), "no field for the wildcard {roomID}"},
		{"a field without wildcard", on[struct {
			A string `path:"a"`
		}]("GET /a"), "field A: the pattern has no wildcard {a}"},
		{"a slice for a wildcard", on[struct {
			A []string `path:"a"`
		}]("GET /{a}"), "one value, not a slice"},
		{"a field without tag", on[struct{ A string }]("GET /a"), "no tag says where it comes from"},
		{"an unexported field with tag", on[struct {
			a string `query:"a"`
		}]("GET /a"), "not exported"},
		{"two sources", on[struct {
			A string `query:"a" json:"a"`
		}]("GET /a"), "both query and json"},
		{"a tag without name", on[struct {
			A string `json:",omitempty"`
		}]("PUT /a"), "has no name"},
		{"two fields for one member", on[struct {
			memberA
			B string `json:"a"`
		}]("PUT /a"), "a second field for a"},
		{"two fields for one parameter", on[struct {
			A string `query:"a"`
			B string `query:"a"`
		}]("PUT /a"), "a second field for a"},
		{"a body for GET", on[struct {
			A string `json:"a"`
		}]("GET /a"), "GET does not have"},
		{"a type that no text has", on[struct {
			A map[string]string `query:"a"`
		}]("GET /a"), "cannot be read from a text"},
		{"a raw body in a string", on[struct {
			A string `body:"raw"`
		}]("PUT /a"), "canonjson.Value or []byte"},
		{"another body", on[struct {
			A []byte `body:"form"`
		}]("PUT /a"), "can only be raw"},
		{"an unknown code", on[struct {
			A string `json:"a" required:"yes"`
		}]("PUT /a"), "neither true nor a code"},
		{"no struct", on[string]("GET /a"), "not a struct"},
		{"no auth", func() { On("GET /a", Policy{}, ok) }, "does not say who may call"},
		{"a negative limit", func() { On("GET /a", Policy{Auth: None, BodyLimit: -1}, ok) }, "negative"},
		{"a realm for nobody", func() { On("GET /a", Policy{Auth: None, Realm: users}, ok) }, "realm"},
		{"the same route twice", table(Config{}, echo("GET /a"), echo("GET /a")), "conflicts"},
		{"no authenticator for users", table(Config{Servers: users}, On("GET /a", asUser, ok)), "nothing to check callers with"},
		{"no authenticator for servers", table(Config{Users: users}, On("GET /a", Policy{Auth: Server}, ok)), "nothing to check callers with"},
		{"a route out of thin air", table(Config{}, Route{Method: "GET", Pattern: "/a"}), "not made by On or Stream"},
		{"an unknown class", table(Config{Limits: map[Class]Limit{"a": {1, 1}}},
			On("GET /a", Policy{Auth: None, Class: "b"}, ok)), `no limit for class "b"`},
		{"a limit without burst", table(Config{Limits: map[Class]Limit{"a": {PerSecond: 1}}}), "makes no sense"},
		{"a limit without rate", table(Config{Limits: map[Class]Limit{"a": {Burst: 1}}}), "makes no sense"},
		{"a limit that never recovers", table(Config{Limits: map[Class]Limit{"a": {1e-300, 1}}}), "makes no sense"},
	} {
		t.Run(row.name, func(t *testing.T) {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, row.want) {
					t.Errorf("got panic %q, want it to contain %q", got, row.want)
				}
			}()
			row.register()
			t.Error("no panic")
		})
	}
}

func TestCORS(t *testing.T) {
	table := New(quietly(t), []Route{echo("GET /a"), On("PUT /b", asUser, func(context.Context, Caller, Empty) (Empty, error) {
		t.Error("the handler was called")
		return Empty{}, nil
	})})
	for _, row := range []struct {
		name    string
		request request
		status  int
	}{
		{"a response", request{target: "/a"}, 200},
		{"an unknown path", request{target: "/c"}, 404},
		{"a wrong method", request{method: "POST", target: "/a"}, 405},
		{"a missing token", request{method: "PUT", target: "/b"}, 401},
		{"a preflight", request{method: "OPTIONS", target: "/b"}, 204},
		{"a preflight of an unknown path", request{method: "OPTIONS", target: "/c//d"}, 204},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := row.request.send(table)
			if w.Code != row.status {
				t.Errorf("got %d, want %d", w.Code, row.status)
			}
			for name, want := range map[string]string{
				"Access-Control-Allow-Origin":  "*",
				"Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, OPTIONS",
				"Access-Control-Allow-Headers": "X-Requested-With, Content-Type, Authorization, If-Match, If-None-Match",
			} {
				if got := w.Header().Get(name); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
			if row.status == 204 && w.Body.Len() > 0 {
				t.Errorf("got body %q", w.Body)
			}
		})
	}
}

func TestCORSNamesFurtherMethods(t *testing.T) {
	w := request{method: "OPTIONS", target: "/a"}.send(New(Config{}, []Route{echo("PATCH /a")}))
	if got, want := w.Header().Get("Access-Control-Allow-Methods"), "GET, POST, PUT, DELETE, OPTIONS, PATCH"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
