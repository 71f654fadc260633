package notice

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

var ctx = context.Background()

const (
	notices id.UserID = "@notices:a.test"
	alice   id.UserID = "@alice:a.test"
	bob     id.UserID = "@bob:a.test"
)

// house is rooms as they are in memory.
type house struct {
	*Sender
	t       *testing.T
	members map[id.RoomID]map[id.UserID]string
	said    map[id.RoomID]int
	tags    []string
	lost    error // what Create returns when it has made a room
}

func newHouse(t *testing.T, db *store.DB) *house {
	h := &house{t: t, members: make(map[id.RoomID]map[id.UserID]string), said: make(map[id.RoomID]int)}
	j := newJournal(t, db)
	h.Sender = New(db, Rooms{
		Create: func(_ context.Context, creator, invited id.UserID, name string, with func(*journal.Batch, id.RoomID) error) (id.RoomID, error) {
			room := id.RoomID(fmt.Sprintf("!%d:a.test", len(h.members)))
			if name != "From us" {
				t.Errorf("the room is called %q", name)
			}
			if _, err := j.Append(ctx, func(b *journal.Batch) error { return with(b, room) }); err != nil {
				return "", err
			}
			h.members[room] = map[id.UserID]string{creator: "join", invited: "invite"}
			return room, h.lost
		},
		Membership: func(_ context.Context, room id.RoomID, user id.UserID) (string, error) {
			return h.members[room][user], nil
		},
		Invite: func(_ context.Context, room id.RoomID, sender, target id.UserID) error {
			h.members[room][target] = "invite"
			return nil
		},
		Send: func(_ context.Context, room id.RoomID, sender id.UserID, n Notice) (id.EventID, error) {
			if h.members[room][sender] != "join" {
				t.Errorf("%s is not in %s", sender, room)
			}
			h.said[room]++
			return id.EventID(fmt.Sprintf("$%s%d", room, h.said[room])), nil
		},
		Tag: func(_ *journal.Batch, user id.UserID, room id.RoomID, tag string) error {
			h.tags = append(h.tags, string(user)+" "+string(room)+" "+tag)
			return nil
		},
	}, Options{User: notices, Room: "From us"})
	return h
}

func newJournal(t *testing.T, db *store.DB) *journal.Journal {
	j, err := journal.Open(ctx, db, func() string { return "epoch" }, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	running, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { j.Run(running) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return j
}

func (h *house) send(to id.UserID) {
	h.t.Helper()
	if _, err := h.Send(ctx, to, Notice{Type: "m.room.message", Content: canonjson.Value(`{"body":"hi"}`)}); err != nil {
		h.t.Fatal(err)
	}
}

func TestEachUserHasOneRoomForNotices(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := newHouse(t, db)
		if room, err := h.RoomOf(ctx, alice); err != nil || room != "" {
			t.Errorf("before the first notice: %s, %v", room, err)
		}
		h.send(alice)
		h.send(alice)
		h.send(bob)
		if len(h.members) != 2 || h.said["!0:a.test"] != 2 || h.said["!1:a.test"] != 1 {
			t.Errorf("got rooms %v with %v", h.members, h.said)
		}
		if want := []string{"@alice:a.test !0:a.test m.server_notice", "@bob:a.test !1:a.test m.server_notice"}; !slices.Equal(h.tags, want) {
			t.Errorf("got %v", h.tags)
		}
		// Who has left is invited again.
		h.members["!0:a.test"][alice] = "leave"
		h.send(alice)
		if got := h.members["!0:a.test"][alice]; got != "invite" || len(h.members) != 2 {
			t.Errorf("who has left is %q", got)
		}
		// A room that was deleted is made anew.
		delete(h.members, "!0:a.test")
		h.members["!other:a.test"] = nil
		h.send(alice)
		if room, err := h.RoomOf(ctx, alice); err != nil || room == "!0:a.test" || h.members[room][alice] != "invite" {
			t.Errorf("got %s, %v", room, err)
		}
		if _, err := h.Send(ctx, notices, Notice{}); !errors.Is(err, mxerr.InvalidParam) {
			t.Errorf("to oneself: %v", err)
		}
	})
}

// TestWhatHappensRightAfterARoomWasMadeDoesNotMakeAnother: and it has its tag.
func TestWhatHappensRightAfterARoomWasMadeDoesNotMakeAnother(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := newHouse(t, db)
		h.lost = errors.New("the server is ended")
		if _, err := h.Send(ctx, alice, Notice{}); !errors.Is(err, h.lost) {
			t.Errorf("got %v", err)
		}
		h.lost = nil
		h.send(alice)
		if len(h.members) != 1 || h.said["!0:a.test"] != 1 || len(h.tags) != 1 {
			t.Errorf("there are rooms %v with %v, and tags %v", h.members, h.said, h.tags)
		}
	})
}

func TestNoticesCannotBeDeclined(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := newHouse(t, db)
		h.send(alice)
		room, err := h.RoomOf(ctx, alice)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.MayDecline(ctx, room, alice); !errors.Is(err, mxerr.CannotLeaveServerNoticeRoom) {
			t.Errorf("the own: %v", err)
		}
		for _, other := range []error{h.MayDecline(ctx, room, bob), h.MayDecline(ctx, "!other:a.test", alice)} {
			if other != nil {
				t.Errorf("another: %v", other)
			}
		}
	})
}
