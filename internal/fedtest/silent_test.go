package fedtest

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley/internal/hstest"
	"parley/matrix/id"
)

// halfCut returns a switch that lets b be told things by c, and get no answer from it;
// a and b hear nothing of each other at all. There must be no servers yet.
func (s *stage) halfCut(a, b, c id.ServerName) *atomic.Bool {
	cut := new(atomic.Bool)
	s.Post(func(from, to id.ServerName, _ *http.Request) hstest.Fate {
		lost := from == b && to == c || from == b && to == a || from == a && to == b
		return hstest.Fate{Lost: cut.Load() && lost}
	})
	return cut
}

func TestWhatItsServerDoesNotAnswerIsFetchedFromOthers(t *testing.T) {
	scene(t, func(s *stage) {
		cut := s.halfCut("a.test", "b.test", "c.test")
		a := s.Server("a.test")
		alice, bob, carol, dora := a.Register("alice"), s.Server("b.test").Register("bob"), s.Server("c.test").Register("carol"), s.Server("d.test").Register("dora")
		room := s.room(alice, `{"preset":"public_chat"}`)
		for _, u := range []*hstest.User{bob, carol, dora} {
			s.join(u, room, "a.test")
		}
		s.settle()
		cut.Store(true)
		last := s.say(alice, room, "these are my last words")
		s.settle()
		a.Stop()
		heard := s.say(carol, room, "did you hear that?")
		time.Sleep(time.Minute)
		s.hears(bob, room, last, "these are my last words")
		s.hears(bob, room, heard, "did you hear that?")
		s.agree(room, bob, carol, dora)
	})
}

func TestWhatNobodyAnswersForComesWhenItsServerIsBack(t *testing.T) {
	scene(t, func(s *stage) {
		cut := s.halfCut("a.test", "b.test", "c.test")
		a := s.Server("a.test")
		alice, bob, carol := a.Register("alice"), s.Server("b.test").Register("bob"), s.Server("c.test").Register("carol")
		room := s.room(alice, `{"preset":"public_chat"}`)
		s.join(bob, room, "a.test")
		s.join(carol, room, "a.test")
		s.settle()
		cut.Store(true)
		last := s.say(alice, room, "these are my last words")
		s.settle()
		a.Stop()
		heard := s.say(carol, room, "did you hear that?")
		time.Sleep(40 * time.Minute)
		cut.Store(false)
		time.Sleep(3 * time.Hour) // no server is left alone for longer
		s.hears(bob, room, last, "these are my last words")
		s.hears(bob, room, heard, "did you hear that?")
		s.agree(room, bob, carol)
	})
}

// What was said before somebody joined may come after that: it is for those who were
// there.
func TestWhatComesLateIsHiddenFromWhoWasNotThere(t *testing.T) {
	for _, visibility := range []string{"joined", "invited", "shared"} {
		t.Run(visibility, func(t *testing.T) {
			scene(t, func(s *stage) {
				net := s.part()
				b := s.Server("b.test")
				alice, bob, carol, bert := s.Server("a.test").Register("alice"), b.Register("bob"), s.Server("c.test").Register("carol"), b.Register("bert")
				room := s.room(alice, `{"preset":"public_chat","initial_state":[
					{"type":"m.room.history_visibility","state_key":"","content":{"history_visibility":"`+visibility+`"}}]}`)
				s.join(bob, room, "a.test")
				s.join(carol, room, "a.test")
				s.settle()
				net.cut("b.test", "c.test")
				late := s.say(carol, room, "between us")
				s.join(bert, room)
				since := text(s.sync(bert), "next_batch")
				s.settle()
				net.mend("b.test", "c.test")
				time.Sleep(3 * time.Hour)
				s.hears(bob, room, late, "between us")
				status, _ := bert.Do("GET", path("rooms", room, "event", late), nil)
				news := string(bert.Must("GET", path("sync")+"?since="+since, nil))
				if hidden := visibility != "shared"; hidden != (status == 404) || hidden == strings.Contains(news, "between us") {
					t.Errorf("bert gets %d, and %s", status, news)
				}
				unread, _ := s.sync(bert).Get("rooms").Get("join").Get(room).Get("unread_notifications").Get("notification_count").Int()
				if want := map[bool]int64{true: 1}[visibility == "shared"]; unread != want {
					t.Errorf("bert has %d unread, want %d", unread, want)
				}
			})
		})
	}
}

// TestWhatIsPutIntoAGapIsNoNewsToWhoWasNotThere, though it comes behind what the client
// was told last.
func TestWhatIsPutIntoAGapIsNoNewsToWhoWasNotThere(t *testing.T) {
	scene(t, func(s *stage) {
		net := s.part()
		b := s.Server("b.test")
		alice, bob, carol, bert := s.Server("a.test").Register("alice"), b.Register("bob"), s.Server("c.test").Register("carol"), b.Register("bert")
		room := s.room(alice, `{"preset":"public_chat","initial_state":[
			{"type":"m.room.history_visibility","state_key":"","content":{"history_visibility":"joined"}}]}`)
		s.join(bob, room, "a.test")
		s.join(carol, room, "a.test")
		s.settle()
		net.cut("a.test", "c.test")
		net.cut("b.test", "c.test")
		late := s.say(carol, room, "between us")
		s.join(bert, room)
		for range 5 {
			s.say(alice, room, "hello")
		}
		s.settle()
		old, since := text(s.sync(bob), "next_batch"), text(s.sync(bert), "next_batch")
		net.mend("a.test", "c.test")
		time.Sleep(3 * time.Hour)
		s.say(alice, room, "all together")
		s.settle()
		if !slices.Contains(s.history(bob, room, "", 20), late) {
			t.Error("bob does not find what was said before")
		}
		for _, tt := range []struct {
			user  *hstest.User
			since string
			heard bool
		}{{bob, old, true}, {bert, since, false}} {
			news := string(tt.user.Must("GET", path("sync")+"?since="+tt.since, nil))
			if !strings.Contains(news, "all together") || strings.Contains(news, "between us") != tt.heard {
				t.Errorf("%s gets %s", tt.user.ID, news)
			}
		}
	})
}
