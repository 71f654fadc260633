package room

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (n *node) publish(room NewRoom, members int) id.RoomID {
	n.t.Helper()
	room.Preset = PublicChat
	roomID := n.create(room)
	for i := 1; i < members; i++ {
		n.send(roomID, join(id.UserID(fmt.Sprintf("@%d:a.test", i))))
	}
	if err := n.Publish(ctx, roomID, true); err != nil {
		n.t.Fatal(err)
	}
	return roomID
}

func (n *node) page(search Search, from Listed, backwards bool, limit int) Page {
	n.t.Helper()
	p, err := n.Directory(ctx, search, from, backwards, limit)
	if err != nil {
		n.t.Fatal(err)
	}
	return p
}

func TestRoomsArePublishedAndNotAnyMore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		roomID := n.create(NewRoom{})
		for _, published := range []bool{false, true, true, false} {
			if err := n.Publish(ctx, roomID, published); err != nil {
				t.Fatal(err)
			}
			if got, err := n.IsPublished(ctx, roomID); got != published || err != nil {
				t.Errorf("published: %v, %v, want %v", got, err, published)
			}
			if p := n.page(Search{}, Listed{}, false, 10); len(p.Rooms) == 1 != published || p.Total != len(p.Rooms) {
				t.Errorf("the directory has %+v", p)
			}
		}
		if err := n.Publish(ctx, "!none:a.test", true); !errors.Is(err, mxerr.NotFound) {
			t.Errorf("publishing what is not there: %v", err)
		}
		if _, err := n.IsPublished(ctx, "!none:a.test"); !errors.Is(err, mxerr.NotFound) {
			t.Errorf("whether what is not there is published: %v", err)
		}
	})
}

// TestPagesAddUp: whatever the limit, the pages from the beginning on have each
// room once, in order, and so have those back from the end.
func TestPagesAddUp(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		for i, members := range []int{2, 1, 3, 1, 1, 2, 4, 1} {
			n.publish(NewRoom{Name: fmt.Sprint("room ", i)}, members)
		}
		all := n.page(Search{}, Listed{}, false, 100).Rooms
		if len(all) != 8 || !slices.IsSortedFunc(all, func(a, b Summary) int { return int(b.Joined - a.Joined) }) {
			t.Fatalf("the directory is %+v", all)
		}
		for limit := 1; limit <= 9; limit++ {
			for _, search := range []Search{{}, {Term: "ROOM"}, {Types: []string{""}}} {
				p := n.page(search, Listed{}, false, limit)
				there := p.Rooms
				for p.Later {
					if p = n.page(search, p.Last(), false, limit); !p.Earlier || len(p.Rooms) == 0 || len(p.Rooms) > limit || p.Total != 8 {
						t.Fatalf("a page behind the first is %+v", p)
					}
					there = append(there, p.Rooms...)
				}
				back := p.Rooms
				for p.Earlier {
					p = n.page(search, p.First(), true, limit)
					back = append(slices.Clone(p.Rooms), back...)
				}
				if !sameRooms(there, all) || !sameRooms(back, all) {
					t.Errorf("by %d: there %v, back %v, want %v", limit, there, back, all)
				}
			}
		}
		// A place outlives its room.
		if err := n.Publish(ctx, all[1].RoomID, false); err != nil {
			t.Fatal(err)
		}
		if p := n.page(Search{}, all[1].place(), false, 100); !sameRooms(p.Rooms, all[2:]) {
			t.Errorf("behind a room that is gone: %+v", p)
		}
	})
}

func sameRooms(a, b []Summary) bool {
	return slices.EqualFunc(a, b, func(a, b Summary) bool { return a.RoomID == b.RoomID })
}

func TestWhatASearchFinds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		typed := func(roomType string) canonjson.Value { return object("type", canonjson.Text(roomType)) }
		n.publish(NewRoom{Name: "ΣΊΣΥΦΟΣ 100%", Topic: "a_b\\c"}, 3)
		n.publish(NewRoom{Name: "Straße", Alias: "#Foo:a.test", Content: typed("m.space")}, 2)
		n.publish(NewRoom{Name: "x\x00y", Content: typed("\x00")}, 1)
		for _, tt := range []struct {
			search Search
			want   string
		}{
			{Search{}, "ΣΊΣΥΦΟΣ 100%, Straße, x\x00y"},
			{Search{Term: "σίσυφος"}, "ΣΊΣΥΦΟΣ 100%"},
			{Search{Term: "SÍSYFOS"}, ""},
			{Search{Term: "0%"}, "ΣΊΣΥΦΟΣ 100%"},
			{Search{Term: "1%0"}, ""},
			{Search{Term: "a_b"}, "ΣΊΣΥΦΟΣ 100%"},
			{Search{Term: "a__"}, ""},
			{Search{Term: `B\C`}, "ΣΊΣΥΦΟΣ 100%"},
			{Search{Term: "#FOO"}, "Straße"},
			{Search{Term: "STRAßE"}, "Straße"},
			{Search{Term: "100% σισυφοσ"}, "ΣΊΣΥΦΟΣ 100%"}, // in another order, without accents
			{Search{Term: "strasse b"}, ""},
			{Search{Term: "X\x00"}, "x\x00y"},
			{Search{Term: strings.Repeat("x", MaxTerm+1)}, ""},
			{Search{Types: []string{}}, ""},
			{Search{Types: []string{""}}, "ΣΊΣΥΦΟΣ 100%"},
			{Search{Types: []string{"m.space", "\x00"}}, "Straße, x\x00y"},
			{Search{Types: []string{"m.space"}, Term: "y"}, ""},
		} {
			var names []string
			for _, s := range n.page(tt.search, Listed{}, false, 10).Rooms {
				names = append(names, s.Name)
			}
			if got := strings.Join(names, ", "); got != tt.want {
				t.Errorf("%.40q: got %q, want %q", tt.search, got, tt.want)
			}
		}
	})
}

// TestWhatIsMistypedIsFound: where nothing is found as it was typed, and in pages all the
// same.
func TestWhatIsMistypedIsFound(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		n.publish(NewRoom{Name: "Gardening", Topic: "of roses and tulips"}, 3)
		n.publish(NewRoom{Name: "Garden parties", Alias: "#garten:a.test"}, 2)
		n.publish(NewRoom{Name: "Astronomy", Content: object("type", canonjson.Text("m.space"))}, 1)
		for _, tt := range []struct {
			search Search
			want   string
		}{
			{Search{Term: "garden"}, "Gardening, Garden parties"},
			{Search{Term: "gardne"}, "Gardening, Garden parties"},
			{Search{Term: "gargen"}, "Gardening, Garden parties"},
			{Search{Term: "GÁRDENNING"}, "Gardening"},
			{Search{Term: "gardne of"}, "Gardening"},
			{Search{Term: "gardne off"}, ""},
			{Search{Term: "#gartten"}, "Garden parties"},
			{Search{Term: "astronmoy"}, "Astronomy"},
			{Search{Term: "astronmoy", Types: []string{""}}, ""},
			{Search{Term: "gdn"}, ""},
			{Search{Term: "xyzzy"}, ""},
		} {
			var names []string
			p := n.page(tt.search, Listed{}, false, 10)
			for _, s := range p.Rooms {
				names = append(names, s.Name)
			}
			if got := strings.Join(names, ", "); got != tt.want || p.Total != len(names) {
				t.Errorf("%q: got %d: %q, want %q", tt.search, p.Total, got, tt.want)
			}
		}
		first := n.page(Search{Term: "gardne"}, Listed{}, false, 1)
		second := n.page(Search{Term: "gardne"}, first.Last(), false, 1)
		back := n.page(Search{Term: "gardne"}, second.First(), true, 1)
		if first.Rooms[0].Name != "Gardening" || first.Earlier || !first.Later || first.Total != 2 || !sameRooms(back.Rooms, first.Rooms) || back.Earlier || !back.Later ||
			second.Rooms[0].Name != "Garden parties" || !second.Earlier || second.Later || second.Total != 2 {
			t.Errorf("the pages are %+v, %+v and, back, %+v", first, second, back)
		}
		if p := n.page(Search{Term: "gardne"}, second.Last(), false, 1); len(p.Rooms) > 0 || p.Earlier || p.Later {
			t.Errorf("behind the last: %+v", p)
		}
	})
}

// BenchmarkDirectory reads pages of a hundred rooms.
func BenchmarkDirectory(b *testing.B) {
	for _, rooms := range []int{1000, 10_000} {
		storetest.Bench(b, func(b *testing.B, db *store.DB) { benchDirectory(b, db, rooms) })
	}
}

func benchDirectory(b *testing.B, db *store.DB, rooms int) {
	n := start(b, db, Options{})
	n.fill(rooms)
	middle := n.page(Search{}, Listed{}, false, rooms/2)
	for _, bb := range []struct {
		name   string
		search Search
		from   Listed
	}{
		{"first", Search{}, Listed{}},
		{"middle", Search{}, middle.Last()},
		{"search", Search{Term: "99 topic"}, Listed{}},
		{"mistyped", Search{Term: "99 tpoic"}, Listed{}},
	} {
		b.Run(fmt.Sprintf("rooms=%d/%s", rooms, bb.name), func(b *testing.B) {
			for b.Loop() {
				if p := n.page(bb.search, bb.from, false, 100); len(p.Rooms) == 0 {
					b.Fatal("nothing found")
				}
			}
		})
	}
}

// fill puts rooms into the directory that have nothing but a row and a summary.
func (n *node) fill(rooms int) {
	n.t.Helper()
	err := n.db.Update(context.Background(), func(tx *store.Tx) error {
		for i := range rooms {
			r := record{num: Num(1_000_000 + i), version: "12", joined: int64(1 + i%100)}
			if err := insertRoom(tx, id.RoomID(fmt.Sprintf("!%d:a.test", i)), r); err != nil {
				return err
			}
			s := Summary{Name: fmt.Sprint("Room ", i), Topic: fmt.Sprintf("%d topic %s", i, strings.Repeat("of some length ", 10)), JoinRule: "public"}
			if err := putSummary(tx, r.num, s); err != nil {
				return err
			}
		}
		_, err := tx.Exec("UPDATE rooms SET published = $1", true)
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
}
