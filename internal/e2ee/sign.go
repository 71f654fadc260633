package e2ee

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// maxSigned is how many keys can be signed at a time.
const maxSigned = 1000

// Signing is objects with signatures, by whose they are and by device or public
// key.
type Signing map[id.UserID]map[string]canonjson.Value

// Failures are the signatures of a Signing that were not taken, and why.
type Failures map[id.UserID]map[string]*mxerr.Error

func (f Failures) add(user id.UserID, target string, err *mxerr.Error) {
	if f[user] == nil {
		f[user] = make(map[string]*mxerr.Error)
	}
	f[user][target] = err
}

// Sign takes signatures that a user has made: with the self-signing key, of the
// user's devices; with devices, of the user's master key; with the user-signing key,
// of the master keys of others. What is signed has to be what is known of the key.
// Nothing else is taken, and a failure does not keep the rest from being so.
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keyssignaturesupload
func (k *Keys) Sign(ctx context.Context, user id.UserID, s Signing) (Failures, error) {
	n := 0
	var others []id.UserID
	for of, objects := range s {
		if n += len(objects); of != user {
			others = append(others, of)
		}
	}
	if n > maxSigned {
		return nil, mxerr.New(mxerr.TooLarge, "%d keys can be signed at a time and not more", maxSigned)
	}
	masters, err := k.masters(ctx, others)
	if err != nil {
		return nil, err
	}
	var failures Failures
	err = k.append(ctx, func() (journal.Change, error) {
		c := &counterSigning{user: user, masters: masters, failures: make(Failures)}
		failures = c.failures
		if err := k.db.View(ctx, func(tx *store.Tx) error { return c.check(tx, s) }); err != nil || len(c.list) == 0 {
			return nil, err
		}
		return func(b *journal.Batch) error { return k.counterSign(b, c) }, nil
	})
	if err != nil {
		return nil, fmt.Errorf("storing signatures of %s: %w", user, err)
	}
	return failures, nil
}

// masters returns the master keys of users.
func (k *Keys) masters(ctx context.Context, users []id.UserID) (map[id.UserID]canonjson.Value, error) {
	if len(users) == 0 {
		return nil, nil
	}
	q := Query{Users: make(map[id.UserID][]id.DeviceID, len(users))}
	for _, user := range users {
		q.Users[user] = nil
	}
	a, err := k.Query(ctx, "", q)
	masters := make(map[id.UserID]canonjson.Value, len(users))
	for user, keys := range a.Users {
		masters[user] = keys.Master
	}
	return masters, err
}

// A counterSigning is the signatures of a request.
type counterSigning struct {
	user     id.UserID
	masters  map[id.UserID]canonjson.Value // of others
	failures Failures

	keys    crossKeys // of the user, as they were when the signatures were checked
	devices map[id.DeviceID]deviceKeys
	list    []newSignature
}

func (c *counterSigning) check(tx *store.Tx, s Signing) (err error) {
	if c.keys, err = readCrossKeys(tx, c.user); err != nil {
		return err
	}
	names := make([]string, 0, len(s[c.user]))
	for target, object := range s[c.user] {
		names = append(append(names, target), signersOf(object, c.user)...)
	}
	if c.devices, err = readDeviceKeys(tx, c.user, names); err != nil {
		return err
	}
	for user, objects := range s {
		for target, object := range objects {
			if failure := c.checkOne(user, target, object); failure != nil {
				c.failures.add(user, target, failure)
			}
		}
	}
	return c.onlyNew(tx)
}

// checkOne takes the signatures of an object, or says why not.
func (c *counterSigning) checkOne(user id.UserID, target string, object canonjson.Value) *mxerr.Error {
	device, isDevice := c.devices[id.DeviceID(target)]
	if user != c.user {
		return c.checkOther(user, target, object)
	}
	switch {
	case target == c.keys[usageMaster].public:
		return c.checkMaster(target, object)
	case isDevice:
		return c.take(user, target, object, device.object, c.keys[usageSelfSigning])
	case target != "" && (target == c.keys[usageSelfSigning].public || target == c.keys[usageUserSigning].public):
		stored := c.keys[usageSelfSigning]
		if target != stored.public {
			stored = c.keys[usageUserSigning]
		}
		return c.take(user, target, object, stored.key, c.keys[usageMaster])
	}
	return mxerr.New(mxerr.NotFound, "There is no such key")
}

func (c *counterSigning) checkOther(user id.UserID, target string, object canonjson.Value) *mxerr.Error {
	master := c.masters[user]
	if master == nil || publicOf(master) != target {
		return mxerr.New(mxerr.NotFound, "This is not the master key of %s", user)
	}
	return c.take(user, target, object, master, c.keys[usageUserSigning])
}

// take takes the signature that a cross-signing key of the user has made of an
// object.
func (c *counterSigning) take(user id.UserID, target string, object, stored canonjson.Value, by crossKey) *mxerr.Error {
	switch {
	case by.key == nil:
		return mxerr.New(mxerr.NotFound, "You have no key to sign this with")
	case !sameKey(object, stored):
		return mxerr.New(mxerr.InvalidSignature, "The key is not as it was uploaded")
	case !signedBy(object, c.user, keyIDOf(by.public), by.ed25519()):
		return mxerr.New(mxerr.InvalidSignature, "The signature is missing or invalid")
	}
	c.add(user, target, object, by.public)
	return nil
}

func (c *counterSigning) add(user id.UserID, target string, object canonjson.Value, by string) {
	keyID := keyIDOf(by)
	text := object.Get("signatures").Get(string(c.user)).Get(keyID)
	c.list = append(c.list, newSignature{signedKey{user, target}, signature{c.user, keyID, text}})
}

// checkMaster takes the signatures of the user's master key, which devices make.
func (c *counterSigning) checkMaster(target string, object canonjson.Value) *mxerr.Error {
	if !sameKey(object, c.keys[usageMaster].key) {
		return mxerr.New(mxerr.InvalidSignature, "The key is not as it was uploaded")
	}
	taken := 0
	for _, name := range signersOf(object, c.user) {
		device, ok := c.devices[id.DeviceID(name)]
		switch {
		case !ok:
			continue
		case !signedBy(object, c.user, keyIDOf(name), device.ed25519):
			return mxerr.New(mxerr.InvalidSignature, "The signature by %s is invalid", name)
		}
		taken++
		c.add(c.user, target, object, name)
	}
	if taken == 0 {
		return mxerr.New(mxerr.InvalidSignature, "No device of yours has signed this")
	}
	return nil
}

// onlyNew leaves out signatures that are there already.
func (c *counterSigning) onlyNew(tx *store.Tx) error {
	var users []id.UserID
	for _, s := range c.list {
		users = append(users, s.user)
	}
	if len(users) == 0 {
		return nil
	}
	there, err := readSignatures(tx, Viewer(c.user), users)
	c.list = slices.DeleteFunc(c.list, func(s newSignature) bool {
		return slices.ContainsFunc(there.of(s.user, s.target), func(old signature) bool {
			return old.signer == s.signer && old.keyID == s.keyID && bytes.Equal(old.text, s.text)
		})
	})
	return err
}

// counterSign is the change for signatures that were checked.
func (k *Keys) counterSign(b *journal.Batch, c *counterSigning) error {
	if err := touch(b, touched{user: c.user}); err != nil {
		return err
	}
	if err := c.asChecked(b); err != nil {
		return err
	}
	var own, others []newSignature
	for _, s := range c.list {
		if s.user == c.user {
			own = append(own, s)
		} else {
			others = append(others, s)
		}
	}
	pos := journal.Position(0)
	if len(own) > 0 {
		k.Lists.Changed(b, c.user)
	}
	if len(others) > 0 {
		pos = b.Append(journal.UserScope(c.user), journal.KindSignature, 0)
	}
	b.Write(touched{user: c.user}, func(tx *store.Tx) error {
		if err := writeSignatures(tx, own, 0); err != nil {
			return err
		}
		return writeSignatures(tx, others, pos)
	})
	return nil
}

// asChecked refuses signatures if a key of the user is not any more what it was when
// they were checked.
func (c *counterSigning) asChecked(b *journal.Batch) error {
	names := make([]string, 0, len(c.devices))
	for device := range c.devices {
		if _, ok := b.Memo(touched{c.user, device}); ok {
			return errAgain
		}
		names = append(names, string(device))
	}
	return b.Read(func(tx *store.Tx) error {
		keys, err := readCrossKeys(tx, c.user)
		if err != nil {
			return err
		}
		devices, err := readDeviceKeys(tx, c.user, names)
		if err != nil {
			return err
		}
		same := keys.equal(c.keys) && len(devices) == len(c.devices)
		for device, d := range devices {
			same = same && bytes.Equal(d.identity, c.devices[device].identity)
		}
		if !same {
			return errAgain
		}
		return nil
	})
}
