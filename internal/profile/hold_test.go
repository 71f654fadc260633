package profile

import (
	"testing"
	"testing/synctest"

	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// TestAChangeDuringAJoinSurvivesACrash: the profile changes while somebody joins
// with the one of before, and the server dies before the room was told.
func TestAChangeDuringAJoinSurvivesACrash(t *testing.T) {
	play(t, func(t *testing.T, db *store.DB) {
		r := newRooms(t, 3, alice)
		k, stop := run(t, db, r)
		k.Hold(alice) // and is never released
		set(t, k, alice, "Alice")
		r.agree(k, alice)
		r.join(alice, "!late")
		stop()

		k, _ = run(t, db, r)
		settle(t, k, r, alice)
	})
}

func TestAChangeDuringAJoinIsToldAfterIt(t *testing.T) {
	play(t, func(t *testing.T, db *store.DB) {
		r := newRooms(t, 3, alice)
		k, _ := run(t, db, r)
		one, other := k.Hold(alice), k.Hold(alice)
		set(t, k, alice, "Alice")
		r.agree(k, alice)
		r.join(alice, "!late")
		one()
		other()
		settle(t, k, r, alice)
		if len(k.holds.users) != 0 {
			t.Errorf("%d holds stay", len(k.holds.users))
		}
		k.Hold(alice)() // for nothing
		settle(t, k, r, alice)
	})
}

// TestOnlyAnotherProfileIsToldAgain: than that which was told.
func TestOnlyAnotherProfileIsToldAgain(t *testing.T) {
	play(t, func(t *testing.T, db *store.DB) {
		r := newRooms(t, 1, alice)
		k, _ := run(t, db, r)
		set(t, k, alice, "Alice")
		settle(t, k, r, alice)
		said, err := k.Member(ctx, alice)
		if err != nil || string(said) != `{"displayname":"Alice"}` {
			t.Errorf("member events say %s, %v", said, err)
		}
		r.join(alice, "!late") // with what is not looked at, if nothing has changed
		if err := k.RetellUnless(ctx, alice, said); err != nil {
			t.Fatal(err)
		}
		if noted, err := k.noted(ctx); err != nil || len(noted) != 0 {
			t.Errorf("noted are %v, %v", noted, err)
		}
		if err := k.RetellUnless(ctx, alice, canonjson.Value(`{"displayname":"before"}`)); err != nil {
			t.Fatal(err)
		}
		settle(t, k, r, alice)
	})
}

// agree waits until there is nothing more to do, and checks that all rooms have what
// the profile says.
func (r *rooms) agree(k *Keeper, user id.UserID) {
	r.t.Helper()
	synctest.Wait()
	fields, err := k.Get(ctx, user)
	if err != nil {
		r.t.Fatal(err)
	}
	if room, differs := r.differ(user, fields); differs {
		r.t.Fatalf("%s was not told of %s", room, fields)
	}
}

// join has a user in one more room, with a profile of before.
func (r *rooms) join(user id.UserID, room id.RoomID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members[user][room] = canonjson.Value(`{"displayname":"before","membership":"join"}`)
}
