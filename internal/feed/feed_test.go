package feed_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"parley/internal/hstest"
	"parley/matrix/canonjson"
)

func TestAnInitialSyncTellsOfEverything(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	s.say(s.alice, room, "one", "two")
	a := newClient(t, s.bob, `{"room":{"timeline":{"limit":3}}}`).sync()
	a.has("join", room, "timeline", "bob join", "one", "two")
	a.has("join", room, "state", "create", "alice join", "power_levels", "join_rules", "history_visibility", "guest_access", "name room")
	if got := string(a.in("join", room).Get("summary")); got != `{"m.invited_member_count":0,"m.joined_member_count":2}` {
		t.Error(got)
	}
	if got := string(a.in("join", room).Get("unread_notifications")); got != `{"highlight_count":0,"notification_count":2}` {
		t.Error(got)
	}
	if !a.in("join", room).Get("timeline").Get("limited").True() {
		t.Error("not limited")
	}
	same(t, "account data", brief(a.Get("account_data")), "m.push_rules")
}

func TestAnIncrementalSyncTellsWhatIsNew(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	bob := newClient(t, s.bob, "")
	bob.sync()
	if a := bob.sync(); a.Get("rooms") != nil || a.Get("account_data") != nil {
		t.Errorf("nothing happened: %s", a)
	}
	s.put(s.alice, room, "m.room.topic", `{"topic":"x"}`)
	s.say(s.alice, room, "hello")
	a := bob.sync()
	a.has("join", room, "timeline", "topic x", "hello")
	a.has("join", room, "state")
	if a.in("join", room).Get("summary") != nil {
		t.Error("a summary that did not change")
	}
}

func TestALimitedTimelineGoesOnBehindPrevBatch(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	bob := newClient(t, s.bob, `{"room":{"timeline":{"limit":2}}}`)
	bob.sync()
	s.say(s.alice, room, "1", "2")
	s.put(s.alice, room, "m.room.topic", `{"topic":"x"}`)
	s.say(s.alice, room, "3", "4")
	a := bob.sync()
	a.has("join", room, "timeline", "3", "4")
	a.has("join", room, "state", "topic x")
	timeline := a.in("join", room).Get("timeline")
	if !timeline.Get("limited").True() {
		t.Error("not limited")
	}
	same(t, "before it", s.before(s.bob, room, text(timeline, "prev_batch"), 3), "topic x", "2", "1")
}

func TestALostAnswerIsGivenAgain(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	bob := newClient(t, s.bob, "")
	bob.sync()
	s.say(s.alice, room, "one")
	bob.lose().has("join", room, "timeline", "one")
	s.say(s.alice, room, "two")
	bob.sync().has("join", room, "timeline", "one", "two")
}

func TestAnInviteComesWithStrippedState(t *testing.T) {
	s := newScene(t)
	room := s.room()
	bob := newClient(t, s.bob, "")
	bob.sync()
	s.to(s.alice, room, "invite", s.bob)
	bob.sync().has("invite", room, "invite_state", "bob invite", "alice join", "create", "name room", "join_rules")
	newClient(t, s.bob, "").sync().has("invite", room, "invite_state", "bob invite", "alice join", "create", "name room", "join_rules")
}

func TestAKnockComesWithStrippedState(t *testing.T) {
	s := newScene(t)
	room := s.room()
	s.put(s.alice, room, "m.room.join_rules", `{"join_rule":"knock"}`)
	bob := newClient(t, s.bob, "")
	bob.sync()
	s.bob.Must("POST", "/_matrix/client/v3/knock/"+strings.TrimPrefix(path(room), "/_matrix/client/v3/rooms/"), `{}`)
	bob.sync().has("knock", room, "knock_state", "bob knock", "create", "name room", "join_rules")
	s.to(s.alice, room, "kick", s.bob)
	bob.sync().has("leave", room, "timeline", "bob knock", "bob leave")
}

func TestWhoLeftIsToldWhatWasUntilThen(t *testing.T) {
	for _, visibility := range []string{"shared", "world_readable"} {
		t.Run(visibility, func(t *testing.T) {
			s := newScene(t)
			room := s.room(s.bob)
			s.put(s.alice, room, "m.room.history_visibility", `{"history_visibility":"`+visibility+`"}`)
			bob := newClient(t, s.bob, "")
			bob.sync()
			s.say(s.alice, room, "before")
			s.leave(s.bob, room)
			s.say(s.alice, room, "after")
			s.put(s.alice, room, "m.room.topic", `{"topic":"after"}`)
			a := bob.sync()
			a.has("leave", room, "timeline", "before", "bob leave")
			a.has("leave", room, "state")
			if a.in("join", room) != nil {
				t.Error("the room is in two sections")
			}
		})
	}
}

func TestWhoLeftIsToldOfABan(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	bob := newClient(t, s.bob, "")
	bob.sync()
	s.leave(s.bob, room)
	bob.sync()
	s.to(s.alice, room, "ban", s.bob)
	a := bob.sync()
	a.has("leave", room, "timeline", "bob ban")
	if a.in("leave", room).Get("timeline").Get("limited").True() {
		t.Error("there is no gap")
	}
}

func TestAnInviteThatIsDeclinedUnseenIsToldToWhoWantsLeftRooms(t *testing.T) {
	s := newScene(t)
	room := s.room()
	curious, other := newClient(t, s.bob, `{"room":{"include_leave":true}}`), newClient(t, s.bob, "")
	curious.sync()
	other.sync()
	s.to(s.alice, room, "invite", s.bob)
	s.leave(s.bob, room)
	curious.sync().has("leave", room, "timeline", "bob invite", "bob leave")
	newClient(t, s.bob, curious.filter).sync().has("leave", room, "timeline", "bob invite", "bob leave")
	if a := other.sync(); a.Get("rooms") != nil {
		t.Errorf("got %s", a)
	}
}

func TestWhoComesBackBegins(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	bob := newClient(t, s.bob, `{"room":{"timeline":{"limit":100}}}`)
	bob.sync()
	s.leave(s.bob, room)
	bob.sync()
	s.say(s.alice, room, "meanwhile")
	s.join(s.bob, room)
	a := bob.sync()
	if timeline := a.in("join", room).Get("timeline"); !timeline.Get("limited").True() {
		t.Error("what is told again is to replace what the client has")
	}
	if !strings.HasSuffix(fmt.Sprint(brief(a.in("join", room).Get("timeline"))), "bob join bob leave meanwhile bob join]") {
		t.Errorf("got %s", a)
	}
}

func TestWhatHappenedWhileAwayIsNotSeenButCounts(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	s.put(s.alice, room, "m.room.history_visibility", `{"history_visibility":"joined"}`)
	bob := newClient(t, s.bob, "")
	bob.sync()
	s.say(s.alice, room, "before")
	s.leave(s.bob, room)
	s.say(s.alice, room, "secret")
	s.put(s.alice, room, "m.room.topic", `{"topic":"changed"}`)
	s.join(s.bob, room)
	s.say(s.alice, room, "after")
	a := bob.sync()
	a.has("join", room, "timeline", "before", "bob leave", "bob join", "after")
	a.has("join", room, "state", "topic changed")
	if a.in("leave", room) != nil {
		t.Error("the room is in two sections")
	}
}

// TestARoomThatAnotherDeviceHeardOfFirst: a client that begins anew is told of a
// join by its initial sync, and of what follows all the same.
func TestARoomThatAnotherDeviceHeardOfFirst(t *testing.T) {
	s := newScene(t)
	room := s.room()
	newClient(t, s.bob, "").sync() // from here on the user is watched
	s.join(s.bob, room)
	bob := newClient(t, s.bob, "")
	bob.sync()
	s.say(s.alice, room, "hello")
	bob.sync().has("join", room, "timeline", "hello")
}

func TestStateThatTheFilterHidesIsInTheStateBlock(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	bob := newClient(t, s.bob, `{"room":{"timeline":{"types":["m.room.message"]}}}`)
	bob.sync()
	s.say(s.alice, room, "one")
	s.put(s.alice, room, "m.room.topic", `{"topic":"x"}`)
	s.say(s.alice, room, "two")
	a := bob.sync()
	a.has("join", room, "timeline", "one", "two")
	a.has("join", room, "state", "topic x")
}

func TestFiltersByWhatRelatesToAnEvent(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	root := s.say(s.alice, room, "one", "two")
	s.send(s.bob, room, "m.room.message",
		`{"body":"three","msgtype":"m.text","m.relates_to":{"rel_type":"m.thread","event_id":"`+root+`"}}`)
	related := `{"related_by_rel_types":["m.thread"],"related_by_senders":["@bob:a.test"]}`
	newClient(t, s.bob, `{"room":{"timeline":`+related+`}}`).sync().has("join", room, "timeline", "two")
	newClient(t, s.bob, `{"room":{"timeline":{"related_by_senders":["@alice:a.test"]}}}`).sync().has("join", room, "timeline")
	v := s.bob.Must("GET", path(room, "messages")+"?dir=b&filter="+url.QueryEscape(related), nil)
	same(t, "messages", brief(canonjson.Value(`{"events":`+string(v.Get("chunk"))+`}`)), "two")
}

func TestStateAfterTheTimeline(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	for member, parameter := range map[string]string{
		"state_after": "use_state_after", "org.matrix.msc4222.state_after": "org.matrix.msc4222.use_state_after",
	} {
		bob := newClient(t, s.bob, "")
		bob.query = "&" + parameter + "=true"
		a := bob.sync()
		a.has("join", room, "state")
		if got := len(brief(a.in("join", room).Get(member))); got < 8 {
			t.Errorf("%d pieces of state: %s", got, a)
		}
		s.put(s.alice, room, "m.room.topic", fmt.Sprintf(`{"topic":%q}`, member))
		a = bob.sync()
		a.has("join", room, "timeline", "topic "+member)
		a.has("join", room, member, "topic "+member)
	}
}

func TestFullState(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	bob := newClient(t, s.bob, "")
	bob.sync()
	bob.query = "&full_state=true"
	a := bob.sync()
	a.has("join", room, "timeline")
	a.has("join", room, "state", "create", "alice join", "power_levels", "join_rules", "history_visibility", "guest_access", "name room", "bob join")
}

func TestRoomsThatWereLeft(t *testing.T) {
	s := newScene(t)
	room, forgotten := s.room(s.bob), s.room(s.bob)
	for _, r := range []string{room, forgotten} {
		s.say(s.alice, r, "before")
		s.leave(s.bob, r)
		s.say(s.alice, r, "after")
	}
	s.bob.Must("POST", path(forgotten, "forget"), `{}`)
	if a := newClient(t, s.bob, "").sync(); a.Get("rooms") != nil {
		t.Errorf("nobody asked for them: %s", a)
	}
	a := newClient(t, s.bob, `{"room":{"include_leave":true,"timeline":{"limit":2}}}`).sync()
	a.has("leave", room, "timeline", "before", "bob leave")
	a.has("leave", room, "state", "create", "alice join", "power_levels", "join_rules", "history_visibility", "guest_access", "name room", "bob join")
	if a.in("leave", forgotten) != nil {
		t.Error("it was forgotten")
	}
}

func TestAForgottenRoomComesBackByAnInviteAndGoes(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	bob := newClient(t, s.bob, `{"room":{"include_leave":true}}`)
	bob.sync()
	s.say(s.alice, room, "secret")
	s.leave(s.bob, room)
	s.bob.Must("POST", path(room, "forget"), `{}`)
	a := bob.sync()
	a.has("leave", room, "timeline", "bob leave")
	a.has("leave", room, "state", "bob join") // in the place of the leaving
	if !a.in("leave", room).Get("timeline").Get("limited").True() {
		t.Error("there is a gap")
	}
	s.to(s.alice, room, "invite", s.bob)
	bob.sync().has("invite", room, "invite_state", "bob invite", "alice join", "create", "name room", "join_rules")
	newClient(t, s.bob, "").sync().has("invite", room, "invite_state", "bob invite", "alice join", "create", "name room", "join_rules")
	s.leave(s.bob, room)
	if told := brief(bob.sync().in("leave", room).Get("timeline")); len(told) == 0 || told[len(told)-1] != "bob leave" || len(told) > 4 {
		t.Errorf("got %q", told)
	}
	if a := newClient(t, s.bob, bob.filter).sync(); a.Get("rooms") != nil {
		t.Errorf("it is forgotten: %s", a)
	}
}

func TestHeroes(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	summary := func(a answer) string { return string(a.in("join", room).Get("summary")) }
	bob := newClient(t, s.bob, "")
	if got := summary(bob.sync()); got != `{"m.invited_member_count":0,"m.joined_member_count":2}` {
		t.Error(got)
	}
	name := s.put(s.alice, room, "m.room.name", `{"name":"bad"}`)
	s.to(s.alice, room, "invite", s.carol)
	if got := summary(bob.sync()); got != `{"m.invited_member_count":1,"m.joined_member_count":2}` {
		t.Error(got)
	}
	s.redact(s.alice, room, name)
	if got := summary(bob.sync()); got != `{"m.heroes":["@alice:a.test","@carol:a.test"],"m.invited_member_count":1,"m.joined_member_count":2}` {
		t.Errorf("the name was redacted: %s", got)
	}
}

func TestStateThatWasRedactedOutOfSight(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	topic := s.put(s.alice, room, "m.room.topic", `{"topic":"bad"}`)
	bob, near := newClient(t, s.bob, `{"room":{"timeline":{"limit":1}}}`), newClient(t, s.bob, "")
	bob.sync()
	near.sync()
	s.redact(s.alice, room, topic)
	s.say(s.alice, room, "hello")
	bob.sync().has("join", room, "state", "topic ")
	near.sync().has("join", room, "state") // it sees the redaction
}

func TestStateThatWasRedactedBeforeItWasSeen(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	bob := newClient(t, s.bob, `{"room":{"timeline":{"not_types":["m.room.redaction"]}}}`)
	bob.sync()
	s.redact(s.alice, room, s.put(s.alice, room, "m.room.topic", `{"topic":"bad"}`))
	a := bob.sync()
	a.has("join", room, "timeline", "topic ")
	a.has("join", room, "state")
}

func TestCountsOfWhatTheFilterHides(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	bob := newClient(t, s.bob, `{"room":{"timeline":{"not_types":["*"]}}}`)
	bob.sync()
	counts := func() string { return string(bob.sync().in("join", room).Get("unread_notifications")) }
	s.say(s.alice, room, "one", "two")
	if got := counts(); got != `{"highlight_count":0,"notification_count":2}` {
		t.Errorf("messages: %s", got)
	}
	s.send(s.bob, room, "org.test.silent", `{}`)
	if got := counts(); got != `{"highlight_count":0,"notification_count":0}` {
		t.Errorf("who speaks has read: %s", got)
	}
	s.send(s.alice, room, "org.test.silent", `{"m.mentions":{"user_ids":["@bob:a.test"]}}`)
	if got := counts(); got != `{"highlight_count":1,"notification_count":1}` {
		t.Errorf("a mention: %s", got)
	}
	last := s.say(s.alice, room, "three")
	bob.sync()
	s.bob.Must("POST", path(room, "receipt", "m.read", last), `{}`)
	if got := counts(); got != `{"highlight_count":0,"notification_count":0}` {
		t.Errorf("a receipt: %s", got)
	}
}

func TestCountsOfThreads(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	bob, together := newClient(t, s.bob, `{"room":{"timeline":{"unread_thread_notifications":true}}}`), newClient(t, s.bob, "")
	bob.sync()
	together.sync()
	reply := func(u *hstest.User, kind, to, more string) string {
		return s.send(u, room, "m.room.message",
			fmt.Sprintf(`{"msgtype":"m.text","body":"x","m.relates_to":{"rel_type":%q,"event_id":%q}%s}`, kind, to, more))
	}
	receipt := func(event, thread string) {
		s.bob.Must("POST", path(room, "receipt", "m.read", event), map[string]string{"thread_id": thread})
	}
	none, one := `{"highlight_count":0,"notification_count":0}`, `{"highlight_count":0,"notification_count":1}`
	two, loud := `{"highlight_count":0,"notification_count":2}`, `{"highlight_count":1,"notification_count":1}`
	told := func(what, main, threads, all string) {
		t.Helper()
		a := bob.sync().in("join", room)
		if got := string(a.Get("unread_notifications")); got != main {
			t.Errorf("%s: the main timeline has %s, want %s", what, got, main)
		}
		if got := string(a.Get("unread_thread_notifications")); got != threads {
			t.Errorf("%s: threads have %s, want %s", what, got, threads)
		}
		if a = together.sync().in("join", room); string(a.Get("unread_notifications")) != all || a.Get("unread_thread_notifications") != nil {
			t.Errorf("%s: together: %s", what, a)
		}
	}
	root := s.say(s.alice, room, "root")
	told("a root", one, `{}`, one)
	first := reply(s.alice, "m.thread", root, "")
	told("a thread", one, fmt.Sprintf(`{%q:%s}`, root, one), two)
	receipt(root, "main")
	told("the main timeline is read", none, fmt.Sprintf(`{%q:%s}`, root, one), one)
	last := reply(s.alice, "m.reference", first, `,"m.mentions":{"user_ids":["@bob:a.test"]}`)
	receipt(first, root)
	told("what relates to what is in a thread is in it, too", none, fmt.Sprintf(`{%q:%s}`, root, loud), loud)
	receipt(last, root)
	told("the thread is read", none, `{}`, none)
	for _, thread := range []string{"main", first, "$unknown"} {
		status, body := s.bob.Do("POST", path(room, "receipt", "m.read", last), map[string]string{"thread_id": thread})
		if status != 400 || text(body, "errcode") != "M_INVALID_PARAM" {
			t.Errorf("a receipt in %s for what is in %s: %d %s", thread, root, status, body)
		}
	}
	reply(s.alice, "m.thread", root, "")
	s.say(s.alice, room, "main")
	reply(s.bob, "m.thread", root, "")
	told("who speaks in a thread has read it", one, `{}`, one)
	last = reply(s.alice, "m.thread", root, "")
	s.bob.Must("POST", path(room, "receipt", "m.read.private", last), `{}`)
	told("a receipt without a thread is for all", none, `{}`, none)
}

func TestTypingAfterARestart(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	bob := newClient(t, s.bob, "")
	bob.sync()
	s.alice.Must("PUT", path(room, "typing", string(s.alice.ID)), `{"typing":true,"timeout":30000}`)
	const somebody = `{"events":[{"content":{"user_ids":["@alice:a.test"]},"type":"m.typing"}]}`
	if got := string(bob.sync().in("join", room).Get("ephemeral")); got != somebody {
		t.Errorf("got %s", got)
	}
	s.server.Restart()
	const nobody = `{"events":[{"content":{"user_ids":[]},"type":"m.typing"}]}`
	if got := string(bob.sync().in("join", room).Get("ephemeral")); got != nobody {
		t.Errorf("after a restart: got %s", got)
	}
	if a := bob.sync(); a.Get("rooms") != nil {
		t.Errorf("told twice: %s", a)
	}
}
