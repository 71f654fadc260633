package feed_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"parley/internal/hstest"
	"parley/matrix/canonjson"
)

// wants puts account data of no room.
func wants(u *hstest.User, kind, content string) {
	u.Must("PUT", "/_matrix/client/v3/user/"+string(u.ID)+"/account_data/"+kind, content)
}

// ignores has a user ignore others, and only those.
func ignores(u *hstest.User, others ...*hstest.User) {
	list := canonjson.Value("{}")
	for _, other := range others {
		list = list.With(string(other.ID), canonjson.Value("{}"))
	}
	wants(u, "m.ignored_user_list", `{"ignored_users":`+string(list)+`}`)
}

// unread is how many events of a room notify.
func (a answer) unread(room string) string {
	return string(a.in("join", room).Get("unread_notifications").Get("notification_count"))
}

func (a answer) rooms(section string) (list []string) {
	for name := range a.Get("rooms").Get(section).Members() {
		room, _ := name.Text()
		list = append(list, room)
	}
	return list
}

func TestIgnoredUsersAreNotHeard(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob, s.carol)
	c := quietly(t, s.carol, "")
	c.sync()
	s.say(s.bob, room, "before")
	c.sync().has("join", room, "timeline", "before")
	ignores(s.carol, s.bob, s.carol)
	a := c.sync()
	if got := a.unread(room); got != "0" {
		t.Errorf("what was unread of him counts %s", got)
	}

	hidden := s.say(s.bob, room, "hidden")
	if a := c.sync(); len(a.rooms("join")) != 0 {
		t.Errorf("of a hidden message the client is told %s", a.Value)
	}
	s.say(s.alice, room, "one")
	s.say(s.bob, room, "hidden too")
	s.say(s.carol, room, "mine")
	s.say(s.alice, room, "two")
	s.alice.Must("PUT", path(room, "state", "m.room.power_levels")+"/", fmt.Sprintf(`{"users":{%q:50}}`, s.bob.ID))
	s.put(s.bob, room, "m.room.name", `{"name":"his"}`)
	a = c.sync()
	a.has("join", room, "timeline", "one", "mine", "two", "power_levels", "name his")
	if got := a.unread(room); got != "1" {
		t.Errorf("%s are unread, want the one after her own", got)
	}
	s.say(s.bob, room, "hidden again")
	s.say(s.alice, room, "three")
	a = c.sync()
	a.has("join", room, "timeline", "three")
	if got := a.unread(room); got != "2" {
		t.Errorf("%s are unread, want 2", got)
	}

	// Nor where history is read.
	v := s.carol.Must("GET", path(room, "messages")+"?dir=b&limit=7", nil)
	same(t, "history", brief(canonjson.Value(`{"events":`+string(v.Get("chunk"))+`}`)), "three", "name his", "power_levels", "two", "mine", "one", "carol join")
	for _, call := range []string{"event", "context"} {
		if status, got := s.carol.Do("GET", path(room, call, hidden), nil); status != 404 {
			t.Errorf("%s: got %d %s", call, status, got)
		}
	}
	initial := quietly(t, s.carol, `{"room":{"timeline":{"limit":4}}}`).sync()
	initial.has("join", room, "timeline", "two", "power_levels", "name his", "three")

	// Who is heard again is so from now on.
	ignores(s.carol)
	a = c.sync()
	a.has("join", room, "timeline")
	if got := a.unread(room); got != "3" {
		t.Errorf("%s are unread with his, want 3", got)
	}
	s.say(s.bob, room, "heard")
	c.sync().has("join", room, "timeline", "heard")
}

// TestWhoReadsIsToldWhatIsUnreadThoughNothingWasHeard: with a filter that leaves out
// receipts, the counts are all that there is to tell.
func TestWhoReadsIsToldWhatIsUnreadThoughNothingWasHeard(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob, s.carol)
	ignores(s.carol, s.bob)
	c := newClient(t, s.carol, `{"room":{"ephemeral":{"not_types":["m.receipt"]}}}`)
	last := s.say(s.alice, room, "one", "two")
	if got := c.sync().unread(room); got != "2" {
		t.Fatalf("%s are unread", got)
	}
	s.say(s.bob, room, "hidden")
	s.carol.Must("POST", path(room, "receipt", "m.read", last), `{}`)
	if got := c.sync().unread(room); got != "0" {
		t.Errorf("%q are unread after all was read", got)
	}
}

func TestWhatIgnoredUsersDoIsNotSeen(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob, s.carol)
	said := s.say(s.alice, room, "hello")
	ignores(s.carol, s.bob)
	c := quietly(t, s.carol, "")
	c.sync()
	s.bob.Must("PUT", path(room, "typing", string(s.bob.ID)), `{"typing":true}`)
	s.alice.Must("PUT", path(room, "typing", string(s.alice.ID)), `{"typing":true}`)
	s.bob.Must("POST", path(room, "receipt", "m.read", said), `{}`)
	a := c.sync()
	a.has("join", room, "ephemeral", "m.typing")
	e := a.in("join", room).Get("ephemeral").Get("events")
	if want := `[{"content":{"user_ids":["@alice:a.test"]},"type":"m.typing"}]`; string(e) != want {
		t.Errorf("got %s, want %s", e, want)
	}
	quietly(t, s.carol, "").sync().has("join", room, "ephemeral", "m.typing")

	ignores(s.carol)
	a = c.sync()
	a.has("join", room, "ephemeral", "m.receipt", "m.typing")

	// Also where the user was away in between.
	ignores(s.carol, s.bob)
	c.sync()
	s.bob.Must("POST", path(room, "receipt", "m.read", s.say(s.alice, room, "once more")), `{}`)
	c.sync().has("join", room, "ephemeral")
	ignores(s.carol)
	s.leave(s.carol, room)
	s.join(s.carol, room)
	a = c.sync()
	a.has("join", room, "ephemeral", "m.receipt", "m.typing")
}

func TestInvitesOfIgnoredUsersAreHidden(t *testing.T) {
	s := newScene(t)
	room := text(s.bob.Must("POST", "/_matrix/client/v3/createRoom", `{}`), "room_id")
	for _, tt := range []struct{ name, kind, content, open string }{
		{"an ignored user", "m.ignored_user_list", `{"ignored_users":{"@bob:a.test":{}}}`, `{"ignored_users":{}}`},
		{"no invites at all", "m.invite_permission_config", `{"default_action":"block"}`, `{}`},
		{"an ignored server", "org.matrix.msc4155.invite_permission_config", `{"ignored_servers":["a.*"]}`, `{"allowed_users":["@bob:*"],"blocked_servers":["*"]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := quietly(t, s.carol, "")
			s.to(s.bob, room, "invite", s.carol)
			same(t, "invites", c.sync().rooms("invite"), room)
			wants(s.carol, tt.kind, tt.content)
			same(t, "invites of an initial sync", quietly(t, s.carol, "").sync().rooms("invite"))
			wants(s.carol, tt.kind, tt.open)
			same(t, "invites afterwards", c.sync().rooms("invite"), room)
			s.leave(s.carol, room)
			wants(s.carol, tt.kind, `{}`)
			c.sync()
		})
	}
}

// TestWhoLeftIsToldThoughAHiddenInviteFollows: or the client would go on to show the
// room as one that the user is in, or is invited to.
func TestWhoLeftIsToldThoughAHiddenInviteFollows(t *testing.T) {
	s := newScene(t)
	room := s.room()
	s.join(s.carol, room)
	wants(s.bob, "m.ignored_user_list", `{"ignored_users":{"@carol:a.test":{}}}`)
	for _, tt := range []struct {
		name  string
		first func()
	}{
		{"who was in the room", func() { s.join(s.bob, room) }},
		{"who was invited", func() { s.to(s.alice, room, "invite", s.bob) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.first()
			c := quietly(t, s.bob, "")
			c.sync()
			s.leave(s.bob, room)
			s.to(s.carol, room, "invite", s.bob)
			told := c.sync()
			same(t, "rooms that were left", told.rooms("leave"), room)
			same(t, "invites", told.rooms("invite"))
			same(t, "rooms that were left, once more", c.sync().rooms("leave"))
			s.leave(s.bob, room)
		})
	}
}

func TestInvitesMayBeBlocked(t *testing.T) {
	s := newScene(t)
	room := s.room()
	status := func(want int, method, path, body string) {
		t.Helper()
		got, answer := s.alice.Do(method, path, body)
		if code := text(answer, "errcode"); got != want || want != 200 && code != "M_INVITE_BLOCKED" {
			t.Errorf("%s %s: got %d %s, want %d", method, path, got, answer, want)
		}
	}
	invite, create := path(room, "invite"), "/_matrix/client/v3/createRoom"
	member := path(room, "state", "m.room.member", string(s.bob.ID))
	bob := fmt.Sprintf(`{"user_id":%q}`, s.bob.ID)
	for _, tt := range []struct{ kind, content, open string }{
		{"m.invite_permission_config", `{"default_action":"block"}`, `{"default_action":"allow"}`},
		{"org.matrix.msc4380.invite_permission_config", `{"default_action":"block"}`, `{}`},
		{"org.matrix.msc4155.invite_permission_config", `{"blocked_users":["@ALICE:*"]}`, `{"enabled":false,"blocked_users":["@alice:*"]}`},
		{"org.matrix.msc4155.invite_permission_config", `{"blocked_servers":["?.test"]}`, `{"allowed_users":["@alice:a.test"],"blocked_servers":["*"]}`},
	} {
		wants(s.bob, tt.kind, tt.content)
		status(403, "POST", invite, bob)
		status(403, "PUT", member, `{"membership":"invite"}`)
		status(403, "POST", create, fmt.Sprintf(`{"invite":[%q]}`, s.bob.ID))
		status(200, "POST", invite, fmt.Sprintf(`{"user_id":%q}`, s.carol.ID))
		wants(s.bob, tt.kind, tt.open)
		status(200, "POST", invite, bob)
		s.leave(s.bob, room)
	}
	// Whoever may not invite is not told more than that.
	wants(s.bob, "m.invite_permission_config", `{"default_action":"block"}`)
	if code, answer := s.carol.Do("POST", invite, bob); code != 403 || text(answer, "errcode") != "M_FORBIDDEN" {
		t.Errorf("a stranger gets %d %s", code, answer)
	}
}

func TestThreadsAreCountedWithoutIgnoredUsers(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob, s.carol)
	root := s.say(s.alice, room, "root")
	in := func(u *hstest.User, body string) {
		s.send(u, room, "m.room.message", fmt.Sprintf(`{"msgtype":"m.text","body":%q,"m.relates_to":{"rel_type":"m.thread","event_id":%q}}`, body, root))
	}
	for range 3 {
		in(s.bob, "in the thread")
		s.say(s.bob, room, "in the main timeline")
	}
	in(s.alice, "in the thread")
	other := s.say(s.alice, room, "another root")
	s.send(s.bob, room, "m.room.message", fmt.Sprintf(`{"msgtype":"m.text","body":"x","m.relates_to":{"rel_type":"m.thread","event_id":%q}}`, other))
	counts := func() string {
		a := quietly(t, s.carol, `{"room":{"timeline":{"unread_thread_notifications":true}}}`).sync().in("join", room)
		return fmt.Sprint(a.Get("unread_notifications").Get("notification_count"), a.Get("unread_thread_notifications").Get(root).Get("notification_count"),
			a.Get("unread_thread_notifications").Get(other).Get("notification_count"))
	}
	together := func() string { return quietly(t, s.carol, "").sync().unread(room) }
	if got := counts() + " " + together(); got != "5 4 1 10" {
		t.Errorf("got %s", got)
	}
	ignores(s.carol, s.bob)
	if got := counts() + " " + together(); got != "2 1  3" {
		t.Errorf("without bob, got %s", got)
	}
	s.say(s.bob, room, "hey carol")
	if got := counts() + " " + together(); got != "2 1  3" {
		t.Errorf("with a highlight of his, got %s", got)
	}
}

func TestAnInviteThatIsNotSeenLeavesWhatWasBefore(t *testing.T) {
	s := newScene(t)
	knocked, invited := s.room(s.bob), s.room(s.bob)
	s.put(s.alice, knocked, "m.room.join_rules", `{"join_rule":"knock"}`)
	s.carol.Must("POST", "/_matrix/client/v3/knock/"+knocked, `{}`)
	s.to(s.alice, invited, "invite", s.carol)
	ignores(s.carol, s.bob)
	c := newClient(t, s.carol, "")
	check := func(a answer) {
		t.Helper()
		if a.in("knock", knocked) == nil || a.in("invite", invited) == nil || len(a.rooms("invite")) != 1 {
			t.Errorf("got %s", a)
		}
	}
	check(c.sync())
	s.to(s.bob, knocked, "invite", s.carol)
	s.to(s.bob, invited, "invite", s.carol)
	if a := c.sync(); len(a.rooms("leave")) != 0 || len(a.rooms("invite")) > 1 {
		t.Errorf("of invites that are not seen the client is told %s", a)
	}
	a := newClient(t, s.carol, "").sync()
	check(a)
	if got := brief(a.in("invite", invited).Get("invite_state")); len(got) < 2 || got[1] != "alice join" {
		t.Errorf("the invite is that of %q", got)
	}
	ignores(s.carol)
	if a := c.sync(); len(a.rooms("invite")) != 2 {
		t.Errorf("when nobody is ignored any more, the client is told %s", a)
	}
}

func TestIgnoredUsersAreNotHeardByOldClients(t *testing.T) { synctest.Test(t, ignoredByOldClients) }

func ignoredByOldClients(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob, s.carol)
	s.say(s.alice, room, "hello")
	said := s.say(s.bob, room, "never mind")
	s.bob.Must("POST", path(room, "receipt", "m.read", said), `{}`)
	invited := s.room(s.bob)
	s.to(s.bob, invited, "invite", s.carol)
	for _, u := range []*hstest.User{s.alice, s.bob} {
		says(u, `{"presence":"online"}`)
	}
	later()
	from := text(newClient(t, s.carol, "").sync().Value, "next_batch")
	look := func() string {
		return string(s.carol.Must("GET", "/_matrix/client/v3/initialSync", nil)) + string(s.carol.Must("GET", path(room, "initialSync"), nil))
	}
	const rooms, present = `"membership":"invite"`, `"sender":"@bob:a.test","type":"m.presence"`
	all := look()
	for _, what := range []string{"never mind", rooms, present, `"m.read":{"@bob:a.test"`} {
		if !strings.Contains(all, what) {
			t.Errorf("before, %s is not in %s", what, all)
		}
	}
	ignores(s.carol, s.bob)
	less := look()
	for _, what := range []string{"never mind", rooms, present, `"m.read":{"@bob:a.test"`} {
		if strings.Contains(less, what) {
			t.Errorf("of somebody who is ignored %s is in %s", what, less)
		}
	}
	if !strings.Contains(less, `"sender":"@alice:a.test","type":"m.presence"`) {
		t.Errorf("the presence of Alice is not in %s", less)
	}
	s.say(s.bob, room, "never mind")
	s.say(s.alice, room, "news")
	got := string(s.carol.Must("GET", "/_matrix/client/v3/events?timeout=0&room_id="+room+"&from="+from, nil))
	if strings.Contains(got, "never mind") || !strings.Contains(got, "news") {
		t.Errorf("who looks into the room gets %s", got)
	}
}
