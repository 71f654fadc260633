package csapi

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/internal/account"
	"parley/internal/endpoint"
	"parley/internal/openapi"
)

func TestLogin(t *testing.T) {
	s := newAccountScene(t, Settings{Registration: RegistrationOpen})
	s.register("alice")
	s.register("locked")
	s.register("closed")
	ctx := context.Background()
	if err := s.SetLocked(ctx, "@locked:a.test", true); err != nil {
		t.Fatal(err)
	}
	if err := s.Deactivate(ctx, "@closed:a.test", false); err != nil {
		t.Fatal(err)
	}
	if a := s.call("", "GET", "/login", ""); a.text != `{"flows":[{"type":"m.login.password"}]}` {
		t.Errorf("got %s", a.text)
	}
	user := func(name, password string) string {
		return fmt.Sprintf(`{"type":"m.login.password","identifier":{"type":"m.id.user","user":%q},"password":%q}`, name, password)
	}
	for _, row := range []struct {
		name, body string
		status     int
		code       string
	}{
		{"by localpart", user("alice", goodPassword), 200, ""},
		{"by ID", user("@alice:a.test", goodPassword), 200, ""},
		{"in capitals", user("ALICE", goodPassword), 200, ""},
		{"as of old", `{"type":"m.login.password","user":"alice","password":"correct horse"}`, 200, ""},
		{"with a device", `{"type":"m.login.password","user":"alice","password":"correct horse","device_id":"D"}`, 200, ""},
		{"with an empty device", `{"type":"m.login.password","user":"alice","password":"correct horse","device_id":""}`, 200, ""},
		{"a wrong password", user("alice", "wrong"), 403, "M_FORBIDDEN"},
		{"nobody", user("nobody", goodPassword), 403, "M_FORBIDDEN"},
		{"a user of another server", user("@alice:b.test", goodPassword), 403, "M_FORBIDDEN"},
		{"a malformed ID", user("@alice", goodPassword), 403, "M_FORBIDDEN"},
		{"a name with NUL", `{"type":"m.login.password","user":"\u0000","password":"x"}`, 400, "M_BAD_JSON"},
		{"a locked account", user("locked", goodPassword), 401, "M_USER_LOCKED"},
		{"a deactivated account", user("closed", goodPassword), 403, "M_USER_DEACTIVATED"},
		{"a mail address", `{"type":"m.login.password","identifier":{"type":"m.id.thirdparty","medium":"email","address":"a@a.test"},"password":"x"}`, 403, "M_FORBIDDEN"},
		{"another way", `{"type":"m.login.token","token":"x"}`, 400, "M_UNKNOWN"},
		{"no way", `{}`, 400, "M_MISSING_PARAM"},
		{"no user", `{"type":"m.login.password","password":"x"}`, 400, "M_MISSING_PARAM"},
		{"no password", `{"type":"m.login.password","user":"alice"}`, 403, "M_FORBIDDEN"},
		{"an identifier that is none", `{"type":"m.login.password","identifier":[],"password":"x"}`, 400, "M_BAD_JSON"},
		{"a password that is none", `{"type":"m.login.password","user":"alice","password":[]}`, 400, "M_BAD_JSON"},
		{"a device that is too long", `{"type":"m.login.password","user":"alice","password":"correct horse","device_id":"` + strings.Repeat("x", 256) + `"}`, 400, "M_INVALID_PARAM"},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := s.want(s.call("", "POST", "/login", "%s", row.body), row.status, row.code)
			if row.status == 200 && (a.get("user_id") != "@alice:a.test" || a.get("device_id") == "") {
				t.Errorf("got %s", a.text)
			}
		})
	}
}

func TestLogout(t *testing.T) {
	s := newAccountScene(t, Settings{Registration: RegistrationOpen})
	first := s.register("alice")
	second, third := s.login("alice", "SECOND"), s.login("alice", "THIRD")
	s.want(s.call(second, "POST", "/logout", ``), 200, "")
	gone := s.want(s.call(second, "GET", "/account/whoami", ""), 401, "M_UNKNOWN_TOKEN")
	if gone.body["soft_logout"] != false {
		t.Errorf("got %s", gone.text)
	}
	if err := s.SetLocked(context.Background(), "@alice:a.test", true); err != nil {
		t.Fatal(err)
	}
	s.want(s.call(first, "GET", "/account/whoami", ""), 401, "M_USER_LOCKED")
	s.want(s.call(first, "POST", "/logout/all", `{}`), 200, "")
	for _, token := range []string{first, third} {
		s.want(s.call(token, "POST", "/logout", ``), 401, "M_UNKNOWN_TOKEN")
	}
}

func TestDevices(t *testing.T) {
	s := newAccountScene(t, Settings{Registration: RegistrationOpen})
	first := s.register("alice")
	s.login("alice", "SECOND")
	s.register("bob")
	list := s.want(s.call(first, "GET", "/devices", ""), 200, "")
	if devices := list.body["devices"].([]any); len(devices) != 2 || devices[0].(map[string]any)["last_seen_ip"] != "192.0.2.1" {
		t.Errorf("got %s", list.text)
	}
	s.want(s.call(first, "PUT", "/devices/SECOND", `{"display_name":"my other"}`), 200, "")
	s.want(s.call(first, "PUT", "/devices/SECOND", `{}`), 200, "")
	if one := s.want(s.call(first, "GET", "/devices/SECOND", ""), 200, ""); one.get("display_name") != "my other" || one.get("device_id") != "SECOND" {
		t.Errorf("got %s", one.text)
	}
	s.want(s.call(first, "PUT", "/devices/THIRD", `{"display_name":"no"}`), 404, "M_NOT_FOUND")
	s.want(s.call(first, "PUT", "/devices/SECOND", `{"display_name":"%s"}`, strings.Repeat("x", 300)), 400, "M_INVALID_PARAM")
	s.want(s.call(first, "GET", "/devices/THIRD", ""), 404, "M_NOT_FOUND")
	s.want(s.call("", "GET", "/devices", ""), 401, "M_MISSING_TOKEN")
}

func TestDevicesAreDeletedWithAPassword(t *testing.T) {
	s := newAccountScene(t, Settings{Registration: RegistrationOpen})
	first := s.register("alice")
	second, third, fourth := s.login("alice", "SECOND"), s.login("alice", "THIRD"), s.login("alice", "FOURTH")
	s.register("bob")
	const auth = `{"auth":{"session":%q,"type":"m.login.password","identifier":{"type":"m.id.user","user":%q},"password":%q}}`

	session := s.want(s.call(first, "DELETE", "/devices/SECOND", ""), 401, "").get("session")
	wrong := s.want(s.call(first, "DELETE", "/devices/SECOND", auth, session, "alice", "wrong"), 401, "M_FORBIDDEN")
	if wrong.get("session") != session || wrong.body["flows"] == nil {
		t.Errorf("got %s", wrong.text)
	}
	s.want(s.call(first, "DELETE", "/devices/SECOND", auth, session, "bob", goodPassword), 401, "M_FORBIDDEN")
	s.want(s.call(first, "DELETE", "/devices/THIRD", auth, session, "alice", goodPassword), 403, "M_FORBIDDEN")
	s.want(s.call(first, "GET", "/devices/SECOND", ""), 200, "")
	s.want(s.call(first, "DELETE", "/devices/SECOND", auth, session, "alice", goodPassword), 200, "")
	s.want(s.call(second, "GET", "/account/whoami", ""), 401, "M_UNKNOWN_TOKEN")

	session = s.want(s.call(first, "POST", "/delete_devices", `{"devices":["THIRD","FOURTH","NONE"]}`), 401, "").get("session")
	s.want(s.call(first, "POST", "/delete_devices", auth, session, "alice", goodPassword), 200, "")
	for _, token := range []string{third, fourth} {
		s.want(s.call(token, "GET", "/account/whoami", ""), 401, "M_UNKNOWN_TOKEN")
	}
	for _, body := range []string{`{"devices":1}`, `{"devices":[1]}`, `{"devices":[""]}`} {
		s.want(s.call(first, "POST", "/delete_devices", "%s", body), 400, "M_BAD_JSON")
	}
	session = s.want(s.call(first, "POST", "/delete_devices", ``), 401, "").get("session")
	s.want(s.call(first, "POST", "/delete_devices", auth, session, "alice", goodPassword), 400, "M_MISSING_PARAM")
	s.want(s.call("", "POST", "/delete_devices", `{}`), 401, "M_MISSING_TOKEN")
}

func TestChangePassword(t *testing.T) {
	s := newAccountScene(t, Settings{Registration: RegistrationOpen})
	first := s.register("alice")
	second := s.login("alice", "SECOND")
	change := func(token, from, to, more string) answer {
		a := s.want(s.call(token, "POST", "/account/password", `{"new_password":%q%s}`, to, more), 401, "")
		return s.call(token, "POST", "/account/password", `{"auth":{"session":%q,"type":"m.login.password","user":"alice","password":%q}}`, a.get("session"), from)
	}
	s.want(change(first, "wrong", "battery staple", ""), 401, "M_FORBIDDEN")
	s.want(change(first, goodPassword, "battery staple", `,"logout_devices":false`), 200, "")
	s.want(s.call(second, "GET", "/account/whoami", ""), 200, "")
	s.want(change(first, "battery staple", goodPassword, ""), 200, "")
	s.want(s.call(second, "GET", "/account/whoami", ""), 401, "M_UNKNOWN_TOKEN")
	s.want(s.call(first, "GET", "/account/whoami", ""), 200, "")
	s.login("alice", "")
	// Without a token the password has to be known all the same.
	s.want(change("", goodPassword, "battery staple", ""), 200, "")
	s.want(s.call(first, "GET", "/account/whoami", ""), 401, "M_UNKNOWN_TOKEN")
	s.want(s.call("", "POST", "/account/password", `{}`), 400, "M_MISSING_PARAM")
	s.want(s.call("", "POST", "/account/password", `{"new_password":"short"}`), 400, "M_WEAK_PASSWORD")
	s.want(s.call("", "POST", "/account/password", `{"new_password":7}`), 400, "M_BAD_JSON")
	s.want(s.call("", "POST", "/account/password", `{"new_password":"long enough","logout_devices":"no"}`), 400, "M_BAD_JSON")
	s.want(s.call("", "POST", "/account/password", `{"auth":{"type":"m.login.password","user":"alice","password":"battery staple"}}`), 400, "M_MISSING_PARAM")
}

// bridge is an authenticator to whom everybody is an application service that
// acts for Alice.
type bridge struct{}

func (bridge) Authenticate(endpoint.Credentials) (endpoint.Caller, error) {
	return endpoint.Caller{UserID: "@alice:a.test", AppService: "bridge"}, nil
}

func TestApplicationServicesManageDevicesWithoutAPassword(t *testing.T) {
	s := newAccountScene(t, Settings{Registration: RegistrationOpen})
	s.register("alice")
	server := New(Parts{Name: "a.test", Accounts: s.Accounts})
	s.table = openapi.Watch(t, endpoint.New(endpoint.Config{Users: bridge{}}, server.deviceRoutes()))
	s.want(s.call("x", "PUT", "/devices/BRIDGED", `{"display_name":"bridged"}`), 201, "")
	s.want(s.call("x", "PUT", "/devices/BRIDGED", `{"display_name":"again"}`), 200, "")
	if d := s.want(s.call("x", "GET", "/devices/BRIDGED", ""), 200, ""); d.get("display_name") != "again" {
		t.Errorf("got %s", d.text)
	}
	s.want(s.call("x", "DELETE", "/devices/FIRST", ""), 200, "")
	s.want(s.call("x", "POST", "/delete_devices", `{"devices":["BRIDGED"]}`), 200, "")
	if list := s.want(s.call("x", "GET", "/devices", ""), 200, ""); list.text != `{"devices":[]}` {
		t.Errorf("got %s", list.text)
	}
}

func TestRefresh(t *testing.T) {
	s := newAccountSceneWith(t, Settings{Registration: RegistrationOpen}, account.Options{TokenLife: time.Hour})
	a := s.want(s.call("", "POST", "/register", `{"username":"alice","password":%q,"refresh_token":true,"auth":{"type":"m.login.dummy"}}`, goodPassword), 200, "")
	if a.get("refresh_token") == "" || a.body["expires_in_ms"] != 3600e3 {
		t.Errorf("registering: got %s", a.text)
	}
	b := s.want(s.call("", "POST", "/login", `{"type":"m.login.password","user":"alice","password":%q,"refresh_token":true}`, goodPassword), 200, "")
	if b.get("refresh_token") == "" || b.body["expires_in_ms"] != 3600e3 {
		t.Errorf("logging in: got %s", b.text)
	}
	plain := s.want(s.call("", "POST", "/login", `{"type":"m.login.password","user":"alice","password":%q}`, goodPassword), 200, "")
	if plain.body["refresh_token"] != nil || plain.body["expires_in_ms"] != nil {
		t.Errorf("logging in without: got %s", plain.text)
	}
	quiet := s.want(s.call("", "POST", "/register", `{"username":"bob","inhibit_login":true,"refresh_token":true,"auth":{"type":"m.login.dummy"}}`), 200, "")
	if quiet.body["refresh_token"] != nil || quiet.body["expires_in_ms"] != nil {
		t.Errorf("registering without a login: got %s", quiet.text)
	}

	next := s.want(s.call("", "POST", "/refresh", `{"refresh_token":%q}`, a.get("refresh_token")), 200, "")
	if next.get("access_token") == "" || next.get("refresh_token") == "" || next.body["expires_in_ms"] != 3600e3 {
		t.Errorf("got %s", next.text)
	}
	who := s.want(s.call(next.get("access_token"), "GET", "/account/whoami", ""), 200, "")
	if who.get("device_id") != a.get("device_id") {
		t.Errorf("the device is another: %s", who.text)
	}
	for what, gone := range map[string]answer{
		"the old access token":  s.call(a.get("access_token"), "GET", "/account/whoami", ""),
		"the old refresh token": s.call("", "POST", "/refresh", `{"refresh_token":%q}`, a.get("refresh_token")),
	} {
		if s.want(gone, 401, "M_UNKNOWN_TOKEN").body["soft_logout"] != true {
			t.Errorf("%s: got %s", what, gone.text)
		}
	}
	if none := s.want(s.call("", "POST", "/refresh", `{"refresh_token":"x"}`), 401, "M_UNKNOWN_TOKEN"); none.body["soft_logout"] != false {
		t.Errorf("got %s", none.text)
	}
	s.want(s.call("", "POST", "/refresh", `{}`), 400, "M_MISSING_PARAM")
	s.want(s.call("", "POST", "/refresh", `{"refresh_token":1}`), 400, "M_BAD_JSON")

	s.want(s.call(next.get("access_token"), "POST", "/logout", ""), 200, "")
	if out := s.want(s.call("", "POST", "/refresh", `{"refresh_token":%q}`, next.get("refresh_token")), 401, "M_UNKNOWN_TOKEN"); out.body["soft_logout"] != false {
		t.Errorf("got %s", out.text)
	}
}

func TestAnotherDeviceLogsInByToken(t *testing.T) {
	s := newAccountScene(t, Settings{Registration: RegistrationOpen, LoginTokens: true})
	alice := s.register("alice")
	if a := s.call("", "GET", "/login", ""); a.text != `{"flows":[{"type":"m.login.password"},{"type":"m.login.token","get_login_token":true}]}` {
		t.Errorf("got %s", a.text)
	}
	if c := s.call(alice, "GET", "/capabilities", ""); !strings.Contains(c.text, `"m.get_login_token":{"enabled":true}`) {
		t.Errorf("got %s", c.text)
	}
	const path = "//_matrix/client/v1/login/get_token"
	get := func() string {
		session := s.want(s.call(alice, "POST", path, `{}`), 401, "").get("session")
		const auth = `{"auth":{"session":%q,"type":"m.login.password","user":"alice","password":%q}}`
		s.want(s.call(alice, "POST", path, auth, session, "wrong"), 401, "M_FORBIDDEN")
		got := s.want(s.call(alice, "POST", path, auth, session, goodPassword), 200, "")
		if got.body["expires_in_ms"] != 120000.0 {
			t.Errorf("got %s", got.text)
		}
		return got.get("login_token")
	}
	const login = `{"type":"m.login.token","token":%q,"device_id":"NEW","refresh_token":true}`
	token := get()
	in := s.want(s.call("", "POST", "/login", login, token), 200, "")
	if in.get("user_id") != "@alice:a.test" || in.get("device_id") != "NEW" || in.get("refresh_token") == "" {
		t.Errorf("got %s", in.text)
	}
	s.want(s.call("", "POST", "/login", login, token), 403, "M_FORBIDDEN")
	s.want(s.call("", "POST", "/login", login, "x"), 403, "M_FORBIDDEN")
	s.want(s.call("", "POST", "/login", login, alice), 403, "M_FORBIDDEN")
	s.want(s.call(get(), "GET", "/account/whoami", ""), 401, "M_UNKNOWN_TOKEN")
	s.want(s.call("", "POST", "/login", `{"type":"m.login.token"}`), 400, "M_MISSING_PARAM")
	s.want(s.call("", "POST", "/login", `{"type":"m.login.token","token":7}`), 400, "M_BAD_JSON")
	s.want(s.call("", "POST", path, `{}`), 401, "M_MISSING_TOKEN")

	token = get()
	if err := s.SetLocked(t.Context(), "@alice:a.test", true); err != nil {
		t.Fatal(err)
	}
	s.want(s.call("", "POST", "/login", login, token), 401, "M_USER_LOCKED")
}

func TestNobodyMakesLoginTokensUnlessThatIsWanted(t *testing.T) {
	s := newAccountScene(t, Settings{Registration: RegistrationOpen})
	alice := s.register("alice")
	s.want(s.call(alice, "POST", "//_matrix/client/v1/login/get_token", `{}`), 404, "M_UNRECOGNIZED")
	s.want(s.call("", "POST", "/login", `{"type":"m.login.token","token":"x"}`), 400, "M_UNKNOWN")
}

func TestOpenID(t *testing.T) {
	s := newAccountScene(t, Settings{Registration: RegistrationOpen})
	alice := s.register("alice")
	const path = "/user/@%s:a.test/openid/request_token"
	got := s.want(s.call(alice, "POST", fmt.Sprintf(path, "alice"), `{}`), 200, "")
	if got.get("token_type") != "Bearer" || got.get("matrix_server_name") != "a.test" || got.body["expires_in"] != 3600.0 {
		t.Errorf("got %s", got.text)
	}
	if user, err := s.OpenIDUser(t.Context(), got.get("access_token")); err != nil || user != "@alice:a.test" {
		t.Errorf("got %s, %v", user, err)
	}
	s.want(s.call(got.get("access_token"), "GET", "/account/whoami", ""), 401, "M_UNKNOWN_TOKEN")
	s.want(s.call(alice, "POST", fmt.Sprintf(path, "bob"), `{}`), 403, "M_FORBIDDEN")
	s.want(s.call("", "POST", fmt.Sprintf(path, "alice"), `{}`), 401, "M_MISSING_TOKEN")
}
