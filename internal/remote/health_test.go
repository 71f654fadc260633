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

// storeNow has stored what would be soon.
func storeNow(t *testing.T, h *remote.Health) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h.Run(ctx)
}

func TestADeadServerIsTriedLessAndLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := health(t, storetest.Open(t, t.TempDir()+"/parley.db"))
		start, tries, inADay := time.Now(), 0, 0
		for ; time.Since(start) < 30*24*time.Hour; tries++ {
			if time.Since(start) < 24*time.Hour {
				inADay = tries
			}
			time.Sleep(time.Until(h.Retry("dead.test")))
			h.Failed("dead.test", time.Now())
			least, most := 2*time.Second, 2*time.Hour
			switch away := time.Since(start); {
			case away > 10*24*time.Hour:
				least, most = 12*time.Hour, 24*time.Hour
			case away > 5*24*time.Hour:
				most = 24 * time.Hour
			}
			if pause := time.Until(h.Retry("dead.test")); pause < least || pause > most {
				t.Fatalf("after %d failures it is left alone for %s", tries+1, pause)
			}
		}
		if inADay < 20 || inADay > 40 || tries > 160 {
			t.Errorf("in a day it was tried %d times, in a month %d", inADay, tries)
		}
	})
}

func TestAServerThatIsBusyIsNotLeftAloneForHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := health(t, storetest.Open(t, t.TempDir()+"/parley.db"))
		for range 20 {
			time.Sleep(time.Until(h.Retry("busy.test")))
			h.Busy("busy.test", time.Now(), time.Second)
			if pause := time.Until(h.Retry("busy.test")); pause < 2*time.Second || pause > 6*time.Minute {
				t.Errorf("it is left alone for %s", pause)
			}
		}
	})
}

func TestWhoWasAwayForAMinuteIsAwayLately(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := health(t, storetest.Open(t, t.TempDir()+"/parley.db"))
		if h.Lately("dead.test") {
			t.Error("it was never tried")
		}
		began := time.Now()
		for time.Since(began) < time.Hour {
			h.Failed("dead.test", time.Now())
			if lately := h.Lately("dead.test"); lately && time.Since(began) > 90*time.Second || !lately && time.Since(began) < 20*time.Second {
				t.Errorf("after %s it is away lately: %t", time.Since(began), lately)
			}
			time.Sleep(time.Until(h.Retry("dead.test")))
		}
		h.Heard(t.Context(), "dead.test")
		h.Busy("dead.test", time.Now(), time.Second)
		if h.Lately("dead.test") {
			t.Error("it is there, and busy")
		}
	})
}

func TestManyFailuresAtOnceCountOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := health(t, storetest.Open(t, t.TempDir()+"/parley.db"))
		began := time.Now()
		time.Sleep(time.Second)
		for range 100 {
			h.Failed("dead.test", began)
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
			h.Busy(server, time.Now(), said)
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
			h.Failed(server, time.Now())
		}
		storeNow(t, h)
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
		h.Failed("a.test", time.Now())
		storeNow(t, h)
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
		h.Failed("back.test", time.Now())
		storeNow(t, h)
		rename("outages", "away")
		h.Heard(t.Context(), "back.test")
		h.Failed("dead.test", time.Now())
		storeNow(t, h)
		rename("away", "outages")
		h.Failed("other.test", time.Now())
		storeNow(t, h)
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
			wg.Go(func() { h.Failed(server, time.Now()) })
			wg.Go(func() { h.Heard(t.Context(), server) })
			wg.Go(func() { storeNow(t, h) })
		}
		wg.Wait()
		storeNow(t, h)
		again := health(t, db)
		for i := range 20 {
			server := id.ServerName(fmt.Sprintf("s%d.test", i))
			if got, want := again.Retry(server).UnixMilli(), h.Retry(server).UnixMilli(); got != want {
				t.Errorf("after a restart %s is left alone until %d, want %d", server, got, want)
			}
		}
	})
}
