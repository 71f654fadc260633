package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/roomver"
	"parley/matrix/signing"
)

// A Hash is a SHA-256 sum.
type Hash [sha256.Size]byte

// ReferenceHash returns the hash by which other events refer to this one. It
// covers what redaction leaves, hashes included, signatures not:
// https://spec.matrix.org/v1.19/server-server-api/#calculating-the-reference-hash-for-an-event
func (e *Event) ReferenceHash() Hash {
	return sha256.Sum256(e.signedBytes())
}

// signedBytes returns what both the reference hash and the signatures cover.
func (e *Event) signedBytes() []byte {
	return appendRedacted(make([]byte, 0, min(len(e.json), 1024)), e, false)
}

func (e *Event) computeID() id.EventID {
	encoding := base64.RawURLEncoding
	if e.rules.EventID == roomver.EventIDStdHash {
		encoding = base64.RawStdEncoding
	}
	sum := e.ReferenceHash()
	var text [1 + 43]byte
	text[0] = '$'
	encoding.Encode(text[1:], sum[:])
	return id.EventID(text[:])
}

// ContentHash returns the hash of the whole event less unsigned, signatures
// and hashes:
// https://spec.matrix.org/v1.19/server-server-api/#calculating-the-content-hash-for-an-event
func (e *Event) ContentHash() Hash { return contentHash(e.json) }

func contentHash(json canonjson.Value) Hash {
	covered := make([]byte, 1, len(json))
	covered[0] = '{'
	for name, value := range json.Members() {
		if name.Is("hashes") || name.Is("signatures") || name.Is("unsigned") {
			continue
		}
		covered = append(appendName(covered, 1, name), value...)
	}
	return sha256.Sum256(append(covered, '}'))
}

// HashMatches reports whether the event has its full content, going by the
// SHA-256 sum in its hashes. If not, the receiver must take it for redacted:
// [Verifier.Receive] does.
func (e *Event) HashMatches() bool {
	claimed, ok := text(e.hashes.Get("sha256"))
	if !ok {
		return false
	}
	sum, err := signing.DecodeBase64(claimed)
	if err != nil {
		return false
	}
	computed := e.ContentHash()
	return bytes.Equal(sum, computed[:])
}
