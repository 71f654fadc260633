package csapi_test

import (
	"fmt"
	"sync"
	"testing"

	"parley/internal/hstest"
	"parley/matrix/canonjson"
)

func (s *scene) state(u *hstest.User, kind, key, content string) string {
	s.Helper()
	return text(u.Must("PUT", s.path("v3", "state", kind, key), content), "event_id")
}

func TestPiecesOfState(t *testing.T) {
	s := newScene(t)
	named := s.state(s.alice, "m.room.name", "", `{"name":"first"}`)
	s.state(s.alice, "m.other", "k/é", `{"a":1}`)
	s.state(s.alice, "m.other", "", `{"a":2}`)
	base := s.path("v3", "state")
	get := func(u *hstest.User, path string) canonjson.Value { t.Helper(); return u.Must("GET", base+path, nil) }
	s.same("without a key", get(s.bob, "/m.room.name"), `{"name":"first"}`)
	s.same("with an empty key", get(s.bob, "/m.room.name/"), `{"name":"first"}`)
	s.same("with a key", get(s.bob, "/m.other/k%2F%C3%A9"), `{"a":1}`)
	s.same("the other one", get(s.bob, "/m.other"), `{"a":2}`)
	s.same("as content", get(s.bob, "/m.room.name?format=content"), `{"name":"first"}`)
	for _, path := range []string{"/m.room.name?format=event", "/m.room.name/?format=event"} {
		e := get(s.bob, path)
		s.same("as an event", text(e, "event_id")+text(e, "type")+text(e, "sender")+text(e, "content", "name")+text(e, "room_id"),
			named+"m.room.name"+"@alice:a.test"+"first"+s.room)
	}
	s.refused("none such", s.bob, "GET", base+"/m.room.topic", nil, 404, "M_NOT_FOUND")
	s.refused("no such key", s.bob, "GET", base+"/m.other/x", nil, 404, "M_NOT_FOUND")
	s.refused("no such format", s.bob, "GET", base+"/m.room.name?format=x", nil, 400, "M_INVALID_PARAM")
	s.refused("not for who was never there", s.carol, "GET", base+"/m.room.name", nil, 403, "M_FORBIDDEN")
	s.refused("not even what is not there", s.carol, "GET", base+"/m.room.topic", nil, 403, "M_FORBIDDEN")
	s.refused("nor all", s.carol, "GET", base, nil, 403, "M_FORBIDDEN")
	s.refused("of a room that is not there", s.carol, "GET", "/_matrix/client/v3/rooms/!none:a.test/state/m.room.name", nil, 403, "M_FORBIDDEN")

	s.bob.Must("POST", s.path("v3", "leave"), `{}`)
	s.state(s.alice, "m.room.name", "", `{"name":"second"}`)
	s.same("who has left sees what was then", get(s.bob, "/m.room.name"), `{"name":"first"}`)
	s.same("who is there what is now", get(s.alice, "/m.room.name"), `{"name":"second"}`)
	s.state(s.alice, "m.room.history_visibility", "", `{"history_visibility":"world_readable"}`)
	s.same("who was never there, if everybody may", get(s.carol, "/m.room.name"), `{"name":"second"}`)
	s.same("and who has left", get(s.bob, "/m.room.name"), `{"name":"second"}`)
}

func TestMembers(t *testing.T) {
	s := newScene(t)
	token := func() string { return text(s.alice.Must("GET", "/_matrix/client/v3/sync", nil), "next_batch") }
	members := func(u *hstest.User, query string) []string {
		t.Helper()
		names := []string{}
		for e := range u.Must("GET", s.path("v3", "members")+query, nil).Get("chunk").Elements() {
			names = append(names, text(e, "state_key")[1:4]+" "+text(e, "content", "membership"))
		}
		return names
	}
	before := token()
	s.alice.Must("POST", s.path("v3", "invite"), `{"user_id":"@carol:a.test"}`)
	invited := token()
	s.bob.Must("POST", s.path("v3", "leave"), `{}`)
	s.carol.Must("POST", s.path("v3", "join"), `{}`)
	s.alice.Must("POST", s.path("v3", "ban"), `{"user_id":"@dave:a.test"}`)
	for _, row := range []struct{ query, want string }{
		{"", "[ali join bob leave car join dav ban]"},
		{"?membership=join", "[ali join car join]"},
		{"?membership=knock", "[]"},
		{"?not_membership=leave", "[ali join car join dav ban]"},
		{"?membership=leave&not_membership=join", "[bob leave dav ban]"},
		{"?membership=join&not_membership=join", "[ali join bob leave car join dav ban]"},
		{"?at=" + before, "[ali join bob join]"},
		{"?at=" + invited, "[ali join bob join car invite]"},
		{"?at=" + invited + "&membership=invite", "[car invite]"},
	} {
		s.same(row.query, members(s.alice, row.query), row.want)
	}
	s.same("who has left", members(s.bob, ""), "[ali join car invite bob leave]")
	s.refused("no membership", s.alice, "GET", s.path("v3", "members")+"?membership=x", nil, 400, "M_INVALID_PARAM")
	s.refused("no membership to leave out", s.alice, "GET", s.path("v3", "members")+"?not_membership=x", nil, 400, "M_INVALID_PARAM")
	s.refused("no token", s.alice, "GET", s.path("v3", "members")+"?at=x", nil, 400, "M_INVALID_PARAM")
	s.alice.Must("PUT", "/_matrix/client/v3/profile/@alice:a.test/displayname", `{"displayname":"Alice"}`)
	s.state(s.alice, "m.room.member", string(s.alice.ID), `{"membership":"join","displayname":"Alice"}`)
	s.same("with their names", s.alice.Must("GET", s.path("v3", "joined_members"), nil),
		`{"joined":{"@alice:a.test":{"display_name":"Alice"},"@carol:a.test":{"display_name":"carol"}}}`)
	s.refused("not for who has left", s.bob, "GET", s.path("v3", "joined_members"), nil, 403, "M_FORBIDDEN")
}

// TestManyMembersComeInParts: more than are held in memory at once.
func TestManyMembersComeInParts(t *testing.T) {
	s := newScene(t)
	const count, many = 1234, 64
	var wg sync.WaitGroup
	for w := range many {
		wg.Go(func() {
			for i := w; i < count; i += many {
				if status, answer, err := s.alice.Try("PUT", s.path("v3", "state", "m.other", fmt.Sprint(i)), `{}`); status != 200 || err != nil {
					t.Errorf("got %d %s, %v", status, answer, err)
				}
			}
		})
	}
	wg.Wait()
	seen := make(map[string]bool)
	for e := range s.bob.Must("GET", s.path("v3", "state"), nil).Elements() {
		if text(e, "type") == "m.other" {
			seen[text(e, "state_key")] = true
		}
	}
	s.same("all of them", len(seen), count)
	redacted := text(s.bob.Must("GET", s.path("v3", "state", "m.other", "7")+"?format=event", nil), "event_id")
	s.alice.Must("PUT", s.path("v3", "redact", redacted, "t"), `{}`)
	for e := range s.bob.Must("GET", s.path("v3", "state"), nil).Elements() {
		if because := e.Get("unsigned").Get("redacted_because"); (because != nil) != (text(e, "event_id") == redacted) {
			t.Errorf("redacted: %s", e)
		}
	}
}
