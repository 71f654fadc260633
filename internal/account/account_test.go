package account

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

var ctx = context.Background()

const (
	alice id.UserID = "@alice:a.test"
	bob   id.UserID = "@bob:a.test"

	secret = "correct horse"
)

// cheap is for tests, which do not keep secrets.
func cheap() Argon2 { return Argon2{Memory: 8, Time: 1, Threads: 1} }

// house is accounts with what tests want of them.
type house struct {
	*Accounts
	t *testing.T
}

func open(t *testing.T, db *store.DB, o Options) house {
	o.Server, o.Argon2 = "a.test", cheap()
	return house{New(db, o), t}
}

func (h house) hash(password string) Hash {
	h.t.Helper()
	hash, err := h.HashPassword(ctx, password)
	if err != nil {
		h.t.Fatal(err)
	}
	return hash
}

// create makes a user with the password that all have.
func (h house) create(user id.UserID) {
	h.t.Helper()
	if _, err := h.Create(ctx, NewAccount{Localpart: user.Localpart(), Password: h.hash(secret)}); err != nil {
		h.t.Fatal(err)
	}
}

func (h house) login(user id.UserID, device id.DeviceID) Login {
	h.t.Helper()
	login, err := h.Login(ctx, NewDevice{User: user, ID: device})
	if err != nil {
		h.t.Fatal(err)
	}
	return login
}

// good reports whether a token is.
func (h house) good(token string) bool {
	h.t.Helper()
	_, err := h.Authenticate(ctx, token)
	if err != nil && !errors.Is(err, mxerr.UnknownToken) {
		h.t.Fatal(err)
	}
	return err == nil
}

// devices returns the IDs of a user's devices.
func (h house) devices(user id.UserID) []id.DeviceID {
	h.t.Helper()
	devices, err := h.Devices(ctx, user)
	if err != nil {
		h.t.Fatal(err)
	}
	var ids []id.DeviceID
	for _, d := range devices {
		ids = append(ids, d.ID)
	}
	return ids
}

func (h house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// refused wants an error with a code.
func (h house) refused(err error, code mxerr.Code) {
	h.t.Helper()
	if !errors.Is(err, code) {
		h.t.Errorf("got %v, want %s", err, code)
	}
}

func TestCreate(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		login, err := h.Create(ctx, NewAccount{
			Localpart: "Alice", Password: h.hash(secret), Admin: true, Login: &NewDevice{ID: "PHONE", Name: "my phone"},
		})
		if err != nil {
			t.Fatal(err)
		}
		session, err := h.Authenticate(ctx, login.Token)
		if want := (Session{UserID: alice, DeviceID: "PHONE", Admin: true}); err != nil || session != want {
			t.Errorf("got %+v, %v, want %+v", session, err, want)
		}
		_, err = h.Create(ctx, NewAccount{Localpart: "alice"})
		h.refused(err, mxerr.UserInUse)
		_, err = h.Create(ctx, NewAccount{Localpart: "bob", Login: &NewDevice{ID: "\x00"}})
		h.refused(err, mxerr.InvalidParam)
		if exists, err := h.Exists(ctx, bob); exists || err != nil {
			t.Errorf("a refused request made an account: %v, %v", exists, err)
		}
		for _, n := range []NewAccount{{}, {Guest: true, Localpart: "carol"}} {
			invented, err := h.Create(ctx, n)
			if err != nil {
				t.Fatal(err)
			}
			info, err := h.Info(ctx, invented.UserID)
			if err != nil || info.Guest != n.Guest || invented.UserID == "@carol:a.test" || invented.Token != "" {
				t.Errorf("got %+v, %v for %+v", info, err, n)
			}
		}
		list, err := h.List(ctx, alice, 10)
		if err != nil || len(list) != 2 {
			t.Errorf("after %s there are %v, %v", alice, list, err)
		}
	})
}

func TestAvailable(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		h.create(alice)
		for _, row := range []struct {
			name, localpart string
			code            mxerr.Code // empty: it is available
		}{
			{"a name", "bob", ""},
			{"all that is allowed", "a-z.0=9_/+", ""},
			{"a digit first", "4you", ""},
			{"capitals", "BoB", ""},
			{"taken", "alice", mxerr.UserInUse},
			{"taken, with capitals", "ALICE", mxerr.UserInUse},
			{"empty", "", mxerr.InvalidUsername},
			{"an underscore first", "_bridge", mxerr.InvalidUsername},
			{"a number", "123", mxerr.InvalidUsername},
			{"a colon", "bob:b.test", mxerr.InvalidUsername},
			{"a space", "bob b", mxerr.InvalidUsername},
			{"NUL", "bob\x00", mxerr.InvalidUsername},
			{"a letter that lowers to ASCII", "bo\u212A", mxerr.InvalidUsername},
			{"invalid UTF-8", "bo\xff", mxerr.InvalidUsername},
			{"too long", string(make([]byte, 300)), mxerr.InvalidUsername},
		} {
			err := h.Available(ctx, row.localpart)
			if row.code == "" && err != nil || row.code != "" && !errors.Is(err, row.code) {
				t.Errorf("%s, %q: got %v, want %q", row.name, row.localpart, err, row.code)
			}
		}
	})
}

func TestCheckPassword(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		for _, user := range []id.UserID{alice, "@locked:a.test", "@closed:a.test"} {
			h.create(user)
		}
		h.must(h.SetLocked(ctx, "@locked:a.test", true))
		h.must(h.Deactivate(ctx, "@closed:a.test", false))
		if _, err := h.Create(ctx, NewAccount{Localpart: "bot"}); err != nil {
			t.Fatal(err)
		}
		for _, row := range []struct {
			name     string
			user     id.UserID
			password string
			code     mxerr.Code
		}{
			{"right", alice, secret, ""},
			{"right, and the name in capitals", "@Alice:a.test", secret, ""},
			{"wrong", alice, secret + "!", mxerr.Forbidden},
			{"empty", alice, "", mxerr.Forbidden},
			{"huge", alice, string(make([]byte, 1<<20)), mxerr.Forbidden},
			{"of nobody", bob, secret, mxerr.Forbidden},
			{"of an account without", "@bot:a.test", secret, mxerr.Forbidden},
			{"empty, of an account without", "@bot:a.test", "", mxerr.Forbidden},
			{"of a locked account", "@locked:a.test", secret, mxerr.UserLocked},
			{"wrong, of a locked account", "@locked:a.test", "x", mxerr.Forbidden},
			{"of a deactivated account", "@closed:a.test", secret, mxerr.UserDeactivated},
		} {
			info, err := h.CheckPassword(ctx, row.user, row.password)
			if row.code == "" && (err != nil || info.UserID != alice) || row.code != "" && !errors.Is(err, row.code) {
				t.Errorf("%s: got %v, %v, want %q", row.name, info, err, row.code)
			}
		}
	})
}

func TestAChangedPasswordEndsWhatItIsToEnd(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		h.create(alice)
		phone, laptop := h.login(alice, "PHONE"), h.login(alice, "LAPTOP")
		h.must(h.SetPassword(ctx, alice, h.hash("battery staple"), nil))
		if !h.good(phone.Token) || !h.good(laptop.Token) {
			t.Error("devices that were to be kept were not")
		}
		h.must(h.SetPassword(ctx, alice, h.hash("battery staples"), func(d id.DeviceID) bool { return d == "PHONE" }))
		if !h.good(phone.Token) || h.good(laptop.Token) {
			t.Error("the one device was not kept, or the other was")
		}
		_, err := h.CheckPassword(ctx, alice, secret)
		h.refused(err, mxerr.Forbidden)
		_, err = h.CheckPassword(ctx, alice, "battery staples")
		h.must(err)
		h.refused(h.SetPassword(ctx, bob, h.hash(secret), nil), mxerr.NotFound)
	})
}

func TestADeactivatedAccountIsGoneForGood(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		h.create(alice)
		phone := h.login(alice, "PHONE")
		if !h.good(phone.Token) {
			t.Fatal("the token is not good")
		}
		for range 2 {
			h.must(h.Deactivate(ctx, alice, false))
		}
		if h.good(phone.Token) || len(h.devices(alice)) != 0 {
			t.Error("it has a token or a device")
		}
		_, err := h.Login(ctx, NewDevice{User: alice})
		h.refused(err, mxerr.UserDeactivated)
		h.refused(h.SetPassword(ctx, alice, h.hash(secret), nil), mxerr.NotFound)
		h.refused(h.Available(ctx, "alice"), mxerr.UserInUse)
		h.refused(h.Deactivate(ctx, bob, false), mxerr.NotFound)
		info, err := h.Info(ctx, alice)
		if err != nil || !info.Deactivated {
			t.Errorf("got %+v, %v", info, err)
		}
	})
}

func TestFlagsTakeEffectAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		h.create(alice)
		token := h.login(alice, "PHONE").Token
		for name, set := range map[string]func(context.Context, id.UserID, bool) error{
			"admin": h.SetAdmin, "locked": h.SetLocked, "suspended": h.SetSuspended,
		} {
			for _, value := range []bool{true, false} {
				h.must(set(ctx, alice, value))
				s, err := h.Authenticate(ctx, token)
				got := map[string]bool{"admin": s.Admin, "locked": s.Locked, "suspended": s.Suspended}
				if err != nil || got[name] != value {
					t.Errorf("%s set to %t: got %+v, %v", name, value, s, err)
				}
			}
			h.refused(set(ctx, bob, true), mxerr.NotFound)
		}
	})
}

func TestLocalUser(t *testing.T) {
	h := open(t, nil, Options{})
	for name, want := range map[string]id.UserID{
		"alice": alice, "@alice:a.test": alice, "Älice": "@Älice:a.test", "@alice:b.test": "", "@alice": "",
		"alice:b.test": "", "a\x00": "", "@": "", "\xff": "",
	} {
		if got, err := h.LocalUser(name); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", name, got, err, want)
		}
	}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestWhatTheEndOfTheServerInterruptsIsNoFault(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var log bytes.Buffer
		a := New(db, Options{Server: "a.test", Argon2: cheap(), Log: slog.New(slog.NewTextHandler(&log, nil))})
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if a.tidy(ended); log.Len() > 0 {
			t.Errorf("the log says %s", log.String())
		}
		db.FailAt(func(store.Point) error { return errors.New("broken") })
		if a.tidy(ctx); log.Len() == 0 {
			t.Error("a fault is not in the log")
		}
	})
}
