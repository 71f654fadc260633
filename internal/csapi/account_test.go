package csapi

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"parley/internal/account"
	"parley/internal/endpoint"
	"parley/internal/journal"
	"parley/internal/openapi"
	"parley/internal/profile"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
)

// accountScene is the routes of accounts, with real accounts behind them.
type accountScene struct {
	*account.Accounts
	t        *testing.T
	table    http.Handler
	profiles *profile.Keeper
	db       *store.DB
}

func newAccountScene(t *testing.T, settings Settings) *accountScene {
	return newAccountSceneWith(t, settings, account.Options{})
}

func newAccountSceneWith(t *testing.T, settings Settings, o account.Options) *accountScene {
	o.Server, o.Argon2, o.Created = "a.test", account.Argon2{Memory: 8, Time: 1, Threads: 1}, profile.Begin
	db := storetest.Open(t, t.TempDir()+"/parley.db")
	a := account.New(db, o)
	s := New(Parts{Name: "a.test", Settings: settings, Accounts: a, Profiles: profilesOf(t, db)})
	scene := &accountScene{a, t, nil, s.Profiles, db}
	scene.serve(s)
	return scene
}

// profilesOf returns the profiles in a database, of users who are in no rooms.
func profilesOf(t *testing.T, db *store.DB) *profile.Keeper {
	j, err := journal.Open(t.Context(), db, func() string { return "epoch" }, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	k := profile.New(profile.Parts{DB: db, Journal: j, Rooms: profile.Rooms{
		Scopes: func(*store.Tx, id.UserID) ([]journal.Scope, error) { return nil, nil },
	}})
	running, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { j.Run(running) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return k
}

// serve has the routes of accounts of a server answer.
func (scene *accountScene) serve(s *Server) {
	var routes []endpoint.Route
	for _, some := range [][]endpoint.Route{
		s.versionsRoutes(), s.wellKnownRoutes(), s.capabilitiesRoutes(), s.registrationRoutes(), s.registrationTokenRoutes(),
		s.synapseRegisterRoutes(), s.loginRoutes(), s.refreshRoutes(), s.loginTokenRoutes(), s.openIDRoutes(), s.logoutRoutes(), s.whoamiRoutes(), s.deviceRoutes(), s.passwordRoutes(),
		s.authFallbackRoutes(), s.loginFallbackRoutes(), s.deactivationRoutes(), s.adminRoutes(), s.voipRoutes(),
	} {
		routes = append(routes, some...)
	}
	scene.table = openapi.Watch(scene.t, endpoint.New(endpoint.Config{Users: Users(scene.Accounts, nil)}, routes))
}

// answer is a response, and what its body has.
type answer struct {
	status int
	text   string
	body   map[string]any
}

func (a answer) get(name string) string {
	s, _ := a.body[name].(string)
	return s
}

// call sends a request. Paths are below /_matrix/client/v3, unless they begin
// with two slashes.
func (s *accountScene) call(token, method, path, body string, args ...any) answer {
	s.t.Helper()
	if other, ok := strings.CutPrefix(path, "//"); ok {
		path = "/" + other
	} else {
		path = "/_matrix/client/v3" + path
	}
	var content io.Reader
	if body != "" {
		content = strings.NewReader(fmt.Sprintf(body, args...))
	}
	r := httptest.NewRequest(method, path, content)
	r.Header.Set("User-Agent", "a client")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	s.table.ServeHTTP(w, r)
	a := answer{status: w.Code, text: w.Body.String()}
	if err := json.Unmarshal(w.Body.Bytes(), &a.body); err != nil {
		s.t.Fatalf("%s %s: %d %s: %v", method, path, w.Code, w.Body, err)
	}
	return a
}

// want is a status, and errcode if that is not 200.
func (s *accountScene) want(a answer, status int, code string) answer {
	s.t.Helper()
	if a.status != status || a.get("errcode") != code {
		s.t.Errorf("got %d %s, want %d %s", a.status, a.text, status, code)
	}
	return a
}

const goodPassword = "correct horse"

// register makes an account in an open server and returns its token.
func (s *accountScene) register(name string) string {
	s.t.Helper()
	a := s.call("", "POST", "/register", `{"username":%q,"password":%q,"device_id":"FIRST","auth":{"type":"m.login.dummy"}}`, name, goodPassword)
	return s.want(a, 200, "").get("access_token")
}

func (s *accountScene) login(name, device string) string {
	s.t.Helper()
	a := s.call("", "POST", "/login", `{"type":"m.login.password","identifier":{"type":"m.id.user","user":%q},"password":%q,"device_id":%q}`,
		name, goodPassword, device)
	return s.want(a, 200, "").get("access_token")
}

func TestRegister(t *testing.T) {
	s := newAccountScene(t, Settings{Registration: RegistrationOpen, BaseURL: "https://a.test"})
	s.want(s.call("", "GET", "/register/available?username=alice", ""), 200, "")
	first := s.want(s.call("", "POST", "/register", `{"username":"Alice","password":%q,"initial_device_display_name":"phone"}`, goodPassword), 401, "")
	if first.text != fmt.Sprintf(`{"flows":[{"stages":["m.login.dummy"]},{"stages":["m.login.registration_token"]}],"params":{},"session":%q}`, first.get("session")) {
		t.Errorf("got %s", first.text)
	}
	done := s.want(s.call("", "POST", "/register", `{"auth":{"session":%q,"type":"m.login.dummy"}}`, first.get("session")), 200, "")
	if done.get("user_id") != "@alice:a.test" || done.get("home_server") != "a.test" || done.body["well_known"] != nil {
		t.Errorf("got %s", done.text)
	}
	who := s.want(s.call(done.get("access_token"), "GET", "/account/whoami", ""), 200, "")
	if who.text != fmt.Sprintf(`{"user_id":"@alice:a.test","device_id":%q,"is_guest":false}`, done.get("device_id")) {
		t.Errorf("got %s", who.text)
	}
	for _, row := range []struct {
		name, query, body string
		status            int
		code              string
	}{
		{"a taken name", "", `{"username":"alice"}`, 400, "M_USER_IN_USE"},
		{"a bad name", "", `{"username":"a b"}`, 400, "M_INVALID_USERNAME"},
		{"a name that is no string", "", `{"username":1}`, 400, "M_BAD_JSON"},
		{"a weak password", "", `{"username":"bob","password":"x"}`, 400, "M_WEAK_PASSWORD"},
		{"a password that is no string", "", `{"password":{}}`, 400, "M_BAD_JSON"},
		{"no JSON", "", `{`, 400, "M_NOT_JSON"},
		{"an array", "", `[]`, 400, "M_BAD_JSON"},
		{"nothing", "", ``, 401, ""},
		{"a device ID with NUL", "", `{"device_id":"\u0000","auth":{"type":"m.login.dummy"}}`, 400, "M_INVALID_PARAM"},
		{"a device name with NUL", "", `{"initial_device_display_name":"\u0000","auth":{"type":"m.login.dummy"}}`, 400, "M_INVALID_PARAM"},
		{"another kind", "?kind=robot", `{}`, 400, "M_INVALID_PARAM"},
		{"a guest where there are none", "?kind=guest", `{}`, 403, "M_GUEST_ACCESS_FORBIDDEN"},
		{"too large", "", `{"x":"` + strings.Repeat("x", interactionLimit) + `"}`, 413, "M_TOO_LARGE"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s.want(s.call("", "POST", "/register"+row.query, "%s", row.body), row.status, row.code)
		})
	}
	quiet := s.want(s.call("", "POST", "/register?kind=user", `{"username":"bob","inhibit_login":true,"auth":{"type":"m.login.dummy"}}`), 200, "")
	if quiet.text != `{"user_id":"@bob:a.test","home_server":"a.test"}` {
		t.Errorf("got %s", quiet.text)
	}
	s.want(s.call("", "GET", "/register/available?username=alice", ""), 400, "M_USER_IN_USE")
	s.want(s.call("", "GET", "/register/available?username=a+b", ""), 400, "M_INVALID_USERNAME")
	s.want(s.call("", "GET", "/register/available", ""), 400, "M_MISSING_PARAM")
}

func TestRegisterWithAToken(t *testing.T) {
	s := newAccountScene(t, Settings{Registration: RegistrationToken})
	const validity = "//_matrix/client/v1/register/m.login.registration_token/validity?token="
	token, err := s.EnsureFirstToken(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	first := s.want(s.call("", "POST", "/register", `{"username":"alice","password":%q}`, goodPassword), 401, "")
	s.want(s.call("", "POST", "/register", `{"auth":{"session":%q,"type":"m.login.dummy"}}`, first.get("session")), 401, "M_FORBIDDEN")
	s.want(s.call("", "POST", "/register", `{"auth":{"session":%q,"type":"m.login.registration_token","token":"x"}}`, first.get("session")), 401, "M_FORBIDDEN")
	if a := s.call("", "GET", validity+token, ""); a.text != `{"valid":true}` {
		t.Errorf("got %s", a.text)
	}
	s.want(s.call("", "POST", "/register", `{"auth":{"session":%q,"type":"m.login.registration_token","token":%q}}`, first.get("session"), token), 200, "")
	if info, err := s.Info(context.Background(), "@alice:a.test"); err != nil || !info.Admin {
		t.Errorf("got %+v, %v", info, err)
	}
	if a := s.call("", "GET", validity+token, ""); a.text != `{"valid":false}` {
		t.Errorf("got %s", a.text)
	}
	s.want(s.call("", "POST", "/register", `{"auth":{"type":"m.login.registration_token","token":%q}}`, token), 401, "M_FORBIDDEN")
	s.login("alice", "")
}

func TestNobodyRegistersWhereThatIsClosed(t *testing.T) {
	s := newAccountScene(t, Settings{})
	s.want(s.call("", "POST", "/register", `{}`), 403, "M_FORBIDDEN")
	s.want(s.call("", "GET", "//_matrix/client/v1/register/m.login.registration_token/validity?token=x", ""), 403, "M_FORBIDDEN")
	s.want(s.call("", "POST", "//_synapse/admin/v1/register", `{}`), 404, "M_UNRECOGNIZED")
	s.want(s.call("", "GET", "//.well-known/matrix/client", ""), 404, "M_UNRECOGNIZED")
	s.want(s.call("", "GET", "//.well-known/matrix/support", ""), 404, "M_UNRECOGNIZED")
}

func TestGuests(t *testing.T) {
	s := newAccountScene(t, Settings{Guests: true})
	guest := s.want(s.call("", "POST", "/register?kind=guest", `{"username":"alice","device_id":"MINE","password":7}`), 200, "")
	if strings.HasPrefix(guest.get("user_id"), "@alice") || guest.get("device_id") == "MINE" {
		t.Errorf("got %s", guest.text)
	}
	token := guest.get("access_token")
	if who := s.call(token, "GET", "/account/whoami", ""); who.body["is_guest"] != true {
		t.Errorf("got %s", who.text)
	}
	s.want(s.call(token, "GET", "/devices", ""), 200, "")
	s.want(s.call(token, "POST", "/account/password", `{"new_password":"12345678"}`), 403, "M_GUEST_ACCESS_FORBIDDEN")
	s.want(s.call(token, "POST", "/account/deactivate", `{}`), 403, "M_GUEST_ACCESS_FORBIDDEN")
	s.want(s.call(token, "POST", "/delete_devices", `{}`), 403, "M_GUEST_ACCESS_FORBIDDEN")
	s.want(s.call(token, "POST", "/logout", ``), 200, "")
}

func TestAGuestBecomesAUserOfTheSameName(t *testing.T) {
	s := newAccountScene(t, Settings{Registration: RegistrationOpen, Guests: true})
	s.register("alice")
	guest := s.want(s.call("", "POST", "/register?kind=guest", `{"initial_device_display_name":"old","refresh_token":true}`), 200, "")
	if guest.body["refresh_token"] != nil {
		t.Errorf("got %s, and all but the name of the device is to be ignored", guest.text)
	}
	token, name := guest.get("access_token"), strings.TrimSuffix(strings.TrimPrefix(guest.get("user_id"), "@"), ":a.test")
	s.want(s.call("", "POST", "/register", `{"guest_access_token":%q}`, token), 400, "M_MISSING_PARAM")
	s.want(s.call("", "POST", "/register", `{"username":"alice","guest_access_token":%q}`, token), 403, "M_FORBIDDEN")
	s.want(s.call("", "POST", "/register", `{"username":%q,"guest_access_token":"x"}`, name), 401, "M_UNKNOWN_TOKEN")
	s.want(s.call("", "POST", "/register", `{"username":%q}`, name), 400, "M_USER_IN_USE")
	s.want(s.call("", "POST", "/register", `{"org.parley.guest":%q,"username":"eve","auth":{"type":"m.login.dummy"}}`, guest.get("user_id")), 200, "")
	session := s.want(s.call("", "POST", "/register", `{"username":%q,"guest_access_token":%q,"password":%q}`, name, token, goodPassword), 401, "").get("session")
	done := s.want(s.call("", "POST", "/register", `{"auth":{"type":"m.login.dummy","session":%q}}`, session), 200, "")
	if done.get("user_id") != guest.get("user_id") {
		t.Errorf("got %s", done.text)
	}
	for _, token := range []string{token, done.get("access_token"), s.login(name, "")} {
		if who := s.want(s.call(token, "GET", "/account/whoami", ""), 200, ""); who.body["is_guest"] != false {
			t.Errorf("got %s", who.text)
		}
	}
	s.want(s.call("", "POST", "/register", `{"username":%q,"guest_access_token":%q}`, name, token), 403, "M_FORBIDDEN")
}

func TestDeactivate(t *testing.T) {
	s := newAccountScene(t, Settings{Registration: RegistrationOpen})
	token := s.register("alice")
	session := s.want(s.call(token, "POST", "/account/deactivate", `{"erase":true}`), 401, "").get("session")
	done := s.want(s.call(token, "POST", "/account/deactivate", `{"auth":{"session":%q,"type":"m.login.password","user":"alice","password":%q}}`, session, goodPassword), 200, "")
	if done.text != `{"id_server_unbind_result":"success"}` {
		t.Errorf("got %s", done.text)
	}
	s.want(s.call(token, "GET", "/account/whoami", ""), 401, "M_UNKNOWN_TOKEN")
	s.want(s.call("", "POST", "/login", `{"type":"m.login.password","user":"alice","password":%q}`, goodPassword), 403, "M_USER_DEACTIVATED")
	s.want(s.call("", "GET", "/register/available?username=alice", ""), 400, "M_USER_IN_USE")
}

func TestRegisterWithTheSharedSecret(t *testing.T) {
	s := newAccountScene(t, Settings{SharedSecret: "hush"})
	const path = "//_synapse/admin/v1/register"
	mac := func(parts ...string) string {
		h := hmac.New(sha1.New, []byte("hush"))
		io.WriteString(h, strings.Join(parts, "\x00"))
		return hex.EncodeToString(h.Sum(nil))
	}
	nonce := func() string { return s.want(s.call("", "GET", path, ""), 200, "").get("nonce") }
	const request = `{"nonce":%q,"username":%q,"password":%q,"admin":%t,"mac":%q}`

	n := nonce()
	s.want(s.call("", "POST", path, request, n, "alice", goodPassword, true, mac(n, "alice", goodPassword, "notadmin")), 403, "M_FORBIDDEN")
	done := s.want(s.call("", "POST", path, request, n, "alice", goodPassword, true, mac(n, "alice", goodPassword, "admin")), 200, "")
	who := s.want(s.call(done.get("access_token"), "GET", "/account/whoami", ""), 200, "")
	if info, err := s.Info(context.Background(), id.UserID(who.get("user_id"))); err != nil || !info.Admin || info.UserID != "@alice:a.test" {
		t.Errorf("got %+v, %v", info, err)
	}
	s.want(s.call("", "POST", path, request, n, "bob", goodPassword, false, mac(n, "bob", goodPassword, "notadmin")), 403, "M_FORBIDDEN")
	n = nonce()
	s.want(s.call("", "POST", path, request, n, "alice", goodPassword, false, mac(n, "alice", goodPassword, "notadmin")), 400, "M_USER_IN_USE")
	n = nonce()
	s.want(s.call("", "POST", path, request, n, "bob", "short", false, mac(n, "bob", "short", "notadmin")), 400, "M_WEAK_PASSWORD")
	s.want(s.call("", "POST", path, `{}`), 400, "M_MISSING_PARAM")
	n = nonce()
	s.want(s.call("", "POST", path, `{"nonce":%q,"username":"bob","password":%q,"displayname":%q,"mac":%q}`,
		n, goodPassword, strings.Repeat("B", 257), mac(n, "bob", goodPassword, "notadmin")), 400, "M_INVALID_PARAM")
	quiet := s.want(s.call("", "POST", path, `{"nonce":%q,"username":"bob","password":%q,"admin":null,"displayname":"Bob","inhibit_login":true,"user_type":"bot","mac":%q}`,
		n, goodPassword, mac(n, "bob", goodPassword, "notadmin", "bot")), 200, "")
	if p, err := s.profiles.Get(context.Background(), "@bob:a.test"); err != nil || string(p) != `{"displayname":"Bob"}` {
		t.Errorf("the profile is %s, %v", p, err)
	}
	if quiet.get("access_token") != "" || quiet.get("user_id") != "@bob:a.test" {
		t.Errorf("got %s", quiet.text)
	}
}

func TestWhatTheServerSaysOfItself(t *testing.T) {
	s := newAccountScene(t, Settings{
		Registration: RegistrationOpen, BaseURL: "https://matrix.a.test",
		Support:          Support{Contacts: []Contact{{Role: "m.role.admin", UserID: "@alice:a.test"}}},
		UnstableFeatures: map[string]bool{"org.example.x": true},
		PolicyKey:        "abc",
	})
	versions := s.want(s.call("", "GET", "//_matrix/client/versions", ""), 200, "")
	if !strings.Contains(versions.text, `"v1.1",`) || !strings.HasSuffix(versions.text, `"v1.19"],"unstable_features":{"org.example.x":true}}`) {
		t.Errorf("got %s", versions.text)
	}
	for path, want := range map[string]string{
		"//.well-known/matrix/client":        `{"m.homeserver":{"base_url":"https://matrix.a.test"}}`,
		"//.well-known/matrix/support":       `{"contacts":[{"role":"m.role.admin","matrix_id":"@alice:a.test"}]}`,
		"//.well-known/matrix/policy_server": `{"public_keys":{"ed25519":"abc"}}`,
	} {
		if a := s.want(s.call("", "GET", path, ""), 200, ""); a.text != want {
			t.Errorf("%s: got %s, want %s", path, a.text, want)
		}
	}
	s.want(s.call("", "GET", "/capabilities", ""), 401, "M_MISSING_TOKEN")
	c := s.want(s.call(s.register("alice"), "GET", "/capabilities", ""), 200, "")
	for _, want := range []string{
		`"m.change_password":{"enabled":true}`, `"m.room_versions":{"default":"12","available":{"1":"stable",`,
		`"9":"stable","org.matrix.msc3757.10":"unstable","org.matrix.msc3757.11":"unstable"}`, `"m.3pid_changes":{"enabled":false}`, `"m.get_login_token":{"enabled":false}`, `"m.profile_fields":{"enabled":true}`,
	} {
		if !strings.Contains(c.text, want) {
			t.Errorf("got %s, want %s in it", c.text, want)
		}
	}
}
