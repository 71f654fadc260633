package feed

import (
	"context"
	"fmt"
	"slices"
	"time"

	"parley/internal/store"
	"parley/matrix/id"
)

// A version is a row of a connection.
type version struct {
	version, parent int64
	whole           bool
	told            []byte
	stored          int64
}

// load returns what a version of a connection says, those that it goes back to, and
// when one was stored last.
func (cs *connections) load(ctx context.Context, key connKey, wanted int64) (t *told, chain []int64, stored time.Time, err error) {
	rows := make(map[int64]version)
	err = cs.db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query("SELECT version, parent, whole, told, stored FROM sliding WHERE user_id = $1 AND device = $2 AND conn = $3",
			key.user, key.device, key.conn) {
			if err != nil {
				return err
			}
			var v version
			if err := row.Scan(&v.version, &v.parent, &v.whole, &v.told, &v.stored); err != nil {
				return err
			}
			rows[v.version] = v
			if at := time.UnixMilli(v.stored); at.After(stored) {
				stored = at
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, stored, fmt.Errorf("reading a connection of %s: %w", key.user, err)
	}
	var parts []*told
	for at := wanted; ; {
		v, ok := rows[at]
		if !ok {
			return nil, nil, stored, errUnknownPos()
		}
		part, err := decodeTold(v.told)
		if err != nil {
			return nil, nil, stored, fmt.Errorf("reading a connection of %s: %w", key.user, err)
		}
		if parts = append(parts, part); at != wanted {
			chain = append(chain, at)
		}
		if v.whole {
			break
		}
		at = v.parent
	}
	slices.Reverse(parts)
	slices.Reverse(chain)
	for _, part := range parts[1:] {
		parts[0].add(part)
	}
	return parts[0], chain, stored, nil
}

// save stores a child of what a client has come with, and removes what it cannot
// come with any more. Another node may have done so with that.
func (cs *connections) save(ctx context.Context, c *connection, k child) error {
	now := time.Now().UnixMilli()
	err := cs.db.Update(ctx, func(tx *store.Tx) error {
		key := c.key
		var rows []version
		for row, err := range tx.Query("SELECT version, parent, stored FROM sliding WHERE user_id = $1 AND device = $2 AND conn = $3",
			key.user, key.device, key.conn) {
			if err != nil {
				return err
			}
			var v version
			if err := row.Scan(&v.version, &v.parent, &v.stored); err != nil {
				return err
			}
			rows = append(rows, v)
		}
		if c.version != 0 && c.left(rows) {
			return errUnknownPos()
		}
		for _, old := range c.outdated(rows) {
			if err := tx.Queue("DELETE FROM sliding WHERE user_id = $1 AND device = $2 AND conn = $3 AND version = $4",
				key.user, key.device, key.conn, old); err != nil {
				return err
			}
		}
		if c.version == 0 && len(rows) == 0 {
			if err := crowdOut(tx, key); err != nil {
				return err
			}
		}
		return tx.Queue(`
			INSERT INTO sliding (user_id, device, conn, version, parent, whole, told, stored) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			key.user, key.device, key.conn, k.version, c.version, k.whole, k.told.encode(), now)
	})
	if err != nil {
		return fmt.Errorf("storing a connection of %s: %w", c.key.user, err)
	}
	return nil
}

// left reports whether the client has left the version behind: it is gone, or one of
// its children has children.
func (c *connection) left(rows []version) bool {
	parents := make(map[int64]int64, len(rows))
	for _, v := range rows {
		parents[v.version] = v.parent
	}
	if _, ok := parents[c.version]; !ok {
		return true
	}
	for _, parent := range parents {
		if parent != 0 && parent != c.version && parents[parent] == c.version {
			return true
		}
	}
	return false
}

// outdated returns the versions that the client cannot come with any more, now that
// it has come with another: all but that, those that it goes back to, and its last
// children.
func (c *connection) outdated(rows []version) (old []int64) {
	var children []version
	for _, v := range rows {
		switch {
		case v.parent == c.version:
			children = append(children, v)
		case v.version != c.version && !slices.Contains(c.chain, v.version):
			old = append(old, v.version)
		}
	}
	slices.SortFunc(children, func(a, b version) int { return int(b.stored - a.stored) })
	for _, v := range children[min(len(children), mostChildren-1):] {
		old = append(old, v.version)
	}
	return old
}

// crowdOut makes room for a new connection of a device.
func crowdOut(tx *store.Tx, key connKey) error {
	names, err := store.List[string](tx, `
		SELECT conn FROM sliding WHERE user_id = $1 AND device = $2 GROUP BY conn ORDER BY max(stored) DESC`, key.user, key.device)
	if err != nil {
		return err
	}
	for _, name := range names[min(len(names), mostConnections-1):] {
		if err := tx.Queue("DELETE FROM sliding WHERE user_id = $1 AND device = $2 AND conn = $3", key.user, key.device, name); err != nil {
			return err
		}
	}
	return nil
}

// touch notes, now and then, that a connection is used on which nothing has to be
// stored.
func (cs *connections) touch(ctx context.Context, c *connection) error {
	now := time.Now()
	if c.version == 0 || now.Sub(c.stored) < connectionLife/15 {
		return nil
	}
	err := cs.db.Update(ctx, func(tx *store.Tx) error {
		return tx.Queue("UPDATE sliding SET stored = $5 WHERE user_id = $1 AND device = $2 AND conn = $3 AND version = $4",
			c.key.user, c.key.device, c.key.conn, c.version, now.UnixMilli())
	})
	if err != nil {
		return fmt.Errorf("noting that a connection of %s is used: %w", c.key.user, err)
	}
	c.stored = now
	return nil
}

// ForgetDevices removes the connections of devices of a user that are no more.
func (f *Feed) ForgetDevices(tx *store.Tx, user id.UserID, devices []id.DeviceID) error {
	in, list := tx.In(2, devices)
	_, err := tx.Exec("DELETE FROM sliding WHERE user_id = $1 AND device "+in, user, list)
	if err != nil {
		return fmt.Errorf("forgetting the connections of devices of %s: %w", user, err)
	}
	return nil
}

// ForgetConnections removes the connections that nobody has used for long. Their
// clients begin anew.
func (f *Feed) ForgetConnections(ctx context.Context) error {
	if f.DB == nil {
		return nil
	}
	err := f.DB.Update(ctx, func(tx *store.Tx) error {
		return tx.Queue(`
			DELETE FROM sliding WHERE stored < $1 AND NOT EXISTS (
				SELECT 1 FROM sliding AS later WHERE later.user_id = sliding.user_id AND later.device = sliding.device
					AND later.conn = sliding.conn AND later.stored >= $1)`,
			time.Now().Add(-connectionLife).UnixMilli())
	})
	if err != nil {
		return fmt.Errorf("forgetting old connections: %w", err)
	}
	return nil
}
