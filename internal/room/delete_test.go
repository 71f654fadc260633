package room

import (
	"context"
	"errors"
	"slices"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/event"
	"parley/matrix/id"
)

// TestWhoWasMadeToLeaveIsKnownAfterACrash fails the deletion of a room at each of its
// commits, before and after them, and has another server go on.
func TestWhoWasMadeToLeaveIsKnownAfterACrash(t *testing.T) {
	const admin id.UserID = "@admin:a.test"
	for _, point := range []store.Point{store.BeforeCommit, store.AfterCommit} {
		for crashAt := 0; ; crashAt++ {
			db := storetest.Open(t, t.TempDir()+"/parley.db")
			n := start(t, db, soon)
			roomID := n.create(NewRoom{Preset: PublicChat})
			n.send(roomID, join(bob))
			n.send(roomID, member(alice, carol, "invite"))
			name, err := n.Delete(ctx, roomID, Deletion{Creator: admin})
			if err != nil {
				t.Fatal(err)
			}
			p, err := n.PurgeByID(ctx, name, PurgeRoom)
			if err != nil {
				t.Fatal(err)
			}
			seen, crash := 0, errors.New("crash")
			running, cancel := context.WithCancel(ctx)
			db.FailAt(func(at store.Point) error {
				if at != point {
					return nil
				}
				if seen++; seen > crashAt {
					cancel()
					return crash
				}
				return nil
			})
			n.runPurge(running, p)
			cancel()
			db.FailAt(nil)
			n.stop()
			n = start(t, db, soon)
			p = n.purge(name, nil)
			if slices.Sort(p.Members); p.Status != PurgeComplete || !slices.Equal(p.Members, []id.UserID{alice, bob, carol}) || len(p.Leaving) > 0 {
				t.Errorf("crash %d: got %+v", crashAt, p)
			}
			for user, want := range map[id.UserID]string{alice: event.MembershipInvite, bob: event.MembershipInvite, carol: ""} {
				if got, err := n.Membership(ctx, p.NewRoom, user); err != nil || got != want {
					t.Errorf("crash %d: in the new room %s is %q, %v, want %q", crashAt, user, got, err, want)
				}
			}
			n.stop()
			db.Close()
			if seen <= crashAt {
				break
			}
		}
	}
}
