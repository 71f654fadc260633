package e2e

import (
	"testing"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

func TestAnInviteArrivesWithTheStrippedStateOfTheRoom(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, bobs, bobsLaptop := alice.logsIn("phone"), bob.logsIn("phone"), bob.logsIn("laptop")
	phone.did("sets her name", phone.SetDisplayName(background, "Alice"))
	room := phone.creates(&mautrix.ReqCreateRoom{Name: "The Garden", Topic: "Plants", Preset: "private_chat"})
	phone.says(room, "not for bob's eyes before he joins")
	phone.invites(room, bob)

	for _, d := range []*device{bobs, bobsLaptop} {
		d.seesItself(room, "invite")
		d.hasStripped(room, alice)
	}
	phone.sees(room, "bob as invited", bob.isMember(event.MembershipInvite))

	bobs.joins(room)
	bobsLaptop.seesItself(room, "join")
	phone.sees(room, "bob as joined", bob.isMember(event.MembershipJoin))
	phone.seesEvents(room, bobs.says(room, "thank you"))
	agree(room, phone, bobs, bobsLaptop)
}

// hasStripped holds an invitation against what the specification wants in it:
// what one has to know to decide whether to join, and nothing of the room's
// conversation.
func (d *device) hasStripped(r id.RoomID, by *user) {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	have := map[string]*event.Event{}
	for _, e := range d.room(r).invitation {
		if e.StateKey == nil || e.Sender == "" {
			d.t.Errorf("%s: stripped state without a state key or a sender: %+v", d.who, e)
			continue
		}
		have[key(e.Type.Type, *e.StateKey)] = e
	}
	for _, kind := range []event.Type{event.StateCreate, event.StateJoinRules, event.StateRoomName, event.StateTopic} {
		if have[key(kind.Type, "")] == nil {
			d.t.Errorf("%s: the invitation lacks %s; it has %v", d.who, kind.Type, have)
		}
	}
	invite := have[key(event.StateMember.Type, d.user.id.String())]
	if invite == nil || invite.Sender != by.id || invite.Content.AsMember().Membership != event.MembershipInvite {
		d.t.Errorf("%s: the invitation by %s is not in its stripped state: %+v", d.who, by.name, invite)
	}
	if name := have[key(event.StateRoomName.Type, "")]; name != nil && name.Content.AsRoomName().Name != "The Garden" {
		d.t.Errorf("%s is invited to a room by the name %s", d.who, name.Content.VeryRaw)
	}
	if len(d.room(r).timeline) > 0 {
		d.t.Errorf("%s sees events of a room that it is only invited to", d.who)
	}
}

func TestAnInviteIsDeclinedAndAnotherIsTakenBack(t *testing.T) {
	t.Parallel()
	alice, bob, carol := newUser(t, "alice"), newUser(t, "bob"), newUser(t, "carol")
	phone, bobs, carols := alice.logsIn("phone"), bob.logsIn("phone"), carol.logsIn("phone")
	room := phone.creates(&mautrix.ReqCreateRoom{Name: "Nobody comes"})
	phone.invites(room, bob)
	phone.invites(room, carol)
	bobs.seesItself(room, "invite")
	carols.seesItself(room, "invite")

	bobs.leaves(room)
	for _, d := range []*device{bobs, phone} {
		d.sees(room, "bob's refusal", bob.isMember(event.MembershipLeave))
	}
	phone.kicks(room, carol, "changed my mind")
	carols.seesItself(room, "leave")
	carols.sees(room, "that she is not invited any more", carol.isMember(event.MembershipLeave))
	_, err := carols.JoinRoomByID(background, room)
	refused(t, "carol joins without an invitation", err, mautrix.MForbidden)
	agree(room, phone)
}

func TestARoomIsMadeWithInvitesAndAsADirectChat(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, bobs := alice.logsIn("phone"), bob.logsIn("phone")
	room := phone.creates(&mautrix.ReqCreateRoom{Preset: "trusted_private_chat", IsDirect: true, Invite: []id.UserID{bob.id}})

	bobs.sees(room, "a direct chat", func(r *view) bool {
		for _, e := range r.invitation {
			if e.Type == event.StateMember && e.GetStateKey() == bob.id.String() {
				return e.Content.AsMember().IsDirect
			}
		}
		return false
	})
	bobs.joins(room)
	phone.sees(room, "bob as joined", bob.isMember(event.MembershipJoin))
	agree(room, phone, bobs)
}
