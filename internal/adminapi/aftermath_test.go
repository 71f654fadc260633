package adminapi_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/config"
	"parley/internal/hstest"
)

// A tale is a room in which what is said relates to what was said before.
type tale struct {
	*scene
	roomID string
	// Of old there are a root with a thread, and an event that is edited and referred
	// to; both are then gone. A young event refers to what is gone, and has a thread.
	old, young []string
	from       string // a token of before
}

const v1 = "/_matrix/client/v1/"

func (s *tale) send(u *hstest.User, relType, to string) string {
	s.Helper()
	s.txns++
	content := map[string]any{"msgtype": "m.text", "body": fmt.Sprint("message ", s.txns)}
	if relType != "" {
		content["m.relates_to"] = map[string]string{"rel_type": relType, "event_id": to}
	}
	if relType == "m.replace" {
		content["m.new_content"] = map[string]string{"msgtype": "m.text", "body": "edited"}
	}
	return text(u.Must("PUT", fmt.Sprintf(c+"rooms/%s/send/m.room.message/%d", s.roomID, s.txns), content), "event_id")
}

// tell says what is old, calls then, and says what is young.
func (s *scene) tell(then func(roomID string)) *tale {
	s.Helper()
	l := &tale{scene: s, roomID: s.room("Room", s.bob)}
	l.from = text(s.bob.Must("GET", c+"sync", nil), "next_batch")
	root, edited := l.send(s.alice, "", ""), l.send(s.alice, "", "")
	l.old = []string{root, edited, l.send(s.bob, "m.thread", root), l.send(s.alice, "m.replace", edited), l.send(s.bob, "m.reference", edited)}
	s.bob.Must("POST", c+"rooms/"+l.roomID+"/receipt/m.read/"+url.PathEscape(root), `{}`)
	then(l.roomID)
	young := l.send(s.alice, "", "")
	l.young = []string{young, l.send(s.bob, "m.thread", young), l.send(s.alice, "m.reference", edited)}
	return l
}

// onlyYoung demands that nothing is told of what is old, wherever one looks.
func (s *tale) onlyYoung() {
	s.Helper()
	for _, eventID := range s.old {
		e := url.PathEscape(eventID)
		for _, path := range []string{
			c + "rooms/" + s.roomID + "/event/" + e, c + "rooms/" + s.roomID + "/context/" + e, c + "events/" + e,
			v1 + "rooms/" + s.roomID + "/relations/" + e,
		} {
			s.refused(s.bob, "GET", path, nil, 404)
		}
		s.refused(s.bob, "POST", c+"rooms/"+s.roomID+"/receipt/m.read/"+e, `{}`, 404)
	}
	for _, path := range []string{
		c + "rooms/" + s.roomID + "/messages?dir=b&limit=100", c + "rooms/" + s.roomID + "/messages?dir=f&limit=100",
		c + "rooms/" + s.roomID + "/initialSync?limit=100", c + "rooms/" + s.roomID + "/context/" + url.PathEscape(s.young[0]) + "?limit=100",
		v1 + "rooms/" + s.roomID + "/threads", c + "notifications", c + "sync",
		v1 + "rooms/" + s.roomID + "/relations/" + url.PathEscape(s.young[0]),
		v1 + "rooms/" + s.roomID + "/timestamp_to_event?dir=f&ts=0",
		c + "sync?since=" + s.from, c + "events?timeout=0&from=" + s.from, c + "events?timeout=0&room_id=" + s.roomID + "&from=" + s.from,
	} {
		got := s.bob.Must("GET", path, nil)
		for _, eventID := range s.old {
			if strings.Contains(string(got), `"event_id":"`+eventID+`","origin`) {
				s.Errorf("GET %s tells of %s: %s", path, eventID, got)
			}
		}
	}
	for _, term := range []string{"message", "edited"} {
		got := s.bob.Must("POST", c+"search", fmt.Sprintf(`{"search_categories":{"room_events":{"search_term":%q,"event_context":{}}}}`, term))
		for _, eventID := range s.old {
			if strings.Contains(string(got), `"event_id":"`+eventID+`","origin`) {
				s.Errorf("a search for %q finds %s: %s", term, eventID, got)
			}
		}
	}
	threads := s.bob.Must("GET", v1+"rooms/"+s.roomID+"/threads", nil).Get("chunk")
	if count(threads) != 1 {
		s.Errorf("the threads are %s", threads)
	}
	for root := range threads.Elements() {
		if text(root, "event_id") != s.young[0] || number(root, "unsigned", "m.relations", "m.thread", "count") != 1 {
			s.Errorf("the thread is %s", root)
		}
	}
	unread := s.bob.Must("GET", c+"sync", nil).Get("rooms").Get("join").Get(s.roomID).Get("unread_notifications")
	if number(unread, "notification_count") > 2 {
		s.Errorf("unread are %s", unread)
	}
}

func TestWhatIsPurgedIsNowhere(t *testing.T) {
	for _, keepsLocal := range []bool{true, false} {
		play(t, func(s *scene) {
			l := s.tell(func(string) {})
			task := text(s.admin.Must("POST", a+"v1/purge_history/"+l.roomID+"/"+url.PathEscape(l.young[0]),
				map[string]any{"delete_local_events": !keepsLocal}), "purge_id")
			synctest.Wait() // it has begun, and the rows are still there
			l.onlyYoung()
			s.until(a + "v1/purge_history_status/" + task)
			l.onlyYoung()
		})
	}
}

func TestWhatIsTooOldIsNowhere(t *testing.T) {
	play(t, func(s *scene) {
		l := s.tell(func(roomID string) {
			s.alice.Must("PUT", c+"rooms/"+roomID+"/state/m.room.retention", `{"max_lifetime":86400000}`)
			time.Sleep(20 * time.Hour)
		})
		time.Sleep(10 * time.Hour) // the old messages are hidden, and perhaps removed
		l.onlyYoung()
		time.Sleep(20 * time.Hour)
		unread := s.bob.Must("GET", c+"sync", nil).Get("rooms").Get("join").Get(l.roomID).Get("unread_notifications")
		if number(unread, "notification_count") != 0 {
			t.Errorf("when all is too old, unread are %s", unread)
		}
		if got := s.bob.Must("GET", c+"notifications", nil).Get("notifications"); count(got) != 0 {
			t.Errorf("the notifications are %s", got)
		}
	}, func(c *config.Config) { c.Retention.Enabled = true })
}

func TestADeletedRoomIsNamedInVain(t *testing.T) {
	play(t, func(s *scene) {
		old := s.room("Old", s.bob)
		alias := c + "directory/room/" + url.PathEscape("#room:a.test")
		s.alice.Must("PUT", alias, map[string]string{"room_id": old})
		s.alice.Must("PUT", c+"directory/list/room/"+old, `{"visibility":"public"}`)
		s.bob.Must("PUT", c+"user/"+string(s.bob.ID)+"/rooms/"+old+"/tags/m.favourite", `{}`)
		next := text(s.alice.Must("POST", c+"rooms/"+old+"/upgrade", `{"new_version":"12"}`), "replacement_room")
		s.bob.Must("POST", c+"join/"+next, `{}`)
		space := text(s.alice.Must("POST", c+"createRoom", `{"preset":"public_chat","creation_content":{"type":"m.space"}}`), "room_id")
		club := text(s.alice.Must("POST", c+"createRoom", map[string]any{"room_version": "11", "initial_state": []any{map[string]any{
			"type": "m.room.join_rules", "state_key": "",
			"content": map[string]any{"join_rule": "restricted", "allow": []any{map[string]any{"type": "m.room_membership", "room_id": next}}},
		}}}), "room_id")
		for _, child := range []string{old, next, club} {
			s.alice.Must("PUT", c+"rooms/"+space+"/state/m.space.child/"+child, `{"via":["a.test"]}`)
		}
		rooms := func(u *hstest.User) int64 {
			return int64(count(u.Must("GET", v1+"rooms/"+space+"/hierarchy", nil).Get("rooms")))
		}
		if n := rooms(s.bob); n != 4 {
			t.Errorf("before, the space has %d rooms for a member", n)
		}
		task := text(s.admin.Must("DELETE", a+"v2/rooms/"+next, `{}`), "delete_id")
		synctest.Wait() // it has begun, and the rows are still there
		s.refused(s.bob, "GET", v1+"room_summary/"+next, nil, 404)
		if n := rooms(s.bob); n != 2 {
			t.Errorf("meanwhile, the space has %d rooms", n)
		}
		s.until(a + "v2/rooms/delete_status/" + task)
		if n := rooms(s.bob); n != 2 {
			t.Errorf("afterwards, the space has %d rooms", n)
		}
		s.refused(s.bob, "POST", c+"join/"+club, `{}`, 400) // M_UNABLE_TO_AUTHORISE_JOIN
		s.refused(s.bob, "POST", c+"join/"+next, `{}`, 404)
		s.refused(s.bob, "GET", v1+"room_summary/"+next, nil, 404)
		s.refused(s.bob, "GET", v1+"room_summary/"+url.PathEscape("#room:a.test"), nil, 404)
		s.refused(s.bob, "GET", alias, nil, 404)
		if v := s.bob.Must("GET", c+"publicRooms", nil); count(v.Get("chunk")) != 0 {
			t.Errorf("published are %s", v)
		}
		if v := s.bob.Must("GET", c+"user/"+string(s.bob.ID)+"/rooms/"+next+"/tags", nil); string(v) != `{"tags":{}}` {
			t.Errorf("the tags are %s", v)
		}
		// The old room can be replaced again.
		again := text(s.alice.Must("POST", c+"rooms/"+old+"/upgrade", `{"new_version":"12"}`), "replacement_room")
		s.bob.Must("POST", c+"join/"+again, `{}`)
		time.Sleep(time.Second)
		if v := s.bob.Must("GET", c+"user/"+string(s.bob.ID)+"/rooms/"+again+"/tags", nil); v.Get("tags").Get("m.favourite") == nil {
			t.Errorf("in the room that replaces it now the tags are %s", v)
		}
	})
}

func TestARoomThatNobodyIsInIsNotListed(t *testing.T) {
	play(t, func(s *scene) {
		roomID := s.room("Empty")
		s.alice.Must("PUT", c+"directory/list/room/"+roomID, `{"visibility":"public"}`)
		listed := func(want int) {
			t.Helper()
			for _, body := range []string{`{}`, `{"filter":{"generic_search_term":"empty"}}`} {
				if v := s.bob.Must("POST", c+"publicRooms", body); count(v.Get("chunk")) != want {
					t.Errorf("%s finds %s, want %d rooms", body, v, want)
				}
			}
		}
		listed(1)
		s.alice.Must("POST", c+"rooms/"+roomID+"/leave", `{}`)
		listed(0)
		s.bob.Must("POST", c+"join/"+roomID, `{}`)
		listed(1)
		s.bob.Must("POST", c+"rooms/"+roomID+"/leave", `{}`)
		s.admin.Must("DELETE", a+"v1/rooms/"+roomID, `{}`)
		s.refused(s.admin, "GET", a+"v1/rooms/"+roomID, nil, 404)
	})
}
