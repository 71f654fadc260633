package journal

import (
	"context"
	"errors"
	"fmt"

	"parley/internal/store"
)

// A Cursor is the place of a consumer that must see every entry: what sends
// events to other servers, say. It is kept in the database under its name. It
// is for one goroutine, and of cursors with one name only one may be in use.
type Cursor struct {
	j    *Journal
	name string
	pos  Position
}

// Cursor returns the cursor of a consumer. One that is new begins at the head:
// what was before it does not concern it.
func (j *Journal) Cursor(ctx context.Context, name string) (*Cursor, error) {
	c := &Cursor{j: j, name: name}
	err := j.db.Update(ctx, func(tx *store.Tx) error {
		err := tx.Row("SELECT pos FROM journal_cursors WHERE name = $1", name).Scan(&c.pos)
		if !errors.Is(err, store.ErrNoRows) {
			return err
		}
		if err := tx.Row("SELECT pos FROM journal_head").Scan(&c.pos); err != nil {
			return err
		}
		_, err = tx.Exec("INSERT INTO journal_cursors (name, pos) VALUES ($1, $2)", name, c.pos)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("opening journal cursor %s: %w", name, err)
	}
	return c, nil
}

// Position returns the position up to which everything is done.
func (c *Cursor) Position() Position { return c.pos }

// Next waits until there is something to do and returns up to limit entries.
// Until Done is called it returns the same ones again.
func (c *Cursor) Next(ctx context.Context, limit int) ([]Entry, error) {
	if err := c.j.waitHead(ctx, c.pos); err != nil {
		return nil, err
	}
	return c.j.Read(ctx, c.pos, limit)
}

// Done says that everything up to and including a position is done. After a
// crash the consumer begins behind it; what it did beyond it, it does again.
func (c *Cursor) Done(ctx context.Context, pos Position) error {
	err := c.j.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("UPDATE journal_cursors SET pos = $2 WHERE name = $1 AND pos < $2", c.name, pos)
		return err
	})
	if err != nil {
		return fmt.Errorf("moving journal cursor %s to %d: %w", c.name, pos, err)
	}
	c.pos = max(c.pos, pos)
	return nil
}
