package alias

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// ErrTaken is the cause of the refusal of an alias that there is already.
var ErrTaken = errors.New("the alias is taken")

// Directory is the aliases of a server. It is safe for concurrent use.
type Directory struct {
	db      *store.DB
	server  id.ServerName
	changes atomic.Uint64
}

// New returns the directory in a database, of the aliases that end with the name
// of the server.
func New(db *store.DB, server id.ServerName) *Directory { return &Directory{db: db, server: server} }

// Changes returns how often this node has changed an alias: who remembers aliases
// asks whether they may be others by now.
func (d *Directory) Changes() uint64 { return d.changes.Load() }

// An Alias leads to a room.
type Alias struct {
	Room    id.RoomID
	Creator id.UserID
}

// Check refuses an alias that this server would not create, whether or not it is
// there.
func (d *Directory) Check(alias id.RoomAlias) error {
	switch {
	case alias.Server() != d.server:
		return mxerr.New(mxerr.InvalidParam, "This server has only aliases that end with :%s", d.server)
	case alias.Localpart() == "":
		return mxerr.New(mxerr.InvalidParam, "The alias has no name")
	case strings.ContainsFunc(alias.Localpart(), func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		return mxerr.New(mxerr.InvalidParam, "An alias has no spaces and no control characters")
	}
	return nil
}

// Create makes an alias. The error is a M_UNKNOWN with status 409 that wraps
// ErrTaken when there is one already, to whatever room it leads.
func (d *Directory) Create(ctx context.Context, alias id.RoomAlias, room id.RoomID, creator id.UserID) error {
	if err := d.Check(alias); err != nil {
		return err
	}
	defer d.changes.Add(1)
	err := d.db.Update(ctx, func(tx *store.Tx) error { return insert(tx, alias, room, creator) })
	if errors.Is(err, ErrTaken) {
		return mxerr.New(mxerr.Unknown, "The alias %s exists already", alias).WithStatus(409).Wrap(ErrTaken)
	}
	if err != nil {
		return fmt.Errorf("creating %s: %w", alias, err)
	}
	return nil
}

// insert makes an alias. The error is ErrTaken when there is one already.
func insert(tx *store.Tx, alias id.RoomAlias, room id.RoomID, creator id.UserID) error {
	made, err := tx.Exec(`
		INSERT INTO aliases (alias, room_id, creator, created) VALUES ($1, $2, $3, $4)
		ON CONFLICT (alias) DO NOTHING`, alias, room, creator, time.Now().UnixMilli())
	if err == nil && made == 0 {
		err = ErrTaken
	}
	return err
}

// aliasKey names an alias in a batch.
type aliasKey struct{ alias id.RoomAlias }

// CreateWith makes an alias in a batch, that of the room which it leads to. The
// error is ErrTaken when there is one already.
func (d *Directory) CreateWith(b *journal.Batch, alias id.RoomAlias, room id.RoomID, creator id.UserID) error {
	if err := d.Check(alias); err != nil {
		return err
	}
	var there int
	if err := b.Row("SELECT count(*) FROM aliases WHERE alias = $1", alias).Scan(&there); err != nil {
		return fmt.Errorf("looking for %s: %w", alias, err)
	}
	if _, inGroup := b.Memo(aliasKey{alias}); there > 0 || inGroup {
		return ErrTaken
	}
	b.Remember(aliasKey{alias}, true)
	b.Write(aliasKey{alias}, func(tx *store.Tx) error { return insert(tx, alias, room, creator) })
	b.Durable(func() { d.changes.Add(1) })
	return nil
}

// Lookup returns where an alias leads to, or a M_NOT_FOUND.
func (d *Directory) Lookup(ctx context.Context, alias id.RoomAlias) (a Alias, err error) {
	err = d.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT room_id, creator FROM aliases WHERE alias = $1", alias).Scan(&a.Room, &a.Creator)
	})
	if errors.Is(err, store.ErrNoRows) {
		return Alias{}, notFound(alias)
	}
	if err != nil {
		return Alias{}, fmt.Errorf("resolving %s: %w", alias, err)
	}
	return a, nil
}

// Resolve returns the room that an alias leads to, or a M_NOT_FOUND.
func (d *Directory) Resolve(ctx context.Context, alias id.RoomAlias) (id.RoomID, error) {
	a, err := d.Lookup(ctx, alias)
	return a.Room, err
}

// Delete removes an alias that leads to a room. The error is a M_NOT_FOUND when
// there is none, or it leads somewhere else by now.
func (d *Directory) Delete(ctx context.Context, alias id.RoomAlias, room id.RoomID) error {
	defer d.changes.Add(1)
	var gone int64
	err := d.db.Update(ctx, func(tx *store.Tx) (err error) {
		gone, err = tx.Exec("DELETE FROM aliases WHERE alias = $1 AND room_id = $2", alias, room)
		return err
	})
	if err != nil {
		return fmt.Errorf("deleting %s: %w", alias, err)
	}
	if gone == 0 {
		return notFound(alias)
	}
	return nil
}

// DeleteWith is Delete in a batch, that of what the room says of it.
func (d *Directory) DeleteWith(b *journal.Batch, alias id.RoomAlias, room id.RoomID) error {
	var there int
	if err := b.Row("SELECT count(*) FROM aliases WHERE alias = $1 AND room_id = $2", alias, room).Scan(&there); err != nil {
		return fmt.Errorf("looking for %s: %w", alias, err)
	}
	if there == 0 {
		return notFound(alias)
	}
	b.Write(aliasKey{alias}, func(tx *store.Tx) error {
		return tx.Queue("DELETE FROM aliases WHERE alias = $1 AND room_id = $2", alias, room)
	})
	b.Durable(func() { d.changes.Add(1) })
	return nil
}

func notFound(alias id.RoomAlias) error {
	return mxerr.New(mxerr.NotFound, "There is no alias %s", alias)
}

// Of returns the aliases that lead to a room, oldest first, never nil.
func (d *Directory) Of(ctx context.Context, room id.RoomID) ([]id.RoomAlias, error) {
	var aliases []id.RoomAlias
	err := d.db.View(ctx, func(tx *store.Tx) (err error) {
		aliases, err = store.List[id.RoomAlias](tx, "SELECT alias FROM aliases WHERE room_id = $1 ORDER BY created, alias", room)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the aliases of %s: %w", room, err)
	}
	return append([]id.RoomAlias{}, aliases...), nil
}

// move has what leads to one room lead to another.
const move = "UPDATE aliases SET room_id = $2 WHERE room_id = $1"

// moveKey names what moves from a room, in a batch.
type moveKey struct{ from id.RoomID }

// Move adds to the batch that the aliases of a room lead to another one from now
// on.
func (d *Directory) Move(b *journal.Batch, from, to id.RoomID) {
	b.Write(moveKey{from}, func(tx *store.Tx) error {
		if err := tx.Queue(move, from, to); err != nil {
			return fmt.Errorf("moving what leads to %s to %s: %w", from, to, err)
		}
		return nil
	})
	b.Durable(func() { d.changes.Add(1) })
}

// Redirect has all aliases that lead to a room lead to another, or removes them if that
// is empty, and returns them, never nil.
func (d *Directory) Redirect(ctx context.Context, from, to id.RoomID) ([]id.RoomAlias, error) {
	statement, args := "DELETE FROM aliases WHERE room_id = $1", []any{from}
	if to != "" {
		statement, args = move, []any{from, to}
	}
	defer d.changes.Add(1)
	var aliases []id.RoomAlias
	err := d.db.Update(ctx, func(tx *store.Tx) (err error) {
		aliases, err = store.List[id.RoomAlias](tx, statement+" RETURNING alias", args...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("moving the aliases of %s to %q: %w", from, to, err)
	}
	slices.Sort(aliases)
	return append([]id.RoomAlias{}, aliases...), nil
}
