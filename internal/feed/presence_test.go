package feed_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/config"
	"parley/internal/hstest"
	"parley/matrix/canonjson"
)

// present says what presence an answer tells of, as "bob online" and so on.
func (a answer) present(want ...string) {
	a.Helper()
	var got []string
	for e := range a.Get("presence").Get("events").Elements() {
		if text(e, "type") != "m.presence" {
			a.Errorf("an event of presence is %s", e)
		}
		brief := text(e, "sender")[1:] + " " + text(e.Get("content"), "presence")
		if message := text(e.Get("content"), "status_msg"); message != "" {
			brief += " " + message
		}
		got = append(got, brief)
	}
	slices.Sort(got)
	same(a, "presence", got, want...)
}

// quietly is a client whose syncs do not make its user come online.
func quietly(t testing.TB, u *hstest.User, filter string) *client {
	c := newClient(t, u, filter)
	c.query = "&set_presence=offline"
	return c
}

func says(u *hstest.User, content string) {
	u.Must("PUT", "/_matrix/client/v3/presence/"+string(u.ID)+"/status", content)
}

func later() {
	time.Sleep(5 * time.Second)
	synctest.Wait()
}

func TestPresenceIsToldToWhoSharesARoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		room := s.room(s.bob)
		bob, carol := quietly(t, s.bob, ""), quietly(t, s.carol, "")
		bob.sync().present()
		carol.sync().present()
		says(s.alice, `{"presence":"online","status_msg":"hi"}`)
		later()
		bob.sync().present("alice:a.test online hi")
		bob.sync().present()
		carol.sync().present()
		quietly(t, s.bob, "").sync().present("alice:a.test online hi")
		quietly(t, s.alice, "").sync().present("alice:a.test online hi")
		quietly(t, s.bob, `{"presence":{"types":[]}}`).sync().present()
		quietly(t, s.bob, `{"presence":{"not_senders":["@alice:a.test"]}}`).sync().present()

		// Who comes into the room is told of who is there, and told of.
		says(s.carol, `{"presence":"unavailable"}`)
		later()
		carol.sync().present("carol:a.test unavailable")
		s.join(s.carol, room)
		carol.sync().present("alice:a.test online hi")
		later()
		bob.sync().present("carol:a.test unavailable")

		// Who has left hears nothing of it, and when back what has become of it.
		s.leave(s.carol, room)
		later()
		carol.sync()
		time.Sleep(time.Hour)
		later()
		carol.sync().present("carol:a.test offline")
		bob.sync().present("alice:a.test offline hi")
		s.join(s.carol, room)
		later()
		carol.sync().present("alice:a.test offline hi", "carol:a.test offline")
		quietly(t, s.carol, "").sync().present()
	})
}

func TestSyncsMakeWhoMakesThemComeOnline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.room(s.bob)
		alice, bob := newClient(t, s.alice, ""), quietly(t, s.bob, "")
		bob.sync().present()
		alice.sync()
		later()
		bob.sync().present("alice:a.test online")
		alice.query = "&set_presence=unavailable"
		alice.sync()
		later()
		bob.sync().present("alice:a.test unavailable")
		begin := time.Now()
		bob.query += "&timeout=60000"
		bob.sync().present("alice:a.test offline")
		if took := time.Since(begin); took < 20*time.Second || took > 35*time.Second {
			t.Errorf("alice went offline after %v", took)
		}
	})
}

func TestAfterARestartWhoIsGoneIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.room(s.bob, s.carol)
		bob := quietly(t, s.bob, "")
		says(s.alice, `{"presence":"online"}`)
		says(s.carol, `{"presence":"online"}`)
		later()
		bob.sync().present("alice:a.test online", "carol:a.test online")
		time.Sleep(2 * time.Minute) // then it is written who was seen
		bob.sync().present("alice:a.test offline", "carol:a.test offline")
		says(s.alice, `{"presence":"online"}`)
		says(s.carol, `{"presence":"online"}`)
		later()
		bob.sync().present("alice:a.test online", "carol:a.test online")
		s.server.Restart()
		says(s.alice, `{"presence":"online"}`)
		later()
		bob.sync().present("alice:a.test online")
		time.Sleep(time.Minute)
		bob.sync().present("alice:a.test offline", "bob:a.test offline", "carol:a.test offline")
	})
}

func TestPresenceMayBeSwitchedOff(t *testing.T) {
	a := hstest.New(t).Server("a.test", func(c *config.Config) { c.Presence.Enabled = false })
	alice := a.Register("alice")
	says(alice, `{"presence":"online"}`)
	if got := alice.Must("GET", "/_matrix/client/v3/presence/@bob:a.test/status", nil); string(got) != `{"presence":"offline"}` {
		t.Errorf("got %s", got)
	}
	if sync := newClient(t, alice, "").sync(); sync.Get("presence").Kind() != canonjson.Absent {
		t.Errorf("got %s", sync)
	}
}
