package csapi

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// made makes a room for alice, and returns its events in order.
func (s *socialScene) made(body string) (id.RoomID, []*event.Event) {
	s.t.Helper()
	roomID := id.RoomID(s.get("alice", "POST createRoom", body).Get("room_id").String())
	items, err := s.Rooms.Forward(s.ctx, roomID, 0, 1000)
	if err != nil {
		s.t.Fatal(err)
	}
	var events []*event.Event
	for _, it := range items {
		events = append(events, it.Event)
	}
	return roomID, events
}

// contentOf returns what a room says in a piece of state, the last word.
func contentOf(events []*event.Event, eventType, key string) canonjson.Value {
	for _, e := range slices.Backward(events) {
		if k, ok := e.StateKey(); ok && e.Type() == eventType && k == key {
			return e.Content()
		}
	}
	return nil
}

func TestWhatARoomBeginsWith(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		_, events := s.made(`{
			"room_alias_name": "pub", "visibility": "public", "name": "Pub", "topic": "Beer", "invite": ["@bob:a.test", "@bob:a.test"],
			"initial_state": [
				{"type": "m.room.name", "content": {"name": "not this"}},
				{"type": "m.room.topic", "state_key": null, "content": {"topic": "nor this"}},
				{"type": "org.test", "state_key": "b", "content": {}},
				{"type": "org.test", "state_key": "a", "content": {}},
				{"type": "m.room.guest_access", "state_key": "", "content": {"guest_access": "can_join"}}
			]}`)
		var got []string
		for _, e := range events {
			key, _ := e.StateKey()
			got = append(got, strings.TrimSpace(e.Type()+" "+key))
		}
		want := []string{
			"m.room.create", "m.room.member @alice:a.test", "m.room.power_levels", "m.room.canonical_alias", "m.room.join_rules",
			"m.room.history_visibility", "m.room.name", "m.room.topic", "org.test b", "org.test a", "m.room.guest_access",
			"m.room.name", "m.room.topic", "m.room.member @bob:a.test",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		for eventType, want := range map[string]string{
			"m.room.name": `{"name":"Pub"}`, "m.room.topic": `{"m.topic":{"m.text":[{"body":"Beer","mimetype":"text/plain"}]},"topic":"Beer"}`,
			"m.room.guest_access": `{"guest_access":"can_join"}`, "m.room.join_rules": `{"join_rule":"public"}`, "m.room.canonical_alias": `{"alias":"#pub:a.test"}`,
		} {
			if got := contentOf(events, eventType, ""); string(got) != want {
				t.Errorf("%s is %s, want %s", eventType, got, want)
			}
		}
	})
}

func TestWhatTheCreatorAddsToARoom(t *testing.T) {
	for _, tt := range []struct {
		name, body      string
		eventType, path string
		want            string // the JSON there, empty: nothing
	}{
		{"a type", `{"creation_content":{"type":"m.space","m.federate":false}}`, "m.room.create", "type", `"m.space"`},
		{"no other version", `{"creation_content":{"room_version":"1"}}`, "m.room.create", "room_version", `"12"`},
		{"no other creator", `{"room_version":"10","creation_content":{"creator":"@bob:a.test"}}`, "m.room.create", "creator", `"@alice:a.test"`},
		{"no creator where there is none", `{"room_version":"11","creation_content":{"creator":"@bob:a.test"}}`, "m.room.create", "creator", ``},
		{"further creators", `{"creation_content":{"additional_creators":["@bob:a.test"]}}`, "m.room.create", "additional_creators", `["@bob:a.test"]`},
		{"trusted people are creators", `{"preset":"trusted_private_chat","invite":["@bob:a.test","@carol:a.test"],"creation_content":{"additional_creators":["@carol:a.test"]}}`,
			"m.room.create", "additional_creators", `["@carol:a.test","@bob:a.test"]`},
		{"people who are not trusted are not", `{"preset":"private_chat","invite":["@bob:a.test"]}`, "m.room.create", "additional_creators", ``},
		{"trusted people had a level", `{"room_version":"11","preset":"trusted_private_chat","invite":["@bob:a.test"]}`, "m.room.power_levels", "users", `{"@alice:a.test":100,"@bob:a.test":100}`},
		{"levels", `{"power_level_content_override":{"ban":77,"events":{"m.room.name":1}}}`, "m.room.power_levels", "ban", `77`},
		{"levels of events are replaced", `{"room_version":"11","power_level_content_override":{"events":{"m.room.name":1}}}`, "m.room.power_levels", "events", `{"m.room.name":1}`},
		{"less the tombstone's", `{"power_level_content_override":{"events":{"m.room.name":1}}}`, "m.room.power_levels", "events", `{"m.room.name":1,"m.room.tombstone":150}`},
		{"unless it is said", `{"power_level_content_override":{"events":{"m.room.tombstone":1}}}`, "m.room.power_levels", "events", `{"m.room.tombstone":1}`},
		{"a tombstone takes more than state", `{"power_level_content_override":{"state_default":200,"events":{}}}`, "m.room.power_levels", "events", `{"m.room.tombstone":201}`},
		{"a public room is published", `{"visibility":"public"}`, "m.room.join_rules", "join_rule", `"public"`},
		{"a preset decides for itself", `{"visibility":"public","preset":"private_chat"}`, "m.room.join_rules", "join_rule", `"invite"`},
		{"a direct chat", `{"is_direct":true,"invite":["@bob:a.test"]}`, "m.room.member", "is_direct", `true`},
	} {
		playSocial(t, func(s *socialScene) {
			_, events := s.made(tt.body)
			key := ""
			if tt.eventType == event.TypeMember {
				key = string(userBob)
			}
			if got := contentOf(events, tt.eventType, key).Get(tt.path); string(got) != tt.want {
				t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
			}
		})
	}
}

func TestRoomsThatAreNotMade(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		s.try([]socialCall{{"one that is", "alice", "POST createRoom", `{"room_alias_name":"taken"}`, "", 0}})
		many := func(n int, what string) string { return strings.TrimSuffix(strings.Repeat(what+",", n), ",") }
		for _, tt := range []struct {
			name, body string
			want       mxerr.Code
		}{
			{"an alias that is taken", `{"room_alias_name":"taken"}`, mxerr.RoomInUse},
			{"an alias with a space", `{"room_alias_name":"a b"}`, mxerr.InvalidParam},
			{"an alias with a colon", `{"room_alias_name":"a:b"}`, mxerr.InvalidParam},
			{"an alias with a NUL", `{"room_alias_name":"a\u0000"}`, mxerr.InvalidParam},
			{"an alias that is too long", `{"room_alias_name":"` + strings.Repeat("x", 255) + `"}`, mxerr.InvalidParam},
			{"an alias that is a number", `{"room_alias_name":7}`, mxerr.BadJSON},
			{"a version that is a number", `{"room_version":1}`, mxerr.BadJSON},
			{"a version that there is not", `{"room_version":"99"}`, mxerr.UnsupportedRoomVersion},
			{"creation content that is a list", `{"creation_content":[]}`, mxerr.BadJSON},
			{"creators that are no list", `{"creation_content":{"additional_creators":"@bob:a.test"}}`, mxerr.BadJSON},
			{"creators that are no list, trusted", `{"preset":"trusted_private_chat","invite":["@bob:a.test"],"creation_content":{"additional_creators":{}}}`, mxerr.BadJSON},
			{"creators that are no users", `{"creation_content":{"additional_creators":["bob"]}}`, mxerr.BadJSON},
			{"levels that are a list", `{"power_level_content_override":[]}`, mxerr.BadJSON},
			{"levels that are texts", `{"power_level_content_override":{"ban":"50"}}`, mxerr.InvalidRoomState},
			{"levels that name the creator", `{"power_level_content_override":{"users":{"@alice:a.test":100}}}`, mxerr.InvalidRoomState},
			{"levels that name a further creator", `{"creation_content":{"additional_creators":["@bob:a.test"]},"power_level_content_override":{"users":{"@bob:a.test":100}}}`, mxerr.InvalidRoomState},
			{"levels below which nothing can be set", `{"room_version":"11","name":"x","power_level_content_override":{"users":{"@alice:a.test":10}}}`, mxerr.InvalidRoomState},
			{"events that are none", `{"initial_state":[7]}`, mxerr.BadJSON},
			{"events without content", `{"initial_state":[{"type":"org.test"}]}`, mxerr.BadJSON},
			{"events with a state key that is a number", `{"initial_state":[{"type":"org.test","state_key":1,"content":{}}]}`, mxerr.BadJSON},
			{"another create event", `{"initial_state":[{"type":"m.room.create","content":{}}]}`, mxerr.InvalidRoomState},
			{"members who did not come", `{"initial_state":[{"type":"m.room.member","state_key":"@bob:a.test","content":{"membership":"join"}}]}`, mxerr.InvalidRoomState},
			{"state of somebody else", `{"initial_state":[{"type":"org.test","state_key":"@bob:a.test","content":{}}]}`, mxerr.InvalidRoomState},
			{"an event that is too large", `{"initial_state":[{"type":"org.test","content":{"x":"` + strings.Repeat("x", 66000) + `"}}]}`, mxerr.TooLarge},
			{"a number with a fraction", `{"initial_state":[{"type":"org.test","content":{"x":1.5}}]}`, mxerr.BadJSON},
			{"oneself as a guest", `{"invite":["@alice:a.test"]}`, mxerr.InvalidRoomState},
			{"a guest who is no user", `{"invite":["bob"]}`, mxerr.BadJSON},
			{"too many guests", `{"invite":[` + many(maxInvites+1, `"@bob:a.test"`) + `]}`, mxerr.InvalidParam},
			{"too many events", `{"initial_state":[` + many(maxInitialState+1, `{}`) + `]}`, mxerr.InvalidParam},
			{"a preset that there is not", `{"preset":"x"}`, mxerr.InvalidParam},
			{"a visibility that there is not", `{"visibility":"x"}`, mxerr.InvalidParam},
		} {
			s.try([]socialCall{{tt.name, "alice", "POST createRoom", tt.body, tt.want, 0}})
		}
		if rooms, err := s.Rooms.Joined(s.ctx, userAlice); err != nil || len(rooms) != 1 {
			t.Errorf("alice has %d rooms, %v", len(rooms), err)
		}
	})
}

// TestAnAliasIsGivenToOneRoom: of those that want it at once, the others are not made.
func TestAnAliasIsGivenToOneRoom(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		const tries = 10
		var wg sync.WaitGroup
		codes := make([]string, tries)
		for i := range tries {
			wg.Go(func() {
				w := s.send("alice", "POST createRoom", `{"room_alias_name":"door","visibility":"public"}`)
				codes[i] = fmt.Sprint(w.Code, " ", canonjson.Value(w.Body.Bytes()).Get("errcode"))
			})
		}
		wg.Wait()
		slices.Sort(codes)
		if codes[0] != "200 " || codes[1] != "400 M_ROOM_IN_USE" || codes[tries-1] != codes[1] {
			t.Errorf("got %q", codes)
		}
		rooms, err := s.Rooms.Joined(s.ctx, userAlice)
		if err != nil || len(rooms) != 1 {
			t.Fatalf("alice has %d rooms, %v", len(rooms), err)
		}
		if got := s.get("", "GET directory/room/%23door:a.test", ""); !got.Get("room_id").Is(string(rooms[0])) {
			t.Errorf("the alias leads to %s", got)
		}
		if published, err := s.Rooms.IsPublished(s.ctx, rooms[0]); err != nil || !published {
			t.Errorf("published: %v, %v", published, err)
		}
	})
}
