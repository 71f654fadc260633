package csapi_test

import (
	"fmt"
	"strings"
	"testing"

	"parley/internal/config"
	"parley/internal/hstest"
)

// people searches the directory and returns the localparts of those who are found.
func (s *scene) people(u *hstest.User, term string) (found []string) {
	s.Helper()
	answer := u.Must("POST", "/_matrix/client/v3/user_directory/search", map[string]any{"search_term": term})
	for r := range answer.Get("results").Elements() {
		name, _, _ := strings.Cut(strings.TrimPrefix(text(r, "user_id"), "@"), ":")
		found = append(found, name)
	}
	return found
}

func (s *scene) call(u *hstest.User, name string) {
	s.Helper()
	u.Must("PUT", "/_matrix/client/v3/profile/"+string(u.ID)+"/displayname", map[string]any{"displayname": name})
}

func TestUsersAreFound(t *testing.T) {
	server := hstest.New(t).Server("a.test")
	s := &scene{TB: t, alice: server.Register("alice"), events: make(map[string]string), names: make(map[string]string)}
	s.enter(s.alice, `{"preset":"private_chat"}`)
	for localpart, name := range map[string]string{
		"bobby": "Robert Müller", "rob": "Rob", "liwei": "李伟", "margarete": "Margarete Katharina", "xavier": "", "ops": "Ops:Dev", "kat": "Kate Bob-Smith",
	} {
		u := server.Register(localpart)
		s.call(u, name)
		s.alice.Must("POST", s.path("v3", "invite"), map[string]any{"user_id": u.ID})
		u.Must("POST", s.path("v3", "join"), `{}`)
	}
	server.Register("robertson") // whom alice shares nothing with
	for _, row := range []struct{ name, term, want string }{
		{"a name", "robert", "[bobby]"},
		{"whatever the case and accents", "MULLER", "[bobby]"},
		{"the beginning of a name, the whole first", "rob", "[rob bobby]"},
		{"a letter", "k", "[kat margarete]"},
		{"the inside of a name", "thari", "[margarete]"},
		{"a localpart", "xavi", "[xavier]"},
		{"an ID", "@bobby:a.test", "[bobby]"},
		{"an ID without its sigil", "Bobby:A.test", "[bobby]"},
		{"as much of it as was typed", "bobby:a", "[bobby]"},
		{"one of another server without its sigil", "bobby:b.test", "[]"},
		{"a name that is like an ID", "ops:dev", "[ops]"},
		{"the beginning of an ID", "@rob", "[rob bobby]"},
		{"an ID of another server", "@bobby:b.test", "[]"},
		{"two characters", "李伟", "[liwei]"},
		{"one character", "伟", "[liwei]"},
		{"two words", "katharina marg", "[margarete]"},
		{"words of two people", "robert katharina", "[]"},
		{"a letter too few", "margrete", "[margarete]"},
		{"letters that changed places", "robetr", "[bobby]"},
		{"two mistakes in a long name", "katarinna", "[margarete]"},
		{"too many mistakes", "mergoreto", "[]"},
		{"a short name is not mistyped", "rib", "[]"},
		{"with a name before without", "bob", "[bobby kat]"},
		{"oneself", "alice", "[]"},
		{"nothing", "", "[]"},
		{"the server", "a.test", "[]"},
		{"quotes", `"rob"`, "[rob bobby]"},
	} {
		s.same(row.name, s.people(s.alice, row.term), row.want)
	}
	answer := s.alice.Must("POST", "/_matrix/client/v3/user_directory/search", `{"search_term":"rob","limit":1}`)
	s.same("one of two", string(answer), `{"limited":true,"results":[{"display_name":"Rob","user_id":"@rob:a.test"}]}`)
	answer = s.alice.Must("POST", "/_matrix/client/v3/user_directory/search", `{"search_term":"rob","limit":2}`)
	s.same("both", string(answer.Get("limited")), "false")
	s.refused("a negative limit", s.alice, "POST", "/_matrix/client/v3/user_directory/search", `{"search_term":"rob","limit":-1}`, 400, "M_INVALID_PARAM")
	s.refused("no term", s.alice, "POST", "/_matrix/client/v3/user_directory/search", `{}`, 400, "M_MISSING_PARAM")
}

func TestWhoFindsWhom(t *testing.T) {
	s := newScene(t) // alice and bob are in a public room, and carol in none
	s.same("who shares a room", s.people(s.alice, "bob"), "[bob]")
	s.same("who is in a public room, from elsewhere", s.people(s.carol, "bob"), "[bob]")
	s.same("who is in no room", s.people(s.alice, "carol"), "[]")
	s.alice.Must("PUT", s.path("v3", "state", "m.room.join_rules"), `{"join_rule":"invite"}`)
	s.same("who is in a private room, from elsewhere", s.people(s.carol, "bob"), "[]")
	s.alice.Must("PUT", s.path("v3", "state", "m.room.history_visibility"), `{"history_visibility":"world_readable"}`)
	s.same("who is where everybody may read", s.people(s.carol, "bob"), "[bob]")
	s.alice.Must("PUT", s.path("v3", "state", "m.room.history_visibility"), `{"history_visibility":"shared"}`)
	s.call(s.bob, "Robert")
	s.same("who is called otherwise now", s.people(s.alice, "robert"), "[bob]")
	s.bob.Must("PUT", s.path("v3", "state", "m.room.member", "@bob:a.test"), `{"membership":"join","displayname":"Nickname"}`)
	s.same("by the name in a room", s.people(s.alice, "nickname"), "[]")
	s.same("by that of the profile", s.people(s.alice, "robert"), "[bob]")
	s.bob.Must("POST", s.path("v3", "leave"), `{}`)
	s.same("who has left", s.people(s.alice, "robert"), "[]")
}

func TestEverybodyIsFoundWhereThatIsWanted(t *testing.T) {
	server := hstest.New(t).Server("a.test", func(c *config.Config) { c.Users.All = true })
	s := &scene{TB: t, alice: server.Register("alice"), bob: server.Register("bob")}
	s.same("a stranger", s.people(s.alice, "bob"), "[bob]")
	for i := range 3 {
		server.Register(fmt.Sprint("person", i))
	}
	s.same("new people", s.people(s.alice, "person"), "[person0 person1 person2]")
	s.bob.Must("POST", "/_matrix/client/v3/account/deactivate", map[string]any{
		"auth": map[string]any{"type": "m.login.password", "identifier": map[string]any{"type": "m.id.user", "user": "bob"}, "password": s.bob.Password},
	})
	s.same("who is not there any more", s.people(s.alice, "bob"), "[]")
}
