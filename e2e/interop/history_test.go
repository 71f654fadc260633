package interop

import (
	"fmt"
	"net/url"
	"slices"
	"testing"
)

// reads pages back until it finds an event.
func (u *user) reads(room, eventID string) (read []string) {
	u.t.Helper()
	until(u.t, fmt.Sprintf("%s reads %s on %s", u.id, eventID, u.server), func() string {
		read = nil
		from := ""
		for range 100 {
			query := url.Values{"dir": {"b"}, "limit": {"20"}}
			if from != "" {
				query.Set("from", from)
			}
			page := u.must("GET", path("rooms", room, "messages")+"?"+query.Encode(), nil)
			for _, e := range page.list("chunk") {
				read = append(read, e.text("event_id"))
			}
			if slices.Contains(read, eventID) {
				return ""
			}
			if from = page.text("end"); from == "" {
				break
			}
		}
		return fmt.Sprintf("there are %d events: %v", len(read), read)
	})
	return read
}

func TestHistoryIsReadFromTheOtherServer(t *testing.T) {
	for _, version := range []string{"1", "10", "12"} {
		t.Run("version "+version, func(t *testing.T) {
			eachWay(t, func(t *testing.T, here, there *server) {
				alice, bob := here.register(t, "alice"), there.register(t, "bob")
				room := alice.creates(object{"preset": "public_chat", "room_version": version})
				var said []string
				for i := range 150 {
					said = append(said, alice.says(room, fmt.Sprint("before you came ", i)))
				}
				bob.joins(room, here)
				read := bob.reads(room, said[0])
				slices.Reverse(read)
				read = slices.DeleteFunc(read, func(e string) bool { return !slices.Contains(said, e) })
				if !slices.Equal(read, said) {
					t.Errorf("read %d events, in another order or not all of %d", len(read), len(said))
				}
				agree(t, room, alice, bob)
			})
		})
	}
}

func TestHistoryIsKeptFromWhoMayNotSeeIt(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		alice, bob := here.register(t, "alice"), there.register(t, "bob")
		room := alice.creates(object{"preset": "public_chat", "initial_state": []object{
			{"type": "m.room.history_visibility", "state_key": "", "content": object{"history_visibility": "joined"}},
		}})
		secret := alice.says(room, "a secret")
		bob.joins(room, here)
		hello := alice.says(room, "hello")
		bob.hears(room, hello, "hello")
		if read := bob.reads(room, hello); slices.Contains(read, secret) {
			t.Errorf("%s reads what was said before they came", bob.id)
		}
		if status, answer := bob.do("GET", path("rooms", room, "event", secret), nil); status == 200 && answer.text("content", "body") != "" {
			t.Errorf("%s reads %s", bob.id, answer)
		}
		agree(t, room, alice, bob)
	})
}

func TestAMomentBeforeSomebodyCameIsFound(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		alice, bob := here.register(t, "alice"), there.register(t, "bob")
		room := alice.creates(object{"preset": "public_chat"})
		// parley dates state after what allows it, some milliseconds from now in a new room.
		made := 0.0
		for _, e := range alice.must("GET", path("rooms", room, "state"), nil).list("") {
			at, _ := e["origin_server_ts"].(float64)
			made = max(made, at)
		}
		var first string
		at := 0.0
		for range 1000 {
			first = alice.says(room, "first")
			if at, _ = alice.must("GET", path("rooms", room, "event", first), nil)["origin_server_ts"].(float64); at > made {
				break
			}
		}
		for i := range 30 {
			alice.says(room, fmt.Sprint("later ", i))
		}
		bob.joins(room, here)
		query := fmt.Sprintf("?dir=f&ts=%.0f", at)
		found := bob.must("GET", "/_matrix/client/v1/rooms/"+url.PathEscape(room)+"/timestamp_to_event"+query, nil)
		if found.text("event_id") != first {
			t.Errorf("found %s, want %s", found, first)
		}
		bob.reads(room, first) // the moment is found before what was said then is fetched
		around := bob.must("GET", path("rooms", room, "context", first), nil)
		if event := around.at("event", "event_id"); event != first {
			t.Errorf("around %s is %s", first, around)
		}
	})
}
