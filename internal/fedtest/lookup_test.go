package fedtest

import (
	"net/url"
	"testing"
	"time"

	"parley/internal/config"
	"parley/internal/hstest"
	"parley/matrix/canonjson"
)

func TestProfilesOfOtherServersAreSeen(t *testing.T) {
	scene(t, func(s *stage) {
		b := s.Server("b.test")
		alice, bob := s.Server("a.test").Register("alice"), b.Register("bob")
		bob.Must("PUT", path("profile", string(bob.ID), "displayname"), `{"displayname":"Bob"}`)
		bob.Must("PUT", path("profile", string(bob.ID), "m.tz"), `{"m.tz":"Europe/London"}`)
		if got := alice.Must("GET", path("profile", string(bob.ID)), nil); text(got, "displayname") != "Bob" || text(got, "m.tz") != "Europe/London" {
			t.Errorf("alice sees %s", got)
		}
		if got := alice.Must("GET", path("profile", string(bob.ID), "displayname"), nil); text(got, "displayname") != "Bob" {
			t.Errorf("alice sees %s", got)
		}
		for _, user := range []string{"@nobody:b.test", "@nobody:nowhere.test"} {
			if status, answer := alice.Do("GET", path("profile", user), nil); status != 404 || text(answer, "errcode") != "M_NOT_FOUND" {
				t.Errorf("%s: got %d %s", user, status, answer)
			}
		}
		bob.Must("PUT", path("profile", string(bob.ID), "displayname"), `{"displayname":"Robert"}`)
		time.Sleep(6 * time.Minute)
		if got := alice.Must("GET", path("profile", string(bob.ID)), nil); text(got, "displayname") != "Robert" {
			t.Errorf("alice sees %s, after a while", got)
		}
		b.Kill()
		if got := alice.Must("GET", path("profile", string(bob.ID)), nil); text(got, "displayname") != "Robert" {
			t.Errorf("alice sees %s, while b.test is down", got)
		}
		time.Sleep(6 * time.Minute)
		if status, answer := alice.Do("GET", path("profile", string(bob.ID)), nil); status != 404 {
			t.Errorf("alice gets %d %s, while b.test is down", status, answer)
		}
	})
}

// TestChangesOfProfilesAreToldOfUsersHereOnly: of others nobody tells when they change.
func TestChangesOfProfilesAreToldOfUsersHereOnly(t *testing.T) {
	scene(t, func(s *stage) {
		a := s.Server("a.test")
		alice, carol, bob := a.Register("alice"), a.Register("carol"), s.Server("b.test").Register("bob")
		room := s.room(alice, `{"preset":"public_chat"}`)
		s.join(carol, room)
		s.join(bob, room, "a.test")
		s.settle()
		filter := "filter=" + url.QueryEscape(`{"org.matrix.msc4429.profile_fields":{"ids":["m.tz"]}}`)
		extension := `"extensions":{"org.matrix.msc4262.profiles":{"enabled":true,"fields":["m.tz"]}},"lists":{"all":{"timeline_limit":5,"required_state":{}}}`
		told := func(since, pos string) (classic, sliding canonjson.Value, next, after string) {
			c := alice.Must("GET", path("sync")+"?"+filter+since, nil)
			v := alice.Must("POST", "/_matrix/client/v4/sync", `{`+extension+pos+`}`)
			return c.Get("org.matrix.msc4429.users"), v.Get("extensions").Get("org.matrix.msc4262.profiles").Get("users"),
				"&since=" + url.QueryEscape(text(c, "next_batch")), `,"pos":"` + text(v, "pos") + `"`
		}
		classic, sliding, since, pos := told("", "")
		if classic != nil || sliding != nil {
			t.Errorf("before anybody has set something: %s, %s", classic, sliding)
		}
		for _, u := range []*hstest.User{carol, bob} {
			u.Must("PUT", path("profile", string(u.ID), "m.tz"), `{"m.tz":"UTC"}`)
		}
		s.settle()
		classic, sliding, since, pos = told(since, pos)
		if string(classic) != `{"@carol:a.test":{"profile_updates":{"m.tz":"UTC"}}}` || string(sliding) != `{"@carol:a.test":{"updated":{"m.tz":"UTC"}}}` {
			t.Errorf("of a change: %s, %s", classic, sliding)
		}
		for _, u := range []*hstest.User{carol, bob} {
			u.Must("POST", path("rooms", room, "leave"), `{}`)
		}
		s.settle()
		classic, sliding, _, _ = told(since, pos)
		if classic != nil || string(sliding) != `{"@carol:a.test":null}` {
			t.Errorf("when both have left: %s, %s", classic, sliding)
		}
	})
}

func TestAServerMayKeepProfilesToThoseWhoShareRooms(t *testing.T) {
	scene(t, func(s *stage) {
		shy := func(c *config.Config) { c.Profiles.Lookup = config.LookupSharers }
		alice, bob := s.Server("a.test").Register("alice"), s.Server("b.test", shy).Register("bob")
		if status, answer := alice.Do("GET", path("profile", string(bob.ID)), nil); status != 403 {
			t.Errorf("alice gets %d %s", status, answer)
		}
		room := s.room(bob, `{"preset":"private_chat"}`)
		bob.Must("POST", path("rooms", room, "invite"), map[string]string{"user_id": string(alice.ID)})
		s.settle()
		s.join(alice, room)
		time.Sleep(2 * time.Minute)
		if got := alice.Must("GET", path("profile", string(bob.ID)), nil); text(got, "displayname") != "bob" {
			t.Errorf("alice sees %s", got)
		}
	})
}

func TestAServerVouchesForItsUsers(t *testing.T) {
	scene(t, func(s *stage) {
		a := s.Server("a.test")
		alice := a.Register("alice")
		token := text(alice.Must("POST", path("user", string(alice.ID), "openid", "request_token"), `{}`), "access_token")
		const userinfo = "/_matrix/federation/v1/openid/userinfo"
		if status, answer := a.Do("GET", userinfo+"?access_token="+url.QueryEscape(token), nil); status != 200 || text(answer, "sub") != string(alice.ID) {
			t.Errorf("got %d %s", status, answer)
		}
		for query, code := range map[string]string{"?access_token=x": "M_UNKNOWN_TOKEN", "": "M_MISSING_TOKEN", "?access_token=" + url.QueryEscape(alice.Token): "M_UNKNOWN_TOKEN"} {
			if status, answer := a.Do("GET", userinfo+query, nil); status != 401 || text(answer, "errcode") != code {
				t.Errorf("%q: got %d %s, want %s", query, status, answer, code)
			}
		}
		time.Sleep(24 * time.Hour)
		if status, answer := a.Do("GET", userinfo+"?access_token="+url.QueryEscape(token), nil); status != 401 {
			t.Errorf("a day later: got %d %s", status, answer)
		}
	})
}

func TestAServerTellsWhereItIs(t *testing.T) {
	scene(t, func(s *stage) {
		a := s.Server("a.test", func(c *config.Config) { c.Federation.Delegate = "matrix.a.test:443" })
		if status, answer := a.Do("GET", "/.well-known/matrix/server", nil); status != 200 || text(answer, "m.server") != "matrix.a.test:443" {
			t.Errorf("got %d %s", status, answer)
		}
		if status, _ := s.Server("b.test").Do("GET", "/.well-known/matrix/server", nil); status != 404 {
			t.Errorf("b.test, which does not say: got %d", status)
		}
	})
}
