package csapi_test

import (
	"testing"

	"parley/internal/account"
	"parley/internal/config"
	"parley/internal/hstest"
)

func TestWhoHasNoPasswordCannotDoWhatOneConfirms(t *testing.T) {
	server := hstest.New(t).Server("a.test", func(c *config.Config) { c.Tokens.Login = true })
	login, err := server.Accounts().Create(t.Context(), account.NewAccount{Localpart: "ghost", Login: &account.NewDevice{}})
	if err != nil {
		t.Fatal(err)
	}
	ghost := &hstest.User{Server: server, ID: login.UserID, Token: login.Token}
	for _, c := range []struct {
		who  *hstest.User
		want string
	}{{server.Register("alice"), `{"enabled":true}`}, {ghost, `{"enabled":false}`}} {
		can := c.who.Must("GET", "/_matrix/client/v3/capabilities", nil).Get("capabilities")
		for _, name := range []string{"m.change_password", "m.get_login_token"} {
			if got := can.Get(name); string(got) != c.want {
				t.Errorf("%s of %s: got %s, want %s", name, c.who.ID, got, c.want)
			}
		}
	}
}
