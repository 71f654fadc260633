package fedtest

import (
	"testing"
	"time"
)

// TestAServerThatRefusesIsTriedAgain has one refuse transactions for half a day.
func TestAServerThatRefusesIsTriedAgain(t *testing.T) {
	scene(t, func(s *stage) {
		a := s.Server("a.test")
		alice, v := a.Register("alice"), s.villain("moody.test")
		room := s.room(alice, `{"preset":"public_chat"}`)
		v.enter(a, room)
		s.settle()
		const send = "/_matrix/federation/v1/send/"
		v.answer(send, says(`{"errcode":"M_FORBIDDEN","error":"not today"}`, 403))
		s.say(alice, room, "are you there?")
		time.Sleep(12 * time.Hour)
		if n := v.times(send); n < 100 || n > 200 {
			t.Errorf("it was tried %d times", n)
		}
		v.answer(send, says(`{"pdus":{}}`, 200))
		before := v.times(send)
		time.Sleep(6 * time.Minute)
		if n := v.times(send) - before; n != 1 {
			t.Errorf("within minutes %d transactions came, want 1", n)
		}
		s.say(alice, room, "at last")
		s.settle()
		if n := v.times(send) - before; n != 2 {
			t.Errorf("%d transactions came, want 2", n)
		}
	})
}
