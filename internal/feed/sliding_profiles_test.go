package feed_test

import (
	"testing"

	"parley/internal/hstest"
)

// profiles demands that an answer says this of profiles, each as "alice" and what the
// extension says.
func (a slid) profiles(want ...string) {
	a.Helper()
	var got []string
	for user, v := range a.Get("extensions").Get("org.matrix.msc4262.profiles").Get("users").Members() {
		got = append(got, briefUser(user)+" "+string(v))
	}
	same(a, "profiles", got, want...)
}

// follow has a client ask for fields of profiles, beside what else is said of the
// extension.
func (c *slider) follow(fields []string, more ...any) {
	extension := map[string]any{"enabled": true, "fields": fields}
	for i := 0; i < len(more); i += 2 {
		extension[more[i].(string)] = more[i+1]
	}
	c.set("extensions", map[string]any{"org.matrix.msc4262.profiles": extension})
}

func lazily(limit int) map[string]any {
	return map[string]any{"timeline_limit": limit, "required_state": map[string]any{"include": []any{}, "lazy_members": true}}
}

func TestSlidingTellsOfProfilesThatChange(t *testing.T) {
	for _, unstable := range []bool{false, true} {
		s := newScene(t)
		room := s.room(s.bob)
		setField(s.alice, "m.tz", `"UTC"`)
		setField(s.alice, "org.test.x", `"nobody asks for it"`)
		list := map[string]any{"all": all(1)}
		if unstable {
			list["all"] = map[string]any{"ranges": [][]int{{0, 9}}, "timeline_limit": 1, "required_state": [][]string{}}
		}
		bob, carol, unasked := newSlider(t, s.bob, list), newSlider(t, s.carol, list), newSlider(t, s.bob, list)
		for _, c := range []*slider{bob, carol, unasked} {
			c.unstable = unstable
		}
		bob.follow([]string{"m.tz", "org.test.a"})
		carol.follow([]string{"m.tz", "org.test.a"})
		unasked.set("conn_id", "unasked")
		bob.lose().profiles(`alice {"updated":{"m.tz":"UTC"}}`)
		bob.slide().profiles(`alice {"updated":{"m.tz":"UTC"}}`)
		bob.slide().profiles()
		carol.slide().profiles()
		unasked.slide()

		setField(s.alice, "m.tz", `"CET"`)
		setField(s.alice, "org.test.a", `{"b":[null]}`)
		setField(s.alice, "org.test.x", `"nor for this"`)
		setField(s.alice, "m.tz", `"EET"`)
		bob.lose().profiles(`alice {"updated":{"m.tz":"EET","org.test.a":{"b":[null]}}}`)
		bob.lose().profiles(`alice {"updated":{"m.tz":"EET","org.test.a":{"b":[null]}}}`)
		s.server.Restart()
		bob.slide().profiles(`alice {"updated":{"m.tz":"EET","org.test.a":{"b":[null]}}}`)
		bob.slide().profiles()
		carol.slide().profiles()
		if e := unasked.slide().Get("extensions"); string(e) != "{}" {
			t.Errorf("who did not ask is told %s", e)
		}

		setField(s.alice, "org.test.a", `null`) // which is a value like others
		setField(s.alice, "m.tz", "")
		setField(s.bob, "m.tz", `"UTC"`) // by another device, it may be
		bob.slide().profiles(`alice {"removed":["m.tz"],"updated":{"org.test.a":null}}`, `bob {"updated":{"m.tz":"UTC"}}`)
		setField(s.alice, "org.test.a", "")
		bob.slide().profiles(`alice {"removed":["org.test.a"]}`)

		// Who shares no room any more is to be forgotten, and told as a whole when they do again.
		s.leave(s.alice, room)
		setField(s.alice, "m.tz", `"MSK"`)
		bob.lose().profiles(`alice null`)
		bob.slide().profiles(`alice null`)
		setField(s.alice, "org.test.a", `"a"`)
		bob.slide().profiles()
		s.join(s.alice, room)
		bob.slide().profiles(`alice {"updated":{"m.tz":"MSK","org.test.a":"a"}}`)
		s.join(s.carol, room)
		carol.slide().profiles(`alice {"updated":{"m.tz":"MSK","org.test.a":"a"}}`, `bob {"updated":{"m.tz":"UTC"}}`)
		bob.slide().profiles()

		s.alice.Must("POST", "/_matrix/client/v3/account/deactivate", `{"erase":true,"auth":{"type":"m.login.password","identifier":{"type":"m.id.user","user":"alice"},"password":"`+s.alice.Password+`"}}`)
		bob.set("timeout", 60_000)
		bob.slide().profiles(`alice null`) // as soon as she has left
	}
}

func TestSlidingTellsWholeProfilesWithTheRoomsThatTheRequestIsAbout(t *testing.T) {
	s := newScene(t)
	below, above := s.room(s.carol), s.room(s.bob)
	for _, u := range []*hstest.User{s.alice, s.bob, s.carol} {
		setField(u, "m.tz", `"UTC"`)
		setField(u, "org.test.a", `"a"`)
	}
	setField(s.carol, "org.test.a", "")
	list := all(1)
	list["range"] = []int{0, 0}
	c := newSlider(t, s.alice, map[string]any{"top": list})
	c.follow([]string{"m.tz"})
	c.slide().profiles(`alice {"updated":{"m.tz":"UTC"}}`, `bob {"updated":{"m.tz":"UTC"}}`)
	s.say(s.alice, below, "up")
	c.lose().profiles(`alice {"updated":{"m.tz":"UTC"}}`, `carol {"updated":{"m.tz":"UTC"}}`)
	c.slide().profiles(`alice {"updated":{"m.tz":"UTC"}}`, `carol {"updated":{"m.tz":"UTC"}}`)
	s.say(s.alice, above, "up")
	c.slide().profiles() // which the client has
	setField(s.carol, "m.tz", `"CET"`)
	c.slide().profiles(`carol {"updated":{"m.tz":"CET"}}`) // wherever she is

	// Other fields are told of those in the rooms that the request is about, and with the others.
	c.follow([]string{"org.test.a", "m.tz"})
	c.lose().profiles(`alice {"updated":{"m.tz":"UTC","org.test.a":"a"}}`, `bob {"updated":{"m.tz":"UTC","org.test.a":"a"}}`)
	c.slide().profiles(`alice {"updated":{"m.tz":"UTC","org.test.a":"a"}}`, `bob {"updated":{"m.tz":"UTC","org.test.a":"a"}}`)
	c.follow([]string{"m.tz", "org.test.a"}) // the same
	c.slide().profiles()
	list["range"] = []int{0, 9}
	c.slide().profiles(`alice {"updated":{"m.tz":"UTC","org.test.a":"a"}}`, `carol {"removed":["org.test.a"],"updated":{"m.tz":"CET"}}`)

	// Of rooms that the extension is not about, only what changes is told.
	d := newSlider(t, s.alice, map[string]any{"top": list})
	d.set("conn_id", "other")
	d.follow([]string{"m.tz"}, "lists", []string{}, "rooms", []string{above})
	d.slide().profiles(`alice {"updated":{"m.tz":"UTC"}}`)
	d.set("room_subscriptions", map[string]any{above: all(1)})
	d.slide().profiles(`alice {"updated":{"m.tz":"UTC"}}`, `bob {"updated":{"m.tz":"UTC"}}`)
	setField(s.carol, "m.tz", `"EET"`)
	d.slide().profiles(`carol {"updated":{"m.tz":"EET"}}`)
}

func TestSlidingTellsWholeProfilesOfMembersWhoAreLoadedLazily(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob, s.carol)
	s.say(s.alice, room, "this room is called")
	for _, u := range []*hstest.User{s.bob, s.carol} {
		setField(u, "m.tz", `"UTC"`)
	}
	c := newSlider(t, s.alice, map[string]any{"all": lazily(1)})
	c.follow([]string{"m.tz"})
	c.slide().profiles()
	s.say(s.bob, room, "hello")
	c.lose().profiles(`bob {"updated":{"m.tz":"UTC"}}`)
	c.slide().profiles(`bob {"updated":{"m.tz":"UTC"}}`)
	s.say(s.bob, room, "again")
	c.slide().profiles()
	setField(s.carol, "m.tz", `"CET"`)
	c.slide().profiles(`carol {"updated":{"m.tz":"CET"}}`)
	s.server.Restart() // who was told of whom is forgotten
	s.say(s.bob, room, "and again")
	c.slide().profiles(`bob {"updated":{"m.tz":"UTC"}}`)

	// Who has left is not told of, whatever they said.
	s.say(s.carol, room, "good bye")
	s.leave(s.carol, room)
	setField(s.carol, "m.tz", `"MSK"`)
	c.slide().profiles(`carol null`)

	// After whom a room is called belongs to what is told of it.
	direct := text(s.alice.Must("POST", "/_matrix/client/v3/createRoom", `{"preset":"trusted_private_chat"}`), "room_id")
	s.to(s.alice, direct, "invite", s.carol)
	c.slide().profiles()
	s.join(s.carol, direct)
	c.slide().profiles(`carol {"updated":{"m.tz":"MSK"}}`)
	anew := newSlider(t, s.alice, map[string]any{"all": lazily(0)})
	anew.set("conn_id", "anew")
	anew.follow([]string{"m.tz"})
	anew.slide().profiles(`carol {"updated":{"m.tz":"MSK"}}`)
	anew.follow([]string{"m.tz", "org.test.a"})
	anew.slide().profiles(`bob {"updated":{"m.tz":"UTC"}}`, `carol {"updated":{"m.tz":"MSK"}}`)
}

// TestSlidingTellsProfilesOnceWhateverTheUserIsCalled: another name is no other stay.
func TestSlidingTellsProfilesOnceWhateverTheUserIsCalled(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	setField(s.bob, "m.tz", `"UTC"`)
	c := newSlider(t, s.alice, map[string]any{"all": all(5)})
	c.follow([]string{"m.tz"})
	c.slide().profiles(`bob {"updated":{"m.tz":"UTC"}}`)
	c.set("timeout", 60_000)
	setField(s.alice, "displayname", `"Alice"`)
	a := c.slide()
	a.has(room, "timeline", "alice join")
	a.profiles()

	s.leave(s.alice, room)
	s.join(s.alice, room)
	c.slide().profiles(`bob {"updated":{"m.tz":"UTC"}}`)
}

// TestSlidingTellsNothingOfWhoOnlyInvites: a profile may be for those only who share a
// room.
func TestSlidingTellsNothingOfWhoOnlyInvites(t *testing.T) {
	s := newScene(t)
	setField(s.alice, "m.tz", `"UTC"`)
	bob, classic := newSlider(t, s.bob, map[string]any{"all": lazily(10)}), newClient(t, s.bob, someFields)
	bob.follow([]string{"m.tz"})
	bob.slide()
	classic.sync()
	room := text(s.alice.Must("POST", "/_matrix/client/v3/createRoom", `{"preset":"private_chat"}`), "room_id")
	s.to(s.alice, room, "invite", s.bob)
	bob.slide().profiles()
	setField(s.alice, "m.tz", `"CET"`)
	bob.slide().profiles()
	classic.sync().profiles()
	s.join(s.bob, room)
	bob.slide().profiles(`alice {"updated":{"m.tz":"CET"}}`)
	classic.sync().profiles(`alice {"displayname":"alice","m.tz":"CET","org.test.a":null,"org.test.none":null}`)
}

func TestSlidingRefusesFieldsThatAreNone(t *testing.T) {
	s := newScene(t)
	c := newSlider(t, s.alice, map[string]any{})
	for _, fields := range []any{"m.tz", []any{1}, map[string]any{}} {
		c.set("extensions", map[string]any{"org.matrix.msc4262.profiles": map[string]any{"enabled": true, "fields": fields}})
		if status, v := c.try(); status != 400 || text(v, "errcode") != "M_BAD_JSON" {
			t.Errorf("%v: got %d %s", fields, status, v)
		}
	}
	for _, none := range [][]string{{"\x00", "no field"}, {}} {
		c.follow(none)
		c.slide().profiles()
	}
	c.follow(nil) // which is all of them
	c.slide().profiles(`alice {"updated":{"displayname":"alice"}}`)
}
