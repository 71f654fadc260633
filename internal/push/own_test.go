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
	"parley/internal/gateway/gatewaytest"
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

// TestWebPushHasToArriveFirst before anything is pushed.
func TestWebPushHasToArriveFirst(t *testing.T) {
	in(t, func(s *scene) {
		browser := gatewaytest.NewBrowser(t)
		var mu sync.Mutex
		var got []canonjson.Value
		status := 201
		s.w.SecureSite("web.test", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			message, err := browser.Read(body)
			if err != nil || !strings.HasPrefix(r.Header.Get("Authorization"), "vapid ") {
				t.Errorf("got %v with %v", r.Header, err)
			}
			mu.Lock()
			defer mu.Unlock()
			got = append(got, canonjson.Value(message))
			w.WriteHeader(status)
		}))
		take := func() (list []canonjson.Value) {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			list, got = got, nil
			return list
		}
		set := func(endpoint string) int {
			status, _ := s.bob.Do("POST", "/_matrix/client/v3/pushers/set", map[string]any{
				"app_display_name": "Web", "app_id": "web", "device_display_name": "browser", "kind": "webpush", "lang": "en", "pushkey": browser.Key(),
				"data": map[string]string{"url": endpoint, "auth": browser.Auth(), "format": "event_id_only"},
			})
			return status
		}
		activate := func(token string) (int, canonjson.Value) {
			return s.bob.Do("POST", "/_matrix/client/v3/pushers/ack", map[string]string{"app_id": "web", "ack_token": token})
		}
		if status, body := activate("x"); status != 404 {
			t.Errorf("without a pusher: got %d %s", status, body)
		}
		if status := set("https://web.test/1"); status != 201 {
			t.Errorf("the first time: got %d", status)
		}
		list := take()
		token, _ := list[0].Get("ack_token").Text()
		if len(list) != 1 || token == "" || !list[0].Get("app_id").Is("web") {
			t.Fatalf("got %s", list)
		}
		s.say(s.alice, "too soon")
		if list := take(); len(list) != 0 {
			t.Errorf("before it is activated: %s", list)
		}
		if status, body := activate("x"); status != 400 || !body.Get("errcode").Is("M_UNKNOWN_ACTIVATION_TOKEN") {
			t.Errorf("with something else: got %d %s", status, body)
		}
		time.Sleep(6 * time.Minute)
		if status, body := activate(token); status != 400 || !body.Get("errcode").Is("M_EXPIRED_ACTIVATION_TOKEN") {
			t.Errorf("too late: got %d %s", status, body)
		}
		if status := set("https://web.test/1"); status != 201 {
			t.Errorf("once more: got %d", status)
		}
		list = take()
		token, _ = list[0].Get("ack_token").Text()
		if status, body := activate(token); status != 200 {
			t.Errorf("in time: got %d %s", status, body)
		}
		if status := set("https://web.test/1"); status != 200 {
			t.Errorf("the same again: got %d", status)
		}
		if list := string(s.bob.Must("GET", "/_matrix/client/v3/pushers", nil)); !strings.Contains(list, `"activated":true`) {
			t.Errorf("there are %s", list)
		}
		eventID := s.say(s.alice, "hello")
		if list = take(); len(list) != 1 || !list[0].Get("event_id").Is(string(eventID)) || string(list[0].Get("unread")) != "2" || list[0].Get("content") != nil {
			t.Errorf("got %s", list)
		}
		if status := set("https://web.test/2"); status != 201 || len(take()) != 1 {
			t.Errorf("another endpoint: got %d", status)
		}
		capability := s.bob.Must("GET", "/_matrix/client/v3/capabilities", nil).Get("capabilities").Get("m.webpush")
		if key, _ := capability.Get("vapid").Text(); !capability.Get("enabled").True() || len(key) != 87 {
			t.Errorf("the capability is %s", capability)
		}
		mu.Lock()
		status = 410
		mu.Unlock()
		set("https://web.test/3")
		time.Sleep(time.Second)
		if list := string(s.bob.Must("GET", "/_matrix/client/v3/pushers", nil)); strings.Contains(list, "webpush") {
			t.Errorf("what is gone is still there: %s", list)
		}
		for _, bad := range []string{"http://web.test/1", "https://a:b@web.test/"} {
			if status := set(bad); status != 400 {
				t.Errorf("%s: got %d", bad, status)
			}
		}
	})
}
