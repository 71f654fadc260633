package interop

import "testing"

// invitesOnly makes a room of a version for which one needs an invite.
func (u *user) invitesOnly(version string) (room string) {
	u.t.Helper()
	return u.creates(object{"preset": "private_chat", "room_version": version, "name": "the plan"})
}

func TestWhoIsInvitedJoins(t *testing.T) {
	for _, version := range []string{"1", "2", "6", "10", "12"} {
		t.Run("version "+version, func(t *testing.T) {
			eachWay(t, func(t *testing.T, here, there *server) {
				alice, bob := here.register(t, "alice"), there.register(t, "bob")
				room := alice.invitesOnly(version)
				alice.acts("invite", room, bob)
				shown := bob.finds(room, "invite").list("invite_state", "events")
				if !has(shown, "m.room.name", "", "name", "the plan") || !has(shown, "m.room.member", bob.id, "membership", "invite") {
					t.Errorf("the invite shows %v", shown)
				}
				bob.joins(room)
				alice.seesMember(room, bob, "join")
				alice.hears(room, bob.says(room, "here I am"), "here I am")
				agree(t, room, alice, bob)
			})
		})
	}
}

// has is whether events comprise one with a value in its content.
func has(events []object, eventType, key, field, value string) bool {
	for _, e := range events {
		if e.text("type") == eventType && e.text("state_key") == key && e.text("content", field) == value {
			return true
		}
	}
	return false
}

func TestWhoIsInvitedDeclines(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		alice, bob, carol := here.register(t, "alice"), there.register(t, "bob"), there.register(t, "carol")
		room := alice.invitesOnly("10")
		alice.acts("invite", room, carol)
		carol.finds(room, "invite")
		carol.joins(room)
		alice.acts("invite", room, bob)
		bob.finds(room, "invite")
		bob.acts("leave", room, nil)
		bob.loses(room, "invite")
		alice.seesMember(room, bob, "leave")
		agree(t, room, alice, carol)
	})
}

func TestWhoDeclinedIsInvitedAgain(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		alice, bob := here.register(t, "alice"), there.register(t, "bob")
		room := alice.invitesOnly("10")
		alice.acts("invite", room, bob)
		bob.finds(room, "invite")
		bob.acts("leave", room, nil)
		alice.seesMember(room, bob, "leave")
		alice.acts("invite", room, bob)
		bob.finds(room, "invite")
		bob.joins(room)
		agree(t, room, alice, bob)
	})
}

func TestAnInviteIsTakenBack(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		alice, bob := here.register(t, "alice"), there.register(t, "bob")
		room := alice.invitesOnly("10")
		alice.acts("invite", room, bob)
		bob.finds(room, "invite")
		alice.acts("kick", room, bob)
		bob.loses(room, "invite")
		if bob.may("join", room, nil) {
			t.Errorf("%s joins though the invite was taken back", bob.id)
		}
		alice.acts("invite", room, bob)
		bob.finds(room, "invite")
		bob.joins(room)
		agree(t, room, alice, bob)
	})
}

func TestWhoKnocksIsLetIn(t *testing.T) {
	for _, version := range []string{"7", "10", "12"} {
		t.Run("version "+version, func(t *testing.T) {
			eachWay(t, func(t *testing.T, here, there *server) {
				alice, bob := here.register(t, "alice"), there.register(t, "bob")
				room := alice.knocked(version)
				if version == "10" {
					alice.sets(room, "m.room.join_rules", "", object{"join_rule": "knock_restricted", "allow": []object{
						{"type": "m.room_membership", "room_id": alice.creates(object{})}}})
				}
				if status, answer := bob.do("POST", path("join", room)+via([]*server{here}), object{}); status != 403 {
					t.Errorf("%s joins without knocking: got %d %s", bob.id, status, answer)
				}
				bob.knocks(room, here)
				bob.finds(room, "knock")
				alice.seesMember(room, bob, "knock")
				alice.acts("invite", room, bob)
				bob.finds(room, "invite")
				bob.joins(room)
				alice.seesMember(room, bob, "join")
				agree(t, room, alice, bob)
			})
		})
	}
}

// knocked makes a room at which one knocks.
func (u *user) knocked(version string) (room string) {
	u.t.Helper()
	return u.creates(object{"preset": "private_chat", "room_version": version, "name": "the plan", "initial_state": []object{
		{"type": "m.room.join_rules", "state_key": "", "content": object{"join_rule": "knock"}},
	}})
}

func TestAKnockComesToNothing(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		alice, bob, carol := here.register(t, "alice"), there.register(t, "bob"), there.register(t, "carol")
		room := alice.knocked("10")
		bob.knocks(room, here)
		bob.finds(room, "knock")
		alice.seesMember(room, bob, "knock")
		bob.acts("leave", room, nil)
		if bob.server == parley { // Synapse keeps to itself that a knock was taken back
			alice.seesMember(room, bob, "leave")
		}
		carol.knocks(room, here)
		carol.finds(room, "knock")
		alice.acts("kick", room, carol) // Synapse neither says so to the other server nor takes it in
		alice.seesMember(room, carol, "leave")
	})
}

func TestWhoIsInOneRoomJoinsAnother(t *testing.T) {
	for version, rule := range map[string]string{"8": "restricted", "9": "restricted", "10": "knock_restricted", "12": "restricted"} {
		t.Run("version "+version, func(t *testing.T) {
			eachWay(t, func(t *testing.T, here, there *server) {
				alice, bob, carol := here.register(t, "alice"), there.register(t, "bob"), there.register(t, "carol")
				club := alice.creates(object{"preset": "public_chat"})
				bob.joins(club, here)
				room := alice.creates(object{"preset": "private_chat", "room_version": version, "initial_state": []object{
					{"type": "m.room.join_rules", "state_key": "", "content": object{
						"join_rule": rule, "allow": []object{{"type": "m.room_membership", "room_id": club}}}},
				}})
				if status, answer := carol.do("POST", path("join", room)+via([]*server{here}), object{}); status != 403 {
					t.Errorf("who is not in the club joins: got %d %s", status, answer)
				}
				bob.joins(room, here)
				alice.seesMember(room, bob, "join")
				bob.sees(room, "m.room.member", bob.id, "join_authorised_via_users_server", alice.id)
				carol.joins(club, there)
				carol.joins(room, there, here) // their own server cannot let them in: bob may not invite
				alice.seesMember(room, carol, "join")
				agree(t, room, alice, bob, carol)
			})
		})
	}
}

func TestPeopleGo(t *testing.T) {
	for _, version := range []string{"1", "10", "12"} {
		t.Run("version "+version, func(t *testing.T) {
			eachWay(t, func(t *testing.T, here, there *server) {
				alice, bob, carol, dan := here.register(t, "alice"), there.register(t, "bob"), there.register(t, "carol"), there.register(t, "dan")
				room := alice.creates(object{"preset": "public_chat", "room_version": version})
				for _, u := range []*user{bob, carol, dan} {
					u.joins(room, here)
				}
				bob.acts("leave", room, nil)
				alice.seesMember(room, bob, "leave")
				alice.acts("kick", room, carol)
				carol.finds(room, "leave")
				alice.acts("ban", room, carol)
				dan.seesMember(room, carol, "ban")
				if carol.may("join", room, nil) {
					t.Errorf("%s joins though they are banned", carol.id)
				}
				bob.joins(room, here)
				alice.seesMember(room, bob, "join")
				agree(t, room, alice, bob, dan)

				alice.acts("unban", room, carol)
				dan.seesMember(room, carol, "leave")
				carol.joins(room)
				alice.seesMember(room, carol, "join")
				agree(t, room, alice, bob, carol, dan)
			})
		})
	}
}

func TestTheLastOfAServerGoesAndComesBack(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		alice, bob := here.register(t, "alice"), there.register(t, "bob")
		room := alice.creates(object{"preset": "public_chat"})
		bob.joins(room, here)
		alice.seesMember(room, bob, "join")
		bob.acts("leave", room, nil)
		alice.seesMember(room, bob, "leave")
		alice.sets(room, "m.room.topic", "", object{"topic": "while you were gone"})
		said := alice.says(room, "bob is gone")
		bob.joins(room, here)
		bob.sees(room, "m.room.topic", "", "topic", "while you were gone")
		bob.hears(room, alice.says(room, "welcome back"), "welcome back")
		agree(t, room, alice, bob)
		bob.reads(room, said)
	})
}
