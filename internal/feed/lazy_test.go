package feed_test

import "testing"

const lazy = `{"room":{"timeline":{"limit":1},"state":{"lazy_load_members":true,"types":["m.room.member"]}}}`

func TestLazyMembersAreThoseWhoSpeak(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob, s.carol)
	s.say(s.carol, room, "one")
	bob := newClient(t, s.bob, lazy)
	bob.sync().has("join", room, "state", "bob join", "carol join")
	s.say(s.carol, room, "two")
	bob.sync().has("join", room, "state")
	s.say(s.alice, room, "three")
	bob.sync().has("join", room, "state", "alice join")

	redundant := newClient(t, s.bob, `{"room":{"state":{"lazy_load_members":true,"include_redundant_members":true,"types":["m.room.member"]}}}`)
	redundant.sync()
	s.say(s.carol, room, "four")
	redundant.sync().has("join", room, "state", "carol join")
}

// TestALazyMemberOfALostAnswerIsToldAgain: the client comes with another token
// than that of the answer that had the member.
func TestALazyMemberOfALostAnswerIsToldAgain(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob, s.carol)
	bob := newClient(t, s.bob, lazy)
	bob.sync()
	s.say(s.alice, room, "one")
	bob.lose().has("join", room, "state", "alice join")
	s.say(s.bob, room, "two")
	bob.sync().has("join", room, "timeline", "two")
	s.say(s.alice, room, "three")
	bob.sync().has("join", room, "state", "alice join")
}

// TestALazyMemberIsKeptUpToDate: whatever happens between, a client that was told
// of a member learns that the member has left, though nobody says so in a
// timeline that it sees.
func TestALazyMemberIsKeptUpToDate(t *testing.T) {
	rows := map[string]func(s *scene, bob *client){
		"":                  func(*scene, *client) {},
		"a restart":         func(s *scene, _ *client) { s.server.Restart() },
		"somebody new":      func(s *scene, _ *client) { newClient(s, s.bob, lazy).sync() },
		"a lost answer":     func(_ *scene, bob *client) { bob.lose() },
		"an older token":    func(_ *scene, bob *client) { since := bob.since; bob.sync(); bob.since = since },
		"asking for it all": func(_ *scene, bob *client) { bob.query = "&full_state=true" },
	}
	for name, meanwhile := range rows {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			room := s.room(s.bob, s.carol)
			s.say(s.carol, room, "one")
			bob := newClient(t, s.bob, lazy)
			bob.sync().has("join", room, "state", "bob join", "carol join")
			s.say(s.bob, room, "two")
			bob.sync()
			s.say(s.bob, room, "three")
			meanwhile(s, bob)
			s.leave(s.carol, room)
			s.say(s.bob, room, "four")
			told := brief(bob.sync().in("join", room).Get("state"))
			if len(told) == 0 || told[len(told)-1] != "carol leave" {
				t.Errorf("got %q", told)
			}
		})
	}
}

func TestALazyMemberIsUpToDateForWhoComesBack(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob, s.carol)
	s.say(s.carol, room, "one")
	bob := newClient(t, s.bob, lazy)
	bob.sync().has("join", room, "state", "bob join", "carol join")
	s.leave(s.bob, room)
	s.to(s.alice, room, "invite", s.bob)
	bob.sync().has("invite", room, "invite_state", "bob invite", "alice join", "create", "name room", "join_rules")
	s.leave(s.carol, room)
	s.join(s.bob, room)
	s.say(s.bob, room, "two")
	bob.sync().has("join", room, "state", "carol leave", "bob join")
}

// TestALazyClientIsToldWhoItIs: it was told of a ban by itself, without a room to
// go with it.
func TestALazyClientIsToldWhoItIs(t *testing.T) {
	s := newScene(t)
	room := s.room()
	bob := newClient(t, s.bob, `{"room":{"timeline":{"limit":0},"state":{"lazy_load_members":true,"types":["m.room.member"]}}}`)
	bob.sync()
	s.to(s.alice, room, "ban", s.bob)
	bob.sync().has("leave", room, "state", "bob ban")
	s.to(s.alice, room, "unban", s.bob)
	s.join(s.bob, room)
	bob.sync().has("join", room, "state", "bob join")
}

// TestAMemberInTheTimelineIsNotTheStateAfterIt: a client that takes no state from
// the timeline has not been told of a member who is only there.
func TestAMemberInTheTimelineIsNotTheStateAfterIt(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	bob := newClient(t, s.bob, lazy)
	bob.query = "&use_state_after=true"
	bob.sync()
	s.to(s.alice, room, "invite", s.carol)
	bob.sync().has("join", room, "timeline", "carol invite")
	s.join(s.carol, room)
	bob.sync().has("join", room, "state_after", "carol join")
	s.say(s.carol, room, "one")
	bob.sync().has("join", room, "state_after")
}
