package room

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func TestHeroes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		roomID := n.create(NewRoom{Preset: PublicChat, Invites: []id.UserID{bob}})
		num := n.num(roomID)
		heroes := func(want ...id.UserID) {
			t.Helper()
			if got, err := n.Heroes(ctx, num, alice); err != nil || !slices.Equal(got, want) {
				t.Errorf("got %v, %v, want %v", got, err, want)
			}
		}
		heroes(bob)
		n.send(roomID, join(carol))
		heroes(bob, carol)
		var many []id.UserID
		for i := range 6 {
			many = append(many, id.UserID(fmt.Sprintf("@user%d:a.test", i)))
			n.send(roomID, join(many[i]))
		}
		heroes(append([]id.UserID{bob, carol}, many[:3]...)...)
		n.send(roomID, join(bob))
		heroes(append([]id.UserID{carol}, many[:4]...)...)
		for _, user := range append(many, carol) {
			n.send(roomID, member(user, user, "leave"))
		}
		heroes(bob)
		n.send(roomID, member(alice, bob, "ban"))
		heroes(many[0], many[1], many[2], many[3], many[4])
	})
}

func TestMaySend(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		roomID := n.create(NewRoom{Preset: PublicChat, Levels: canonjson.Value(`{"events":{"m.room.message":10}}`)})
		n.send(roomID, join(bob))
		for name, r := range map[string]struct {
			user      id.UserID
			eventType string
			state     bool
			want      bool
		}{
			"the creator, anything":       {alice, event.TypePowerLevels, true, true},
			"a member, what takes power":  {bob, "m.room.message", false, false},
			"a member, what takes none":   {bob, "org.example.other", false, true},
			"a member, any state":         {bob, "org.example.other", true, false},
			"a stranger, what takes none": {carol, "org.example.other", false, false},
		} {
			if got, err := n.MaySend(ctx, roomID, r.user, r.eventType, r.state); err != nil || got != r.want {
				t.Errorf("%s: %v, %v", name, got, err)
			}
		}
		if _, err := n.MaySend(ctx, "!nowhere:a.test", alice, "t", false); !errors.Is(err, mxerr.NotFound) {
			t.Errorf("a room that is not there: %v", err)
		}
	})
}

func TestRoomsByNumber(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		roomID := n.create(NewRoom{})
		for range 2 {
			if got, err := n.RoomID(ctx, n.num(roomID)); err != nil || got != roomID {
				t.Errorf("got %s, %v, want %s", got, err, roomID)
			}
			n.forgetAll()
		}
		if got, err := n.RoomID(ctx, 999); !errors.Is(err, store.ErrNoRows) {
			t.Errorf("got %s, %v of a room that is not there", got, err)
		}
	})
}
