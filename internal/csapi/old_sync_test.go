package csapi

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/accountdata"
	"parley/internal/journal"
	"parley/internal/receipt"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// kinds describes events, each by its type and what it is about.
func kinds(events canonjson.Value) string {
	var list []string
	for e := range events.Elements() {
		line := e.Get("type").String()
		if m, ok := e.Get("content").Get("membership").Text(); ok {
			line += ":" + m
		}
		if body, ok := e.Get("content").Get("body").Text(); ok {
			line += ":" + body
		}
		list = append(list, line)
	}
	return strings.Join(list, " ")
}

// text sends a message.
func (s *socialScene) text(roomID id.RoomID, user id.UserID, body string) id.EventID {
	s.t.Helper()
	content := canonjson.Value(`{"msgtype":"m.text"}`).With("body", canonjson.Text(body))
	sent, err := s.Rooms.Send(s.ctx, roomID, room.Draft{Type: "m.room.message", Sender: user, Content: content})
	if err != nil {
		s.t.Fatal(err)
	}
	return sent.EventID
}

func (s *socialScene) move(roomID id.RoomID, sender, target id.UserID, membership string) {
	s.t.Helper()
	moves := map[string]move{"join": s.Rooms.Join, "leave": s.Rooms.Leave, "invite": s.Rooms.Invite, "ban": s.Rooms.Ban}
	if _, err := moves[membership](s.ctx, roomID, room.Move{Sender: sender, Target: target}); err != nil {
		s.t.Fatal(err)
	}
}

func TestEventsStreamOfAllRooms(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		one := s.create(room.NewRoom{Preset: room.PublicChat}, userBob)
		two := s.create(room.NewRoom{Preset: room.PublicChat}, userBob)
		other := s.create(room.NewRoom{Preset: room.PublicChat})
		token := s.get("bob", "GET events", "").Get("end").String()
		next := func(want string) canonjson.Value {
			t.Helper()
			got := s.get("bob", "GET events?from="+url.QueryEscape(token), "")
			if !got.Get("start").Is(token) {
				t.Errorf("%s begins at %s", got, token)
			}
			token = got.Get("end").String()
			if k := kinds(got.Get("chunk")); k != want {
				t.Errorf("got %s, want %s", k, want)
			}
			return got
		}
		next("")
		s.text(one, userAlice, "1")
		s.text(other, userAlice, "not for bob")
		s.text(two, userAlice, "2")
		s.text(one, userAlice, "3")
		chunk := next("m.room.message:1 m.room.message:2 m.room.message:3").Get("chunk")
		var rooms []string
		for e := range chunk.Elements() {
			rooms = append(rooms, e.Get("room_id").String())
		}
		if !slices.Equal(rooms, []string{string(one), string(two), string(one)}) {
			t.Errorf("the events are of %v", rooms)
		}
		s.move(other, userAlice, userBob, "invite")
		next("m.room.member:invite")
		s.move(other, userBob, userBob, "leave")
		next("m.room.member:leave")
		s.move(two, userBob, userBob, "leave")
		s.text(two, userAlice, "behind him")
		next("m.room.member:leave")
		s.Typing.Type(s.scope(one), userAlice, time.Minute)
		if got := next("m.typing"); !strings.Contains(string(got), string(one)) {
			t.Errorf("who is typing where: %s", got)
		}
	})
}

// TestNothingIsLeftOutOfAStream though more happened than fits into one answer.
func TestNothingIsLeftOutOfAStream(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		one := s.create(room.NewRoom{Preset: room.PublicChat}, userBob)
		two := s.create(room.NewRoom{Preset: room.PublicChat}, userBob)
		for _, query := range []string{"", "&room_id=" + string(one)} {
			token := s.get("bob", "GET events", "").Get("end").String()
			const count = 250
			var want []string
			for i := range count {
				s.text(one, userAlice, fmt.Sprint(i))
				want = append(want, fmt.Sprint(i))
				if query == "" {
					s.text(two, userAlice, fmt.Sprint("and ", i))
					want = append(want, fmt.Sprint("and ", i))
				}
			}
			var got []string
			for len(got) < len(want) {
				answer := s.get("bob", "GET events?from="+url.QueryEscape(token)+query, "")
				token = answer.Get("end").String()
				before := len(got)
				for e := range answer.Get("chunk").Elements() {
					got = append(got, e.Get("content").Get("body").String())
				}
				if len(got) == before {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("with %q: got %d events, want %d", query, len(got), len(want))
			}
		}
	})
}

func (s *socialScene) scope(roomID id.RoomID) journal.Scope {
	s.t.Helper()
	num, err := s.Rooms.Num(s.ctx, roomID)
	if err != nil {
		s.t.Fatal(err)
	}
	return num.Scope()
}

func TestWhoStreamsWaitsForNews(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		roomID := s.create(room.NewRoom{Preset: room.PublicChat, State: []room.Draft{{
			Type: event.TypeHistoryVisibility, Content: canonjson.Value(`{"history_visibility":"world_readable"}`),
		}}}, userBob)
		for user, query := range map[string]string{"bob": "", "carol": "&room_id=" + string(roomID)} {
			began := time.Now()
			if got := s.get(user, "GET events?timeout=30000"+query, ""); kinds(got.Get("chunk")) != "" || time.Since(began) != 30*time.Second {
				t.Errorf("%s waited %v for %s", user, time.Since(began), got)
			}
			answered := make(chan canonjson.Value)
			go func() { answered <- s.get(user, "GET events?timeout=30000"+query, "") }()
			synctest.Wait()
			s.text(roomID, userAlice, "news")
			if got := <-answered; kinds(got.Get("chunk")) != "m.room.message:news" {
				t.Errorf("%s got %s", user, got)
			}
		}
	})
}

func TestPeeking(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		visibility := func(v string) string { return `{"history_visibility":"` + v + `"}` }
		roomID := s.create(room.NewRoom{Preset: room.PublicChat, State: []room.Draft{{
			Type: event.TypeHistoryVisibility, Content: canonjson.Value(visibility("world_readable")),
		}}})
		s.text(roomID, userAlice, "before")
		for _, user := range []string{"carol", "guest"} {
			got := s.get(user, "GET rooms/"+string(roomID)+"/initialSync?limit=2", "")
			if k := kinds(got.Get("messages").Get("chunk")); k != "m.room.history_visibility m.room.message:before" {
				t.Errorf("%s sees %s", user, k)
			}
			if got.Get("membership") != nil || !strings.Contains(kinds(got.Get("state")), "m.room.create") || !got.Get("visibility").Is("private") {
				t.Errorf("%s sees %s", user, got)
			}
		}
		token := s.get("carol", "GET events?room_id="+string(roomID), "").Get("end").String()
		s.text(roomID, userAlice, "seen")
		s.put(roomID, event.TypeHistoryVisibility, "", visibility("shared"))
		s.text(roomID, userAlice, "not seen")
		s.put(roomID, event.TypeHistoryVisibility, "", visibility("world_readable"))
		s.text(roomID, userAlice, "seen again")
		got := s.get("carol", "GET events?room_id="+string(roomID)+"&from="+url.QueryEscape(token), "")
		want := "m.room.message:seen m.room.history_visibility m.room.history_visibility m.room.message:seen again"
		if k := kinds(got.Get("chunk")); k != want {
			t.Errorf("carol sees %s, want %s", k, want)
		}
		s.put(roomID, event.TypeHistoryVisibility, "", visibility("shared"))
		s.try([]socialCall{
			{"a room that is closed now", "carol", "GET events?room_id=" + string(roomID), "", mxerr.Forbidden, 0},
			{"and at first sight", "carol", "GET rooms/" + string(roomID) + "/initialSync", "", mxerr.Forbidden, 0},
			{"no room", "carol", "GET events?room_id=!none:a.test", "", mxerr.Forbidden, 0},
			{"what is no room", "carol", "GET events?room_id=none", "", mxerr.InvalidParam, 0},
			{"a bad token", "carol", "GET events?from=x", "", mxerr.InvalidParam, 0},
			{"without a token", "", "GET events", "", mxerr.MissingToken, 0},
			{"no room at first sight", "carol", "GET rooms/!none:a.test/initialSync", "", mxerr.Forbidden, 0},
		})
	})
}

func TestInitialSync(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		joined := s.create(room.NewRoom{Preset: room.PublicChat, Name: "joined"}, userBob)
		left := s.create(room.NewRoom{Preset: room.PublicChat, Name: "left"}, userBob)
		invited := s.create(room.NewRoom{Preset: room.PublicChat, Name: "invited", Invites: []id.UserID{userBob}})
		declined := s.create(room.NewRoom{Preset: room.PublicChat, Name: "declined", Invites: []id.UserID{userBob}})
		s.create(room.NewRoom{Preset: room.PublicChat, Name: "unknown"})
		if err := s.Rooms.Publish(s.ctx, joined, true); err != nil {
			t.Fatal(err)
		}
		s.move(declined, userBob, userBob, "leave")
		for i := range 3 {
			s.text(left, userAlice, fmt.Sprint("old ", i))
		}
		s.move(left, userBob, userBob, "leave")
		s.text(left, userAlice, "behind him")
		for i := range 3 {
			s.text(joined, userAlice, fmt.Sprint("new ", i))
		}
		read := s.text(joined, userAlice, "last")
		if err := s.Receipts.Put(s.ctx, joined, receipt.Receipt{User: userAlice, Type: receipt.TypeRead, EventID: read}); err != nil {
			t.Fatal(err)
		}
		if err := s.AccountData.Put(s.ctx, userBob, "", "m.mine", canonjson.Value(`{"a":1}`)); err != nil {
			t.Fatal(err)
		}
		if err := s.AccountData.Put(s.ctx, userBob, joined, "m.mine", canonjson.Value(`{"b":1}`)); err != nil {
			t.Fatal(err)
		}
		sync := func(query string) (canonjson.Value, map[id.RoomID]canonjson.Value) {
			t.Helper()
			got, rooms := s.get("bob", "GET initialSync"+query, ""), make(map[id.RoomID]canonjson.Value)
			for r := range got.Get("rooms").Elements() {
				rooms[id.RoomID(r.Get("room_id").String())] = r
			}
			return got, rooms
		}
		all, rooms := sync("?limit=2")
		if len(rooms) != 2 || !strings.Contains(string(all.Get("account_data")), `{"content":{"a":1},"type":"m.mine"}`) ||
			string(all.Get("presence")) != `[]` || !strings.Contains(string(all.Get("receipts")), string(read)) {
			t.Errorf("got %s", all)
		}
		in := rooms[joined]
		if k := kinds(in.Get("messages").Get("chunk")); k != "m.room.message:new 2 m.room.message:last" {
			t.Errorf("messages: %s", k)
		}
		if !in.Get("membership").Is("join") || !in.Get("visibility").Is("public") || !strings.Contains(string(in.Get("state")), `"joined"`) ||
			string(in.Get("account_data")) != `[{"content":{"b":1},"type":"m.mine"}]` {
			t.Errorf("the room is %s", in)
		}
		before := s.get("bob", "GET rooms/"+string(joined)+"/messages?dir=b&limit=1&from="+in.Get("messages").Get("start").String(), "")
		if k := kinds(before.Get("chunk")); k != "m.room.message:new 1" {
			t.Errorf("before the messages is %s", k)
		}
		if r := rooms[invited]; !r.Get("membership").Is("invite") || !r.Get("invite").Get("content").Get("membership").Is("invite") || r.Get("state") != nil {
			t.Errorf("the room with an invite is %s", r)
		}
		_, rooms = sync("?limit=2&archived=true")
		gone := rooms[left]
		if k := kinds(gone.Get("messages").Get("chunk")); len(rooms) != 3 || k != "m.room.message:old 2 m.room.member:leave" || !gone.Get("membership").Is("leave") {
			t.Errorf("%d rooms, that which bob left is %s", len(rooms), gone)
		}
		// What comes next is in the stream.
		s.text(joined, userAlice, "next")
		if k := kinds(s.get("bob", "GET events?from="+url.QueryEscape(all.Get("end").String()), "").Get("chunk")); k != "m.room.message:next" {
			t.Errorf("behind it is %s", k)
		}
		s.try([]socialCall{
			{"a guest", "guest", "GET initialSync", "", mxerr.GuestAccessForbidden, 0},
			{"less than nothing", "bob", "GET initialSync?limit=-1", "", mxerr.InvalidParam, 0},
			{"a room with an invite only", "bob", "GET rooms/" + string(declined) + "/initialSync", "", mxerr.Forbidden, 0},
		})
	})
}

// TestInitialSyncHasNothingOfWhomOneIgnores: neither invites nor receipts.
func TestInitialSyncHasNothingOfWhomOneIgnores(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		roomID := s.create(room.NewRoom{Preset: room.PublicChat}, userBob)
		invited := s.create(room.NewRoom{Preset: room.PublicChat, Invites: []id.UserID{userBob}})
		said := s.text(roomID, userBob, "hello")
		if err := s.Receipts.Put(s.ctx, roomID, receipt.Receipt{User: userAlice, Type: receipt.TypeRead, EventID: said}); err != nil {
			t.Fatal(err)
		}
		all, ofRoom := "GET initialSync", "GET rooms/"+string(roomID)+"/initialSync"
		for _, wish := range []struct{ dataType, content, invites, receipts string }{
			{accountdata.IgnoredUsers, `{"ignored_users":{}}`, "shown", "shown"},
			{accountdata.InvitePermission, `{"default_action":"block"}`, "hidden", "shown"},
			{accountdata.InvitePermission, `{}`, "shown", "shown"},
			{accountdata.IgnoredUsers, `{"ignored_users":{"@alice:a.test":{}}}`, "hidden", "hidden"},
		} {
			if err := s.AccountData.Put(s.ctx, userBob, "", wish.dataType, canonjson.Value(wish.content)); err != nil {
				t.Fatal(err)
			}
			has := func(call, part string) string {
				got := s.get("bob", call, "")
				if call == all {
					got = append(got.Get("rooms"), got.Get("receipts")...)
				} else {
					got = got.Get("receipts")
				}
				if strings.Contains(string(got), part) {
					return "shown"
				}
				return "hidden"
			}
			if got := has(all, string(invited)); got != wish.invites {
				t.Errorf("%s: the invite is %s", wish.content, got)
			}
			for _, call := range []string{all, ofRoom} {
				if got := has(call, `"m.receipt"`); got != wish.receipts {
					t.Errorf("%s: %s: the receipt is %s", wish.content, call, got)
				}
			}
		}
	})
}

func TestRoomInitialSync(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		roomID := s.create(room.NewRoom{Preset: room.PublicChat}, userBob)
		s.text(roomID, userAlice, "hello")
		call := "GET rooms/" + string(roomID) + "/initialSync"
		got := s.get("bob", call, "")
		for _, member := range []string{"messages", "state", "receipts", "presence", "visibility"} {
			if got.Get(member) == nil {
				t.Errorf("%s is missing in %s", member, got)
			}
		}
		s.move(roomID, userAlice, userBob, "ban")
		s.put(roomID, "m.room.name", "", `{"name":"later"}`)
		got = s.get("bob", call, "")
		if !got.Get("membership").Is("ban") || strings.Contains(string(got), "later") || !strings.HasSuffix(kinds(got.Get("messages").Get("chunk")), "m.room.message:hello m.room.member:ban") {
			t.Errorf("who is banned sees %s", got)
		}
		if _, err := s.Rooms.Unban(s.ctx, roomID, room.Move{Sender: userAlice, Target: userBob}); err != nil {
			t.Fatal(err)
		}
		if err := s.Rooms.Forget(s.ctx, roomID, userBob); err != nil {
			t.Fatal(err)
		}
		s.try([]socialCall{{"who has forgotten the room", "bob", call, "", mxerr.Forbidden, 0}})
	})
}

func TestAnEventByItsIDAlone(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		roomID := s.create(room.NewRoom{})
		eventID := s.text(roomID, userAlice, "hello")
		if got := s.get("alice", "GET events/"+url.PathEscape(string(eventID)), ""); !got.Get("room_id").Is(string(roomID)) || !got.Get("event_id").Is(string(eventID)) {
			t.Errorf("got %s", got)
		}
		s.try([]socialCall{
			{"of others", "bob", "GET events/" + url.PathEscape(string(eventID)), "", mxerr.NotFound, 0},
			{"of nobody", "bob", "GET events/$none", "", mxerr.NotFound, 0},
			{"no ID", "bob", "GET events/none", "", mxerr.InvalidParam, 0},
		})
	})
}

// TestSyncTellsOfPushRules: who sets one on the telephone has it on the desk.
func TestSyncTellsOfPushRules(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		token := s.get("bob", "GET sync", "").Get("next_batch").String()
		for _, call := range []socialCall{
			{"a rule", "bob", "PUT pushrules/global/content/cake", `{"actions":["notify"],"pattern":"cake"}`, "", 0},
			{"its actions", "bob", "PUT pushrules/global/content/cake/actions", `{"actions":[]}`, "", 0},
			{"disabled", "bob", "PUT pushrules/global/override/.m.rule.master/enabled", `{"enabled":true}`, "", 0},
			{"gone", "bob", "DELETE pushrules/global/content/cake", ``, "", 0},
		} {
			s.try([]socialCall{call})
			got := s.get("bob", "GET sync?since="+url.QueryEscape(token), "")
			token = got.Get("next_batch").String()
			rules := s.get("bob", "GET pushrules/", "")
			if want := `{"events":[{"content":` + string(rules) + `,"type":"m.push_rules"}]}`; string(got.Get("account_data")) != want {
				t.Errorf("%s: got %s, want %s", call.name, got, want)
			}
		}
	})
}
