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
		if err := expectKept(tx, after); err != nil {
			return err
		}
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

// expectKept refuses to read entries behind a position when some were trimmed. It is
// asked in the transaction that reads them: they may be trimmed just now.
func expectKept(tx *store.Tx, after Position) error {
	var floor Position
	if err := tx.Row("SELECT floor FROM journal_head").Scan(&floor); err != nil {
		return err
	}
	if after < floor {
		return ErrGone
	}
	return nil
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
