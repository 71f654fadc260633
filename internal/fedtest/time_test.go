package fedtest

import (
	"fmt"
	"testing"
	"time"
)

func TestTheEventOfATimeBeforeTheServerWasThere(t *testing.T) {
	scene(t, func(s *stage) {
		a := s.Server("a.test")
		alice, bob := a.Register("alice"), s.Server("b.test").Register("bob")
		room := s.room(alice, `{"preset":"public_chat"}`)
		time.Sleep(time.Hour)
		early := s.say(alice, room, "early")
		at := time.Now().UnixMilli()
		time.Sleep(time.Hour)
		s.say(alice, room, "later")
		time.Sleep(time.Hour)
		s.join(bob, room, "a.test")
		s.settle()
		time.Sleep(time.Hour)
		late := s.say(bob, room, "late")
		ask := func(dir string, ts int64) (int, string) {
			status, answer := bob.Do("GET", fmt.Sprintf("/_matrix/client/v1/rooms/%s/timestamp_to_event?dir=%s&ts=%d", room, dir, ts), nil)
			return status, text(answer, "event_id")
		}
		for _, dir := range []string{"f", "b"} {
			if status, got := ask(dir, at); status != 200 || got != early {
				t.Errorf("%s: got %d %s, want %s", dir, status, got, early)
			}
		}
		if _, got := ask("b", time.Now().UnixMilli()); got != late {
			t.Errorf("now: got %s, want %s", got, late)
		}
		if status, _ := ask("f", time.Now().Add(time.Hour).UnixMilli()); status != 404 {
			t.Errorf("in an hour: got %d", status)
		}
		a.Kill()
		if status, got := ask("b", at); status != 200 || got != early {
			t.Errorf("while nobody can be asked: got %d %s, which was asked for before", status, got)
		}
	})
}

// Whoever finds an event by its time gets to see it, and what was around it, though
// what has happened since is not here.
func TestTheEventOfATimeIsShown(t *testing.T) {
	scene(t, func(s *stage) {
		alice, bob := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob")
		room := s.room(alice, `{"preset":"public_chat"}`)
		var said []string
		var at int64
		for i := range 400 {
			said = append(said, s.say(alice, room, fmt.Sprint("word ", i)))
			if time.Sleep(time.Minute); i == 99 {
				at = time.Now().Add(-time.Second).UnixMilli()
			}
		}
		s.set(alice, room, "m.room.topic", "", `{"topic":"new"}`)
		s.join(bob, room, "a.test")
		s.settle()
		for dir, want := range map[string]string{"b": said[99], "f": said[100]} {
			answer := bob.Must("GET", fmt.Sprintf("/_matrix/client/v1/rooms/%s/timestamp_to_event?dir=%s&ts=%d", room, dir, at), nil)
			if got := text(answer, "event_id"); got != want {
				t.Errorf("%s: got %s, want %s", dir, answer, want)
			}
		}
		around := bob.Must("GET", path("rooms", room, "context", said[99])+"?limit=10", nil)
		n := 0
		for e := range around.Get("events_before").Elements() {
			if n++; text(e, "event_id") != said[99-n] {
				t.Errorf("before it bob sees %s", around.Get("events_before"))
				break
			}
		}
		if text(around, "event", "content", "body") != "word 99" || n != 5 {
			t.Errorf("bob sees %s", around)
		}
		// The rest comes when somebody reads it, each in its place and once.
		s.sameHistory(room, alice, bob)
		s.agree(room, alice, bob)
	})
}

func TestServersThatAreNotInARoomLearnNothingOfItsTimes(t *testing.T) {
	scene(t, func(s *stage) {
		a, b := s.Server("a.test"), s.Server("b.test")
		alice := a.Register("alice")
		room := s.room(alice, `{"preset":"public_chat"}`)
		if status, answer := b.Ask(a, "GET", "/_matrix/federation/v1/timestamp_to_event/"+room+"?dir=f&ts=0", nil); status != 403 {
			t.Errorf("got %d %s", status, answer)
		}
	})
}
