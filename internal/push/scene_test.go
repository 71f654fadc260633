package push_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/hstest"
	"parley/internal/openapi"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// A gateway is a push gateway that notes what it is told, and answers as it is set to.
type gateway struct {
	t    *testing.T
	spec func() *openapi.Checker
	mu   sync.Mutex
	told []canonjson.Value // the notifications
	// answer, if not nil, answers in its place.
	answer func(w http.ResponseWriter, r *http.Request)
}

func newGateway(t *testing.T) *gateway {
	return &gateway{t: t, spec: sync.OnceValue(openapi.New)}
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	value, err := canonjson.Canonical(body, canonjson.Lenient)
	if err != nil || r.Method != "POST" || r.URL.Path != "/_matrix/push/v1/notify" || r.Header.Get("Content-Type") != "application/json" {
		g.t.Errorf("got %s %s %v with %q, %v", r.Method, r.URL, r.Header, body, err)
	}
	for _, wrong := range g.spec().Request(r.Method, r.URL.EscapedPath(), body) {
		g.t.Errorf("not as the specification has it: %s", wrong)
	}
	g.mu.Lock()
	g.told = append(g.told, value.Get("notification"))
	answer := g.answer
	g.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	io.WriteString(w, `{"rejected":[]}`)
}

func (g *gateway) answers(f func(w http.ResponseWriter, r *http.Request)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answer = f
}

// take returns what the gateway was told since it was last asked.
func (g *gateway) take() []canonjson.Value {
	synctest.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	told := g.told
	g.told = nil
	return told
}

// brief is a notification in one line: whose device, which event, how much is unread.
func (g *gateway) brief(told []canonjson.Value) string {
	var lines []string
	for _, n := range told {
		var device canonjson.Value
		for device = range n.Get("devices").Elements() {
		}
		key, _ := device.Get("pushkey").Text()
		body, _ := n.Get("content").Get("body").Text()
		if body == "" {
			body, _ = n.Get("type").Text()
		}
		unread := "-"
		if v := n.Get("counts").Get("unread"); v != nil {
			unread = string(v)
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s", key, unread, body)))
	}
	return strings.Join(lines, ", ")
}

// want fails unless the gateway was told so since it was last asked.
func (g *gateway) want(what string) {
	g.t.Helper()
	if got := g.brief(g.take()); got != what {
		g.t.Errorf("the gateway was told %q, want %q", got, what)
	}
}

// A scene is a server, a gateway, and people who talk.
type scene struct {
	*testing.T
	w *hstest.World
	a *hstest.Server
	*gateway
	alice, bob *hstest.User
	room       id.RoomID
	said       int
}

// in plays a scene in which alice and bob are in a room with three members, so that
// messages make no sound.
func in(t *testing.T, play func(s *scene)) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{T: t, w: hstest.New(t), gateway: newGateway(t)}
		s.w.SecureSite("push.test", s.gateway)
		s.a = s.w.Server("a.test")
		s.alice, s.bob = s.a.Register("alice"), s.a.Register("bob")
		carol := s.a.Register("carol")
		s.room = s.create(s.alice, `{"preset":"public_chat","name":"Tour","room_alias_name":"tour"}`)
		s.bob.Must("POST", "/_matrix/client/v3/join/"+string(s.room), nil)
		carol.Must("POST", "/_matrix/client/v3/join/"+string(s.room), nil)
		play(s)
	})
}

func (s *scene) create(u *hstest.User, body string) id.RoomID {
	s.Helper()
	roomID, _ := u.Must("POST", "/_matrix/client/v3/createRoom", body).Get("room_id").Text()
	return id.RoomID(roomID)
}

// phone has somebody notified on a phone.
func (s *scene) phone(u *hstest.User, key string, data ...string) {
	s.Helper()
	s.device(u, map[string]any{}, key, data...)
}

func (s *scene) device(u *hstest.User, p map[string]any, key string, data ...string) {
	s.Helper()
	p["app_display_name"], p["app_id"], p["device_display_name"], p["kind"], p["lang"], p["pushkey"] = "Test", "org.test", "phone", "http", "en", key
	where := `{"url":"https://push.test/_matrix/push/v1/notify"}`
	if len(data) > 0 {
		where = data[0]
	}
	p["data"] = json.RawMessage(where)
	u.Must("POST", "/_matrix/client/v3/pushers/set", p)
}

// send sends a message and returns the ID of the event.
func (s *scene) send(u *hstest.User, roomID id.RoomID, eventType, content string) id.EventID {
	s.Helper()
	s.said++
	eventID, _ := u.Must("PUT", fmt.Sprintf("/_matrix/client/v3/rooms/%s/send/%s/t%d", roomID, eventType, s.said), content).Get("event_id").Text()
	return id.EventID(eventID)
}

func (s *scene) say(u *hstest.User, text string) id.EventID {
	s.Helper()
	return s.send(u, s.room, "m.room.message", `{"msgtype":"m.text","body":"`+text+`"}`)
}

func (s *scene) read(u *hstest.User, eventID id.EventID, kind string) {
	s.Helper()
	u.Must("POST", fmt.Sprintf("/_matrix/client/v3/rooms/%s/receipt/%s/%s", s.room, kind, eventID), `{}`)
}

func TestAMessageIsPushedToWhoIsInTheRoom(t *testing.T) {
	in(t, func(s *scene) {
		s.phone(s.alice, "alice")
		s.phone(s.bob, "bob", `{"url":"https://push.test/_matrix/push/v1/notify","format":"event_id_only","x":{"y":1}}`)
		s.alice.Must("PUT", "/_matrix/client/v3/profile/"+string(s.alice.ID)+"/displayname", `{"displayname":"Alice"}`)
		now := time.Now().Unix()
		eventID := s.say(s.alice, "hello")
		told := s.take()
		if len(told) != 1 {
			t.Fatalf("got %s", told)
		}
		want := fmt.Sprintf(`{"counts":{"unread":1},"devices":[{"app_id":"org.test","data":{"format":"event_id_only","x":{"y":1}},"pushkey":"bob","pushkey_ts":%d}],`+
			`"event_id":%q,"prio":"low","room_id":%q}`, now, eventID, s.room)
		if string(told[0]) != want {
			t.Errorf("got  %s\nwant %s", told[0], want)
		}
		eventID = s.send(s.bob, s.room, "m.room.message", `{"msgtype":"m.text","body":"hello alice","m.mentions":{"user_ids":["@alice:a.test"]}}`)
		want = fmt.Sprintf(`{"content":{"body":"hello alice","m.mentions":{"user_ids":["@alice:a.test"]},"msgtype":"m.text"},"counts":{"unread":1},`+
			`"devices":[{"app_id":"org.test","data":{},"pushkey":"alice","pushkey_ts":%d,"tweaks":{"highlight":true,"sound":"default"}}],`+
			`"event_id":%q,"prio":"high","room_alias":"#tour:a.test","room_id":%q,"room_name":"Tour","sender":"@bob:a.test","sender_display_name":"bob","type":"m.room.message"}`,
			now, eventID, s.room)
		if told = s.take(); len(told) != 1 || string(told[0]) != want {
			t.Errorf("got  %s\nwant %s", told, want)
		}
	})
}

func TestWhoReadsElsewhereHasNothingOnThePhone(t *testing.T) {
	in(t, func(s *scene) {
		s.phone(s.bob, "bob")
		s.say(s.alice, "one")
		s.want("bob 1 one")
		last := s.say(s.alice, "two")
		s.want("bob 2 two")
		s.read(s.bob, last, "m.read")
		time.Sleep(5 * time.Second)
		s.want("bob 0")
		last = s.say(s.alice, "three")
		s.want("bob 1 three")
		s.read(s.bob, last, "m.read.private")
		time.Sleep(5 * time.Second)
		s.want("bob 0")
		s.say(s.alice, "four")
		s.want("bob 1 four")
		s.say(s.bob, "five") // who answers has read
		time.Sleep(5 * time.Second)
		s.want("bob 0")
		s.read(s.bob, last, "m.read")
		time.Sleep(time.Minute)
		s.want("")
	})
}

func TestWhatIsUnreadIsCountedInAllRooms(t *testing.T) {
	in(t, func(s *scene) {
		s.phone(s.bob, "bob")
		other := s.create(s.alice, `{"preset":"public_chat"}`)
		s.bob.Must("POST", "/_matrix/client/v3/join/"+string(other), nil)
		s.say(s.alice, "one")
		s.want("bob 1 one")
		s.send(s.alice, other, "m.room.message", `{"msgtype":"m.text","body":"two"}`)
		s.want("bob 2 two")
		s.bob.Must("POST", "/_matrix/client/v3/rooms/"+string(other)+"/leave", nil)
		time.Sleep(5 * time.Second)
		s.want("bob 1")
		s.bob.Must("PUT", "/_matrix/client/v3/pushrules/global/override/x",
			`{"conditions":[{"kind":"event_match","key":"room_id","pattern":"`+string(s.room)+`"}],"actions":[]}`)
		time.Sleep(5 * time.Second)
		s.want("bob 0")
	})
}

func TestMissedCallsAreCounted(t *testing.T) {
	in(t, func(s *scene) {
		s.phone(s.bob, "bob")
		call := func(eventType, content string, by *hstest.User) id.EventID {
			return s.send(by, s.room, eventType, `{"call_id":"`+content+`","party_id":"p","version":"1","lifetime":60000}`)
		}
		counts := func(want string) {
			t.Helper()
			time.Sleep(5 * time.Second)
			told := s.take()
			if len(told) != 1 || string(told[0].Get("counts")) != want {
				t.Errorf("got %s, want %s", told, want)
			}
		}
		call("m.call.invite", "1", s.alice)
		counts(`{"unread":1}`)
		call("m.call.hangup", "1", s.alice)
		counts(`{"missed_calls":1,"unread":1}`)
		call("m.call.invite", "2", s.alice)
		counts(`{"missed_calls":1,"unread":2}`)
		time.Sleep(time.Minute) // nobody picks up
		last := s.say(s.alice, "never mind")
		counts(`{"missed_calls":2,"unread":3}`)
		s.read(s.bob, last, "m.read")
		counts(`{"missed_calls":0,"unread":0}`)
		call("m.call.invite", "3", s.alice)
		counts(`{"unread":1}`)
		call("m.call.answer", "3", s.bob) // which is to speak, too
		counts(`{"unread":0}`)
		call("m.call.hangup", "3", s.alice)
		s.say(s.alice, "bye")
		counts(`{"unread":1}`)
	})
}

func TestInvitesArePushed(t *testing.T) {
	in(t, func(s *scene) {
		s.phone(s.bob, "bob")
		private := s.create(s.alice, `{"preset":"private_chat","name":"Secret","invite":["@bob:a.test"]}`)
		told := s.take()
		if len(told) != 1 || !told[0].Get("room_name").Is("Secret") || !told[0].Get("user_is_target").True() || !told[0].Get("prio").Is("high") ||
			!told[0].Get("content").Get("membership").Is("invite") || !told[0].Get("room_id").Is(string(private)) || string(told[0].Get("counts")) != `{"unread":1}` {
			t.Fatalf("got %s", told)
		}
		s.bob.Must("POST", "/_matrix/client/v3/rooms/"+string(private)+"/leave", nil)
		time.Sleep(5 * time.Second)
		s.want("bob 0")
		s.bob.Must("PUT", "/_matrix/client/v3/user/@bob:a.test/account_data/m.ignored_user_list", `{"ignored_users":{"@alice:a.test":{}}}`)
		s.alice.Must("POST", "/_matrix/client/v3/rooms/"+string(private)+"/invite", `{"user_id":"@bob:a.test"}`)
		s.say(s.alice, "can you hear me?")
		time.Sleep(5 * time.Second)
		s.want("")
	})
}

func TestWhatSomebodyHasSetDecides(t *testing.T) {
	rule := func(kind, ruleID, body string) func(*scene) {
		return func(s *scene) { s.bob.Must("PUT", "/_matrix/client/v3/pushrules/global/"+kind+"/"+ruleID, body) }
	}
	plain := func(s *scene) { s.say(s.alice, "word") }
	mention := func(s *scene) {
		s.send(s.alice, s.room, "m.room.message", `{"msgtype":"m.text","body":"word","m.mentions":{"user_ids":["`+string(s.bob.ID)+`"]}}`)
	}
	encrypted := func(s *scene) { s.send(s.alice, s.room, "m.room.encrypted", `{"ciphertext":"x"}`) }
	rows := []struct {
		name string
		set  func(*scene)
		do   func(*scene)
		want string
	}{
		{"nothing", func(*scene) {}, plain, "bob 1 word"},
		{"an encrypted message", func(*scene) {}, encrypted, "bob 1 m.room.encrypted"},
		{"a notice", func(*scene) {}, func(s *scene) { s.send(s.alice, s.room, "m.room.message", `{"msgtype":"m.notice","body":"x"}`) }, ""},
		{"a reaction", func(*scene) {}, func(s *scene) { s.send(s.alice, s.room, "m.reaction", `{}`) }, ""},
		{"the room is mentioned", func(*scene) {}, func(s *scene) {
			s.send(s.alice, s.room, "m.room.message", `{"msgtype":"m.text","body":"all","m.mentions":{"room":true}}`)
		}, "bob 1 all"},
		{"a keyword", rule("content", "k", `{"pattern":"word","actions":[]}`), plain, ""},
		{"the name", rule("override", "n", `{"conditions":[{"kind":"contains_display_name"}],"actions":[]}`), func(s *scene) { s.say(s.alice, "hi "+s.bob.ID.Localpart()) }, ""},
		{"the name, and another text", rule("override", "n", `{"conditions":[{"kind":"contains_display_name"}],"actions":[]}`), plain, "bob 1 word"},
		{"nothing of her", rule("sender", "@alice:a.test", `{"actions":[]}`), plain, ""},
		{"nothing of her, but a mention", rule("sender", "@alice:a.test", `{"actions":[]}`), mention, "bob 1 word"},
		{"mentions only", func(s *scene) { rule("room", string(s.room), `{"actions":[]}`)(s) }, plain, ""},
		{"mentions only, and one", func(s *scene) { rule("room", string(s.room), `{"actions":[]}`)(s) }, mention, "bob 1 word"},
		{"mentions only, and an encrypted message", func(s *scene) { rule("room", string(s.room), `{"actions":[]}`)(s) }, encrypted, ""},
		{"all that is encrypted", func(s *scene) {
			rule("room", string(s.room), `{"actions":[]}`)(s)
			rule("override", ".org.matrix.msc4028.encrypted_event/enabled", `{"enabled":true}`)(s)
		}, encrypted, "bob 1 m.room.encrypted"},
		{"all that is encrypted, of a muted room", func(s *scene) {
			rule("override", ".org.matrix.msc4028.encrypted_event/enabled", `{"enabled":true}`)(s)
			rule("override", "m", `{"conditions":[{"kind":"event_match","key":"room_id","pattern":"`+string(s.room)+`"}],"actions":[]}`)(s)
		}, encrypted, ""},
		{"a muted room", func(s *scene) {
			rule("override", "m", `{"conditions":[{"kind":"event_match","key":"room_id","pattern":"`+string(s.room)+`"}],"actions":[]}`)(s)
		}, mention, ""},
		{"silence", func(s *scene) {
			s.bob.Must("PUT", "/_matrix/client/v3/pushrules/global/override/.m.rule.master/enabled", `{"enabled":true}`)
		}, mention, ""},
		{"whom he ignores", func(s *scene) {
			s.bob.Must("PUT", "/_matrix/client/v3/user/"+string(s.bob.ID)+"/account_data/m.ignored_user_list", `{"ignored_users":{"@alice:a.test":{}}}`)
		}, mention, ""},
		{"a pusher that is switched off", func(s *scene) {
			s.device(s.bob, map[string]any{"org.matrix.msc3881.enabled": false}, "bob")
		}, mention, ""},
		{"a pusher that was removed", func(s *scene) {
			s.bob.Must("POST", "/_matrix/client/v3/pushers/set", `{"app_id":"org.test","kind":null,"pushkey":"bob"}`)
		}, mention, ""},
		{"a device that has logged out", func(s *scene) { s.bob.Must("POST", "/_matrix/client/v3/logout", nil) }, mention, ""},
		{"a room that he has left", func(s *scene) { s.bob.Must("POST", "/_matrix/client/v3/rooms/"+string(s.room)+"/leave", nil) }, plain, ""},
		{"a locked account", func(s *scene) { s.do(s.a.Accounts().SetLocked(s.Context(), s.bob.ID, true)) }, mention, ""},
		{"a suspended account", func(s *scene) { s.do(s.a.Accounts().SetSuspended(s.Context(), s.bob.ID, true)) }, mention, ""},
	}
	in(t, func(all *scene) {
		dave := all.a.Register("dave")
		for i, tt := range rows {
			s := *all
			s.said = 1000 * (i + 1)
			s.bob = s.a.Register(fmt.Sprint("bob", i))
			s.room = s.create(s.alice, `{"preset":"public_chat"}`)
			s.bob.Must("POST", "/_matrix/client/v3/join/"+string(s.room), nil)
			dave.Must("POST", "/_matrix/client/v3/join/"+string(s.room), nil)
			s.phone(s.bob, "bob")        // which is taken from who had it before
			s.say(s.bob, "first of all") // so that rules are known when they change
			s.take()
			tt.set(&s)
			time.Sleep(5 * time.Second)
			s.take()
			tt.do(&s)
			time.Sleep(5 * time.Second)
			if got := s.brief(s.take()); got != tt.want {
				t.Errorf("%s: the gateway was told %q, want %q", tt.name, got, tt.want)
			}
		}
	})
}

func (s *scene) do(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}
