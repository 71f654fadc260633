package room

import (
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
)

// TestRoomsAreReadTogether: many in as few questions as one.
func TestRoomsAreReadTogether(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		rooms := []id.RoomID{"!nowhere:a.test"}
		for range 20 {
			rooms = append(rooms, n.create(NewRoom{}))
		}
		n.send(rooms[3], message(alice, "hello"))
		at := func(roomID id.RoomID) Moment {
			m, err := n.At(ctx, roomID, n.journal.Head())
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		want := make(map[id.RoomID]Moment)
		for _, roomID := range rooms[1:] {
			want[roomID] = at(roomID)
		}
		n.forgetAll()
		before := db.Statements()
		n.Warm(ctx, rooms)
		if asked := db.Statements() - before; asked != 4 {
			t.Errorf("%d questions", asked)
		}
		for _, roomID := range rooms[1:] {
			if n.rooms[roomID] == nil {
				t.Errorf("%s is not in memory", roomID)
			}
			if got := at(roomID); got != want[roomID] {
				t.Errorf("%s is as %+v, and was %+v", roomID, got, want[roomID])
			}
		}
		if len(n.loads) > 0 {
			t.Errorf("%d rooms are still being read", len(n.loads))
		}
		before = db.Statements()
		if n.Warm(ctx, rooms[1:]); db.Statements() != before {
			t.Error("what is in memory is read again")
		}
	})
}
