package e2e

import (
	"testing"
	"time"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

func TestReadingClearsTheUnreadCountAndShowsToTheOthers(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, bobs, bobsLaptop := alice.logsIn("phone"), bob.logsIn("phone"), bob.logsIn("laptop")
	room := phone.createsWith("To be read", bobs)

	var last id.EventID
	for _, text := range []string{"one", "two", "three"} {
		last = phone.says(room, text)
	}
	for _, d := range []*device{bobs, bobsLaptop} {
		d.sees(room, "three unread messages", func(r *view) bool { return r.unread == [2]int{3, 0} })
	}
	mention := phone.sends(room, &event.MessageEventContent{
		MsgType: event.MsgText, Body: "bob!", Mentions: &event.Mentions{UserIDs: []id.UserID{bob.id}},
	})
	bobs.sees(room, "that it was mentioned", func(r *view) bool { return r.unread == [2]int{4, 1} })

	bobs.reads(room, last)
	phone.sees(room, "how far bob has read", func(r *view) bool { return r.read(bob) == last })
	bobsLaptop.sees(room, "that only the mention is unread", func(r *view) bool { return r.unread == [2]int{1, 1} })
	bobs.reads(room, mention)
	phone.sees(room, "that bob has read it all", func(r *view) bool { return r.read(bob) == mention })
	for _, d := range []*device{bobs, bobsLaptop} {
		d.sees(room, "nothing unread", func(r *view) bool { return r.unread == [2]int{0, 0} })
	}
	phone.sees(room, "that alice has nothing unread in what she said", func(r *view) bool { return r.unread == [2]int{0, 0} })
	agree(room, phone, bobs, bobsLaptop)
}

func TestAPrivateReceiptIsSeenByItsOwnerOnly(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, bobs, bobsLaptop := alice.logsIn("phone"), bob.logsIn("phone"), bob.logsIn("laptop")
	room := phone.createsWith("Discreet", bobs)
	first := phone.says(room, "did you see this?")

	bobs.did("reads privately", bobs.SendReceipt(background, room, first, event.ReceiptTypeReadPrivate, nil))
	bobsLaptop.sees(room, "the private receipt", func(r *view) bool {
		return r.receipts[reader{user: bob.id, kind: event.ReceiptTypeReadPrivate}] == first && r.unread == [2]int{0, 0}
	})
	second := phone.says(room, "and this?")
	bobs.reads(room, second)
	phone.sees(room, "bob's public receipt", func(r *view) bool { return r.read(bob) == second })
	phone.sees(room, "no private receipt of bob", func(r *view) bool {
		_, seen := r.receipts[reader{user: bob.id, kind: event.ReceiptTypeReadPrivate}]
		return !seen
	})
	agree(room, phone, bobs, bobsLaptop)
}

func TestTheFullyReadMarkerReachesTheOtherDevice(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, bobs, bobsLaptop := alice.logsIn("phone"), bob.logsIn("phone"), bob.logsIn("laptop")
	room := phone.createsWith("Markers", bobs)
	e := phone.says(room, "read me")

	bobs.did("sets the markers", bobs.SetReadMarkers(background, room, map[string]any{"m.fully_read": e, "m.read": e}))
	bobsLaptop.sees(room, "the fully read marker", func(r *view) bool {
		return r.account["m.fully_read"] == `{"event_id":"`+e.String()+`"}`
	})
	phone.sees(room, "bob's receipt", func(r *view) bool { return r.read(bob) == e })
	agree(room, phone, bobs, bobsLaptop)
}

func TestTypingStartsAndStops(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, bobs := alice.logsIn("phone"), bob.logsIn("phone")
	room := phone.createsWith("Typing", bobs)
	nobody := func(r *view) bool { return len(r.typing) == 0 }
	bobTypes := func(r *view) bool { return len(r.typing) == 1 && r.typing[0] == bob.id }

	bobs.types(room, true, time.Minute)
	phone.sees(room, "bob typing", bobTypes)
	bobs.types(room, false, 0)
	phone.sees(room, "nobody typing after bob stopped", nobody)
	bobs.types(room, true, 500*time.Millisecond)
	phone.sees(room, "bob typing again", bobTypes)
	phone.sees(room, "nobody typing after bob's time ran out", nobody)
	agree(room, phone, bobs)
}

func TestAChangedNameReachesTheRooms(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, bobs, bobsLaptop := alice.logsIn("phone"), bob.logsIn("phone"), bob.logsIn("laptop")
	one, two := phone.createsWith("One", bobs), phone.createsWith("Two", bobs)

	bobs.did("takes a name", bobs.SetDisplayName(background, "Robert"))
	for _, room := range []id.RoomID{one, two} {
		for _, d := range []*device{phone, bobs, bobsLaptop} {
			d.sees(room, "bob's new name", func(r *view) bool {
				m := r.member(bob.id)
				return m.Displayname == "Robert" && m.Membership == event.MembershipJoin
			})
		}
	}
	profile, err := phone.GetProfile(background, bob.id)
	if err != nil || profile.DisplayName != "Robert" {
		t.Errorf("bob's profile: %+v, %v", profile, err)
	}
	agree(one, phone, bobs, bobsLaptop)
	agree(two, phone, bobs, bobsLaptop)
}
