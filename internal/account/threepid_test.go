package account

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func TestParseNumber(t *testing.T) {
	for _, row := range []struct{ country, text, want string }{
		{"GB", "07700 900001", "447700900001"},
		{"gb", "(07700) 900-001", "447700900001"},
		{"GB", "+49 30 901820", "4930901820"},
		{"", "+44 7700 900001", "447700900001"},
		{"IT", "06 698 12345", "390669812345"}, // Italy keeps the zero
		{"US", "(650) 253-0000", "16502530000"},
		{"", "07700900001", ""},
		{"XX", "07700900001", ""},
		{"GBR", "07700900001", ""},
		{"GB", "", ""},
		{"GB", "1", ""},
		{"GB", "alice@example.org", ""},
		{"GB", "07700900001\x00", ""},
		{"GB", "0" + strings.Repeat("7", 100), ""},
		{"GB", strings.Repeat("+", 60), ""},
	} {
		got, err := ParseNumber(row.country, row.text)
		if got.Address != row.want || (err == nil) != (row.want != "") || err != nil && !errors.Is(err, mxerr.InvalidParam) {
			t.Errorf("%q in %q: got %+v, %v, want %q", row.text, row.country, got, err, row.want)
		}
	}
}

func FuzzParseNumber(f *testing.F) {
	f.Add("GB", "07700 900001 ext. 5")
	f.Add("", "tel:+44-7700-900001;phone-context=+44")
	f.Fuzz(func(t *testing.T, country, text string) {
		got, err := ParseNumber(country, text)
		if err != nil {
			return
		}
		if again, err := ParseThreePID("msisdn", got.Address); err != nil || again != got {
			t.Errorf("%q in %q is %q, and that %+v, %v", text, country, got.Address, again, err)
		}
	})
}

func TestParseThreePID(t *testing.T) {
	for _, row := range []struct {
		medium, address, want string
		code                  mxerr.Code
	}{
		{"email", "Alice@Example.ORG", "alice@example.org", ""},
		{"msisdn", "447700900001", "447700900001", ""},
		{"email", "alice", "", mxerr.InvalidParam},
		{"email", "alice@example.org\x00", "", mxerr.InvalidParam},
		{"msisdn", "+447700900001", "", mxerr.InvalidParam},
		{"msisdn", "", "", mxerr.InvalidParam},
		{"msisdn", strings.Repeat("1", 16), "", mxerr.InvalidParam},
		{"fax", "447700900001", "", mxerr.ThreePIDMediumNotSupported},
		{"", "", "", mxerr.ThreePIDMediumNotSupported},
	} {
		got, err := ParseThreePID(row.medium, row.address)
		if got.Address != row.want || (err == nil) != (row.code == "") || err != nil && !errors.Is(err, row.code) {
			t.Errorf("%s %q: got %+v, %v, want %q %s", row.medium, row.address, got, err, row.want, row.code)
		}
	}
}

func email(address string) ThreePID { return ThreePID{Email, address} }

// contacts returns the addresses of a user as text.
func (h house) contacts(user id.UserID) string {
	h.t.Helper()
	list, err := h.Contacts(ctx, user)
	if err != nil {
		h.t.Fatal(err)
	}
	var all []string
	for _, c := range list {
		all = append(all, string(c.Medium)+" "+c.Address)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func TestAnAddressBelongsToOneAccount(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		h.create(alice)
		h.create(bob)
		number := ThreePID{MSISDN, "447700900001"}
		h.must(h.SetContacts(ctx, alice, []ThreePID{email("a@example.org"), number}))
		h.must(h.SetContacts(ctx, alice, []ThreePID{number, email("a2@example.org")}))
		if got := h.contacts(alice); got != "email a2@example.org, msisdn 447700900001" {
			t.Errorf("got %s", got)
		}
		if err := h.SetContacts(ctx, bob, []ThreePID{email("b@example.org"), number}); !errors.Is(err, mxerr.ThreePIDInUse) || h.contacts(bob) != "" {
			t.Errorf("got %v, %s", err, h.contacts(bob))
		}
		if user, err := h.Owner(ctx, number); user != alice || err != nil {
			t.Errorf("got %s, %v", user, err)
		}
		h.must(h.RemoveContact(ctx, bob, number))
		h.must(h.RemoveContact(ctx, alice, email("a@example.org")))
		h.must(h.Deactivate(ctx, alice, false))
		if _, err := h.Owner(ctx, number); !errors.Is(err, mxerr.ThreePIDNotFound) {
			t.Errorf("got %v", err)
		}
		h.must(h.SetContacts(ctx, bob, []ThreePID{number}))
		var many []ThreePID
		for i := range maxContacts + 1 {
			many = append(many, email(fmt.Sprintf("%d@example.org", i)))
		}
		if err := h.SetContacts(ctx, bob, many); !errors.Is(err, mxerr.ThreePIDDenied) || h.contacts(bob) != "msisdn 447700900001" {
			t.Errorf("got %v, %s", err, h.contacts(bob))
		}
	})
}

func TestPeopleLogInByAddress(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		h.create(alice)
		h.must(h.SetContacts(ctx, alice, []ThreePID{email("alice@example.org"), {MSISDN, "447700900001"}}))
		nobody := h.nobody()
		for _, row := range []struct {
			login string
			want  id.UserID
			code  mxerr.Code
		}{
			{`{"identifier":{"type":"m.id.user","user":"alice"}}`, alice, ""},
			{`{"identifier":{"user":"alice"}}`, alice, ""},
			{`{"user":"@alice:a.test"}`, alice, ""},
			{`{"identifier":{"type":"m.id.thirdparty","medium":"email","address":"Alice@example.org"}}`, alice, ""},
			{`{"identifier":{"medium":"email","address":"alice@example.org"}}`, alice, ""},
			{`{"medium":"email","address":"alice@example.org"}`, alice, ""},
			{`{"identifier":{"type":"m.id.thirdparty","medium":"msisdn","address":"447700900001"}}`, alice, ""},
			{`{"identifier":{"type":"m.id.phone","country":"GB","phone":"07700 900001"}}`, alice, ""},
			{`{"identifier":{"type":"m.id.phone","country":"FR","phone":"+44 7700 900001"}}`, alice, ""},
			{`{"identifier":{"type":"m.id.phone","country":"FR","phone":"07700 900001"}}`, nobody, ""},
			{`{"identifier":{"type":"m.id.thirdparty","medium":"email","address":"bob@example.org"}}`, nobody, ""},
			{`{"identifier":{"type":"m.id.thirdparty","medium":"fax","address":"1"}}`, nobody, ""},
			{`{"identifier":{"type":"m.id.thirdparty"}}`, nobody, ""},
			{`{"identifier":{"type":"m.id.user"}}`, "", ""},
			{`{"type":"m.login.password"}`, "", ""},
			{`{"identifier":{"type":"m.id.magic"}}`, "", mxerr.Forbidden},
			{`{"identifier":{"type":"m.id.user","user":"@alice:b.test"}}`, "", mxerr.Forbidden},
			{`{"identifier":"alice"}`, "", mxerr.BadJSON},
			{`{"identifier":{"type":"m.id.thirdparty","medium":"email","address":7}}`, "", mxerr.BadJSON},
			{`{"identifier":{"type":7}}`, "", mxerr.BadJSON},
		} {
			got, err := h.Identified(ctx, body("%s", row.login))
			if got != row.want || (err == nil) != (row.code == "") || err != nil && !errors.Is(err, row.code) {
				t.Errorf("%s: got %s, %v, want %s %s", row.login, got, err, row.want, row.code)
			}
		}
		if _, err := h.CheckPassword(ctx, nobody, secret); !errors.Is(err, mxerr.Forbidden) {
			t.Errorf("got %v", err)
		}
	})
}

func FuzzIdentified(f *testing.F) {
	for _, s := range []string{`{"identifier":{"type":"m.id.phone","country":"GB","phone":"07700 900001"}}`, `{"medium":"email","address":"a@b.test"}`, `{"user":"x"}`} {
		f.Add(s)
	}
	db := storetest.Open(f, f.TempDir()+"/parley.db")
	a := New(db, Options{Server: "a.test", Argon2: cheap()})
	f.Fuzz(func(t *testing.T, s string) {
		v, err := canonjson.Canonical([]byte(s), canonjson.Lenient)
		if err != nil || v.Kind() != canonjson.Object {
			return
		}
		user, err := a.Identified(ctx, v)
		refusal := (*mxerr.Error)(nil)
		if err != nil && !errors.As(err, &refusal) || user != "" && user.Server() != "a.test" {
			t.Errorf("%s: got %q, %v", v, user, err)
		}
	})
}

func TestANewAccountHasAnAddressThatSomebodyElseHasVerifiedIfItCan(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{Messages: Messages{Allows: func(t ThreePID) bool { return !strings.HasSuffix(t.Address, "@evil.test") }}})
		for _, row := range []struct {
			localpart, address string
			has                int
		}{{"alice", "one@example.org", 1}, {"bob", "one@example.org", 0}, {"carol", "two@example.org", 1}, {"dave", "x@evil.test", 0}} {
			made, err := h.Create(ctx, NewAccount{Localpart: row.localpart, Verified: ThreePID{Email, row.address}})
			h.must(err)
			if has, err := h.Contacts(ctx, made.UserID); err != nil || len(has) != row.has {
				t.Errorf("%s: got %v, %v", row.localpart, has, err)
			}
		}
	})
}
