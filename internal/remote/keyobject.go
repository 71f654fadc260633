package remote

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/signing"
)

// mostKeys is how many keys of a server are of use, present and past ones.
const mostKeys = 64

// longestValid is for how long a key counts after it was fetched, whatever its
// server says: a key that was stolen and taken back must cease to be good.
// https://spec.matrix.org/v1.19/server-server-api/#publishing-keys
const longestValid = 7 * 24 * time.Hour

// parseKeys reads the signed object in which a server says which its keys are,
// fetched at the time given. It must be about that server, and be signed by it
// with one of the keys that it says are in use.
// https://spec.matrix.org/v1.19/server-server-api/#get_matrixkeyv2server
func parseKeys(object canonjson.Value, server id.ServerName, fetched time.Time) (map[id.KeyID]event.VerifyKey, error) {
	if !object.Get("server_name").Is(string(server)) {
		return nil, fmt.Errorf("it is not about %s", server)
	}
	until, ok := object.Get("valid_until_ts").Int()
	if !ok {
		return nil, errors.New("it does not say until when it is valid")
	}
	until = min(until, fetched.Add(longestValid).UnixMilli())
	keys := make(map[id.KeyID]event.VerifyKey)
	for name, about := range object.Get("verify_keys").Members() {
		if keyID, public, ok := parseKey(name, about); ok && len(keys) < mostKeys {
			keys[keyID] = event.VerifyKey{Public: public, ValidUntil: until}
		}
	}
	if err := signedByOne(object, server, keys); err != nil {
		return nil, err
	}
	for name, about := range object.Get("old_verify_keys").Members() {
		keyID, public, ok := parseKey(name, about)
		expired, said := about.Get("expired_ts").Int()
		if _, inUse := keys[keyID]; ok && said && expired > 0 && !inUse && len(keys) < mostKeys {
			keys[keyID] = event.VerifyKey{Public: public, ValidUntil: expired, Expired: expired}
		}
	}
	return keys, nil
}

// parseKey reads a key; ok is false if it is of a kind that is not known.
func parseKey(name, about canonjson.Value) (keyID id.KeyID, public ed25519.PublicKey, ok bool) {
	text, _ := name.Text()
	keyID, err := id.ParseKeyID(text)
	if err != nil || keyID.Algorithm() != "ed25519" {
		return "", nil, false
	}
	encoded, _ := about.Get("key").Text()
	public, err = signing.DecodeBase64(encoded)
	return keyID, public, err == nil && len(public) == ed25519.PublicKeySize
}

// signedByOne checks that an object is signed by a server with one of its keys.
func signedByOne(object canonjson.Value, server id.ServerName, keys map[id.KeyID]event.VerifyKey) error {
	failure := fmt.Errorf("it has no signature of %s with a key that is in it", server)
	for keyID, key := range keys {
		if object.Get("signatures").Get(string(server)).Get(string(keyID)) == nil {
			continue
		}
		err := signing.Verify(object, string(server), keyID, key.Public)
		if err == nil {
			return nil
		}
		failure = err
	}
	return failure
}
