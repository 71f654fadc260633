package fedtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/internal/hstest"
	"parley/matrix/canonjson"
)

// A reader is a device that syncs, and takes in what is told to it and to whom it
// should ask for devices.
type reader struct {
	*hstest.User
	since         string
	said          []string
	changed, left []string
}

// reads has a device sync as often as there is something, and returns what was said
// to it since then.
func (s *stage) reads(r *reader) []string {
	s.Helper()
	r.said, r.changed, r.left = nil, nil, nil
	for {
		target := "/_matrix/client/v3/sync?timeout=0"
		if r.since != "" {
			target += "&since=" + r.since
		}
		answer := r.Must("GET", target, nil)
		r.since = text(answer, "next_batch")
		count := 0
		for e := range answer.Get("to_device").Get("events").Elements() {
			count++
			r.said = append(r.said, text(e, "content", "body"))
		}
		for user := range answer.Get("device_lists").Get("changed").Elements() {
			r.changed = append(r.changed, user.String())
		}
		for user := range answer.Get("device_lists").Get("left").Elements() {
			r.left = append(r.left, user.String())
		}
		if count == 0 {
			return r.said
		}
	}
}

// expect fails if something else was said to a device.
func (s *stage) expect(r *reader, want ...string) {
	s.Helper()
	if got := s.reads(r); !slices.Equal(got, want) {
		s.Errorf("%s %s was told %q, want %q", r.ID, r.Device, got, want)
	}
}

// tell sends a message to devices: "@bob:b.test PHONE".
func (s *stage) tell(u *hstest.User, txn, body string, to ...string) {
	s.Helper()
	messages := canonjson.Value("{}")
	for _, address := range to {
		user, device, _ := strings.Cut(address, " ")
		devices := messages.Get(user)
		if devices == nil {
			devices = canonjson.Value("{}")
		}
		messages = messages.With(user, devices.With(device, canonjson.Value("{}").With("body", canonjson.Text(body))))
	}
	u.Must("PUT", path("sendToDevice", "m.test", txn), canonjson.Value("{}").With("messages", messages))
}

func address(u *hstest.User) string { return string(u.ID) + " " + string(u.Device) }

func TestDevicesOfOthersAreSpokenTo(t *testing.T) {
	scene(t, func(s *stage) {
		b := s.Server("b.test")
		alice, carol := s.Server("a.test").Register("alice"), s.Server("c.test").Register("carol")
		phone := &reader{User: b.Register("bob")}
		desk, other := &reader{User: phone.Login()}, &reader{User: carol}
		s.tell(alice, "1", "to one", address(phone.User), "@bob:b.test GONE", "@who:b.test *")
		s.tell(alice, "2", "to all", "@bob:b.test *", "@carol:c.test *")
		s.tell(alice, "2", "again", "@bob:b.test *")
		s.settle()
		s.expect(phone, "to one", "to all")
		s.expect(desk, "to all")
		s.expect(other, "to all")
		s.expect(phone)
	})
}

func TestWhatIsSaidToADeviceSurvivesCutsAndRestarts(t *testing.T) {
	for name, away := range map[string]time.Duration{"a minute": time.Minute, "a day": 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			scene(t, func(s *stage) {
				a, b := s.Server("a.test"), s.Server("b.test")
				alice, bob := a.Register("alice"), &reader{User: b.Register("bob")}
				s.tell(alice, "0", "first", address(bob.User))
				s.settle()
				s.expect(bob, "first")
				b.Kill()
				var want []string
				for i := range 250 {
					want = append(want, fmt.Sprint(i))
					s.tell(alice, "t"+fmt.Sprint(i), want[i], address(bob.User))
				}
				time.Sleep(away)
				a.Restart()
				b.Start()
				time.Sleep(3 * time.Hour)
				s.expect(bob, want...)
				s.tell(alice, "last", "last", address(bob.User))
				s.settle()
				s.expect(bob, "last")
			})
		})
	}
}

func TestAServerThatDoesNotHearWhatItHasSentSendsItAgainAndItIsToldOnce(t *testing.T) {
	scene(t, func(s *stage) {
		a, b := s.Server("a.test"), s.Server("b.test")
		alice, bob := a.Register("alice"), &reader{User: b.Register("bob")}
		s.tell(alice, "0", "hello", address(bob.User))
		s.settle()
		s.expect(bob, "hello")
		var want []string
		for i := range 60 {
			want = append(want, fmt.Sprint(i))
			s.tell(alice, "t"+fmt.Sprint(i), want[i], address(bob.User))
			switch i % 10 {
			case 3:
				a.Restart() // it may not know any more what has arrived
			case 6:
				b.Restart()
			case 9:
				time.Sleep(time.Duration(i) * time.Second)
			}
		}
		time.Sleep(3 * time.Hour)
		s.expect(bob, want...)
	})
}

func TestWhatIsSaidToADeviceComesOnceWhateverTheClientLoses(t *testing.T) {
	scene(t, func(s *stage) {
		a := s.Server("a.test")
		alice, bob := a.Register("alice"), &reader{User: a.Register("bob")}
		s.reads(bob)
		for i := range 250 {
			s.tell(alice, fmt.Sprint(i), fmt.Sprint(i), address(bob.User))
		}
		var told []string
		take := func(since string) (next string) {
			answer := bob.Must("GET", "/_matrix/client/v3/sync?timeout=30000&since="+since, nil)
			told = nil
			for e := range answer.Get("to_device").Get("events").Elements() {
				told = append(told, text(e, "content", "body"))
			}
			return text(answer, "next_batch")
		}
		second := take(bob.since)
		if len(told) != 100 || told[99] != "99" {
			t.Fatalf("told at first: %q", told)
		}
		take(bob.since) // the answer was lost
		if len(told) != 100 || told[0] != "0" {
			t.Errorf("told again: %q", told)
		}
		a.Restart()
		began := time.Now()
		third := take(second)
		if len(told) != 100 || told[0] != "100" || time.Since(began) > time.Second {
			t.Errorf("told then, after %s: %q", time.Since(began), told)
		}
		take(third)
		if len(told) != 50 || told[49] != "249" {
			t.Errorf("told at last: %q", told)
		}
		bob.since = ""
		if got := s.reads(bob); len(got) != 50 || got[0] != "200" {
			t.Errorf("who begins anew is told %q", got)
		}
		s.expect(bob)
	})
}

func TestOthersLearnOfDevices(t *testing.T) {
	scene(t, func(s *stage) {
		a, b := s.Server("a.test"), s.Server("b.test")
		alice, dan := a.Register("alice"), &reader{User: a.Register("dan")}
		bob, eve := &reader{User: b.Register("bob")}, &reader{User: b.Register("eve")}
		room := s.room(alice, `{"preset":"public_chat"}`)
		s.reads(bob)
		s.reads(dan)
		s.reads(eve)
		learns := func(what string, r *reader, want string) {
			t.Helper()
			s.settle()
			s.reads(r)
			slices.Sort(r.changed)
			if got := strings.Join(slices.Compact(r.changed), " ") + " / " + strings.Join(r.left, " "); got != want {
				t.Errorf("%s: %s learns of %q, want %q", what, r.ID, got, want)
			}
		}
		s.join(bob.User, room, "a.test")
		s.settle()
		s.join(dan.User, room)
		learns("joining", bob, "@alice:a.test @dan:a.test / ")
		learns("joining", dan, "@alice:a.test @bob:b.test / ")
		phone := alice.Login()
		learns("logging in", bob, "@alice:a.test / ")
		learns("logging in", dan, "@alice:a.test / ")
		learns("logging in", eve, " / ")
		phone.Must("PUT", path("devices", string(phone.Device)), `{"display_name":"phone"}`)
		learns("a name", dan, "@alice:a.test / ")
		phone.Must("PUT", path("devices", string(phone.Device)), `{"display_name":"phone"}`)
		learns("the same name", dan, " / ")
		phone.Must("POST", path("logout"), `{}`)
		learns("logging out", bob, "@alice:a.test / ")
		learns("logging out", dan, "@alice:a.test / ")
		bob.Login()
		learns("on the other server", dan, "@bob:b.test / ")
		learns("on the other server", bob, "@bob:b.test / ")
		learns("on the other server", eve, " / ")
		bob.Must("POST", path("rooms", room, "leave"), `{}`)
		learns("leaving", dan, " / @bob:b.test")
		learns("leaving", bob, " / @alice:a.test @dan:a.test")
		bob.Login()
		learns("out of sight", dan, " / ")
		alice.Login()
		learns("out of sight", bob, "@bob:b.test / ")
		learns("out of sight", dan, "@alice:a.test / ")
		s.join(bob.User, room, "a.test")
		learns("coming back", dan, "@bob:b.test / ")
		learns("coming back", bob, "@alice:a.test @dan:a.test / ")
	})
}

func TestADeviceIsKnownBeforeWhatItSays(t *testing.T) {
	scene(t, func(s *stage) {
		a, b := s.Server("a.test"), s.Server("b.test")
		alice, bob := a.Register("alice"), &reader{User: b.Register("bob")}
		room := s.room(alice, `{"preset":"public_chat"}`)
		s.join(bob.User, room, "a.test")
		s.settle()
		s.reads(bob)
		for _, down := range []time.Duration{0, time.Hour} {
			if down > 0 {
				b.Kill()
			}
			phone := alice.Login()
			s.tell(phone, "1", "hello from "+string(phone.Device), address(bob.User))
			phone.Must("POST", path("logout"), `{}`)
			if down > 0 {
				time.Sleep(down)
				b.Start()
				time.Sleep(time.Hour)
			}
			s.settle()
			s.expect(bob, "hello from "+string(phone.Device))
			if len(bob.changed) == 0 {
				t.Errorf("down for %s: bob is told nothing of alice's devices", down)
			}
		}
	})
}

func TestWhoWaitsIsToldAtOnce(t *testing.T) {
	scene(t, func(s *stage) {
		a, b := s.Server("a.test"), s.Server("b.test")
		alice, bob := a.Register("alice"), &reader{User: b.Register("bob")}
		desk := &reader{User: bob.Login()}
		room := s.room(alice, `{"preset":"public_chat"}`)
		s.join(bob.User, room, "a.test")
		s.settle()
		waits := func(r *reader, what func()) (answer canonjson.Value, after time.Duration) {
			for range 2 { // whoever reads comes online, which is news
				s.reads(r)
				s.settle()
			}
			s.reads(r)
			began := time.Now()
			done := make(chan canonjson.Value)
			go func() {
				done <- r.Must("GET", "/_matrix/client/v3/sync?timeout=30000&set_presence=offline&since="+r.since, nil)
			}()
			time.Sleep(time.Second)
			what()
			answer = <-done
			return answer, time.Since(began)
		}
		answer, after := waits(bob, func() { s.tell(alice, "1", "hello", address(bob.User)) })
		if after > 5*time.Second || answer.Get("to_device") == nil {
			t.Errorf("after %s bob is told %s", after, answer)
		}
		answer, after = waits(bob, func() { alice.Login() })
		if after > 5*time.Second || answer.Get("device_lists") == nil {
			t.Errorf("after %s bob is told %s", after, answer)
		}
		answer, after = waits(desk, func() { s.tell(alice, "2", "hello", address(bob.User)) })
		if after < 30*time.Second || answer.Get("to_device") != nil {
			t.Errorf("after %s the other device is told %s", after, answer)
		}
	})
}
