package csapi_test

import (
	"testing"
	"testing/synctest"

	"parley/internal/hstest"
)

func TestPusherRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := hstest.New(t).Server("a.test")
		alice := a.Register("alice")
		const one = `{"app_display_name":"Test","app_id":"org.test","data":{"url":"https://push.test/_matrix/push/v1/notify","x":0.5},` +
			`"device_display_name":"phone","kind":"http","lang":"en","profile_tag":"p","pushkey":"k"}`
		for _, x := range []struct {
			name, body string
			status     int
			code       string
		}{
			{"there is none to remove", `{"app_id":"org.test","kind":null,"pushkey":"k"}`, 200, ""},
			{"one is set", one, 200, ""},
			{"without a kind", `{"app_id":"org.test","pushkey":"k"}`, 400, "M_MISSING_PARAM"},
			{"without a pushkey", `{"app_id":"org.test","kind":null}`, 400, "M_MISSING_PARAM"},
			{"without an app_id", `{"pushkey":"k","kind":null}`, 400, "M_MISSING_PARAM"},
			{"without the rest", `{"app_id":"org.test","kind":"http","pushkey":"k","lang":"en"}`, 400, "M_MISSING_PARAM"},
			{"without a url", `{"app_display_name":"","app_id":"org.test","data":{},"device_display_name":"","kind":"http","lang":"en","pushkey":"k"}`, 400, "M_MISSING_PARAM"},
			{"with a kind that is none", `{"app_id":"org.test","kind":1,"pushkey":"k"}`, 400, "M_BAD_JSON"},
			{"with another url", `{"app_display_name":"","app_id":"org.test","data":{"url":"http://push.test/"},"device_display_name":"","kind":"http","lang":"en","pushkey":"k"}`, 400, "M_INVALID_PARAM"},
		} {
			status, body := alice.Do("POST", "/_matrix/client/v3/pushers/set", x.body)
			if code, _ := body.Get("errcode").Text(); status != x.status || code != x.code {
				t.Errorf("%s: got %d %s, want %d %s", x.name, status, body, x.status, x.code)
			}
		}
		const want = `{"pushers":[{"app_display_name":"Test","app_id":"org.test","data":{"url":"https://push.test/_matrix/push/v1/notify","x":0.5},` +
			`"device_display_name":"phone","kind":"http","lang":"en","org.matrix.msc3881.device_id":"`
		if got := alice.Must("GET", "/_matrix/client/v3/pushers", nil); string(got) != want+string(alice.Device)+`","org.matrix.msc3881.enabled":true,"profile_tag":"p","pushkey":"k"}]}` {
			t.Errorf("got %s", got)
		}
	})
}

// TestPushersGoAtLogout and when the password changes, with the devices that set them.
func TestPushersGoAtLogout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := hstest.New(t).Server("a.test")
		alice := a.Register("alice")
		laptop, tablet := alice.Login(), alice.Login()
		for key, u := range map[string]*hstest.User{"phone": alice, "laptop": laptop, "tablet": tablet} {
			u.Must("POST", "/_matrix/client/v3/pushers/set", map[string]any{
				"app_display_name": "Test", "app_id": "org.test", "data": map[string]string{"url": "https://push.test/_matrix/push/v1/notify"},
				"device_display_name": key, "kind": "http", "lang": "en", "pushkey": key,
			})
		}
		keys := func() (list string) {
			for p := range alice.Must("GET", "/_matrix/client/v3/pushers", nil).Get("pushers").Elements() {
				key, _ := p.Get("pushkey").Text()
				list += key + " "
			}
			return list
		}
		tablet.Must("POST", "/_matrix/client/v3/logout", nil)
		if got := keys(); len(got) != len("phone laptop ") {
			t.Errorf("after logout there are %q", got)
		}
		status, body := alice.Do("POST", "/_matrix/client/v3/account/password", map[string]any{"new_password": "another password"})
		if status != 401 {
			t.Fatalf("got %d %s", status, body)
		}
		alice.Must("POST", "/_matrix/client/v3/account/password", map[string]any{
			"new_password": "another password",
			"auth":         map[string]any{"type": "m.login.password", "session": body.Get("session"), "password": alice.Password, "identifier": map[string]string{"type": "m.id.user", "user": "alice"}},
		})
		if got := keys(); got != "phone " {
			t.Errorf("after the password has changed there are %q", got)
		}
	})
}
