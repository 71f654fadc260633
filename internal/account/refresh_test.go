package account

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// refreshing logs in a client that can refresh its token.
func (h house) refreshing(user id.UserID, device id.DeviceID) Tokens {
	h.t.Helper()
	login, err := h.Login(ctx, NewDevice{User: user, ID: device, Refreshes: true})
	h.must(err)
	return login.Tokens
}

func (h house) refresh(token string) Tokens {
	h.t.Helper()
	tokens, err := h.Refresh(ctx, token)
	h.must(err)
	return tokens
}

// goneSoftly wants the error of a device that may log in again.
func (h house) goneSoftly(what string, err error, softly bool) {
	h.t.Helper()
	e := (*mxerr.Error)(nil)
	if !errors.As(err, &e) || e.Code != mxerr.UnknownToken || e.Fields["soft_logout"] != softly {
		h.t.Errorf("%s: got %v %+v, want M_UNKNOWN_TOKEN with soft_logout %t", what, err, e, softly)
	}
}

func TestTheTokensBeforeAreGoodUntilNewOnesAreUsed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{TokenLife: time.Hour})
		h.create(alice)
		first := h.refreshing(alice, "PHONE")
		if first.Refresh == "" || first.Life != time.Hour || !h.good(first.Token) {
			t.Errorf("got %+v", first)
		}
		lost := h.refresh(first.Refresh) // the answer does not arrive
		second := h.refresh(first.Refresh)
		if !h.good(first.Token) {
			t.Error("the first token is not good, though nobody has used another")
		}
		if !h.good(second.Token) {
			t.Error("the second token is not good")
		}
		_, err := h.Authenticate(ctx, first.Token)
		h.goneSoftly("the first access token", err, true)
		_, err = h.Refresh(ctx, first.Refresh)
		h.goneSoftly("the first refresh token", err, true)
		_, err = h.Authenticate(ctx, lost.Token)
		h.goneSoftly("the access token that was lost", err, true)
		_, err = h.Refresh(ctx, lost.Refresh)
		h.goneSoftly("the refresh token that was lost", err, true)
		if !h.good(second.Token) {
			t.Error("the second token is not good any more")
		}
	})
}

func TestANewRefreshTokenIsUsedByRefreshing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		h.create(alice)
		first := h.refreshing(alice, "PHONE")
		second := h.refresh(first.Refresh)
		third := h.refresh(second.Refresh)
		if _, err := h.Authenticate(ctx, first.Token); err == nil {
			t.Error("the first token is still good")
		}
		if !h.good(second.Token) || !h.good(third.Token) {
			t.Error("the second or the third token is not good")
		}
		_, err := h.Authenticate(ctx, second.Token)
		h.goneSoftly("the second token", err, true)
		// What was spent before that is not remembered.
		_, err = h.Authenticate(ctx, first.Token)
		h.goneSoftly("the first token", err, false)
	})
}

func TestRefreshTokensEndWithTheirDevice(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		h.create(alice)
		first := h.refreshing(alice, "PHONE")
		again := h.refreshing(alice, "PHONE")
		_, err := h.Refresh(ctx, first.Refresh)
		h.goneSoftly("after another login", err, false)
		for _, token := range []string{"", "x", "\x00", again.Token, again.Refresh + "A"} {
			_, err := h.Refresh(ctx, token)
			h.goneSoftly("a token that is none", err, false)
		}
		_, err = h.Authenticate(ctx, again.Refresh)
		h.goneSoftly("a refresh token for access", err, false)
		h.must(h.SetLocked(ctx, alice, true))
		_, err = h.Refresh(ctx, again.Refresh)
		h.refused(err, mxerr.UserLocked)
		h.must(h.SetLocked(ctx, alice, false))
		fresh := h.refresh(again.Refresh)
		h.must(h.Logout(ctx, alice, "PHONE"))
		for _, token := range []string{again.Refresh, fresh.Refresh} {
			_, err = h.Refresh(ctx, token)
			h.goneSoftly("after logout", err, false)
		}
	})
}

func TestHowManyAnswersToOneRefreshTokenAreKept(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		h.create(alice)
		first := h.refreshing(alice, "PHONE")
		for range 3 * maxNew {
			h.refresh(first.Refresh)
		}
		var access, refresh int
		h.must(db.View(ctx, func(tx *store.Tx) error {
			return tx.Row("SELECT (SELECT count(*) FROM access_tokens), (SELECT count(*) FROM refresh_tokens)").Scan(&access, &refresh)
		}))
		if access != maxNew+1 || refresh != maxNew+1 {
			t.Errorf("there are %d access tokens and %d refresh tokens", access, refresh)
		}
		if last := h.refresh(first.Refresh); !h.good(last.Token) {
			t.Error("the last answer is not good")
		}
	})
}

func TestAccessTokensExpire(t *testing.T) {
	location := t.TempDir() + "/parley.db"
	synctest.Test(t, func(t *testing.T) {
		db := storetest.Open(t, location)
		defer db.Close()
		h := open(t, db, Options{TokenLife: 5 * time.Second, LastingTokenLife: time.Hour})
		h.create(alice)
		short, long := h.refreshing(alice, "PHONE"), h.login(alice, "LAPTOP")
		if long.Refresh != "" || long.Life != time.Hour {
			t.Errorf("got %+v", long)
		}
		time.Sleep(5*time.Second - time.Millisecond)
		if !h.good(short.Token) || !h.good(long.Token) {
			t.Error("a token is not good before its time is over")
		}
		time.Sleep(time.Millisecond)
		_, err := h.Authenticate(ctx, short.Token)
		h.goneSoftly("after five seconds", err, true)
		if !h.good(h.refresh(short.Refresh).Token) {
			t.Error("it could not be refreshed when it had expired")
		}
		time.Sleep(time.Hour)
		_, err = h.Authenticate(ctx, long.Token)
		h.goneSoftly("after an hour", err, true)
		if again := h.login(alice, "LAPTOP"); !h.good(again.Token) || len(h.devices(alice)) != 2 {
			t.Error("the device cannot log in again")
		}
	})
}

func TestDevicesAreRemovedWhileTheyRefresh(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		h.create(alice)
		var wg sync.WaitGroup
		fine := func(err error) bool {
			if err != nil && !errors.Is(err, mxerr.UnknownToken) {
				t.Error(err)
			}
			return err == nil
		}
		for i := range 4 {
			wg.Go(func() {
				device := id.DeviceID("D" + string(rune('0'+i%2)))
				for range 10 {
					login, err := h.Login(ctx, NewDevice{User: alice, ID: device, Refreshes: true})
					if !fine(err) {
						return
					}
					next := login.Tokens
					for range 3 {
						if next, err = h.Refresh(ctx, next.Refresh); !fine(err) {
							break
						}
						_, err = h.Authenticate(ctx, next.Token)
						fine(err)
					}
					if i == 0 {
						fine(h.LogoutAll(ctx, alice))
					} else {
						fine(h.Logout(ctx, alice, device))
					}
				}
			})
		}
		wg.Wait()
	})
}

func TestRequestsOfADeviceOutliveTheTokensOfAnotherOne(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{TokenLife: time.Hour})
		h.create(alice)
		h.login(alice, "PHONE")
		first := h.refreshing(alice, "LAPTOP")
		phone, stop := h.Watch(alice, "PHONE")
		defer stop()
		second := h.refresh(first.Refresh)
		if !h.good(second.Token) || phone.Err() != nil {
			t.Errorf("requests of the phone ended with %v, want nothing", phone.Err())
		}
	})
}

func TestRequestsOutliveWhatIsRefused(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{TokenLife: time.Hour})
		h.create(alice)
		first := h.refreshing(alice, "PHONE")
		if second := h.refresh(first.Refresh); !h.good(second.Token) {
			t.Fatal("the second token is not good")
		}
		waiting, stop := h.Watch(alice, "PHONE")
		defer stop()
		_, err := h.Refresh(ctx, first.Refresh)
		h.goneSoftly("the first refresh token", err, true)
		_, err = h.Authenticate(ctx, first.Token)
		h.goneSoftly("the first access token", err, true)
		if waiting.Err() != nil {
			t.Errorf("requests with the second token ended with %v", waiting.Err())
		}
	})
}
