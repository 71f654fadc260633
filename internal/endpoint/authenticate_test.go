package endpoint

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"parley/matrix/mxerr"
)

type identity struct{ Who, Addr string }

// whoami answers with the caller.
func whoami(pattern string, policy Policy) Route {
	return On(pattern, policy, func(_ context.Context, c Caller, _ Empty) (identity, error) {
		return identity{string(c.UserID) + string(c.Server), c.Addr.String()}, nil
	})
}

func TestAuthenticate(t *testing.T) {
	routes := []Route{
		whoami("GET /none", asNone),
		whoami("GET /optional", Policy{Auth: Optional}),
		whoami("GET /login", Policy{Auth: NoneOrAppService}),
		whoami("GET /user", asUser),
		whoami("GET /guest", Policy{Auth: UserOrGuest}),
		whoami("GET /logout", Policy{Auth: UserOrGuest, AllowLocked: true}),
		whoami("GET /appservice", Policy{Auth: AppService}),
		whoami("GET /server", Policy{Auth: Server}),
		whoami("PUT /server", Policy{Auth: Server, BodyLimit: 40}),
		whoami("GET /realm", Policy{Auth: User, Realm: tokens{"carol": {UserID: "@carol:id.test"}}}),
	}
	strict := New(quietly(t), routes)
	config := quietly(t)
	config.QueryTokens = true
	old := New(config, routes)

	header := func(value string) map[string]string { return map[string]string{"Authorization": value} }
	for _, row := range []struct {
		name    string
		table   *Table
		request request
		who     string // the user or server, "" for nobody
		status  int    // of a refusal
		code    mxerr.Code
	}{
		{name: "no token where none is needed", request: request{target: "/none"}},
		{name: "a bad token where none is needed", request: request{target: "/none", token: "x"}},
		{name: "no token where it is optional", request: request{target: "/optional"}},
		{name: "a token where it is optional", request: request{target: "/optional", token: "alice"}, who: "@alice:a.test"},
		{name: "a bad token where it is optional", request: request{target: "/optional", token: "x"}, status: 401, code: mxerr.UnknownToken},
		{name: "no token where services are wanted apart", request: request{target: "/login"}},
		{name: "a bad token there", request: request{target: "/login", token: "x"}},
		{name: "a user there", request: request{target: "/login", token: "alice"}},
		{name: "a locked user there", request: request{target: "/login", token: "locked"}},
		{name: "an application service there", request: request{target: "/login", token: "bridge"}, who: "@bridge:a.test"},
		{name: "a user", request: request{target: "/user", token: "alice"}, who: "@alice:a.test"},
		{name: "no token", request: request{target: "/user"}, status: 401, code: mxerr.MissingToken},
		{name: "an empty token", request: request{target: "/user", header: header("Bearer ")}, status: 401, code: mxerr.MissingToken},
		{name: "another scheme", request: request{target: "/user", header: header("Basic alice")}, status: 401, code: mxerr.MissingToken},
		{name: "no scheme", request: request{target: "/user", header: header("alice")}, status: 401, code: mxerr.MissingToken},
		{name: "the scheme in lower case", request: request{target: "/user", header: header("bearer alice")}, who: "@alice:a.test"},
		{name: "an unknown token", request: request{target: "/user", token: "x"}, status: 401, code: mxerr.UnknownToken},
		{name: "a token in the query", request: request{target: "/user?access_token=alice"}, status: 401, code: mxerr.MissingToken},
		{name: "a token in the query, if allowed", table: old, request: request{target: "/user?access_token=alice"}, who: "@alice:a.test"},
		{name: "the header before the query", table: old, request: request{target: "/user?access_token=alice", token: "bob"}, who: "@bob:a.test"},
		{name: "a malformed query with a token", table: old, request: request{target: "/user?access_token=%zz"}, status: 400, code: mxerr.InvalidParam},
		{name: "a guest where users are wanted", request: request{target: "/user", token: "guest"}, status: 403, code: mxerr.GuestAccessForbidden},
		{name: "a guest", request: request{target: "/guest", token: "guest"}, who: "@1:a.test"},
		{name: "a locked account", request: request{target: "/guest", token: "locked"}, status: 401, code: mxerr.UserLocked},
		{name: "a locked account logs out", request: request{target: "/logout", token: "locked"}, who: "@locked:a.test"},
		{name: "an application service", request: request{target: "/appservice", token: "bridge"}, who: "@bridge:a.test"},
		{name: "an application service as user", request: request{target: "/user", token: "bridge"}, who: "@bridge:a.test"},
		{name: "a user as application service", request: request{target: "/appservice", token: "alice"}, status: 403, code: mxerr.Forbidden},
		{name: "a server", request: request{target: "/server", header: header("X-Plain")}, who: "b.test"},
		{name: "a server signs the body", request: request{method: "PUT", target: "/server", body: `{"origin":"c.test"}`,
			header: header("X-Signed key")}, who: "c.test"},
		{name: "a server does not sign the body", request: request{method: "PUT", target: "/server", body: `{}`,
			header: header("X-Signed key")}, status: 401, code: mxerr.Unauthorized},
		{name: "a server signs what is no JSON", request: request{method: "PUT", target: "/server", body: `{`,
			header: header("X-Signed key")}, status: 400, code: mxerr.NotJSON},
		{name: "a server signs too much", request: request{method: "PUT", target: "/server", body: `{"origin":"` + strings.Repeat("c", 40) + `"}`,
			header: header("X-Signed key")}, status: 413, code: mxerr.TooLarge},
		{name: "another realm", request: request{target: "/realm", token: "carol"}, who: "@carol:id.test"},
		{name: "another realm's stranger", request: request{target: "/realm", token: "alice"}, status: 401, code: mxerr.UnknownToken},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.table == nil {
				row.table = strict
			}
			w := row.request.send(row.table)
			if row.code != "" {
				isRefusal(t, w, row.status, row.code)
				return
			}
			var got identity
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
				t.Fatalf("got %d %s", w.Code, w.Body)
			}
			if want := (identity{row.who, "192.0.2.1"}); got != want { // the address is httptest's
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestSoftLogoutIsSaid(t *testing.T) {
	table := New(quietly(t), []Route{whoami("GET /a", asUser)})
	for token, want := range map[string]string{"logged-out": `"soft_logout":true`, "locked": `"soft_logout":true`} {
		if w := (request{target: "/a", token: token}).send(table); !strings.Contains(w.Body.String(), want) {
			t.Errorf("token %s: got %s, want %s in it", token, w.Body, want)
		}
	}
}

func TestAuthenticatorFaults(t *testing.T) {
	for token, want := range map[string]string{"broken": "the database is away", "nobody": "does not say who"} {
		var log bytes.Buffer
		table := New(Config{Users: users, Log: slog.New(slog.NewTextHandler(&log, nil))}, []Route{whoami("GET /a", asUser)})
		isRefusal(t, request{target: "/a", token: token}.send(table), 500, mxerr.Unknown)
		if !strings.Contains(log.String(), want) {
			t.Errorf("token %s: logged %q, want %q in it", token, &log, want)
		}
	}
}

// unread fails the test when it is read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

func TestBodyIsNotReadBeforeAuthentication(t *testing.T) {
	table := New(quietly(t), []Route{On("PUT /a", asUser, func(context.Context, Caller, struct {
		A string `json:"a"`
	}) (Empty, error) {
		return Empty{}, nil
	})})
	r, err := http.NewRequest("PUT", "/a", unread{t})
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{"", "x", "guest", "locked"} {
		r.Header.Set("Authorization", "Bearer "+token)
		table.ServeHTTP(discard{http.Header{}}, r)
	}
}

// discard is a ResponseWriter for what nobody looks at.
type discard struct{ header http.Header }

func (d discard) Header() http.Header       { return d.header }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

// whence is an Authenticator that notes where requests come from.
type whence struct{ seen *string }

func (w whence) Authenticate(c Credentials) (Caller, error) {
	*w.seen = c.Addr.String()
	return Caller{UserID: "@alice:a.test"}, nil
}

func TestAuthenticatorsLearnTheAddress(t *testing.T) {
	var seen string
	config := quietly(t)
	config.Users = whence{&seen}
	request{target: "/a", token: "x"}.send(New(config, []Route{whoami("GET /a", asUser)}))
	if seen != "192.0.2.1" {
		t.Errorf("got %q, want the address of the request", seen)
	}
}
