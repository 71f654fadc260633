package fedtest

import (
	"testing"
	"time"
)

func TestAServerThatWasAwayGetsEverything(t *testing.T) {
	for name, away := range map[string]time.Duration{"a minute": time.Minute, "a day": 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			scene(t, func(s *stage) {
				b := s.Server("b.test")
				alice, bob := s.Server("a.test").Register("alice"), b.Register("bob")
				room := s.room(alice, `{"preset":"public_chat"}`)
				s.join(bob, room, "a.test")
				s.settle()
				b.Kill()
				var said []string
				for range 120 {
					said = append(said, s.say(alice, room, "are you there?"))
				}
				s.set(alice, room, "m.room.topic", "", `{"topic":"news"}`)
				time.Sleep(away)
				b.Start()
				time.Sleep(3 * time.Hour) // at the latest
				for _, eventID := range said {
					s.hears(bob, room, eventID, "are you there?")
				}
				s.agree(room, alice, bob)
			})
		})
	}
}

func TestAServerThatIsBackIsHeardOf(t *testing.T) {
	scene(t, func(s *stage) {
		b := s.Server("b.test")
		alice, bob := s.Server("a.test").Register("alice"), b.Register("bob")
		room := s.room(alice, `{"preset":"public_chat"}`)
		s.join(bob, room, "a.test")
		s.settle()
		b.Kill()
		missed := s.say(alice, room, "are you there?")
		time.Sleep(24 * time.Hour)
		b.Start()
		hello := s.say(bob, room, "I am back")
		s.settle()
		s.hears(alice, room, hello, "I am back")
		s.hears(bob, room, missed, "are you there?")
		s.agree(room, alice, bob)
	})
}

func TestASplitHeals(t *testing.T) {
	scene(t, func(s *stage) {
		a, b := s.Server("a.test"), s.Server("b.test")
		alice, bob := a.Register("alice"), b.Register("bob")
		room := s.room(alice, `{"preset":"public_chat","power_level_content_override":{"state_default":0}}`)
		s.join(bob, room, "a.test")
		s.settle()
		s.Net.Cut("a.test:8448")
		s.Net.Cut("b.test:8448")
		s.set(alice, room, "m.room.topic", "", `{"topic":"of alice"}`)
		one := s.say(alice, room, "nobody hears me")
		time.Sleep(time.Second)
		s.set(bob, room, "m.room.topic", "", `{"topic":"of bob"}`)
		other := s.say(bob, room, "me neither")
		time.Sleep(10 * time.Minute)
		s.Net.Mend("a.test:8448")
		s.Net.Mend("b.test:8448")
		time.Sleep(3 * time.Hour)
		s.hears(bob, room, one, "nobody hears me")
		s.hears(alice, room, other, "me neither")
		s.agree(room, alice, bob)
		s.say(alice, room, "together again")
		s.settle()
		s.agree(room, alice, bob)
	})
}

func TestThreeServersInOneRoom(t *testing.T) {
	scene(t, func(s *stage) {
		alice, bob, carol := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob"), s.Server("c.test").Register("carol")
		room := s.room(alice, `{"preset":"public_chat"}`)
		s.join(bob, room, "a.test")
		s.settle()
		s.join(carol, room, "b.test")
		s.settle()
		s.agree(room, alice, bob, carol)
		hello := s.say(carol, room, "hello all")
		s.settle()
		s.hears(alice, room, hello, "hello all")
		s.hears(bob, room, hello, "hello all")
		alice.Must("POST", path("rooms", room, "leave"), `{}`)
		s.settle()
		s.agree(room, bob, carol)
		later := s.say(bob, room, "without alice")
		s.settle()
		s.hears(carol, room, later, "without alice")
	})
}

func TestSomebodyComesBack(t *testing.T) {
	scene(t, func(s *stage) {
		alice, bob := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob")
		room := s.room(alice, `{"preset":"public_chat"}`)
		s.join(bob, room, "a.test")
		s.settle()
		bob.Must("POST", path("rooms", room, "leave"), `{}`)
		s.settle()
		s.set(alice, room, "m.room.topic", "", `{"topic":"without bob"}`)
		s.settle()
		s.join(bob, room, "a.test")
		s.settle()
		s.agree(room, alice, bob)
		hello := s.say(alice, room, "welcome back")
		s.settle()
		s.hears(bob, room, hello, "welcome back")
	})
}
