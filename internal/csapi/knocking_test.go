package csapi_test

import (
	"net/url"
	"strings"
	"testing"

	"parley/internal/hstest"
	"parley/matrix/canonjson"
)

// knockScene is a room of alice, who decides who comes in, and people before it.
type knockScene struct {
	t                 *testing.T
	alice, bob, carol *hstest.User
	room              string
	since             string // where bob's client is
}

func newKnockScene(t *testing.T, create string) *knockScene {
	a := hstest.New(t).Server("a.test")
	s := &knockScene{t: t, alice: a.Register("alice"), bob: a.Register("bob"), carol: a.Register("carol")}
	s.room = s.alice.Must("POST", "/_matrix/client/v3/createRoom", create).Get("room_id").String()
	s.since = s.bob.Must("GET", "/_matrix/client/v3/sync", nil).Get("next_batch").String()
	return s
}

const knockRoom = `{"room_alias_name":"door","initial_state":[{"type":"m.room.join_rules","content":{"join_rule":"knock"}}]}`

// path returns a path below the room.
func (s *knockScene) path(below string) string {
	return "/_matrix/client/v3/rooms/" + url.PathEscape(s.room) + "/" + below
}

// sync returns what bob's client is told of the room, and in which part.
func (s *knockScene) sync() (part string, told canonjson.Value) {
	s.t.Helper()
	answer := s.bob.Must("GET", "/_matrix/client/v3/sync?since="+url.QueryEscape(s.since), nil)
	s.since = answer.Get("next_batch").String()
	for name, rooms := range answer.Get("rooms").Members() {
		if told := rooms.Get(s.room); told != nil {
			return name.String(), told
		}
	}
	return "", nil
}

// is checks in which part of a sync, and of an initial one, bob is told of the room.
func (s *knockScene) is(want, initially string) canonjson.Value {
	s.t.Helper()
	part, told := s.sync()
	if part != want {
		s.t.Errorf("bob is told of the room in %q, want %q", part, want)
	}
	first := ""
	for name, rooms := range s.bob.Must("GET", "/_matrix/client/v3/sync", nil).Get("rooms").Members() {
		if rooms.Get(s.room) != nil {
			first = name.String()
		}
	}
	if first != initially {
		s.t.Errorf("at first bob is told of the room in %q, want %q", first, initially)
	}
	return told
}

// refused sends a request of somebody that has to be refused.
func (s *knockScene) refused(u *hstest.User, path, body string, status int, code string) {
	s.t.Helper()
	if got, answer := u.Do("POST", path, body); got != status || !answer.Get("errcode").Is(code) {
		s.t.Errorf("%s: got %d %s, want %d %s", path, got, answer, status, code)
	}
}

// member returns what the room says of bob.
func (s *knockScene) member() canonjson.Value {
	s.t.Helper()
	return s.alice.Must("GET", s.path("state/m.room.member/"+url.PathEscape(string(s.bob.ID))), nil)
}

// events returns how many member events of bob there are.
func (s *knockScene) events() (n int) {
	s.t.Helper()
	for e := range s.alice.Must("GET", s.path("messages?dir=b&limit=100"), nil).Get("chunk").Elements() {
		if e.Get("state_key").Is(string(s.bob.ID)) {
			n++
		}
	}
	return n
}

const atDoor = "/_matrix/client/v3/knock/%23door:a.test"

func TestSomebodyKnocksAndIsLetIn(t *testing.T) {
	s := newKnockScene(t, knockRoom)
	answer := s.bob.Must("POST", atDoor+"?via=a.test&via=b.test&server_name=a.test", `{"reason":"It is cold"}`)
	if string(answer) != string(canonjson.Value(nil).With("room_id", canonjson.Text(s.room))) {
		t.Errorf("got %s", answer)
	}
	told := s.is("knock", "knock")
	var types []string
	for e := range told.Get("knock_state").Get("events").Elements() {
		types = append(types, e.Get("type").String())
		if e.Get("type").Is("m.room.member") && (!e.Get("content").Get("reason").Is("It is cold") || !e.Get("state_key").Is(string(s.bob.ID))) {
			t.Errorf("bob's own event is %s", e)
		}
		for name := range e.Members() {
			if n := name.String(); n != "type" && n != "state_key" && n != "sender" && n != "content" {
				t.Errorf("there is %s in %s", n, e)
			}
		}
	}
	if got := strings.Join(types, " "); got != "m.room.member m.room.create m.room.join_rules m.room.canonical_alias" {
		t.Errorf("the state of the room is %s", got)
	}
	s.bob.Must("POST", atDoor, `{"reason":"It is cold"}`)
	if n := s.events(); n != 1 {
		t.Errorf("saying the same again made %d events of one", n)
	}
	s.bob.Must("POST", atDoor, `{"reason":"It is very cold"}`)
	if n := s.events(); n != 2 || !s.member().Get("reason").Is("It is very cold") {
		t.Errorf("with another reason bob is %s, by %d events", s.member(), n)
	}
	s.is("knock", "knock")
}

func TestAKnockIsAcceptedDeclinedAndTakenBack(t *testing.T) {
	s := newKnockScene(t, knockRoom)
	bob := `{"user_id":"` + string(s.bob.ID) + `","reason":"why"}`
	knock := func() {
		t.Helper()
		s.bob.Must("POST", atDoor, `{}`)
		s.is("knock", "knock")
	}
	knock()
	s.bob.Must("POST", s.path("leave"), `{"reason":"never mind"}`)
	s.is("leave", "")
	knock()
	s.alice.Must("POST", s.path("kick"), bob)
	s.is("leave", "")
	knock()
	s.alice.Must("PUT", s.path("state/m.room.member/"+url.PathEscape(string(s.bob.ID))), `{"membership":"leave"}`)
	s.is("leave", "")
	knock()
	s.alice.Must("POST", s.path("ban"), bob)
	s.is("leave", "")
	s.refused(s.bob, atDoor, `{}`, 403, "M_FORBIDDEN")
	s.alice.Must("POST", s.path("unban"), bob)
	s.sync()
	s.bob.Must("PUT", s.path("state/m.room.member/"+url.PathEscape(string(s.bob.ID))), `{"membership":"knock"}`)
	s.is("knock", "knock")
	s.refused(s.carol, s.path("invite"), bob, 403, "M_FORBIDDEN")
	s.alice.Must("POST", s.path("invite"), bob)
	s.is("invite", "invite")
	s.refused(s.bob, atDoor, `{}`, 403, "M_FORBIDDEN")
	s.bob.Must("POST", s.path("join"), `{}`)
	s.is("join", "join")
	s.refused(s.bob, atDoor, `{}`, 403, "M_FORBIDDEN")
	if m := s.member(); !m.Get("membership").Is("join") || !m.Get("displayname").Is("bob") && m.Get("displayname") != nil {
		t.Errorf("in the end bob is %s", m)
	}
}

func TestWhereNobodyMayKnock(t *testing.T) {
	s := newKnockScene(t, knockRoom)
	s.refused(s.bob, "/_matrix/client/v3/knock/%23nowhere:a.test", `{}`, 404, "M_NOT_FOUND")
	s.refused(s.bob, "/_matrix/client/v3/knock/!nowhere:a.test", `{}`, 404, "M_NOT_FOUND")
	s.refused(s.bob, "/_matrix/client/v3/knock/door", `{}`, 400, "M_INVALID_PARAM")
	for name, create := range map[string]string{
		"by invite only":                  `{}`,
		"open":                            `{"preset":"public_chat"}`,
		"in a version without knocking":   `{"room_version":"6","initial_state":[{"type":"m.room.join_rules","content":{"join_rule":"knock"}}]}`,
		"with a rule beyond its version":  `{"room_version":"9","initial_state":[{"type":"m.room.join_rules","content":{"join_rule":"knock_restricted"}}]}`,
		"restricted and not for knocking": `{"initial_state":[{"type":"m.room.join_rules","content":{"join_rule":"restricted","allow":[]}}]}`,
	} {
		room := s.alice.Must("POST", "/_matrix/client/v3/createRoom", create).Get("room_id").String()
		if status, answer := s.bob.Do("POST", "/_matrix/client/v3/knock/"+url.PathEscape(room), `{}`); status != 403 || !answer.Get("errcode").Is("M_FORBIDDEN") {
			t.Errorf("at a room %s: got %d %s", name, status, answer)
		}
	}
}

func TestWhoMayJoinNeedNotKnock(t *testing.T) {
	s := newKnockScene(t, knockRoom)
	club := s.alice.Must("POST", "/_matrix/client/v3/createRoom", `{"preset":"public_chat"}`).Get("room_id").String()
	s.alice.Must("PUT", s.path("state/m.room.join_rules"), `{"join_rule":"knock_restricted","allow":[{"type":"m.room_membership","room_id":"`+club+`"}]}`)
	s.refused(s.bob, s.path("join"), `{}`, 403, "M_FORBIDDEN")
	s.bob.Must("POST", atDoor, `{}`)
	s.is("knock", "knock")
	s.refused(s.bob, s.path("join"), `{}`, 403, "M_FORBIDDEN")
	s.bob.Must("POST", "/_matrix/client/v3/join/"+url.PathEscape(club), `{}`)
	s.bob.Must("POST", "/_matrix/client/v3/join/%23door:a.test?via=a.test&server_name=b.test", `{}`)
	s.is("join", "join")
	if m := s.member(); !m.Get("join_authorised_via_users_server").Is(string(s.alice.ID)) {
		t.Errorf("bob is in by %s", m)
	}
}
