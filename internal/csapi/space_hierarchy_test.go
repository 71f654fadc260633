package csapi

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// put sets state of a room as alice.
func (s *socialScene) put(roomID id.RoomID, eventType, stateKey, content string) {
	s.t.Helper()
	_, err := s.Rooms.Send(s.ctx, roomID, room.Draft{Type: eventType, StateKey: &stateKey, Sender: userAlice, Content: canonjson.Value(content), Time: 7})
	if err != nil {
		s.t.Fatal(err)
	}
}

// space makes a space with public rooms in it.
func (s *socialScene) space(names ...string) (id.RoomID, []id.RoomID) {
	s.t.Helper()
	root := s.create(room.NewRoom{Preset: room.PublicChat, Name: "space", Content: canonjson.Value(`{"type":"m.space"}`)})
	var rooms []id.RoomID
	for i, name := range names {
		rooms = append(rooms, s.create(room.NewRoom{Preset: room.PublicChat, Name: name}))
		s.put(root, "m.space.child", string(rooms[i]), fmt.Sprintf(`{"order":"%d","suggested":%t,"via":["a.test"]}`, i, i%2 == 0))
	}
	return root, rooms
}

func roomsOf(page canonjson.Value) (names []string) {
	for r := range page.Get("rooms").Elements() {
		names = append(names, r.Get("name").String())
	}
	return names
}

func TestASpaceIsShown(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		root, rooms := s.space("a", "b", "c")
		call := "/v1/rooms/" + string(root) + "/hierarchy"
		for _, tt := range []struct {
			query string
			want  []string
		}{
			{"", []string{"space", "a", "b", "c"}},
			{"?suggested_only=true", []string{"space", "a", "c"}},
			{"?max_depth=0", []string{"space"}},
			{"?max_depth=9999&limit=9999", []string{"space", "a", "b", "c"}},
		} {
			if got := roomsOf(s.get("bob", "GET "+call+tt.query, "")); !slices.Equal(got, tt.want) {
				t.Errorf("%s: got %v, want %v", tt.query, got, tt.want)
			}
		}
		first := s.get("bob", "GET "+call+"?limit=2", "")
		next := first.Get("next_batch").String()
		second := s.get("bob", "GET "+call+"?limit=9&from="+url.QueryEscape(next), "")
		if got := append(roomsOf(first), roomsOf(second)...); !slices.Equal(got, []string{"space", "a", "b", "c"}) || second.Get("next_batch") != nil {
			t.Errorf("two pages are %s, %s", first, second)
		}
		want := `{"children_state":[{"content":{"order":"0","suggested":true,"via":["a.test"]},"origin_server_ts":7,"sender":"@alice:a.test",` +
			`"state_key":"` + string(rooms[0]) + `","type":"m.space.child"}],"guest_can_join":false,"join_rule":"public","name":"space",` +
			`"num_joined_members":1,"room_id":"` + string(root) + `","room_type":"m.space","room_version":"12","world_readable":false}`
		shown := s.get("bob", "GET "+call+"?suggested_only=true&max_depth=0", "")
		if got := roomsOf(shown); !slices.Equal(got, []string{"space"}) {
			t.Errorf("got %v", got)
		}
		for r := range shown.Get("rooms").Elements() {
			children := canonjson.Value(nil)
			for c := range r.Get("children_state").Elements() {
				children = append(canonjson.Value("["), c...)
				break
			}
			if got := r.With("children_state", append(children, ']')); string(got) != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		hidden := s.create(room.NewRoom{})
		s.try([]socialCall{
			{"no token", "", "GET " + call, "", mxerr.MissingToken, 0},
			{"a guest", "guest", "GET " + call, "", mxerr.GuestAccessForbidden, 0},
			{"a room that may not be seen", "bob", "GET /v1/rooms/" + string(hidden) + "/hierarchy", "", mxerr.Forbidden, 0},
			{"no room", "bob", "GET /v1/rooms/!none:a.test/hierarchy", "", mxerr.Forbidden, 0},
			{"no limit at all", "bob", "GET " + call + "?limit=0", "", mxerr.InvalidParam, 0},
			{"a negative depth", "bob", "GET " + call + "?max_depth=-1", "", mxerr.InvalidParam, 0},
			{"another depth", "bob", "GET " + call + "?max_depth=3&from=" + next, "", mxerr.InvalidParam, 0},
			{"suggested ones meanwhile", "bob", "GET " + call + "?suggested_only=true&from=" + next, "", mxerr.InvalidParam, 0},
			{"a token of another room", "bob", "GET /v1/rooms/" + string(rooms[0]) + "/hierarchy?from=" + next, "", mxerr.InvalidParam, 0},
			{"a token of somebody", "bob", "GET " + call + "?from=x", "", mxerr.InvalidParam, 0},
			{"a token without a room", "bob", "GET " + call + "?from=" + next[:strings.LastIndex(next, ".")], "", mxerr.InvalidParam, 0},
		})
	})
}

func TestARoomIsSummarised(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		public := s.create(room.NewRoom{
			Preset: room.PublicChat, Name: "Pub", Alias: "#pub:a.test",
			State: []room.Draft{{Type: "m.room.encryption", Content: canonjson.Value(`{"algorithm":"m.megolm.v1.aes-sha2"}`)}},
		}, userBob)
		if err := s.Aliases.Create(s.ctx, "#pub:a.test", public, userAlice); err != nil {
			t.Fatal(err)
		}
		hidden := s.create(room.NewRoom{Invites: []id.UserID{userBob}})
		club := s.create(room.NewRoom{State: []room.Draft{{
			Type: event.TypeJoinRules, Content: canonjson.Value(`{"allow":[{"room_id":"` + string(public) + `","type":"m.room_membership"}],"join_rule":"restricted"}`),
		}}})
		readable := s.create(room.NewRoom{State: []room.Draft{{
			Type: event.TypeHistoryVisibility, Content: canonjson.Value(`{"history_visibility":"world_readable"}`),
		}}})
		common := `"canonical_alias":"#pub:a.test","encryption":"m.megolm.v1.aes-sha2","guest_can_join":false,"join_rule":"public"`
		rest := `"name":"Pub","num_joined_members":2,"room_id":"` + string(public) + `","room_version":"12","world_readable":false}`
		for user, want := range map[string]string{
			"bob": `{` + common + `,"membership":"join",` + rest, "carol": `{` + common + `,"membership":"leave",` + rest, "": `{` + common + `,` + rest,
		} {
			for _, name := range []string{string(public), "%23pub:a.test"} {
				if got := s.get(user, "GET /v1/room_summary/"+name+"?via=b.test", ""); string(got) != want {
					t.Errorf("%s of %q: got %s, want %s", name, user, got, want)
				}
			}
		}
		unstable := s.get("bob", "GET /unstable/im.nheko.summary/summary/"+string(public), "")
		if string(unstable.Get("im.nheko.summary.room_version")) != `"12"` || !unstable.Get("im.nheko.summary.encryption").Is("m.megolm.v1.aes-sha2") ||
			unstable.Get("room_version") != nil || unstable.Get("encryption") != nil {
			t.Errorf("by the old name: %s", unstable)
		}
		if other := s.get("bob", "GET /unstable/im.nheko.summary/rooms/"+string(public)+"/summary", ""); string(other) != string(unstable) {
			t.Errorf("by the other old name: %s", other)
		}
		if got := s.get("bob", "GET /v1/room_summary/"+string(hidden), ""); !got.Get("membership").Is("invite") {
			t.Errorf("of who is invited: %s", got)
		}
		if got := s.get("bob", "GET /v1/room_summary/"+string(club), ""); string(got.Get("allowed_room_ids")) != `["`+string(public)+`"]` {
			t.Errorf("of who is admitted: %s", got)
		}
		summary := "GET /v1/room_summary/"
		s.try([]socialCall{
			{"a private room", "carol", summary + string(hidden), "", mxerr.NotFound, 0},
			{"a private room of nobody", "", summary + string(hidden), "", mxerr.NotFound, 0},
			{"a restricted room", "carol", summary + string(club), "", mxerr.NotFound, 0},
			{"a room that everybody may read", "", summary + string(readable), "", "", 0},
			{"no room", "bob", summary + "!none:a.test", "", mxerr.NotFound, 0},
			{"no alias", "bob", summary + "%23none:a.test", "", mxerr.NotFound, 0},
			{"nonsense", "bob", summary + "none", "", mxerr.InvalidParam, 0},
			{"a bad token", "nobody", summary + string(public), "", mxerr.UnknownToken, 0},
		})
	})
}
