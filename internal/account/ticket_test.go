package account

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func TestALoginTokenIsGoodForOneLogin(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		h.create(alice)
		h.create(bob)
		ticket := func(user id.UserID) string {
			token, err := h.NewLoginToken(ctx, user)
			h.must(err)
			return token
		}
		token := ticket(alice)
		if user, err := h.UseLoginToken(ctx, token); err != nil || user != alice {
			t.Errorf("got %s, %v", user, err)
		}
		openID, err := h.NewOpenIDToken(ctx, alice)
		h.must(err)
		changed, closed, locked := ticket(alice), ticket(bob), ticket(alice)
		h.must(h.SetPassword(ctx, alice, h.hash("battery staple"), nil))
		h.must(h.Deactivate(ctx, bob, false))
		for name, token := range map[string]string{
			"used": token, "empty": "", "other": "x", "NUL": "\x00", "for something else": openID,
			"before the password was changed": changed, "of a deactivated account": closed, "as above": locked,
		} {
			if _, err := h.UseLoginToken(ctx, token); !errors.Is(err, mxerr.Forbidden) {
				t.Errorf("%s: got %v", name, err)
			}
		}
		locked = ticket(alice)
		h.must(h.SetLocked(ctx, alice, true))
		_, err = h.UseLoginToken(ctx, locked)
		h.refused(err, mxerr.UserLocked)
	})
}

func TestOpenIDTokensSayWhoTheirUserIs(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		h.create(alice)
		token, err := h.NewOpenIDToken(ctx, alice)
		h.must(err)
		for range 2 {
			if user, err := h.OpenIDUser(ctx, token); err != nil || user != alice {
				t.Errorf("got %s, %v", user, err)
			}
		}
		login, err := h.NewLoginToken(ctx, alice)
		h.must(err)
		for _, other := range []string{"", "x", "\x00", login, h.login(alice, "").Token} {
			_, err := h.OpenIDUser(ctx, other)
			h.refused(err, mxerr.UnknownToken)
		}
		h.must(h.Deactivate(ctx, alice, false))
		_, err = h.OpenIDUser(ctx, token)
		h.refused(err, mxerr.UnknownToken)
	})
}

func TestTicketsEnd(t *testing.T) {
	location := t.TempDir() + "/parley.db"
	synctest.Test(t, func(t *testing.T) {
		h := open(t, storetest.Open(t, location), Options{})
		defer h.db.Close()
		h.create(alice)
		login, err := h.NewLoginToken(ctx, alice)
		h.must(err)
		openID, err := h.NewOpenIDToken(ctx, alice)
		h.must(err)
		time.Sleep(LoginTokenLife)
		_, err = h.UseLoginToken(ctx, login)
		h.refused(err, mxerr.Forbidden)
		time.Sleep(OpenIDTokenLife - LoginTokenLife)
		_, err = h.OpenIDUser(ctx, openID)
		h.refused(err, mxerr.UnknownToken)
		h.must(h.forgetTickets(ctx))
		var left int
		h.must(h.db.View(ctx, func(tx *store.Tx) error { return tx.Row("SELECT count(*) FROM tickets").Scan(&left) }))
		if left != 0 {
			t.Errorf("%d are left", left)
		}
	})
}
