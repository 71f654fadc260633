package room

import (
	"errors"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func TestRoomsAreSurveyed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, soon)
		small, large, gone := n.create(NewRoom{Preset: PublicChat}), n.create(NewRoom{Preset: PublicChat}), n.create(NewRoom{Preset: PublicChat})
		n.send(large, join(bob))
		for range 20 {
			n.send(large, message(bob, "something that takes a bit of room"))
		}
		n.send(small, member(alice, "@far:b.test", "invite"))
		n.purge(n.Delete(ctx, gone, Deletion{Purge: true}))
		survey := func() map[id.RoomID]Overview {
			t.Helper()
			list, err := n.Survey(ctx)
			if err != nil {
				t.Fatal(err)
			}
			all := make(map[id.RoomID]Overview)
			for _, o := range list {
				all[o.RoomID] = o
			}
			return all
		}
		all := survey()
		if len(all) != 2 || all[small].Joined != 1 || all[large].Joined != 2 {
			t.Fatalf("got %+v", all)
		}
		for roomID, o := range all {
			var bytes int64
			for _, q := range []string{"SELECT sum(length(json)) FROM events WHERE room = $1", "SELECT sum(length(node)) FROM state_nodes WHERE room = $1"} {
				bytes += n.count(q, o.Room)
			}
			if events := n.count("SELECT count(*) FROM events WHERE room = $1", o.Room); o.Events != events || o.Bytes != bytes {
				t.Errorf("%s has %d events of %d bytes, want %d and %d", roomID, o.Events, o.Bytes, events, bytes)
			}
		}
		n.purge(n.PurgeHistory(ctx, large, Last, false))
		after := survey()[large]
		if events := n.count("SELECT count(*) FROM events WHERE room = $1", after.Room); after.Events != events || after.Bytes >= all[large].Bytes {
			t.Errorf("after a purge it has %d events of %d bytes, want %d of less", after.Events, after.Bytes, events)
		}
		counts, err := n.CountLocal(ctx, []Num{all[small].Room, all[large].Room})
		if err != nil || counts[all[small].Room] != 1 || counts[all[large].Room] != 2 {
			t.Errorf("local members: %v, %v", counts, err)
		}
		users, forgotten, err := n.LocalJoined(ctx, all[large].Room)
		if err != nil || len(users) != 2 || forgotten {
			t.Errorf("local members: %v, %v, %v", users, forgotten, err)
		}
		if o, err := n.Overview(ctx, small); err != nil || o != all[small] {
			t.Errorf("got %+v, %v", o, err)
		}
		if _, err := n.Overview(ctx, gone); !errors.Is(err, mxerr.NotFound) {
			t.Errorf("a room that is gone: %v", err)
		}
	})
}
