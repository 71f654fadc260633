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
		if status, got := ask("b", at); status != 404 || got != "" {
			t.Errorf("while nobody can be asked: got %d %s", status, got)
		}
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
