package room

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func TestRoomsOfNetworks(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		public := n.publish(NewRoom{Name: "Public"}, 1)
		one, both := n.create(NewRoom{Preset: PublicChat, Name: "One"}), n.publish(NewRoom{Name: "Both"}, 2)
		for _, roomID := range []id.RoomID{one, both, both} {
			if err := n.PublishIn(ctx, "irc|net", roomID, true); err != nil {
				t.Fatal(err)
			}
		}
		expect := func(search Search, want ...id.RoomID) {
			t.Helper()
			p := n.page(search, Listed{}, false, 10)
			var got []id.RoomID
			for _, r := range p.Rooms {
				got = append(got, r.RoomID)
			}
			slices.Sort(got)
			if slices.Sort(want); !slices.Equal(got, want) || p.Total != len(want) {
				t.Errorf("%+v: got %v of %d, want %v", search, got, p.Total, want)
			}
			var paged []id.RoomID
			for from := (Listed{}); len(paged) < len(want); {
				page := n.page(search, from, false, 1)
				if len(page.Rooms) != 1 {
					t.Fatalf("%+v: behind %v there are %d rooms", search, from, len(page.Rooms))
				}
				from, paged = page.Last(), append(paged, page.Rooms[0].RoomID)
			}
			if slices.Sort(paged); !slices.Equal(paged, want) {
				t.Errorf("%+v: page by page got %v, want %v", search, paged, want)
			}
		}
		expect(Search{}, public, both)
		expect(Search{Network: "irc|net"}, one, both)
		expect(Search{Network: "irc|other"})
		expect(Search{Network: AllNetworks}, public, one, both)
		expect(Search{Network: "irc|net", Term: "on"}, one)
		expect(Search{Network: AllNetworks, Term: "o", Types: []string{""}}, one, both)
		expect(Search{Network: "irc|net\x00"})
		if err := n.PublishIn(ctx, "irc|net", both, false); err != nil {
			t.Fatal(err)
		}
		expect(Search{Network: "irc|net"}, one)
		expect(Search{}, public, both)
		if err := n.PublishIn(ctx, "irc|net", "!none:a.test", true); !errors.Is(err, mxerr.NotFound) {
			t.Errorf("publishing what is not there: %v", err)
		}
		if err := n.PublishIn(ctx, strings.Repeat("x", MaxNetwork+1), one, true); !errors.Is(err, mxerr.InvalidParam) {
			t.Errorf("publishing in an endless name: %v", err)
		}
	})
}
