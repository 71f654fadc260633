package event

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/roomver"
	"parley/matrix/signing"
)

// A VerifyKey is a published key of a server. Times are milliseconds since
// 1970.
type VerifyKey struct {
	Public ed25519.PublicKey
	// ValidUntil is the last moment at which the key counts. It matters only
	// in room versions that enforce it. The caller has cut it to seven days
	// after the key was fetched.
	ValidUntil int64
	// Expired is, for a key the server no longer uses, when it stopped; 0 for
	// a key in use. A signature made later does not count in any room version.
	Expired int64
}

// Keys looks up a key of a server among the keys at hand. It must be safe for
// concurrent use and must not block: keys are fetched before.
type Keys func(server id.ServerName, key id.KeyID) (VerifyKey, bool)

// A SignatureError says that a server's signature on an event is missing or
// wrong. An event with an error for one of its Signers is dropped.
type SignatureError struct {
	Event  id.EventID
	Server id.ServerName
	Reason string
}

func (e *SignatureError) Error() string {
	return fmt.Sprintf("signature of %s on %s: %s", e.Server, e.Event, e.Reason)
}

// Verifier checks the signatures of events and remembers, up to a bound, which
// it found good, so that an event that arrives by several ways costs one
// check. It is safe for concurrent use.
type Verifier struct {
	limit int

	// mu guards both sets. They are generations: a full recent becomes old and
	// the old one is forgotten, so the two hold at most limit entries.
	mu          sync.RWMutex
	recent, old map[verified]struct{}
}

// verified identifies a good signature: a hash over key, signature and what
// the signature covers.
type verified [sha256.Size]byte

// NewVerifier returns a verifier that remembers up to limit good signatures,
// at about a hundred bytes each; with 0 it remembers none.
func NewVerifier(limit int) *Verifier {
	return &Verifier{limit: limit, recent: make(map[verified]struct{}, min(max(limit, 0)/2, 4096))}
}

// Verify checks that each of the event's Signers has signed it. Per server, at
// least one signature must be by a key that is at hand and valid for the
// event, and all those must be good; signatures by other keys are passed over.
// The error is a *SignatureError.
func (v *Verifier) Verify(e *Event, keys Keys) error {
	var room signedRoom
	message := e.signedBytes(&room)
	for _, server := range e.Signers() {
		if err := v.verifyServer(e, message, server, keys); err != nil {
			return err
		}
	}
	return nil
}

// VerifyServer checks the signature of one server, needed or not, by the rules
// of Verify.
func (v *Verifier) VerifyServer(e *Event, server id.ServerName, keys Keys) error {
	var room signedRoom
	return v.verifyServer(e, e.signedBytes(&room), server, keys)
}

// Receive makes the signature and hash checks on an event that came from
// outside, and returns the form of it to go on with: the event itself, or its
// redacted copy when the content does not have its hash. An error is a
// *SignatureError; then the event is to be dropped.
//
// An invite that cites a third-party invite needs no signature of the sender's
// server. When the redacted copy no longer cites one, it needs that signature
// again: else anybody could make anybody invite.
func (v *Verifier) Receive(e *Event, keys Keys) (*Event, error) {
	if err := v.Verify(e, keys); err != nil {
		return nil, err
	}
	if e.HashMatches() {
		return e, nil
	}
	redacted := e.Redacted()
	if e.IsThirdPartyInvite() && !redacted.IsThirdPartyInvite() {
		if err := v.Verify(redacted, keys); err != nil {
			return nil, err
		}
	}
	return redacted, nil
}

// ReceiveAll makes the checks of Receive on many events, on all processors.
// The results are in the order of the events.
func (v *Verifier) ReceiveAll(events []*Event, keys Keys) []Result {
	results := make([]Result, len(events))
	onAllProcessors(len(events), func(i int) {
		results[i].Event, results[i].Err = v.Receive(events[i], keys)
	})
	return results
}

func (v *Verifier) verifyServer(e *Event, message []byte, server id.ServerName, keys Keys) error {
	refuse := func(format string, args ...any) error {
		return &SignatureError{Event: e.id, Server: server, Reason: fmt.Sprintf(format, args...)}
	}
	good := false
	for name, signature := range e.signatures.Get(string(server)).Members() {
		nameText, _ := text(name)
		keyID, err := id.ParseKeyID(nameText)
		if err != nil || keyID.Algorithm() != "ed25519" {
			continue
		}
		key, ok := keys(server, keyID)
		if !ok || !key.counts(e) {
			continue
		}
		if err := v.check(e, message, signature, key.Public); err != nil {
			return refuse("key %s: %v", keyID, err)
		}
		good = true
	}
	if !good {
		return refuse("none by a known key that was valid at %d", e.originServerTS)
	}
	return nil
}

// counts reports whether a signature by the key on the event is to be looked
// at.
func (k VerifyKey) counts(e *Event) bool {
	if k.Expired != 0 {
		return e.originServerTS <= k.Expired
	}
	return !e.rules.KeyValidity || e.originServerTS <= k.ValidUntil
}

func (v *Verifier) check(e *Event, message []byte, signature canonjson.Value, public ed25519.PublicKey) error {
	raw, err := signing.Decode(signature)
	if err != nil {
		return err
	}
	if len(public) != ed25519.PublicKeySize {
		return fmt.Errorf("public key of %d bytes", len(public))
	}
	if v.limit <= 0 {
		return verify(public, message, raw[:])
	}
	mark := markOf(e, message, raw[:], public)
	if v.knows(mark) {
		return nil
	}
	if err := verify(public, message, raw[:]); err != nil {
		return err
	}
	v.remember(mark)
	return nil
}

func verify(public ed25519.PublicKey, message, signature []byte) error {
	if !ed25519.Verify(public, message, signature) {
		return errors.New("does not match")
	}
	return nil
}

// markOf hashes key and signature, which have fixed lengths, and a name for the
// message: where event IDs are hashes of just this, the ID. An event that came
// from outside has the ID that was computed from its bytes.
func markOf(e *Event, message, signature []byte, public ed25519.PublicKey) verified {
	var room [256]byte
	parts := append(append(room[:0], public...), signature...)
	if e.rules.EventID == roomver.EventIDCarried {
		sum := sha256.Sum256(message)
		parts = append(parts, sum[:]...)
	} else {
		parts = append(parts, e.id...)
	}
	return sha256.Sum256(parts)
}

func (v *Verifier) knows(mark verified) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if _, ok := v.recent[mark]; ok {
		return true
	}
	_, ok := v.old[mark]
	return ok
}

func (v *Verifier) remember(mark verified) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.recent) >= max(v.limit/2, 1) {
		v.old, v.recent = v.recent, make(map[verified]struct{})
		if v.limit == 1 {
			v.old = nil
		}
	}
	v.recent[mark] = struct{}{}
}
