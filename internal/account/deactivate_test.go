package account

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// run runs what accounts do in the background, until stop is called.
func (h house) run() (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan bool)
	go func() {
		h.Run(ctx)
		close(ended)
	}()
	return func() {
		cancel()
		<-ended
	}
}

func TestADeactivatedAccountIsClearedUpAfterUntilThatSucceeds(t *testing.T) {
	location := t.TempDir() + "/parley.db"
	synctest.Test(t, func(t *testing.T) {
		db := storetest.Open(t, location)
		defer db.Close()
		var calls []string
		broken := 2
		o := Options{Departed: func(_ context.Context, user id.UserID, erased bool) error {
			if calls = append(calls, fmt.Sprint(user.Localpart(), " ", erased)); broken > 0 {
				broken--
				return errors.New("broken")
			}
			return nil
		}}
		want := func(what string, calls_ ...string) {
			t.Helper()
			if !slices.Equal(calls, calls_) {
				t.Errorf("%s: the calls are %q, want %q", what, calls, calls_)
			}
			calls = nil
		}
		h := open(t, db, o)
		h.create(alice)
		h.create(bob)
		stop := h.run()
		h.must(h.Deactivate(ctx, alice, false))
		synctest.Wait()
		want("at once", "alice false")
		stop() // the server ends meanwhile

		h = open(t, db, o)
		stop = h.run()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		want("after a restart", "alice false", "alice false")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		want("later")

		beside := open(t, db, Options{}) // as the command line does
		beside.must(beside.Deactivate(ctx, bob, true))
		time.Sleep(flushEvery)
		synctest.Wait()
		want("what another process has noted", "bob true")

		h.must(h.Deactivate(ctx, alice, true))
		synctest.Wait()
		want("to erase it, too", "alice true")
		stop()
	})
}

func TestErased(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		for _, user := range []id.UserID{alice, bob, "@carol:a.test"} {
			h.create(user)
		}
		all := []id.UserID{alice, bob, "@carol:a.test", "@dave:a.test", "@alice:b.test", alice}
		erased := func(want ...id.UserID) {
			t.Helper()
			got, err := h.Erased(ctx, all)
			if list := slices.Sorted(maps.Keys(got)); err != nil || !slices.Equal(list, want) {
				t.Errorf("got %v, %v, want %v", got, err, want)
			}
		}
		erased()
		h.must(h.Deactivate(ctx, alice, true))
		h.must(h.Deactivate(ctx, bob, false))
		erased(alice)
		erased(alice)
		h.must(h.Deactivate(ctx, bob, true))
		h.must(h.Deactivate(ctx, alice, false)) // does not take it back
		erased(alice, bob)
		if info, err := h.Info(ctx, alice); err != nil || !info.Erased || !info.Deactivated {
			t.Errorf("got %+v, %v", info, err)
		}
		h.refused(h.Deactivate(ctx, "@dave:a.test", true), mxerr.NotFound)
		if got, err := h.Erased(ctx, nil); len(got) != 0 || err != nil {
			t.Errorf("of nobody: got %v, %v", got, err)
		}
	})
}

func TestWhatAnotherNodeErasesIsKnownSoon(t *testing.T) {
	location := t.TempDir() + "/parley.db"
	synctest.Test(t, func(t *testing.T) {
		db := storetest.Open(t, location)
		defer db.Close()
		here, there := open(t, db, Options{}), open(t, db, Options{})
		here.create(alice)
		known := func() bool {
			erased, err := here.Erased(ctx, []id.UserID{alice})
			here.must(err)
			return erased[alice]
		}
		if known() {
			t.Error("nobody was erased")
		}
		there.must(there.Deactivate(ctx, alice, true))
		time.Sleep(sessionAge)
		synctest.Wait()
		if !known() {
			t.Error("ten seconds later it is not known")
		}
	})
}
