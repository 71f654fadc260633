package remote_test

import (
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
	h, err := remote.OpenHealth(t.Context(), db)
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
			if err := h.Failed(t.Context(), "dead.test", time.Now(), 0); err != nil {
				t.Fatal(err)
			}
			pause := time.Until(h.Retry("dead.test"))
			if pause < 2*time.Second || pause > 2*time.Hour {
				t.Fatalf("after %d failures it is left alone for %s", tries+1, pause)
			}
		}
		if tries < 20 || tries > 40 {
			t.Errorf("in a day it was tried %d times", tries)
		}
		if since, ok := h.Down("dead.test"); !ok || !since.Equal(start) {
			t.Errorf("it is said to be down since %s, %t", since, ok)
		}
	})
}

func TestManyFailuresAtOnceCountOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := health(t, storetest.Open(t, t.TempDir()+"/parley.db"))
		began := time.Now()
		time.Sleep(time.Second)
		for range 100 {
			if err := h.Failed(t.Context(), "dead.test", began, 0); err != nil {
				t.Fatal(err)
			}
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
			if err := h.Failed(t.Context(), server, time.Now(), said); err != nil {
				t.Fatal(err)
			}
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
			if err := h.Failed(t.Context(), server, time.Now(), 0); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if err := h.Heard(t.Context(), "a.test"); err != nil {
				t.Fatal(err)
			}
		}
		if len(back) != 1 || back[0] != "a.test" {
			t.Errorf("%v are said to be back", back)
		}
		again := health(t, db)
		if _, down := again.Down("a.test"); down {
			t.Error("after a restart a server is down that was back")
		}
		if got, want := again.Retry("b.test"), h.Retry("b.test"); got.UnixMilli() != want.UnixMilli() {
			t.Errorf("after a restart the next try is at %s, want %s", got, want)
		}
	})
}
