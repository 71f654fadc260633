package room

import (
	"context"
	"errors"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func TestWhoSharesRooms(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		share := func(a, b id.UserID, want int64) {
			t.Helper()
			shared, err := n.Share(ctx, a, b)
			if err != nil || shared != (want > 0) {
				t.Errorf("%s and %s share a room: %t, %v", a, b, shared, err)
			}
			rooms, count, err := n.Mutual(ctx, a, b, 0, 100)
			if err != nil || count != want || int64(len(rooms)) != want {
				t.Errorf("%s and %s share %d rooms, %v, want %d (%v)", a, b, count, rooms, want, err)
			}
		}
		public := func(user id.UserID, want bool) {
			t.Helper()
			if got, err := n.InPublic(ctx, user); err != nil || got != want {
				t.Errorf("%s is in a public room: %t, %v", user, got, err)
			}
		}
		share(alice, bob, 0)
		closed := n.create(NewRoom{Creator: alice, Preset: PrivateChat, Invites: []id.UserID{bob}})
		share(alice, bob, 0)
		n.enter(closed, bob)
		share(alice, bob, 1)
		share(bob, alice, 1)
		public(bob, false)
		seen := n.create(NewRoom{Creator: alice, Preset: PrivateChat, Invites: []id.UserID{bob}, State: []Draft{
			state("", "m.room.history_visibility", "", `{"history_visibility":"world_readable"}`),
		}})
		n.enter(seen, bob)
		public(bob, true)
		if _, err := n.Leave(ctx, seen, Move{Sender: bob}); err != nil {
			t.Fatal(err)
		}
		share(alice, bob, 1)
		public(bob, false)
		open := n.create(NewRoom{Creator: alice, Preset: PublicChat})
		public(alice, true)
		n.enter(open, bob)
		share(alice, bob, 2)
		rooms, count, err := n.Mutual(ctx, alice, bob, 0, 1)
		if err != nil || count != 2 || len(rooms) != 1 {
			t.Fatalf("got %v of %d, %v", rooms, count, err)
		}
		next, _, err := n.Mutual(ctx, alice, bob, rooms[0].Room, 10)
		if err != nil || len(next) != 1 || next[0].Room <= rooms[0].Room {
			t.Errorf("behind %v: got %v, %v", rooms, next, err)
		}
	})
}

// enter has a user join a room.
func (n *node) enter(roomID id.RoomID, user id.UserID) {
	n.t.Helper()
	if _, err := n.Join(ctx, roomID, Move{Sender: user, Content: canonjson.Value("{}")}); err != nil {
		n.t.Fatal(err)
	}
}

func TestUnwantedInvitesAreRefused(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var asked []id.UserID
		n := start(t, db, Options{MayInvite: func(_ context.Context, sender, target id.UserID) error {
			asked = append(asked, target)
			if target == bob {
				return mxerr.New(mxerr.InviteBlocked, "no")
			}
			return nil
		}})
		roomID := n.create(NewRoom{Creator: alice, Preset: PublicChat})
		for _, tt := range []struct {
			name           string
			sender, target id.UserID
			want           mxerr.Code
		}{
			{"somebody who does not want to", alice, bob, mxerr.InviteBlocked},
			{"somebody else", alice, "@carol:a.test", ""},
			{"by somebody who may not", "@dave:a.test", bob, mxerr.Forbidden},
			{"somebody elsewhere, who is asked there", alice, "@bob:b.test", ""},
		} {
			_, err := n.Invite(ctx, roomID, Move{Sender: tt.sender, Target: tt.target})
			if tt.want == "" && err != nil || tt.want != "" && !errors.Is(err, tt.want) {
				t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
			}
		}
		if _, _, err := n.Create(ctx, NewRoom{Creator: alice, Preset: PublicChat, Invites: []id.UserID{"@carol:a.test", bob}}); !errors.Is(err, mxerr.InviteBlocked) {
			t.Errorf("a room with bob: %v", err)
		}
		if len(asked) != 4 {
			t.Errorf("asked for %v", asked)
		}
	})
}
