package fedtest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/internal/hstest"
	"parley/matrix/canonjson"
	"parley/matrix/roomver"
)

// eachOwned plays a scene for each room version in which users own pieces of state.
func eachOwned(t *testing.T, play func(t *testing.T, version roomver.Version)) {
	for rules := range roomver.Known() {
		if rules.OwnedState {
			t.Run("version "+string(rules.Version), func(t *testing.T) { play(t, rules.Version) })
		}
	}
}

// shared makes a room in which everybody may set state of one type, and bob is a
// moderator.
func (s *stage) shared(by *hstest.User, version roomver.Version) string {
	s.Helper()
	return s.room(by, fmt.Sprintf(`{"preset":"public_chat","room_version":%q,"power_level_content_override":{
		"events":{"org.test.own":0},"users":{%q:100,"@bob:b.test":50}}}`, version, by.ID))
}

// sets tries to set a piece of state, and fails unless that is allowed or refused as
// it should be.
func (s *stage) sets(u *hstest.User, room, key string, want int) {
	s.Helper()
	status, answer := u.Do("PUT", path("rooms", room, "state", "org.test.own", key), fmt.Sprintf(`{"by":%q}`, u.ID))
	if status != want {
		s.Errorf("%s sets %q: got %d %s, want %d", u.ID, key, status, answer, want)
	}
}

// has fails unless a user sees who has set a piece of state.
func (s *stage) has(u *hstest.User, room, key string, by *hstest.User) {
	s.Helper()
	if got := text(u.Must("GET", path("rooms", room, "state", "org.test.own", key), nil), "by"); got != string(by.ID) {
		s.Errorf("%s sees %q set by %q, want %s", u.ID, key, got, by.ID)
	}
}

func TestUsersOwnStateOverServers(t *testing.T) {
	eachOwned(t, func(t *testing.T, version roomver.Version) {
		scene(t, func(s *stage) {
			a, b, longer := s.Server("a.test"), s.Server("b.test"), s.Server("a.test.b.test")
			alice, al, alX := a.Register("alice"), a.Register("al"), a.Register("al_x")
			bob, namesake := b.Register("bob"), longer.Register("al")
			room := s.shared(alice, version)
			s.join(al, room)
			s.join(alX, room)
			s.join(bob, room, "a.test")
			s.join(namesake, room, "b.test", "a.test")
			s.settle()
			everybody := []*hstest.User{alice, al, alX, bob, namesake}
			for _, u := range everybody {
				s.sets(u, room, string(u.ID), 200)
				s.sets(u, room, string(u.ID)+"_x", 200)
				s.sets(u, room, string(u.ID)+"_x:a.test", 200)
			}
			s.settle()
			for _, owner := range everybody {
				for _, u := range everybody {
					key := string(owner.ID) + "_x"
					switch {
					case u == owner || owner == alice:
					case u == alice || u == bob:
						continue
					default:
						s.sets(u, room, key, 403)
					}
				}
				s.has(bob, room, string(owner.ID)+"_x", owner)
			}
			s.agree(room, everybody...)

			// Who is above may, from here and from elsewhere.
			s.sets(bob, room, "@al:a.test_x", 200)
			s.sets(bob, room, "@al:a.test.b.test_x", 200)
			s.sets(bob, room, "@alice:a.test_x", 403)
			s.sets(alice, room, "@bob:b.test_x", 200)
			s.settle()
			for _, u := range everybody {
				s.has(u, room, "@al:a.test_x", bob)
				s.has(u, room, "@al:a.test.b.test_x", bob)
				s.has(u, room, "@bob:b.test_x", alice)
				s.has(u, room, "@al_x:a.test_x", alX)
			}
			s.sets(al, room, "@al:a.test_x", 200) // it is still his
			s.settle()
			s.has(namesake, room, "@al:a.test_x", al)
			s.agree(room, everybody...)
		})
	})
}

// TestAServerTakesNoStateOfOthers, whatever it sends; that of its own users counts.
func TestAServerTakesNoStateOfOthers(t *testing.T) {
	eachOwned(t, func(t *testing.T, version roomver.Version) {
		scene(t, func(s *stage) {
			v := s.villain("evil.test")
			a, b := s.Server("a.test"), s.Server("b.test")
			alice, bob := a.Register("alice"), b.Register("bob")
			room := s.shared(alice, version)
			s.join(bob, room, "a.test")
			s.settle()
			s.sets(bob, room, "@bob:b.test_x", 200)
			s.sets(alice, room, "@nobody", 400)
			s.settle()
			f := v.enter(a, room)
			s.settle()
			for _, key := range []string{"@mallory:evil.test_x", "@bob:b.test_x", "@bob:b.test", "@alice:a.test_x", "@mallory:evil.test.b.test_x", "@nobody"} {
				e := v.complete(f, f.draft("secret").With("type", canonjson.Text("org.test.own")).With("state_key", canonjson.Text(key)).
					With("content", canonjson.Value(`{"by":"@mallory:evil.test"}`)))
				if status, answer := v.push(a, []canonjson.Value{e.JSON()}, nil); status != 200 {
					t.Errorf("%s: got %d %s", key, status, answer)
				}
				if status, answer := v.push(b, []canonjson.Value{e.JSON()}, nil); status != 200 {
					t.Errorf("%s: got %d %s", key, status, answer)
				}
			}
			s.settle()
			for _, u := range []*hstest.User{alice, bob} {
				s.has(u, room, "@bob:b.test_x", bob)
				var keys []string
				for e := range u.Must("GET", path("rooms", room, "state"), nil).Elements() {
					if e.Get("sender").Is("@mallory:evil.test") {
						keys = append(keys, text(e, "state_key"))
					}
				}
				if got := strings.Join(keys, " "); got != "@mallory:evil.test @mallory:evil.test_x" {
					t.Errorf("%s sees state of the villain at %q", u.ID, got)
				}
			}
			s.agree(room, alice, bob)
		})
	})
}

// TestOwnersAndThoseAboveMeetAgain: both have set the same while their servers did
// not reach each other, and one has lost the power meanwhile.
func TestOwnersAndThoseAboveMeetAgain(t *testing.T) {
	eachOwned(t, func(t *testing.T, version roomver.Version) {
		scene(t, func(s *stage) {
			alice, bob, carol := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob"), s.Server("c.test").Register("carol")
			room := s.shared(alice, version)
			s.join(bob, room, "a.test")
			s.join(carol, room, "a.test")
			s.settle()
			s.sets(carol, room, "@carol:c.test_x", 200)
			s.settle()

			servers := []string{"a.test:8448", "b.test:8448", "c.test:8448"}
			for _, name := range servers {
				s.Net.Cut(name)
			}
			levels := alice.Must("GET", path("rooms", room, "state", "m.room.power_levels"), nil)
			s.set(alice, room, "m.room.power_levels", "", string(levels.With("users", levels.Get("users").Without("@bob:b.test"))))
			s.sets(bob, room, "@carol:c.test_x", 200) // for he has not heard of it
			s.sets(bob, room, "@carol:c.test_y", 200)
			s.sets(carol, room, "@carol:c.test_z", 200)
			s.sets(alice, room, "@carol:c.test_z", 200)
			s.settle()
			for _, name := range servers {
				s.Net.Mend(name)
			}
			time.Sleep(2 * time.Hour)
			s.say(alice, room, "there you are")
			s.settle()
			s.agree(room, alice, bob, carol)
			s.has(bob, room, "@carol:c.test_x", carol)
			if status, answer := alice.Do("GET", path("rooms", room, "state", "org.test.own", "@carol:c.test_y"), nil); status != 404 {
				t.Errorf("what was set without the power: got %d %s", status, answer)
			}
			s.has(bob, room, "@carol:c.test_z", alice)
			s.sets(bob, room, "@carol:c.test_x", 403)
			s.sets(alice, room, "@carol:c.test_x", 200)
			s.settle()
			s.has(carol, room, "@carol:c.test_x", alice)
		})
	})
}
