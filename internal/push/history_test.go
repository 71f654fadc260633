package push

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"

	"parley/internal/accountdata"
	"parley/internal/journal"
	"parley/internal/room"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/signing"
)

const (
	alice id.UserID = "@alice:a.test"
	bob   id.UserID = "@bob:a.test"
)

var ctx = context.Background()

// scene is rooms of alice that bob is in.
type scene struct {
	*History
	t       testing.TB
	journal *journal.Journal
}

func newScene(t testing.TB, db *store.DB) *scene {
	t.Helper()
	j, err := journal.Open(ctx, db, func() string { return "epoch" }, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	seed := sha256.Sum256([]byte("a.test"))
	key, err := signing.NewKey("ed25519:test", seed[:])
	if err != nil {
		t.Fatal(err)
	}
	rooms := room.New(db, j, room.Options{Server: "a.test", Key: key})
	unread := func(context.Context, id.UserID, []room.Num) (map[room.Num]room.Reads, error) { return nil, nil }
	s := &scene{NewHistory(rooms, accountdata.New(db, j, accountdata.Options{}).Prepared, unread), t, j}
	running, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { j.Run(running) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return s
}

func (s *scene) create() id.RoomID {
	s.t.Helper()
	roomID, _, err := s.rooms.Create(ctx, room.NewRoom{Creator: alice, Preset: room.PublicChat})
	if err == nil {
		_, err = s.rooms.Join(ctx, roomID, room.Move{Sender: bob})
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return roomID
}

func (s *scene) say(roomID id.RoomID, text string) {
	s.t.Helper()
	content := canonjson.Value(`{"msgtype":"m.text"}`).With("body", canonjson.Text(text))
	if _, err := s.rooms.Send(ctx, roomID, room.Draft{Type: "m.room.message", Sender: alice, Content: content}); err != nil {
		s.t.Fatal(err)
	}
}

// pages goes back to the beginning and returns what was said, and in how many pages.
func (s *scene) pages(limit int) (said []string, pages int) {
	s.t.Helper()
	for before := s.journal.Head() + 1; before != 0; pages++ {
		list, next, err := s.Before(ctx, Query{User: bob, Before: before, Limit: limit})
		if err != nil || next >= before {
			s.t.Fatalf("before %d: next is %d, %v", before, next, err)
		}
		for _, n := range list {
			text, _ := n.Item.Event.Content().Get("body").Text()
			said = append(said, text)
		}
		before = next
	}
	return said, pages
}

// TestPagesComeToAnEnd though most of what there is does not notify, and a page
// looks at a part of it.
func TestPagesComeToAnEnd(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newScene(t, db)
		var rooms []id.RoomID
		for range 65 {
			rooms = append(rooms, s.create())
		}
		var wg sync.WaitGroup
		for _, roomID := range rooms[:60] {
			wg.Go(func() {
				for i := range 55 {
					key := ""
					_, err := s.rooms.Send(ctx, roomID, room.Draft{Type: "org.test", StateKey: &key, Sender: alice, Content: canonjson.Value(fmt.Sprintf(`{"n":%d}`, i))})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		s.say(rooms[3], "last")
		said, pages := s.pages(10)
		if len(said) != 1 || said[0] != "last" || pages < 2 {
			t.Errorf("got %q in %d pages", said, pages)
		}
	})
}

// BenchmarkBefore reads the first page of somebody who is in few rooms and in many,
// and one of highlights, of which there are none.
func BenchmarkBefore(b *testing.B) {
	for _, rooms := range []int{100, 1000} {
		s := newScene(b, storetest.Open(b, b.TempDir()+"/parley.db"))
		for range rooms {
			roomID := s.create()
			for range 5 {
				s.say(roomID, "hello")
			}
		}
		for name, highlights := range map[string]bool{"all": false, "highlights": true} {
			b.Run(fmt.Sprintf("rooms=%d/%s", rooms, name), func(b *testing.B) {
				for b.Loop() {
					list, _, err := s.Before(ctx, Query{User: bob, Before: s.journal.Head() + 1, Limit: 20, Highlights: highlights})
					if err != nil || len(list) == 20 == highlights {
						b.Fatal(len(list), err)
					}
				}
			})
		}
	}
}
