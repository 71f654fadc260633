package roomtest

import (
	"crypto/sha256"
	"math"

	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/signing"
)

// KeyID is the ID of every key.
const KeyID id.KeyID = "ed25519:1"

// Key returns the signing key of a server, or of anything else that has a name
// and signs. Its seed is the SHA-256 sum of the name.
func Key(name id.ServerName) signing.Key {
	seed := sha256.Sum256([]byte(name))
	key, err := signing.NewKey(KeyID, seed[:])
	if err != nil {
		panic("roomtest: " + err.Error()) // KeyID and the length of seed are constant
	}
	return key
}

// Keys is an [event.Keys] that knows the key of every server, valid forever.
func Keys(server id.ServerName, keyID id.KeyID) (event.VerifyKey, bool) {
	if keyID != KeyID {
		return event.VerifyKey{}, false
	}
	return event.VerifyKey{Public: Key(server).Public(), ValidUntil: math.MaxInt64}, true
}
