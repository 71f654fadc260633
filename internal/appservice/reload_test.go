package appservice_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/hstest"
)

func TestReloading(t *testing.T) {
	scene(t, func(s *stage) {
		irc, alice, in := s.portal()
		server := irc.Server

		// Another one with a mistake changes nothing.
		late := s.bridge("late", "sender_localpart: _irc_bot")
		if err := server.ReloadAppServices(s.Context()); err == nil || !strings.Contains(err.Error(), "irc.yaml") || !strings.Contains(err.Error(), "late.yaml") {
			t.Errorf("got %v", err)
		}
		say(alice, in, "1")
		if got := bodies(events(irc.got(), "events")); got != "1" {
			t.Errorf("after a mistake: got %q", got)
		}
		expect(s, "the other one", &hstest.User{Server: server, Token: "as_late"}, "GET", v3+"account/whoami", nil, 401, "M_UNKNOWN_TOKEN")

		late.register(s)
		if err := server.ReloadAppServices(s.Context()); err != nil {
			t.Fatal(err)
		}
		late.User = &hstest.User{Server: server, ID: "@_late_bot:a.test", Token: "as_late"}
		late.Must("POST", path("rooms", in, "join"), `{}`)
		say(alice, in, "2")
		for _, b := range []*bridge{irc, late} {
			if got := bodies(events(b.got(), "events")); got != "2" {
				t.Errorf("%s, after it was mended: got %q", b.name, got)
			}
		}

		// One that is gone for a day finds what it has missed; for two weeks, nothing.
		for _, away := range []time.Duration{24 * time.Hour, 15 * 24 * time.Hour} {
			if err := os.Rename(filepath.Join(s.dir, "irc.yaml"), filepath.Join(s.dir, "irc.off")); err != nil {
				t.Fatal(err)
			}
			if err := server.ReloadAppServices(s.Context()); err != nil {
				t.Fatal(err)
			}
			say(alice, in, "missed "+away.String())
			expect(s, "one that is gone", irc.User, "GET", v3+"account/whoami", nil, 401, "M_UNKNOWN_TOKEN")
			time.Sleep(away)
			if err := os.Rename(filepath.Join(s.dir, "irc.off"), filepath.Join(s.dir, "irc.yaml")); err != nil {
				t.Fatal(err)
			}
			if err := server.ReloadAppServices(s.Context()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if got := bodies(events(irc.got(), "events")); got != "missed 24h0m0s" {
			t.Errorf("who comes again gets %q", got)
		}

		// Other tokens hold at once.
		irc.register(s, "as_token: other")
		if err := server.ReloadAppServices(s.Context()); err != nil {
			t.Fatal(err)
		}
		expect(s, "the old token", irc.User, "GET", v3+"account/whoami", nil, 401, "M_UNKNOWN_TOKEN")
		irc.Token = "other"
		irc.Must("GET", v3+"account/whoami", nil)
	})
}

func TestHowServicesDo(t *testing.T) {
	scene(t, func(s *stage) {
		irc, mute := s.bridge("irc"), s.bridge("mute", "url: null")
		server := s.server(irc, mute)
		admin := server.Register("admin")
		if err := server.Accounts().SetAdmin(s.Context(), admin.ID, true); err != nil {
			t.Fatal(err)
		}
		in := room(irc.User, `{"preset":"public_chat"}`)
		irc.got()
		first := string(admin.Must("GET", "/_parley/admin/v1/appservices", nil))
		if !strings.Contains(first, `"id":"irc"`) || !strings.Contains(first, `"up":true`) || !strings.Contains(first, `"behind":0`) || strings.Contains(first, "as_irc") ||
			!strings.Contains(first, `{"id":"mute","sender":"@_mute_bot:a.test","url":null}`) {
			t.Errorf("got %s", first)
		}
		irc.answers(func(w http.ResponseWriter, r *http.Request) bool {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		})
		say(irc.User, in, "1")
		time.Sleep(time.Hour)
		say(irc.User, in, "2")
		if down := string(admin.Must("GET", "/_parley/admin/v1/appservices", nil)); !strings.Contains(down, `"up":false`) || !strings.Contains(down, `"behind":1`) {
			t.Errorf("when it is down: got %s", down)
		}
		expect(s, "a person", server.Register("alice"), "GET", "/_parley/admin/v1/appservices", nil, 403, "M_FORBIDDEN")
		s.bridge("bad", "id: irc")
		expect(s, "a mistake", admin, "POST", "/_parley/admin/v1/appservices/reload", `{}`, 400, "M_INVALID_PARAM")
	})
}

func TestTokensInURLs(t *testing.T) {
	scene(t, func(s *stage) {
		irc := s.bridge("irc")
		server := s.server(irc)
		server.Stop()
		server.Config.AppServices.QueryTokens = true
		server.Start()
		var query []string
		irc.answers(func(w http.ResponseWriter, r *http.Request) bool {
			query = append(query, r.URL.RawQuery)
			return false
		})
		room(irc.User, `{}`)
		irc.got()
		if len(query) == 0 || query[0] != "access_token=hs_irc" {
			t.Errorf("it was asked with %q", query)
		}
	})
}

func TestAServiceOfTheOldKind(t *testing.T) {
	scene(t, func(s *stage) {
		irc, alice, in := s.portal()
		var old []string
		irc.answers(func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasPrefix(r.URL.Path, "/_matrix/") {
				http.NotFound(w, r)
				return true
			}
			old = append(old, r.URL.Path)
			io.WriteString(w, "{}")
			return true
		})
		say(alice, in, "hello")
		synctest.Wait()
		if len(old) != 1 || !strings.HasPrefix(old[0], "/transactions/") {
			t.Errorf("it was asked %v", old)
		}
	})
}
