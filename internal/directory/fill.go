package directory

import (
	"context"
	"errors"
	"fmt"

	"parley/internal/store"
	"parley/matrix/id"
)

// A fill is how far the users were gone through that were there before the directory.
type fill struct {
	after  id.UserID
	locals bool
	done   bool
}

func (d *Directory) filling() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.fill.done
}

func (d *Directory) readFill(ctx context.Context) (f fill, err error) {
	err = d.DB.View(ctx, func(tx *store.Tx) error {
		var after string
		err := tx.Row("SELECT after, locals, done FROM directory_fill").Scan(&after, &f.locals, &f.done)
		f.after = id.UserID(after)
		if errors.Is(err, store.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		err = fmt.Errorf("reading which users the directory has: %w", err)
	}
	return f, err
}

// fillSome takes in some of the users that were there before.
func (d *Directory) fillSome(ctx context.Context) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	d.mu.Lock()
	f := d.fill
	d.mu.Unlock()
	if f.done {
		return nil
	}
	list := d.Rooms.JoinedBehind
	if f.locals {
		list = d.Locals
	}
	users, err := list(ctx, f.after, chunk)
	if err != nil {
		return err
	}
	switch {
	case len(users) > 0:
		f.after = users[len(users)-1]
	case f.locals:
		f.done = true
	default:
		f = fill{locals: true}
	}
	err = d.refresh(ctx, users, func(tx *store.Tx) error {
		_, err := tx.Exec(`
			INSERT INTO directory_fill (one, after, locals, done) VALUES (1, $1, $2, $3)
			ON CONFLICT (one) DO UPDATE SET after = excluded.after, locals = excluded.locals, done = excluded.done`,
			string(f.after), f.locals, f.done)
		return err
	})
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fill = f
	return nil
}
