package fedtest

import (
	"slices"
	"testing"
	"time"

	"parley/internal/hstest"
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

// TestWhatWasSaidBesideAChangeOfVisibilityIsNotShownByIt: in the history that a server
// fetches, both branches stand in one order.
func TestWhatWasSaidBesideAChangeOfVisibilityIsNotShownByIt(t *testing.T) {
	for _, via := range []string{"a.test", "c.test"} { // and one or the other of the branches is first
		t.Run("by way of "+via, func(t *testing.T) { scene(t, func(s *stage) { s.besideAChange(via) }) })
	}
}

func (s *stage) besideAChange(via string) {
	s.Helper()
	net := s.part()
	b := s.Server("b.test")
	alice, bob, bert, carol := s.Server("a.test").Register("alice"), b.Register("bob"), b.Register("bert"), s.Server("c.test").Register("carol")
	room := s.room(alice, `{"preset":"public_chat","initial_state":[
		{"type":"m.room.history_visibility","state_key":"","content":{"history_visibility":"joined"}}]}`)
	s.join(carol, room, "a.test")
	s.settle()
	net.cut("a.test", "c.test")
	s.set(alice, room, "m.room.history_visibility", "", `{"history_visibility":"world_readable"}`)
	open := s.say(alice, room, "for everybody")
	var secrets []string
	for range 3 {
		secrets = append(secrets, s.say(carol, room, "between us"))
	}
	net.mend("a.test", "c.test")
	time.Sleep(3 * time.Hour)
	s.join(bob, room, via)
	s.settle()
	for _, u := range []*hstest.User{bob, bert} {
		seen := s.history(u, room, "", 50)
		if !slices.Contains(seen, open) {
			s.Errorf("%s does not see what is for everybody", u.ID)
		}
		for _, secret := range secrets {
			if slices.Contains(seen, secret) {
				s.Errorf("%s sees what was not", u.ID)
			}
		}
	}
}
