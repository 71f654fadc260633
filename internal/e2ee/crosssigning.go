package e2ee

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/signing"
)

// publicOf returns the public key of a cross-signing key, which is its only one;
// empty if it is not such a key.
func publicOf(key canonjson.Value) string {
	public := ""
	for name, value := range key.Get("keys").Members() {
		text, _ := name.Text()
		_, ok := publicKey(value)
		if !ok || public != "" || text != keyIDOf(value.String()) {
			return ""
		}
		public = value.String()
	}
	return public
}

// keyIDOf is the name of the signing key of a device, or of a cross-signing key.
func keyIDOf(target string) string { return "ed25519:" + target }

// IsCrossSigning reports whether an object has the form of a cross-signing key of a
// user, for a usage such as master. It says nothing of signatures.
func IsCrossSigning(key canonjson.Value, user id.UserID, usage string) bool {
	used := false
	for u := range key.Get("usage").Elements() {
		used = used || u.Is(usage)
	}
	return used && checkObject("", key, 2*maxKeyObject) == nil && key.Get("user_id").Is(string(user)) && publicOf(key) != ""
}

// A CrossSigning is the cross-signing keys that a user uploads; nil for those that
// are not to change.
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysdevice_signingupload
type CrossSigning struct {
	Master, SelfSigning, UserSigning canonjson.Value
}

// ErrUnconfirmed means that the user has to confirm a change, since it takes the
// place of keys that there are.
var ErrUnconfirmed = errors.New("the change of cross-signing keys has to be confirmed")

// A crossKey is one cross-signing key.
type crossKey struct {
	public string
	key    canonjson.Value // without signatures
}

func (k crossKey) ed25519() ed25519.PublicKey {
	raw, _ := publicKey(canonjson.Text(k.public))
	return raw
}

// crossKeys are those of a user, by usage.
type crossKeys map[string]crossKey

func (c crossKeys) equal(other crossKeys) bool {
	for _, usage := range usages() {
		if !bytes.Equal(c[usage].key, other[usage].key) {
			return false
		}
	}
	return true
}

func usages() []string { return []string{usageMaster, usageSelfSigning, usageUserSigning} }

func readCrossKeys(tx *store.Tx, user id.UserID) (crossKeys, error) {
	keys := make(crossKeys)
	for row, err := range tx.Query("SELECT usage, public, key FROM cross_signing_keys WHERE user_id = $1", user) {
		var usage string
		var k crossKey
		if err == nil {
			err = row.Scan(&usage, &k.public, &k.key)
		}
		if err != nil {
			return nil, err
		}
		keys[usage] = k
	}
	return keys, nil
}

// parseCrossSigning checks the form of what is uploaded. The keys that are returned
// are those to be stored, and signed those with their signatures.
func parseCrossSigning(user id.UserID, c CrossSigning) (keys crossKeys, signed map[string]canonjson.Value, err error) {
	keys, signed = make(crossKeys), make(map[string]canonjson.Value)
	for usage, key := range map[string]canonjson.Value{usageMaster: c.Master, usageSelfSigning: c.SelfSigning, usageUserSigning: c.UserSigning} {
		if key == nil || key.Kind() == canonjson.Null {
			continue
		}
		if err := checkObject("The "+usage+" key", key, maxKeyObject); err != nil {
			return nil, nil, err
		}
		if !IsCrossSigning(key, user, usage) {
			return nil, nil, mxerr.New(mxerr.InvalidParam,
				"The %s key has to have your user_id, %s in usage, and one key in keys, with a name such as ed25519:KEY", usage, usage)
		}
		signed[usage] = key
		keys[usage] = crossKey{publicOf(key), key.Without("signatures", "unsigned")}
	}
	for a, k := range keys {
		for b, other := range keys {
			if a != b && k.public == other.public {
				return nil, nil, mxerr.New(mxerr.Forbidden, "Key ID in use: two keys are the same")
			}
		}
	}
	return keys, signed, nil
}

// PutCrossSigning stores cross-signing keys. Those that are there already change
// nothing. What takes the place of others has to be confirmed: without that the
// error is ErrUnconfirmed. The refusals are [mxerr.BadJSON], [mxerr.InvalidParam],
// [mxerr.InvalidSignature], [mxerr.MissingParam] if there is no master key,
// [mxerr.Forbidden] if a device is called as a key, and [mxerr.TooLarge].
func (k *Keys) PutCrossSigning(ctx context.Context, user id.UserID, c CrossSigning, confirmed bool) error {
	given, signed, err := parseCrossSigning(user, c)
	if err != nil {
		return err
	}
	err = k.append(ctx, func() (journal.Change, error) {
		r := &reset{user: user, given: given}
		err := k.db.View(ctx, func(tx *store.Tx) (err error) {
			if r.before, err = readCrossKeys(tx, user); err != nil {
				return err
			}
			return r.check(tx, signed)
		})
		if err == nil {
			err = k.notDevices(ctx, user, given)
		}
		if err != nil || !r.changes() {
			return nil, err
		}
		if r.before[usageMaster].key != nil && !confirmed {
			return nil, ErrUnconfirmed
		}
		return func(b *journal.Batch) error { return k.reset(b, r) }, nil
	})
	if err != nil {
		return fmt.Errorf("storing cross-signing keys of %s: %w", user, err)
	}
	return nil
}

// notDevices refuses keys that are called as devices are.
func (k *Keys) notDevices(ctx context.Context, user id.UserID, given crossKeys) error {
	devices, err := k.Devices(ctx, []id.UserID{user})
	for _, key := range given {
		if _, taken := devices[user][id.DeviceID(key.public)]; taken {
			return mxerr.New(mxerr.Forbidden, "Key ID in use: a device is called as a cross-signing key")
		}
	}
	return err
}

// A reset is a change of cross-signing keys.
type reset struct {
	user          id.UserID
	before, given crossKeys
	signatures    []newSignature // of the keys given
}

// A newSignature is one that was checked.
type newSignature struct {
	signedKey
	signature
}

func (r *reset) changes() bool {
	for usage, key := range r.given {
		if !bytes.Equal(key.key, r.before[usage].key) {
			return true
		}
	}
	return false
}

// check checks the signatures of the keys that are given: that of the master key of
// the others, and of devices of the master key.
func (r *reset) check(tx *store.Tx, signed map[string]canonjson.Value) error {
	master, ok := r.given[usageMaster]
	if !ok {
		master = r.before[usageMaster]
	}
	if master.key == nil {
		return mxerr.New(mxerr.MissingParam, "No master signing key is available")
	}
	for _, usage := range []string{usageSelfSigning, usageUserSigning} {
		if key, ok := r.given[usage]; ok {
			if !signedBy(signed[usage], r.user, keyIDOf(master.public), master.ed25519()) {
				return invalidSignature("The %s key is not signed by the master key", usage)
			}
			r.signed(signed[usage], key.public, master.public)
		}
	}
	return r.checkByDevices(tx, signed[usageMaster])
}

func (r *reset) signed(object canonjson.Value, target, by string) {
	keyID := keyIDOf(by)
	r.signatures = append(r.signatures, newSignature{
		signedKey{r.user, target}, signature{r.user, keyID, object.Get("signatures").Get(string(r.user)).Get(keyID)},
	})
}

// checkByDevices takes the signatures of the master key by devices of the user.
// Those by others mean nothing.
func (r *reset) checkByDevices(tx *store.Tx, master canonjson.Value) error {
	names := signersOf(master, r.user)
	if len(names) == 0 {
		return nil
	}
	devices, err := readDeviceKeys(tx, r.user, names)
	for device, keys := range devices {
		if !signedBy(master, r.user, keyIDOf(string(device)), keys.ed25519) {
			return invalidSignature("The master key is not signed by device %s, as it says", device)
		}
		r.signed(master, publicOf(master), string(device))
	}
	return err
}

// signersOf returns by which keys of a user an object says that it is signed: the
// names of devices, or public keys.
func signersOf(object canonjson.Value, user id.UserID) (targets []string) {
	for name := range object.Get("signatures").Get(string(user)).Members() {
		text, _ := name.Text()
		if target, ok := bytes.CutPrefix([]byte(text), []byte(keyIDOf(""))); ok {
			targets = append(targets, string(target))
		}
	}
	return targets
}

// readDeviceKeys reads the identity keys of those of some devices that have any.
func readDeviceKeys(tx *store.Tx, user id.UserID, names []string) (map[id.DeviceID]deviceKeys, error) {
	found := make(map[id.DeviceID]deviceKeys)
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { _, err := id.ParseDeviceID(name); return err != nil })
	in, list := tx.In(2, names)
	rows := tx.Query("SELECT device_id, keys FROM keyed_devices WHERE user_id = $1 AND keys IS NOT NULL AND device_id "+in, user, list)
	for row, err := range rows {
		var device id.DeviceID
		var keys canonjson.Value
		if err == nil {
			err = row.Scan(&device, &keys)
		}
		if err != nil {
			return nil, err
		}
		found[device] = storedDeviceKeys(keys, device)
	}
	return found, nil
}

// reset is the change for cross-signing keys that were checked.
func (k *Keys) reset(b *journal.Batch, r *reset) error {
	if err := touch(b, touched{user: r.user}); err != nil {
		return err
	}
	var now crossKeys
	err := b.Read(func(tx *store.Tx) (err error) {
		now, err = readCrossKeys(tx, r.user)
		return err
	})
	if err != nil {
		return err
	}
	if !now.equal(r.before) {
		return errAgain
	}
	master, replaced := r.given[usageMaster]
	replaced = replaced && !bytes.Equal(master.key, now[usageMaster].key)
	var gone []string              // usages of keys that are not there any more
	var old []string               // public keys of those, and of what was replaced
	public, own := replaced, false // who has to know
	for _, usage := range usages() {
		given, ok := r.given[usage]
		was := now[usage]
		switch {
		case ok && bytes.Equal(given.key, was.key) && !replaced, !ok && !replaced, was.key == nil && !ok:
			continue
		case !ok:
			gone = append(gone, usage) // the master key that has signed it is no more
		}
		if was.key != nil && was.public != given.public {
			old = append(old, was.public)
		}
		public = public || usage != usageUserSigning
		own = true
	}
	pos := journal.Position(0)
	switch {
	case public:
		k.Lists.Changed(b, r.user)
	case own:
		pos = b.Append(journal.UserScope(r.user), journal.KindSignature, 0)
	}
	b.Write(touched{user: r.user}, func(tx *store.Tx) error { return r.write(tx, gone, old, pos) })
	return nil
}

func (r *reset) write(tx *store.Tx, gone, old []string, pos journal.Position) error {
	for _, usage := range gone {
		if err := tx.Queue("DELETE FROM cross_signing_keys WHERE user_id = $1 AND usage = $2", r.user, usage); err != nil {
			return err
		}
	}
	for _, public := range old {
		if err := deleteSignaturesOf(tx, r.user, public); err != nil {
			return err
		}
		if err := deleteSignaturesBy(tx, r.user, public); err != nil {
			return err
		}
	}
	for usage, key := range r.given {
		err := tx.Queue(`
			INSERT INTO cross_signing_keys (user_id, usage, public, key) VALUES ($1, $2, $3, $4)
			ON CONFLICT (user_id, usage) DO UPDATE SET public = excluded.public, key = excluded.key`,
			r.user, usage, key.public, []byte(key.key))
		if err != nil {
			return err
		}
	}
	return writeSignatures(tx, r.signatures, pos)
}

// sameKey reports whether an object is what is stored, less signatures.
func sameKey(object, stored canonjson.Value) bool {
	return bytes.Equal(signing.Message(object), signing.Message(stored))
}
