package e2e

import (
	"net/http"
	"slices"
	"testing"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

func TestAMemberIsKickedAndComesBack(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, bobs := alice.logsIn("phone"), bob.logsIn("phone")
	room := phone.createsWith("The door", bobs)

	phone.kicks(room, bob, "go outside")
	bobs.seesItself(room, "leave")
	bobs.sees(room, "why", func(r *view) bool {
		m := r.member(bob.id)
		return m.Membership == event.MembershipLeave && m.Reason == "go outside"
	})
	_, err := bobs.SendText(background, room, "let me in")
	refused(t, "bob speaks after he was kicked", err, mautrix.MForbidden)
	phone.says(room, "he cannot hear this")
	phone.sets(room, event.StateTopic, &event.TopicEventContent{Topic: "or see this"})
	agree(room, phone, bobs)

	phone.invites(room, bob)
	bobs.joins(room)
	bobs.sees(room, "the topic that was set meanwhile", func(r *view) bool { return r.topic() == "or see this" })
	phone.seesEvents(room, bobs.says(room, "back again"))
	agree(room, phone, bobs)
}

// badState is what some servers answer where the rules refuse a banned user.
var badState = mautrix.RespError{ErrCode: "M_BAD_STATE", StatusCode: http.StatusForbidden}

func TestABanHoldsUntilItIsLifted(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, bobs := alice.logsIn("phone"), bob.logsIn("phone")
	room := phone.creates(&mautrix.ReqCreateRoom{Name: "Open to all but Bob", Preset: "public_chat"})
	bobs.joins(room)

	phone.bans(room, bob, "enough")
	bobs.seesItself(room, "leave")
	bobs.sees(room, "the ban", bob.isMember(event.MembershipBan))
	_, err := bobs.JoinRoomByID(background, room)
	refused(t, "bob joins while he is banned", err, mautrix.MForbidden, badState)
	_, err = phone.InviteUser(background, room, &mautrix.ReqInviteUser{UserID: bob.id})
	refused(t, "alice invites whom she banned", err, mautrix.MForbidden, badState)
	agree(room, phone)

	phone.unbans(room, bob)
	phone.sees(room, "that the ban is lifted", bob.isMember(event.MembershipLeave))
	bobs.joins(room)
	phone.sees(room, "bob's join", bob.isMember(event.MembershipJoin))
	agree(room, phone, bobs)
}

func TestARoomIsLeftAndForgotten(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, bobs, bobsLaptop := alice.logsIn("phone"), bob.logsIn("phone"), bob.logsIn("laptop")
	room := phone.createsWith("Soon forgotten", bobs)
	_, err := bobs.ForgetRoom(background, room)
	refused(t, "bob forgets a room that he is in", err, mautrix.RespError{ErrCode: "M_UNKNOWN", StatusCode: http.StatusBadRequest})

	bobs.leaves(room)
	bobsLaptop.seesItself(room, "leave")
	phone.sees(room, "that bob left", bob.isMember(event.MembershipLeave))
	joined, err := bobs.JoinedRooms(background)
	if err != nil || len(joined.JoinedRooms) != 0 {
		t.Errorf("bob is joined to %+v, %v; want no rooms", joined, err)
	}
	agree(room, phone, bobs, bobsLaptop)

	bobs.forgets(room)
	if part, _ := bobs.plainSync(room); part != "" {
		t.Errorf("a sync from the beginning has the forgotten room in the part %s", part)
	}
	if status, body := bobs.asks(in(room, "messages?dir=b&"), nil); status != http.StatusForbidden {
		t.Errorf("bob reads what he forgot: got %d %s, want %d", status, body, http.StatusForbidden)
	}
	agree(room, phone)
}

func TestTheSummaryCountsTheMembersAndNamesTheHeroes(t *testing.T) {
	t.Parallel()
	for name, filter := range map[string]*mautrix.Filter{"with all members": plainly(), "with members loaded lazily": lazily()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			alice, bob, carol := newUser(t, "alice"), newUser(t, "bob"), newUser(t, "carol")
			phone, bobs := alice.logsInWith("phone", filter), bob.logsInWith("phone", filter)
			room := phone.creates(&mautrix.ReqCreateRoom{Preset: "private_chat"})
			phone.invites(room, bob)
			phone.invites(room, carol)
			phone.sees(room, "one member and two invited", func(r *view) bool { return r.joined == 1 && r.invited == 2 })
			bobs.joins(room)
			phone.sees(room, "two members and one invited", func(r *view) bool { return r.joined == 2 && r.invited == 1 })
			phone.seesHeroes(room, bob, carol)
			bobs.seesHeroes(room, alice, carol)
			agree(room, phone, bobs)
		})
	}
}

// seesHeroes waits until the room, which has no name, is named by two others.
func (d *device) seesHeroes(r id.RoomID, one, two *user) {
	d.t.Helper()
	d.sees(r, "the others as heroes", func(r *view) bool {
		return len(r.heroes) == 2 && slices.Contains(r.heroes, one.id) && slices.Contains(r.heroes, two.id)
	})
}
