package adminapi_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/account"
	"parley/internal/config"
	"parley/internal/hstest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

const (
	c = "/_matrix/client/v3/"
	a = "/_synapse/admin/"
)

// A scene is a server with an administrator, and Alice and Bob.
type scene struct {
	*hstest.Server
	*testing.T
	admin, alice, bob *hstest.User
	txns              int
}

// play plays a scene in a bubble, in which time passes by itself.
func play(t *testing.T, f func(*scene), set ...func(*config.Config)) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{T: t, Server: hstest.New(t).Server("a.test", set...)}
		s.admin, s.alice, s.bob = s.Register("admin"), s.Register("alice"), s.Register("bob")
		if err := s.Accounts().SetAdmin(t.Context(), s.admin.ID, true); err != nil {
			t.Fatal(err)
		}
		f(s)
	})
}

func text(v canonjson.Value, path ...string) string {
	for _, name := range path[:len(path)-1] {
		v = v.Get(name)
	}
	s, _ := v.Get(path[len(path)-1]).Text()
	return s
}

func number(v canonjson.Value, path ...string) int64 {
	for _, name := range path {
		v = v.Get(name)
	}
	n, _ := v.Int()
	return n
}

func count(v canonjson.Value) (n int) {
	for range v.Elements() {
		n++
	}
	return n
}

func members(v canonjson.Value) (n int) {
	for range v.Members() {
		n++
	}
	return n
}

// room makes a public room of Alice's.
func (s *scene) room(name string, members ...*hstest.User) string {
	s.Helper()
	roomID := text(s.alice.Must("POST", c+"createRoom", map[string]any{"preset": "public_chat", "name": name}), "room_id")
	for _, u := range members {
		u.Must("POST", c+"rooms/"+roomID+"/join", `{}`)
	}
	return roomID
}

func (s *scene) say(u *hstest.User, roomID, body string) string {
	s.Helper()
	s.txns++
	return text(u.Must("PUT", fmt.Sprintf(c+"rooms/%s/send/m.room.message/%d", roomID, s.txns), map[string]any{"msgtype": "m.text", "body": body}), "event_id")
}

// refused demands that a request is refused with a status.
func (s *scene) refused(u *hstest.User, method, path string, body any, want int) canonjson.Value {
	s.Helper()
	status, v := u.Do(method, path, body)
	if status != want {
		s.Errorf("%s %s: got %d %s, want %d", method, path, status, v, want)
	}
	return v
}

// until asks until the status of a task is no longer that it goes on.
func (s *scene) until(path string) canonjson.Value {
	s.Helper()
	for range 1000 {
		v := s.admin.Must("GET", path, nil)
		if status := text(v, "status"); status != "active" && status != "scheduled" {
			return v
		}
		time.Sleep(time.Second)
	}
	s.Fatalf("%s does not come to an end", path)
	return nil
}

func TestReportsReachTheAdministrators(t *testing.T) {
	play(t, func(s *scene) {
		roomID := s.room("Room", s.bob)
		eventID := s.say(s.alice, roomID, "bad")
		s.bob.Must("POST", c+"rooms/"+roomID+"/report/"+eventID, `{"reason":"because"}`)
		s.bob.Must("POST", c+"rooms/"+roomID+"/report", `{"reason":"bad room"}`)
		s.bob.Must("POST", c+"users/@alice:a.test/report", `{"reason":"bad user"}`)
		v := s.admin.Must("GET", a+"v1/event_reports?user_id=bob&event_sender_user_id=@alice:a.test", nil)
		var first canonjson.Value
		for r := range v.Get("event_reports").Elements() {
			first = r
		}
		if number(v, "total") != 1 || text(first, "name") != "Room" || text(first, "event_id") != eventID || text(first, "sender") != "@alice:a.test" ||
			text(first, "user_id") != "@bob:a.test" || text(first, "reason") != "because" {
			t.Errorf("got %s", v)
		}
		one := fmt.Sprintf(a+"v1/event_reports/%d", number(first, "id"))
		if v := s.admin.Must("GET", one, nil); text(v, "event_json", "content", "body") != "bad" {
			t.Errorf("got %s", v)
		}
		s.admin.Must("DELETE", one, nil)
		s.refused(s.admin, "GET", one, nil, 404)
		s.refused(s.admin, "DELETE", one, nil, 404)
		if v := s.admin.Must("GET", a+"v1/user_reports?target_user_id=@alice:a.test", nil); number(v, "total") != 1 {
			t.Errorf("got %s", v)
		}
		if v := s.admin.Must("GET", "/_parley/admin/v1/room_reports", nil); number(v, "total") != 1 {
			t.Errorf("got %s", v)
		}
		for range 5 {
			s.bob.Must("POST", c+"users/@alice:a.test/report", `{"reason":"again"}`)
		}
		v = s.admin.Must("GET", a+"v1/user_reports?limit=4&dir=f", nil)
		if count(v.Get("user_reports")) != 4 || number(v, "total") != 6 || number(v, "next_token") != 4 {
			t.Errorf("got %s", v)
		}
		v = s.admin.Must("GET", a+"v1/user_reports?limit=4&from=4", nil)
		if count(v.Get("user_reports")) != 2 || v.Get("next_token") != nil {
			t.Errorf("got %s", v)
		}
		s.refused(s.admin, "GET", a+"v1/user_reports?from=-1", nil, 400)
		s.refused(s.admin, "GET", a+"v1/user_reports?dir=x", nil, 400)
	})
}

func TestRoomsAreListedWithTheirSizes(t *testing.T) {
	play(t, func(s *scene) {
		small, large := s.room("A small room"), s.room("B large room", s.bob)
		for range 20 {
			s.say(s.bob, large, "something that takes a bit of room")
		}
		s.alice.Must("PUT", c+"directory/list/room/"+large, `{"visibility":"public"}`)
		for query, want := range map[string][]string{
			"":                               {small, large},
			"?dir=b":                         {large, small},
			"?order_by=bytes":                {large, small},
			"?order_by=joined_members":       {large, small},
			"?order_by=events&dir=b":         {small, large},
			"?order_by=joined_local_members": {large, small},
			"?search_term=LARGE":             {large},
			"?public_rooms=true":             {large},
			"?public_rooms=false":            {small},
			"?empty_rooms=true":              nil,
			"?limit=1":                       {small},
			"?limit=1&from=1":                {large},
			"?from=9":                        nil,
		} {
			v := s.admin.Must("GET", a+"v1/rooms"+query, nil)
			var got []string
			for r := range v.Get("rooms").Elements() {
				got = append(got, text(r, "room_id"))
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: got %s", query, v)
			}
		}
		s.refused(s.admin, "GET", a+"v1/rooms?order_by=magic", nil, 400)
		v := s.admin.Must("GET", a+"v1/rooms/"+large, nil)
		if text(v, "name") != "B large room" || number(v, "joined_members") != 2 || number(v, "joined_local_members") != 2 ||
			text(v, "creator") != "@alice:a.test" || number(v, "events") < 25 || number(v, "bytes") < 5000 || number(v, "joined_local_devices") != 2 ||
			!v.Get("public").True() || !v.Get("federatable").True() || v.Get("encryption").Kind() != canonjson.Null || number(v, "state_events") < 7 {
			t.Errorf("got %s", v)
		}
		if v := s.admin.Must("GET", a+"v1/rooms/"+large+"/members", nil); number(v, "total") != 2 || count(v.Get("members")) != 2 {
			t.Errorf("got %s", v)
		}
		if v := s.admin.Must("GET", a+"v1/rooms/"+large+"/state?type=m.room.name", nil); count(v.Get("state")) != 1 {
			t.Errorf("got %s", v)
		}
		if v := s.admin.Must("GET", a+"v1/rooms/"+large+"/state", nil); count(v.Get("state")) < 7 {
			t.Errorf("got %s", v)
		}
		s.refused(s.admin, "GET", a+"v1/rooms/!none:a.test", nil, 404)
		s.refused(s.admin, "GET", a+"v1/rooms/!none:a.test/members", nil, 404)
	})
}

func TestABlockedRoomIsNotEntered(t *testing.T) {
	play(t, func(s *scene) {
		roomID := s.room("Room")
		s.admin.Must("PUT", a+"v1/rooms/"+roomID+"/block", `{"block":true}`)
		if v := s.admin.Must("GET", a+"v1/rooms/"+roomID+"/block", nil); !v.Get("block").True() || text(v, "user_id") != string(s.admin.ID) {
			t.Errorf("got %s", v)
		}
		s.refused(s.bob, "POST", c+"join/"+roomID, `{}`, 403)
		s.admin.Must("PUT", a+"v1/rooms/"+roomID+"/block", `{"block":false}`)
		s.bob.Must("POST", c+"join/"+roomID, `{}`)
	})
}

// TestADeletedRoomIsGoneForEverybody deletes a room while Bob is not there.
func TestADeletedRoomIsGoneForEverybody(t *testing.T) {
	play(t, func(s *scene) {
		roomID := s.room("Room", s.bob)
		s.alice.Must("PUT", c+"directory/room/"+url.PathEscape("#room:a.test"), map[string]string{"room_id": roomID})
		for range 30 {
			s.say(s.alice, roomID, "hello")
		}
		away := text(s.bob.Must("GET", c+"sync", nil), "next_batch")
		name := text(s.admin.Must("DELETE", a+"v2/rooms/"+roomID, map[string]any{
			"block": true, "new_room_user_id": s.admin.ID, "message": "It had to be closed", "room_name": "Closed"}), "delete_id")
		s.refused(s.admin, "POST", c+"join/"+roomID, `{}`, 403)
		v := s.until(a + "v2/rooms/delete_status/" + name)
		if text(v, "status") != "complete" || count(v.Get("shutdown_room").Get("kicked_users")) != 2 || number(v, "deleted_events") < 30 {
			t.Fatalf("got %s", v)
		}
		newRoom := text(v, "shutdown_room", "new_room_id")
		if v := s.admin.Must("GET", a+"v2/rooms/"+roomID+"/delete_status", nil); count(v.Get("results")) != 1 {
			t.Errorf("got %s", v)
		}
		// Bob comes back.
		v = s.bob.Must("GET", c+"sync?since="+away, nil)
		rooms := v.Get("rooms")
		if rooms.Get("leave").Get(roomID) == nil || rooms.Get("join").Get(roomID) != nil || rooms.Get("invite").Get(newRoom) == nil {
			t.Errorf("Bob is told %s", v)
		}
		s.bob.Must("POST", c+"join/"+newRoom, `{}`)
		s.refused(s.bob, "PUT", c+"rooms/"+newRoom+"/send/m.room.message/1", `{"body":"why?","msgtype":"m.text"}`, 403)
		v = s.bob.Must("GET", c+"sync", nil)
		if v.Get("rooms").Get("leave") != nil || v.Get("rooms").Get("join").Get(roomID) != nil {
			t.Errorf("Bob begins anew and is told %s", v)
		}
		if v := s.bob.Must("GET", c+"directory/room/"+url.PathEscape("#room:a.test"), nil); text(v, "room_id") != newRoom {
			t.Errorf("the alias leads to %s", v)
		}
		for _, path := range []string{"messages?dir=b", "state", "members", "joined_members"} {
			s.refused(s.bob, "GET", c+"rooms/"+roomID+"/"+path, nil, 403)
		}
		for _, query := range []string{"", "?archived=true"} {
			if v := s.bob.Must("GET", c+"initialSync"+query, nil); count(v.Get("rooms")) != 1 {
				t.Errorf("Bob begins anew as he did of old, and is told %s", v)
			}
		}
		s.refused(s.bob, "POST", c+"rooms/"+roomID+"/forget", `{}`, 400)
		s.refused(s.admin, "GET", a+"v1/rooms/"+roomID, nil, 404)
		s.refused(s.admin, "DELETE", a+"v2/rooms/"+roomID, `{}`, 404)
		s.refused(s.admin, "GET", a+"v2/rooms/delete_status/unknown", nil, 404)
		s.refused(s.admin, "GET", a+"v2/rooms/"+newRoom+"/delete_status", nil, 404)
		s.refused(s.admin, "GET", a+"v2/rooms/"+newRoom+"/something", nil, 404)
		if v := s.admin.Must("GET", a+"v1/rooms", nil); number(v, "total_rooms") != 1 {
			t.Errorf("got %s", v)
		}
	})
}

// TestWhoLosesARoomIsToldWhyInOneOther kills the server in the course of the deletion.
func TestWhoLosesARoomIsToldWhyInOneOther(t *testing.T) {
	for commits := 1; commits < 8; commits++ {
		play(t, func(s *scene) {
			roomID := s.room("Room", s.bob)
			synctest.Wait()
			s.DiesAfter(commits)
			s.admin.Try("DELETE", a+"v2/rooms/"+roomID, map[string]any{"new_room_user_id": s.admin.ID, "message": "It had to be closed"})
			time.Sleep(time.Minute)
			s.Restart()
			time.Sleep(time.Minute)
			rooms := s.admin.Must("GET", c+"sync", nil).Get("rooms").Get("join")
			said := strings.Count(string(rooms), `"body":"It had to be closed"`)
			if n := members(rooms); n != 1 || said != 1 {
				t.Errorf("killed after %d commits: there are %d rooms, in which it is said %d times why", commits, n, said)
			}
			invites := s.bob.Must("GET", c+"sync", nil).Get("rooms").Get("invite")
			if n := members(invites); n != 1 {
				t.Errorf("killed after %d commits: Bob is invited to %d rooms", commits, n)
			}
		})
	}
}

func TestDeletingARoomAtOnce(t *testing.T) {
	play(t, func(s *scene) {
		roomID := s.room("Room", s.bob)
		v := s.admin.Must("DELETE", a+"v1/rooms/"+roomID, `{"purge":true}`)
		if count(v.Get("kicked_users")) != 2 || v.Get("new_room_id").Kind() != canonjson.Null {
			t.Errorf("got %s", v)
		}
		s.refused(s.admin, "GET", a+"v1/rooms/"+roomID, nil, 404)
		s.refused(s.admin, "DELETE", a+"v1/rooms/!none:a.test", `{}`, 404)
		s.admin.Must("DELETE", a+"v1/rooms/!none:a.test", `{"block":true}`)
		if v := s.admin.Must("GET", a+"v1/rooms/!none:a.test/block", nil); !v.Get("block").True() {
			t.Errorf("got %s", v)
		}
	})
}

func TestHistoryIsPurged(t *testing.T) {
	play(t, func(s *scene) {
		roomID := s.room("Room", s.bob)
		first := s.say(s.alice, roomID, "first")
		s.alice.Must("PUT", c+"rooms/"+roomID+"/state/m.room.topic", `{"topic":"old"}`)
		away := text(s.bob.Must("GET", c+"sync", nil), "next_batch")
		s.say(s.alice, roomID, "second")
		time.Sleep(time.Hour)
		middle := time.Now().UnixMilli()
		time.Sleep(time.Hour)
		third := s.say(s.alice, roomID, "third")
		s.say(s.alice, roomID, "fourth")
		name := text(s.admin.Must("POST", a+"v1/purge_history/"+roomID, map[string]any{"purge_up_to_ts": middle, "delete_local_events": true}), "purge_id")
		if v := s.until(a + "v1/purge_history_status/" + name); text(v, "status") != "complete" || number(v, "deleted_events") < 2 {
			t.Fatalf("got %s", v)
		}
		v := s.bob.Must("GET", c+"rooms/"+roomID+"/messages?dir=b&limit=100", nil)
		if n := count(v.Get("chunk")); n != 2 || v.Get("end") != nil {
			t.Errorf("%d messages are left: %s", n, v)
		}
		s.refused(s.bob, "GET", c+"rooms/"+roomID+"/event/"+url.PathEscape(first), nil, 404)
		s.refused(s.bob, "GET", c+"rooms/"+roomID+"/context/"+url.PathEscape(first), nil, 404)
		v = s.bob.Must("GET", c+"rooms/"+roomID+"/context/"+url.PathEscape(third)+"?limit=10", nil)
		if count(v.Get("events_before")) != 0 || count(v.Get("events_after")) != 1 || count(v.Get("state")) < 7 {
			t.Errorf("around the third message: %s", v)
		}
		v = s.bob.Must("GET", c+"sync?since="+away, nil)
		timeline := v.Get("rooms").Get("join").Get(roomID).Get("timeline")
		if count(timeline.Get("events")) != 2 || !timeline.Get("limited").True() {
			t.Errorf("Bob is told %s", v)
		}
		if v := s.bob.Must("GET", c+"rooms/"+roomID+"/state/m.room.topic", nil); text(v, "topic") != "old" {
			t.Errorf("the topic is %s", v)
		}
		s.say(s.alice, roomID, "fifth")
		name = text(s.admin.Must("POST", a+"v1/purge_history/"+roomID+"/"+url.PathEscape(third), `{}`), "purge_id")
		s.until(a + "v1/purge_history_status/" + name)
		s.refused(s.admin, "POST", a+"v1/purge_history/"+roomID, `{}`, 400)
		s.refused(s.admin, "POST", a+"v1/purge_history/"+roomID+"/$none", `{}`, 404)
		s.refused(s.admin, "POST", a+"v1/purge_history/!none:a.test", `{"purge_up_to_ts":1}`, 404)
		s.refused(s.admin, "GET", a+"v1/purge_history_status/unknown", nil, 404)
	})
}

func TestUsersAreAdministered(t *testing.T) {
	play(t, func(s *scene) {
		v := s.admin.Must("GET", a+"v2/users?order_by=name", nil)
		if number(v, "total") != 3 || count(v.Get("users")) != 3 {
			t.Errorf("got %s", v)
		}
		for query, want := range map[string]int64{"?admins=true": 1, "?name=ALI": 1, "?user_id=nobody": 0, "?deactivated=true": 3, "?limit=0": 3} {
			if v := s.admin.Must("GET", a+"v2/users"+query, nil); number(v, "total") != want {
				t.Errorf("%s: got %s", query, v)
			}
		}
		dave := a + "v2/users/@dave:a.test"
		if status, v := s.admin.Do("PUT", dave, `{"password":"a long password","displayname":"Dave","admin":false}`); status != 201 || text(v, "displayname") != "Dave" {
			t.Errorf("got %d %s", status, v)
		}
		daves := s.Login("dave", "a long password")
		if status, v := s.admin.Do("PUT", dave, `{"locked":true}`); status != 200 || !v.Get("locked").True() {
			t.Errorf("got %d %s", status, v)
		}
		s.refused(daves, "GET", c+"sync", nil, 401)
		s.admin.Must("PUT", "/_parley/admin/v1/lock/@dave:a.test", `{"lock":false}`)
		s.admin.Must("PUT", a+"v1/suspend/@dave:a.test", `{"suspend":true}`)
		roomID := s.room("Room")
		s.refused(daves, "POST", c+"join/"+roomID, `{}`, 403)
		s.admin.Must("PUT", a+"v1/suspend/@dave:a.test", `{"suspend":false}`)
		daves.Must("POST", c+"join/"+roomID, `{}`)
		if v := s.admin.Must("GET", a+"v1/users/@dave:a.test/joined_rooms", nil); number(v, "total") != 1 {
			t.Errorf("got %s", v)
		}
		if v := s.admin.Must("GET", a+"v1/users/@dave:a.test/memberships", nil); text(v, "memberships", roomID) != "join" {
			t.Errorf("got %s", v)
		}
		if v := s.admin.Must("GET", a+"v1/whois/@dave:a.test", nil); v.Get("devices").Get(string(daves.Device)) == nil {
			t.Errorf("got %s", v)
		}
		s.admin.Must("POST", a+"v1/reset_password/@dave:a.test", `{"new_password":"another long one"}`)
		s.refused(daves, "GET", c+"account/whoami", nil, 401)
		daves = s.Login("dave", "another long one")
		if v := s.admin.Must("GET", a+"v2/users/@dave:a.test/devices", nil); number(v, "total") != 1 {
			t.Errorf("got %s", v)
		}
		s.admin.Must("DELETE", a+"v2/users/@dave:a.test/devices/"+string(daves.Device), nil)
		s.refused(daves, "GET", c+"account/whoami", nil, 401)
		s.admin.Must("PUT", a+"v1/users/@dave:a.test/admin", `{"admin":true}`)
		if v := s.admin.Must("GET", a+"v1/users/@dave:a.test/admin", nil); !v.Get("admin").True() {
			t.Errorf("got %s", v)
		}
		s.admin.Must("POST", a+"v1/deactivate/@dave:a.test", `{"erase":true}`)
		synctest.Wait() // until all that was the user's is cleared up
		v = s.admin.Must("GET", dave, nil)
		if !v.Get("deactivated").True() || v.Get("displayname").Kind() != canonjson.Null {
			t.Errorf("got %s", v)
		}
		if v := s.admin.Must("GET", a+"v1/users/@dave:a.test/joined_rooms", nil); number(v, "total") != 0 {
			t.Errorf("got %s", v)
		}
		if v := s.admin.Must("GET", a+"v3/users", nil); number(v, "total") != 4 {
			t.Errorf("got %s", v)
		}
		if v := s.admin.Must("GET", a+"v2/users", nil); number(v, "total") != 3 {
			t.Errorf("got %s", v)
		}
		s.admin.Must("PUT", dave, `{"deactivated":false,"password":"a third long one"}`)
		s.Login("dave", "a third long one")
		// Nobody locks themselves out.
		me := string(s.admin.ID)
		s.refused(s.admin, "POST", a+"v1/deactivate/"+me, `{}`, 403)
		s.refused(s.admin, "PUT", a+"v1/users/"+me+"/admin", `{"admin":false}`, 403)
		s.refused(s.admin, "PUT", a+"v2/users/"+me, `{"locked":true}`, 403)
		s.refused(s.admin, "PUT", a+"v1/suspend/"+me, `{"suspend":true}`, 403)
		s.refused(s.admin, "PUT", "/_parley/admin/v1/lock/"+me, `{"lock":true}`, 403)
		s.refused(s.admin, "GET", a+"v2/users/@none:a.test", nil, 404)
		s.refused(s.admin, "PUT", a+"v2/users/@dave:b.test", `{}`, 400)
		s.refused(s.admin, "PUT", a+"v2/users/@ERIN:a.test", `{}`, 400)
		s.refused(s.admin, "GET", a+"v2/users/@erin:a.test", nil, 404)
		if status, v := s.admin.Do("PUT", a+"v2/users/@frank:a.test", `{"deactivated":true}`); status != 201 || !v.Get("deactivated").True() {
			t.Errorf("got %d %s", status, v)
		}
		s.refused(s.admin, "POST", a+"v1/reset_password/@none:a.test", `{"new_password":"x"}`, 404)
	})
}

func TestRegistrationTokensAreAdministered(t *testing.T) {
	play(t, func(s *scene) {
		tokens := a + "v1/registration_tokens"
		made := s.admin.Must("POST", tokens+"/new", `{"length":20,"uses_allowed":2}`)
		name := text(made, "token")
		if len(name) != 20 || number(made, "uses_allowed") != 2 || made.Get("expiry_time").Kind() != canonjson.Null {
			t.Errorf("got %s", made)
		}
		expires := time.Now().Add(time.Hour).UnixMilli()
		if v := s.admin.Must("PUT", tokens+"/"+name, fmt.Sprintf(`{"expiry_time":%d}`, expires)); number(v, "expiry_time") != expires || number(v, "uses_allowed") != 2 {
			t.Errorf("got %s", v)
		}
		if v := s.admin.Must("PUT", tokens+"/"+name, `{"expiry_time":null,"uses_allowed":null}`); v.Get("expiry_time").Kind() != canonjson.Null {
			t.Errorf("got %s", v)
		}
		if v := s.admin.Must("GET", tokens+"?valid=true", nil); count(v.Get("registration_tokens")) != 1 {
			t.Errorf("got %s", v)
		}
		s.admin.Must("PUT", tokens+"/"+name, `{"uses_allowed":0}`)
		if v := s.admin.Must("GET", tokens+"?valid=true", nil); count(v.Get("registration_tokens")) != 0 {
			t.Errorf("got %s", v)
		}
		s.admin.Must("GET", tokens+"/"+name, nil)
		s.admin.Must("DELETE", tokens+"/"+name, nil)
		s.refused(s.admin, "GET", tokens+"/"+name, nil, 404)
		s.refused(s.admin, "PUT", tokens+"/"+name, `{}`, 404)
		s.refused(s.admin, "DELETE", tokens+"/"+name, nil, 404)
		for _, bad := range []string{`{"length":0}`, `{"length":65}`, `{"token":"ä"}`, `{"token":""}`, `{"uses_allowed":-1}`, `{"expiry_time":5}`} {
			s.refused(s.admin, "POST", tokens+"/new", bad, 400)
		}
	})
}

func TestUsersAreBroughtIntoRoomsAndGivenPower(t *testing.T) {
	play(t, func(s *scene) {
		public := s.room("Public")
		s.admin.Must("POST", a+"v1/join/"+public, map[string]id.UserID{"user_id": s.bob.ID})
		private := text(s.alice.Must("POST", c+"createRoom", `{"preset":"private_chat","room_version":"11"}`), "room_id")
		s.refused(s.admin, "POST", a+"v1/join/"+private, map[string]id.UserID{"user_id": s.bob.ID}, 403)
		s.refused(s.admin, "POST", a+"v1/join/"+public, `{"user_id":"@none:a.test"}`, 404)
		s.refused(s.admin, "POST", a+"v1/join/"+url.PathEscape("#none:a.test"), map[string]id.UserID{"user_id": s.bob.ID}, 404)
		s.admin.Must("POST", a+"v1/rooms/"+private+"/make_room_admin", `{}`)
		s.admin.Must("POST", c+"join/"+private, `{}`)
		levels := s.admin.Must("GET", c+"rooms/"+private+"/state/m.room.power_levels", nil)
		if number(levels, "users", string(s.admin.ID)) != 100 {
			t.Errorf("got %s", levels)
		}
		s.admin.Must("POST", a+"v1/join/"+private, map[string]id.UserID{"user_id": s.bob.ID})
		s.admin.Must("POST", a+"v1/rooms/"+public+"/make_room_admin", map[string]id.UserID{"user_id": s.bob.ID})
		s.bob.Must("PUT", c+"rooms/"+public+"/state/m.room.name", `{"name":"mine"}`)
		s.refused(s.admin, "POST", a+"v1/rooms/!none:a.test/make_room_admin", `{}`, 404)
	})
}

func TestNoticesOfTheServer(t *testing.T) {
	play(t, func(s *scene) {
		notice := map[string]any{"user_id": s.alice.ID, "content": map[string]string{"msgtype": "m.text", "body": "We move on Sunday"}}
		first := text(s.admin.Must("PUT", a+"v1/send_server_notice/1", notice), "event_id")
		if again := text(s.admin.Must("PUT", a+"v1/send_server_notice/1", notice), "event_id"); again != first {
			t.Errorf("repeated: %s, not %s", again, first)
		}
		v := s.alice.Must("GET", c+"sync", nil)
		var roomID string
		for name := range v.Get("rooms").Get("invite").Members() {
			roomID, _ = name.Text()
		}
		if roomID == "" {
			t.Fatalf("Alice is told %s", v)
		}
		for _, decline := range []func() (int, canonjson.Value){
			func() (int, canonjson.Value) { return s.alice.Do("POST", c+"rooms/"+roomID+"/leave", `{}`) },
			func() (int, canonjson.Value) {
				return s.alice.Do("PUT", c+"rooms/"+roomID+"/state/m.room.member/@alice:a.test", `{"membership":"leave"}`)
			},
		} {
			if status, v := decline(); status != 403 || text(v, "errcode") != "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM" {
				t.Errorf("declining: %d %s", status, v)
			}
		}
		s.alice.Must("POST", c+"join/"+roomID, `{}`)
		if v := s.alice.Must("GET", c+"user/@alice:a.test/rooms/"+roomID+"/tags", nil); v.Get("tags").Get("m.server_notice") == nil {
			t.Errorf("the tags are %s", v)
		}
		if v := s.alice.Must("GET", c+"rooms/"+roomID+"/event/"+url.PathEscape(first), nil); text(v, "sender") != "@notices:a.test" {
			t.Errorf("got %s", v)
		}
		s.refused(s.alice, "PUT", c+"rooms/"+roomID+"/send/m.room.message/1", `{"body":"no","msgtype":"m.text"}`, 403)
		s.alice.Must("POST", c+"rooms/"+roomID+"/leave", `{}`)
		s.admin.Must("POST", a+"v1/send_server_notice", notice)
		if v := s.alice.Must("GET", c+"sync", nil); v.Get("rooms").Get("invite").Get(roomID) == nil {
			t.Errorf("Alice is told %s", v)
		}
		s.refused(s.admin, "POST", a+"v1/send_server_notice", `{"user_id":"@none:a.test","content":{}}`, 404)
		s.refused(s.admin, "POST", a+"v1/send_server_notice", `{"user_id":"@alice:a.test","content":1}`, 400)
		s.refused(s.admin, "POST", a+"v1/send_server_notice", `{"user_id":"@notices:a.test","content":{}}`, 400)
		s.refused(s.alice, "POST", c+"register", `{"username":"notices","password":"a long password","auth":{"type":"m.login.dummy"}}`, 400)
	}, func(c *config.Config) { c.Notices.Localpart = "notices" })
}

// TestNoticesReachWhoWantsNoInvites: but not who does not want notices.
func TestNoticesReachWhoWantsNoInvites(t *testing.T) {
	play(t, func(s *scene) {
		for _, u := range []*hstest.User{s.alice, s.bob} {
			u.Must("PUT", c+"user/"+string(u.ID)+"/account_data/m.invite_permission_config", `{"default_action":"block"}`)
			u.Must("PUT", c+"user/"+string(u.ID)+"/account_data/org.matrix.msc4155.invite_permission_config", `{"blocked_users":["*"]}`)
		}
		s.refused(s.bob, "POST", c+"createRoom", map[string]any{"invite": []id.UserID{s.alice.ID}}, 403)
		s.bob.Must("PUT", c+"user/@bob:a.test/account_data/m.ignored_user_list", `{"ignored_users":{"@notices:a.test":{}}}`)
		for u, want := range map[*hstest.User]int{s.alice: 1, s.bob: 0} {
			s.admin.Must("POST", a+"v1/send_server_notice", map[string]any{"user_id": u.ID, "content": map[string]string{"msgtype": "m.text", "body": "Beware"}})
			invites := 0
			for range u.Must("GET", c+"sync", nil).Get("rooms").Get("invite").Members() {
				invites++
			}
			if invites != want {
				t.Errorf("%s has %d invites, want %d", u.ID, invites, want)
			}
		}
	}, func(c *config.Config) { c.Notices.Localpart = "notices" })
}

func TestWithoutSettingsThereAreNoNotices(t *testing.T) {
	play(t, func(s *scene) {
		s.refused(s.admin, "POST", a+"v1/send_server_notice", `{"user_id":"@alice:a.test","content":{}}`, 400)
	})
}

// TestDeactivationGoesBackAndForth: who was erased and is let in again is somebody
// whom people hear, and what is left of a deactivation does not befall them.
func TestDeactivationGoesBackAndForth(t *testing.T) {
	play(t, func(s *scene) {
		roomID := s.room("Room", s.bob)
		s.say(s.bob, roomID, "before")
		notice := map[string]any{"user_id": s.bob.ID, "content": map[string]string{"msgtype": "m.text", "body": "Beware"}}
		s.admin.Must("POST", a+"v1/send_server_notice", notice)
		s.admin.Must("POST", a+"v1/deactivate/@bob:a.test", `{"erase":true}`)
		synctest.Wait()
		bob := a + "v2/users/@bob:a.test"
		if v := s.admin.Must("GET", bob, nil); !v.Get("erased").True() || !v.Get("deactivated").True() {
			t.Errorf("erased is shown as %s", v)
		}
		rooms := 0
		for room, membership := range s.admin.Must("GET", a+"v1/users/@bob:a.test/memberships", nil).Get("memberships").Members() {
			if rooms++; !membership.Is("leave") {
				t.Errorf("in %s Bob is %s", room, membership)
			}
		}
		if rooms != 2 {
			t.Errorf("Bob was in %d rooms", rooms)
		}
		s.refused(s.admin, "POST", a+"v1/send_server_notice", notice, 404)

		if v := s.admin.Must("PUT", bob, `{"deactivated":false,"password":"a new long one"}`); v.Get("erased").True() || v.Get("deactivated").True() {
			t.Errorf("let in again, that is %s", v)
		}
		again := s.Login("bob", "a new long one")
		again.Must("POST", c+"join/"+roomID, `{}`)
		s.say(again, roomID, "after")
		dave := s.Register("dave")
		dave.Must("POST", c+"join/"+roomID, `{}`)
		said := ""
		for e := range dave.Must("GET", c+"rooms/"+roomID+"/messages?dir=f&limit=100", nil).Get("chunk").Elements() {
			if text(e, "type") == "m.room.message" {
				said += text(e, "content", "body") + " "
			}
		}
		if said != "before after " {
			t.Errorf("Dave hears %q", said)
		}
	}, func(c *config.Config) { c.Notices.Localpart = "notices" })
}

func TestAdministratorsSeeWithWhichClientsUsersCame(t *testing.T) {
	play(t, func(s *scene) {
		time.Sleep(time.Hour)
		s.bob.Must("GET", c+"account/whoami", nil)
		time.Sleep(time.Hour) // until it is written
		v := s.admin.Must("GET", a+"v1/whois/@bob:a.test", nil)
		own := s.bob.Must("GET", c+"admin/whois/@bob:a.test", nil)
		if agent := `"user_agent":"Go-http-client/1.1"`; !strings.Contains(string(v), agent) || !strings.Contains(string(own), agent) {
			t.Errorf("got %s, and Bob %s", v, own)
		}
		s.refused(s.admin, "GET", a+"v1/whois/@none:a.test", nil, 404)
		s.refused(s.admin, "GET", a+"v1/whois/@bob:b.test", nil, 400)
	})
}

func TestAddressesOfUsers(t *testing.T) {
	play(t, func(s *scene) {
		const bob = a + "v2/users/@bob:a.test"
		list := func(v canonjson.Value) (all string) {
			for one := range v.Get("threepids").Elements() {
				if number(one, "added_at") == 0 || number(one, "validated_at") == 0 {
					t.Errorf("got %s", one)
				}
				all += text(one, "medium") + " " + text(one, "address") + " "
			}
			return all
		}
		if got := s.admin.Must("GET", bob, nil).Get("threepids"); string(got) != "[]" {
			t.Errorf("got %s", got)
		}
		v := s.admin.Must("PUT", bob, `{"threepids":[{"medium":"email","address":"Bob@Example.org"},{"medium":"msisdn","address":"447700900001"}]}`)
		if got := list(v); got != "email bob@example.org msisdn 447700900001 " {
			t.Errorf("got %s", got)
		}
		if got := s.admin.Must("PUT", bob, `{"displayname":"Bob"}`); list(got) != list(v) {
			t.Errorf("got %s", got)
		}
		if got := s.admin.Must("GET", a+"v1/threepid/email/users/bob@EXAMPLE.org", nil); text(got, "user_id") != "@bob:a.test" {
			t.Errorf("got %s", got)
		}
		s.refused(s.admin, "GET", a+"v1/threepid/email/users/alice@example.org", nil, 404)
		s.refused(s.admin, "GET", a+"v1/threepid/fax/users/1", nil, 400)
		s.refused(s.admin, "PUT", bob, `{"threepids":[{"medium":"email","address":"bob"}]}`, 400)
		s.refused(s.admin, "PUT", a+"v2/users/@alice:a.test", `{"threepids":[{"medium":"msisdn","address":"447700900001"}]}`, 400)
		if got := list(s.admin.Must("PUT", bob, `{"threepids":[]}`)); got != "" {
			t.Errorf("got %s", got)
		}
		new := s.refused(s.admin, "PUT", a+"v2/users/@carol:a.test", `{"password":"correct horse","threepids":[{"medium":"email","address":"carol@example.org"}]}`, 201)
		if got := list(new); got != "email carol@example.org " {
			t.Errorf("got %s", got)
		}
	})
}

func TestWhoUsersAreElsewhere(t *testing.T) {
	play(t, func(s *scene) {
		external := account.ExternalID{Provider: "idp", Subject: "a/b c"}
		if err := s.Accounts().AddExternalID(s.T.Context(), s.bob.ID, external); err != nil {
			t.Fatal(err)
		}
		if got := s.admin.Must("GET", a+"v2/users/@bob:a.test", nil).Get("external_ids"); string(got) != `[{"auth_provider":"idp","external_id":"a/b c"}]` {
			t.Errorf("got %s", got)
		}
		if got := s.admin.Must("GET", a+"v1/auth_providers/idp/users/a%2Fb%20c", nil); text(got, "user_id") != "@bob:a.test" {
			t.Errorf("got %s", got)
		}
		s.refused(s.admin, "GET", a+"v1/auth_providers/idp/users/x", nil, 404)
		if err := s.Accounts().AddExternalID(s.T.Context(), s.alice.ID, external); err == nil {
			t.Error("one person is two users")
		}
		s.refused(s.admin, "PUT", a+"v2/users/@alice:a.test", `{"external_ids":[{"auth_provider":"idp","external_id":"a/b c"}]}`, 403)
		s.refused(s.admin, "PUT", a+"v2/users/@alice:a.test", `{"external_ids":[{"auth_provider":"idp"}]}`, 400)
		const other = `[{"auth_provider":"idp","external_id":"7"}]`
		if got := s.admin.Must("PUT", a+"v2/users/@bob:a.test", `{"external_ids":`+other+`}`).Get("external_ids"); string(got) != other {
			t.Errorf("got %s", got)
		}
	})
}
