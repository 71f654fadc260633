package csapi_test

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"parley/internal/config"
	"parley/internal/hstest"
	"parley/matrix/canonjson"
)

// flagged is a server with everything on, for looking whether it can do what it says.
type flagged struct {
	alice, bob *hstest.User
	room       string // the path of a room of alice's, in which bob is
	roomID     string
	said       string // an event of alice's
}

func (f *flagged) user(u *hstest.User) string { return url.PathEscape(string(u.ID)) }

// has reports whether alice's request is answered with something in it.
func (f *flagged) has(method, path string, body any, part string) bool {
	if text, ok := body.(string); ok && text == "" {
		body = nil
	}
	status, answer := f.alice.Do(method, path, body)
	return status == 200 && strings.Contains(string(answer), part)
}

// can says, for each feature that /versions names, whether it is there. Details stand in
// the tests of each.
var can = map[string]func(f *flagged) bool{
	"m.separate_add_and_bind":   func(f *flagged) bool { return f.has("GET", "/_matrix/client/v3/account/3pid", "", "threepids") },
	"m.id_access_token":         func(f *flagged) bool { return f.has("GET", "/_matrix/client/v3/account/3pid", "", "threepids") },
	"m.require_identity_server": nil, // it says that none is needed
	"fi.mau.msc2815": func(f *flagged) bool {
		f.alice.Must("PUT", f.room+"/redact/"+url.PathEscape(f.said)+"/r", `{}`)
		return f.has("GET", f.room+"/event/"+url.PathEscape(f.said)+"?fi.mau.msc2815.include_unredacted_content=true", "", `"said"`)
	},
	"org.matrix.msc3026.busy_presence": func(f *flagged) bool {
		path := "/_matrix/client/v3/presence/" + f.user(f.alice) + "/status"
		defer f.alice.Must("PUT", path, `{"presence":"online"}`) // what comes after is held against the specification
		return f.has("PUT", path, `{"presence":"org.matrix.msc3026.busy"}`, "")
	},
	"org.matrix.msc3814":    dehydrates,
	"org.matrix.msc3814.v1": dehydrates,
	"org.matrix.msc3391": func(f *flagged) bool {
		data := "/user/" + f.user(f.alice) + "/account_data/org.test"
		f.alice.Must("PUT", "/_matrix/client/v3"+data, `{"x":1}`)
		return f.has("DELETE", "/_matrix/client/unstable/org.matrix.msc3391"+data, "", "") && !f.has("GET", "/_matrix/client/v3"+data, "", "")
	},
	"org.matrix.msc3874": func(f *flagged) bool {
		with := f.room + "/messages?dir=b&filter=" + url.QueryEscape(`{"org.matrix.msc3874.not_rel_types":["m.thread"]}`)
		f.alice.Must("PUT", f.room+"/send/m.room.message/thread", `{"body":"in a thread","m.relates_to":{"rel_type":"m.thread","event_id":"`+f.said+`"}}`)
		for e := range f.alice.Must("GET", with, nil).Get("chunk").Elements() {
			if e.Get("content").Get("body").Is("in a thread") {
				return false
			}
		}
		return true
	},
	"org.matrix.msc3881": func(f *flagged) bool {
		return f.has("POST", "/_matrix/client/v3/pushers/set", `{"kind":"http","app_id":"org.test","pushkey":"k","app_display_name":"App","device_display_name":"Phone","lang":"en",
			"data":{"url":"https://push.test/_matrix/push/v1/notify"},"org.matrix.msc3881.enabled":false}`, "") &&
			f.has("GET", "/_matrix/client/v3/pushers", "", `"org.matrix.msc3881.enabled":false`)
	},
	"org.matrix.msc4028": func(f *flagged) bool {
		return f.has("GET", "/_matrix/client/v3/pushrules/", "", ".org.matrix.msc4028.encrypted_event")
	},
	"org.matrix.msc3967": func(f *flagged) bool { // the first keys need no confirmation
		return f.has("POST", "/_matrix/client/v3/keys/device_signing/upload", string(f.alice.CrossSigning("one")), "")
	},
	"org.matrix.msc4155": func(f *flagged) bool {
		return f.uninvited("org.matrix.msc4155", `{"blocked_users":["`+string(f.alice.ID)+`"]}`)
	},
	"org.matrix.msc4380": func(f *flagged) bool { return f.uninvited("org.matrix.msc4380", `{"default_action":"block"}`) },
	"org.matrix.msc4108": nil, // its bodies are no JSON: rendezvous_test.go
	"io.element.msc4388": func(f *flagged) bool {
		return f.has("GET", "/_matrix/client/unstable/io.element.msc4388/rendezvous", "", "create_available")
	},
	"org.matrix.msc4140": func(f *flagged) bool {
		return f.has("PUT", f.room+"/send/m.room.message/later?org.matrix.msc4140.delay=60000", `{"body":"later"}`, "delay_id")
	},
	"org.matrix.msc4140.stable": func(f *flagged) bool {
		return f.has("PUT", f.room+"/delayed_event/m.room.message/later2", `{"delay_ms":60000,"content":{"body":"later"}}`, "delay_id")
	},
	"org.matrix.msc4222": func(f *flagged) bool {
		return f.has("GET", "/_matrix/client/v3/sync?org.matrix.msc4222.use_state_after=true", "", "org.matrix.msc4222.state_after")
	},
	"org.matrix.msc4262": func(f *flagged) bool {
		return f.has("POST", "/_matrix/client/v4/sync", `{"conn_id":"profiles","extensions":{"org.matrix.msc4262.profiles":{"enabled":true,"fields":["displayname"]}}}`, `"updated":{"displayname":"alice"}`)
	},
	"org.matrix.msc4429": func(f *flagged) bool {
		return f.has("GET", "/_matrix/client/v3/sync?filter="+url.QueryEscape(`{"org.matrix.msc4429.profile_fields":{"ids":["displayname"]}}`), "", `"profile_updates":{"displayname":"bob"}`)
	},
	"org.matrix.msc4306": func(f *flagged) bool {
		return f.has("GET", "/_matrix/client/v3/pushrules/", "", "unsubscribed_thread") &&
			f.has("PUT", "/_matrix/client/unstable/io.element.msc4306/rooms/"+url.PathEscape(f.roomID)+"/thread/"+url.PathEscape(f.said)+"/subscription", `{}`, "") &&
			f.has("POST", "/_matrix/client/v4/sync", `{"extensions":{"io.element.msc4308.thread_subscriptions":{"enabled":true}}}`, f.said)
	},
	"org.matrix.msc4354": func(f *flagged) bool {
		return f.has("PUT", f.room+"/send/org.test/sticky?org.matrix.msc4354.sticky_duration_ms=60000", `{}`, "event_id") &&
			f.has("GET", `/_matrix/client/v3/sync?filter={"room":{"timeline":{"types":["m.none"]}}}`, "", "msc4354_sticky_duration_ttl_ms")
	},
	"org.matrix.simplified_msc3575": func(f *flagged) bool {
		return f.has("POST", "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", `{"lists":{"a":{"ranges":[[0,1]],"timeline_limit":1,"required_state":[]}}}`, "pos")
	},
	"uk.half-shot.msc2666.query_mutual_rooms": func(f *flagged) bool {
		return f.has("GET", "/_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms?user_id="+f.user(f.bob), "", f.roomID)
	},
}

func dehydrates(f *flagged) bool {
	status, answer := f.alice.Do("GET", "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device", nil)
	return status == 404 && answer.Get("errcode").Is("M_NOT_FOUND") // there is none yet
}

// uninvited reports whether bob is not invited who does not want to be.
func (f *flagged) uninvited(prefix, config string) bool {
	data := "/_matrix/client/v3/user/" + f.user(f.bob) + "/account_data/" + prefix + ".invite_permission_config"
	f.bob.Must("PUT", data, config)
	defer f.bob.Must("PUT", data, `{}`)
	status, answer := f.alice.Do("POST", room(f.alice, `{}`)+"/invite", `{"user_id":"`+string(f.bob.ID)+`"}`)
	return status == 403 && answer.Get("errcode").Is("M_INVITE_BLOCKED")
}

// TestTheServerCanDoWhatItSays tries each feature that /versions names.
func TestTheServerCanDoWhatItSays(t *testing.T) {
	a := hstest.New(t).Server("a.test", func(c *config.Config) {
		c.Threads.Subscriptions = true
		c.Rendezvous = config.RendezvousOpen
	})
	f := &flagged{alice: a.Register("alice"), bob: a.Register("bob")}
	f.room = room(f.alice, `{"preset":"public_chat"}`)
	f.roomID, _ = url.PathUnescape(f.room[len("/_matrix/client/v3/rooms/"):])
	f.bob.Must("POST", f.room+"/join", `{}`)
	says := make(map[string]canonjson.Value)
	for name, on := range f.alice.Must("GET", "/_matrix/client/versions", nil).Get("unstable_features").Members() {
		says[name.String()] = on
	}
	for _, name := range slices.Sorted(maps.Keys(says)) {
		try, known := can[name]
		if !known {
			t.Errorf("%s is said to be there: say in can how that is seen", name)
			continue
		}
		f.said = f.alice.Must("PUT", f.room+"/send/m.room.message/"+url.PathEscape(name), `{"body":"said","msgtype":"m.text"}`).Get("event_id").String()
		if try != nil && try(f) != says[name].True() {
			t.Errorf("%s is said to be %s", name, says[name])
		}
	}
	for name := range can {
		if says[name] == nil {
			t.Errorf("%s is there, and clients are not told", name)
		}
	}
}
