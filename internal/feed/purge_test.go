package feed_test

import (
	"fmt"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/hstest"
)

// purge removes the history of a room before an event.
func (s *scene) purge(room, event string) {
	s.Helper()
	admin := s.admin()
	const api = "/_synapse/admin/v1/"
	task := text(admin.Must("POST", api+"purge_history/"+room+"/"+event, `{"delete_local_events":true}`), "purge_id")
	for range 100_000 {
		v := admin.Must("GET", api+"purge_history_status/"+task, nil)
		switch text(v, "status") {
		case "complete":
			return
		case "failed":
			s.Fatalf("purging: %s", v)
		}
	}
	s.Fatal("the purge does not end")
}

// admin makes Carol one who administers the server.
func (s *scene) admin() *hstest.User {
	s.Helper()
	if err := s.server.Accounts().SetAdmin(s.Context(), s.carol.ID, true); err != nil {
		s.Fatal(err)
	}
	return s.carol
}

func (s *scene) trim() {
	s.Helper()
	time.Sleep(time.Minute) // until nobody needs it any more
	if err := s.server.TrimJournal(s.Context()); err != nil {
		s.Fatal(err)
	}
}

// last says something and returns its event.
func (s *scene) last(u *hstest.User, room, body string) string {
	s.Helper()
	s.txns++
	return text(u.Must("PUT", path(room, "send", "m.room.message", fmt.Sprint("last", s.txns)), fmt.Sprintf(`{"msgtype":"m.text","body":%q}`, body)), "event_id")
}

// TestATokenThatIsTooOldTellsOfRoomsThatWereLeft trims the journal while Bob is
// away.
func TestATokenThatIsTooOldTellsOfRoomsThatWereLeft(t *testing.T) {
	synctest.Test(t, aTokenThatIsTooOldTellsOfRoomsThatWereLeft)
}

func aTokenThatIsTooOldTellsOfRoomsThatWereLeft(t *testing.T) {
	s := newScene(t)
	stays, left, kicked, forgotten := s.room(s.bob), s.room(s.bob), s.room(s.bob), s.room(s.bob)
	before := s.room(s.bob)
	s.leave(s.bob, before)
	invited := s.room()
	s.to(s.alice, invited, "invite", s.bob)
	bob := newClient(t, s.bob, `{"room":{"timeline":{"limit":2}}}`)
	a := bob.sync()
	if a.in("invite", invited) == nil || a.in("leave", before) != nil {
		t.Fatalf("got %s", a)
	}
	s.leave(s.bob, left)
	s.to(s.alice, kicked, "kick", s.bob)
	s.leave(s.bob, forgotten)
	s.bob.Must("POST", path(forgotten, "forget"), `{}`)
	s.leave(s.bob, invited)
	s.say(s.alice, stays, "1", "2", "3")
	s.trim()
	a = bob.sync()
	for _, room := range []string{left, kicked, forgotten, invited} {
		if a.in("leave", room) == nil {
			t.Errorf("nothing is told of %s: %s", room, a)
		}
	}
	if a.in("leave", before) != nil {
		t.Errorf("the room that was left before is told of: %s", a)
	}
	a.has("join", stays, "timeline", "2", "3")
	if !a.in("join", stays).Get("timeline").Get("limited").True() {
		t.Error("the timeline is not limited")
	}
	if a := bob.sync(); a.Get("rooms") != nil {
		t.Errorf("told again: %s", a)
	}
	// Who begins anew is not told.
	if a := newClient(t, s.bob, "").sync(); a.Get("rooms").Get("leave") != nil {
		t.Errorf("told to who begins: %s", a)
	}
}

// TestATokenThatIsTooOldTellsOfALeaveThatAHiddenInviteFollows: of the invite nothing is told.
func TestATokenThatIsTooOldTellsOfALeaveThatAHiddenInviteFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		room := s.room(s.bob)
		ignores(s.bob, s.alice)
		bob := newClient(t, s.bob, "")
		bob.sync()
		s.leave(s.bob, room)
		s.to(s.alice, room, "invite", s.bob)
		s.trim()
		a := bob.sync()
		if a.in("leave", room) == nil || a.in("invite", room) != nil {
			t.Errorf("got %s", a)
		}
		if a := newClient(t, s.bob, "").sync(); a.in("leave", room) != nil || a.in("invite", room) != nil {
			t.Errorf("who begins is told %s", a)
		}
	})
}

func TestATimelineBehindATokenThatIsTooOldIsNotTheContinuation(t *testing.T) {
	synctest.Test(t, aTimelineBehindATokenThatIsTooOldIsNotTheContinuation)
}

func aTimelineBehindATokenThatIsTooOldIsNotTheContinuation(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	bob := newClient(t, s.bob, `{"room":{"timeline":{"limit":50}}}`)
	bob.sync()
	s.say(s.alice, room, "news")
	s.trim()
	// All of the room is in it, and the client has most of that.
	if a := bob.sync(); !a.in("join", room).Get("timeline").Get("limited").True() {
		t.Errorf("got %s", a)
	}
}

func TestWhoComesFromBeforeWhatIsLeftGetsTheRoomAnew(t *testing.T) {
	s := newScene(t)
	room, other := s.room(s.bob), s.room(s.bob)
	s.put(s.alice, room, "m.room.topic", `{"topic":"old"}`)
	away, present := newClient(t, s.bob, ""), newClient(t, s.bob, "")
	away.sync()
	s.say(s.alice, room, "gone")
	s.say(s.alice, other, "hello")
	first := s.last(s.alice, room, "first")
	present.sync()
	s.say(s.alice, room, "second")
	s.purge(room, first)
	a := away.sync()
	a.has("join", room, "timeline", "first", "second")
	a.has("join", room, "state", "create", "alice join", "power_levels", "join_rules", "history_visibility", "guest_access", "name room", "bob join", "topic old")
	if !a.in("join", room).Get("timeline").Get("limited").True() {
		t.Error("the timeline is not limited")
	}
	a.has("join", other, "timeline", "hello")
	a.has("join", other, "state")
	a = present.sync()
	a.has("join", room, "timeline", "second")
	a.has("join", room, "state")
	// Nothing is told twice.
	for _, c := range []*client{away, present} {
		if a := c.sync(); a.Get("rooms") != nil {
			t.Errorf("told again: %s", a)
		}
	}
	a = newClient(t, s.bob, "").sync()
	a.has("join", room, "timeline", "first", "second")
}

// TestAPurgeDoesNotBringAHiddenInviteToLight: what the state was when the user knocked
// is gone then.
func TestAPurgeDoesNotBringAHiddenInviteToLight(t *testing.T) {
	s := newScene(t)
	room := s.room()
	s.put(s.alice, room, "m.room.join_rules", `{"join_rule":"knock"}`)
	s.bob.Must("POST", "/_matrix/client/v3/knock/"+url.PathEscape(room), `{}`)
	s.to(s.alice, room, "invite", s.bob)
	ignores(s.bob, s.alice)
	for _, when := range []string{"before", "after"} {
		state := quietly(t, s.bob, "").sync().in("knock", room).Get("knock_state")
		same(t, when+" the purge", brief(state), "bob knock", "create", "name room", "join_rules")
		s.purge(room, s.last(s.alice, room, "first"))
	}
}

func TestInvitesAndLeavingSurviveAPurge(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	bob, carol := newClient(t, s.bob, ""), newClient(t, s.carol, "")
	bob.sync()
	carol.sync()
	s.put(s.alice, room, "m.room.topic", `{"topic":"then"}`)
	s.to(s.alice, room, "invite", s.carol)
	s.leave(s.bob, room)
	s.put(s.alice, room, "m.room.topic", `{"topic":"now"}`)
	first := s.last(s.alice, room, "first")
	s.purge(room, first)
	if a := bob.sync(); a.in("leave", room) == nil {
		t.Errorf("Bob is told %s", a)
	}
	for _, a := range []answer{carol.sync(), newClient(t, s.carol, "").sync()} {
		same(t, "the invite", brief(a.in("invite", room).Get("invite_state")),
			"carol invite", "alice join", "create", "name room", "topic then", "join_rules")
	}
	s.join(s.carol, room)
	carol.sync().has("join", room, "timeline", "first", "carol join")
}

func TestADeletedRoomIsLeft(t *testing.T) { synctest.Test(t, aDeletedRoomIsLeft) }

func aDeletedRoomIsLeft(t *testing.T) {
	s := newScene(t)
	room, forced := s.room(s.bob), s.room(s.bob)
	away, waits, begins := newClient(t, s.bob, ""), newClient(t, s.bob, ""), newClient(t, s.bob, `{"room":{"include_leave":true}}`)
	away.sync()
	waits.sync()
	admin := s.admin()
	admin.Must("DELETE", "/_synapse/admin/v1/rooms/"+room, `{}`)
	waits.sync()
	admin.Must("DELETE", "/_synapse/admin/v1/rooms/"+forced, `{"force_purge":true}`)
	a := away.sync()
	for _, room := range []string{room, forced} {
		if a.in("leave", room) == nil || a.in("join", room) != nil {
			t.Errorf("Bob is told %s", a)
		}
	}
	if a := waits.sync(); a.in("leave", forced) == nil {
		t.Errorf("Bob, who was there, is told %s", a)
	}
	if a := begins.sync(); a.Get("rooms") != nil {
		t.Errorf("Bob, who begins, is told %s", a)
	}
	s.trim()
	away.since = ""
	if a := away.sync(); a.Get("rooms") != nil {
		t.Errorf("Bob, who begins anew, is told %s", a)
	}
}

func TestWhatIgnoredUsersSaidIsNotUnreadBehindAPurge(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	ignores(s.bob, s.alice)
	s.say(s.alice, room, "one")
	s.purge(room, s.say(s.alice, room, "two"))
	if got := newClient(t, s.bob, "").sync().unread(room); got != "0" {
		t.Errorf("%s are unread, all of somebody who is ignored", got)
	}
}

func TestWhatWasPurgedIsUnreadNoMore(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	bob := newClient(t, s.bob, "")
	slider := newSlider(t, s.bob, map[string]any{"all": map[string]any{"timeline_limit": 1, "required_state": [][]string{}, "ranges": [][]int{{0, 9}}}})
	slider.unstable = true
	s.say(s.alice, room, "one")
	two := s.say(s.alice, room, "two")
	if got := bob.sync().unread(room); got != "2" {
		t.Fatalf("%s are unread, want 2", got)
	}
	slider.slide().is(room, "notification_count", "2")
	s.purge(room, two)
	if got := bob.sync().unread(room); got != "1" {
		t.Errorf("%s are unread after one was purged, want 1", got)
	}
	slider.slide().is(room, "notification_count", "1")
}
