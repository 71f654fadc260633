package csapi

import (
	"context"
	"errors"
	"strings"
	"testing"

	"parley/internal/account"
	"parley/internal/endpoint"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/mxerr"
)

// TestNewIdentitiesAreConfirmedWhereAccountsAreManaged by who has logged in there, and by
// password by others.
func TestNewIdentitiesAreConfirmedWhereAccountsAreManaged(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		accounts := account.New(db, account.Options{Server: "a.test"})
		for _, name := range []string{"alice", "bob"} {
			if _, err := accounts.Create(t.Context(), account.NewAccount{Localpart: name}); err != nil {
				t.Fatal(err)
			}
		}
		s := New(Parts{Name: "a.test", Accounts: accounts, OAuthPage: func(_ context.Context, c endpoint.Caller) func(string) string {
			if c.DeviceID != "OAUTH" {
				return nil
			}
			return func(session string) string {
				return "https://a.test/account?action=org.matrix.cross_signing_reset&session=" + session
			}
		}})
		alice := endpoint.Caller{UserID: "@alice:a.test", DeviceID: "OAUTH"}
		challenged := func(c endpoint.Caller, body, stage string) (session string) {
			t.Helper()
			_, err := s.confirmCrossSigning(t.Context(), c, canonjson.Value(body))
			challenge := (*mxerr.Error)(nil)
			if !errors.As(err, &challenge) || challenge.Status != 401 {
				t.Fatalf("got %v", err)
			}
			text, err := canonjson.Marshal(challenge.Fields)
			if err != nil || !strings.Contains(string(text), `"flows":[{"stages":["`+stage+`"]}]`) {
				t.Errorf("got %s, %v", text, err)
			}
			session = canonjson.Value(text).Get("session").String()
			if stage == "m.oauth" && !strings.HasSuffix(canonjson.Value(text).Get("params").Get("m.oauth").Get("url").String(), "&session="+session) {
				t.Errorf("the page is not in %s", text)
			}
			return session
		}
		challenged(endpoint.Caller{UserID: "@alice:a.test", DeviceID: "OTHER"}, `{"x":1}`, "m.login.password")
		session := challenged(alice, `{"x":1}`, "m.oauth")
		auth := `{"auth":{"session":"` + session + `"}}`
		challenged(alice, auth, "m.oauth")
		challenged(alice, `{"auth":{"session":"`+session+`","type":"m.oauth"}}`, "m.oauth") // clients do not confirm
		if err := accounts.ConfirmByOAuth(t.Context(), session, "@bob:a.test"); !errors.Is(err, mxerr.NotFound) {
			t.Errorf("another user confirms: %v", err)
		}
		if err := accounts.ConfirmByOAuth(t.Context(), "unknown", "@alice:a.test"); !errors.Is(err, mxerr.NotFound) {
			t.Errorf("a session of nobody: %v", err)
		}
		if err := accounts.ConfirmByOAuth(t.Context(), session, "@alice:a.test"); err != nil {
			t.Fatal(err)
		}
		done, err := s.confirmCrossSigning(t.Context(), alice, canonjson.Value(auth))
		if err != nil || done.User != "@alice:a.test" || string(done.Body) != `{"x":1}` {
			t.Errorf("in the end: %+v, %v", done, err)
		}
		challenged(alice, auth, "m.oauth") // it was good for one request
	})
}
