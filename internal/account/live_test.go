package account

import (
	"context"
	"fmt"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
)

// TestADeviceIsAliveUntilItIsRemoved: already while it is being removed it is not.
func TestADeviceIsAliveUntilItIsRemoved(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		alive := func(device id.DeviceID, tokenless bool) (alive bool) {
			t.Helper()
			err := db.View(ctx, func(tx *store.Tx) (err error) {
				alive, err = Alive(tx, alice, device, tokenless)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return alive
		}
		meanwhile := ""
		h := open(t, db, Options{Removing: func(_ context.Context, _ id.UserID, devices []id.DeviceID) error {
			meanwhile = fmt.Sprint(alive(devices[0], false), alive(devices[0], true))
			return nil
		}})
		h.create(alice)
		h.login(alice, "PHONE")
		if _, err := h.AddDevice(ctx, NewDevice{User: alice, ID: "BRIDGE"}); err != nil {
			t.Fatal(err)
		}
		for _, row := range []struct {
			device          id.DeviceID
			token, anything bool
		}{{"PHONE", true, true}, {"BRIDGE", false, true}, {"UNKNOWN", false, false}} {
			if got := alive(row.device, false); got != row.token {
				t.Errorf("%s is alive: got %t", row.device, got)
			}
			if got := alive(row.device, true); got != row.anything {
				t.Errorf("%s is there: got %t", row.device, got)
			}
		}
		h.must(h.DeleteDevices(ctx, alice, []id.DeviceID{"PHONE"}))
		if meanwhile != "false false" {
			t.Errorf("while it is being removed: got %s", meanwhile)
		}
		if alive("PHONE", true) {
			t.Error("it is there when it was removed")
		}
	})
}

func TestAllDevicesOfUsersAreNamed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		h.create(alice)
		h.create(bob)
		h.login(alice, "PHONE")
		h.login(alice, "LAPTOP")
		h.login(bob, "PHONE")
		h.must(h.RenameDevice(ctx, alice, "PHONE", "mine"))
		got, err := h.DevicesOf(ctx, []id.UserID{alice, "@nobody:a.test"})
		if want := "map[@alice:a.test:map[LAPTOP: PHONE:mine]]"; err != nil || fmt.Sprint(got) != want {
			t.Errorf("got %v, %v, want %s", got, err, want)
		}
	})
}
