package room

import (
	"maps"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

func TestWhatOthersRelateTo(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		roomID := n.create(NewRoom{Preset: PublicChat})
		n.send(roomID, join(bob))
		relating := func(sender id.UserID, relType string, parent id.EventID) id.EventID {
			d := message(sender, "this")
			d.Content = d.Content.With("m.relates_to",
				object("event_id", canonjson.Text(string(parent))).With("rel_type", canonjson.Text(relType)))
			return n.send(roomID, d).EventID
		}
		threaded, liked, unliked := n.send(roomID, message(alice, "1")).EventID, n.send(roomID, message(alice, "2")).EventID,
			n.send(roomID, message(alice, "3")).EventID
		relating(bob, "m.thread", threaded)
		relating(alice, "m.reaction", liked)
		n.send(roomID, redaction(bob, relating(bob, "m.reaction", unliked)))
		relating(bob, "with \x00 in it", unliked)

		items, err := n.Back(ctx, roomID, Last, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range []struct {
			name     string
			relTypes []string
			senders  []id.UserID
			want     []id.EventID
		}{
			{"anything", nil, nil, []id.EventID{threaded, liked}},
			{"a thread", []string{"m.thread"}, nil, []id.EventID{threaded}},
			{"one of two types", []string{"m.thread", "m.reaction"}, nil, []id.EventID{threaded, liked}},
			{"something of alice", nil, []id.UserID{alice}, []id.EventID{liked}},
			{"a thread of alice", []string{"m.thread"}, []id.UserID{alice}, nil},
			{"nothing", []string{}, nil, nil},
		} {
			got, err := n.Related(ctx, roomID, items, row.relTypes, row.senders, []Interval{{1, Last}})
			if err != nil {
				t.Fatal(err)
			}
			want := make(map[id.EventID]bool)
			for _, eventID := range row.want {
				want[eventID] = true
			}
			if !maps.Equal(got, want) {
				t.Errorf("%s: got %v, want %v", row.name, got, want)
			}
		}
		// What the reader may not see is nothing to go by.
		for _, seen := range [][]Interval{nil, {{1, items[len(items)-1].Place}}} {
			if got, err := n.Related(ctx, roomID, items, nil, nil, seen); err != nil || len(got) > 0 {
				t.Errorf("for who sees %v: got %v, %v", seen, got, err)
			}
		}
	})
}
