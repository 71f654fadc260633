package hstest

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/matrix/canonjson"
)

const keysPath = "/_matrix/client/v3/keys/"

// left is what a /sync says of what the device has left of keys.
func left(sync canonjson.Value) string {
	return string(sync.Get("device_one_time_keys_count")) + " " + string(sync.Get("device_unused_fallback_key_types"))
}

// claim claims a key of a user's device, and returns its name.
func (u *User) claim(of *User) string {
	u.world.Helper()
	wanted := map[string]any{"one_time_keys": map[string]any{string(of.ID): map[string]string{string(of.Device): "signed_curve25519"}}}
	answer := u.Must("POST", keysPath+"claim", wanted)
	for name := range answer.Get("one_time_keys").Get(string(of.ID)).Get(string(of.Device)).Members() {
		return strings.TrimPrefix(name.String(), "signed_curve25519:")
	}
	return ""
}

func TestADeviceHearsOfWhatItHasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(t).Server("a.test")
		alice, bob := s.Register("alice"), s.Register("bob")
		laptop := alice.Login()
		expect := func(what, got, want string) {
			t.Helper()
			if got != want {
				t.Errorf("%s: got %s, want %s", what, got, want)
			}
		}
		expect("at first", left(alice.Must("GET", syncPath("", 0), nil)), `{"signed_curve25519":0} []`)
		alice.UploadKeys("A", "B")
		alice.Must("POST", keysPath+"upload", canonjson.Value("{}").With("fallback_keys", alice.Keys().Fallback("F")))
		first := alice.Must("GET", syncPath("", 0), nil)
		expect("after the upload", left(first), `{"signed_curve25519":2} ["signed_curve25519"]`)
		other := laptop.Must("GET", syncPath("", 0), nil)
		expect("another device", left(other), `{"signed_curve25519":0} []`)

		heard := make(chan canonjson.Value, 2)
		wait := func(u *User, since canonjson.Value) {
			go func() { heard <- u.Must("GET", syncPath(token(since), time.Minute), nil) }()
			synctest.Wait()
		}
		wait(alice, first)
		began := time.Now()
		expect("claimed", bob.claim(alice)[:1], "A")
		second := <-heard
		expect("while it waited", left(second), `{"signed_curve25519":1} ["signed_curve25519"]`)
		if time.Since(began) > 10*time.Second {
			t.Errorf("it was told after %v", time.Since(began))
		}
		// The other device is not told, but at the end.
		began = time.Now()
		wait(laptop, other)
		if other = <-heard; time.Since(began) < time.Minute {
			t.Errorf("another device hears after %v: %s", time.Since(began), other)
		}
		expect("another device", left(other), `{"signed_curve25519":0} []`)

		expect("claimed", bob.claim(alice), "B")
		expect("claimed", bob.claim(alice), "F")
		expect("claimed", bob.claim(alice), "F")
		expect("in the end", left(alice.Must("GET", syncPath(token(second), 0), nil)), `{"signed_curve25519":0} []`)
		expect("from the beginning", left(alice.Must("GET", syncPath("", 0), nil)), `{"signed_curve25519":0} []`)
	})
}

func TestWhoLogsOutTakesTheirKeysAlong(t *testing.T) {
	s := New(t).Server("a.test")
	alice, bob := s.Register("alice"), s.Register("bob")
	laptop := alice.Login()
	alice.UploadKeys("A")
	laptop.UploadKeys("B")
	devices := func() string {
		answer := bob.Must("POST", keysPath+"query", `{"device_keys":{"@alice:a.test":[]}}`)
		var names []string
		for name := range answer.Get("device_keys").Get("@alice:a.test").Members() {
			names = append(names, name.String())
		}
		return fmt.Sprint(len(names))
	}
	if got := devices(); got != "2" {
		t.Errorf("got %s devices", got)
	}
	laptop.Must("POST", "/_matrix/client/v3/logout", `{}`)
	if got := devices(); got != "1" {
		t.Errorf("got %s devices", got)
	}
	if got := bob.claim(laptop); got != "" {
		t.Errorf("got key %s of who is logged out", got)
	}
	if got := bob.claim(alice); got != "A" {
		t.Errorf("got key %q of who is not", got)
	}
}

func TestCrossSigningKeysAreReplacedByPassword(t *testing.T) {
	s := New(t).Server("a.test")
	alice, bob := s.Register("alice"), s.Register("bob")
	upload := func(u *User, body canonjson.Value) (int, canonjson.Value) {
		return u.Do("POST", keysPath+"device_signing/upload", body)
	}
	expect := func(what string, got, want int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %d, want %d", what, got, want)
		}
	}
	first, _ := upload(alice, alice.CrossSigning("1"))
	expect("the first time", first, 200)
	again, _ := upload(alice, alice.CrossSigning("1"))
	expect("the same again", again, 200)
	wrong, answer := upload(alice, alice.CrossSigning("2").With("user_signing_key", bob.CrossSigning("1").Get("user_signing_key")))
	expect("what is not right", wrong, 400)
	if answer.Get("session") != nil {
		t.Errorf("the password is asked for: %s", answer)
	}
	status, challenge := upload(alice, alice.CrossSigning("2"))
	expect("others", status, 401)
	auth := func(password string) canonjson.Value {
		return object(map[string]any{"type": "m.login.password", "session": challenge.Get("session"), "password": password,
			"identifier": map[string]string{"type": "m.id.user", "user": "alice"}})
	}
	master := func() string {
		answer := bob.Must("POST", keysPath+"query", `{"device_keys":{"@alice:a.test":[]}}`)
		if answer.Get("user_signing_keys").Get(string(alice.ID)) != nil {
			t.Error("bob sees the user-signing key")
		}
		return string(answer.Get("master_keys").Get(string(alice.ID)))
	}
	status, _ = upload(alice, alice.CrossSigning("2").With("auth", auth("wrong")))
	expect("with the wrong password", status, 401)
	if master() != string(alice.CrossSigning("1").Get("master_key")) {
		t.Error("the key is replaced without the password")
	}
	// The session knows what it is about.
	status, _ = upload(alice, canonjson.Value("{}").With("auth", auth(alice.Password)))
	expect("with the password", status, 200)
	if master() != string(alice.CrossSigning("2").Get("master_key")) {
		t.Error("the key is not replaced")
	}
}

func TestFriendsVerifyEachOther(t *testing.T) {
	s := New(t).Server("a.test")
	alice, bob := s.Register("alice"), s.Register("bob")
	laptop := alice.Login()
	for _, u := range []*User{alice, bob} {
		u.UploadKeys()
		u.Must("POST", keysPath+"device_signing/upload", u.CrossSigning("1"))
	}
	since := laptop.Must("GET", syncPath("", 0), nil)
	master := bob.CrossKey("master", "1")
	signed := alice.CrossKey("user_signing", "1").Sign(master.Cross("master"))
	own := alice.CrossKey("self_signing", "1").Sign(alice.Keys().Device())
	answer := alice.Must("POST", keysPath+"signatures/upload", map[string]any{
		string(bob.ID):   map[string]any{master.Public(): signed},
		string(alice.ID): map[string]any{string(alice.Device): own, "UNKNOWN": own},
	})
	if failures := string(answer.Get("failures")); !strings.HasPrefix(failures, `{"@alice:a.test":{"UNKNOWN":{"errcode":"M_NOT_FOUND"`) {
		t.Errorf("got failures %s", failures)
	}
	if changed := string(laptop.Must("GET", syncPath(token(since), 0), nil).Get("device_lists").Get("changed")); changed != `["@alice:a.test","@bob:a.test"]` {
		t.Errorf("another device hears of %s", changed)
	}
	signatures := func(viewer *User) string {
		answer := viewer.Must("POST", keysPath+"query", `{"device_keys":{"@bob:a.test":[]}}`)
		return string(answer.Get("master_keys").Get(string(bob.ID)).Get("signatures"))
	}
	if got := signatures(laptop); got != string(signed.Get("signatures")) {
		t.Errorf("alice sees signatures %s", got)
	}
	if got := signatures(bob); got != "" {
		t.Errorf("bob sees signatures %s", got)
	}
}
