package apitest

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"parley/internal/config"
	"parley/internal/endpoint"
	"parley/internal/hstest"
	"parley/matrix/mxerr"
)

// needsToken reports whether somebody without an access token is refused.
func needsToken(a endpoint.Auth) bool {
	switch a {
	case endpoint.User, endpoint.UserOrGuest, endpoint.Admin, endpoint.AppService:
		return true
	}
	return false
}

// ownTokens are the routes that anybody may call, and that want a token of another kind.
var ownTokens = map[string]string{
	"POST /_matrix/client/v3/refresh":            "the refresh token is not known",
	"GET /_matrix/federation/v1/openid/userinfo": "the token of OpenID is in the query",
}

// TestEveryRouteRefusesWhoHasNoTokenOrABadOne asks each route for clients as it should be
// asked, but for the access token. hstest compares the answers with the specification.
func TestEveryRouteRefusesWhoHasNoTokenOrABadOne(t *testing.T) {
	s := newStage(t)
	v := &values{s: s, a: s.attacker()}
	nobody, stranger := &hstest.User{Server: s.Server}, &hstest.User{Server: s.Server, Token: "syt_bm9ib2R5_AAAAAAAAAAAAAAAAAAAA_000000"}
	for _, r := range s.routes {
		if r.Auth == endpoint.Server {
			continue // see TestWhoDoesNotSignIsNoServer
		}
		target := v.target(r, nil, nil, v.query(s.queries(r), "", ""))
		var body any
		if r.Method != http.MethodGet {
			body = string(v.body(s.fields(r), nil))
		}
		for _, c := range []struct {
			who     string
			user    *hstest.User
			refused bool
			code    mxerr.Code
		}{
			{"without a token", nobody, needsToken(r.Auth), mxerr.MissingToken},
			{"with a bad token", stranger, needsToken(r.Auth) || r.Auth == endpoint.Optional, mxerr.UnknownToken},
		} {
			status, answer := c.user.Do(r.Method, target, body)
			is := text(answer, "errcode") == string(c.code)
			if is != c.refused && ownTokens[routeKey(r)] == "" || c.refused && status != http.StatusUnauthorized {
				t.Errorf("%s is for %v, and %s answers %d %.200s", routeKey(r), r.Auth, c.who, status, answer)
			}
		}
	}
}

// takesJSON reports whether a route reads a body that is JSON.
func takesJSON(r endpoint.Route) (takes bool) {
	for _, tag := range []string{"json", "body"} {
		tagged(r.Request(), tag, func(string, reflect.Type) { takes = true })
	}
	return takes && r.Method != http.MethodGet
}

// withoutJSON are the operations that change something and have no body in the
// specification, or one that is no JSON.
var withoutJSON = []string{
	"DELETE /_matrix/client/v3/directory/room/{}",
	"DELETE /_matrix/client/v3/profile/{}/{}",
	"DELETE /_matrix/client/v3/pushrules/global/{}/{}",
	"DELETE /_matrix/client/v3/room_keys/keys",
	"DELETE /_matrix/client/v3/room_keys/keys/{}",
	"DELETE /_matrix/client/v3/room_keys/keys/{}/{}",
	"DELETE /_matrix/client/v3/room_keys/version/{}",
	"DELETE /_matrix/client/v3/user/{}/rooms/{}/tags/{}",
	"POST /_matrix/client/v3/logout",
	"POST /_matrix/client/v3/logout/all",
	"POST /_matrix/client/v3/rooms/{}/forget",
	"POST /_matrix/media/v1/create",
	"POST /_matrix/media/v3/upload",
	"PUT /_matrix/media/v3/upload/{}/{}",
}

// TestEveryRouteRefusesBrokenJSON sends each route that wants JSON what is none, and what
// is none that it wants. Of those for servers see TestServersThatSendBrokenJSONAreToldSo.
func TestEveryRouteRefusesBrokenJSON(t *testing.T) {
	services := registerService(t)
	s := newStage(t, func(c *config.Config) { c.AppServices.Dir = services })
	v := &values{s: s, a: s.attacker()}
	if err := s.Accounts().SetAdmin(t.Context(), v.a.user, true); err != nil {
		t.Fatal(err)
	}
	for _, r := range s.routes {
		if r.Auth == endpoint.Server {
			continue
		}
		_, specified := s.ops[routeKey(r)]
		switch {
		case takesJSON(r):
		case specified && r.Method != http.MethodGet && !slices.Contains(withoutJSON, routeKey(r)):
			t.Errorf("%s takes whatever body comes", routeKey(r))
			continue
		default:
			continue
		}
		target := v.target(r, nil, nil, v.query(s.queries(r), "", ""))
		u := &hstest.User{Server: s.Server, Token: v.a.token}
		if r.Auth == endpoint.AppService {
			u.Token = "as"
		}
		for _, c := range []struct {
			body string
			code mxerr.Code
		}{
			{`{`, mxerr.NotJSON}, {`{"a":1`, mxerr.NotJSON}, {`{"a":}`, mxerr.NotJSON}, {"{\"a\":\"\xff\"}", mxerr.NotJSON}, {`[]`, mxerr.BadJSON}, {`"x"`, mxerr.BadJSON}, {`1`, mxerr.BadJSON},
		} {
			status, answer := u.Do(r.Method, target, c.body)
			if status != http.StatusBadRequest || text(answer, "errcode") != string(c.code) {
				t.Errorf("%s with %s: got %d %.200s, want 400 %s", routeKey(r), strings.ToValidUTF8(c.body, "?"), status, answer, c.code)
			}
		}
	}
}
