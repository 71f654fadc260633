package fedtest

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/internal/hstest"
	"parley/matrix/id"
)

// stick sends an event that is sticky for an hour.
func (s *stage) stick(u *hstest.User, room, txn string) string {
	s.Helper()
	return text(u.Must("PUT", path("rooms", room, "send", "org.test.call", txn)+"?org.matrix.msc4354.sticky_duration_ms=3600000", `{"n":"of `+string(u.ID)+`"}`), "event_id")
}

// partings are pairs of servers that do not reach each other.
type partings struct{ sync.Map }

func (p *partings) cut(a, b id.ServerName)  { p.Store([2]id.ServerName{a, b}, true) }
func (p *partings) mend(a, b id.ServerName) { p.Delete([2]id.ServerName{a, b}) }

// part has those pairs not reach each other that are cut. There must be no servers yet.
func (s *stage) part() *partings {
	p := new(partings)
	s.Post(func(from, to id.ServerName, _ *http.Request) hstest.Fate {
		_, one := p.Load([2]id.ServerName{from, to})
		_, other := p.Load([2]id.ServerName{to, from})
		return hstest.Fate{Lost: one || other}
	})
	return p
}

// stuck reports whether a client that begins anew is told of a sticky event.
func (s *stage) stuck(u *hstest.User, room, eventID string) bool {
	s.Helper()
	answer := u.Must("GET", "/_matrix/client/v3/sync?timeout=0&filter="+url.QueryEscape(`{"room":{"timeline":{"types":["m.none"]}}}`), nil)
	return strings.Contains(string(answer.Get("rooms").Get("join").Get(room).Get("msc4354_sticky")), eventID)
}

// TestWhoComesIntoARoomGetsWhatIsSticky, of each server that it was sent on, whatever
// may be seen of what was before, and though it cannot be reached just then.
func TestWhoComesIntoARoomGetsWhatIsSticky(t *testing.T) {
	for _, visibility := range []string{"shared", "joined"} {
		t.Run(visibility, func(t *testing.T) {
			scene(t, func(s *stage) {
				net := s.part()
				a, b, c := s.Server("a.test"), s.Server("b.test"), s.Server("c.test")
				alice, bob, carol := a.Register("alice"), b.Register("bob"), c.Register("carol")
				room := s.room(alice, `{"preset":"public_chat","initial_state":[{"type":"m.room.history_visibility","content":{"history_visibility":"`+visibility+`"}}]}`)
				s.join(carol, room, "a.test")
				s.join(bob, s.room(carol, `{"preset":"public_chat"}`), "c.test") // so that they know each other's keys
				s.settle()
				of := []string{s.stick(alice, room, "1"), s.stick(carol, room, "1")}
				for range 5 {
					s.say(alice, room, "something else")
				}
				s.settle()
				net.cut("c.test", "b.test")
				s.join(bob, room, "a.test")
				s.settle()
				a.Restart()
				c.Restart()
				time.Sleep(10 * time.Minute)
				net.mend("c.test", "b.test")
				time.Sleep(25 * time.Minute)
				for i, eventID := range of {
					if !s.stuck(bob, room, eventID) {
						t.Errorf("bob is not told of sticky event %d", i)
					}
				}
				s.agree(room, alice, bob, carol)
				time.Sleep(time.Hour)
				if s.stuck(bob, room, of[0]) {
					t.Error("it is sticky after more than an hour")
				}
			})
		})
	}
}

// TestStickyEventsAreJudgedAgain when who sent them turns out to be a member after all.
func TestStickyEventsAreJudgedAgain(t *testing.T) {
	scene(t, func(s *stage) {
		net := s.part()
		a, b, c := s.Server("a.test"), s.Server("b.test"), s.Server("c.test")
		alice, bob, erin, charlie := a.Register("alice"), b.Register("bob"), b.Register("erin"), c.Register("charlie")
		room := s.room(alice, `{"preset":"public_chat","room_version":"10"}`)
		for _, u := range []*hstest.User{bob, erin, charlie} {
			s.join(u, room, "a.test")
			s.settle()
		}
		s.set(alice, room, "m.room.power_levels", "", `{"users":{"@alice:a.test":100,"@bob:b.test":50}}`)
		s.settle()
		net.cut("b.test", "a.test")
		net.cut("b.test", "c.test")
		bob.Must("POST", path("rooms", room, "kick"), `{"user_id":"@charlie:c.test"}`)
		sent := s.stick(charlie, room, "1")
		time.Sleep(time.Minute)
		alice.Must("POST", path("rooms", room, "kick"), `{"user_id":"@bob:b.test"}`)
		net.mend("b.test", "c.test")
		time.Sleep(2 * time.Minute)
		since := text(erin.Must("GET", "/_matrix/client/v3/sync?timeout=0", nil), "next_batch")
		if s.stuck(erin, room, sent) {
			t.Error("what was soft-failed is told of")
		}
		b.Restart()
		net.mend("b.test", "a.test")
		s.settle()
		time.Sleep(20 * time.Minute)
		if !s.stuck(erin, room, sent) {
			t.Errorf("what is allowed by now is not told of")
		}
		answer := erin.Must("GET", "/_matrix/client/v3/sync?timeout=0&since="+since, nil)
		if got := answer.Get("rooms").Get("join").Get(room).Get("msc4354_sticky"); !strings.Contains(string(got), sent) {
			t.Errorf("who has followed gets %s", answer)
		}
	})
}
