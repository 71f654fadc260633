package fedtest

import (
	"net/url"
	"testing"
	"time"

	"parley/internal/config"
	"parley/internal/hstest"
	"parley/matrix/canonjson"
)

// ephemeral returns the content of an ephemeral event of a room in a sync.
func ephemeral(sync canonjson.Value, room, kind string) canonjson.Value {
	for e := range sync.Get("rooms").Get("join").Get(room).Get("ephemeral").Get("events").Elements() {
		if e.Get("type").Is(kind) {
			return e.Get("content")
		}
	}
	return nil
}

// types reports whether somebody sees that another types.
func (s *stage) types(u, other *hstest.User, room string) bool {
	s.Helper()
	for user := range ephemeral(s.sync(u), room, "m.typing").Get("user_ids").Elements() {
		if user.Is(string(other.ID)) {
			return true
		}
	}
	return false
}

// presence returns what somebody sees that another is.
func (s *stage) presence(u, other *hstest.User) string {
	s.Helper()
	status, answer := u.Do("GET", path("presence", string(other.ID), "status"), nil)
	if status != 200 {
		return "unknown"
	}
	return text(answer, "presence") + " " + text(answer, "status_msg")
}

func TestOthersSeeWhoTypes(t *testing.T) {
	scene(t, func(s *stage) {
		alice, bob := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob")
		room := s.room(alice, `{"preset":"public_chat"}`)
		s.join(bob, room, "a.test")
		s.settle()
		bob.Must("PUT", path("rooms", room, "typing", string(bob.ID)), `{"typing":true,"timeout":30000}`)
		s.settle()
		if !s.types(alice, bob, room) {
			t.Error("alice does not see that bob types")
		}
		bob.Must("PUT", path("rooms", room, "typing", string(bob.ID)), `{"typing":false}`)
		s.settle()
		if s.types(alice, bob, room) {
			t.Error("alice sees that bob still types")
		}
		// Who goes on is seen to go on, and who is gone ends.
		for range 6 {
			alice.Must("PUT", path("rooms", room, "typing", string(alice.ID)), `{"typing":true,"timeout":30000}`)
			time.Sleep(25 * time.Second)
			if !s.types(bob, alice, room) {
				t.Error("bob does not see that alice goes on typing")
			}
		}
		time.Sleep(10 * time.Second)
		if s.types(bob, alice, room) {
			t.Error("bob does not see that alice has ended")
		}
	})
}

func TestOthersSeeWhoHasRead(t *testing.T) {
	scene(t, func(s *stage) {
		a := s.Server("a.test")
		alice, carol, bob := a.Register("alice"), a.Register("carol"), s.Server("b.test").Register("bob")
		room := s.room(alice, `{"preset":"public_chat"}`)
		s.join(bob, room, "a.test")
		s.join(carol, room)
		s.settle()
		root, last := s.say(alice, room, "one"), s.say(alice, room, "two")
		s.settle()
		for _, r := range []struct {
			by                    *hstest.User
			kind, eventID, thread string
		}{
			{bob, "m.read", root, `{}`},
			{bob, "m.read", last, `{"thread_id":"main"}`},
			{bob, "m.read.private", last, `{}`},
			{carol, "m.read", root, `{}`},
			{carol, "m.read", last, `{}`},
		} {
			r.by.Must("POST", path("rooms", room, "receipt", r.kind, r.eventID), r.thread)
		}
		s.settle()
		seen := func(u, by *hstest.User, eventID, kind string) canonjson.Value {
			return ephemeral(s.sync(u), room, "m.receipt").Get(eventID).Get(kind).Get(string(by.ID))
		}
		if seen(alice, bob, root, "m.read") == nil || text(seen(alice, bob, last, "m.read"), "thread_id") != "main" {
			t.Errorf("alice sees of bob %s", ephemeral(s.sync(alice), room, "m.receipt"))
		}
		if seen(alice, bob, last, "m.read.private") != nil {
			t.Error("alice sees what bob reads in private")
		}
		if seen(bob, carol, last, "m.read") == nil || seen(bob, carol, root, "m.read") != nil {
			t.Errorf("bob sees of carol %s", ephemeral(s.sync(bob), room, "m.receipt"))
		}
	})
}

func TestOthersSeeWhoIsOnline(t *testing.T) {
	scene(t, func(s *stage) {
		b := s.Server("b.test")
		alice, bob, dave := s.Server("a.test").Register("alice"), b.Register("bob"), b.Register("dave")
		room := s.room(alice, `{"preset":"public_chat"}`)
		s.join(bob, room, "a.test")
		bob.Must("PUT", path("presence", string(bob.ID), "status"), `{"presence":"online","status_msg":"here"}`)
		dave.Must("PUT", path("presence", string(dave.ID), "status"), `{"presence":"online"}`)
		time.Sleep(10 * time.Second)
		if got := s.presence(alice, bob); got != "online here" {
			t.Errorf("alice sees that bob is %q", got)
		}
		since := text(s.sync(alice), "next_batch")
		bob.Must("PUT", path("presence", string(bob.ID), "status"), `{"presence":"unavailable","status_msg":"at lunch"}`)
		time.Sleep(10 * time.Second)
		told := ""
		for e := range alice.Must("GET", path("sync")+"?since="+since, nil).Get("presence").Get("events").Elements() {
			if e.Get("sender").Is(string(bob.ID)) {
				told = text(e, "content", "presence") + " " + text(e, "content", "status_msg")
			}
		}
		if told != "unavailable at lunch" {
			t.Errorf("alice is told that bob is %q", told)
		}
		if got := s.presence(alice, dave); got != "unknown" {
			t.Errorf("alice sees that dave is %q, with whom she shares no room", got)
		}
		time.Sleep(time.Minute) // bob does not sync
		if got := s.presence(alice, bob); got != "offline at lunch" {
			t.Errorf("alice sees that bob is %q, who is gone", got)
		}
	})
}

func TestWhoStaysOnlineIsSeenToDoSo(t *testing.T) {
	scene(t, func(s *stage) {
		b := s.Server("b.test")
		alice, bob := s.Server("a.test").Register("alice"), b.Register("bob")
		room := s.room(alice, `{"preset":"public_chat"}`)
		s.join(bob, room, "a.test")
		since := text(s.sync(bob), "next_batch")
		for range 60 {
			bob.Must("GET", path("sync")+"?timeout=60000&set_presence=unavailable&since="+since, nil)
			time.Sleep(10 * time.Second)
			if got := s.presence(alice, bob); got != "unavailable " {
				t.Fatalf("alice sees that bob is %q", got)
			}
			since = text(bob.Must("GET", path("sync")+"?set_presence=unavailable&since="+since, nil), "next_batch")
		}
		b.Kill()
		time.Sleep(time.Hour)
		if got := s.presence(alice, bob); got != "offline " {
			t.Errorf("alice sees that bob is %q, whose server is dead", got)
		}
	})
}

func TestAServerWithoutPresenceSaysNothingAndHearsNothing(t *testing.T) {
	scene(t, func(s *stage) {
		quiet := func(c *config.Config) { c.Presence.Enabled = false }
		alice, bob := s.Server("a.test").Register("alice"), s.Server("b.test", quiet).Register("bob")
		room := s.room(alice, `{"preset":"public_chat"}`)
		s.join(bob, room, "a.test")
		for _, u := range []*hstest.User{alice, bob} {
			u.Must("PUT", path("presence", string(u.ID), "status"), `{"presence":"online"}`)
		}
		time.Sleep(10 * time.Second)
		if got := s.presence(alice, bob); got != "offline " {
			t.Errorf("alice sees that bob is %q", got)
		}
		if got := s.presence(bob, alice); got != "offline " {
			t.Errorf("bob sees that alice is %q", got)
		}
	})
}

func TestOthersCannotSpeakForUsers(t *testing.T) {
	scene(t, func(s *stage) {
		a, b := s.Server("a.test"), s.Server("b.test")
		alice, carol, bob := a.Register("alice"), a.Register("carol"), b.Register("bob")
		room := s.room(alice, `{"preset":"public_chat"}`)
		private := s.room(alice, `{"preset":"private_chat"}`)
		s.join(bob, room, "a.test")
		s.join(carol, room)
		s.settle()
		hello := s.say(alice, room, "hello")
		for _, e := range []string{
			`{"edu_type":"m.typing","content":{"room_id":"` + room + `","user_id":"@carol:a.test","typing":true}}`,
			`{"edu_type":"m.typing","content":{"room_id":"` + private + `","user_id":"@bob:b.test","typing":true}}`,
			`{"edu_type":"m.receipt","content":{"` + room + `":{"m.read":{"@carol:a.test":{"data":{"ts":1},"event_ids":["` + hello + `"]}}}}}`,
			`{"edu_type":"m.presence","content":{"push":[{"user_id":"@carol:a.test","presence":"unavailable","last_active_ago":1,"status_msg":"mocked"}]}}`,
			`{"edu_type":"m.presence","content":{"push":[{"user_id":"@dave:c.test","presence":"unavailable","last_active_ago":1}]}}`,
		} {
			body, err := canonjson.Canonical([]byte(`{"origin":"b.test","origin_server_ts":1,"pdus":[],"edus":[`+e+`]}`), canonjson.Strict)
			if err != nil {
				t.Fatal(err)
			}
			if status, answer := b.Ask(a, "PUT", "/_matrix/federation/v1/send/"+url.PathEscape(e[:20]), body); status != 200 {
				t.Errorf("%s: got %d %s", e, status, answer)
			}
		}
		time.Sleep(10 * time.Second)
		sync := s.sync(alice)
		if s.types(alice, carol, room) || s.types(alice, bob, private) {
			t.Error("alice sees somebody type")
		}
		if got := ephemeral(sync, room, "m.receipt"); got != nil {
			t.Errorf("alice sees the receipts %s", got)
		}
		if got := s.presence(alice, carol); got != "offline " {
			t.Errorf("alice sees that carol is %q", got)
		}
	})
}

// What does not matter later does not keep a server that was away.
func TestNobodyIsToldLaterWhoTyped(t *testing.T) {
	scene(t, func(s *stage) {
		b := s.Server("b.test")
		alice, bob := s.Server("a.test").Register("alice"), b.Register("bob")
		room := s.room(alice, `{"preset":"public_chat"}`)
		s.join(bob, room, "a.test")
		s.settle()
		b.Kill()
		missed := s.say(alice, room, "are you there?")
		time.Sleep(time.Minute)
		alice.Must("PUT", path("rooms", room, "typing", string(alice.ID)), `{"typing":true,"timeout":120000}`)
		b.Start()
		time.Sleep(time.Minute)
		s.say(bob, room, "I am back")
		s.settle()
		s.hears(bob, room, missed, "are you there?")
		if s.types(bob, alice, room) {
			t.Error("bob is told late that alice typed")
		}
	})
}

// Who was online before is seen to be by those who come to share a room.
func TestWhoComesToShareARoomSeesWhoIsOnline(t *testing.T) {
	scene(t, func(s *stage) {
		alice, bob, carol := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob"), s.Server("c.test").Register("carol")
		room := s.room(alice, `{"preset":"public_chat"}`)
		for _, u := range []*hstest.User{alice, bob, carol} {
			// Online for as long as they sync, which goes on.
			since := text(s.sync(u), "next_batch")
			go u.Try("GET", path("sync")+"?timeout=3600000&filter="+url.QueryEscape(`{"room":{"rooms":[]},"presence":{"types":[]}}`)+"&since="+since, nil)
		}
		time.Sleep(time.Minute)
		s.join(bob, room, "a.test")
		time.Sleep(10 * time.Second)
		for _, pair := range [][2]*hstest.User{{alice, bob}, {bob, alice}} {
			if got := s.presence(pair[0], pair[1]); got != "online " {
				t.Errorf("%s sees that %s is %q", pair[0].ID, pair[1].ID, got)
			}
		}
		// A third server learns of those of both.
		s.join(carol, room, "b.test")
		time.Sleep(10 * time.Second)
		for _, u := range []*hstest.User{alice, bob} {
			if got := s.presence(carol, u); got != "online " {
				t.Errorf("carol sees that %s is %q", u.ID, got)
			}
			if got := s.presence(u, carol); got != "online " {
				t.Errorf("%s sees that carol is %q", u.ID, got)
			}
		}
	})
}
