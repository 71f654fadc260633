package csapi_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"parley/internal/config"
	"parley/internal/hstest"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
)

const (
	stableDelays = "/_matrix/client/v1/delayed_events"
	oldDelays    = "/_matrix/client/unstable/org.matrix.msc4140/delayed_events"
)

// room makes a room of a user, and returns the path below which it is.
func room(u *hstest.User, body string) string {
	return "/_matrix/client/v3/rooms/" + url.PathEscape(u.Must("POST", "/_matrix/client/v3/createRoom", body).Get("room_id").String())
}

// told returns the events of some type that a user finds in a room.
func told(u *hstest.User, room, kind string) (events []canonjson.Value) {
	for e := range u.Must("GET", room+"/messages?dir=b&limit=50", nil).Get("chunk").Elements() {
		if e.Get("type").Is(kind) {
			events = append(events, e)
		}
	}
	return events
}

// eventually waits until something is so. The server's own time goes on meanwhile.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); {
		if time.Now().After(end) {
			t.Fatal("not so after a minute: " + what)
		}
	}
}

func TestWhatAsksForADelayIsSentLater(t *testing.T) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		a := hstest.New(t).Server("a.test", hstest.Database(location))
		alice, bob := a.Register("alice"), a.Register("bob")
		r := room(alice, `{"preset":"public_chat"}`)
		bob.Must("POST", r+"/join", `{}`)

		// A message, as clients ask for it that know the drafts.
		first := alice.Must("PUT", r+"/send/org.test.a/1?org.matrix.msc4140.delay=3600000", `{"n":1}`)
		if first.Get("event_id") != nil || first.Get("delay_id") == nil {
			t.Fatalf("got %s", first)
		}
		if again := alice.Must("PUT", r+"/send/org.test.a/1?org.matrix.msc4140.delay=3600000", `{"n":1}`); string(again) != string(first) {
			t.Errorf("repeated: got %s, want %s", again, first)
		}
		// State, and a message in the way that was accepted.
		state := alice.Must("PUT", r+"/state/org.test.b/key?org.matrix.msc4140.delay=1", `{"n":2}`)
		second := alice.Must("PUT", r+"/delayed_event/org.test.c/1", `{"delay_ms":7200000,"content":{"n":3}}`)
		eventually(t, "the state was sent", func() bool { return len(told(bob, r, "org.test.b")) == 1 })
		if got := told(bob, r, "org.test.b")[0]; !got.Get("state_key").Is("key") || string(got.Get("content")) != `{"n":2}` || got.Get("unsigned").Get("delay_id") != nil {
			t.Errorf("got %s", got)
		}
		if got := told(alice, r, "org.test.b")[0].Get("unsigned"); got.Get("delay_id").String() != state.Get("delay_id").String() ||
			got.Get("org.matrix.msc4140.delay_id").String() != state.Get("delay_id").String() || got.Get("transaction_id") != nil {
			t.Errorf("the sender gets %s, want delay %s", got, state)
		}
		if sent := told(bob, r, "org.test.a"); len(sent) != 0 {
			t.Errorf("sent at once: %s", sent)
		}

		// By the name that the parameter was to have, and where there is no such thing.
		named := alice.Must("PUT", r+"/send/org.test.d/1?delay=3600000", `{}`).Get("delay_id").String()
		alice.Must("POST", stableDelays+"/"+named+"/cancel", nil)
		spoken := alice.Must("PUT", r+"/send/org.test.e/1", `{"n":4}`).Get("event_id").String()
		for _, parameter := range []string{"delay", "org.matrix.msc4140.delay"} {
			if status, got := alice.Do("PUT", r+"/redact/"+url.PathEscape(spoken)+"/1?"+parameter+"=3600000", `{}`); status != 400 || !got.Get("errcode").Is("M_INVALID_PARAM") {
				t.Errorf("a redaction with %s: %d %s", parameter, status, got)
			}
		}
		if got := told(bob, r, "org.test.e"); len(told(bob, r, "org.test.d")) != 0 || string(got[0].Get("content")) != `{"n":4}` {
			t.Errorf("done at once: %s", got)
		}

		list := alice.Must("GET", stableDelays, nil).Get("delayed_events")
		var shown []string
		for e := range list.Elements() {
			shown = append(shown, e.Get("type").String())
			if e.Get("finalised_ts") != nil || e.Get("delay") != nil || e.Get("scheduled_at") == nil {
				t.Errorf("listed as %s", e)
			}
		}
		if got := strings.Join(shown, " "); got != "org.test.a org.test.c" {
			t.Errorf("listed are %s", got)
		}
		for e := range alice.Must("GET", oldDelays, nil).Get("delayed_events").Elements() {
			if e.Get("delay") == nil || e.Get("running_since") == nil {
				t.Errorf("listed as before: %s", e)
			}
		}
		if got := bob.Must("GET", stableDelays, nil); string(got) != `{"delayed_events":[]}` {
			t.Errorf("another user gets %s", got)
		}

		a.Restart() // killed
		one, two := "/"+first.Get("delay_id").String(), "/"+second.Get("delay_id").String()
		alice.Must("POST", oldDelays+one+"/restart", `{}`)
		alice.Must("POST", oldDelays+one, `{"action":"restart"}`)
		alice.Must("POST", oldDelays+one, `{"action":"send"}`)
		alice.Must("POST", stableDelays+two+"/cancel", nil)
		for _, c := range []struct {
			name, method, path, body string
			user                     *hstest.User
			want                     int
		}{
			{"sent is sent", "POST", stableDelays + one + "/send", ``, alice, 200},
			{"and not cancelled", "POST", stableDelays + one + "/cancel", ``, alice, 409},
			{"cancelled is cancelled", "POST", oldDelays + two + "/cancel", ``, alice, 200},
			{"and not restarted", "POST", oldDelays + two, `{"action":"restart"}`, alice, 409},
			{"an action that there is not", "POST", oldDelays + two, `{"action":"stop"}`, alice, 400},
			{"an action that there is not, in the path", "POST", stableDelays + two + "/stop", `{}`, alice, 404},
			{"of others nothing is known", "POST", stableDelays + one + "/send", ``, bob, 404},
			{"to read neither", "GET", stableDelays + one, ``, bob, 404},
			{"no delay", "PUT", r + "/send/org.test.a/2?org.matrix.msc4140.delay=0", `{}`, alice, 400},
			{"what is no delay", "PUT", r + "/send/org.test.a/2?org.matrix.msc4140.delay=soon", `{}`, alice, 400},
			{"a negative one", "PUT", r + "/delayed_event/org.test.a/2", `{"delay_ms":-1,"content":{}}`, alice, 400},
			{"none at all", "PUT", r + "/delayed_event/org.test.a/2", `{"content":{}}`, alice, 400},
			{"no content", "PUT", r + "/delayed_event/org.test.a/2", `{"delay_ms":1}`, alice, 400},
		} {
			if status, body := c.user.Do(c.method, c.path, body(c.body)); status != c.want {
				t.Errorf("%s: got %d %s, want %d", c.name, status, body, c.want)
			}
		}
		if sent := told(bob, r, "org.test.a"); len(sent) != 1 {
			t.Errorf("sent: %s", sent)
		}
		if e := alice.Must("GET", stableDelays+one, nil); e.Get("event_id") == nil || e.Get("finalised_ts") == nil {
			t.Errorf("sent, it is %s", e)
		}
	})
}

// body is nil for an empty one.
func body(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func TestDelaysHaveLimits(t *testing.T) {
	a := hstest.New(t).Server("a.test", func(c *config.Config) { c.Delayed = config.Delayed{MaxDelay: time.Hour, MaxUser: 2} })
	alice := a.Register("alice")
	r := room(alice, `{}`)
	put := func(path, body, code, more string, want int) {
		t.Helper()
		if status, got := alice.Do("PUT", r+path, body); status != want || !got.Get("errcode").Is(code) || !strings.Contains(string(got), more) {
			t.Errorf("%s: got %d %s", path, status, got)
		}
	}
	put("/send/x/1?org.matrix.msc4140.delay=3600001", `{}`, "M_UNKNOWN", `"org.matrix.msc4140.errcode":"M_MAX_DELAY_EXCEEDED","org.matrix.msc4140.max_delay":3600000`, 400)
	put("/delayed_event/x/1", `{"delay_ms":9007199254740991,"content":{}}`, "M_FORBIDDEN", "", 403)
	for i := range 2 {
		alice.Must("PUT", fmt.Sprintf("%s/delayed_event/x/%d", r, i), `{"delay_ms":60000,"content":{}}`)
	}
	put("/delayed_event/x/3", `{"delay_ms":60000,"content":{}}`, "M_LIMIT_EXCEEDED", `"retry_after_ms":`, 429)
	put("/send/x/3?org.matrix.msc4140.delay=1", `{}`, "M_LIMIT_EXCEEDED", `"org.matrix.msc4140.errcode":"M_MAX_DELAYED_EVENTS_EXCEEDED"`, 429)
	const limits = `{"max_delay_ms":3600000,"max_scheduled":2}`
	if got := alice.Must("GET", "/_matrix/client/v3/capabilities", nil).Get("capabilities"); string(got.Get("m.delayed_events")) != limits ||
		string(got.Get("org.matrix.msc4140.delayed_events")) != limits {
		t.Errorf("capabilities are %s", got)
	}

	none := hstest.New(t).Server("a.test", func(c *config.Config) { c.Delayed.MaxUser = 0 })
	alice = none.Register("alice")
	r = room(alice, `{}`)
	put("/send/x/1?org.matrix.msc4140.delay=1", `{}`, "M_FORBIDDEN", "", 403)
	if got := alice.Must("GET", "/_matrix/client/versions", nil).Get("unstable_features").Get("org.matrix.msc4140"); string(got) != "false" {
		t.Errorf("the server says that it has delayed events: %s", got)
	}
}

func TestARefusalIsKeptAndTellsNothingOfTheRoom(t *testing.T) {
	a := hstest.New(t).Server("a.test")
	alice, bob := a.Register("alice"), a.Register("bob")
	r := room(alice, `{"preset":"private_chat"}`)
	var errors []string
	for _, path := range []string{r, "/_matrix/client/v3/rooms/%21nothing:a.test"} {
		delayID := bob.Must("PUT", path+"/delayed_event/x/1", `{"delay_ms":1,"content":{}}`).Get("delay_id").String()
		var e canonjson.Value
		eventually(t, "it was refused", func() bool {
			e = bob.Must("GET", stableDelays+"/"+delayID, nil)
			return e.Get("finalised_ts") != nil
		})
		errors = append(errors, e.Get("error").Get("errcode").String())
	}
	if errors[0] != "M_FORBIDDEN" || errors[1] != errors[0] {
		t.Errorf("a private room and none are refused with %q", errors)
	}
}

func TestWhoIsDeactivatedSendsNothingMore(t *testing.T) {
	a := hstest.New(t).Server("a.test")
	alice, bob := a.Register("alice"), a.Register("bob")
	r := room(alice, `{"preset":"public_chat"}`)
	bob.Must("POST", r+"/join", `{}`)
	bob.Must("PUT", r+"/delayed_event/x/1", `{"delay_ms":1500,"content":{}}`)
	if err := a.Accounts().Deactivate(t.Context(), bob.ID, false); err != nil {
		t.Fatal(err)
	}
	alice.Must("PUT", r+"/delayed_event/y/1", `{"delay_ms":2000,"content":{}}`)
	eventually(t, "what alice sent later is there", func() bool { return len(told(alice, r, "y")) == 1 })
	if got := told(alice, r, "x"); len(got) != 0 {
		t.Errorf("bob has sent %s", got)
	}
}
