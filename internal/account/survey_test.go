package account

import (
	"errors"
	"slices"
	"testing"
	"time"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func TestAccountsAreSurveyed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		for _, name := range []string{"alice", "bob", "carol"} {
			if _, err := h.Create(ctx, NewAccount{Localpart: name, Admin: name == "bob"}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := h.Create(ctx, NewAccount{Guest: true}); err != nil {
			t.Fatal(err)
		}
		h.must(h.SetLocked(ctx, "@carol:a.test", true))
		h.must(h.Deactivate(ctx, "@alice:a.test", false))
		yes, no := true, false
		for _, tt := range []struct {
			name  string
			q     Query
			want  []id.UserID
			total int64
		}{
			{"no guests", Query{Guests: &no, Limit: 10}, []id.UserID{"@alice:a.test", "@bob:a.test", "@carol:a.test"}, 3},
			{"backwards", Query{Guests: &no, Limit: 2, Backwards: true}, []id.UserID{"@carol:a.test", "@bob:a.test"}, 3},
			{"a page", Query{Guests: &no, Limit: 1, Skip: 1}, []id.UserID{"@bob:a.test"}, 3},
			{"by a part", Query{Part: "ARO", Limit: 10}, []id.UserID{"@carol:a.test"}, 1},
			{"a part is no pattern", Query{Part: "%", Limit: 10}, nil, 0},
			{"administrators", Query{Admins: &yes, Limit: 10}, []id.UserID{"@bob:a.test"}, 1},
			{"deactivated", Query{Deactivated: &yes, Limit: 10}, []id.UserID{"@alice:a.test"}, 1},
			{"locked", Query{Locked: &yes, Limit: 10}, []id.UserID{"@carol:a.test"}, 1},
		} {
			list, total, err := h.Survey(ctx, tt.q)
			var users []id.UserID
			for _, info := range list {
				users = append(users, info.UserID)
			}
			if err != nil || total != tt.total || !slices.Equal(users, tt.want) {
				t.Errorf("%s: got %v of %d, %v, want %v of %d", tt.name, users, total, err, tt.want, tt.total)
			}
		}
		if list, total, err := h.Survey(ctx, Query{ByAge: true, Limit: 10}); err != nil || total != 4 || len(list) != 4 {
			t.Errorf("by age: got %v of %d, %v", list, total, err)
		}
		h.must(h.Reactivate(ctx, "@alice:a.test"))
		if info, err := h.Info(ctx, "@alice:a.test"); err != nil || info.Deactivated {
			t.Errorf("got %+v, %v", info, err)
		}
	})
}

func TestRegistrationTokensAreChanged(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		made, err := h.CreateRegistrationToken(ctx, RegistrationToken{Token: "token", Uses: 1})
		h.must(err)
		expires := time.Now().Add(time.Hour).Truncate(time.Millisecond)
		h.must(h.ChangeRegistrationToken(ctx, made.Token, 5, expires))
		if got, err := h.RegistrationTokenInfo(ctx, made.Token); err != nil || got.Uses != 5 || !got.Expires.Equal(expires) {
			t.Errorf("got %+v, %v", got, err)
		}
		h.must(h.ChangeRegistrationToken(ctx, made.Token, 0, time.Time{}))
		if got, err := h.RegistrationTokenInfo(ctx, made.Token); err != nil || got.Uses != 0 || !got.Expires.IsZero() {
			t.Errorf("got %+v, %v", got, err)
		}
		if err := h.ChangeRegistrationToken(ctx, "none", 1, time.Time{}); !errors.Is(err, mxerr.NotFound) {
			t.Errorf("got %v", err)
		}
		if _, err := h.RegistrationTokenInfo(ctx, "none"); !errors.Is(err, mxerr.NotFound) {
			t.Errorf("got %v", err)
		}
	})
}
