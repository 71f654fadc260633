package csapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"parley/internal/account"
	"parley/internal/room"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// administered is a scene in which root administers the server, and the tokens of
// root and alice.
func administered(t *testing.T) (s *accountScene, root, alice string) {
	s = newAccountScene(t, Settings{Registration: RegistrationOpen})
	root, alice = s.register("root"), s.register("alice")
	for _, user := range []id.UserID{"@root:a.test", "@second:a.test"} {
		if user != "@root:a.test" {
			s.register(user.Localpart())
		}
		if err := s.SetAdmin(t.Context(), user, true); err != nil {
			t.Fatal(err)
		}
	}
	s.register("gone")
	if err := s.Deactivate(t.Context(), "@gone:a.test", false); err != nil {
		t.Fatal(err)
	}
	return s, root, alice
}

func TestAdministratorsSuspendAndLock(t *testing.T) {
	s, root, alice := administered(t)
	for _, what := range []struct{ path, member string }{
		{"//_matrix/client/v1/admin/suspend/", "suspended"}, {"//_matrix/client/v1/admin/lock/", "locked"},
	} {
		set := func(value bool) string { return fmt.Sprintf(`{%q:%t}`, what.member, value) }
		for _, row := range []struct {
			name, token, method, user, body string
			status                          int
			code                            string
		}{
			{"reading", root, "GET", "@alice:a.test", "", 200, ""},
			{"one's own", root, "GET", "@root:a.test", "", 200, ""},
			{"no administrator", alice, "GET", "@alice:a.test", "", 403, "M_FORBIDDEN"},
			{"no administrator, of nobody", alice, "GET", "@nobody:a.test", "", 403, "M_FORBIDDEN"},
			{"no administrator, of another server", alice, "GET", "@alice:b.test", "", 403, "M_FORBIDDEN"},
			{"another server", root, "GET", "@alice:b.test", "", 400, "M_INVALID_PARAM"},
			{"nobody", root, "GET", "@nobody:a.test", "", 404, "M_NOT_FOUND"},
			{"deactivated", root, "GET", "@gone:a.test", "", 404, "M_NOT_FOUND"},
			{"another administrator", root, "GET", "@second:a.test", "", 403, "M_FORBIDDEN"},
			{"setting, by no administrator", alice, "PUT", "@root:a.test", set(true), 403, "M_FORBIDDEN"},
			{"setting, by no administrator, one's own", alice, "PUT", "@alice:a.test", set(true), 403, "M_FORBIDDEN"},
			{"setting one's own", root, "PUT", "@root:a.test", set(true), 403, "M_FORBIDDEN"},
			{"setting another administrator's", root, "PUT", "@second:a.test", set(true), 403, "M_FORBIDDEN"},
			{"setting elsewhere", root, "PUT", "@alice:b.test", set(true), 400, "M_INVALID_PARAM"},
			{"setting nobody's", root, "PUT", "@nobody:a.test", set(true), 404, "M_NOT_FOUND"},
			{"setting a deactivated one's", root, "PUT", "@gone:a.test", set(true), 404, "M_NOT_FOUND"},
			{"setting nothing", root, "PUT", "@alice:a.test", `{}`, 400, "M_MISSING_PARAM"},
			{"setting a text", root, "PUT", "@alice:a.test", `{"suspended":"x","locked":"x"}`, 400, "M_BAD_JSON"},
		} {
			a := s.call(row.token, row.method, what.path+row.user, "%s", row.body)
			if a.status != row.status || a.get("errcode") != row.code {
				t.Errorf("%s, %s: got %d %s, want %d %s", what.member, row.name, a.status, a.text, row.status, row.code)
			}
		}
		for _, value := range []bool{true, false} {
			for _, a := range []answer{
				s.call(root, "PUT", what.path+"@alice:a.test", "%s", set(value)), s.call(root, "GET", what.path+"@alice:a.test", ""),
			} {
				if s.want(a, 200, "").text != set(value) {
					t.Errorf("got %s, want %s", a.text, set(value))
				}
			}
		}
	}
	if c := s.call(root, "GET", "/capabilities", ""); !strings.Contains(c.text, `"m.account_moderation":{"suspend":true,"lock":true}`) {
		t.Errorf("got %s", c.text)
	}
	if c := s.call(alice, "GET", "/capabilities", ""); strings.Contains(c.text, "m.account_moderation") {
		t.Errorf("got %s", c.text)
	}
}

func TestWhoIs(t *testing.T) {
	s, root, alice := administered(t)
	s.want(s.call(alice, "GET", "/devices", ""), 200, "")
	for _, token := range []string{root, alice} {
		a := s.want(s.call(token, "GET", "/admin/whois/@alice:a.test", ""), 200, "")
		device := a.body["devices"].(map[string]any)["FIRST"].(map[string]any)
		c := device["sessions"].([]any)[0].(map[string]any)["connections"].([]any)[0].(map[string]any)
		if a.get("user_id") != "@alice:a.test" || c["ip"] != "192.0.2.1" || c["last_seen"] == nil || c["user_agent"] != "a client" {
			t.Errorf("got %s", a.text)
		}
	}
	s.want(s.call(alice, "GET", "/admin/whois/@root:a.test", ""), 403, "M_FORBIDDEN")
	s.want(s.call(alice, "GET", "/admin/whois/@nobody:a.test", ""), 403, "M_FORBIDDEN")
	s.want(s.call(root, "GET", "/admin/whois/@nobody:a.test", ""), 404, "M_NOT_FOUND")
	s.want(s.call(root, "GET", "/admin/whois/@alice:b.test", ""), 400, "M_INVALID_PARAM")
}

func TestOnlyLoggingOutIsOpenToLockedAccounts(t *testing.T) {
	var open []string
	for _, r := range New(Parts{Settings: Settings{LoginTokens: true}}).Routes() {
		if r.AllowLocked {
			open = append(open, r.Method+" "+r.Pattern)
		}
	}
	if got, want := fmt.Sprint(open), "[POST /_matrix/client/v3/logout POST /_matrix/client/v3/logout/all]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestALockTakesEffectAtOnce(t *testing.T) {
	s, root, alice := administered(t)
	lock := func(locked bool) {
		s.want(s.call(root, "PUT", "//_matrix/client/v1/admin/lock/@alice:a.test", `{"locked":%t}`, locked), 200, "")
	}
	second := s.login("alice", "SECOND")
	s.want(s.call(alice, "GET", "/account/whoami", ""), 200, "")
	changed, stop := s.Watch("@alice:a.test", "FIRST")
	defer stop()
	lock(true)
	if changed.Err() == nil {
		t.Error("who waits for news goes on waiting")
	}
	const confirmed = `{"auth":{"type":"m.login.password","user":"alice","password":%q},"new_password":"battery staple"}`
	for what, a := range map[string]answer{
		"whoami":                     s.call(alice, "GET", "/account/whoami", ""),
		"the other device":           s.call(second, "GET", "/account/whoami", ""),
		"login":                      s.call("", "POST", "/login", `{"type":"m.login.password","user":"alice","password":%q}`, goodPassword),
		"deactivation":               s.call(alice, "POST", "/account/deactivate", confirmed, goodPassword),
		"deactivation, by password":  s.call("", "POST", "/account/deactivate", confirmed, goodPassword),
		"a new password":             s.call(alice, "POST", "/account/password", confirmed, goodPassword),
		"a new password, by the old": s.call("", "POST", "/account/password", confirmed, goodPassword),
	} {
		if a.status != http.StatusUnauthorized || a.get("errcode") != "M_USER_LOCKED" || a.body["soft_logout"] != true {
			t.Errorf("%s: got %d %s", what, a.status, a.text)
		}
	}
	lock(false)
	s.want(s.call(alice, "GET", "/account/whoami", ""), 200, "")
	lock(true)
	s.want(s.call(alice, "POST", "/logout", ""), 200, "")
	s.want(s.call(second, "POST", "/logout/all", ""), 200, "")
	s.want(s.call(second, "GET", "/account/whoami", ""), 401, "M_UNKNOWN_TOKEN")
}

func TestWhatSuspendedUsersMayDoWithTheirAccount(t *testing.T) {
	s := newAccountSceneWith(t, Settings{Registration: RegistrationOpen}, account.Options{})
	alice := s.register("alice")
	if err := s.SetSuspended(t.Context(), "@alice:a.test", true); err != nil {
		t.Fatal(err)
	}
	again := s.login("alice", "AGAIN")
	for _, token := range []string{alice, again} {
		s.want(s.call(token, "GET", "/account/whoami", ""), 200, "")
		s.want(s.call(token, "PUT", "/devices/AGAIN", `{"display_name":"mine"}`), 200, "")
	}
	const confirmed = `{"auth":{"type":"m.login.password","user":"alice","password":%q}}`
	s.want(s.call(alice, "DELETE", "/devices/AGAIN", confirmed, goodPassword), 200, "")
	s.want(s.call(s.login("alice", "THIRD"), "POST", "/logout", ""), 200, "")
	s.want(s.call(alice, "POST", "/account/deactivate", confirmed, goodPassword), 200, "")
}

func TestWhatSuspendedUsersMayDoInRooms(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		const suspended id.UserID = "@suspended:a.test"
		in := s.create(room.NewRoom{Preset: room.PublicChat}, suspended)
		also, more := s.create(room.NewRoom{Preset: room.PublicChat}, suspended), s.create(room.NewRoom{Invites: []id.UserID{suspended}})
		out := s.create(room.NewRoom{Preset: room.PublicChat})
		own, others, second := s.say(in, suspended), s.say(in, userAlice), s.say(in, suspended)
		const msg = `{"msgtype":"m.text","body":"x"}`
		to := func(format string, args ...any) string { return fmt.Sprintf(format, args...) }
		no := mxerr.UserSuspended
		s.try([]socialCall{
			{"joining", "suspended", to("POST rooms/%s/join", out), `{}`, no, 0},
			{"joining by name", "suspended", to("POST join/%s", out), `{}`, no, 0},
			{"accepting an invite", "suspended", to("POST rooms/%s/join", more), `{}`, no, 0},
			{"knocking", "suspended", to("POST knock/%s", out), `{}`, no, 0},
			{"inviting", "suspended", to("POST rooms/%s/invite", in), `{"user_id":"@bob:a.test"}`, no, 0},
			{"kicking", "suspended", to("POST rooms/%s/kick", in), `{"user_id":"@alice:a.test"}`, no, 0},
			{"saying something", "suspended", to("PUT rooms/%s/send/m.room.message/a", in), msg, no, 0},
			{"a state", "suspended", to("PUT rooms/%s/state/m.room.topic", in), `{"topic":"x"}`, no, 0},
			{"a state that is a join", "suspended", to("PUT rooms/%s/state/m.room.member/%s", out, suspended), `{"membership":"join"}`, no, 0},
			{"another's leaving", "suspended", to("PUT rooms/%s/state/m.room.member/@alice:a.test", in), `{"membership":"leave"}`, no, 0},
			{"typing", "suspended", to("PUT rooms/%s/typing/%s", in, suspended), `{"typing":true}`, no, 0},
			{"a room", "suspended", "POST createRoom", `{}`, no, 0},
			{"another name", "suspended", to("PUT profile/%s/displayname", suspended), `{"displayname":"x"}`, no, 0},
			{"taking back what another said", "suspended", to("PUT rooms/%s/redact/%s/b", in, others), `{}`, no, 0},
			{"taking back what another said, by sending", "suspended", to("PUT rooms/%s/send/m.room.redaction/c", in), to(`{"redacts":%q}`, others), no, 0},
			{"taking back nothing", "suspended", to("PUT rooms/%s/send/m.room.redaction/d", in), `{"redacts":"\u0000"}`, no, 0},

			{"taking back what one said", "suspended", to("PUT rooms/%s/redact/%s/e", in, own), `{}`, "", 0},
			{"taking back what one said, by sending", "suspended", to("PUT rooms/%s/send/m.room.redaction/f", in), to(`{"redacts":%q}`, second), "", 0},
			{"a receipt", "suspended", to("POST rooms/%s/receipt/m.read/%s", in, others), `{}`, "", 0},
			{"rejecting an invite", "suspended", to("POST rooms/%s/leave", more), `{}`, "", 0},
			{"leaving", "suspended", to("POST rooms/%s/leave", in), `{}`, "", 0},
			{"leaving by a state", "suspended", to("PUT rooms/%s/state/m.room.member/%s", also, suspended), `{"membership":"leave"}`, "", 0},
			{"forgetting", "suspended", to("POST rooms/%s/forget", in), `{}`, "", 0},
		})
	})
}
