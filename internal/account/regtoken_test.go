package account

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/mxerr"
)

func TestRegistrationTokens(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		now := time.Now()
		for _, token := range []RegistrationToken{
			{Token: "open"},
			{Token: "admins", Admin: true, Uses: 1},
			{Token: "late", Expires: now.Add(-time.Second)},
			{Token: "soon", Expires: now.Add(time.Hour)},
			{Token: "twice", Uses: 2},
		} {
			if _, err := h.CreateRegistrationToken(ctx, token); err != nil {
				t.Fatal(err)
			}
		}
		made := 0
		listed := func(token string) bool {
			list, err := h.RegistrationTokens(ctx)
			h.must(err)
			i := slices.IndexFunc(list, func(t RegistrationToken) bool { return t.Token == token })
			return i >= 0 && list[i].Good
		}
		for _, row := range []struct {
			token string
			good  bool
			admin bool
		}{
			{"open", true, false}, {"open", true, false}, {"soon", true, false}, {"late", false, false},
			{"admins", true, true}, {"admins", false, false},
			{"twice", true, false}, {"twice", true, false}, {"twice", false, false},
			{"unknown", false, false}, {"\x00", false, false}, {"\xff", false, false},
		} {
			good, err := h.RegistrationTokenGood(ctx, row.token)
			if good != row.good || listed(row.token) != row.good || err != nil {
				t.Errorf("%q is good: %t, in the list %t, %v, want %t", row.token, good, listed(row.token), err, row.good)
			}
			made++
			login, err := h.Create(ctx, NewAccount{Localpart: fmt.Sprintf("user-%d", made), Token: row.token})
			if !row.good {
				h.refused(err, mxerr.Forbidden)
				continue
			}
			h.must(err)
			if info, err := h.Info(ctx, login.UserID); err != nil || info.Admin != row.admin {
				t.Errorf("%s made %+v, %v", row.token, info, err)
			}
		}
	})
}

func TestRegistrationTokensAreListedAndDeleted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		expires := time.UnixMilli(time.Now().Add(time.Hour).UnixMilli())
		first, err := h.CreateRegistrationToken(ctx, RegistrationToken{Uses: 3, Expires: expires})
		h.must(err)
		for _, bad := range []RegistrationToken{{Token: first.Token}, {Token: "a b"}, {Token: string(make([]byte, 65))}, {Uses: -1}} {
			_, err := h.CreateRegistrationToken(ctx, bad)
			h.refused(err, mxerr.InvalidParam)
		}
		_, err = h.Create(ctx, NewAccount{Token: first.Token})
		h.must(err)
		list, err := h.RegistrationTokens(ctx)
		if err != nil || len(list) != 1 || list[0].Used != 1 || list[0].Uses != 3 || !list[0].Expires.Equal(expires) {
			t.Errorf("got %+v, %v", list, err)
		}
		h.must(h.DeleteRegistrationToken(ctx, first.Token))
		h.refused(h.DeleteRegistrationToken(ctx, first.Token), mxerr.NotFound)
		_, err = h.Create(ctx, NewAccount{Token: first.Token})
		h.refused(err, mxerr.Forbidden)
	})
}

func TestATokenOfOneUseMakesOneAccount(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		token, err := h.CreateRegistrationToken(ctx, RegistrationToken{Uses: 1})
		h.must(err)
		var made atomic.Int64
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				_, err := h.Create(ctx, NewAccount{Localpart: fmt.Sprintf("user-%d", i), Token: token.Token})
				if err == nil {
					made.Add(1)
				} else if !errors.Is(err, mxerr.Forbidden) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		list, err := h.List(ctx, "", 10)
		if made.Load() != 1 || len(list) != 1 || err != nil {
			t.Errorf("%d accounts were made, there are %v, %v", made.Load(), list, err)
		}
	})
}

func TestATakenNameDoesNotUseUpAToken(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		h.create(alice)
		token, err := h.CreateRegistrationToken(ctx, RegistrationToken{Uses: 1})
		h.must(err)
		_, err = h.Create(ctx, NewAccount{Localpart: "alice", Token: token.Token})
		h.refused(err, mxerr.UserInUse)
		_, err = h.Create(ctx, NewAccount{Localpart: "bob", Token: token.Token})
		h.must(err)
	})
}

func TestTheFirstAccountIsMadeWithTheFirstToken(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		var tokens [4]string
		var wg sync.WaitGroup
		for i := range tokens {
			wg.Go(func() { tokens[i], _ = open(t, db, Options{}).EnsureFirstToken(ctx) })
		}
		wg.Wait()
		for _, token := range tokens {
			if token == "" || token != tokens[0] {
				t.Fatalf("nodes that start at once got %q", tokens)
			}
		}
		login, err := h.Create(ctx, NewAccount{Localpart: "alice", Token: tokens[0]})
		h.must(err)
		if info, err := h.Info(ctx, login.UserID); err != nil || !info.Admin {
			t.Errorf("got %+v, %v", info, err)
		}
		if token, err := open(t, db, Options{}).EnsureFirstToken(ctx); token != "" || err != nil {
			t.Errorf("got %q, %v afterwards", token, err)
		}
	})
}

func TestTheFirstTokenIsNothingWhenThereIsAnAccount(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		token, err := h.EnsureFirstToken(ctx)
		h.must(err)
		h.create(alice) // in another way
		if good, err := h.RegistrationTokenGood(ctx, token); good || err != nil {
			t.Errorf("it is good: %t, %v", good, err)
		}
		if list, err := h.RegistrationTokens(ctx); len(list) != 1 || list[0].Good || err != nil {
			t.Errorf("listed are %+v, %v", list, err)
		}
		_, err = h.Create(ctx, NewAccount{Localpart: "mallory", Token: token})
		h.refused(err, mxerr.Forbidden)
	})
}
