package e2e

import (
	"testing"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
)

func TestAKnockIsAnswered(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, bobs := alice.logsIn("phone"), bob.logsIn("phone")
	room := phone.creates(&mautrix.ReqCreateRoom{Name: "Please knock", Preset: "private_chat"})
	phone.sets(room, event.StateJoinRules, &event.JoinRulesEventContent{JoinRule: event.JoinRuleKnock})
	_, err := bobs.JoinRoomByID(background, room)
	refused(t, "bob enters without knocking", err, mautrix.MForbidden)

	_, err = bobs.KnockRoom(background, room.String(), &mautrix.ReqKnockRoom{Reason: "it is raining"})
	bobs.did("knocks", err)
	bobs.seesItself(room, "knock")
	phone.sees(room, "bob at the door", func(r *view) bool {
		m := r.member(bob.id)
		return m.Membership == event.MembershipKnock && m.Reason == "it is raining"
	})
	phone.invites(room, bob)
	bobs.seesItself(room, "invite")
	bobs.joins(room)
	phone.seesEvents(room, bobs.says(room, "thank you"))
	agree(room, phone, bobs)
}

func TestAKnockIsTurnedAway(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, bobs := alice.logsIn("phone"), bob.logsIn("phone")
	room := phone.creates(&mautrix.ReqCreateRoom{Name: "Nobody is at home", Preset: "private_chat"})
	phone.sets(room, event.StateJoinRules, &event.JoinRulesEventContent{JoinRule: event.JoinRuleKnock})
	_, err := bobs.KnockRoom(background, room.String(), nil)
	bobs.did("knocks", err)
	phone.sees(room, "bob at the door", bob.isMember(event.MembershipKnock))
	phone.kicks(room, bob, "not today")
	bobs.seesItself(room, "leave")
	phone.sees(room, "that bob is gone", bob.isMember(event.MembershipLeave))
	agree(room, phone)
}
