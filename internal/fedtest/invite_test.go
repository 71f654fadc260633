package fedtest

import (
	"fmt"
	"strings"
	"testing"

	"parley/internal/hstest"
)

// section reports whether a section of a fresh sync has a room.
func section(s *stage, u *hstest.User, name, room string) bool {
	return s.sync(u).Get("rooms").Get(name).Get(room) != nil
}

func TestAnInviteCrossesServers(t *testing.T) {
	scene(t, func(s *stage) {
		alice, bob := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob")
		room := s.room(alice, `{"preset":"private_chat","name":"Quiet"}`)
		alice.Must("POST", path("rooms", room, "invite"), map[string]string{"user_id": string(bob.ID)})
		s.settle()
		var name string
		for e := range s.sync(bob).Get("rooms").Get("invite").Get(room).Get("invite_state").Get("events").Elements() {
			if e.Get("type").Is("m.room.name") {
				name = text(e, "content", "name")
			}
		}
		if name != "Quiet" {
			t.Errorf("bob is invited into %q", name)
		}
		s.join(bob, room)
		s.settle()
		s.agree(room, alice, bob)
		hello := s.say(alice, room, "hello")
		s.settle()
		s.hears(bob, room, hello, "hello")
	})
}

func TestAnInviteIsDeclined(t *testing.T) {
	scene(t, func(s *stage) {
		alice, bob := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob")
		room := s.room(alice, `{"preset":"private_chat"}`)
		alice.Must("POST", path("rooms", room, "invite"), map[string]string{"user_id": string(bob.ID)})
		s.settle()
		since := text(s.sync(bob), "next_batch")
		bob.Must("POST", path("rooms", room, "leave"), `{}`)
		s.settle()
		if section(s, bob, "invite", room) {
			t.Error("bob is still invited")
		}
		if next := bob.Must("GET", path("sync")+"?since="+since, nil); next.Get("rooms").Get("leave").Get(room) == nil {
			t.Errorf("bob is not told: %s", next)
		}
		member := alice.Must("GET", path("rooms", room, "state", "m.room.member", string(bob.ID)), nil)
		if text(member, "membership") != "leave" {
			t.Errorf("for alice bob is %s", member)
		}
	})
}

func TestAnInviteIsDeclinedWhileNobodyAnswers(t *testing.T) {
	scene(t, func(s *stage) {
		a := s.Server("a.test")
		alice, bob := a.Register("alice"), s.Server("b.test").Register("bob")
		room := s.room(alice, `{"preset":"private_chat"}`)
		alice.Must("POST", path("rooms", room, "invite"), map[string]string{"user_id": string(bob.ID)})
		a.Stop()
		bob.Must("POST", path("rooms", room, "leave"), `{}`)
		if section(s, bob, "invite", room) {
			t.Error("bob is still invited")
		}
		a.Start()
	})
}

func TestAnInviteIsTakenBack(t *testing.T) {
	scene(t, func(s *stage) {
		alice, bob := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob")
		room := s.room(alice, `{"preset":"private_chat"}`)
		alice.Must("POST", path("rooms", room, "invite"), map[string]string{"user_id": string(bob.ID)})
		s.settle()
		alice.Must("POST", path("rooms", room, "kick"), map[string]string{"user_id": string(bob.ID)})
		s.settle()
		if section(s, bob, "invite", room) {
			t.Error("bob is still invited")
		}
		if status, _ := bob.Do("POST", path("join", room), `{}`); status == 200 {
			t.Error("bob comes in")
		}
	})
}

func TestWhoHasLeftAndIsInvitedAgainIsShownTheInviteAlone(t *testing.T) {
	scene(t, func(s *stage) {
		alice, bob := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob")
		room := s.room(alice, `{"preset":"public_chat"}`)
		s.join(bob, room, "a.test")
		s.settle()
		bob.Must("POST", path("rooms", room, "leave"), `{}`)
		s.settle()
		alice.Must("POST", path("rooms", room, "invite"), map[string]string{"user_id": string(bob.ID)})
		s.settle()
		var is []string
		for e := range s.sync(bob).Get("rooms").Get("invite").Get(room).Get("invite_state").Get("events").Elements() {
			if e.Get("type").Is("m.room.member") && e.Get("state_key").Is(string(bob.ID)) {
				is = append(is, text(e, "content", "membership"))
			}
		}
		if len(is) != 1 || is[0] != "invite" {
			t.Errorf("bob is shown to be %q", is)
		}
	})
}

func TestSomebodyKnocksAtAnotherServer(t *testing.T) {
	scene(t, func(s *stage) {
		alice, bob := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob")
		room := s.room(alice, `{"preset":"private_chat","name":"Door","initial_state":[{"type":"m.room.join_rules","content":{"join_rule":"knock"}}]}`)
		bob.Must("POST", path("knock", room)+"?via=a.test", `{"reason":"please"}`)
		s.settle()
		if !section(s, bob, "knock", room) {
			t.Error("bob does not see that he knocks")
		}
		member := alice.Must("GET", path("rooms", room, "state", "m.room.member", string(bob.ID)), nil)
		if text(member, "membership") != "knock" || text(member, "reason") != "please" {
			t.Errorf("for alice bob is %s", member)
		}
		alice.Must("POST", path("rooms", room, "invite"), map[string]string{"user_id": string(bob.ID)})
		s.settle()
		s.join(bob, room)
		s.settle()
		s.agree(room, alice, bob)
	})
}

func TestAKnockIsTakenBack(t *testing.T) {
	scene(t, func(s *stage) {
		alice, bob := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob")
		room := s.room(alice, `{"preset":"private_chat","initial_state":[{"type":"m.room.join_rules","content":{"join_rule":"knock"}}]}`)
		bob.Must("POST", path("knock", room)+"?via=a.test", `{}`)
		s.settle()
		bob.Must("POST", path("rooms", room, "leave"), `{}`)
		s.settle()
		member := alice.Must("GET", path("rooms", room, "state", "m.room.member", string(bob.ID)), nil)
		if text(member, "membership") != "leave" || section(s, bob, "knock", room) {
			t.Errorf("for alice bob is %s", member)
		}
	})
}

func TestWhoIsNotWantedIsKeptOut(t *testing.T) {
	scene(t, func(s *stage) {
		alice, bob := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob")
		private := s.room(alice, `{"preset":"private_chat"}`)
		closed := s.room(alice, `{"preset":"public_chat","initial_state":[{"type":"m.room.server_acl","content":{"allow":["*"],"deny":["b.test"]}}]}`)
		banned := s.room(alice, `{"preset":"public_chat"}`)
		alice.Must("POST", path("rooms", banned, "ban"), map[string]string{"user_id": string(bob.ID)})
		for _, room := range []string{private, closed, banned} {
			if status, answer := bob.Do("POST", path("join", room)+"?via=a.test", `{}`); status != 403 {
				t.Errorf("bob gets %d %s", status, answer)
			}
		}
		if status, answer := bob.Do("POST", path("join", "!nowhere:a.test")+"?via=a.test", `{}`); status != 404 {
			t.Errorf("bob gets %d %s", status, answer)
		}
	})
}

func TestARoomBeginsWithInvitesToOtherServers(t *testing.T) {
	for _, version := range []string{"1", "3", "10", "12"} {
		t.Run("version "+version, func(t *testing.T) {
			scene(t, func(s *stage) {
				alice, bob, carol := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob"), s.Server("c.test").Register("carol")
				room := s.room(alice, fmt.Sprintf(`{"preset":"trusted_private_chat","room_version":%q,"is_direct":true,"invite":["@bob:b.test","@carol:c.test"]}`, version))
				for _, u := range []*hstest.User{bob, carol} {
					if !strings.Contains(string(s.sync(u).Get("rooms").Get("invite").Get(room)), `"is_direct":true`) {
						t.Errorf("%s is not invited into a direct chat", u.ID)
					}
					s.join(u, room)
				}
				s.settle()
				s.agree(room, alice, bob, carol)
				s.set(carol, room, "m.room.name", "", `{"name":"ours"}`) // all have the power
				s.settle()
				s.agree(room, alice, bob, carol)
			})
		})
	}
}

func TestARoomWhoseInvitesAreRefusedIsThereAllTheSame(t *testing.T) {
	scene(t, func(s *stage) {
		alice, bob := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob")
		status, answer := alice.Do("POST", path("createRoom"), `{"preset":"private_chat","invite":["@bob:b.test","@nobody:b.test","@nobody:nowhere.test"]}`)
		if status != 404 {
			t.Errorf("got %d %s", status, answer)
		}
		for room := range s.sync(bob).Get("rooms").Get("invite").Members() {
			s.join(bob, room.String())
			s.settle()
			s.agree(room.String(), alice, bob)
			return
		}
		t.Error("bob is not invited")
	})
}
