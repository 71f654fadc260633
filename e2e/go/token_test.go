package e2e

import (
	"net/http"
	"testing"

	"maunium.net/go/mautrix"
)

func TestAnAccessTokenIsRefreshed(t *testing.T) {
	t.Parallel()
	alice := newUser(t, "alice")
	c := client(t)
	login, err := c.Login(background, &mautrix.ReqLogin{
		Type: mautrix.AuthTypePassword, Identifier: mautrix.UserIdentifier{Type: mautrix.IdentifierTypeUser, User: alice.username},
		Password: alice.password, RefreshToken: true, StoreCredentials: true,
	})
	if err != nil || login.RefreshToken == "" {
		t.Fatalf("alice logs in: %+v, %v, want a refresh token", login, err)
	}
	refresh := func(token string) (*mautrix.RespLogin, error) {
		var answer mautrix.RespLogin
		_, err := client(t).MakeRequest(background, http.MethodPost, c.BuildClientURL("v3", "refresh"), map[string]string{"refresh_token": token}, &answer)
		return &answer, err
	}
	next, err := refresh(login.RefreshToken)
	if err != nil || next.AccessToken == "" || next.AccessToken == login.AccessToken {
		t.Fatalf("alice refreshes: %+v, %v", next, err)
	}
	c.AccessToken = next.AccessToken
	phone := alice.uses(c, "phone", plainly())
	_, err = refresh(login.RefreshToken)
	refused(t, "a refresh token that was used", err, mautrix.MUnknownToken)
	room := phone.creates(&mautrix.ReqCreateRoom{Name: "Refreshed"})
	agree(room, phone)
}
