package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func TestAGuestBecomesAUser(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		h.create(alice)
		user := h.login(alice, "PHONE")
		guest, err := h.Create(ctx, NewAccount{Guest: true, Login: &NewDevice{}})
		h.must(err)
		name := guest.UserID.Localpart()
		for what, try := range map[string][2]string{
			"no token of ours": {"x", name}, "the token of a user": {user.Token, "alice"}, "another name": {guest.Token, "alice"},
		} {
			if got, err := h.UpgradingGuest(ctx, try[0], try[1]); !errors.Is(err, mxerr.Forbidden) && !errors.Is(err, mxerr.UnknownToken) {
				t.Errorf("%s: got %s, %v", what, got, err)
			}
		}
		h.must(h.SetLocked(ctx, guest.UserID, true))
		_, err = h.UpgradingGuest(ctx, guest.Token, name)
		h.refused(err, mxerr.UserLocked)
		h.must(h.SetLocked(ctx, guest.UserID, false))
		if got, err := h.UpgradingGuest(ctx, guest.Token, name); err != nil || got != guest.UserID {
			t.Errorf("got %s, %v", got, err)
		}
		upgrade := NewAccount{Localpart: name, Password: h.hash(secret), Upgrades: true}
		_, err = h.Create(ctx, upgrade)
		h.must(err)
		if session, err := h.Authenticate(ctx, guest.Token); err != nil || session.Guest {
			t.Errorf("the guest is %+v, %v", session, err)
		}
		_, err = h.CheckPassword(ctx, guest.UserID, secret)
		h.must(err)
		for _, again := range []NewAccount{upgrade, {Localpart: "alice", Upgrades: true}, {Localpart: "bob", Upgrades: true}} {
			_, err := h.Create(ctx, again)
			h.refused(err, mxerr.UserInUse)
		}
	})
}

// inn is rooms that guests can be in.
type inn struct {
	mu      sync.Mutex // guards what follows
	members map[id.RoomID][]id.UserID
	admits  map[id.RoomID]bool
	faults  int // how often leaving fails
	refuses map[id.UserID]bool
}

func (i *inn) rooms() GuestRooms {
	return GuestRooms{
		Joined: func(_ context.Context, user id.UserID) (rooms []id.RoomID, err error) {
			i.mu.Lock()
			defer i.mu.Unlock()
			for room, members := range i.members {
				if slices.Contains(members, user) {
					rooms = append(rooms, room)
				}
			}
			return rooms, nil
		},
		Members: func(_ context.Context, room id.RoomID) ([]id.UserID, error) {
			i.mu.Lock()
			defer i.mu.Unlock()
			return slices.Clone(i.members[room]), nil
		},
		Admits: func(_ context.Context, room id.RoomID) (bool, error) {
			i.mu.Lock()
			defer i.mu.Unlock()
			return i.admits[room], nil
		},
		Leave: func(_ context.Context, room id.RoomID, user id.UserID) error {
			i.mu.Lock()
			defer i.mu.Unlock()
			if i.faults > 0 {
				i.faults--
				return errors.New("broken")
			}
			if i.refuses[user] {
				return fmt.Errorf("leaving: %w", mxerr.New(mxerr.Forbidden, "no"))
			}
			i.members[room] = slices.DeleteFunc(i.members[room], func(m id.UserID) bool { return m == user })
			return nil
		},
	}
}

func TestGuestsLeaveRoomsThatDoNotWantThem(t *testing.T) {
	location := t.TempDir() + "/parley.db"
	synctest.Test(t, func(t *testing.T) {
		h := open(t, storetest.Open(t, location), Options{})
		defer h.db.Close()
		h.create(alice)
		var guests []id.UserID
		for range 3 {
			g, err := h.Create(ctx, NewAccount{Guest: true})
			h.must(err)
			guests = append(guests, g.UserID)
		}
		all := append([]id.UserID{alice}, guests...)
		i := &inn{
			members: map[id.RoomID][]id.UserID{"!early": slices.Clone(all), "!later": slices.Clone(all), "!open": slices.Clone(all)},
			admits:  map[id.RoomID]bool{"!later": true, "!open": true},
			faults:  1,
		}
		run, stop := context.WithCancel(ctx)
		d, ended := h.NewDoorman(i.rooms()), make(chan bool)
		go func() {
			d.Run(run)
			close(ended)
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := i.members["!early"]; !slices.Equal(got, []id.UserID{alice}) {
			t.Errorf("in the room that did not want guests before there are %v", got)
		}
		i.mu.Lock()
		i.admits["!later"], i.refuses = false, map[id.UserID]bool{guests[1]: true}
		i.mu.Unlock()
		d.Look("!later")
		d.Look("!open")
		synctest.Wait()
		if got := i.members["!later"]; !slices.Equal(got, []id.UserID{alice, guests[1]}) {
			t.Errorf("in the room that does not want guests any more there are %v", got)
		}
		if got := i.members["!open"]; len(got) != len(all) {
			t.Errorf("in the room that wants guests there are %v", got)
		}
		stop()
		<-ended
	})
}
