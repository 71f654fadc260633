package inherit

import (
	"context"
	"crypto/sha256"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"

	"parley/internal/accountdata"
	"parley/internal/journal"
	"parley/internal/room"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/signing"
)

const (
	alice id.UserID = "@alice:a.test"
	bob   id.UserID = "@bob:a.test"
)

// house is rooms and account data over one database.
type house struct {
	t     *testing.T
	ctx   context.Context
	rooms *room.Engine
	data  *accountdata.Store
	now   *Keeper // the one that runs, if any
}

// in runs f in a bubble, in which synctest.Wait waits for what the keeper does.
func in(t *testing.T, f func(h *house)) {
	location := filepath.Join(t.TempDir(), "parley.db")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		db := storetest.Open(t, location)
		j, err := journal.Open(ctx, db, func() string { return "epoch" }, journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		seed := sha256.Sum256([]byte("a.test"))
		key, err := signing.NewKey("ed25519:test", seed[:])
		if err != nil {
			t.Fatal(err)
		}
		h := &house{t: t, ctx: ctx, data: accountdata.New(db, j, accountdata.Options{})}
		h.rooms = room.New(db, j, room.Options{Server: "a.test", Key: key, Inherits: func(heir room.Heir) {
			if h.now != nil {
				h.now.Expect(heir)
			}
		}})
		var wg sync.WaitGroup
		wg.Go(func() { j.Run(ctx) })
		f(h)
		cancel()
		wg.Wait()
		db.Close()
	})
}

// keep runs a keeper until what it returns is called.
func (h *house) keep() (stop func()) {
	ctx, cancel := context.WithCancel(h.ctx)
	var wg sync.WaitGroup
	h.now = New(h.rooms, h.data, nil)
	wg.Go(func() { h.now.Run(ctx) })
	return func() {
		cancel()
		wg.Wait()
		h.now = nil
	}
}

func (h *house) do(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) create(content string) id.RoomID {
	h.t.Helper()
	roomID, _, err := h.rooms.Create(h.ctx, room.NewRoom{Creator: alice, Preset: room.PublicChat, Content: canonjson.Value(content)})
	h.do(err)
	return roomID
}

func (h *house) join(roomID id.RoomID, user id.UserID) {
	h.t.Helper()
	_, err := h.rooms.Join(h.ctx, roomID, room.Move{Sender: user})
	h.do(err)
}

func (h *house) upgrade(roomID id.RoomID) id.RoomID {
	h.t.Helper()
	next, err := h.rooms.Upgrade(h.ctx, roomID, room.Upgrade{Sender: alice, Version: "12"})
	h.do(err)
	return next
}

func (h *house) tag(roomID id.RoomID, user id.UserID) {
	h.t.Helper()
	h.do(h.data.PutTag(h.ctx, user, roomID, "m.favourite", canonjson.Value(`{}`)))
}

func (h *house) want(roomID id.RoomID, user id.UserID, want string) {
	h.t.Helper()
	synctest.Wait()
	if got, err := h.data.Tags(h.ctx, user, roomID); err != nil || string(got) != want {
		h.t.Errorf("the tags of %s are %s, %v, want %s", user, got, err, want)
	}
	if heirs, err := h.rooms.Heirs(h.ctx); err != nil || len(heirs) > 0 {
		h.t.Errorf("there is something left to do: %v, %v", heirs, err)
	}
}

func TestWhoJoinsTheNewRoomFindsItsSettings(t *testing.T) {
	in(t, func(h *house) {
		defer h.keep()()
		old := h.create(`{}`)
		h.join(old, bob)
		h.tag(old, alice)
		h.tag(old, bob)
		next := h.upgrade(old)
		h.want(next, alice, `{"m.favourite":{}}`)
		h.want(next, bob, `{}`)
		h.join(next, bob)
		h.want(next, bob, `{"m.favourite":{}}`)
	})
}

func TestWhatWasNotHandedOnBeforeACrashIsAfterwards(t *testing.T) {
	in(t, func(h *house) {
		old := h.create(`{}`)
		for _, user := range []id.UserID{alice, bob} {
			h.tag(old, user)
		}
		next := h.upgrade(old)
		h.join(next, bob)
		defer h.keep()()
		h.want(next, alice, `{"m.favourite":{}}`)
		h.want(next, bob, `{"m.favourite":{}}`)
	})
}

func TestARoomThatOnlySaysThatItReplacesAnother(t *testing.T) {
	in(t, func(h *house) {
		defer h.keep()()
		old := h.create(`{}`)
		h.tag(old, bob)
		for _, content := range []string{
			`{"predecessor":{"room_id":"` + string(old) + `"}}`, `{"predecessor":{"room_id":"!unknown:a.test"}}`, `{"predecessor":{"room_id":7}}`, `{"predecessor":7}`,
		} {
			false := h.create(content)
			h.join(false, bob)
			h.want(false, bob, `{}`)
		}
		// Another server made the new room first, and the tombstone names it.
		next := h.create(`{"predecessor":{"room_id":"` + string(old) + `"}}`)
		key := ""
		_, err := h.rooms.Send(h.ctx, old, room.Draft{Type: "m.room.tombstone", StateKey: &key, Sender: alice,
			Content: canonjson.Value(`{"replacement_room":"` + string(next) + `"}`)})
		h.do(err)
		h.join(next, bob)
		h.want(next, bob, `{"m.favourite":{}}`)
	})
}

func TestWhoHasLeftAgainGetsNothing(t *testing.T) {
	in(t, func(h *house) {
		old := h.create(`{}`)
		h.tag(old, bob)
		next := h.upgrade(old)
		h.join(next, bob)
		_, err := h.rooms.Leave(h.ctx, next, room.Move{Sender: bob})
		h.do(err)
		defer h.keep()()
		h.want(next, bob, `{}`)
		if membership, err := h.rooms.Membership(h.ctx, next, bob); err != nil || membership != event.MembershipLeave {
			t.Errorf("bob is %s, %v", membership, err)
		}
	})
}

func TestTheNewRoomIsDeletedBeforeItsSettingsAreThere(t *testing.T) {
	in(t, func(h *house) {
		old := h.create(`{}`)
		h.tag(old, bob)
		next := h.upgrade(old)
		h.join(next, bob)
		ctx, cancel := context.WithCancel(h.ctx)
		var wg sync.WaitGroup
		wg.Go(func() { h.rooms.RunPurges(ctx) })
		_, err := h.rooms.Delete(h.ctx, next, room.Deletion{Purge: true})
		h.do(err)
		synctest.Wait() // the room is gone, and its rows are not yet
		stop := h.keep()
		h.want(next, bob, `{}`)
		stop()
		cancel()
		wg.Wait()
	})
}
