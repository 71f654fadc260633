package csapi

import (
	"fmt"
	"testing"

	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func TestAliasesAreMadeAndDeleted(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		roomID := s.create(room.NewRoom{Preset: room.PublicChat}, userBob)
		secret := s.create(room.NewRoom{Preset: room.PrivateChat, Creator: userAlice})
		open := s.create(room.NewRoom{Preset: room.PublicChat, State: []room.Draft{
			{Type: event.TypeHistoryVisibility, StateKey: new(string), Content: canonjson.Value(`{"history_visibility":"world_readable"}`)}}})
		body := func(room id.RoomID) string { return fmt.Sprintf(`{"room_id":%q}`, room) }
		s.try([]socialCall{
			{"by the creator", "alice", "PUT directory/room/%23one:a.test", body(roomID), "", 0},
			{"by a member", "bob", "PUT directory/room/%23two:a.test", body(roomID), "", 0},
			{"by a member too", "bob", "PUT directory/room/%23three:a.test", body(roomID), "", 0},
			{"taken", "bob", "PUT directory/room/%23one:a.test", body(roomID), mxerr.Unknown, 409},
			{"no alias", "bob", "PUT directory/room/one", body(roomID), mxerr.InvalidParam, 0},
			{"of another server", "bob", "PUT directory/room/%23one:b.test", body(roomID), mxerr.InvalidParam, 0},
			{"no room", "bob", "PUT directory/room/%23four:a.test", `{}`, mxerr.MissingParam, 0},
			{"an unknown room", "bob", "PUT directory/room/%23four:a.test", body("!x"), mxerr.Forbidden, 0},
			{"no member", "carol", "PUT directory/room/%23four:a.test", body(roomID), mxerr.Forbidden, 0},
			{"suspended", "suspended", "PUT directory/room/%23four:a.test", body(roomID), mxerr.UserSuspended, 0},
			{"resolved by anybody", "", "GET directory/room/%23one:a.test", ``, "", 0},
			{"unknown", "", "GET directory/room/%23four:a.test", ``, mxerr.NotFound, 0},
			{"not an alias", "", "GET directory/room/four", ``, mxerr.InvalidParam, 0},
			{"listed by a member", "bob", "GET rooms/" + string(roomID) + "/aliases", ``, "", 0},
			{"listed by an administrator", "admin", "GET rooms/" + string(roomID) + "/aliases", ``, "", 0},
			{"listed by somebody", "carol", "GET rooms/" + string(secret) + "/aliases", ``, mxerr.Forbidden, 0},
			{"listed of an open room", "carol", "GET rooms/" + string(open) + "/aliases", ``, "", 0},
			{"listed of an unknown room", "carol", "GET rooms/!x/aliases", ``, mxerr.Forbidden, 0},
			{"deleted by a member", "bob", "DELETE directory/room/%23one:a.test", ``, mxerr.Forbidden, 0},
			{"deleted by somebody", "carol", "DELETE directory/room/%23two:a.test", ``, mxerr.Forbidden, 0},
		})
		if got := s.get("", "GET directory/room/%23two:a.test", ""); string(got) != fmt.Sprintf(`{"room_id":%q,"servers":["a.test"]}`, roomID) {
			t.Errorf("got %s", got)
		}
		s.try([]socialCall{
			{"deleted by its creator", "bob", "DELETE directory/room/%23two:a.test", ``, "", 0},
			{"deleted by who may name the room", "alice", "DELETE directory/room/%23three:a.test", ``, "", 0},
			{"deleted by an administrator", "admin", "DELETE directory/room/%23one:a.test", ``, "", 0},
			{"deleted again", "alice", "DELETE directory/room/%23one:a.test", ``, mxerr.NotFound, 0},
		})
		if got := s.get("bob", "GET rooms/"+string(roomID)+"/aliases", ""); string(got) != `{"aliases":[]}` {
			t.Errorf("got %s", got)
		}
	})
}
