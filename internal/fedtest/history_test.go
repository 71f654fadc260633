package fedtest

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/internal/hstest"
	"parley/matrix/roomver"
)

// history reads a room's history, the newest event first, in pages.
func (s *stage) history(u *hstest.User, room, from string, limit int) (ids []string) {
	s.Helper()
	for range 100 {
		query := url.Values{"dir": {"b"}, "limit": {fmt.Sprint(limit)}}
		if from != "" {
			query.Set("from", from)
		}
		page := u.Must("GET", path("rooms", room, "messages")+"?"+query.Encode(), nil)
		for e := range page.Get("chunk").Elements() {
			ids = append(ids, text(e, "event_id"))
		}
		if from = text(page, "end"); from == "" {
			return ids
		}
	}
	s.Error("the history has no end")
	return nil
}

// sameHistory fails unless two people see the same history.
func (s *stage) sameHistory(room string, a, b *hstest.User) {
	s.Helper()
	want, got := s.history(a, room, "", 50), s.history(b, room, "", 17)
	if len(got) != len(want) {
		s.Errorf("%s sees %d events, %s %d", a.ID, len(want), b.ID, len(got))
		return
	}
	for i := range want {
		if got[i] != want[i] {
			s.Errorf("event %d is %s for %s and %s for %s", i, want[i], a.ID, got[i], b.ID)
			return
		}
	}
}

// What tells a client that it need not look for the key of a message.
func TestWhatWasSaidBeforeAnInviteSaysSo(t *testing.T) {
	for visibility, want := range map[string][]string{
		"shared":  {"leave", "invite", "join"},
		"invited": {"invite", "join"},
	} {
		t.Run("history is "+visibility, func(t *testing.T) {
			scene(t, func(s *stage) {
				alice, bob := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob")
				room := s.room(alice, `{"preset":"private_chat"}`)
				s.set(alice, room, "m.room.history_visibility", "", fmt.Sprintf(`{"history_visibility":%q}`, visibility))
				s.say(alice, room, "nobody is here")
				alice.Must("POST", path("rooms", room, "invite"), map[string]string{"user_id": string(bob.ID)})
				s.settle()
				s.say(alice, room, "come in")
				s.join(bob, room, "a.test")
				s.settle()
				s.say(alice, room, "welcome")
				s.settle()
				s.history(bob, room, "", 5) // which fetches it
				var got []string
				for e := range bob.Must("GET", path("rooms", room, "messages")+"?dir=f&limit=50", nil).Get("chunk").Elements() {
					if text(e, "type") == "m.room.message" {
						got = append(got, text(e, "unsigned", "membership"))
					}
				}
				if !slices.Equal(got, want) {
					s.Errorf("bob was told that he was %q when the messages were sent, want %q", got, want)
				}
			})
		})
	}
}

func TestTheHistoryBeforeAJoinIsFetched(t *testing.T) {
	for rules := range roomver.Known() {
		t.Run("version "+string(rules.Version), func(t *testing.T) {
			scene(t, func(s *stage) {
				alice, bob := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob")
				room := s.room(alice, fmt.Sprintf(`{"preset":"public_chat","room_version":%q}`, rules.Version))
				for i := range 30 {
					s.say(alice, room, fmt.Sprint("before bob ", i))
				}
				s.set(alice, room, "m.room.topic", "", `{"topic":"old"}`)
				s.join(bob, room, "a.test")
				s.settle()
				s.sameHistory(room, alice, bob)
				hello := s.say(bob, room, "I have read it all")
				s.settle()
				s.hears(alice, room, hello, "I have read it all")
				s.agree(room, alice, bob)
				s.sameHistory(room, alice, bob)
			})
		})
	}
}

func TestALongHistoryIsFetchedPageByPage(t *testing.T) {
	scene(t, func(s *stage) {
		alice, bob := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob")
		room := s.room(alice, `{"preset":"public_chat"}`)
		for i := range 450 {
			s.say(alice, room, fmt.Sprint("before bob ", i))
		}
		s.join(bob, room, "a.test")
		s.settle()
		s.sameHistory(room, alice, bob)
	})
}

func TestHistoryGoesOnWhenTheOtherServerIsBack(t *testing.T) {
	scene(t, func(s *stage) {
		a := s.Server("a.test")
		alice, bob := a.Register("alice"), s.Server("b.test").Register("bob")
		room := s.room(alice, `{"preset":"public_chat"}`)
		s.say(alice, room, "early")
		s.join(bob, room, "a.test")
		s.settle()
		a.Stop()
		if got := s.history(bob, room, "", 10); len(got) != 1 {
			t.Errorf("bob sees %d events without the other server, want his join", len(got))
		}
		a.Start()
		time.Sleep(3 * time.Hour)
		s.sameHistory(room, alice, bob)
	})
}

func TestATimelineDoesNotRunOverAGap(t *testing.T) {
	scene(t, func(s *stage) {
		b := s.Server("b.test")
		alice, bob := s.Server("a.test").Register("alice"), b.Register("bob")
		room := s.room(alice, `{"preset":"public_chat"}`)
		s.join(bob, room, "a.test")
		s.settle()
		since := text(s.sync(bob), "next_batch")
		b.Kill()
		for i := range 300 {
			s.say(alice, room, fmt.Sprint("nobody hears ", i))
		}
		time.Sleep(time.Hour)
		b.Start()
		last := s.say(alice, room, "the last")
		time.Sleep(3 * time.Hour)
		s.hears(bob, room, last, "the last")
		// However it got there, what bob's client has and what it is told to fetch is
		// everything.
		next := bob.Must("GET", path("sync")+"?since="+since, nil).Get("rooms").Get("join").Get(room).Get("timeline")
		if string(next.Get("limited")) != "true" {
			t.Errorf("the timeline is %s", next)
		}
		s.sameHistory(room, alice, bob)
	})
}

func TestHistoryIsSeenByWhoMaySeeIt(t *testing.T) {
	scene(t, func(s *stage) {
		alice, bob := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob")
		room := s.room(alice, `{"preset":"public_chat"}`)
		s.set(alice, room, "m.room.history_visibility", "", `{"history_visibility":"joined"}`)
		secret := s.say(alice, room, "among us")
		s.set(alice, room, "m.room.history_visibility", "", `{"history_visibility":"shared"}`)
		open := s.say(alice, room, "for all who come")
		s.join(bob, room, "a.test")
		s.settle()
		seen := make(map[string]bool)
		for _, eventID := range s.history(bob, room, "", 10) {
			seen[eventID] = true
		}
		if seen[secret] {
			t.Error("bob sees what was said among others")
		}
		if !seen[open] {
			t.Error("bob does not see what was said for all who come")
		}
		if status, _ := bob.Do("GET", path("rooms", room, "event", secret), nil); status != 404 {
			t.Errorf("bob gets what was said among others: %d", status)
		}
	})
}

func TestHistoryIsReadForwards(t *testing.T) {
	scene(t, func(s *stage) {
		alice, bob := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob")
		room := s.room(alice, `{"preset":"public_chat"}`)
		first := s.say(alice, room, "first")
		s.join(bob, room, "a.test")
		s.settle()
		page := bob.Must("GET", path("rooms", room, "messages")+"?dir=f&limit=100", nil)
		found := false
		for e := range page.Get("chunk").Elements() {
			found = found || text(e, "event_id") == first
		}
		if !found {
			t.Errorf("bob reads %s", page)
		}
	})
}

// TestWhatWasRedactedBeforeAJoinIsToldWhenThatIsFound, though nothing else happens in the
// room.
func TestWhatWasRedactedBeforeAJoinIsToldWhenThatIsFound(t *testing.T) {
	scene(t, func(s *stage) {
		alice, bob := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob")
		room := s.room(alice, `{"preset":"public_chat"}`)
		secret := text(alice.Must("PUT", path("rooms", room, "state", "org.test.secret"), `{"body":"oops"}`), "event_id")
		alice.Must("PUT", path("rooms", room, "redact", secret, "1"), `{}`)
		s.join(bob, room, "a.test")
		s.settle()
		first := s.sync(bob)
		if !strings.Contains(string(first), "oops") {
			t.Fatalf("bob is told %s, so there is nothing to see here", first)
		}
		s.history(bob, room, "", 50)
		state := bob.Must("GET", path("sync")+"?since="+text(first, "next_batch"), nil).Get("rooms").Get("join").Get(room).Get("state").Get("events")
		for e := range state.Elements() {
			if text(e, "event_id") == secret && string(e.Get("content")) == "{}" {
				return
			}
		}
		t.Errorf("bob is told %s", state)
	})
}
