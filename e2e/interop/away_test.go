package interop

import (
	"fmt"
	"syscall"
	"testing"
)

func (s *server) mustStop(t *testing.T) {
	t.Helper()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
}

func (s *server) mustStart(t *testing.T) {
	t.Helper()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

// kill ends the process as a power cut would.
func (s *server) kill(*testing.T) {
	s.process.Process.Kill()
	<-s.ended
}

// hangs has the process do nothing until it goes on, or the scene ends.
func (s *server) hangs(t *testing.T) {
	t.Helper()
	if err := s.process.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.process.Process.Signal(syscall.SIGCONT) })
}

func (s *server) goesOn(t *testing.T) {
	t.Helper()
	if err := s.process.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

func TestAServerThatWasAwayCatchesUp(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		room, alice, bob := together(t, here, there, object{})
		bob.hears(room, alice.says(room, "hello"), "hello")
		there.mustStop(t)
		var said []string
		for i := range 80 {
			said = append(said, alice.says(room, fmt.Sprint("are you there? ", i)))
		}
		alice.sets(room, "m.room.topic", "", object{"topic": "bob is away"})
		there.mustStart(t)
		bob.sees(room, "m.room.topic", "", "topic", "bob is away")
		bob.reads(room, said[0])
		for i, e := range said {
			bob.hears(room, e, fmt.Sprint("are you there? ", i))
		}
		alice.hears(room, bob.says(room, "I am back"), "I am back")
		agree(t, room, alice, bob)
	})
}

func TestWhoseServerIsAwayIsInvitedLater(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		alice, bob := here.register(t, "alice"), there.register(t, "bob")
		room := alice.invitesOnly("10")
		there.mustStop(t)
		if alice.may("invite", room, bob) {
			t.Error("who cannot be reached is invited")
		}
		there.mustStart(t)
		alice.acts("invite", room, bob)
		bob.finds(room, "invite")
		bob.joins(room)
		agree(t, room, alice, bob)
	})
}

// A cut, for two servers that nothing lies between: each is there while the other
// is not.
func TestBothChangeTheStateDuringACut(t *testing.T) {
	for _, version := range []string{"1", "6", "12"} {
		t.Run("version "+version, func(t *testing.T) {
			eachWay(t, func(t *testing.T, here, there *server) {
				room, alice, bob := together(t, here, there, object{"room_version": version, "power_level_content_override": object{"state_default": 0}})
				carol := there.register(t, "carol")
				carol.joins(room, here)
				alice.seesMember(room, carol, "join")
				bob.hears(room, alice.says(room, "hello"), "hello")

				there.mustStop(t)
				mine := alice.says(room, "nobody hears me")
				alice.sets(room, "m.room.topic", "", object{"topic": "of alice"})
				alice.sets(room, "org.example.of", "alice", object{"of": "alice"})
				alice.acts("ban", room, carol)
				here.mustStop(t)

				there.mustStart(t)
				yours := bob.says(room, "me neither")
				bob.sets(room, "m.room.topic", "", object{"topic": "of bob"})
				bob.sets(room, "org.example.of", "bob", object{"of": "bob"})
				carol.sets(room, "org.example.of", "carol", object{"of": "carol"})
				here.mustStart(t)

				alice.says(room, "I am back")
				bob.says(room, "so am I")
				alice.sees(room, "org.example.of", "bob", "of", "bob")
				bob.sees(room, "org.example.of", "alice", "of", "alice")
				alice.hears(room, yours, "me neither")
				bob.reads(room, mine)
				bob.seesMember(room, carol, "ban")
				agree(t, room, alice, bob)
				bob.hears(room, alice.says(room, "that is settled"), "that is settled")
				alice.hears(room, bob.says(room, "it is"), "it is")
				agree(t, room, alice, bob)
			})
		})
	}
}

// What somebody did whose power is taken from them on the other side of a cut has
// not been done.
func TestPowerIsTakenDuringACut(t *testing.T) {
	for _, version := range []string{"2", "10", "12"} {
		t.Run("version "+version, func(t *testing.T) {
			eachWay(t, func(t *testing.T, here, there *server) {
				room, alice, bob := together(t, here, there, object{"room_version": version})
				bobs := alice.gives(room, bob, 50)
				bob.seesEvent(room, bobs)
				bob.seesEvent(room, alice.sets(room, "m.room.topic", "", object{"topic": "before"}))

				there.mustStop(t)
				alice.gives(room, bob, 0)
				here.mustStop(t)
				there.mustStart(t)
				bob.sets(room, "m.room.topic", "", object{"topic": "of bob"})
				said := bob.says(room, "I did it")
				here.mustStart(t)

				alice.says(room, "I am back")
				bob.says(room, "so am I")
				alice.seesEvent(room, said)
				agree(t, room, alice, bob)
				alice.sees(room, "m.room.topic", "", "topic", "before")
				if status, answer := bob.do("PUT", path("rooms", room, "state", "m.room.topic", ""), object{"topic": "of bob"}); status != 403 {
					t.Errorf("%s still has power on %s: got %d %s", bob.id, bob.server, status, answer)
				}
			})
		})
	}
}

func TestAServerIsKilled(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		room, alice, bob := together(t, here, there, object{})
		bob.hears(room, alice.says(room, "hello"), "hello")
		var said []string
		for i := range 20 {
			said = append(said, alice.says(room, fmt.Sprint("quick ", i)))
		}
		here.kill(t)
		here.mustStart(t)
		bob.hears(room, alice.says(room, "where was I?"), "where was I?")
		bob.reads(room, said[0])
		for i, e := range said {
			bob.hears(room, e, fmt.Sprint("quick ", i))
		}
		agree(t, room, alice, bob)
	})
}
