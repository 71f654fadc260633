package account

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"parley/matrix/mxerr"
)

func TestNewPasswords(t *testing.T) {
	a := New(nil, Options{Argon2: cheap()})
	for _, row := range []struct {
		name, password string
		code           mxerr.Code
	}{
		{"long enough", "12345678", ""},
		{"long enough in characters", "пароль12", ""},
		{"as long as allowed", strings.Repeat("x", 512), ""},
		{"with NUL", "1234567\x00", ""},
		{"none", "", ""},
		{"short", "1234567", mxerr.WeakPassword},
		{"short in characters", "пароль", mxerr.WeakPassword},
		{"too long", strings.Repeat("x", 513), mxerr.InvalidParam},
	} {
		hash, err := a.HashPassword(ctx, row.password)
		if row.code != "" {
			if !errors.Is(err, row.code) {
				t.Errorf("%s: got %v, want %s", row.name, err, row.code)
			}
			continue
		}
		if err != nil || (hash == "") != (row.password == "") {
			t.Errorf("%s: got %q, %v", row.name, hash, err)
			continue
		}
		matches, err := a.passwords.matches(ctx, hash, row.password)
		if err != nil || matches != (row.password != "") {
			t.Errorf("%s: it matches: %t, %v", row.name, matches, err)
		}
		if again, err := a.HashPassword(ctx, row.password); err != nil || again == hash && hash != "" {
			t.Errorf("%s: hashed twice it is the same, %v", row.name, err)
		}
	}
}

// The hash is a test vector of the reference implementation of argon2.
func TestHashesOfOthers(t *testing.T) {
	h := newHasher(cheap())
	const other = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	for password, want := range map[string]bool{"password": true, "Password": false} {
		if got, err := h.matches(ctx, other, password); got != want || err != nil {
			t.Errorf("%s: got %t, %v, want %t", password, got, err, want)
		}
	}
}

func TestFewPasswordsAreHashedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cost := cheap()
		cost.Concurrency = 1
		h := newHasher(cost)
		h.slots <- struct{}{} // somebody is at it
		waiting, cancel := context.WithCancel(ctx)
		var err error
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, err = h.hash(waiting, secret)
		}()
		synctest.Wait()
		select {
		case <-done:
			t.Error("a second one is hashed")
		default:
		}
		cancel()
		<-done
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v for a client that has gone", err)
		}
		<-h.slots
		if _, err := h.hash(ctx, secret); err != nil {
			t.Error(err)
		}
	})
}

func FuzzParseHash(f *testing.F) {
	valid, err := newHasher(cheap()).hash(ctx, secret)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{
		string(valid), "", "$", "$argon2id$v=19$m=8,t=0,p=1$c29tZXNhbHQ$AAAA", "$argon2i$v=19$m=8,t=1,p=1$$",
		"$argon2id$v=19$m=99999999999,t=1,p=1$c29tZXNhbHQ$AAAA", "$2b$12$abcdefghijklmnopqrstuv",
		strings.Replace(string(valid), "t=1", "t=+1", 1),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parseHash(Hash(s))
		if err != nil {
			return
		}
		if p.encode() != Hash(s) {
			t.Errorf("%q was read as %q", s, p.encode())
		}
		if p.cost.Memory > maxMemory || p.cost.Time > maxTime {
			t.Errorf("%q costs %+v", s, p.cost)
		}
	})
}

func TestThePolicyForPasswords(t *testing.T) {
	for _, row := range []struct {
		name     string
		policy   PasswordPolicy
		password string
		code     mxerr.Code // empty: it is accepted
	}{
		{"seven characters", PasswordPolicy{}, "abcdefg", mxerr.WeakPassword},
		{"eight", PasswordPolicy{}, "abcdefgh", ""},
		{"eight, of more bytes", PasswordPolicy{}, "äöüßäöüß", ""},
		{"four where that suffices", PasswordPolicy{MinLength: 4}, "abcd", ""},
		{"eleven of twelve", PasswordPolicy{MinLength: 12}, "abcdefghijk", mxerr.WeakPassword},
		{"one kind of two", PasswordPolicy{MinKinds: 2}, "abcdefgh", mxerr.WeakPassword},
		{"two kinds", PasswordPolicy{MinKinds: 2}, "abcdefg1", ""},
		{"three kinds of four", PasswordPolicy{MinKinds: 4}, "Abcdefg1", mxerr.WeakPassword},
		{"four kinds", PasswordPolicy{MinKinds: 4}, "Äbcdefg1 ", ""},
		{"too long", PasswordPolicy{}, strings.Repeat("x", maxPassword+1), mxerr.InvalidParam},
	} {
		if err := row.policy.check(row.password); row.code == "" && err != nil || row.code != "" && !errors.Is(err, row.code) {
			t.Errorf("%s: got %v, want %q", row.name, err, row.code)
		}
	}
}
