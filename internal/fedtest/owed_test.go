package fedtest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/internal/config"
	"parley/internal/hstest"
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

// TestWhoIsNotInTheRoomIsToldLater has a server miss what it is told of rooms that
// it is not in, and the one that tells it begin anew.
func TestWhoIsNotInTheRoomIsToldLater(t *testing.T) {
	by := func(alice, bob *hstest.User, room string, actions ...string) {
		for _, action := range actions {
			alice.Must("POST", path("rooms", room, action), map[string]string{"user_id": string(bob.ID)})
		}
	}
	for name, play := range map[string]struct {
		before  func(s *stage, alice, bob *hstest.User, room string)
		away    []string // what alice does meanwhile
		section string   // where bob does not have the room any more
	}{
		"an invite is taken back": {
			func(_ *stage, alice, bob *hstest.User, room string) { by(alice, bob, room, "invite") }, []string{"kick"}, "invite",
		},
		"a knock is refused": {
			func(_ *stage, _, bob *hstest.User, room string) {
				bob.Must("POST", path("knock", room)+"?via=a.test", `{}`)
			}, []string{"kick"}, "knock",
		},
		"the last member is kicked": {
			func(s *stage, alice, bob *hstest.User, room string) {
				by(alice, bob, room, "invite")
				s.join(bob, room, "a.test")
			}, []string{"kick", "ban"}, "join",
		},
	} {
		for keep, away := range map[time.Duration]time.Duration{30 * 24 * time.Hour: time.Hour, time.Hour: 12 * time.Hour} {
			t.Run(fmt.Sprintf("%s, and the journal is kept for %s", name, keep), func(t *testing.T) {
				scene(t, func(s *stage) {
					a, b := s.Server("a.test", func(c *config.Config) { c.Journal.Keep = keep }), s.Server("b.test")
					alice, bob := a.Register("alice"), b.Register("bob")
					room := s.room(alice, `{"preset":"private_chat","initial_state":[{"type":"m.room.join_rules","content":{"join_rule":"knock"}}]}`)
					play.before(s, alice, bob, room)
					s.settle()
					if !section(s, bob, play.section, room) {
						t.Fatalf("bob's sync does not have the room under %s", play.section)
					}
					b.Kill()
					by(alice, bob, room, play.away...)
					s.settle()
					a.Restart()
					time.Sleep(away)
					b.Start()
					time.Sleep(3 * time.Hour) // at the latest
					if section(s, bob, play.section, room) {
						t.Errorf("bob's sync has the room under %s", play.section)
					}
				})
			})
		}
	}
}

func TestWhatIsOlderThanTheJournalIsFound(t *testing.T) {
	scene(t, func(s *stage) {
		a, b := s.Server("a.test", func(c *config.Config) { c.Journal.Keep = time.Hour }), s.Server("b.test")
		alice, bob := a.Register("alice"), b.Register("bob")
		quiet, lively := s.room(alice, `{"preset":"public_chat"}`), s.room(alice, `{"preset":"public_chat"}`)
		s.join(bob, quiet, "a.test")
		s.join(bob, lively, "a.test")
		s.settle()
		b.Kill()
		var said [][2]string
		for _, room := range []string{quiet, lively} {
			for range 3 {
				said = append(said, [2]string{room, s.say(alice, room, "are you there?")})
			}
		}
		time.Sleep(12 * time.Hour)
		a.Restart() // and has nothing in memory
		said = append(said, [2]string{lively, s.say(alice, lively, "are you there?")})
		b.Start()
		time.Sleep(3 * time.Hour)
		for _, m := range said {
			s.hears(bob, m[0], m[1], "are you there?")
		}
		s.agree(quiet, alice, bob)
		s.agree(lively, alice, bob)
	})
}

// TestWhoComesLaterIsNotSentWhatWasBefore has a server be owed something when it
// comes into another room.
func TestWhoComesLaterIsNotSentWhatWasBefore(t *testing.T) {
	scene(t, func(s *stage) {
		a := s.Server("a.test")
		alice, v := a.Register("alice"), s.villain("moody.test")
		first, second := s.room(alice, `{"preset":"public_chat"}`), s.room(alice, `{"preset":"public_chat"}`)
		v.enter(a, first)
		s.settle()
		const send = "/_matrix/federation/v1/send/"
		v.answer(send, says(`{"errcode":"M_FORBIDDEN","error":"not today"}`, 403))
		s.say(alice, first, "owed")
		s.settle()
		s.say(alice, second, "secret")
		v.enter(a, second)
		s.say(alice, second, "hello")
		s.settle()
		a.Restart() // and has nothing in memory
		var mu sync.Mutex
		var got strings.Builder
		v.answer(send, func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			io.Copy(&got, r.Body)
			says(`{"pdus":{}}`, 200)(w, r)
		})
		time.Sleep(time.Hour)
		mu.Lock()
		defer mu.Unlock()
		for body, want := range map[string]bool{`"owed"`: true, `"secret"`: false, `"hello"`: true} {
			if strings.Contains(got.String(), body) != want {
				t.Errorf("%s was sent: %t", body, !want)
			}
		}
	})
}
