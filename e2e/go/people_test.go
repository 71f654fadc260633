package e2e

import (
	"slices"
	"testing"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

func TestOthersSeeWhoIsThere(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, bobs := alice.logsIn("phone"), bob.logsIn("phone")
	room := phone.createsWith("Presence", bobs)
	phone.did("says where she is", phone.SetPresence(background, mautrix.ReqPresence{Presence: event.PresenceOnline, StatusMsg: "at lunch"}))
	bobs.until("alice's status", func() bool {
		p := bobs.presence[alice.id]
		return p != nil && p.Presence == event.PresenceOnline && p.StatusMessage == "at lunch"
	})
	if p, err := bobs.GetPresence(background, alice.id); err != nil || p.StatusMsg != "at lunch" || !p.CurrentlyActive {
		t.Errorf("alice's presence is %+v, %v", p, err)
	}
	_, err := newUser(t, "carol").logsIn("phone").GetPresence(background, alice.id)
	refused(t, "carol asks for who shares no room with her", err, mautrix.MForbidden)
	agree(room, phone, bobs)
}

func TestWhoIsIgnoredIsNotHeard(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, laptop, bobs := alice.logsIn("phone"), alice.logsIn("laptop"), bob.logsIn("phone")
	room := phone.createsWith("Quiet", bobs)
	ignores := func(users ...id.UserID) {
		list := map[id.UserID]event.IgnoredUser{}
		for _, u := range users {
			list[u] = event.IgnoredUser{}
		}
		phone.did("ignores", phone.SetAccountData(background, "m.ignored_user_list", &event.IgnoredUserListEventContent{IgnoredUsers: list}))
	}
	ignores(bob.id)
	laptop.until("that bob is ignored", func() bool { return laptop.account["m.ignored_user_list"] != "" })

	ignored := bobs.says(room, "can you hear me?")
	invited := bobs.creates(&mautrix.ReqCreateRoom{Name: "Come here", Invite: []id.UserID{alice.id}})
	heard := phone.says(room, "so quiet here")
	for _, d := range []*device{phone, laptop, phone.startsAfresh()} {
		d.seesEvents(room, heard)
		d.sees(room, "nothing of bob", func(r *view) bool { return r.find(ignored) == nil && r.unread == [2]int{0, 0} })
		d.sees(invited, "no invite of bob", func(r *view) bool { return r.part == "" })
	}
	ignores()
	laptop.until("that bob is heard again", func() bool { return laptop.account["m.ignored_user_list"] == `{"ignored_users":{}}` })
	again := bobs.says(room, "and now?")
	phone.seesEvents(room, again)
	agree(room, bobs)
}

func TestTheRoomsOfTwoPeopleAreFound(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, bobs := alice.logsIn("phone"), bob.logsIn("phone")
	room := phone.createsWith("Both of us", bobs)
	phone.creates(&mautrix.ReqCreateRoom{Name: "Only alice"})
	_, err := phone.Versions(background)
	phone.did("asks for the versions", err)
	if mutual, err := phone.GetMutualRooms(background, bob.id); err != nil || !slices.Equal(mutual.Joined, []id.RoomID{room}) {
		t.Errorf("got %+v, %v, want %s", mutual, err, room)
	}
}
