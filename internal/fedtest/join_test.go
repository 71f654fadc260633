package fedtest

import (
	"fmt"
	"testing"

	"parley/matrix/roomver"
)

func TestAUserJoinsARoomOfAnotherServer(t *testing.T) {
	for rules := range roomver.Known() {
		t.Run("version "+string(rules.Version), func(t *testing.T) {
			scene(t, func(s *stage) {
				alice, bob := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob")
				room := s.room(alice, fmt.Sprintf(`{"preset":"public_chat","name":"Talk","room_version":%q}`, rules.Version))
				s.join(bob, room, "a.test")
				s.settle()
				s.agree(room, alice, bob)
				hello := s.say(bob, room, "hello")
				s.settle()
				s.hears(alice, room, hello, "hello")
				answer := s.say(alice, room, "welcome")
				s.settle()
				s.hears(bob, room, answer, "welcome")
				s.agree(room, alice, bob)
			})
		})
	}
}

func TestAServerThatIsNotBelievedCannotJoin(t *testing.T) {
	scene(t, func(s *stage) {
		alice, bob := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob")
		room := s.room(alice, `{"preset":"public_chat"}`)
		s.Net.Cut("b.test:8448") // the other server cannot ask for the keys
		status, answer := bob.Do("POST", path("join", room)+"?via=a.test", `{}`)
		if status != 404 || text(answer, "errcode") != "M_NOT_FOUND" {
			t.Errorf("got %d %s", status, answer)
		}
		s.Net.Mend("b.test:8448")
	})
}
