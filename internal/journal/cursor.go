package journal

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"parley/internal/store"
)

// A Cursor is the place of a consumer that must see every entry: what sends
// events to other servers, say. It is kept in the database under its name. Of
// cursors with one name only one may be in use, by several goroutines if need be.
type Cursor struct {
	j    *Journal
	name string
	pos  atomic.Int64 // a Position
}

// Cursor returns the cursor of a consumer. One that is new begins at the head:
// what was before it does not concern it.
func (j *Journal) Cursor(ctx context.Context, name string) (*Cursor, error) {
	var pos Position
	err := j.db.Update(ctx, func(tx *store.Tx) error {
		err := tx.Row("SELECT pos FROM journal_cursors WHERE name = $1", name).Scan(&pos)
		if !errors.Is(err, store.ErrNoRows) {
			return err
		}
		if err := tx.Row("SELECT pos FROM journal_head").Scan(&pos); err != nil {
			return err
		}
		_, err = tx.Exec("INSERT INTO journal_cursors (name, pos) VALUES ($1, $2)", name, pos)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("opening journal cursor %s: %w", name, err)
	}
	c := &Cursor{j: j, name: name}
	c.Pass(pos)
	return c, nil
}

// Position returns the position up to which everything is done.
func (c *Cursor) Position() Position { return Position(c.pos.Load()) }

// Next waits until there is something to do and returns up to limit entries.
// Until Pass or Done is called it returns the same ones again.
func (c *Cursor) Next(ctx context.Context, limit int) ([]Entry, error) {
	if err := c.j.waitHead(ctx, c.Position()); err != nil {
		return nil, err
	}
	return c.j.Read(ctx, c.Position(), limit)
}

// Pass is Done without storing it, for what may be done again after a crash and is
// not worth a commit each time.
func (c *Cursor) Pass(pos Position) {
	for {
		was := c.pos.Load()
		if int64(pos) <= was || c.pos.CompareAndSwap(was, int64(pos)) {
			return
		}
	}
}

// Done says that everything up to and including a position is done. After a
// crash the consumer begins behind it; what it did beyond it, it does again.
func (c *Cursor) Done(ctx context.Context, pos Position) error {
	err := c.j.db.Update(ctx, func(tx *store.Tx) error { return c.DoneWith(tx, pos) })
	if err != nil {
		return err
	}
	return nil
}

// DoneWith is Done in a transaction of the caller's, together with what makes it
// true. After the commit the caller calls Pass.
func (c *Cursor) DoneWith(tx *store.Tx, pos Position) error {
	_, err := tx.Exec("UPDATE journal_cursors SET pos = $2 WHERE name = $1 AND pos < $2", c.name, pos)
	if err != nil {
		return fmt.Errorf("moving journal cursor %s to %d: %w", c.name, pos, err)
	}
	return nil
}

// ForgetCursor removes the cursor of a consumer that there will not be any more.
func ForgetCursor(tx *store.Tx, name string) error {
	if _, err := tx.Exec("DELETE FROM journal_cursors WHERE name = $1", name); err != nil {
		return fmt.Errorf("forgetting journal cursor %s: %w", name, err)
	}
	return nil
}
