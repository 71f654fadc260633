package remote

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
)

func TestThereIsALimitOfDeadServersThatAreKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := storetest.Open(t, t.TempDir()+"/parley.db")
		h, err := OpenHealth(t.Context(), db, nil)
		if err != nil {
			t.Fatal(err)
		}
		stored := func() (n int) {
			t.Helper()
			h.store(t.Context())
			if err := db.View(t.Context(), func(tx *store.Tx) error {
				return tx.Row("SELECT count(*) FROM outages").Scan(&n)
			}); err != nil {
				t.Fatal(err)
			}
			return n
		}
		for i := range mostOutages {
			h.outages[id.ServerName(fmt.Sprintf("s%d.test", i))] = outage{failures: 1, retry: time.Now()}
		}
		h.Failed("more.test", time.Now())
		if len(h.outages) != mostOutages || stored() != 0 {
			t.Errorf("%d servers are known, %d stored", len(h.outages), stored())
		}
		h.Failed("s7.test", time.Now()) // which is one of them
		if stored() != 1 {
			t.Errorf("%d are stored, want 1", stored())
		}
		time.Sleep(forgetAfter + time.Hour)
		h.Failed("more.test", time.Now())
		if len(h.outages) != 1 || stored() != 1 {
			t.Errorf("after a week %d servers are known, %d stored", len(h.outages), stored())
		}
	})
}
