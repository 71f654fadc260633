package e2ee

import (
	"context"
	"errors"
	"fmt"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/id"
)

// Counts are what a device has left. They are shared, and must not be changed.
type Counts struct {
	user   id.UserID
	device id.DeviceID
	// OneTime is how many one-time keys there are, by algorithm.
	OneTime map[string]int64
	// Unused are the algorithms of fallback keys that were not given out.
	Unused []string
}

// countKey is a device as the journal knows it.
type countKey struct {
	scope journal.Scope
	ref   int64
}

// countsMemory is how many bytes may be taken by what is remembered of counts.
const countsMemory = 16 << 20

func (c *Counts) weight() int { return 400 }

func keyOf(user id.UserID, device id.DeviceID) countKey {
	return countKey{journal.UserScope(user), Ref(device)}
}

// Counts returns what a device has left, from memory mostly. It is as of the
// visible end of the journal, or later: what came later has an entry there.
func (k *Keys) Counts(ctx context.Context, user id.UserID, device id.DeviceID) (*Counts, error) {
	key := keyOf(user, device)
	if c, ok := k.counts.Get(key); ok && c != nil && c.user == user && c.device == device {
		return c, nil
	}
	version := k.counts.Version(key)
	// Who has none of an algorithm may have to be told so.
	c := &Counts{user: user, device: device, OneTime: map[string]int64{signedCurve25519: 0}, Unused: []string{}}
	err := k.db.View(ctx, func(tx *store.Tx) error { return c.read(tx) })
	if err != nil {
		return nil, fmt.Errorf("counting the keys of device %s of %s: %w", device, user, err)
	}
	k.counts.PutSince(key, c, version)
	return c, nil
}

func (c *Counts) read(tx *store.Tx) error {
	row, err := scanDevice(tx.Row, c.user, c.device)
	if err != nil || row.num == 0 {
		return err
	}
	for row, err := range tx.Query("SELECT algorithm, count(*) FROM one_time_keys WHERE device = $1 GROUP BY algorithm", row.num) {
		var algorithm string
		var n int64
		if err == nil {
			err = row.Scan(&algorithm, &n)
		}
		if err != nil {
			return err
		}
		c.OneTime[algorithm] = n
	}
	unused, err := store.List[string](tx, "SELECT algorithm FROM fallback_keys WHERE device = $1 AND NOT used ORDER BY algorithm", row.num)
	c.Unused = append(c.Unused, unused...)
	return err
}

// counted appends the entry for a device whose counts change.
func (k *Keys) counted(b *journal.Batch, user id.UserID, device id.DeviceID) journal.Position {
	key := keyOf(user, device)
	b.Durable(func() { k.forgetCounts(key) })
	return b.Append(key.scope, journal.KindOneTimeKeys, key.ref)
}

func (k *Keys) forgetCounts(key countKey) {
	k.counts.Change(key, func(*Counts) *Counts { return nil })
}

// foreign forgets counts that others have changed.
func (k *Keys) foreign(entries []journal.Entry) {
	for _, e := range entries {
		if e.Kind == journal.KindOneTimeKeys {
			k.forgetCounts(countKey{e.Scope, e.Ref})
		}
	}
}

// errNone is that there is no row.
func none(err error) bool { return errors.Is(err, store.ErrNoRows) }
