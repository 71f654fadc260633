package journal

import (
	"context"
	"fmt"

	"parley/internal/store"
)

// Read returns up to limit entries behind a position, in order. The error is
// ErrGone when some of them were trimmed.
func (j *Journal) Read(ctx context.Context, after Position, limit int) ([]Entry, error) {
	entries, head, err := j.recent(after, func(w *window) []Entry { return w.between(after, w.head, limit) })
	if entries != nil || err != nil {
		return entries, err
	}
	return j.load(ctx, after, min(head, after+Position(limit)))
}

// ReadScopes returns the entries of scopes behind a position up to and
// including another, in order. The scopes must be different. The error is
// ErrGone when entries in between were trimmed.
func (j *Journal) ReadScopes(ctx context.Context, scopes []Scope, after, upTo Position) ([]Entry, error) {
	entries, _, err := j.recent(after, func(w *window) []Entry { return w.of(scopes, after, upTo) })
	if entries != nil || err != nil {
		return entries, err
	}
	err = j.db.View(ctx, func(tx *store.Tx) error {
		in, list := tx.In(3, scopes)
		return scanEntries(&entries, tx,
			"SELECT pos, scope, kind, ref FROM journal WHERE pos > $1 AND pos <= $2 AND scope "+in+" ORDER BY pos",
			after, upTo, list)
	})
	if err != nil {
		return nil, fmt.Errorf("reading %d scopes of the journal from %d to %d: %w", len(scopes), after, upTo, err)
	}
	return entries, nil
}

// recent asks the window, if it has everything behind a position. Otherwise the
// entries are nil, and the database has them, unless they are gone.
func (j *Journal) recent(after Position, ask func(*window) []Entry) (entries []Entry, head Position, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.window.holds(after):
		entries = ask(j.window)
	case after < j.floor:
		err = ErrGone
	}
	return entries, j.window.head, err
}

// Trim removes entries up to and including a position, as far as no cursor
// still needs them, and tells how far.
func (j *Journal) Trim(ctx context.Context, upTo Position) (Position, error) {
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
		_, err = tx.Exec("DELETE FROM journal WHERE pos <= $1", upTo)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("trimming the journal up to %d: %w", upTo, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.floor = max(j.floor, upTo)
	return j.floor, nil
}
