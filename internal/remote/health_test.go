package remote_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/remote"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
)

func health(t *testing.T, db *store.DB) *remote.Health {
	t.Helper()
	h, err := remote.OpenHealth(t.Context(), db, nil)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestADeadServerIsTriedLessAndLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := health(t, storetest.Open(t, t.TempDir()+"/parley.db"))
		start, tries := time.Now(), 0
		for ; time.Since(start) < 24*time.Hour; tries++ {
			time.Sleep(time.Until(h.Retry("dead.test")))
			h.Failed(t.Context(), "dead.test", time.Now())
			pause := time.Until(h.Retry("dead.test"))
			if pause < 2*time.Second || pause > 2*time.Hour {
				t.Fatalf("after %d failures it is left alone for %s", tries+1, pause)
			}
		}
		if tries < 20 || tries > 40 {
			t.Errorf("in a day it was tried %d times", tries)
		}
	})
}

func TestAServerThatIsBusyIsNotLeftAloneForHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := health(t, storetest.Open(t, t.TempDir()+"/parley.db"))
		for range 20 {
			time.Sleep(time.Until(h.Retry("busy.test")))
			h.Busy(t.Context(), "busy.test", time.Now(), time.Second)
			if pause := time.Until(h.Retry("busy.test")); pause < 2*time.Second || pause > 6*time.Minute {
				t.Errorf("it is left alone for %s", pause)
			}
		}
	})
}

func TestManyFailuresAtOnceCountOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := health(t, storetest.Open(t, t.TempDir()+"/parley.db"))
		began := time.Now()
		time.Sleep(time.Second)
		for range 100 {
			h.Failed(t.Context(), "dead.test", began)
		}
		if pause := time.Until(h.Retry("dead.test")); pause > 5*time.Second {
			t.Errorf("it is left alone for %s", pause)
		}
	})
}

func TestAServerSaysForHowLongToLeaveItAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := health(t, storetest.Open(t, t.TempDir()+"/parley.db"))
		for said, want := range map[time.Duration]time.Duration{time.Minute: time.Minute, 1000 * time.Hour: 2 * time.Hour} {
			server := id.ServerName(said.String() + ".test")
			h.Busy(t.Context(), server, time.Now(), said)
			if pause := time.Until(h.Retry(server)); pause != want {
				t.Errorf("it said %s and is left alone for %s", said, pause)
			}
		}
	})
}

func TestAServerThatIsHeardOfIsBack(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := health(t, db)
		var back []id.ServerName
		h.OnBack(func(server id.ServerName) { back = append(back, server) })
		for _, server := range []id.ServerName{"a.test", "b.test"} {
			h.Failed(t.Context(), server, time.Now())
		}
		for range 2 {
			h.Heard(t.Context(), "a.test")
		}
		if len(back) != 1 || back[0] != "a.test" {
			t.Errorf("%v are said to be back", back)
		}
		again := health(t, db)
		if !again.Retry("a.test").IsZero() {
			t.Error("after a restart a server is down that was back")
		}
		if got, want := again.Retry("b.test"), h.Retry("b.test"); got.UnixMilli() != want.UnixMilli() {
			t.Errorf("after a restart the next try is at %s, want %s", got, want)
		}
	})
}

func TestASignOfLifeIsStoredForARequestThatEnds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := health(t, db)
		h.Failed(t.Context(), "a.test", time.Now())
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		h.Heard(ctx, "a.test")
		if !health(t, db).Retry("a.test").IsZero() {
			t.Error("after a restart the server is down that was heard of")
		}
	})
}

func TestWhatCouldNotBeStoredIsStoredLater(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		rename := func(from, to string) {
			t.Helper()
			if err := db.Update(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec("ALTER TABLE " + from + " RENAME TO " + to)
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		h := health(t, db)
		h.Failed(t.Context(), "back.test", time.Now())
		rename("outages", "away")
		h.Heard(t.Context(), "back.test")
		h.Failed(t.Context(), "dead.test", time.Now())
		rename("away", "outages")
		h.Failed(t.Context(), "other.test", time.Now())
		again := health(t, db)
		for server, down := range map[id.ServerName]bool{"back.test": false, "dead.test": true, "other.test": true} {
			if got := !again.Retry(server).IsZero(); got != down || got == h.Retry(server).IsZero() {
				t.Errorf("after a restart %s is down: %t", server, got)
			}
		}
	})
}

// TestTheLastWordOfAServerIsStored has servers fail and be heard of at once.
func TestTheLastWordOfAServerIsStored(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := health(t, db)
		var wg sync.WaitGroup
		for i := range 20 {
			server := id.ServerName(fmt.Sprintf("s%d.test", i))
			wg.Go(func() { h.Failed(t.Context(), server, time.Now()) })
			wg.Go(func() { h.Heard(t.Context(), server) })
		}
		wg.Wait()
		again := health(t, db)
		for i := range 20 {
			server := id.ServerName(fmt.Sprintf("s%d.test", i))
			if got, want := again.Retry(server).UnixMilli(), h.Retry(server).UnixMilli(); got != want {
				t.Errorf("after a restart %s is left alone until %d, want %d", server, got, want)
			}
		}
	})
}
