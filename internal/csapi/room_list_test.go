package csapi

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"parley/internal/room"
	"parley/matrix/id"
)

// TestPagesAddUp: whatever the list and the limit, the pages from the beginning
// on have each room once, in order, and so have those back from the end.
func TestPagesAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		counts := rapid.SliceOfN(rapid.Int64Range(1, 4), 0, 12).Draw(t, "members")
		limit := rapid.IntRange(1, 5).Draw(t, "limit")
		var rooms []room.Summary
		for i, n := range counts {
			rooms = append(rooms, room.Summary{RoomID: id.RoomID(fmt.Sprintf("!%d", i)), Joined: n})
		}
		slices.SortFunc(rooms, func(a, b room.Summary) int { return placeOf(a).compare(placeOf(b)) })
		turn := func(token string) (page []room.Summary, next, prev string) {
			p, err := parseRoomPage(token)
			if err != nil {
				t.Fatal(err)
			}
			return p.of(rooms, limit)
		}
		there, next, _ := turn("")
		there = slices.Clone(there)
		back := ""
		for next != "" {
			var page []room.Summary
			page, next, back = turn(next)
			there = append(there, page...)
			if len(page) == 0 || len(page) > limit || back == "" {
				t.Fatalf("a page of %d behind the first, with the token %q back", len(page), back)
			}
		}
		if !slices.Equal(there, rooms) {
			t.Errorf("got %v, want %v", there, rooms)
		}
		seen := len(rooms)
		for back != "" {
			page, _, prev := turn(back)
			first := slices.Index(rooms, page[0])
			if seen = min(seen, first); !slices.Equal(page, rooms[first:first+len(page)]) {
				t.Errorf("the page back has %v", page)
			}
			back = prev
		}
		if len(rooms) > limit && seen != 0 {
			t.Errorf("the way back ends at %d", seen)
		}
	})
}

// TestAPlaceOutlivesItsRoom: the next page begins where the last one ended,
// though the room there has left the list.
func TestAPlaceOutlivesItsRoom(t *testing.T) {
	rooms := []room.Summary{{RoomID: "!a", Joined: 3}, {RoomID: "!b", Joined: 2}, {RoomID: "!c", Joined: 1}}
	_, next, _ := roomPage{}.of(rooms, 2)
	p, err := parseRoomPage(next)
	if err != nil {
		t.Fatal(err)
	}
	if page, _, _ := p.of(slices.Delete(rooms, 1, 2), 2); len(page) != 1 || page[0].RoomID != "!c" {
		t.Errorf("got %v", page)
	}
}

func FuzzParseRoomPage(f *testing.F) {
	for _, token := range []string{"", "n1_IWE", "p12_IWE6Yi50ZXN0", "x", "n_", "n1", "n-1_IWE"} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		p, err := parseRoomPage(token)
		if err != nil || token == "" {
			return
		}
		if again, err := parseRoomPage(p.String()); err != nil || again != p {
			t.Errorf("%q is %v, whose token is %q, which is %v (%v)", token, p, p, again, err)
		}
		p.of(nil, 1)
	})
}
