package fedtest

import (
	"fmt"
	"net/url"
	"testing"

	"parley/matrix/canonjson"
)

// names returns the names of the rooms in a list.
func names(list canonjson.Value) (all []string) {
	for r := range list.Elements() {
		all = append(all, text(r, "name"))
	}
	return all
}

func TestTheDirectoryOfAnotherServerIsSeen(t *testing.T) {
	scene(t, func(s *stage) {
		b := s.Server("b.test")
		alice, bob, carol := s.Server("a.test").Register("alice"), b.Register("bob"), b.Register("carol")
		tea := s.room(bob, `{"preset":"public_chat","visibility":"public","name":"Tea","topic":"hot","room_alias_name":"tea"}`)
		s.room(bob, `{"preset":"public_chat","visibility":"public","name":"Space","creation_content":{"type":"m.space"}}`)
		s.room(bob, `{"preset":"private_chat","name":"Hidden"}`)
		s.join(carol, tea)
		for name, tt := range map[string]struct {
			method, query, body string
			want                []string
		}{
			"all":                  {"GET", "?server=b.test", "", []string{"Tea", "Space"}},
			"as many as are asked": {"GET", "?server=b.test&limit=1", "", []string{"Tea"}},
			"by what is searched":  {"POST", "?server=b.test", `{"filter":{"generic_search_term":"HOT"}}`, []string{"Tea"}},
			"by type":              {"POST", "?server=b.test", `{"filter":{"room_types":["m.space"]}}`, []string{"Space"}},
			"of no type":           {"POST", "?server=b.test", `{"filter":{"room_types":[]}}`, nil},
			"of this server":       {"GET", "?server=a.test", "", nil},
		} {
			var body any
			if tt.body != "" {
				body = tt.body
			}
			got := alice.Must(tt.method, path("publicRooms")+tt.query, body)
			if fmt.Sprint(names(got.Get("chunk"))) != fmt.Sprint(tt.want) {
				t.Errorf("%s: got %s, want %s", name, got, tt.want)
			}
		}
		first := alice.Must("GET", path("publicRooms")+"?server=b.test&limit=1", nil)
		second := alice.Must("GET", path("publicRooms")+"?server=b.test&limit=1&since="+text(first, "next_batch"), nil)
		if got := names(second.Get("chunk")); len(got) != 1 || got[0] != "Space" {
			t.Errorf("the second page is %s", second)
		}
		for query, want := range map[string]int{"?server=b.test&since=x": 400, "?server=nowhere.test": 404} {
			if status, answer := alice.Do("GET", path("publicRooms")+query, nil); status != want {
				t.Errorf("%s: got %d %s", query, status, answer)
			}
		}
	})
}

func TestAliasesOfAnotherServerAreLookedUp(t *testing.T) {
	scene(t, func(s *stage) {
		b := s.Server("b.test")
		alice, bob := s.Server("a.test").Register("alice"), b.Register("bob")
		tea := s.room(bob, `{"preset":"public_chat","room_alias_name":"tea"}`)
		look := func(alias string) (int, canonjson.Value) {
			return alice.Do("GET", path("directory", "room")+"/"+url.PathEscape(alias), nil)
		}
		status, answer := look("#tea:b.test")
		if want := fmt.Sprintf(`{"room_id":%q,"servers":["b.test"]}`, tea); status != 200 || string(answer) != want {
			t.Errorf("got %d %s, want %s", status, answer, want)
		}
		missing := func(alias string) {
			t.Helper()
			if status, answer := look(alias); status != 404 || text(answer, "errcode") != "M_NOT_FOUND" {
				t.Errorf("%s: got %d %s", alias, status, answer)
			}
		}
		missing("#coffee:b.test")
		missing("#tea:nowhere.test")
		b.Kill()
		missing("#tea:b.test")
	})
}
