package journal

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/store"
	"parley/internal/store/storetest"
)

// TestOldEntriesAreTrimmedByTheirAge lets a week pass.
func TestOldEntriesAreTrimmedByTheirAge(t *testing.T) {
	location := filepath.Join(t.TempDir(), "parley.db")
	synctest.Test(t, func(t *testing.T) {
		db := storetest.Open(t, location)
		j := start(t, db, Options{Window: 2})
		var floors []Position
		for range 7 {
			for range 3 {
				appendAll(t, j, entry(room(1), 1))
				time.Sleep(8 * time.Hour)
			}
			if err := j.TrimOld(ctx, 3*24*time.Hour); err != nil {
				t.Fatal(err)
			}
			floors = append(floors, j.Floor())
		}
		// What was there at the end of a day is old three days later.
		for day, want := range []Position{0, 0, 0, 3, 6, 9, 12} {
			if floors[day] != want {
				t.Errorf("after day %d the floor is %d, want %d", day+1, floors[day], want)
			}
		}
		var stored, times int64
		err := db.View(ctx, func(tx *store.Tx) error {
			if err := tx.Row("SELECT count(*) FROM journal").Scan(&stored); err != nil {
				return err
			}
			return tx.Row("SELECT count(*) FROM journal_times").Scan(&times)
		})
		if err != nil || stored != 21-12 || times != 4 {
			t.Errorf("%d entries and %d times are stored, %v", stored, times, err)
		}
		// Nothing happens for a month.
		time.Sleep(30 * 24 * time.Hour)
		for range 2 {
			if err := j.TrimOld(ctx, 3*24*time.Hour); err != nil || j.Floor() != 21 {
				t.Errorf("the floor is %d, %v", j.Floor(), err)
			}
		}
	})
}

func TestManyEntriesAreTrimmedInSteps(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		j := start(t, db, Options{Window: 2})
		appendAll(t, j, func(b *Batch) error {
			for range 2*trimStep + 5 {
				b.Append(room(1), kind, 1)
			}
			return nil
		})
		if floor, err := j.Trim(ctx, 2*trimStep+3); err != nil || floor != 2*trimStep+3 {
			t.Errorf("got %d, %v", floor, err)
		}
		var stored int64
		if err := db.View(ctx, func(tx *store.Tx) error { return tx.Row("SELECT count(*) FROM journal").Scan(&stored) }); err != nil || stored != 2 {
			t.Errorf("%d entries are left, %v", stored, err)
		}
	})
}

// TestWhatACrashLeavesIsTrimmedLater fails trimming after its first step.
func TestWhatACrashLeavesIsTrimmedLater(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		j := start(t, db, Options{Window: 2})
		for i := range int64(10) {
			appendAll(t, j, entry(room(1), i))
		}
		updates, crash := 0, errors.New("crash")
		db.FailAt(func(p store.Point) error {
			if p == store.BeforeBegin {
				if updates++; updates > 1 {
					return crash
				}
			}
			return nil
		})
		if _, err := j.Trim(ctx, 5); !errors.Is(err, crash) {
			t.Fatalf("got %v", err)
		}
		db.FailAt(nil)
		// Nobody gets a part of what is about to go.
		if _, err := j.ReadScopes(ctx, []Scope{room(1)}, 3, 10); !errors.Is(err, ErrGone) {
			t.Errorf("got %v", err)
		}
		if floor, err := j.Trim(ctx, 0); err != nil || floor != 5 {
			t.Errorf("got %d, %v", floor, err)
		}
	})
}

// TestReadersBesideTrimming reads scopes while they are trimmed: all or nothing.
// The other node does not know of it.
func TestReadersBesideTrimming(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		j := start(t, db, Options{Window: 2})
		appendAll(t, j, func(b *Batch) error {
			for i := range int64(1000) {
				b.Append(room(1), kind, i)
			}
			return nil
		})
		other := open(t, db, Options{Window: 2})
		reading, stop := context.WithCancel(ctx)
		var readers sync.WaitGroup
		for _, reader := range []*Journal{j, other} {
			readers.Go(func() {
				for reading.Err() == nil {
					entries, err := reader.ReadScopes(ctx, []Scope{room(1)}, 400, 990)
					if err != nil && !errors.Is(err, ErrGone) || err == nil && len(entries) != 590 {
						t.Errorf("got %d entries, %v", len(entries), err)
						return
					}
				}
			})
		}
		for upTo := Position(100); upTo <= 900; upTo += 50 {
			if _, err := j.Trim(ctx, upTo); err != nil {
				t.Error(err)
			}
		}
		stop()
		readers.Wait()
		if err := other.Refresh(ctx); err != nil || other.Floor() != 900 {
			t.Errorf("the floor of the other node is %d, %v", other.Floor(), err)
		}
	})
}
