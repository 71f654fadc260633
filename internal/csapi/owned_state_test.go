package csapi_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"parley/internal/hstest"
	"parley/internal/store/storetest"
	"parley/matrix/roomver"
)

// eachOwned runs f for each room version in which users own pieces of state.
func eachOwned(t *testing.T, f func(t *testing.T, version roomver.Version)) {
	for rules := range roomver.Known() {
		if rules.OwnedState {
			t.Run("version "+string(rules.Version), func(t *testing.T) { f(t, rules.Version) })
		}
	}
}

// shared is a room in which everybody may set state of one type.
func shared(version roomver.Version) string {
	return fmt.Sprintf(`{"preset":"public_chat","room_version":%q,"power_level_content_override":{"events":{"org.test.own":0}}}`, version)
}

func TestAUserHasPiecesOfState(t *testing.T) {
	eachOwned(t, func(t *testing.T, version roomver.Version) {
		storetest.EachLocation(t, func(t *testing.T, location string) {
			a := hstest.New(t).Server("a.test", hstest.Database(location))
			alice, al, alX, bob := a.Register("alice"), a.Register("al"), a.Register("al_x"), a.Register("bob")
			r := room(alice, shared(version))
			for _, u := range []*hstest.User{al, alX, bob} {
				u.Must("POST", r+"/join", `{}`)
			}
			tooLong := "@al:a.test_" + strings.Repeat("x", 255)
			for _, c := range []struct {
				user *hstest.User
				key  string
				want int
				code string
			}{
				{al, "@al:a.test", 200, ""},
				{al, "@al:a.test_PHONE", 200, ""},
				{al, "@al:a.test_x:a.test", 200, ""},
				{al, "@al:a.test_", 200, ""},
				{al, "@al:a.test_ 📞 _", 200, ""},
				{al, tooLong[:255], 200, ""},
				{al, tooLong, 400, "M_BAD_JSON"},
				{al, "@al_x:a.test", 403, "M_FORBIDDEN"},
				{al, "@al_x:a.test_PHONE", 403, "M_FORBIDDEN"},
				{al, "@alice:a.test_PHONE", 403, "M_FORBIDDEN"},
				{al, "@al:a.testing_PHONE", 403, "M_FORBIDDEN"},
				{al, "@al_a.test", 400, "M_BAD_JSON"},
				{al, "@al", 400, "M_BAD_JSON"},
				{alX, "@al_x:a.test_PHONE", 200, ""},
				{alX, "@al:a.test_x", 403, "M_FORBIDDEN"},
				{bob, "@al:a.test_PHONE", 403, "M_FORBIDDEN"},
				{bob, "_@al:a.test_PHONE", 200, ""},
				{alice, "@al:a.test_PHONE", 200, ""},
				{alice, "@al", 400, "M_BAD_JSON"},
			} {
				status, answer := c.user.Do("PUT", r+"/state/org.test.own/"+url.PathEscape(c.key), `{"by":"`+string(c.user.ID)+`"}`)
				if status != c.want || text(answer, "errcode") != c.code {
					t.Errorf("%s sets %q: got %d %s, want %d", c.user.ID, c.key, status, answer, c.want)
				}
			}
			a.Restart()
			for key, want := range map[string]string{
				"@al:a.test": "@al:a.test", "@al:a.test_PHONE": "@alice:a.test", "@al:a.test_x:a.test": "@al:a.test",
				"@al_x:a.test_PHONE": "@al_x:a.test", tooLong[:255]: "@al:a.test",
			} {
				if got := text(bob.Must("GET", r+"/state/org.test.own/"+url.PathEscape(key), nil), "by"); got != want {
					t.Errorf("%q is by %q, want %s", key, got, want)
				}
			}

			// Who comes to the same level is not below any more.
			levels := alice.Must("GET", r+"/state/m.room.power_levels", nil)
			alice.Must("PUT", r+"/state/m.room.power_levels", string(levels.With("users_default", levels.Get("users").Get("@alice:a.test"))))
			if status, answer := alice.Do("PUT", r+"/state/org.test.own/@al:a.test_PHONE", `{}`); status != 403 {
				t.Errorf("an equal sets it: %d %s", status, answer)
			}
			al.Must("PUT", r+"/state/org.test.own/@al:a.test_PHONE", `{}`)
		})
	})
}

func TestElsewhereAUserHasOnePieceOfState(t *testing.T) {
	a := hstest.New(t).Server("a.test")
	alice := a.Register("alice")
	r := room(alice, shared(roomver.Default))
	alice.Must("PUT", r+"/state/org.test.own/@alice:a.test", `{}`)
	for _, key := range []string{"@alice:a.test_PHONE", "@bob:a.test", "@"} {
		if status, answer := alice.Do("PUT", r+"/state/org.test.own/"+key, `{}`); status != 403 || text(answer, "errcode") != "M_FORBIDDEN" {
			t.Errorf("%s: got %d %s", key, status, answer)
		}
	}
}

func TestRoomsAreMadeWithPiecesOfState(t *testing.T) {
	eachOwned(t, func(t *testing.T, version roomver.Version) {
		a := hstest.New(t).Server("a.test")
		alice, bob := a.Register("alice"), a.Register("bob")
		with := func(key string) string {
			return fmt.Sprintf(`{"preset":"public_chat","room_version":%q,"initial_state":[{"type":"org.test.own","state_key":%q,"content":{"n":1}}]}`, version, key)
		}
		for _, key := range []string{"@alice:a.test_PHONE", "@bob:a.test_PHONE"} {
			r := room(alice, with(key))
			if got := string(alice.Must("GET", r+"/state/org.test.own/"+key, nil)); got != `{"n":1}` {
				t.Errorf("%s is %s", key, got)
			}
		}
		if status, answer := alice.Do("POST", "/_matrix/client/v3/createRoom", with("@bob")); status != 400 {
			t.Errorf("with a key of nobody: got %d %s", status, answer)
		}

		// A room gets the version, and loses it.
		upgraded := func(r string, to roomver.Version) string {
			next := alice.Must("POST", r+"/upgrade", fmt.Sprintf(`{"new_version":%q}`, to))
			return "/_matrix/client/v3/rooms/" + url.PathEscape(text(next, "replacement_room"))
		}
		first := room(alice, `{"preset":"public_chat","power_level_content_override":{"events":{"org.test.own":0}}}`)
		bob.Must("POST", first+"/join", `{}`)
		second := upgraded(first, version)
		bob.Must("POST", second+"/join", `{}`)
		bob.Must("PUT", second+"/state/org.test.own/@bob:a.test_PHONE", `{}`)
		third := upgraded(second, roomver.Default)
		bob.Must("POST", third+"/join", `{}`)
		if status, answer := bob.Do("PUT", third+"/state/org.test.own/@bob:a.test_PHONE", `{}`); status != 403 {
			t.Errorf("after it was lost: got %d %s", status, answer)
		}
	})
}

// TestPiecesOfStateAreSetLater: whether they may be is found out when that is.
func TestPiecesOfStateAreSetLater(t *testing.T) {
	a := hstest.New(t).Server("a.test")
	alice, bob := a.Register("alice"), a.Register("bob")
	r := room(alice, shared("org.matrix.msc3757.11"))
	bob.Must("POST", r+"/join", `{}`)
	later := func(key string, ms int) string {
		t.Helper()
		answer := bob.Must("PUT", fmt.Sprintf("%s/state/org.test.own/%s?org.matrix.msc4140.delay=%d", r, key, ms), `{"n":2}`)
		return stableDelays + "/" + text(answer, "delay_id")
	}
	bob.Must("PUT", r+"/state/org.test.own/@bob:a.test_PHONE", `{"n":1}`)
	bob.Must("POST", later("@bob:a.test_PHONE", 3600000)+"/send", nil)
	for key, want := range map[string]string{"@alice:a.test_PHONE": "M_FORBIDDEN", "@bob": "M_BAD_JSON"} {
		if _, answer := bob.Do("POST", later(key, 3600000)+"/send", nil); text(answer, "errcode") != want {
			t.Errorf("%s, sent at once: got %s, want %s", key, answer, want)
		}
		due := later(key, 1)
		eventually(t, key+" is refused", func() bool {
			return text(bob.Must("GET", due, nil), "error", "errcode") == want
		})
	}
	if got := string(alice.Must("GET", r+"/state/org.test.own/@bob:a.test_PHONE", nil)); got != `{"n":2}` {
		t.Errorf("afterwards it is %s", got)
	}
}
