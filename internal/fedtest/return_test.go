package fedtest

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/internal/config"
	"parley/internal/hstest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/signing"
)

// rekey has a server sign with another key from now on.
func (s *stage) rekey(server *hstest.Server) {
	s.Helper()
	server.Stop()
	seed := signing.EncodeBase64([]byte(strings.Repeat("k", 32)))
	if err := os.WriteFile(filepath.Join(server.Config.DataDir, "signing.key"), []byte("ed25519 new "+seed+"\n"), 0o600); err != nil {
		s.Fatal(err)
	}
	server.Start()
}

func TestAServerChangesItsKeyWhileAnotherIsAway(t *testing.T) {
	for _, version := range []string{"1", "5", "12"} {
		t.Run("version "+version, func(t *testing.T) {
			scene(t, func(s *stage) {
				a, b := s.Server("a.test"), s.Server("b.test")
				alice, bob := a.Register("alice"), b.Register("bob")
				room := s.room(alice, fmt.Sprintf(`{"preset":"public_chat","room_version":%q}`, version))
				s.join(bob, room, "a.test")
				s.settle()
				b.Kill()
				old := s.say(alice, room, "by the old key")
				time.Sleep(time.Hour)
				s.rekey(a)
				fresh := s.say(alice, room, "by the new key")
				time.Sleep(24 * time.Hour)
				b.Start()
				time.Sleep(3 * time.Hour)
				s.hears(bob, room, old, "by the old key")
				s.hears(bob, room, fresh, "by the new key")
				// Who comes now has never known the old key.
				carol := s.Server("c.test").Register("carol")
				s.join(carol, room, "b.test")
				s.settle()
				s.agree(room, alice, bob, carol)
				s.sameHistory(room, alice, carol)
			})
		})
	}
}

// asking has a server ask another one for the keys of those that cannot be reached.
func asking(notary id.ServerName) func(*config.Config) {
	return func(c *config.Config) { c.Federation.Notaries = config.ServerNames(notary) }
}

// A server that has lost everything has its name, but neither its keys nor its rooms.
func TestAServerComesBackWithNothing(t *testing.T) {
	for _, version := range []string{"1", "6", "12"} {
		t.Run("version "+version, func(t *testing.T) {
			scene(t, func(s *stage) {
				b := s.Server("b.test")
				alice, bob := s.Server("a.test").Register("alice"), b.Register("bob")
				room := s.room(alice, fmt.Sprintf(`{"preset":"public_chat","room_version":%q}`, version))
				s.join(bob, room, "a.test")
				s.settle()
				s.say(bob, room, "I was here")
				s.settle()
				b.Stop()
				time.Sleep(time.Hour)
				bob = s.Server("b.test", asking("a.test")).Register("bob")
				lost := s.say(alice, room, "are you there?") // what comes of rooms that it does not know harms nobody
				time.Sleep(time.Hour)
				s.join(bob, room, "a.test")
				s.settle()
				s.agree(room, alice, bob)
				hello := s.say(bob, room, "with another key")
				s.settle()
				s.hears(alice, room, hello, "with another key")
				again := s.say(alice, room, "welcome back")
				s.settle()
				s.hears(bob, room, again, "welcome back")
				found := false
				for _, eventID := range s.history(bob, room, "", 50) {
					found = found || eventID == lost
				}
				if !found {
					t.Error("bob does not see what was said meanwhile")
				}
			})
		})
	}
}

func TestAServerIsKeptOutAndLetBackIn(t *testing.T) {
	scene(t, func(s *stage) {
		alice, bob, carol := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob"), s.Server("c.test").Register("carol")
		room := s.room(alice, `{"preset":"public_chat"}`)
		s.join(bob, room, "a.test")
		s.join(carol, room, "a.test")
		s.settle()
		s.set(alice, room, "m.room.server_acl", "", `{"allow":["*"],"deny":["b.test"]}`)
		s.settle()
		out := s.say(bob, room, "do you hear me?")
		bob.Must("PUT", path("rooms", room, "typing", string(bob.ID)), `{"typing":true,"timeout":30000}`)
		s.settle()
		for _, u := range []*hstest.User{alice, carol} {
			if status, got := u.Do("GET", path("rooms", room, "event", out), nil); status != 404 {
				t.Errorf("%s hears %s", u.ID, got)
			}
			if s.types(u, bob, room) {
				t.Errorf("%s sees that bob types", u.ID)
			}
		}
		for _, uri := range []string{"/state_ids/" + room + "?event_id=" + url.QueryEscape(out), "/backfill/" + room + "?limit=1&v=" + url.QueryEscape(out), "/make_join/" + room + "/@bob:b.test"} {
			if status, answer := bob.Server.Ask(alice.Server, "GET", "/_matrix/federation/v1"+uri, nil); status != 403 {
				t.Errorf("%s: got %d %s", uri, status, answer)
			}
		}
		s.set(alice, room, "m.room.server_acl", "", `{"allow":["*"],"deny":[]}`)
		s.settle()
		in := s.say(bob, room, "and now?")
		time.Sleep(time.Hour)
		for _, u := range []*hstest.User{alice, carol} {
			s.hears(u, room, in, "and now?")
		}
		s.agree(room, alice, bob, carol)
	})
}

func TestARoomOfThreeServersIsUpgraded(t *testing.T) {
	for _, from := range []string{"1", "6", "11"} {
		t.Run("from version "+from, func(t *testing.T) {
			scene(t, func(s *stage) {
				alice, bob, carol := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob"), s.Server("c.test").Register("carol")
				room := s.room(alice, fmt.Sprintf(`{"preset":"public_chat","name":"Old","room_version":%q,"power_level_content_override":{"users":{"@alice:a.test":100,"@bob:b.test":100}}}`, from))
				for _, u := range []*hstest.User{bob, carol} {
					s.join(u, room, "a.test")
				}
				s.settle()
				// The room moves to the server of who upgrades it.
				next := text(bob.Must("POST", path("rooms", room, "upgrade"), `{"new_version":"12"}`), "replacement_room")
				s.settle()
				for _, u := range []*hstest.User{alice, carol} {
					tomb := u.Must("GET", path("rooms", room, "state", "m.room.tombstone", ""), nil)
					if text(tomb, "replacement_room") != next {
						t.Errorf("%s sees %s", u.ID, tomb)
					}
					s.join(u, next, "b.test")
				}
				s.settle()
				s.agree(room, alice, bob, carol)
				s.agree(next, alice, bob, carol)
				if name := carol.Must("GET", path("rooms", next, "state", "m.room.name", ""), nil); text(name, "name") != "Old" {
					t.Errorf("the new room is called %s", name)
				}
				if status, _ := carol.Do("PUT", path("rooms", room, "send", "m.room.message", "x"), `{"body":"x","msgtype":"m.text"}`); status != 403 {
					t.Errorf("carol still speaks in the old room: %d", status)
				}
				hello := s.say(alice, next, "here we are")
				s.settle()
				s.hears(bob, next, hello, "here we are")
				s.hears(carol, next, hello, "here we are")
			})
		})
	}
}

func TestAnInviteIsTakenBackWhileTheOtherServerIsDown(t *testing.T) {
	scene(t, func(s *stage) {
		b := s.Server("b.test")
		alice, bob := s.Server("a.test").Register("alice"), b.Register("bob")
		room := s.room(alice, `{"preset":"private_chat"}`)
		alice.Must("POST", path("rooms", room, "invite"), map[string]string{"user_id": string(bob.ID)})
		s.settle()
		b.Kill()
		alice.Must("POST", path("rooms", room, "kick"), map[string]string{"user_id": string(bob.ID)})
		time.Sleep(24 * time.Hour)
		b.Start()
		time.Sleep(3 * time.Hour)
		if section(s, bob, "invite", room) {
			t.Error("bob is still invited")
		}
		if status, _ := bob.Do("POST", path("join", room)+"?via=a.test", `{}`); status != 403 {
			t.Errorf("bob gets %d", status)
		}
	})
}

func TestAnInviteIsDeclinedWhileTheOtherServerIsDown(t *testing.T) {
	scene(t, func(s *stage) {
		a := s.Server("a.test")
		alice, bob, carol := a.Register("alice"), s.Server("b.test").Register("bob"), s.Server("c.test").Register("carol")
		room := s.room(alice, `{"preset":"private_chat","invite":["@bob:b.test","@carol:c.test"]}`)
		s.join(carol, room)
		s.settle()
		a.Kill()
		bob.Must("POST", path("rooms", room, "leave"), `{}`)
		a.Start()
		time.Sleep(time.Hour)
		if section(s, bob, "invite", room) {
			t.Error("bob is still invited")
		}
		// That nobody was told does not keep him from being invited again.
		alice.Must("POST", path("rooms", room, "kick"), map[string]string{"user_id": string(bob.ID)})
		alice.Must("POST", path("rooms", room, "invite"), map[string]string{"user_id": string(bob.ID)})
		s.settle()
		s.join(bob, room)
		s.settle()
		s.agree(room, alice, bob, carol)
	})
}

func TestWhoIsThrownOutWhileAwayFindsOut(t *testing.T) {
	for _, what := range []string{"kick", "ban"} {
		t.Run(what, func(t *testing.T) {
			scene(t, func(s *stage) {
				b := s.Server("b.test")
				alice, bob := s.Server("a.test").Register("alice"), b.Register("bob")
				room := s.room(alice, `{"preset":"public_chat"}`)
				s.join(bob, room, "a.test")
				s.settle()
				since := text(s.sync(bob), "next_batch")
				b.Kill()
				alice.Must("POST", path("rooms", room, what), map[string]string{"user_id": string(bob.ID)})
				secret := s.say(alice, room, "he is gone")
				time.Sleep(24 * time.Hour)
				b.Start()
				time.Sleep(3 * time.Hour)
				if next := bob.Must("GET", path("sync")+"?since="+since, nil); next.Get("rooms").Get("leave").Get(room) == nil {
					t.Errorf("bob is not told: %s", next)
				}
				if status, got := bob.Do("GET", path("rooms", room, "event", secret), nil); status == 200 {
					t.Errorf("bob hears %s", got)
				}
				if status, _ := bob.Do("PUT", path("rooms", room, "send", "m.room.message", "x"), `{"body":"x","msgtype":"m.text"}`); status != 403 {
					t.Errorf("bob still speaks: %d", status)
				}
			})
		})
	}
}

func TestAKnockIsAnsweredWhileItsServerIsDown(t *testing.T) {
	scene(t, func(s *stage) {
		b := s.Server("b.test")
		alice, bob := s.Server("a.test").Register("alice"), b.Register("bob")
		room := s.room(alice, `{"preset":"private_chat","initial_state":[{"type":"m.room.join_rules","content":{"join_rule":"knock"}}]}`)
		bob.Must("POST", path("knock", room)+"?via=a.test", `{}`)
		s.settle()
		b.Kill()
		// It cannot be asked to sign an invite. A refusal needs no signature.
		if status, answer := alice.Do("POST", path("rooms", room, "invite"), map[string]string{"user_id": string(bob.ID)}); status == 200 || status >= 500 {
			t.Errorf("got %d %s", status, answer)
		}
		alice.Must("POST", path("rooms", room, "kick"), map[string]string{"user_id": string(bob.ID)})
		b.Start()
		time.Sleep(3 * time.Hour)
		if section(s, bob, "knock", room) {
			t.Error("bob still knocks")
		}
	})
}

func TestHistoryIsHadFromWhoeverIsThere(t *testing.T) {
	scene(t, func(s *stage) {
		a := s.Server("a.test")
		alice, bob, carol := a.Register("alice"), s.Server("b.test").Register("bob"), s.Server("c.test").Register("carol")
		room := s.room(alice, `{"preset":"public_chat"}`)
		for i := range 150 {
			s.say(alice, room, fmt.Sprint("before ", i))
		}
		s.join(bob, room, "a.test")
		s.settle()
		want := s.history(bob, room, "", 50)
		s.join(carol, room, "b.test")
		s.settle()
		a.Kill() // whose room it is, and which has said most of it
		if got := s.history(carol, room, "", 40); len(got) != len(want)+1 {
			t.Errorf("carol sees %d events, want %d", len(got), len(want)+1)
		}
	})
}

func TestARoomIsFoundByItsAlias(t *testing.T) {
	scene(t, func(s *stage) {
		a := s.Server("a.test")
		alice, bob, carol := a.Register("alice"), s.Server("b.test").Register("bob"), s.Server("c.test", asking("b.test")).Register("carol")
		room := s.room(alice, `{"preset":"public_chat","room_alias_name":"tea"}`)
		found := bob.Must("GET", path("directory", "room", "#tea:a.test"), nil)
		if text(found, "room_id") != room || !strings.Contains(string(found.Get("servers")), "a.test") {
			t.Errorf("bob finds %s", found)
		}
		bob.Must("POST", path("join", "#tea:a.test"), `{}`)
		s.settle()
		if found = carol.Must("GET", path("directory", "room", "#tea:a.test"), nil); !strings.Contains(string(found.Get("servers")), "b.test") {
			t.Errorf("carol is told of %s", found)
		}
		// An alias of another server that is of the same room.
		bob.Must("PUT", path("directory", "room", "#tee:b.test"), canonjson.Value("{}").With("room_id", canonjson.Text(room)))
		a.Kill()
		carol.Must("POST", path("join", "#tee:b.test"), `{}`)
		s.settle()
		s.agree(room, bob, carol)
		a.Start()
		time.Sleep(3 * time.Hour)
		s.agree(room, alice, bob, carol)
		alice.Must("DELETE", path("directory", "room", "#tea:a.test"), nil)
		for _, alias := range []string{"#tea:a.test", "#none:a.test", "#tea:nowhere.test"} {
			if status, answer := bob.Do("POST", path("join", alias), `{}`); status != 404 {
				t.Errorf("%s: got %d %s", alias, status, answer)
			}
		}
	})
}

func TestTwoOfAServerJoinAtOnce(t *testing.T) {
	scene(t, func(s *stage) {
		b := s.Server("b.test")
		alice := s.Server("a.test").Register("alice")
		users := []*hstest.User{alice}
		room := s.room(alice, `{"preset":"public_chat"}`)
		done := make(chan error)
		for i := range 5 {
			u := b.Register(fmt.Sprint("user", i))
			users = append(users, u)
			go func() {
				status, answer, err := u.Try("POST", path("join", room)+"?via=a.test", `{}`)
				if err == nil && status != 200 {
					err = fmt.Errorf("%s: got %d %s", u.ID, status, answer)
				}
				done <- err
			}()
		}
		for range 5 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		s.settle()
		s.agree(room, users...)
	})
}

func TestProfilesChangeInRoomsOfOthers(t *testing.T) {
	scene(t, func(s *stage) {
		b := s.Server("b.test")
		alice, bob := s.Server("a.test").Register("alice"), b.Register("bob")
		room := s.room(alice, `{"preset":"public_chat"}`)
		s.join(bob, room, "a.test")
		s.settle()
		bob.Must("PUT", path("profile", string(bob.ID), "displayname"), `{"displayname":"Bobby"}`)
		s.settle()
		if got := alice.Must("GET", path("rooms", room, "state", "m.room.member", string(bob.ID)), nil); text(got, "displayname") != "Bobby" {
			t.Errorf("alice sees %s", got)
		}
		s.agree(room, alice, bob)
	})
}

func TestMessagesAreChangedAndRedactedOverServers(t *testing.T) {
	for _, version := range []string{"1", "10", "11", "12"} {
		t.Run("version "+version, func(t *testing.T) {
			scene(t, func(s *stage) {
				alice, bob := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob")
				room := s.room(alice, fmt.Sprintf(`{"preset":"public_chat","room_version":%q}`, version))
				s.join(bob, room, "a.test")
				s.settle()
				hello, secret := s.say(bob, room, "helo"), s.say(bob, room, "secret")
				bob.Must("PUT", path("rooms", room, "send", "m.room.message", "edit"), fmt.Sprintf(
					`{"body":"* hello","msgtype":"m.text","m.new_content":{"body":"hello","msgtype":"m.text"},"m.relates_to":{"rel_type":"m.replace","event_id":%q}}`, hello))
				s.settle()
				got := alice.Must("GET", path("rooms", room, "event", hello), nil)
				if text(got, "unsigned", "m.relations", "m.replace", "content", "m.new_content", "body") != "hello" {
					t.Errorf("alice sees %s", got)
				}
				alice.Must("PUT", path("rooms", room, "redact", secret, "r"), `{"reason":"indeed"}`)
				s.settle()
				got = bob.Must("GET", path("rooms", room, "event", secret), nil)
				if got.Get("content").Get("body") != nil || text(got, "unsigned", "redacted_because", "content", "reason") != "indeed" {
					t.Errorf("bob sees %s", got)
				}
				// Who comes now does not see it, either.
				carol := s.Server("c.test").Register("carol")
				s.join(carol, room, "b.test")
				s.settle()
				s.sameHistory(room, alice, carol)
				if got := carol.Must("GET", path("rooms", room, "event", secret), nil); got.Get("content").Get("body") != nil {
					t.Errorf("carol sees %s", got)
				}
			})
		})
	}
}
