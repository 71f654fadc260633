package hstest

import (
	"testing"

	"parley/internal/config"
)

func TestWhoRegistersIsCalledByTheirName(t *testing.T) {
	a := New(t).Server("a.test", func(c *config.Config) { c.Registration.Guests = true })
	alice, guest := a.Register("alice"), a.guest()
	for _, u := range []*User{alice, guest} {
		if p := u.Must("GET", "/_matrix/client/v3/profile/"+string(u.ID), nil); !p.Get("displayname").Is(u.ID.Localpart()) {
			t.Errorf("the profile of %s is %s", u.ID, p)
		}
	}
	if m := alice.Must("GET", "/_matrix/client/v3/rooms/"+alice.createRoom()+"/state/m.room.member/"+string(alice.ID), nil); !m.Get("displayname").Is("alice") {
		t.Errorf("the member event says %s", m)
	}
}

func TestTheServerSaysWhomToTurnTo(t *testing.T) {
	w := New(t)
	a := w.Server("a.test", func(c *config.Config) {
		c.Support.Contacts, c.Support.Page = `[{"email_address":"help@a.test","role":"m.role.admin"}]`, "https://a.test/help"
	})
	b := w.Server("b.test")
	const path = "/.well-known/matrix/support"
	const want = `{"contacts":[{"email_address":"help@a.test","role":"m.role.admin"}],"support_page":"https://a.test/help"}`
	if status, body := a.Do("GET", path, nil); status != 200 || string(body) != want {
		t.Errorf("got %d %s, want %s", status, body, want)
	}
	if status, body := b.Do("GET", path, nil); status != 404 {
		t.Errorf("got %d %s, want none", status, body)
	}
}

func TestThePolicyForPasswordsIsThatOfTheSettings(t *testing.T) {
	a := New(t).Server("a.test", func(c *config.Config) { c.Passwords.MinLength, c.Passwords.MinKinds = 10, 3 })
	for password, want := range map[string]int{"correct horse": 400, "Short1": 400, "Correct horse 1": 401} {
		status, body := a.Do("POST", "/_matrix/client/v3/register", map[string]string{"username": "alice", "password": password})
		if status != want || want == 400 && !body.Get("errcode").Is("M_WEAK_PASSWORD") {
			t.Errorf("%q: got %d %s, want %d", password, status, body, want)
		}
	}
}
