package csapi_test

import (
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/hstest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

const v3 = "/_matrix/client/v3/"

// present returns what is said of a user's presence among events, nil if nothing is.
func present(events canonjson.Value, user id.UserID) canonjson.Value {
	for e := range events.Elements() {
		if text(e, "type") == "m.presence" && text(e, "sender") == string(user) {
			return e.Get("content")
		}
	}
	return nil
}

// online says so, and waits until others may know.
func online(u *hstest.User, message string) {
	u.Must("PUT", v3+"presence/"+string(u.ID)+"/status", map[string]string{"presence": "online", "status_msg": message})
	time.Sleep(10 * time.Second)
	synctest.Wait()
}

func TestOldClientsAreToldWhoIsOnline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		other := text(s.alice.Must("POST", v3+"createRoom", `{"preset":"public_chat"}`), "room_id")
		s.carol.Must("POST", v3+"join/"+url.PathEscape(other), `{}`)
		online(s.alice, "at work")
		online(s.carol, "asleep")
		ofRoom := s.path("v3", "initialSync")

		all := s.alice.Must("GET", v3+"initialSync", nil).Get("presence")
		if text(present(all, s.alice.ID), "status_msg") != "at work" || text(present(all, s.carol.ID), "status_msg") != "asleep" {
			t.Errorf("Alice is told %s", all)
		}
		room := s.alice.Must("GET", ofRoom, nil).Get("presence")
		if present(room, s.alice.ID) == nil || present(room, s.carol.ID) != nil {
			t.Errorf("of her first room Alice is told %s", room)
		}
		if of := s.bob.Must("GET", v3+"initialSync", nil).Get("presence"); present(of, s.alice.ID) == nil || present(of, s.carol.ID) != nil {
			t.Errorf("Bob, who shares no room with Carol, is told %s", of)
		}
		s.alice.Must("PUT", s.path("v3", "state", "m.room.history_visibility"), `{"history_visibility":"world_readable"}`)
		if of := s.carol.Must("GET", ofRoom, nil).Get("presence"); string(of) != "[]" {
			t.Errorf("Carol, who is not in the room, is told %s", of)
		}
		s.bob.Must("PUT", v3+"user/@bob:a.test/account_data/m.ignored_user_list", `{"ignored_users":{"@alice:a.test":{}}}`)
		for _, path := range []string{v3 + "initialSync", ofRoom} {
			if of := s.bob.Must("GET", path, nil).Get("presence"); present(of, s.alice.ID) != nil {
				t.Errorf("Bob, who ignores Alice, is told %s", of)
			}
		}
	})
}

// TestOldClientsStreamWhatIsOfNoRoom too, as they do what is of one without being an
// event of it.
func TestOldClientsStreamWhatIsOfNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		from := text(s.bob.Must("GET", v3+"events", nil), "end")
		online(s.alice, "at work")
		s.bob.Must("PUT", v3+"user/@bob:a.test/account_data/m.mine", `{"a":1}`)
		s.bob.Must("PUT", v3+"user/@bob:a.test/rooms/"+s.room+"/tags/u.mine", `{}`)
		chunk := s.bob.Must("GET", v3+"events?from="+from, nil).Get("chunk")
		if text(present(chunk, s.alice.ID), "status_msg") != "at work" {
			t.Errorf("Bob is told %s of Alice", chunk)
		}
		for _, want := range []string{
			`{"content":{"a":1},"type":"m.mine"}`,
			`{"content":{"tags":{"u.mine":{}}},"room_id":"` + s.room + `","type":"m.tag"}`,
		} {
			if !strings.Contains(string(chunk), want) {
				t.Errorf("%s is missing in %s", want, chunk)
			}
		}
	})
}

// TestPresenceKnowsNewNames: whoever gives it.
func TestPresenceKnowsNewNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		if err := s.alice.Accounts().SetAdmin(t.Context(), s.carol.ID, true); err != nil {
			t.Fatal(err)
		}
		online(s.alice, "")
		since := text(s.bob.Must("GET", v3+"sync", nil), "next_batch")
		for name, set := range map[string]func(){
			"by herself": func() {
				s.alice.Must("PUT", v3+"profile/@alice:a.test/displayname", `{"displayname":"by herself"}`)
			},
			"by Carol": func() {
				s.carol.Must("PUT", "/_synapse/admin/v2/users/@alice:a.test", `{"displayname":"by Carol"}`)
			},
		} {
			set()
			time.Sleep(10 * time.Second)
			v := s.bob.Must("GET", v3+"sync?since="+since, nil)
			since = text(v, "next_batch")
			if of := v.Get("presence").Get("events"); text(present(of, s.alice.ID), "displayname") != name {
				t.Errorf("Bob is told %s", of)
			}
		}
	})
}

// TestWhoIsSuspendedTellsNobodyAnything: a message beside the presence is one, too.
func TestWhoIsSuspendedTellsNobodyAnything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		online(s.bob, "before")
		if err := s.alice.Accounts().SetSuspended(t.Context(), s.bob.ID, true); err != nil {
			t.Fatal(err)
		}
		status := v3 + "presence/@bob:a.test/status"
		if code, v := s.bob.Do("PUT", status, `{"presence":"online","status_msg":"buy now"}`); code != 403 || text(v, "errcode") != "M_USER_SUSPENDED" {
			t.Errorf("got %d %s", code, v)
		}
		s.bob.Must("PUT", status, `{"presence":"unavailable"}`)
		if v := s.alice.Must("GET", status, nil); text(v, "presence") != "unavailable" || strings.Contains(string(v), "status_msg") {
			t.Errorf("Alice sees %s", v)
		}
	})
}
