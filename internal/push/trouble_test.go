package push_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func status(code int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// back has the gateway answer as it should again, and fails unless it is told so within
// some time, whatever it was told before.
func (s *scene) back(within time.Duration, what string) {
	s.Helper()
	s.take()
	s.answers(nil)
	time.Sleep(within)
	s.want(what)
}

func TestAGatewayThatFailsIsTriedAgain(t *testing.T) {
	in(t, func(s *scene) {
		s.phone(s.bob, "bob")
		s.answers(status(503))
		s.say(s.alice, "hello")
		time.Sleep(10 * time.Minute)
		if tries := len(s.take()); tries < 5 || tries > 12 {
			t.Errorf("it was tried %d times in ten minutes", tries)
		}
		s.do(s.a.Accounts().SetAdmin(s.Context(), s.alice.ID, true))
		v := s.alice.Must("GET", "/_synapse/admin/v1/users/@bob:a.test/pushers", nil)
		if text := string(v); !strings.Contains(text, `"last_error":"the gateway answers 503"`) || !strings.Contains(text, `"waiting":1`) || !strings.Contains(text, `"total":1`) {
			t.Errorf("the administrator is told %s", text)
		}
		s.back(20*time.Minute, "bob 1 hello")
		s.say(s.alice, "again")
		s.want("bob 2 again")
	})
}

func TestAGatewayIsLeftAloneForAsLongAsItWants(t *testing.T) {
	in(t, func(s *scene) {
		s.phone(s.bob, "bob")
		s.answers(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "600")
			w.WriteHeader(429)
		})
		s.say(s.alice, "hello")
		s.want("bob 1 hello")
		s.back(9*time.Minute, "")
		time.Sleep(2 * time.Minute)
		s.want("bob 1 hello")
	})
}

func TestWhatIsReadOrOldIsNotPushedAnyMore(t *testing.T) {
	in(t, func(s *scene) {
		s.phone(s.bob, "bob")
		s.answers(status(500))
		s.say(s.alice, "old")
		time.Sleep(50 * time.Minute)
		first := s.say(s.alice, "read")
		s.say(s.alice, "new")
		s.read(s.bob, first, "m.read")
		time.Sleep(20 * time.Minute)
		s.back(time.Hour, "bob 1 new")
	})
}

func TestWhatIsRedactedIsNotPushedAnyMore(t *testing.T) {
	in(t, func(s *scene) {
		s.phone(s.bob, "bob")
		s.answers(status(500))
		slip := s.say(s.alice, "a slip")
		s.say(s.alice, "a word")
		s.alice.Must("PUT", fmt.Sprintf("/_matrix/client/v3/rooms/%s/redact/%s/r", s.room, slip), `{}`)
		s.back(time.Hour, "bob 2 a word")
	})
}

func TestOfVeryManyTheLastArePushed(t *testing.T) {
	in(t, func(s *scene) {
		s.phone(s.bob, "bob")
		s.answers(status(500))
		for i := range 30 {
			s.say(s.alice, fmt.Sprint("m", i))
		}
		time.Sleep(time.Minute)
		s.take()
		s.answers(nil)
		time.Sleep(20 * time.Minute)
		told := s.take()
		if got := s.brief(told); len(told) != 20 || !strings.HasPrefix(got, "bob 30 m10, ") || !strings.HasSuffix(got, " m29") {
			t.Errorf("%d were pushed: %s", len(told), got)
		}
	})
}

func TestARejectedPushkeyIsRemoved(t *testing.T) {
	in(t, func(s *scene) {
		s.phone(s.bob, "bob")
		s.phone(s.bob, "other")
		s.answers(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"rejected":["bob"]}`) })
		s.say(s.alice, "hello")
		time.Sleep(time.Second)
		if told := s.take(); len(told) != 2 {
			t.Errorf("got %s", told)
		}
		list := s.bob.Must("GET", "/_matrix/client/v3/pushers", nil)
		if text := string(list); strings.Contains(text, `"bob"`) || !strings.Contains(text, `"other"`) {
			t.Errorf("there are %s", text)
		}
		s.say(s.alice, "again")
		s.want("other 2 again")
		s.phone(s.bob, "bob") // as the client may set it again
		s.answers(nil)
		s.say(s.alice, "and again")
		if told := s.take(); len(told) != 2 {
			t.Errorf("got %s", told)
		}
	})
}

// hanging makes gateways that never answer, hangs0.test and so on.
func (s *scene) hanging(n int) {
	s.Helper()
	over := make(chan struct{})
	s.Cleanup(func() { close(over) })
	for i := range n {
		s.w.SecureSite(fmt.Sprintf("hangs%d.test", i), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			select {
			case <-over:
			case <-r.Context().Done():
			}
		}))
	}
}

// TestVeryManyGatewaysThatHangDelayNobodyElse who was told something before, though
// there are more requests to them than there may be at once.
func TestVeryManyGatewaysThatHangDelayNobodyElse(t *testing.T) {
	in(t, func(s *scene) {
		s.phone(s.bob, "bob")
		s.say(s.alice, "before")
		s.want("bob 1 before")
		const gateways, users = 10, 4
		s.hanging(gateways)
		for i := range users {
			u := s.a.Register(fmt.Sprint("crowd", i))
			u.Must("POST", "/_matrix/client/v3/join/"+string(s.room), nil)
			for k := range 90 {
				s.phone(u, fmt.Sprintf("%d-%d", i, k), fmt.Sprintf(`{"url":"https://hangs%d.test/_matrix/push/v1/notify"}`, k%gateways))
			}
		}
		s.take()
		for i := range 3 {
			s.say(s.alice, fmt.Sprint("m", i))
			s.want(fmt.Sprintf("bob %d m%d", i+2, i))
		}
	})
}

func TestAGatewayThatHangsDelaysNobodyElse(t *testing.T) {
	in(t, func(s *scene) {
		s.hanging(1)
		for i := range 40 {
			s.phone(s.bob, fmt.Sprint("hangs", i), `{"url":"https://hangs0.test/_matrix/push/v1/notify"}`)
		}
		s.phone(s.bob, "bob")
		for i := range 3 {
			s.say(s.alice, fmt.Sprint("m", i))
			s.want(fmt.Sprintf("bob %d m%d", i+1, i))
		}
		time.Sleep(time.Hour)
		s.want("")
		s.say(s.alice, "later")
		s.want("bob 4 later")
	})
}

func TestNobodyIsSentIntoTheNetwork(t *testing.T) {
	in(t, func(s *scene) {
		var reached bool
		inward := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true })
		s.w.SecureSite("inside.test", inward)
		s.phone(s.bob, "bob")
		s.phone(s.bob, "literal", `{"url":"https://127.0.0.1/_matrix/push/v1/notify"}`)
		s.phone(s.bob, "link", `{"url":"https://[fe80::1]/_matrix/push/v1/notify"}`)
		s.phone(s.bob, "unknown", `{"url":"https://nowhere.test/_matrix/push/v1/notify"}`)
		for _, code := range []int{301, 302, 307, 308} {
			s.answers(func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://inside.test/_matrix/push/v1/notify", code)
			})
			s.say(s.alice, "hello")
			time.Sleep(time.Minute)
			if len(s.take()) == 0 {
				t.Errorf("%d: the gateway was not asked", code)
			}
			s.answers(nil)
			time.Sleep(10 * time.Minute)
			s.take()
		}
		if reached {
			t.Error("a redirect was followed")
		}
	})
}

func TestWhatWasNotPushedBeforeACrashIsAfterwards(t *testing.T) {
	in(t, func(s *scene) {
		s.phone(s.bob, "bob")
		s.say(s.alice, "before")
		s.want("bob 1 before")
		time.Sleep(5 * time.Second)
		release := make(chan struct{})
		s.answers(func(w http.ResponseWriter, r *http.Request) { // the answer never comes
			select {
			case <-release:
			case <-r.Context().Done():
			}
		})
		s.say(s.alice, "hello")
		s.want("bob 2 hello")
		s.a.Kill()
		close(release)
		s.answers(nil)
		s.a.Start()
		time.Sleep(time.Second)
		s.want("bob 2 hello")
		time.Sleep(time.Minute)
		s.a.Restart()
		time.Sleep(time.Minute)
		s.want("")
	})
}

func TestAPusherThatLagsBehindSurvivesARestart(t *testing.T) {
	for _, end := range []string{"kill", "stop"} {
		t.Run(end, func(t *testing.T) {
			in(t, func(s *scene) {
				s.phone(s.bob, "bob")
				s.say(s.alice, "before")
				s.want("bob 1 before")
				s.answers(status(500))
				s.say(s.alice, "one")
				time.Sleep(time.Minute)
				first := s.say(s.alice, "two")
				s.say(s.alice, "three")
				time.Sleep(10 * time.Minute)
				s.read(s.bob, first, "m.read")
				s.take()
				if end == "kill" {
					s.a.Kill()
				} else {
					s.a.Stop()
				}
				s.answers(nil)
				s.a.Start()
				time.Sleep(time.Second)
				s.want("bob 1 three")
				s.say(s.alice, "four")
				s.want("bob 2 four")
				time.Sleep(time.Minute)
				s.a.Restart()
				time.Sleep(time.Minute)
				s.want("")
			})
		})
	}
}

func TestAfterAnHourOfAbsenceNothingOldIsPushed(t *testing.T) {
	in(t, func(s *scene) {
		s.phone(s.bob, "bob")
		s.answers(status(500))
		s.say(s.alice, "old")
		s.take()
		s.a.Kill()
		time.Sleep(2 * time.Hour)
		s.answers(nil)
		s.a.Start()
		time.Sleep(time.Minute)
		s.want("bob 1")
		s.say(s.alice, "new")
		s.want("bob 2 new")
	})
}

func TestANewPusherGetsNothingOfBefore(t *testing.T) {
	in(t, func(s *scene) {
		s.phone(s.bob, "one")
		s.say(s.alice, "before")
		s.want("one 1 before")
		s.phone(s.bob, "two")
		dave := s.a.Register("dave")
		s.phone(dave, "three")
		dave.Must("POST", "/_matrix/client/v3/join/"+string(s.room), nil)
		s.say(s.alice, "after")
		if told := s.take(); len(told) != 3 {
			t.Errorf("got %s", s.brief(told))
		}
		time.Sleep(5 * time.Second)
		s.a.Restart()
		time.Sleep(time.Minute)
		s.say(s.alice, "again")
		if told := s.take(); len(told) != 3 {
			t.Errorf("got %s", s.brief(told))
		}
	})
}
