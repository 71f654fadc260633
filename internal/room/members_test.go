package room

import (
	"errors"
	"maps"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (n *node) memberships(user id.UserID) map[id.RoomID]string {
	n.t.Helper()
	rooms, err := n.Rooms(ctx, user)
	if err != nil {
		n.t.Fatal(err)
	}
	got := make(map[id.RoomID]string)
	for _, m := range rooms {
		got[m.RoomID] = m.Membership
	}
	return got
}

func TestMemberships(t *testing.T) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		n := start(t, storetest.Open(t, location), Options{})
		pub, home := n.create(NewRoom{Preset: PublicChat}), n.create(NewRoom{Invites: []id.UserID{bob}})
		n.send(pub, join(bob))
		n.send(pub, join(carol))
		n.send(pub, state(alice, event.TypeMember, string(carol), `{"membership":"ban"}`))
		want := map[id.UserID]map[id.RoomID]string{
			alice: {pub: "join", home: "join"}, bob: {pub: "join", home: "invite"}, carol: {pub: "ban"}, "@nobody:a.test": {},
		}
		check := func() {
			t.Helper()
			for user, rooms := range want {
				if got := n.memberships(user); !maps.Equal(got, rooms) {
					t.Errorf("%s: got %v, want %v", user, got, rooms)
				}
			}
			now, err := n.Now(ctx, pub)
			if err != nil {
				t.Fatal(err)
			}
			members, err := n.StateOfType(ctx, pub, now.Root, event.TypeMember)
			if err != nil {
				t.Fatal(err)
			}
			got := make(map[string]string)
			for _, it := range members {
				user, _ := it.Event.StateKey()
				got[user] = it.Event.Membership()
			}
			if now.Joined != 2 || now.Invited != 0 {
				t.Errorf("%d are joined, %d invited", now.Joined, now.Invited)
			}
			if !maps.Equal(got, map[string]string{string(alice): "join", string(bob): "join", string(carol): "ban"}) {
				t.Errorf("members are %v", got)
			}
		}
		check()
		n.stop()
		n.db.Close()
		n = start(t, storetest.Open(t, location), Options{})
		check()
	})
}

func TestMembersOfNoRoom(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		if _, err := n.Now(ctx, "!nowhere:a.test"); !errors.Is(err, mxerr.NotFound) {
			t.Errorf("got %v", err)
		}
	})
}
