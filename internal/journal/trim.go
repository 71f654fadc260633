package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/internal/store"
)

// trimStep is how many entries are removed in one transaction: nobody else can
// write meanwhile.
const trimStep = 2000

// Trim removes entries up to and including a position, as far as no cursor
// still needs them, and tells how far. First nobody may read them any more, then
// they are removed some at a time; what a crash leaves, the next call removes.
func (j *Journal) Trim(ctx context.Context, upTo Position) (Position, error) {
	var floor Position
	err := j.db.Update(ctx, func(tx *store.Tx) error {
		var least Position
		err := tx.Row("SELECT coalesce(min(pos), $1) FROM journal_cursors", upTo).Scan(&least)
		if err != nil {
			return err
		}
		upTo = min(upTo, least, j.Head())
		if _, err := tx.Exec("UPDATE journal_head SET floor = $1 WHERE floor < $1", upTo); err != nil {
			return err
		}
		return tx.Row("SELECT floor FROM journal_head").Scan(&floor)
	})
	if err != nil {
		return 0, fmt.Errorf("trimming the journal up to %d: %w", upTo, err)
	}
	j.raiseFloor(floor)
	for {
		more, err := j.removeBelow(ctx, floor)
		if err != nil {
			return 0, fmt.Errorf("removing the journal up to %d: %w", floor, err)
		}
		if !more {
			return floor, nil
		}
	}
}

// raiseFloor takes in up to where entries may be gone.
func (j *Journal) raiseFloor(floor Position) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.floor = max(j.floor, floor)
}

// removeBelow removes the oldest entries, up to and including a position, and
// reports whether there may be more.
func (j *Journal) removeBelow(ctx context.Context, floor Position) (more bool, err error) {
	err = j.db.Update(ctx, func(tx *store.Tx) error {
		var oldest Position
		if err := tx.Row("SELECT coalesce(min(pos), 0) FROM journal").Scan(&oldest); err != nil || oldest == 0 || oldest > floor {
			return err
		}
		more = true
		_, err := tx.Exec("DELETE FROM journal WHERE pos <= $1", min(floor, oldest+trimStep-1))
		return err
	})
	return more, err
}

// TrimOld removes the entries that are older than keep, as Trim does. How old
// entries are it knows from its earlier calls: call it every hour, say.
func (j *Journal) TrimOld(ctx context.Context, keep time.Duration) error {
	now := time.Now()
	old := now.Add(-keep).UnixMilli()
	var upTo Position
	err := j.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`
			INSERT INTO journal_times (pos, at) SELECT pos, $1 FROM journal_head WHERE pos > 0
			ON CONFLICT (pos) DO NOTHING`, now.UnixMilli())
		if err != nil {
			return err
		}
		err = tx.Row("SELECT pos FROM journal_times WHERE at <= $1 ORDER BY at DESC, pos DESC LIMIT 1", old).Scan(&upTo)
		if errors.Is(err, store.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec("DELETE FROM journal_times WHERE pos < $1", upTo)
		return err
	})
	if err != nil {
		return fmt.Errorf("looking for old entries of the journal: %w", err)
	}
	_, err = j.Trim(ctx, upTo)
	return err
}
