package hstest

import (
	"testing"
	"testing/synctest"

	"parley/internal/config"
)

func TestServersAnswerUnderTheirNames(t *testing.T) {
	w := New(t)
	a, b := w.Server("a.test"), w.Server("b.test")
	for _, s := range []*Server{a, b} {
		if status, _ := s.Do("GET", "/health", nil); status != 200 {
			t.Errorf("%s: got %d", s.Name, status)
		}
		status, body := s.Do("GET", "/_matrix/client/v3/nothing", nil)
		if code := body.Get("errcode"); status != 404 || !code.Is("M_UNRECOGNIZED") {
			t.Errorf("%s: got %d %s", s.Name, status, body)
		}
	}
}

func TestAServerIsKilledAndStartsAgain(t *testing.T) {
	a := New(t).Server("a.test", func(c *config.Config) { c.Presence.Enabled = false })
	for range 3 {
		a.Restart()
		if status, _ := a.Do("GET", "/health", nil); status != 200 {
			t.Errorf("got %d", status)
		}
		if a.Config.Presence.Enabled {
			t.Error("the setting was lost")
		}
	}
	a.Stop()
	a.Start()
}

func TestWorldsFitIntoABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(t).Server("a.test")
		if status, _ := a.Do("GET", "/health", nil); status != 200 {
			t.Errorf("got %d", status)
		}
		a.Restart()
	})
}
