package account

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func TestLoggingInAgainReplacesTheToken(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		h.create(alice)
		first, err := h.Login(ctx, NewDevice{User: alice, ID: "PHONE", Name: "phone", Addr: addr("192.0.2.1")})
		h.must(err)
		if !h.good(first.Token) {
			t.Fatal("the token is not good")
		}
		second, err := h.Login(ctx, NewDevice{User: alice, ID: "PHONE", Name: "other"})
		h.must(err)
		if h.good(first.Token) || !h.good(second.Token) {
			t.Error("the first token is still good, or the second is not")
		}
		d, err := h.Device(ctx, alice, "PHONE")
		if err != nil || d.Name != "phone" || d.SeenAddr != "192.0.2.1" {
			t.Errorf("got %+v, %v, want the name and the address of the first login", d, err)
		}
		if third := h.login(alice, ""); third.DeviceID == "" || len(h.devices(alice)) != 2 {
			t.Errorf("got device %q, all are %v", third.DeviceID, h.devices(alice))
		}
	})
}

func TestDevicesAreRenamedAndDeleted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var removed []id.DeviceID
		h := open(t, db, Options{Removing: func(_ context.Context, _ id.UserID, devices []id.DeviceID) error {
			removed = append(removed, devices...)
			return nil
		}})
		h.create(alice)
		h.create(bob)
		phone, laptop, others := h.login(alice, "PHONE"), h.login(alice, "LAPTOP"), h.login(bob, "PHONE")
		h.must(h.RenameDevice(ctx, alice, "PHONE", "mine"))
		h.refused(h.RenameDevice(ctx, alice, "PHONE", strings.Repeat("x", 257)), mxerr.InvalidParam)
		h.refused(h.RenameDevice(ctx, alice, "PHONE", "\x00"), mxerr.InvalidParam)
		h.refused(h.RenameDevice(ctx, alice, "TABLET", "mine"), mxerr.NotFound)
		if d, err := h.Device(ctx, alice, "PHONE"); err != nil || d.Name != "mine" {
			t.Errorf("got %+v, %v", d, err)
		}
		h.must(h.Logout(ctx, alice, "PHONE"))
		h.must(h.DeleteDevices(ctx, alice, []id.DeviceID{"TABLET"}))
		if h.good(phone.Token) || !h.good(laptop.Token) || !h.good(others.Token) {
			t.Error("the token is still good, or another is not")
		}
		_, err := h.Device(ctx, alice, "PHONE")
		h.refused(err, mxerr.NotFound)
		h.login(alice, "TABLET")
		h.must(h.LogoutAll(ctx, alice))
		if len(h.devices(alice)) != 0 || !h.good(others.Token) {
			t.Error("devices are left, or those of others are not")
		}
		if want := []id.DeviceID{"PHONE", "LAPTOP", "TABLET"}; !slices.Equal(removed, want) {
			t.Errorf("others were told of %v, want %v", removed, want)
		}
	})
}

func TestADeviceThatCouldNotBeRemovedHasNoToken(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		fault := errors.New("the keys cannot be removed")
		h := open(t, db, Options{Removing: func(context.Context, id.UserID, []id.DeviceID) error { return fault }})
		h.create(alice)
		phone := h.login(alice, "PHONE")
		if err := h.Logout(ctx, alice, "PHONE"); !errors.Is(err, fault) {
			t.Errorf("got %v, want %v", err, fault)
		}
		if h.good(phone.Token) || len(h.devices(alice)) != 1 {
			t.Error("the token is good, or the device is gone")
		}
		fault = nil
		h.must(h.Logout(ctx, alice, "PHONE"))
		if len(h.devices(alice)) != 0 {
			t.Error("it was not removed at the second try")
		}
	})
}

func TestARemovalThatWasInterruptedIsFinished(t *testing.T) {
	location := t.TempDir() + "/parley.db"
	synctest.Test(t, func(t *testing.T) {
		db := storetest.Open(t, location)
		defer db.Close()
		crash := errors.New("a crash")
		o := Options{Removing: func(context.Context, id.UserID, []id.DeviceID) error { return crash }}
		h := open(t, db, o)
		h.create(alice)
		h.login(alice, "LAPTOP")
		h.login(alice, "PHONE")
		if err := h.Logout(ctx, alice, "PHONE"); !errors.Is(err, crash) {
			t.Fatalf("got %v, want %v", err, crash)
		}

		var removed []id.DeviceID
		o.Removing = func(_ context.Context, _ id.UserID, devices []id.DeviceID) error {
			if removed = append(removed, devices...); len(removed) == 1 {
				return errors.New("once more")
			}
			return nil
		}
		h = open(t, db, o) // after a restart
		stop := h.run()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if want := []id.DeviceID{"PHONE", "PHONE"}; !slices.Equal(removed, want) {
			t.Errorf("others were told of %v, want %v", removed, want)
		}
		if got, want := h.devices(alice), []id.DeviceID{"LAPTOP"}; !slices.Equal(got, want) {
			t.Errorf("the devices are %v, want %v", got, want)
		}

		gone, leave := context.WithCancel(ctx)
		h.Accounts.removing = func(ctx context.Context, _ id.UserID, _ []id.DeviceID) error {
			leave() // the client does not wait any more
			return ctx.Err()
		}
		h.Logout(gone, alice, "LAPTOP")
		synctest.Wait()
		if got := h.devices(alice); len(got) > 0 {
			t.Errorf("the devices of who did not wait are %v", got)
		}
		stop()
	})
}

func TestWhoLogsInAgainOnADeviceThatWasNotQuiteRemovedKeepsIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		crash := errors.New("a crash")
		var left error = crash
		h := open(t, db, Options{Removing: func(context.Context, id.UserID, []id.DeviceID) error { return left }})
		h.create(alice)
		h.login(alice, "PHONE")
		if err := h.Logout(ctx, alice, "PHONE"); !errors.Is(err, crash) {
			t.Fatalf("got %v, want %v", err, crash)
		}
		if _, err := h.AddDevice(ctx, NewDevice{User: alice, ID: "PHONE"}); !errors.Is(err, crash) {
			t.Errorf("adding it while it cannot be removed: got %v, want %v", err, crash)
		}
		left = nil
		again := h.login(alice, "PHONE")
		h.must(h.finishRemoving(ctx, alice))
		if !h.good(again.Token) {
			t.Error("the device was removed after it had come again")
		}
	})
}

func TestTheNumberOfDevicesIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, storetest.Open(t, t.TempDir()+"/parley.db"), Options{MaxDevices: 3})
		h.create(alice)
		for _, d := range []id.DeviceID{"A", "B", "C", "C", "D"} {
			if d == "D" { // A is in use, so it is B that was not seen for longest
				h.Seen(Session{UserID: alice, DeviceID: "A"}, addr("192.0.2.1"), "client")
			}
			h.login(alice, d)
			time.Sleep(time.Second)
		}
		if got, want := h.devices(alice), []id.DeviceID{"A", "C", "D"}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		h.db.Close()
	})
}

func TestApplicationServicesAddDevices(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		h.create(alice)
		for _, want := range []bool{true, false} {
			if made, err := h.AddDevice(ctx, NewDevice{User: alice, ID: "BRIDGE"}); made != want || err != nil {
				t.Errorf("got %t, %v, want %t", made, err, want)
			}
		}
		_, err := h.AddDevice(ctx, NewDevice{User: bob, ID: "BRIDGE"})
		h.refused(err, mxerr.NotFound)
	})
}

func TestSightingsAreWrittenInBatches(t *testing.T) {
	location := t.TempDir() + "/parley.db"
	synctest.Test(t, func(t *testing.T) {
		db := storetest.Open(t, location)
		var writes atomic.Int64
		h := open(t, db, Options{})
		h.create(alice)
		phone := h.login(alice, "PHONE")
		db.FailAt(func(p store.Point) error {
			if p == store.BeforeBegin {
				writes.Add(1)
			}
			return nil
		})
		running, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() { h.Run(running) })
		see := func(from string) {
			time.Sleep(time.Second)
			session, err := h.Authenticate(ctx, phone.Token)
			h.must(err)
			h.Seen(session, addr(from), "client")
		}
		stored := func() string {
			other := open(t, db, Options{}) // which knows only what was written
			d, err := other.Device(ctx, alice, "PHONE")
			h.must(err)
			return d.SeenAddr
		}
		for range 20 {
			see("2001:db8::1")
		}
		if d, err := h.Device(ctx, alice, "PHONE"); err != nil || d.SeenAddr != "2001:db8::1" || !d.Seen.Equal(time.Now()) {
			t.Errorf("at once it was seen as %+v, %v", d, err)
		}
		if got := stored(); got != "" || writes.Load() != 0 {
			t.Errorf("after 20 s %q and %d transactions were written", got, writes.Load())
		}
		time.Sleep(flushEvery)
		synctest.Wait()
		if got := stored(); got != "2001:db8::1" {
			t.Errorf("after a minute %q was written", got)
		}
		see("192.0.2.7")
		cancel()
		wg.Wait()
		if got := stored(); got != "192.0.2.7" {
			t.Errorf("at the end %q was written", got)
		}
		db.Close()
	})
}

func TestSightingsThatCouldNotBeWrittenAreKept(t *testing.T) {
	location := t.TempDir() + "/parley.db"
	db := storetest.Open(t, location)
	h := open(t, db, Options{})
	h.create(alice)
	h.login(alice, "PHONE")
	broken := true
	db.FailAt(func(store.Point) error {
		if broken {
			return errors.New("the database is away")
		}
		return nil
	})
	h.Seen(Session{UserID: alice, DeviceID: "PHONE"}, addr("192.0.2.7"), "a\x00\xff"+strings.Repeat("b", maxAgent))
	if err := h.flushSightings(ctx); err == nil {
		t.Fatal("no error")
	}
	broken = false
	h.must(h.flushSightings(ctx))
	if d, err := open(t, db, Options{}).Device(ctx, alice, "PHONE"); err != nil || d.SeenAddr != "192.0.2.7" {
		t.Errorf("got %+v, %v", d, err)
	}
}

func TestRequestsOfADeviceOutliveAnotherOne(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		h.create(alice)
		h.login(alice, "PHONE")
		h.login(alice, "LAPTOP")
		phone, stopPhone := h.Watch(alice, "PHONE")
		defer stopPhone()
		laptop, stopLaptop := h.Watch(alice, "LAPTOP")
		defer stopLaptop()
		if err := h.DeleteDevices(t.Context(), alice, []id.DeviceID{"LAPTOP"}); err != nil {
			t.Fatal(err)
		}
		if phone.Err() != nil || laptop.Err() == nil {
			t.Errorf("requests of the phone ended with %v, want nothing, and those of the removed laptop with %v", phone.Err(), laptop.Err())
		}
	})
}
