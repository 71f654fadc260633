package fedtest

import (
	"testing"
	"time"

	"parley/matrix/canonjson"
)

// undone has bob join a room on b, where dave is, while a, where alice makes another
// rule, is cut off: when branches come together, bob's join does not count.
func (s *stage) undone(rule string, invited bool) (c *couple, since string) {
	s.Helper()
	b := s.Server("b.test")
	c = &couple{stage: s, alice: s.Server("a.test").Register("alice"), bob: b.Register("bob"), dave: b.Register("dave")}
	c.room = s.room(c.alice, `{"preset":"public_chat"}`)
	s.join(c.dave, c.room, "a.test")
	if invited {
		c.byAlice("invite")
	}
	s.settle()
	s.Net.Cut("a.test:8448")
	s.Net.Cut("b.test:8448")
	s.set(c.alice, c.room, "m.room.join_rules", "", `{"join_rule":"`+rule+`"}`)
	s.join(c.bob, c.room)
	since = text(s.sync(c.bob), "next_batch")
	time.Sleep(time.Minute)
	s.Net.Mend("a.test:8448")
	s.Net.Mend("b.test:8448")
	time.Sleep(3 * time.Hour)
	return c, since
}

func TestWhoseJoinIsUndoneIsToldThatTheRoomIsLeft(t *testing.T) {
	scene(t, func(s *stage) {
		c, since := s.undone("invite", false)
		s.agree(c.room, c.alice, c.dave)
		const leave = `&filter={"room":{"include_leave":true}}`
		fresh := c.bob.Must("GET", path("sync")+"?"+leave, nil)
		next := c.bob.Must("GET", path("sync")+"?since="+since+leave, nil)
		for which, answer := range map[string]canonjson.Value{"fresh": fresh, "next": next} {
			room := answer.Get("rooms").Get("leave").Get(c.room)
			if room == nil {
				t.Errorf("%s: bob is not told: %s", which, answer)
			}
			for e := range room.Get("state").Get("events").Elements() {
				if text(e, "state_key") == string(c.bob.ID) && text(e, "content", "membership") == "join" {
					t.Errorf("%s: bob is told that he is in the room: %s", which, e)
				}
			}
		}
	})
}

func TestWhoseJoinIsUndoneIsStillInvited(t *testing.T) {
	scene(t, func(s *stage) {
		c, since := s.undone("private", true)
		s.agree(c.room, c.alice, c.dave)
		for which, query := range map[string]string{"fresh": "", "next": "?since=" + since} {
			answer := c.bob.Must("GET", path("sync")+query, nil)
			invited := false
			for e := range answer.Get("rooms").Get("invite").Get(c.room).Get("invite_state").Get("events").Elements() {
				invited = invited || text(e, "state_key") == string(c.bob.ID) && text(e, "content", "membership") == "invite"
			}
			if !invited {
				t.Errorf("%s: bob is not told of the invite: %s", which, answer)
			}
		}
	})
}
