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
	var room signedRoom
	return sha256.Sum256(e.signedBytes(&room))
}

// signedRoom is room for the signed bytes of most events, so that they need
// not be allocated.
type signedRoom [1024]byte

// signedBytes returns what both the reference hash and the signatures cover. It
// may lie in room.
func (e *Event) signedBytes(room *signedRoom) []byte {
	return appendRedacted(room[:0], e, false)
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
	var room [1024]byte
	covered := room[:0]
	if len(json) > len(room) {
		covered = make([]byte, 0, len(json))
	}
	covered = append(covered, '{')
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
	computed := e.ContentHash()
	// Nearly all are unpadded standard Base64: then the texts are equal.
	var want [43]byte
	base64.RawStdEncoding.Encode(want[:], computed[:])
	if claimed == string(want[:]) {
		return true
	}
	sum, err := signing.DecodeBase64(claimed)
	return err == nil && bytes.Equal(sum, computed[:])
}
