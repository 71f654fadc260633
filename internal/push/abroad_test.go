package push_test

import (
	"testing"
	"time"
)

// TestWhatComesFromOtherServersIsPushed, and an invite into a room that this server is
// not in.
func TestWhatComesFromOtherServersIsPushed(t *testing.T) {
	in(t, func(s *scene) {
		s.phone(s.bob, "bob")
		carol := s.w.Server("b.test").Register("carol")
		private := s.create(carol, `{"preset":"private_chat","name":"Far"}`)
		carol.Must("POST", "/_matrix/client/v3/rooms/"+string(private)+"/invite", `{"user_id":"@bob:a.test"}`)
		time.Sleep(time.Minute)
		told := s.take()
		if len(told) != 1 || !told[0].Get("room_name").Is("Far") || !told[0].Get("sender").Is("@carol:b.test") || !told[0].Get("user_is_target").True() ||
			string(told[0].Get("counts")) != `{"unread":1}` {
			t.Fatalf("got %s", told)
		}
		s.bob.Must("POST", "/_matrix/client/v3/join/"+string(private)+"?server_name=b.test", nil)
		time.Sleep(time.Minute)
		s.want("bob 0")
		s.send(carol, private, "m.room.message", `{"msgtype":"m.text","body":"hello"}`)
		time.Sleep(time.Minute)
		s.want("bob 1 hello")
	})
}

// TestAnInviteFromElsewhereSurvivesARestart though there is no history of its room here.
func TestAnInviteFromElsewhereSurvivesARestart(t *testing.T) {
	in(t, func(s *scene) {
		s.phone(s.bob, "bob")
		s.answers(status(500))
		carol := s.w.Server("b.test").Register("carol")
		private := s.create(carol, `{"preset":"private_chat","name":"Far"}`)
		carol.Must("POST", "/_matrix/client/v3/rooms/"+string(private)+"/invite", `{"user_id":"@bob:a.test"}`)
		time.Sleep(time.Minute)
		s.a.Kill()
		s.take()
		s.answers(nil)
		s.a.Start()
		time.Sleep(time.Minute)
		if told := s.take(); len(told) != 1 || !told[0].Get("room_name").Is("Far") || !told[0].Get("content").Get("membership").Is("invite") {
			t.Errorf("got %s", told)
		}
	})
}
