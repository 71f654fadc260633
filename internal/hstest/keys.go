package hstest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"strings"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/signing"
)

// Keys are the keys of a device, or the cross-signing keys of a user, as a client
// makes and signs them. They are made of names: who makes them again makes the same.
type Keys struct {
	user    id.UserID
	name    string // of the signing key
	private ed25519.PrivateKey
}

// Keys returns the keys of the device that the user is logged in with.
func (u *User) Keys() *Keys {
	return &Keys{u.ID, string(u.Device), seeded("device", string(u.ID), string(u.Device))}
}

// CrossKey returns a cross-signing key of a usage, such as master. Those of
// different generations differ.
func (u *User) CrossKey(usage, generation string) *Keys {
	private := seeded(usage, string(u.ID), generation)
	return &Keys{u.ID, public(private), private}
}

func seeded(parts ...string) ed25519.PrivateKey {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return ed25519.NewKeyFromSeed(sum[:])
}

func public(private ed25519.PrivateKey) string {
	return signing.EncodeBase64(private.Public().(ed25519.PublicKey))
}

func curve(name string) string {
	sum := sha256.Sum256([]byte(name))
	return signing.EncodeBase64(sum[:])
}

func object(members map[string]any) canonjson.Value {
	v, err := canonjson.Marshal(members)
	if err != nil {
		panic(err)
	}
	return v
}

// Public is the public half of the signing key.
func (k *Keys) Public() string { return public(k.private) }

// Sign adds the signature of the key to an object.
func (k *Keys) Sign(v canonjson.Value) canonjson.Value {
	return signing.Sign(v, string(k.user), signing.Key{ID: id.KeyID("ed25519:" + k.name), Private: k.private})
}

// Device is the identity keys of a device, to be uploaded, less the signature.
func (k *Keys) Device() canonjson.Value {
	return object(map[string]any{
		"user_id": k.user, "device_id": k.name,
		"algorithms": []string{"m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"},
		"keys":       map[string]string{"ed25519:" + k.name: k.Public(), "curve25519:" + k.name: curve(k.Public())},
	})
}

// OneTime is signed one-time keys with some names, to be uploaded.
func (k *Keys) OneTime(names ...string) canonjson.Value {
	all := canonjson.Value("{}")
	for _, name := range names {
		all = all.With("signed_curve25519:"+name, k.Sign(object(map[string]any{"key": curve(k.Public() + name)})))
	}
	return all
}

// Fallback is a signed fallback key, to be uploaded.
func (k *Keys) Fallback(name string) canonjson.Value {
	key := k.Sign(object(map[string]any{"fallback": true, "key": curve(k.Public() + name)}))
	return canonjson.Value("{}").With("signed_curve25519:"+name, key)
}

// Cross is a cross-signing key for a usage, less signatures.
func (k *Keys) Cross(usage string) canonjson.Value {
	return object(map[string]any{"user_id": k.user, "usage": []string{usage}, "keys": map[string]string{"ed25519:" + k.name: k.name}})
}

// CrossSigning is the cross-signing keys of a generation, to be uploaded.
func (u *User) CrossSigning(generation string) canonjson.Value {
	master := u.CrossKey("master", generation)
	v := canonjson.Value("{}").With("master_key", master.Cross("master"))
	for _, usage := range []string{"self_signing", "user_signing"} {
		v = v.With(usage+"_key", master.Sign(u.CrossKey(usage, generation).Cross(usage)))
	}
	return v
}

// UploadKeys uploads the keys of the user's device, with some one-time keys.
func (u *User) UploadKeys(oneTime ...string) {
	u.world.Helper()
	k := u.Keys()
	u.Must("POST", "/_matrix/client/v3/keys/upload", canonjson.Value("{}").With("device_keys", k.Sign(k.Device())).With("one_time_keys", k.OneTime(oneTime...)))
}
