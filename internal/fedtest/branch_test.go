package fedtest

import (
	"testing"
	"time"
)

func TestTheHistoryOfBranchesThatPartedBeforeAJoinIsInOrder(t *testing.T) {
	for _, first := range []string{"early", "late"} {
		t.Run("read "+first, func(t *testing.T) {
			scene(t, func(s *stage) {
				net := s.part()
				alice, bob, carol := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob"), s.Server("c.test").Register("carol")
				room := s.room(alice, `{"preset":"public_chat"}`)
				s.join(carol, room, "a.test")
				s.say(alice, room, "early")
				s.settle()
				net.cut("a.test", "c.test")
				s.say(carol, room, "nobody hears this")
				s.say(carol, room, "nor this")
				s.join(bob, room, "a.test")
				s.settle()
				if first == "early" {
					s.history(bob, room, "", 3)
				}
				net.mend("a.test", "c.test")
				time.Sleep(3 * time.Hour)
				s.say(alice, room, "all together")
				s.settle()
				ids := s.history(bob, room, "", 3)
				if text(bob.Must("GET", path("rooms", room, "event", ids[len(ids)-1]), nil), "type") != "m.room.create" {
					t.Errorf("the history does not begin with the room")
				}
				if want := s.history(alice, room, "", 50); len(ids) != len(want) {
					t.Errorf("bob sees %d events, alice %d", len(ids), len(want))
				}
				s.agree(room, alice, bob, carol)
			})
		})
	}
}
