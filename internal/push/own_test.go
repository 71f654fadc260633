package push_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/config"
	"parley/internal/hstest"
	"parley/matrix/canonjson"
)

// An endpoint is one of UnifiedPush.
type endpoint struct {
	mu     sync.Mutex
	got    []canonjson.Value
	status int
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == "GET" {
		io.WriteString(w, `{"unifiedpush":{"version":1}}`)
		return
	}
	body, _ := io.ReadAll(r.Body)
	value, _ := canonjson.Canonical(body, canonjson.Lenient)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.got = append(e.got, value); e.status != 0 {
		w.WriteHeader(e.status)
	}
}

func (e *endpoint) take() []canonjson.Value {
	synctest.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	got := e.got
	e.got = nil
	return got
}

// TestTheServerIsTheGatewayOfItsUsers and nobody else has to be asked.
func TestTheServerIsTheGatewayOfItsUsers(t *testing.T) {
	in(t, func(s *scene) {
		phone := new(endpoint)
		s.w.SecureSite("up.test", phone)
		const key, data = "https://up.test/upABC?up=1", `{"format":"event_id_only","url":"https://a.test/_matrix/push/v1/notify"}`
		s.phone(s.bob, key, data)
		eventID := s.say(s.alice, "hello")
		got := phone.take()
		if len(got) != 1 || !got[0].Get("notification").Get("event_id").Is(string(eventID)) {
			t.Fatalf("got %s", got)
		}
		phone.status = 410
		s.say(s.alice, "are you there?")
		time.Sleep(time.Second)
		if list := string(s.bob.Must("GET", "/_matrix/client/v3/pushers", nil)); len(phone.take()) != 1 || strings.Contains(list, "upABC") {
			t.Errorf("what is gone is still there: %s", list)
		}
	})
}

func TestWhoThisServerIsAGatewayFor(t *testing.T) {
	const path = "/_matrix/push/v1/notify"
	const body = `{"notification":{"devices":[{"app_id":"x","pushkey":"https://up.test/up"},{"app_id":"x","pushkey":"y"}],"event_id":"$e","room_id":"!r:a.test"}}`
	for mode, want := range map[config.PushGatewayMode]struct {
		found, taken int
		answer       string
	}{
		config.PushGatewayOff:   {404, 404, ""},
		config.PushGatewayUsers: {200, 403, ""},
		config.PushGatewayOpen:  {200, 200, `{"rejected":["y"]}`},
	} {
		t.Run(string(mode), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := hstest.New(t)
				phone := new(endpoint)
				w.SecureSite("up.test", phone)
				a := w.Server("a.test", func(c *config.Config) { c.Push.Gateway = mode })
				status, answer := a.Do("GET", path, nil)
				if status != want.found || status == 200 && string(answer) != `{"unifiedpush":{"gateway":"matrix"}}` {
					t.Errorf("found: got %d %s", status, answer)
				}
				status, answer = a.Do("POST", path, body)
				if status != want.taken || want.answer != "" && string(answer) != want.answer || (len(phone.take()) > 0) != (want.taken == 200) {
					t.Errorf("taken: got %d %s", status, answer)
				}
				if mode != config.PushGatewayOpen {
					return
				}
				phone.status = 500
				if status, answer = a.Do("POST", path, body); status != 502 {
					t.Errorf("unreached: got %d %s", status, answer)
				}
				phone.status = 429
				if status, answer = a.Do("POST", path, body); status != 429 {
					t.Errorf("busy: got %d %s", status, answer)
				}
				if status, answer = a.Do("POST", path, `{"notification":{}}`); status != 400 {
					t.Errorf("nonsense: got %d %s", status, answer)
				}
				if status, answer = a.Do("POST", path, `{}`); status != 400 {
					t.Errorf("nothing: got %d %s", status, answer)
				}
			})
		})
	}
}
