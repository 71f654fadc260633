package appservice_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"parley/internal/hstest"
)

// expect fails unless a request has an answer with a status and, if it is refused, a code.
func expect(t *stage, what string, u *hstest.User, method, path string, body any, status int, code string) {
	t.Helper()
	got, answer := u.Do(method, path, body)
	if got != status || text(answer, "errcode") != code {
		t.Errorf("%s: got %d %s, want %d %s", what, got, answer, status, code)
	}
}

func TestAServiceActsForItsUsers(t *testing.T) {
	scene(t, func(s *stage) {
		b := s.bridge("irc")
		alice := s.server(b).Register("alice")
		ghost := b.ghost("bob")
		if who := b.Must("GET", v3+"account/whoami", nil); text(who, "user_id") != "@_irc_bot:a.test" || who.Get("device_id") != nil {
			t.Errorf("without saying for whom: got %s", who)
		}
		if who := b.Must("GET", b.as(v3+"account/whoami", ghost), nil); text(who, "user_id") != string(ghost) {
			t.Errorf("as a ghost: got %s", who)
		}
		b.device(ghost, "PHONE")
		for _, param := range []string{"&device_id=PHONE", "&org.matrix.msc3202.device_id=PHONE"} {
			if who := b.Must("GET", b.as(v3+"account/whoami", ghost)+param, nil); text(who, "device_id") != "PHONE" {
				t.Errorf("as a ghost with a device: got %s", who)
			}
		}
		byQuery := &hstest.User{Server: b.Server}
		if who := byQuery.Must("GET", v3+"account/whoami?access_token=as_irc", nil); text(who, "user_id") != "@_irc_bot:a.test" {
			t.Errorf("with the token in the query: got %s", who)
		}
		whoami := v3 + "account/whoami"
		expect(s, "as somebody else", b.User, "GET", b.as(whoami, alice.ID), nil, 403, "M_FORBIDDEN")
		expect(s, "as a ghost that there is not", b.User, "GET", b.as(whoami, "@_irc_nobody:a.test"), nil, 403, "M_FORBIDDEN")
		expect(s, "as a user of another server", b.User, "GET", b.as(whoami, "@_irc_bob:b.test"), nil, 403, "M_FORBIDDEN")
		expect(s, "as no user at all", b.User, "GET", b.as(whoami, "bob"), nil, 400, "M_INVALID_PARAM")
		expect(s, "with a device that there is not", b.User, "GET", b.as(whoami, ghost, "OTHER"), nil, 400, "M_UNKNOWN_DEVICE")
		expect(s, "with a device of somebody else", b.User, "GET", whoami+"?device_id=PHONE", nil, 400, "M_UNKNOWN_DEVICE")
		alice.Must("GET", b.as(whoami, ghost), nil) // to people it means nothing
		b.Must("DELETE", b.as(v3+"devices/PHONE", ghost), `{}`)
		expect(s, "with a device that is gone", b.User, "GET", b.as(whoami, ghost, "PHONE"), nil, 400, "M_UNKNOWN_DEVICE")
	})
}

func TestAServiceRegistersItsUsersAndNoOthers(t *testing.T) {
	scene(t, func(s *stage) {
		irc, xmpp := s.bridge("irc"), s.bridge("xmpp", `namespaces: {users: [{exclusive: false, regex: '@.*'}]}`)
		server := s.server(irc, xmpp)
		register := func(name string) string { return `{"type":"m.login.application_service","username":"` + name + `"}` }
		made := irc.Must("POST", v3+"register", register("_irc_bob"))
		bob := &hstest.User{Server: server, Token: text(made, "access_token")}
		if who := bob.Must("GET", v3+"account/whoami", nil); text(who, "user_id") != "@_irc_bob:a.test" {
			t.Errorf("by its own token: got %s", who)
		}
		if made := irc.Must("POST", v3+"register", `{"type":"m.login.application_service","username":"_irc_carol","inhibit_login":true}`); made.Get("access_token") != nil {
			t.Errorf("with inhibit_login: got %s", made)
		}
		// mautrix names the user that it is about to make.
		irc.Must("POST", irc.as(v3+"register", "@_irc_dave:a.test"), register("_irc_dave"))
		nobody := &hstest.User{Server: server}
		expect(s, "one that is there", irc.User, "POST", v3+"register", register("_irc_bob"), 400, "M_USER_IN_USE")
		expect(s, "one outside", irc.User, "POST", v3+"register", register("bob"), 400, "M_EXCLUSIVE")
		expect(s, "one of another service", xmpp.User, "POST", v3+"register", register("_irc_dora"), 400, "M_EXCLUSIVE")
		expect(s, "none", irc.User, "POST", v3+"register", `{"type":"m.login.application_service"}`, 400, "M_MISSING_PARAM")
		expect(s, "one that cannot be", irc.User, "POST", v3+"register", register("_irc_Ä"), 400, "M_INVALID_USERNAME")
		expect(s, "by nobody", nobody, "POST", v3+"register", register("_irc_dora"), 401, "M_MISSING_TOKEN")
		expect(s, "by a person", server.Register("alice"), "POST", v3+"register", register("_irc_dora"), 401, "M_UNKNOWN_TOKEN")
		expect(s, "as a person", nobody, "POST", v3+"register", `{"username":"_irc_dora","password":"a long password"}`, 400, "M_EXCLUSIVE")
		expect(s, "as a person, with the name of a sender", nobody, "POST", v3+"register", `{"username":"_IRC_bot","password":"a long password"}`, 400, "M_EXCLUSIVE")
		expect(s, "whether it is free", nobody, "GET", v3+"register/available?username=_irc_dora", nil, 400, "M_EXCLUSIVE")
		// A client may still have the token of a session that is over.
		expect(s, "as a person with a bad token", &hstest.User{Server: server, Token: "old"}, "POST", v3+"register",
			`{"username":"eve","password":"a long password"}`, 401, "")
	})
}

func TestAServiceEndsItsUsers(t *testing.T) {
	scene(t, func(s *stage) {
		irc, puppets := s.bridge("irc"), s.bridge("puppets", `namespaces: {users: [{exclusive: false, regex: '@.*'}]}`)
		alice := s.server(irc, puppets).Register("alice")
		ghost := irc.ghost("bob")
		irc.Must("POST", irc.as(v3+"account/deactivate", ghost), `{}`)
		expect(s, "who is no more", irc.User, "GET", irc.as(v3+"account/whoami", ghost), nil, 403, "M_USER_DEACTIVATED")
		expect(s, "whose name is not given out again", irc.User, "POST", v3+"register", `{"type":"m.login.application_service","username":"_irc_bob"}`, 400, "M_USER_IN_USE")
		expect(s, "its sender", irc.User, "POST", v3+"account/deactivate", `{}`, 401, "")
		expect(s, "people that it may act for", puppets.User, "POST", puppets.as(v3+"account/deactivate", alice.ID), `{}`, 401, "")
	})
}

func TestAServiceLogsItsUsersIn(t *testing.T) {
	scene(t, func(s *stage) {
		irc := s.bridge("irc")
		server := s.server(irc)
		ghost := irc.ghost("bob")
		login := func(name string) string {
			return `{"type":"m.login.application_service","identifier":{"type":"m.id.user","user":"` + name + `"},"device_id":"PHONE"}`
		}
		flows := string(irc.Must("GET", v3+"login", nil))
		if !strings.Contains(flows, "m.login.application_service") {
			t.Errorf("the ways to log in are %s", flows)
		}
		for _, name := range []string{"_irc_bob", string(ghost)} {
			in := irc.Must("POST", v3+"login", login(name))
			bob := &hstest.User{Server: server, Token: text(in, "access_token")}
			if who := bob.Must("GET", v3+"account/whoami", nil); text(who, "user_id") != string(ghost) || text(who, "device_id") != "PHONE" {
				t.Errorf("logged in as %s: got %s", name, who)
			}
		}
		expect(s, "somebody else", irc.User, "POST", v3+"login", login("alice"), 400, "M_EXCLUSIVE")
		expect(s, "one that there is not", irc.User, "POST", v3+"login", login("_irc_nobody"), 403, "M_FORBIDDEN")
		expect(s, "nobody", irc.User, "POST", v3+"login", `{"type":"m.login.application_service"}`, 400, "M_MISSING_PARAM")
		expect(s, "by nobody", &hstest.User{Server: server}, "POST", v3+"login", login("_irc_bob"), 401, "M_MISSING_TOKEN")
		expect(s, "by a person", server.Register("alice"), "POST", v3+"login", login("_irc_bob"), 401, "M_UNKNOWN_TOKEN")
	})
}

func TestAServiceManagesDevicesAndKeys(t *testing.T) {
	scene(t, func(s *stage) {
		irc := s.bridge("irc", "io.element.msc4190: true")
		server := s.server(irc)
		ghost := irc.ghost("bob")
		if status, _ := irc.Do("PUT", irc.as(v3+"devices/PHONE", ghost), `{"display_name":"Phone"}`); status != http.StatusCreated {
			t.Errorf("making a device: got %d", status)
		}
		if status, _ := irc.Do("PUT", irc.as(v3+"devices/PHONE", ghost), `{"display_name":"Telephone"}`); status != http.StatusOK {
			t.Errorf("renaming a device: got %d", status)
		}
		if got := irc.Must("GET", irc.as(v3+"devices/PHONE", ghost), nil); text(got, "display_name") != "Telephone" {
			t.Errorf("the device is %s", got)
		}
		phone := &hstest.User{Server: server, ID: ghost, Device: "PHONE"}
		keys := map[string]any{"device_keys": phone.Keys().Sign(phone.Keys().Device()), "one_time_keys": phone.Keys().OneTime("a", "b")}
		got := irc.Must("POST", irc.as(v3+"keys/upload", ghost, "PHONE"), keys)
		if n, _ := got.Get("one_time_key_counts").Get("signed_curve25519").Int(); n != 2 {
			t.Errorf("uploading keys: got %s", got)
		}
		expect(s, "uploading keys of no device", irc.User, "POST", irc.as(v3+"keys/upload", ghost), keys, 400, "M_INVALID_PARAM")
		for _, generation := range []string{"1", "2"} {
			irc.Must("POST", irc.as(v3+"keys/device_signing/upload", ghost), phone.CrossSigning(generation))
		}
		irc.device(ghost, "TABLET")
		irc.Must("POST", irc.as(v3+"delete_devices", ghost), `{"devices":["PHONE","TABLET"]}`)
		if got := irc.Must("GET", irc.as(v3+"devices", ghost), nil); string(got) != `{"devices":[]}` {
			t.Errorf("after deleting the devices: got %s", got)
		}
		alice := server.Register("alice")
		expect(s, "a person makes no device", alice, "PUT", v3+"devices/NEW", `{}`, 404, "M_NOT_FOUND")
	})
}

func TestWhoIsLimited(t *testing.T) {
	scene(t, func(s *stage) {
		irc, xmpp := s.bridge("irc"), s.bridge("xmpp", "rate_limited: true")
		server := s.server(irc, xmpp)
		server.Stop()
		server.Config.RateLimits.Enabled = true
		server.Start()
		for _, row := range []struct {
			name    string
			bridge  *bridge
			path    string
			limited bool
		}{
			{"a ghost", irc, irc.as(v3+"account/whoami", irc.ghost("bob")), false},
			{"the sender of a service with limits", xmpp, v3 + "account/whoami", false},
			{"a ghost of a service with limits", xmpp, xmpp.as(v3+"account/whoami", xmpp.ghost("bob")), true},
		} {
			limited := false
			for range 250 {
				status, _ := row.bridge.Do("GET", row.path, nil)
				limited = limited || status == http.StatusTooManyRequests
			}
			if limited != row.limited {
				t.Errorf("%s: limited is %v", row.name, limited)
			}
		}
		for i := range 40 { // more than come from one address otherwise
			irc.ghost(strconv.Itoa(i))
		}
	})
}

func TestAliasesOfServices(t *testing.T) {
	scene(t, func(s *stage) {
		irc := s.bridge("irc")
		alice := s.server(irc).Register("alice")
		mine, its := room(alice, `{}`), room(irc.User, `{"room_alias_name":"_irc_one"}`)
		to := `{"room_id":"` + mine + `"}`
		irc.Must("PUT", path("directory", "room", "#_irc_two:a.test"), to) // it is not even in there
		expect(s, "a service outside", irc.User, "PUT", path("directory", "room", "#two:a.test"), to, 400, "M_EXCLUSIVE")
		expect(s, "a service, of no room", irc.User, "PUT", path("directory", "room", "#_irc_three:a.test"), `{"room_id":"!x:a.test"}`, 404, "M_NOT_FOUND")
		expect(s, "a service makes a room with one outside", irc.User, "POST", v3+"createRoom", `{"room_alias_name":"two"}`, 400, "M_EXCLUSIVE")
		expect(s, "a person", alice, "PUT", path("directory", "room", "#_irc_three:a.test"), to, 400, "M_EXCLUSIVE")
		expect(s, "a person makes a room", alice, "POST", v3+"createRoom", `{"room_alias_name":"_irc_three"}`, 400, "M_EXCLUSIVE")
		expect(s, "a person removes one", alice, "DELETE", path("directory", "room", "#_irc_two:a.test"), nil, 400, "M_EXCLUSIVE")
		alice.Must("PUT", path("directory", "room", "#two:a.test"), to)
		expect(s, "a service removes one outside", irc.User, "DELETE", path("directory", "room", "#two:a.test"), nil, 400, "M_EXCLUSIVE")
		irc.Must("DELETE", path("directory", "room", "#_irc_two:a.test"), nil)
		if got := alice.Must("GET", path("directory", "room", "#_irc_one:a.test"), nil); text(got, "room_id") != its {
			t.Errorf("got %s", got)
		}
	})
}

func TestAServiceSaysWhenAnEventWasSent(t *testing.T) {
	scene(t, func(s *stage) {
		irc, alice, in := s.portal()
		time := func(eventID string) int64 {
			n, _ := alice.Must("GET", path("rooms", in, "event", eventID), nil).Get("origin_server_ts").Int()
			return n
		}
		send := path("rooms", in, "send", "m.room.message")
		sent := irc.Must("PUT", send+"/1?ts=1000", `{"body":"early","msgtype":"m.text"}`)
		if got := time(text(sent, "event_id")); got != 1000 {
			t.Errorf("a message is of %d", got)
		}
		sent = irc.Must("PUT", path("rooms", in, "state", "m.room.topic")+"?ts=2000", `{"topic":"x"}`)
		if got := time(text(sent, "event_id")); got != 2000 {
			t.Errorf("state is of %d", got)
		}
		ghost := irc.ghost("bob")
		sent = irc.Must("PUT", irc.as(path("rooms", in, "state", "m.room.member", string(ghost))+"?ts=3000", ghost), `{"membership":"join"}`)
		if got := time(text(sent, "event_id")); got != 3000 {
			t.Errorf("a join is of %d", got)
		}
		later := irc.Must("PUT", path("rooms", in, "delayed_event", "m.room.message", "1")+"?ts=4000", `{"delay_ms":60000,"content":{"body":"later"}}`)
		delayed := "/_matrix/client/v1/delayed_events/" + text(later, "delay_id")
		irc.Must("POST", delayed+"/send", `{}`)
		if got := time(text(irc.Must("GET", delayed, nil), "event_id")); got != 4000 {
			t.Errorf("a delayed message is of %d", got)
		}
		sent = alice.Must("PUT", send+"/1?ts=1000", `{"body":"now","msgtype":"m.text"}`)
		if got := time(text(sent, "event_id")); got < 1e11 {
			t.Errorf("a message of a person is of %d", got)
		}
		for _, ts := range []string{"-1", "9007199254740992", "x"} {
			expect(s, "ts="+ts, irc.User, "PUT", send+"/2?ts="+ts, `{}`, 400, "M_INVALID_PARAM")
		}
	})
}
