package csapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func TestRoomsArePublished(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		roomID := s.create(room.NewRoom{Preset: room.PublicChat}, userBob)
		call := "directory/list/room/" + string(roomID)
		shows := func(want string) {
			t.Helper()
			if got := s.get("", "GET "+call, ""); string(got) != `{"visibility":"`+want+`"}` {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		shows("private")
		s.try([]socialCall{
			{"by a member", "bob", "PUT " + call, `{"visibility":"public"}`, mxerr.Forbidden, 0},
			{"nonsense", "alice", "PUT " + call, `{"visibility":"open"}`, mxerr.InvalidParam, 0},
			{"an unknown room", "alice", "PUT directory/list/room/!x", `{}`, mxerr.NotFound, 0},
			{"of an unknown room", "", "GET directory/list/room/!x", ``, mxerr.NotFound, 0},
			{"by default", "alice", "PUT " + call, `{}`, "", 0},
		})
		shows("public")
		s.try([]socialCall{{"back", "alice", "PUT " + call, `{"visibility":"private"}`, "", 0}})
		shows("private")
		s.try([]socialCall{{"by an administrator", "admin", "PUT " + call, `{"visibility":"public"}`, "", 0}})
		shows("public")
	})
}

// namesOf returns the names of the rooms of a page.
func namesOf(page canonjson.Value) (names []string) {
	for r := range page.Get("chunk").Elements() {
		names = append(names, r.Get("name").String())
	}
	return names
}

func TestPublicRoomsAreListed(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		publish := func(n room.NewRoom, members ...id.UserID) id.RoomID {
			n.Preset = room.PublicChat
			roomID := s.create(n, members...)
			if err := s.Rooms.Publish(s.ctx, roomID, true); err != nil {
				t.Fatal(err)
			}
			return roomID
		}
		tea := publish(room.NewRoom{Name: "Tea", Topic: "Grüne und schwarze", Alias: "#tea:a.test"}, userBob, "@carol:a.test")
		publish(room.NewRoom{Name: "Coffee", Content: canonjson.Value(`{"type":"m.space"}`)}, userBob)
		publish(room.NewRoom{Name: "Water"})
		left := publish(room.NewRoom{Name: "Left"})
		if _, err := s.Rooms.Leave(s.ctx, left, room.Move{Sender: userAlice}); err != nil {
			t.Fatal(err)
		}
		s.create(room.NewRoom{Name: "Unlisted"})
		for _, tt := range []struct {
			name, call, body string
			want             []string
		}{
			{"all, the largest first", "GET publicRooms", ``, []string{"Tea", "Coffee", "Water"}},
			{"with a limit", "GET publicRooms?limit=2", ``, []string{"Tea", "Coffee"}},
			{"of this server", "GET publicRooms?server=a.test", ``, []string{"Tea", "Coffee", "Water"}},
			{"by name", "POST publicRooms", `{"filter":{"generic_search_term":"cof"}}`, []string{"Coffee"}},
			{"by topic, whatever the case", "POST publicRooms", `{"filter":{"generic_search_term":"GRÜNE"}}`, []string{"Tea"}},
			{"by alias", "POST publicRooms", `{"filter":{"generic_search_term":"#tea"}}`, []string{"Tea"}},
			{"by what means something elsewhere", "POST publicRooms", `{"filter":{"generic_search_term":"%"}}`, nil},
			{"by a character that is hard to store", "POST publicRooms", `{"filter":{"generic_search_term":"\u0000"}}`, nil},
			{"by nothing there is", "POST publicRooms", `{"filter":{"generic_search_term":"beer"}}`, nil},
			{"without a type", "POST publicRooms", `{"filter":{"room_types":[null]}}`, []string{"Tea", "Water"}},
			{"of a type", "POST publicRooms", `{"filter":{"room_types":["m.space"]}}`, []string{"Coffee"}},
			{"of either", "POST publicRooms", `{"filter":{"room_types":["m.space",null]}}`, []string{"Tea", "Coffee", "Water"}},
			{"of no type", "POST publicRooms", `{"filter":{"room_types":[]}}`, nil},
			{"no filter", "POST publicRooms", `{"filter":null,"limit":1}`, []string{"Tea"}},
			{"of another network", "POST publicRooms", `{"third_party_instance_id":"irc"}`, nil},
		} {
			if got := namesOf(s.get("bob", tt.call, tt.body)); !slices.Equal(got, tt.want) {
				t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
			}
		}
		s.try([]socialCall{
			{"without a token", "", "GET publicRooms", ``, "", 0},
			{"a search without a token", "", "POST publicRooms", `{}`, mxerr.MissingToken, 0},
			{"another server", "bob", "GET publicRooms?server=b.test", ``, mxerr.NotFound, 0},
			{"a negative limit", "bob", "GET publicRooms?limit=-1", ``, mxerr.InvalidParam, 0},
			{"a token of somebody", "bob", "GET publicRooms?since=x", ``, mxerr.InvalidParam, 0},
			{"one network and all", "bob", "POST publicRooms", `{"third_party_instance_id":"irc","include_all_networks":true}`, mxerr.InvalidParam, 0},
			{"all networks", "bob", "POST publicRooms", `{"include_all_networks":true}`, "", 0},
			{"types that are none", "bob", "POST publicRooms", `{"filter":{"room_types":[1]}}`, mxerr.BadJSON, 0},
		})
		page := s.get("", "GET publicRooms?limit=1", "")
		want := map[string]any{
			"room_id": string(tea), "name": "Tea", "topic": "Grüne und schwarze", "canonical_alias": "#tea:a.test", "join_rule": "public",
			"num_joined_members": 3.0, "world_readable": false, "guest_can_join": false,
		}
		rooms := 0
		for r := range page.Get("chunk").Elements() {
			var got map[string]any
			if err := json.Unmarshal(r, &got); err != nil || !maps.Equal(got, want) {
				t.Errorf("got %s, want %v", r, want)
			}
			rooms++
		}
		if rooms != 1 {
			t.Errorf("%d rooms are on a page of one", rooms)
		}
		if n, _ := page.Get("total_room_count_estimate").Int(); n != 3 {
			t.Errorf("%d rooms in all", n)
		}
	})
}

// TestPagesOfPublicRooms goes to the end of the directory and back.
func TestPagesOfPublicRooms(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		for i := range 5 {
			roomID := s.create(room.NewRoom{Preset: room.PublicChat, Name: fmt.Sprint(i)})
			if err := s.Rooms.Publish(s.ctx, roomID, true); err != nil {
				t.Fatal(err)
			}
		}
		walk := func(token, direction string) (names []string, last string) {
			for {
				page := s.get("bob", "POST publicRooms", fmt.Sprintf(`{"limit":2,"since":%q}`, token))
				found := namesOf(page)
				if direction == "prev_batch" {
					names = append(found, names...)
				} else {
					names = append(names, found...)
				}
				next, ok := page.Get(direction).Text()
				if !ok {
					return names, token
				}
				token = next
			}
		}
		there, last := walk("", "next_batch")
		if len(there) != 5 || len(slices.Compact(slices.Sorted(slices.Values(there)))) != 5 {
			t.Errorf("the pages have %v", there)
		}
		end := s.get("bob", "POST publicRooms", fmt.Sprintf(`{"limit":2,"since":%q}`, last))
		back, _ := walk(end.Get("prev_batch").String(), "prev_batch")
		if !slices.Equal(back, there[:4]) {
			t.Errorf("the way back is %v, the way there was %v", back, there)
		}
	})
}
