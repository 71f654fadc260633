package appservice_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/hstest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

func TestEphemeralEvents(t *testing.T) {
	scene(t, func(s *stage) {
		irc, old, without := s.bridge("irc"), s.bridge("old", "receive_ephemeral: false", "de.sorunome.msc2409.push_ephemeral: true"), s.bridge("without", "receive_ephemeral: false")
		server := s.server(irc, old, without)
		alice, eve := server.Register("alice"), server.Register("eve")
		in, elsewhere := room(irc.User, `{"preset":"public_chat"}`), room(eve, `{"preset":"public_chat"}`)
		for _, u := range []*hstest.User{old.User, without.User, alice} {
			u.Must("POST", path("rooms", in, "join"), `{}`)
		}
		sent := alice.Must("PUT", path("rooms", in, "send", "m.room.message", "1"), `{"body":"x","msgtype":"m.text"}`)
		for _, b := range []*bridge{irc, old, without} {
			b.got()
		}
		for _, u := range []*hstest.User{alice, eve} {
			to := map[*hstest.User]string{alice: in, eve: elsewhere}[u]
			u.Must("PUT", path("rooms", to, "typing", string(u.ID)), `{"typing":true,"timeout":20000}`)
			u.Must("PUT", path("presence", string(u.ID), "status"), `{"presence":"online","status_msg":"here"}`)
		}
		alice.Must("POST", path("rooms", in, "receipt", "m.read", text(sent, "event_id")), `{}`)
		alice.Must("POST", path("rooms", in, "receipt", "m.read.private", text(sent, "event_id")), `{}`)
		irc.Must("POST", path("rooms", in, "receipt", "m.read.private", text(sent, "event_id")), `{}`)
		time.Sleep(10 * time.Second)
		for b, member := range map[*bridge]string{irc: "ephemeral", old: "de.sorunome.msc2409.ephemeral"} {
			txns := b.got()
			all := canonjson.Value("")
			for _, e := range events(txns, member) {
				all = append(append(all, e...), '\n')
			}
			for _, want := range []string{
				`{"content":{"user_ids":["@alice:a.test"]},"room_id":"` + in + `","type":"m.typing"}`,
				`"m.read":{"@alice:a.test":`, `"room_id":"` + in + `","type":"m.receipt"}`,
				`"status_msg":"here"},"sender":"@alice:a.test","type":"m.presence"}`,
			} {
				if !strings.Contains(string(all), want) {
					t.Errorf("%s is told\n%swant %s", b.name, all, want)
				}
			}
			if strings.Contains(string(all), "eve") || strings.Contains(string(all), `private":{"@alice`) || strings.Contains(string(all), `"m.read.private":{"@_irc_bot:a.test":`) != (b == irc) || strings.Contains(string(all), elsewhere) {
				t.Errorf("%s is told\n%s", b.name, all)
			}
		}
		if got := without.got(); len(got) > 0 {
			t.Errorf("who does not want it is told %s", got[0].body)
		}
		time.Sleep(30 * time.Second)
		if got := events(irc.got(), "ephemeral"); len(got) == 0 || !strings.Contains(fmt.Sprintf("%s", got), `{"user_ids":[]}`) {
			t.Errorf("that nobody types any more is told as %s", got)
		}
	})
}

func TestMessagesToDevices(t *testing.T) {
	scene(t, func(s *stage) {
		irc, crypt := s.bridge("irc"), s.bridge("crypt", "org.matrix.msc3202: true")
		shared := s.bridge("shared", "io.element.msc4203: true", "namespaces: {users: [{exclusive: false, regex: '@alice'}, {exclusive: false, regex: '@puppet'}]}")
		server := s.server(irc, crypt, shared)
		alice := server.Register("alice")
		syncing, ghost, loggedIn := irc.ghost("bob"), crypt.ghost("bob"), crypt.ghost("carol")
		shared.Must("POST", v3+"register", `{"type":"m.login.application_service","username":"puppet","inhibit_login":true}`)
		irc.device(syncing, "PHONE")
		crypt.device(ghost, "PHONE")
		shared.device("@puppet:a.test", "PHONE")
		made := crypt.Must("POST", v3+"login", `{"type":"m.login.application_service","identifier":{"type":"m.id.user","user":"`+string(loggedIn)+`"},"device_id":"PHONE"}`)
		carol := &hstest.User{Server: server, Token: text(made, "access_token")}
		for _, b := range []*bridge{irc, crypt, shared} {
			b.got()
		}
		to := map[string]any{"*": map[string]any{"x": 1}}
		alice.Must("PUT", path("sendToDevice", "m.test", "1"), map[string]any{"messages": map[id.UserID]any{
			ghost: to, loggedIn: to, syncing: to, alice.ID: to, "@puppet:a.test": to,
		}})
		for b, users := range map[*bridge][]id.UserID{irc: nil, crypt: {ghost, loggedIn}, shared: {"@puppet:a.test"}} {
			var want, got []string
			for _, user := range users {
				want = append(want, `{"content":{"x":1},"sender":"@alice:a.test","to_device_id":"PHONE","to_user_id":"`+string(user)+`","type":"m.test"}`)
			}
			for _, e := range events(b.got(), "to_device") {
				got = append(got, string(e))
			}
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("%s gets %s, want %s", b.name, got, want)
			}
		}
		// What came in a transaction is told, and what did not is for /sync.
		for name, row := range map[string]struct {
			got  canonjson.Value
			want bool
		}{
			"in a transaction":               {crypt.Must("GET", crypt.as(v3+"sync", ghost, "PHONE"), nil), false},
			"in a transaction, with a token": {carol.Must("GET", v3+"sync", nil), false},
			"to who asks by itself":          {irc.Must("GET", irc.as(v3+"sync", syncing, "PHONE"), nil), true},
			"to people":                      {alice.Must("GET", v3+"sync", nil), true},
		} {
			if is := strings.Contains(string(row.got.Get("to_device")), "m.test"); is != row.want {
				t.Errorf("%s: a sync has %s", name, row.got.Get("to_device"))
			}
		}
	})
}

// TestWhatWasToldInATransactionIsNotToldAgain in a sync, whenever the server dies.
func TestWhatWasToldInATransactionIsNotToldAgain(t *testing.T) {
	for commits := 1; commits < 6; commits++ {
		scene(t, func(s *stage) {
			crypt := s.bridge("crypt", "org.matrix.msc3202: true")
			server := s.server(crypt)
			alice, ghost := server.Register("alice"), crypt.ghost("bob")
			crypt.device(ghost, "PHONE")
			crypt.got()
			server.DiesAfter(commits)
			alice.Try("PUT", path("sendToDevice", "m.test", "1"), map[string]any{"messages": map[id.UserID]any{ghost: map[string]any{"*": map[string]any{"x": 1}}}})
			time.Sleep(time.Minute)
			server.Restart()
			time.Sleep(time.Minute)
			if len(events(crypt.got(), "to_device")) == 0 {
				t.Errorf("killed after %d commits: the message was not told", commits)
			}
			if v := crypt.Must("GET", crypt.as(v3+"sync", ghost, "PHONE"), nil); strings.Contains(string(v.Get("to_device")), "m.test") {
				t.Errorf("killed after %d commits: a sync has %s", commits, v.Get("to_device"))
			}
		})
	}
}

func TestDeviceListsAndKeysThatAreLeft(t *testing.T) {
	for _, ephemeral := range []string{"receive_ephemeral: true", "receive_ephemeral: false"} {
		t.Run(ephemeral, func(t *testing.T) { isToldOfDevicesAndKeys(t, ephemeral) })
	}
}

func isToldOfDevicesAndKeys(t *testing.T, ephemeral string) {
	scene(t, func(s *stage) {
		crypt := s.bridge("crypt", "org.matrix.msc3202: true", ephemeral)
		server := s.server(crypt)
		alice, eve := server.Register("alice"), server.Register("eve")
		in := room(crypt.User, `{"preset":"public_chat"}`)
		crypt.device(crypt.ID, "BOT")
		crypt.got()
		phone := &hstest.User{Server: server, ID: crypt.ID, Device: "BOT"}
		crypt.Must("POST", crypt.as(v3+"keys/upload", crypt.ID, "BOT"), map[string]any{
			"device_keys": phone.Keys().Sign(phone.Keys().Device()), "one_time_keys": phone.Keys().OneTime("a", "b"), "fallback_keys": phone.Keys().Fallback("f"),
		})
		last := func(member string) string {
			t.Helper()
			var value canonjson.Value
			for _, txn := range crypt.got() {
				if v := txn.body.Get(member); v != nil {
					if old := txn.body.Get("org.matrix.msc3202." + member); string(old) != string(v) {
						t.Errorf("%s is %s, and by its old name %s", member, v, old)
					}
					value = v
				}
			}
			return string(value)
		}
		synctest.Wait()
		if got := last("device_one_time_keys_count"); got != `{"@_crypt_bot:a.test":{"BOT":{"signed_curve25519":2}}}` {
			t.Errorf("after an upload: got %s", got)
		}
		alice.Must("POST", v3+"keys/claim", `{"one_time_keys":{"@_crypt_bot:a.test":{"BOT":"signed_curve25519"}}}`)
		if got := last("device_one_time_keys_count"); got != `{"@_crypt_bot:a.test":{"BOT":{"signed_curve25519":1}}}` {
			t.Errorf("after a claim: got %s", got)
		}
		for range 2 {
			alice.Must("POST", v3+"keys/claim", `{"one_time_keys":{"@_crypt_bot:a.test":{"BOT":"signed_curve25519"}}}`)
		}
		if got := last("device_unused_fallback_key_types"); got != `{"@_crypt_bot:a.test":{"BOT":[]}}` {
			t.Errorf("after the fallback key was claimed: got %s", got)
		}
		alice.Must("POST", path("rooms", in, "join"), `{}`)
		if got := last("device_lists"); got != `{"changed":["@alice:a.test"],"left":[]}` {
			t.Errorf("when somebody comes: got %s", got)
		}
		alice.Must("PUT", v3+"profile/@alice:a.test/displayname", `{"displayname":"Alice"}`)
		if got := last("device_lists"); got != "" {
			t.Errorf("when somebody has another name: got %s", got)
		}
		eve.Login()
		if got := last("device_lists"); got != "" {
			t.Errorf("of somebody else's devices: got %s", got)
		}
		alice.Login()
		if got := last("device_lists"); got != `{"changed":["@alice:a.test"],"left":[]}` {
			t.Errorf("when somebody has another device: got %s", got)
		}
		alice.Must("POST", path("rooms", in, "leave"), `{}`)
		if got := last("device_lists"); got != `{"changed":[],"left":["@alice:a.test"]}` {
			t.Errorf("when somebody leaves: got %s", got)
		}
		theirs := room(alice, `{"preset":"public_chat"}`)
		crypt.Must("POST", path("rooms", theirs, "join"), `{}`)
		if got := last("device_lists"); got != `{"changed":["@alice:a.test"],"left":[]}` {
			t.Errorf("when it comes itself: got %s", got)
		}
		crypt.Must("POST", path("rooms", theirs, "leave"), `{}`)
		if got := last("device_lists"); got != `{"changed":[],"left":["@alice:a.test"]}` {
			t.Errorf("when it leaves itself: got %s", got)
		}
	})
}
