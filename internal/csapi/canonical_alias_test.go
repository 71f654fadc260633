package csapi

import (
	"fmt"
	"testing"

	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/mxerr"
)

func TestARoomIsCalledByItsAliases(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		roomID := s.create(room.NewRoom{Preset: room.PublicChat}, userBob)
		other := s.create(room.NewRoom{Preset: room.PublicChat})
		put := "PUT rooms/" + string(roomID) + "/state/m.room.canonical_alias"
		body := func(room any) string { return fmt.Sprintf(`{"room_id":%q}`, room) }
		s.try([]socialCall{
			{"an alias", "alice", "PUT directory/room/%23one:a.test", body(roomID), "", 0},
			{"another", "alice", "PUT directory/room/%23two:a.test", body(roomID), "", 0},
			{"one of bob", "bob", "PUT directory/room/%23three:a.test", body(roomID), "", 0},
			{"one elsewhere", "alice", "PUT directory/room/%23other:a.test", body(other), "", 0},
			{"by who has no power", "bob", put, `{"alias":"#one:a.test"}`, mxerr.Forbidden, 0},
			{"by who is outside", "carol", put, `{"alias":"#one:a.test"}`, mxerr.Forbidden, 0},
			{"one that leads elsewhere", "alice", put, `{"alias":"#other:a.test"}`, mxerr.BadAlias, 0},
			{"one that leads nowhere", "alice", put, `{"alias":"#none:a.test"}`, mxerr.BadAlias, 0},
			{"one of an unknown server", "alice", put, `{"alias":"#none:b.test"}`, mxerr.BadAlias, 0},
			{"no alias", "alice", put, `{"alias":"one"}`, mxerr.InvalidParam, 0},
			{"a number", "alice", put, `{"alias":1}`, mxerr.InvalidParam, 0},
			{"others that lead elsewhere", "alice", put, `{"alt_aliases":["#one:a.test","#other:a.test"]}`, mxerr.BadAlias, 0},
			{"others that are none", "alice", put, `{"alt_aliases":["one"]}`, mxerr.InvalidParam, 0},
			{"others that are numbers", "alice", put, `{"alt_aliases":[1]}`, mxerr.InvalidParam, 0},
			{"others that are no list", "alice", put, `{"alt_aliases":"#one:a.test"}`, mxerr.InvalidParam, 0},
			{"none", "alice", put, `{"alias":"","alt_aliases":null}`, "", 0},
			{"null is none", "alice", put, `{"alias":null}`, "", 0},
			{"its own", "alice", put, `{"alias":"#one:a.test","alt_aliases":["#two:a.test","#three:a.test"],"x":1}`, "", 0},
			{"under another state key it is no business of ours", "alice", put + "/x", `{"alias":"#none:a.test"}`, "", 0},
		})
		called := func(want string) {
			t.Helper()
			if got := s.get("bob", "GET rooms/"+string(roomID)+"/state/m.room.canonical_alias", ""); string(got) != want {
				t.Errorf("the room is called %s, want %s", got, want)
			}
		}
		s.try([]socialCall{{"bob deletes his", "bob", "DELETE directory/room/%23three:a.test", ``, "", 0}})
		called(`{"alias":"#one:a.test","alt_aliases":["#two:a.test","#three:a.test"],"x":1}`) // bob may not say so
		s.try([]socialCall{
			{"what is gone may stay", "alice", put, `{"alias":"#three:a.test","alt_aliases":["#one:a.test","#two:a.test"]}`, "", 0},
			{"alice deletes one", "alice", "DELETE directory/room/%23one:a.test", ``, "", 0},
		})
		called(`{"alias":"#three:a.test","alt_aliases":["#two:a.test"]}`)
		s.try([]socialCall{{"and the other", "alice", "DELETE directory/room/%23two:a.test", ``, "", 0}})
		called(`{"alias":"#three:a.test"}`)
		s.try([]socialCall{
			{"what is gone cannot come back", "alice", put, `{}`, "", 0},
			{"being gone", "alice", put, `{"alias":"#three:a.test"}`, mxerr.BadAlias, 0},
		})
	})
}

func TestWithoutAlias(t *testing.T) {
	for _, tt := range []struct{ content, want string }{
		{`{}`, `{}`},
		{`{"alias":"#a:a"}`, `{}`},
		{`{"alias":"#b:a","alt_aliases":["#a:a"]}`, `{"alias":"#b:a"}`},
		{`{"alias":"#a:a","alt_aliases":["#a:a",7,"#b:a","#a:a"],"x":1}`, `{"alt_aliases":[7,"#b:a"],"x":1}`},
		{`{"alias":7,"alt_aliases":"#a:a"}`, `{"alias":7,"alt_aliases":"#a:a"}`},
		{`{"alt_aliases":[]}`, `{"alt_aliases":[]}`},
	} {
		if got := withoutAlias(canonjson.Value(tt.content), "#a:a"); string(got) != tt.want {
			t.Errorf("%s: got %s, want %s", tt.content, got, tt.want)
		}
	}
}
