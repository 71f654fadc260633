package csapi

import (
	"fmt"
	"testing"
	"testing/synctest"

	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func TestARoomIsUpgraded(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		old := s.create(room.NewRoom{Version: "10", Preset: room.PublicChat, Name: "Cats"}, userBob, "@suspended:a.test")
		path := "rooms/" + string(old)
		s.try([]socialCall{
			{"it has an alias", "bob", "PUT directory/room/%23cats:a.test", fmt.Sprintf(`{"room_id":%q}`, old), "", 0},
			{"it is called so", "alice", "PUT " + path + "/state/m.room.canonical_alias", `{"alias":"#cats:a.test"}`, "", 0},
			{"it is in the directory", "alice", "PUT directory/list/room/" + string(old), `{"visibility":"public"}`, "", 0},
			{"alice likes it", "alice", "PUT user/@alice:a.test/rooms/" + string(old) + "/tags/m.favourite", `{}`, "", 0},
			{"bob does not", "bob", "PUT pushrules/global/room/" + string(old), `{"actions":[]}`, "", 0},
			{"it is direct for bob", "bob", "PUT user/@bob:a.test/account_data/m.direct", fmt.Sprintf(`{"@alice:a.test":[%q]}`, old), "", 0},
			{"not by who is suspended", "suspended", "POST " + path + "/upgrade", `{"new_version":"12"}`, mxerr.UserSuspended, 0},
			{"not by who has no power", "bob", "POST " + path + "/upgrade", `{"new_version":"12"}`, mxerr.Forbidden, 0},
			{"not by who is not in it", "carol", "POST " + path + "/upgrade", `{"new_version":"12"}`, mxerr.Forbidden, 0},
			{"not by guests", "guest", "POST " + path + "/upgrade", `{"new_version":"12"}`, mxerr.GuestAccessForbidden, 0},
			{"not one that there is not", "alice", "POST rooms/!x:a.test/upgrade", `{"new_version":"12"}`, mxerr.Forbidden, 0},
			{"not to a version that there is not", "alice", "POST " + path + "/upgrade", `{"new_version":"99"}`, mxerr.UnsupportedRoomVersion, 0},
			{"not to none", "alice", "POST " + path + "/upgrade", `{}`, mxerr.MissingParam, 0},
			{"not with creators who are no users", "alice", "POST " + path + "/upgrade", `{"new_version":"12","additional_creators":["x"]}`, mxerr.BadJSON, 0},
		})
		next := id.RoomID(s.get("alice", "POST "+path+"/upgrade", `{"new_version":"12","additional_creators":["@bob:a.test"]}`).Get("replacement_room").String())
		for _, tt := range []struct{ what, user, call, want string }{
			{"the alias", "", "GET directory/room/%23cats:a.test", fmt.Sprintf(`{"room_id":%q,"servers":["a.test"]}`, next)},
			{"the aliases of the old room", "alice", "GET " + path + "/aliases", `{"aliases":[]}`},
			{"the canonical alias of the old room", "alice", "GET " + path + "/state/m.room.canonical_alias", `{}`},
			{"the old room in the directory", "", "GET directory/list/room/" + string(old), `{"visibility":"private"}`},
			{"the new room in the directory", "", "GET directory/list/room/" + string(next), `{"visibility":"public"}`},
			{"the name", "alice", "GET rooms/" + string(next) + "/state/m.room.name", `{"name":"Cats"}`},
			{"what it is called", "alice", "GET rooms/" + string(next) + "/state/m.room.canonical_alias", `{"alias":"#cats:a.test"}`},
			{"the tombstone", "bob", "GET " + path + "/state/m.room.tombstone", fmt.Sprintf(`{"body":"This room has been replaced","replacement_room":%q}`, next)},
			{"tags, at once", "alice", "GET user/@alice:a.test/rooms/" + string(next) + "/tags", `{"tags":{"m.favourite":{}}}`},
		} {
			if got := s.get(tt.user, tt.call, ""); string(got) != tt.want {
				t.Errorf("%s: got %s, want %s", tt.what, got, tt.want)
			}
		}
		if again := s.get("alice", "POST "+path+"/upgrade", `{"new_version":"12"}`).Get("replacement_room"); !again.Is(string(next)) {
			t.Errorf("repeated: got %s, want %s", again, next)
		}
		s.try([]socialCall{
			{"bob follows", "bob", "POST rooms/" + string(next) + "/join", `{}`, "", 0},
			{"and may do everything", "bob", "PUT rooms/" + string(next) + "/state/m.room.tombstone", `{"replacement_room":"!y:a.test"}`, "", 0},
			{"the old room is over for who has no power", "bob", "PUT " + path + "/send/m.room.message/1", `{"body":"hi","msgtype":"m.text"}`, mxerr.Forbidden, 0},
		})
	})
}

func TestWhoFollowsFindsTheSettings(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		old := s.create(room.NewRoom{Version: "10", Preset: room.PublicChat}, userBob)
		s.try([]socialCall{
			{"bob does not want to hear of it", "bob", "PUT pushrules/global/room/" + string(old), `{"actions":[]}`, "", 0},
			{"it is a direct chat for bob", "bob", "PUT user/@bob:a.test/account_data/m.direct", fmt.Sprintf(`{"@alice:a.test":[%q]}`, old), "", 0},
		})
		next := s.get("alice", "POST rooms/"+string(old)+"/upgrade", `{"new_version":"12"}`).Get("replacement_room").String()
		s.try([]socialCall{{"bob follows", "bob", "POST rooms/" + next + "/join", `{}`, "", 0}})
		synctest.Wait()
		if got := s.get("bob", "GET user/@bob:a.test/account_data/m.direct", ""); string(got) != fmt.Sprintf(`{"@alice:a.test":[%q,%q]}`, old, next) {
			t.Errorf("direct chats are %s", got)
		}
		if got := s.get("bob", "GET pushrules/global/room/"+next, ""); got.Get("actions").Kind() != canonjson.Array {
			t.Errorf("the rule is %s", got)
		}
	})
}
