package e2ee

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// An Upload is what a device uploads.
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysupload
type Upload struct {
	// Device is the device_keys, nil if there are none; OneTime and Fallback are
	// objects of keys by their names, nil if there are none.
	Device, OneTime, Fallback canonjson.Value
	// Tokenless says that an application service uploads for the device.
	Tokenless bool
}

// upload is a checked Upload.
type upload struct {
	user      id.UserID
	device    id.DeviceID
	tokenless bool
	made      bool       // the batch makes the device
	identity  deviceKeys // without object if there are none
	oneTime   []oneTimeKey
	fallback  []oneTimeKey
}

func parseUpload(user id.UserID, device id.DeviceID, u Upload) (p upload, err error) {
	p = upload{user: user, device: device, tokenless: u.Tokenless}
	if u.Device != nil && u.Device.Kind() != canonjson.Null {
		if p.identity, err = parseDeviceKeys(u.Device, user, device); err != nil {
			return p, err
		}
	}
	if p.oneTime, err = parseOneTimeKeys("one_time_keys", u.OneTime); err != nil {
		return p, err
	}
	if p.fallback, err = parseOneTimeKeys("fallback_keys", u.Fallback); err != nil {
		return p, err
	}
	for i, k := range p.fallback {
		if slices.ContainsFunc(p.fallback[:i], func(other oneTimeKey) bool { return other.algorithm == k.algorithm }) {
			return p, mxerr.New(mxerr.InvalidParam, "There can be one fallback key of an algorithm, and there are two of %s", k.algorithm)
		}
	}
	return p, nil
}

// verify refuses keys that the device has not signed, once it is known which key it
// signs with.
func (u *upload) verify(public ed25519.PublicKey) error {
	if u.identity.ed25519 != nil {
		public = u.identity.ed25519
	}
	if public == nil {
		return nil // nobody can check them before the device has told
	}
	for _, k := range slices.Concat(u.oneTime, u.fallback) {
		if err := k.signed(u.user, u.device, public); err != nil {
			return err
		}
	}
	return nil
}

// Upload takes in the keys of a device. What is there already is passed over. The
// refusals are [mxerr.BadJSON], [mxerr.InvalidParam], [mxerr.InvalidSignature] and
// [mxerr.TooLarge], and [mxerr.UnknownToken] for a device that was just removed.
func (k *Keys) Upload(ctx context.Context, user id.UserID, device id.DeviceID, u Upload) error {
	p, err := parseUpload(user, device, u)
	if err != nil {
		return err
	}
	err = k.append(ctx, func() (journal.Change, error) {
		if p.identity.object == nil && len(p.oneTime)+len(p.fallback) == 0 {
			return nil, nil
		}
		row, err := k.readDevice(ctx, user, device)
		if err != nil {
			return nil, err
		}
		if err := p.verify(storedDeviceKeys(row.keys, device).ed25519); err != nil {
			return nil, err
		}
		return func(b *journal.Batch) error { return k.upload(b, &p, row) }, nil
	})
	if err != nil {
		return fmt.Errorf("storing keys of device %s of %s: %w", device, user, err)
	}
	return nil
}

// A deviceRow is what is stored of a device. num is 0 for one of which nothing is.
type deviceRow struct {
	num  int64
	keys canonjson.Value // nil if it has none
}

func (k *Keys) readDevice(ctx context.Context, user id.UserID, device id.DeviceID) (r deviceRow, err error) {
	err = k.db.View(ctx, func(tx *store.Tx) error {
		r, err = scanDevice(tx.Row, user, device)
		return err
	})
	return r, err
}

func scanDevice(row func(string, ...any) store.Row, user id.UserID, device id.DeviceID) (r deviceRow, err error) {
	err = row("SELECT device, keys FROM keyed_devices WHERE user_id = $1 AND device_id = $2", user, device).Scan(&r.num, &r.keys)
	if errors.Is(err, store.ErrNoRows) {
		return deviceRow{}, nil
	}
	return r, err
}

// upload is the change for an upload that was checked when the device was as in
// before.
func (k *Keys) upload(b *journal.Batch, u *upload, before deviceRow) error {
	if err := touch(b, touched{u.user, u.device}); err != nil {
		return err
	}
	row, err := scanDevice(b.Row, u.user, u.device)
	if err != nil {
		return err
	}
	if row.num != before.num || !bytes.Equal(row.keys, before.keys) {
		return errAgain
	}
	alive := u.made
	if !alive {
		err = b.Read(func(tx *store.Tx) (err error) {
			alive, err = k.Alive(tx, u.user, u.device, u.tokenless)
			return err
		})
	}
	switch {
	case err != nil:
		return err
	case !alive:
		return mxerr.New(mxerr.UnknownToken, "The device was removed just now").With("soft_logout", false)
	}
	return k.store(b, u, row)
}

// store writes an upload. The device is touched, and was checked to be as in row.
func (k *Keys) store(b *journal.Batch, u *upload, row deviceRow) error {
	replaced := u.identity.object != nil && !bytes.Equal(u.identity.object, row.keys)
	if replaced {
		if err := notCrossSigning(b, u.user, u.device); err != nil {
			return err
		}
	}
	// Whoever has other keys than before knows nothing of what belonged to them.
	anew := replaced && row.keys != nil && !bytes.Equal(u.identity.identity, storedDeviceKeys(row.keys, u.device).identity)
	oneTime, fallback := u.oneTime, u.fallback
	if row.num != 0 && !anew {
		var err error
		if oneTime, err = newOneTimeKeys(b, row.num, oneTime); err != nil {
			return err
		}
		if fallback, err = newFallbackKeys(b, row.num, fallback); err != nil {
			return err
		}
	}
	more := len(oneTime)+len(fallback) > 0
	if !replaced && !more {
		return nil
	}
	var pos journal.Position
	if more || anew || row.num == 0 {
		pos = k.counted(b, u.user, u.device)
	}
	if row.num == 0 {
		row.num = int64(pos)
	}
	if anew {
		forgetIdentity(b, row.num, u.user, u.device)
	}
	if replaced || row.num == int64(pos) {
		b.Write(touched{u.user, u.device}, func(tx *store.Tx) error {
			return tx.Queue(`
				INSERT INTO keyed_devices (device, user_id, device_id, keys) VALUES ($1, $2, $3, $4)
				ON CONFLICT (device) DO UPDATE SET keys = excluded.keys`, row.num, u.user, u.device, []byte(u.identity.object))
		})
	}
	if replaced {
		k.Lists.Changed(b, u.user)
	}
	if more {
		b.Write(newKeys{row.num, pos}, func(tx *store.Tx) error { return insertKeys(tx, row.num, pos, oneTime, fallback) })
	}
	return nil
}

type newKeys struct {
	device int64
	pos    journal.Position
}

// notCrossSigning refuses the keys of a device whose name is that of a
// cross-signing key: signatures of both have the same names.
func notCrossSigning(b *journal.Batch, user id.UserID, device id.DeviceID) error {
	var n int64
	err := b.Row("SELECT count(*) FROM cross_signing_keys WHERE user_id = $1 AND public = $2", user, string(device)).Scan(&n)
	if err == nil && n > 0 {
		err = mxerr.New(mxerr.Forbidden, "Key ID in use: the device is called as a cross-signing key")
	}
	return err
}

// forgetIdentity removes what depends on the identity keys of a device.
func forgetIdentity(b *journal.Batch, num int64, user id.UserID, device id.DeviceID) {
	type identity int64
	b.Write(identity(num), func(tx *store.Tx) error {
		for _, table := range []string{"one_time_keys", "fallback_keys", "given_keys"} {
			if err := tx.Queue("DELETE FROM "+table+" WHERE device = $1", num); err != nil {
				return err
			}
		}
		return deleteSignaturesOf(tx, user, string(device))
	})
}

// newOneTimeKeys returns which keys are not there yet and were not given out. One
// that is there under the same name and is another one is refused.
func newOneTimeKeys(b *journal.Batch, device int64, keys []oneTimeKey) ([]oneTimeKey, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	names, digests := make([]string, len(keys)), make([]int64, len(keys))
	for i, k := range keys {
		names[i], digests[i] = k.id, k.digest()
	}
	there := make(map[string]canonjson.Value)
	given := make(map[int64]bool)
	var left int64
	err := b.Read(func(tx *store.Tx) error {
		in, list := tx.In(2, names)
		for row, err := range tx.Query("SELECT algorithm, key_id, key FROM one_time_keys WHERE device = $1 AND key_id "+in, device, list) {
			var k oneTimeKey
			if err == nil {
				err = row.Scan(&k.algorithm, &k.id, &k.key)
			}
			if err != nil {
				return err
			}
			there[k.name()] = k.key
		}
		in, list = tx.In(2, digests)
		gone, err := store.List[int64](tx, "SELECT digest FROM given_keys WHERE device = $1 AND digest "+in, device, list)
		for _, digest := range gone {
			given[digest] = true
		}
		if err != nil {
			return err
		}
		return tx.Row("SELECT count(*) FROM one_time_keys WHERE device = $1", device).Scan(&left)
	})
	if err != nil {
		return nil, err
	}
	var fresh []oneTimeKey
	for i, k := range keys {
		old := there[k.name()]
		switch {
		case old == nil && !given[digests[i]]:
			fresh = append(fresh, k)
		case old != nil && !bytes.Equal(old, k.key):
			// Clients look for these words, and read both keys.
			return nil, mxerr.New(mxerr.InvalidParam, "One time key %s already exists. Old key: %s; new key: %s", k.name(), old, k.key)
		}
	}
	if left+int64(len(fresh)) > maxLeft {
		return nil, mxerr.New(mxerr.TooLarge, "A device can have %d one-time keys and not more", maxLeft)
	}
	return fresh, nil
}

// digest tells a key from others of its device.
func (k oneTimeKey) digest() int64 {
	sum := sha256.Sum256(append([]byte(k.name()+"\x00"), k.key...))
	return int64(binary.BigEndian.Uint64(sum[:]))
}

// newFallbackKeys returns which fallback keys are others than those that there are.
func newFallbackKeys(b *journal.Batch, device int64, keys []oneTimeKey) ([]oneTimeKey, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	keys = slices.Clone(keys)
	for row, err := range b.Query("SELECT algorithm, key_id, key FROM fallback_keys WHERE device = $1", device) {
		var old oneTimeKey
		if err == nil {
			err = row.Scan(&old.algorithm, &old.id, &old.key)
		}
		if err != nil {
			return nil, err
		}
		keys = slices.DeleteFunc(keys, func(k oneTimeKey) bool { return k.name() == old.name() && bytes.Equal(k.key, old.key) })
	}
	return keys, nil
}

var insertOneTimeKeys = &store.Insert{Table: "one_time_keys", Columns: []store.Column{
	{Name: "place", Type: store.Int}, {Name: "device", Type: store.Int}, {Name: "algorithm", Type: store.Text},
	{Name: "key_id", Type: store.Text}, {Name: "key", Type: store.Blob}}}

// placesPerEntry is how many places keys of one upload may have.
const placesPerEntry = 1 << 12

// keepGiven is how many of the keys that were given out are remembered of a
// device: more than an upload brings, and only the last upload is ever repeated.
const keepGiven = 2 * maxUpload

func insertKeys(tx *store.Tx, device int64, pos journal.Position, oneTime, fallback []oneTimeKey) error {
	rows := make([][]any, len(oneTime))
	for i, k := range oneTime {
		rows[i] = []any{int64(pos)*placesPerEntry + int64(i), device, k.algorithm, k.id, []byte(k.key)}
	}
	if err := tx.QueueAll(insertOneTimeKeys, rows); err != nil {
		return err
	}
	for _, k := range fallback {
		err := tx.Queue(`
			INSERT INTO fallback_keys (device, algorithm, key_id, key, used) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (device, algorithm) DO UPDATE SET key_id = excluded.key_id, key = excluded.key, used = excluded.used`,
			device, k.algorithm, k.id, []byte(k.key), false)
		if err != nil {
			return err
		}
	}
	if len(oneTime) == 0 {
		return nil
	}
	return tx.Queue(`
		DELETE FROM given_keys WHERE device = $1 AND place <= (
			SELECT place FROM given_keys WHERE device = $1 ORDER BY place DESC LIMIT 1 OFFSET $2)`, device, keepGiven)
}
