package fedtest

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"parley/internal/hstest"
	"parley/matrix/canonjson"
)

// heads returns how many forward extremities a public room has on a server, up to
// twenty: an event that somebody outside asks for follows them.
func (s *stage) heads(on *hstest.Server, room string) int {
	s.Helper()
	asks := s.asker()
	uri := "/_matrix/federation/v1/make_join/" + url.PathEscape(room) + "/" + url.PathEscape("@asker:"+string(asks.name)) + "?ver=10&ver=12"
	status, answer := asks.ask(on, "GET", uri, nil)
	if status != 200 {
		s.Fatalf("make_join: %d %s", status, answer)
	}
	n := 0
	for range answer.Get("event").Get("prev_events").Elements() {
		n++
	}
	return n
}

// asker is a server that asks, and is in no room.
func (s *stage) asker() *villain {
	if s.asks == nil {
		s.asks = s.villain("asker.test")
	}
	return s.asks
}

// branch has a villain send events none of which follows another, and each of which
// says something else of the state.
func (s *siege) branch(from, to int) {
	s.Helper()
	f := s.foothold
	var pdus []canonjson.Value
	for i := from; i < to; i++ {
		content := canonjson.Value("{}").With("displayname", canonjson.Text(fmt.Sprint("mallory ", i))).With("membership", canonjson.Text("join"))
		draft := f.draft("").With("type", canonjson.Text("m.room.member")).With("state_key", canonjson.Text(string(f.user))).With("content", content)
		draft = draft.With("auth_events", f.refs(f.create, f.state["m.room.power_levels "], f.join, f.state["m.room.join_rules "]))
		pdus = append(pdus, s.complete(f, draft).JSON())
		if len(pdus) == 50 || i == to-1 {
			if status, answer := s.push(s.a, pdus, nil); status != 200 || strings.Contains(string(answer), `"error"`) {
				s.Errorf("got %d %s", status, answer)
			}
			pdus = nil
		}
	}
}

func TestExtremitiesStayFew(t *testing.T) {
	besieged(t, "10", func(s *siege) {
		s.branch(0, 15)
		if n := s.heads(s.a, s.room); n < 15 {
			t.Errorf("there are %d branches, want 15", n)
		}
		time.Sleep(2 * time.Minute)
		if n := s.heads(s.a, s.room); n > 1 {
			t.Errorf("nobody says anything, and there are still %d branches", n)
		}
		if shown := s.shown(s.room); strings.Contains(shown, "dummy") || strings.Contains(string(s.sync(s.alice)), "dummy") {
			t.Errorf("alice sees %s", shown)
		}
		s.agree(s.room, s.alice, s.bob)
		// However many there are, soon there are few.
		s.branch(15, 315)
		hello := s.say(s.alice, s.elsewhere, "meanwhile")
		time.Sleep(3 * time.Second)
		s.hears(s.bob, s.elsewhere, hello, "meanwhile")
		time.Sleep(time.Minute)
		for _, server := range []*hstest.Server{s.a, s.b} {
			if n := s.heads(server, s.room); n > 10 {
				t.Errorf("%s has %d branches", server.Name, n)
			}
		}
	})
}

func TestExtremitiesAreFewAfterARestart(t *testing.T) {
	besieged(t, "10", func(s *siege) {
		s.branch(0, 15)
		s.a.Restart()
		time.Sleep(2 * time.Minute)
		if n := s.heads(s.a, s.room); n > 1 {
			t.Errorf("there are still %d branches", n)
		}
	})
}

func TestNobodyMergesWhoMayNotSpeak(t *testing.T) {
	besieged(t, "10", func(s *siege) {
		s.set(s.alice, s.room, "m.room.power_levels", "", `{"events":{"m.room.member":0},"events_default":50,"users":{"@alice:a.test":100,"@bob:b.test":50}}`)
		s.settle()
		s.set(s.alice, s.room, "m.room.power_levels", "", `{"events":{"m.room.power_levels":0},"events_default":50,"users":{"@bob:b.test":50}}`)
		s.settle()
		s.branch(0, 15)
		time.Sleep(10 * time.Minute)
		if n := s.heads(s.a, s.room); n < 15 {
			t.Errorf("there are %d branches, though nobody here may send anything", n)
		}
		s.set(s.bob, s.room, "m.room.power_levels", "", `{"events_default":0,"users":{"@bob:b.test":50}}`)
		s.settle()
	})
}
