package fedtest

import (
	"testing"

	"parley/internal/config"
	"parley/matrix/event"
)

func TestKeysOfADeadServerAreFoundThroughANotary(t *testing.T) {
	for _, notaries := range []config.ServerNames{"", "gone.test,n.test"} {
		scene(t, func(s *stage) {
			a := s.Server("a.test", func(c *config.Config) { c.Federation.Notaries = notaries })
			n, d := s.Server("n.test"), s.Server("d.test")
			alice, nora, dave := a.Register("alice"), n.Register("nora"), d.Register("dave")
			room := s.room(nora, `{"preset":"public_chat"}`)
			s.join(dave, room, "n.test")
			s.settle()
			said := s.say(dave, room, "remember me")
			s.settle()
			d.Kill()
			s.join(alice, room, "n.test")
			s.settle()
			_, found := alice.Do("GET", path("rooms", room, "state", "m.room.member", string(dave.ID)), nil)
			member := text(found, "membership")
			alice.Must("GET", path("rooms", room, "messages")+"?dir=b&limit=50", nil)
			status, found := alice.Do("GET", path("rooms", room, "event", said), nil)
			if notaries == "" {
				if member == event.MembershipJoin || status == 200 {
					t.Errorf("without a notary alice sees that dave is %q, and of him %d %s", member, status, found)
				}
				return
			}
			if member != event.MembershipJoin {
				t.Errorf("for alice dave is %q", member)
			}
			s.hears(alice, room, said, "remember me")
		})
	}
}
