package hstest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/matrix/canonjson"
	"parley/matrix/id"
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

// TestWhoLogsOutIsGoneWheneverTheServerDies: whoever asks again may be nobody any
// more, and others must not encrypt for a device that is gone.
func TestWhoLogsOutIsGoneWheneverTheServerDies(t *testing.T) {
	for commits := 1; commits < 8; commits++ {
		synctest.Test(t, func(t *testing.T) {
			s := New(t).Server("a.test")
			alice, bob := s.Register("alice"), s.Register("bob")
			laptop := alice.Login()
			laptop.UploadKeys("A")
			synctest.Wait()
			s.DiesAfter(commits)
			laptop.Try("POST", "/_matrix/client/v3/logout", `{}`)
			s.Restart()
			laptop.Do("POST", "/_matrix/client/v3/logout", `{}`)
			synctest.Wait()
			answer := bob.Must("POST", keysPath+"query", `{"device_keys":{"@alice:a.test":[]}}`)
			if got := answer.Get("device_keys"); string(got) != `{"@alice:a.test":{}}` {
				t.Errorf("killed after %d commits: the device has the keys %s", commits, got)
			}
			devices := alice.Must("GET", "/_matrix/client/v3/devices", nil)
			if n := len(slices.Collect(devices.Get("devices").Elements())); n != 1 {
				t.Errorf("killed after %d commits: there are %d devices", commits, n)
			}
		})
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

// dehydrate makes a dehydrated device of a user, by the name of another one.
func (u *User) dehydrate(name string) (int, canonjson.Value) {
	return u.Do("PUT", dehydratedPath, u.dehydrated(name))
}

// dehydrated is the request by which that is done.
func (u *User) dehydrated(name string) map[string]any {
	k := (&User{ID: u.ID, Device: id.DeviceID(name)}).Keys()
	return map[string]any{
		"device_id": name, "device_data": map[string]string{"algorithm": "m.dehydration.v1.olm", "device_pickle": "of " + name},
		"initial_device_display_name": "dehydrated", "device_keys": k.Sign(k.Device()), "one_time_keys": k.OneTime("A"), "fallback_keys": k.Fallback("F"),
	}
}

const dehydratedPath = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device"

func TestADehydratedDeviceStandsInForOthers(t *testing.T) {
	s := New(t).Server("a.test")
	alice, bob := s.Register("alice"), s.Register("bob")
	expect := func(what string, got, want any) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	status := func(method, path string, body any) int {
		status, _ := alice.Do(method, path, body)
		return status
	}
	expect("before there is one", status("GET", dehydratedPath, nil), 404)
	expect("events before there is one", status("POST", dehydratedPath+"/FIRST/events", `{}`), 403)
	expect("deleting before there is one", status("DELETE", dehydratedPath, nil), 404)
	got, _ := alice.dehydrate(string(alice.Device))
	expect("called as a device that there is", got, 400)
	got, answer := alice.dehydrate("FIRST")
	expect("the first", fmt.Sprint(got, " ", answer), `200 {"device_id":"FIRST"}`)
	expect("what there is", string(alice.Must("GET", dehydratedPath, nil)), `{"device_data":{"algorithm":"m.dehydration.v1.olm","device_pickle":"of FIRST"},"device_id":"FIRST"}`)
	if got, _ := bob.Do("GET", dehydratedPath, nil); got != 404 {
		t.Errorf("bob gets %d", got)
	}
	first := &User{ID: alice.ID, Device: "FIRST"}
	expect("a key of it", bob.claim(first), "A")
	got, _ = alice.dehydrate("SECOND")
	expect("the second", got, 200)
	expect("a key of the first", bob.claim(first), "")
	expect("devices", strings.Count(string(alice.Must("GET", "/_matrix/client/v3/devices", nil)), `"device_id"`), 2)

	events := alice.Must("POST", dehydratedPath+"/SECOND/events", `{}`)
	next, _ := events.Get("next_batch").Text()
	expect("events", string(events.Get("events")), "[]")
	expect("more events", status("POST", dehydratedPath+"/SECOND/events", map[string]string{"next_batch": next}), 200)
	expect("events behind nonsense", status("POST", dehydratedPath+"/SECOND/events", `{"next_batch":"x"}`), 400)
	expect("events of the first", status("POST", dehydratedPath+"/FIRST/events", `{}`), 403)
	expect("the same as it is proposed now", string(alice.Must("GET", dehydratedPath+"/SECOND/events", nil)), `{"events":[]}`)
	expect("of the first", status("GET", dehydratedPath+"/FIRST/events", nil), 403)
	expect("behind nonsense", status("GET", dehydratedPath+"/SECOND/events?from=x", nil), 400)
	const many = 201 // two more pages after the first
	for i := range many {
		bob.Must("PUT", fmt.Sprintf("/_matrix/client/v3/sendToDevice/m.test/%d", i), fmt.Sprintf(`{"messages":{%q:{"SECOND":{"n":%d}}}}`, alice.ID, i))
	}
	for range 2 { // whoever is interrupted begins again
		var pages, got []int
		for from := ""; ; {
			page := alice.Must("GET", dehydratedPath+"/SECOND/events"+from, nil)
			for e := range page.Get("events").Elements() {
				n, _ := e.Get("content").Get("n").Int()
				got = append(got, int(n))
			}
			pages = append(pages, len(got))
			next, more := page.Get("next_batch").Text()
			if from = "?from=" + next; !more {
				break
			}
		}
		expect("pages", pages, []int{100, 200, 201})
		if !slices.IsSorted(got) {
			t.Errorf("events come as %d", got)
		}
	}
	for what, body := range map[string]string{
		"nothing":        `{}`,
		"no keys":        `{"device_id":"X","device_data":{"algorithm":"x"}}`,
		"no algorithm":   `{"device_id":"X","device_data":{},"device_keys":{}}`,
		"no data":        `{"device_id":"X","device_data":[],"device_keys":{}}`,
		"no device":      `{"device_id":"","device_data":{"algorithm":"x"},"device_keys":{}}`,
		"keys of nobody": `{"device_id":"X","device_data":{"algorithm":"x"},"device_keys":{}}`,
	} {
		expect(what, status("PUT", dehydratedPath, body), 400)
	}
	expect("deleting", string(alice.Must("DELETE", dehydratedPath, nil)), `{"device_id":"SECOND"}`)
	expect("what there is", status("GET", dehydratedPath, nil), 404)
	expect("devices", strings.Count(string(alice.Must("GET", "/_matrix/client/v3/devices", nil)), `"device_id"`), 1)
}

// TestADehydratedDeviceIsThereWithItsKeysOrNotAtAll: to ask again makes up for what a
// crash has interrupted, and it leaves no device of which nobody knows what it is.
func TestADehydratedDeviceIsThereWithItsKeysOrNotAtAll(t *testing.T) {
	for commits := 1; commits < 5; commits++ {
		synctest.Test(t, func(t *testing.T) {
			s := New(t).Server("a.test")
			alice, bob := s.Register("alice"), s.Register("bob")
			alice.dehydrate("FIRST")
			synctest.Wait()
			s.DiesAfter(commits)
			alice.Try("PUT", dehydratedPath, alice.dehydrated("SECOND"))
			s.Restart()
			devices := alice.Must("GET", "/_matrix/client/v3/devices", nil)
			there := strings.Contains(string(devices), `"device_id":"SECOND"`)
			if keyed := bob.claim(&User{ID: alice.ID, Device: "SECOND"}) == "A"; there != keyed {
				t.Errorf("killed after %d commits: the device is there: %v, and has keys: %v", commits, there, keyed)
			}
			if got, answer := alice.dehydrate("SECOND"); got != 200 {
				t.Errorf("killed after %d commits: to ask again is answered with %d %s", commits, got, answer)
			}
			if got := alice.Must("GET", dehydratedPath, nil).Get("device_id"); !got.Is("SECOND") {
				t.Errorf("killed after %d commits: the dehydrated device is %s", commits, got)
			}
			synctest.Wait() // until the first has been removed
			devices = alice.Must("GET", "/_matrix/client/v3/devices", nil)
			if n := len(slices.Collect(devices.Get("devices").Elements())); n != 2 {
				t.Errorf("killed after %d commits: there are %d devices", commits, n)
			}
		})
	}
}

func TestWhoIsDeactivatedLeavesNoKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(t).Server("a.test")
		alice, bob := s.Register("alice"), s.Register("bob")
		alice.UploadKeys("A")
		alice.Must("POST", keysPath+"device_signing/upload", alice.CrossSigning("1"))
		alice.Must("POST", "/_matrix/client/v3/room_keys/version", `{"algorithm":"x","auth_data":{}}`)
		alice.deactivate(`{}`)
		time.Sleep(time.Minute)
		synctest.Wait()
		want := `{"device_keys":{"@alice:a.test":{}},"failures":{},"master_keys":{},"self_signing_keys":{},"user_signing_keys":{}}`
		if got := string(bob.Must("POST", keysPath+"query", `{"device_keys":{"@alice:a.test":[]}}`)); got != want {
			t.Errorf("got %s", got)
		}
		if got := bob.claim(alice); got != "" {
			t.Errorf("got key %s", got)
		}
	})
}
