// Package signing signs JSON objects and checks their signatures:
// https://spec.matrix.org/v1.19/appendices/#signing-json
//
// A signature covers the canonical form of an object without its members
// "signatures" and "unsigned". Signatures lie in the object itself, by the
// name of who signed and the ID of the key. The only algorithm is Ed25519 with
// the acceptance rules of crypto/ed25519, which are those of the servers that
// share rooms with us; a verifier that accepts more would split rooms.
//
// Events are signed in redacted form, which package event sees to. This
// package decides nothing about which keys are whose, or valid when.
package signing

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// A Key is a private signing key and the ID under which its public half is
// published.
type Key struct {
	ID      id.KeyID
	Private ed25519.PrivateKey
}

// NewKey makes the key whose seed is the given 32 bytes.
func NewKey(keyID id.KeyID, seed []byte) (Key, error) {
	if keyID.Algorithm() != "ed25519" {
		return Key{}, fmt.Errorf("key %s is not an ed25519 key", keyID)
	}
	if len(seed) != ed25519.SeedSize {
		return Key{}, fmt.Errorf("seed of key %s has %d bytes instead of %d", keyID, len(seed), ed25519.SeedSize)
	}
	return Key{ID: keyID, Private: ed25519.NewKeyFromSeed(seed)}, nil
}

// Public returns the public half of the key.
func (k Key) Public() ed25519.PublicKey { return k.Private.Public().(ed25519.PublicKey) }

// Message returns what a signature of the object covers.
func Message(object canonjson.Value) canonjson.Value {
	return object.Without("signatures", "unsigned")
}

// Sign returns the object with the signature of its own kind added under name.
// Other signatures in it stay. Members "signatures" that are not objects are
// replaced.
func Sign(object canonjson.Value, name string, key Key) canonjson.Value {
	return Attach(object, name, key.ID, ed25519.Sign(key.Private, Message(object)))
}

// Attach returns the object with the signature bytes added under name and key
// ID.
func Attach(object canonjson.Value, name string, keyID id.KeyID, signature []byte) canonjson.Value {
	signatures := objectOrNil(object.Get("signatures"))
	own := objectOrNil(signatures.Get(name))
	own = own.With(string(keyID), canonjson.Text(EncodeBase64(signature)))
	return object.With("signatures", signatures.With(name, own))
}

func objectOrNil(v canonjson.Value) canonjson.Value {
	if v.Kind() != canonjson.Object {
		return nil
	}
	return v
}

// Verify checks that the object bears a signature under name and key ID which
// the public key made. The error says what is missing or wrong.
func Verify(object canonjson.Value, name string, keyID id.KeyID, public ed25519.PublicKey) error {
	value := object.Get("signatures").Get(name).Get(string(keyID))
	if value == nil {
		return fmt.Errorf("no signature of %s with key %s", name, keyID)
	}
	return Check(Message(object), value, name, keyID, public)
}

// Check checks a signature in its JSON form against the message it covers. The
// name and key ID serve the error only.
func Check(message []byte, signature canonjson.Value, name string, keyID id.KeyID, public ed25519.PublicKey) error {
	raw, err := Decode(signature)
	if err != nil {
		return fmt.Errorf("signature of %s with key %s: %w", name, keyID, err)
	}
	if len(public) != ed25519.PublicKeySize {
		return fmt.Errorf("public key %s of %s has %d bytes instead of %d", keyID, name, len(public), ed25519.PublicKeySize)
	}
	if !ed25519.Verify(public, message, raw[:]) {
		return fmt.Errorf("signature of %s with key %s does not match", name, keyID)
	}
	return nil
}

// Decode returns the bytes of a signature in its JSON form.
func Decode(signature canonjson.Value) (raw [ed25519.SignatureSize]byte, err error) {
	// Nearly all are unpadded standard Base64, which needs no string.
	if len(signature) == plainSignature && signature.Kind() == canonjson.String {
		n, err := base64.RawStdEncoding.Decode(raw[:], signature[1:len(signature)-1])
		if err == nil && n == len(raw) {
			return raw, nil
		}
	}
	text, ok := signature.Text()
	if !ok {
		return raw, errors.New("not a string")
	}
	decoded, err := DecodeBase64(text)
	if err != nil {
		return raw, err
	}
	if len(decoded) != len(raw) {
		return raw, fmt.Errorf("%d bytes instead of %d", len(decoded), len(raw))
	}
	copy(raw[:], decoded)
	return raw, nil
}

// plainSignature is the length of a signature in unpadded Base64 and quotes.
const plainSignature = 86 + 2

// EncodeBase64 encodes in unpadded standard Base64, the form of keys, hashes
// and signatures in Matrix.
func EncodeBase64(b []byte) string { return base64.RawStdEncoding.EncodeToString(b) }

// DecodeBase64 decodes standard or URL-safe Base64, with or without padding:
// keys of identity servers come in any of these.
func DecodeBase64(s string) ([]byte, error) {
	encoding := base64.RawStdEncoding
	if strings.ContainsAny(s, "-_") {
		encoding = base64.RawURLEncoding
	}
	b, err := encoding.DecodeString(strings.TrimRight(s, "="))
	if err != nil {
		return nil, fmt.Errorf("decoding Base64: %w", err)
	}
	return b, nil
}
