package hstest

import (
	"testing"
	"testing/synctest"

	"parley/internal/config"
)

func TestServersAnswerUnderTheirNames(t *testing.T) {
	w := New(t)
	a, b := w.Server("a.test"), w.Server("b.test")
	for _, s := range []*Server{a, b} {
		if status, _ := s.Do("GET", "/health", nil); status != 200 {
			t.Errorf("%s: got %d", s.Name, status)
		}
		status, body := s.Do("GET", "/_matrix/client/v3/nothing", nil)
		if code := body.Get("errcode"); status != 404 || !code.Is("M_UNRECOGNIZED") {
			t.Errorf("%s: got %d %s", s.Name, status, body)
		}
	}
}

func TestAServerIsKilledAndStartsAgain(t *testing.T) {
	a := New(t).Server("a.test", func(c *config.Config) { c.Presence.Enabled = false })
	for range 3 {
		a.Restart()
		if status, _ := a.Do("GET", "/health", nil); status != 200 {
			t.Errorf("got %d", status)
		}
		if a.Config.Presence.Enabled {
			t.Error("the setting was lost")
		}
	}
	a.Stop()
	a.Start()
}

func TestWorldsFitIntoABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(t).Server("a.test")
		if status, _ := a.Do("GET", "/health", nil); status != 200 {
			t.Errorf("got %d", status)
		}
		a.Restart()
	})
}

func TestUsersRegisterLogInAndOutliveTheirServer(t *testing.T) {
	a := New(t).Server("a.test")
	alice := a.Register("alice")
	if alice.ID != "@alice:a.test" || alice.Device == "" {
		t.Errorf("got %+v", alice)
	}
	phone := alice.Login()
	if phone.ID != alice.ID || phone.Device == alice.Device || phone.Token == alice.Token {
		t.Errorf("the second device is %+v, the first %+v", phone, alice)
	}
	a.Restart()
	for _, u := range []*User{alice, phone, a.Login("alice", alice.Password)} {
		who := u.Must("GET", "/_matrix/client/v3/account/whoami", nil)
		if !who.Get("user_id").Is(string(u.ID)) || !who.Get("device_id").Is(string(u.Device)) {
			t.Errorf("%s with %s is %s", u.ID, u.Device, who)
		}
	}
	phone.Must("POST", "/_matrix/client/v3/logout", nil)
	if status, body := phone.Do("GET", "/_matrix/client/v3/account/whoami", nil); status != 401 || !body.Get("errcode").Is("M_UNKNOWN_TOKEN") {
		t.Errorf("after logout: %d %s", status, body)
	}
	if status, _ := a.Do("GET", "/_matrix/client/r0/account/whoami", nil); status != 401 {
		t.Errorf("without a token: %d", status)
	}
}
