package fedtest

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"parley/internal/hstest"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
)

// waits has somebody wait until a sync says something.
func (s *stage) waits(u *hstest.User, what string, said func(sync canonjson.Value) bool) {
	s.Helper()
	since := ""
	for range 60 {
		uri := path("sync") + "?timeout=2000"
		if since != "" {
			uri += "&since=" + url.QueryEscape(since)
		}
		sync := u.Must("GET", uri, nil)
		if said(sync) {
			return
		}
		since = text(sync, "next_batch")
	}
	s.Fatalf("%s waits in vain for %s", u.ID, what)
}

// waitsFor has somebody wait for an event of a room.
func (s *stage) waitsFor(u *hstest.User, room, eventID string) {
	s.Helper()
	s.waits(u, eventID, func(sync canonjson.Value) bool {
		about := sync.Get("rooms").Get("join").Get(room)
		for _, list := range []canonjson.Value{about.Get("timeline").Get("events"), about.Get("state").Get("events")} {
			for e := range list.Elements() {
				if e.Get("event_id").Is(eventID) {
					return true
				}
			}
		}
		return false
	})
}

// The scenes in virtual time are played with SQLite. This one takes the time that it
// takes, with servers on each database.
func TestServersTalkOnEachDatabase(t *testing.T) {
	storetest.EachKind(t, func(t *testing.T, fresh func() string) {
		s := &stage{World: hstest.New(t)}
		a, b := s.Server("a.test", hstest.Database(fresh())), s.Server("b.test", hstest.Database(fresh()))
		alice, bob, carol := a.Register("alice"), b.Register("bob"), b.Register("carol")
		room := s.room(alice, `{"preset":"public_chat","name":"Each"}`)
		for i := range 130 {
			s.say(alice, room, fmt.Sprint("before bob ", i))
		}
		at := time.Now().UnixMilli()
		for i := range 130 {
			s.say(alice, room, fmt.Sprint("also before bob ", i))
		}
		s.join(bob, room, "a.test")
		named := bob.Must("GET", fmt.Sprintf("/_matrix/client/v1/rooms/%s/timestamp_to_event?dir=b&ts=%d", room, at), nil)
		bob.Must("GET", path("rooms", room, "context", text(named, "event_id")), nil) // it is here
		hello := s.say(alice, room, "hello")
		s.waitsFor(bob, room, hello)
		answer := s.say(bob, room, "hello yourself")
		s.waitsFor(alice, room, answer)
		s.sameHistory(room, alice, bob)
		redaction := text(alice.Must("PUT", path("rooms", room, "redact", answer, "r"), `{}`), "event_id")
		s.waitsFor(bob, room, redaction)
		if got := bob.Must("GET", path("rooms", room, "event", answer), nil); got.Get("content").Get("body") != nil {
			t.Errorf("bob still sees %s", got)
		}
		s.agree(room, alice, bob)

		private := s.room(alice, `{"preset":"private_chat","invite":["@bob:b.test"],"initial_state":[{"type":"m.room.join_rules","content":{"join_rule":"knock"}}]}`)
		s.waits(bob, "an invite", func(sync canonjson.Value) bool { return sync.Get("rooms").Get("invite").Get(private) != nil })
		s.join(bob, private)
		carol.Must("POST", path("knock", private), `{}`)
		alice.Must("POST", path("rooms", private, "invite"), map[string]string{"user_id": string(carol.ID)})
		s.waits(carol, "an invite", func(sync canonjson.Value) bool { return sync.Get("rooms").Get("invite").Get(private) != nil })
		s.join(carol, private)
		s.waitsFor(alice, private, s.say(carol, private, "thanks"))
		s.agree(private, alice, bob, carol)

		// What is missed while a side is down comes, and what is staged is gone on with.
		b.Kill()
		missed := s.say(alice, room, "are you there?")
		b.Start()
		s.waitsFor(alice, private, s.say(bob, private, "I am back"))
		s.waitsFor(bob, room, missed)
		bob.Must("POST", path("rooms", private, "leave"), `{}`)
		s.waits(alice, "bob's leave", func(canonjson.Value) bool {
			return text(alice.Must("GET", path("rooms", private, "state", "m.room.member", string(bob.ID)), nil), "membership") == "leave"
		})
		s.agree(private, alice, carol)
	})
}
