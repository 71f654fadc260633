package account

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/mxerr"
)

func TestTokensThatAreNone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		h.create(alice)
		token := h.login(alice, "PHONE").Token
		if !strings.HasPrefix(token, tokenPrefix) || !plausible(token) {
			t.Errorf("token %s", token)
		}
		for _, other := range []string{"", "x", "\x00", "\xff", tokenPrefix, token + "A", token[1:], strings.Repeat("x", 1<<20)} {
			_, err := h.Authenticate(ctx, other)
			h.refused(err, mxerr.UnknownToken)
		}
	})
}

func TestPlausible(t *testing.T) {
	token, _ := newToken()
	for i := range token {
		damaged := token[:i] + "!" + token[i+1:]
		if strings.HasPrefix(damaged, tokenPrefix) && plausible(damaged) {
			t.Errorf("%s is plausible, which was %s", damaged, token)
		}
	}
	for token, want := range map[string]bool{
		"syt_b2xk_abcdef_123": true, "": true, "parley": true, tokenPrefix: false, "parley_x": false, "parley__": false,
	} {
		if got := plausible(token); got != want {
			t.Errorf("%q: got %t, want %t", token, got, want)
		}
	}
}

func TestWhatAnotherNodeRevokesEndsSoon(t *testing.T) {
	location := t.TempDir() + "/parley.db"
	synctest.Test(t, func(t *testing.T) {
		db := storetest.Open(t, location)
		here, there := open(t, db, Options{}), open(t, db, Options{})
		here.create(alice)
		token := here.login(alice, "PHONE").Token
		if !here.good(token) || !there.good(token) {
			t.Fatal("the token is not good")
		}
		here.must(there.Logout(ctx, alice, "PHONE"))
		if there.good(token) {
			t.Error("it is good where it was revoked")
		}
		time.Sleep(sessionAge + time.Millisecond)
		if here.good(token) {
			t.Error("it is good on the other node, ten seconds later")
		}
		db.Close()
	})
}

// TestARevokedTokenIsNotRememberedAgain: a token is read, revoked, and then what
// was read is to be remembered.
func TestARevokedTokenIsNotRememberedAgain(t *testing.T) {
	s := newSessions(10)
	var d digest
	_, change, _ := s.get(d)
	s.dropUser(bob)
	s.put(d, Session{UserID: alice}, change, time.Time{})
	if _, _, ok := s.get(d); ok {
		t.Error("what was read before something was revoked is remembered")
	}
}

func TestRememberedSessionsAreBounded(t *testing.T) {
	s := newSessions(10)
	for i := range 100 {
		var d digest
		d[0] = byte(i)
		_, change, _ := s.get(d)
		s.put(d, Session{UserID: alice}, change, time.Time{})
		if session, _, ok := s.get(d); !ok || session.UserID != alice {
			t.Fatalf("session %d is not remembered", i)
		}
	}
	if n := len(s.young) + len(s.old); n > 20 {
		t.Errorf("%d are remembered, want 20 at most", n)
	}
	s.dropUser(alice)
	if n := len(s.young) + len(s.old); n != 0 {
		t.Errorf("%d are remembered after all were dropped", n)
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	db := storetest.Open(b, b.TempDir()+"/parley.db")
	a := New(db, Options{Server: "a.test", Argon2: cheap()})
	login, err := a.Create(ctx, NewAccount{Localpart: "alice", Login: &NewDevice{}})
	if err != nil {
		b.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		forget bool
	}{{"remembered", false}, {"read", true}} {
		b.Run(row.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if row.forget {
					a.sessions.dropUser(alice)
				}
				if _, err := a.Authenticate(ctx, login.Token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
