package room

import (
	"errors"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/mxerr"
)

func TestWhatAnotherServerIsToldOfRooms(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		open, private := n.create(NewRoom{Preset: PublicChat}), n.create(NewRoom{Preset: PrivateChat})
		if s, err := n.ServeSpace(ctx, "b.test", open, false); err != nil || s.Room.RoomID != open {
			t.Errorf("the open room: got %v, %v", s, err)
		}
		if _, err := n.ServeSpace(ctx, "b.test", private, false); !errors.Is(err, mxerr.NotFound) {
			t.Errorf("the private room: got %v", err)
		}
		if share, err := n.ShareWithServer(ctx, alice, "b.test"); err != nil || share {
			t.Errorf("sharing with b.test: got %v, %v", share, err)
		}
		if share, err := n.ShareWithServer(ctx, alice, "a.test"); err != nil || !share {
			t.Errorf("sharing with a.test: got %v, %v", share, err)
		}
		for _, back := range []bool{false, true} {
			if gap, err := n.GapBeside(ctx, open, 3, back); err != nil || gap {
				t.Errorf("a gap beside the third event: got %v, %v", gap, err)
			}
		}
	})
}
