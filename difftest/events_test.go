package difftest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"sync"
	"testing"

	"github.com/matrix-org/gomatrixserverlib"
	"github.com/matrix-org/gomatrixserverlib/spec"

	"parley/internal/roomtest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/signing"
)

// TestEvents compares what becomes of random events, most of them damaged,
// that arrive from outside.
func TestEvents(t *testing.T) {
	s := newSeries(t, "events", "DIFFTEST_EVENTS", fullEvents)
	s.run(func(index int, rng *rand.Rand) {
		w := newWorld(rng)
		s.compareEvent(index, w, w.text())
	})
	checkUse(t, s, eventExplanations)
	checkUse(t, s, damagedAuthExplanations)
	s.report(t)
}

var allAuthExplanations = slices.Concat(damagedAuthExplanations, authExplanations)

// text returns the bytes of an event.
func (w *world) text() []byte {
	rng := w.rng
	o := w.candidate()
	if chance(rng, 50) {
		for range 1 + rng.IntN(2) {
			pick(rng, damages...)(w, &o)
		}
	}
	rng.Shuffle(len(o), func(i, j int) { o[i], o[j] = o[j], o[i] })
	text := []byte(o.String())
	v, err := canonjson.Canonical(text, canonjson.Lenient)
	if err != nil {
		return text
	}
	if v.Kind() == canonjson.Object {
		v = w.signed(v)
	}
	if chance(rng, 40) {
		return late(w, v)
	}
	if chance(rng, 30) {
		return text
	}
	return v
}

// signed returns the event with hash and signatures, as far as it can have
// them.
func (w *world) signed(v canonjson.Value) canonjson.Value {
	rng := w.rng
	if v.Get("hashes").Kind() == canonjson.Object {
		sum := sha256.Sum256(v.Without("hashes", "signatures", "unsigned"))
		v = v.With("hashes", canonjson.Value(nil).With("sha256", canonjson.Text(base64Of(sum[:]))))
	}
	e, err := event.Parse(v, w.rules)
	if err != nil {
		return v
	}
	servers := e.Signers()
	if target, ok := e.StateKey(); ok && e.Membership() == "invite" && chance(rng, 80) {
		servers = append(servers, id.UserID(target).Server())
	}
	if user, _ := e.AuthorisingUser(); user != "" && chance(rng, 80) {
		servers = append(servers, user.Server())
	}
	for i, server := range servers {
		if server == "" || i > 0 && chance(rng, 10) {
			continue
		}
		keyID := id.KeyID("ed25519:1")
		if chance(rng, 15) {
			keyID = pick[id.KeyID](rng, "ed25519:2", "ed25519:expired", "ed25519:outdated", "ed25519:unknown", "rsa:1")
		}
		e = e.Sign(server, keyOf(server, keyID))
	}
	return e.JSON()
}

// keyOf is the key of a server by any of the IDs in use. It is made once, as
// that takes about as long as a signature.
func keyOf(server id.ServerName, keyID id.KeyID) signing.Key {
	name := server + "/" + id.ServerName(keyID)
	if key, ok := madeKeys.Load(name); ok {
		return key.(signing.Key)
	}
	key := roomtest.Key(name)
	key.ID = keyID
	madeKeys.Store(name, key)
	return key
}

var madeKeys sync.Map

// Keys expire, or are outdated, from one of the first milliseconds on in which
// the events of a world are made.
const expiry = 1_600_000_000_010

func publishedKey(server id.ServerName, keyID id.KeyID) (event.VerifyKey, bool) {
	k := event.VerifyKey{ValidUntil: 1 << 50}
	switch keyID {
	case "ed25519:1", "ed25519:2":
	case "ed25519:expired":
		k.Expired = expiry
	case "ed25519:outdated":
		k.ValidUntil = expiry
	default:
		return k, false
	}
	k.Public = keyOf(server, keyID).Public()
	return k, true
}

// keyDatabase gives gomatrixserverlib the same keys.
type keyDatabase struct{}

func (keyDatabase) FetcherName() string { return "difftest" }

func (keyDatabase) FetchKeys(_ context.Context, requests map[gomatrixserverlib.PublicKeyLookupRequest]spec.Timestamp) (map[gomatrixserverlib.PublicKeyLookupRequest]gomatrixserverlib.PublicKeyLookupResult, error) {
	results := make(map[gomatrixserverlib.PublicKeyLookupRequest]gomatrixserverlib.PublicKeyLookupResult)
	for request := range requests {
		k, ok := publishedKey(id.ServerName(request.ServerName), id.KeyID(request.KeyID))
		if !ok {
			continue
		}
		results[request] = gomatrixserverlib.PublicKeyLookupResult{
			VerifyKey:    gomatrixserverlib.VerifyKey{Key: spec.Base64Bytes(k.Public)},
			ExpiredTS:    spec.Timestamp(k.Expired),
			ValidUntilTS: spec.Timestamp(k.ValidUntil),
		}
	}
	return results, nil
}

func (keyDatabase) StoreKeys(context.Context, map[gomatrixserverlib.PublicKeyLookupRequest]gomatrixserverlib.PublicKeyLookupResult) error {
	return nil
}

var keyRing = gomatrixserverlib.KeyRing{KeyDatabase: keyDatabase{}}

// eventDifference is one thing about an event in which the libraries differ.
type eventDifference struct {
	w      *world
	raw    []byte
	aspect string
	// parley and other are what each says: an error, or values to compare.
	err, otherErr error
	got, other    string

	e     *event.Event // nil when parley does not take it
	value canonjson.Value
}

var varying = regexp.MustCompile(`[$][^ ]+|[0-9]+`)

func (d eventDifference) kind() string {
	text := "only the value differs"
	switch {
	case d.err != nil:
		text = "only parley refuses: " + skipQuoted(d.err.Error())
	case d.otherErr != nil:
		text = "only gomatrixserverlib refuses: " + skipQuoted(d.otherErr.Error())
	}
	return fmt.Sprintf("%s: %.90s", d.aspect, varying.ReplaceAllString(text, "#"))
}

func (d eventDifference) String() string {
	return fmt.Sprintf("room version %s\nevent %.3000q\nparley: %v %.2000s\ngomatrixserverlib: %v %.2000s\n",
		d.w.rules.Version, d.raw, d.err, d.got, d.otherErr, d.other)
}

func (s *series) judge(index int, d eventDifference) {
	switch {
	case d.err == nil && d.otherErr == nil && d.got == d.other:
		s.count(d.aspect + ": the same")
	case d.err != nil && d.otherErr != nil && !isPanic(d.otherErr):
		s.count(d.aspect + ": both refuse")
	case explain(s, eventExplanations, d):
		s.count(d.aspect + ": explained")
	default:
		s.differ(index, d.kind(), d.String())
	}
}

func (s *series) compareEvent(index int, w *world, raw []byte) {
	mode := canonjson.Lenient
	if w.rules.StrictJSON {
		mode = canonjson.Strict
	}
	d := eventDifference{w: w, raw: raw}
	d.value, _ = canonjson.Canonical(raw, canonjson.Lenient)

	canonical := d
	canonical.aspect = "canonical JSON"
	got, err := canonjson.Canonical(raw, mode)
	canonical.got, canonical.err = string(got), err
	canonical.otherErr = guard(func() error {
		other, err := gomatrixserverlib.EnforcedCanonicalJSON(bytes.Clone(raw), w.other.Version())
		canonical.other = string(other)
		return err
	})
	s.judge(index, canonical)

	parse := d
	parse.aspect = "parse"
	parse.e, parse.err = event.Parse(bytes.Clone(raw), w.rules)
	var pdu gomatrixserverlib.PDU
	parse.otherErr = guard(func() (err error) {
		if pdu, err = w.other.NewEventFromUntrustedJSON(bytes.Clone(raw)); err == nil {
			_ = pdu.RoomID()
		}
		return err
	})
	s.judge(index, parse)
	if parse.err == nil && parse.otherErr == nil {
		d.e = parse.e
		s.compareParsed(index, d, pdu)
	}
}

// compareParsed compares what is made of an event that both accept.
func (s *series) compareParsed(index int, d eventDifference, pdu gomatrixserverlib.PDU) {
	e := d.e
	compare := func(aspect, got string, other func() (string, error)) {
		d := d
		d.aspect, d.got = aspect, got
		d.otherErr = guard(func() (err error) {
			d.other, err = other()
			return err
		})
		s.judge(index, d)
	}
	compare("content hash", fmt.Sprint(e.HashMatches()), func() (string, error) { return fmt.Sprint(!pdu.Redacted()), nil })
	if e.HashMatches() == pdu.Redacted() {
		return // the two went on with different events
	}
	received := e
	if !e.HashMatches() {
		received = e.Redacted()
	}
	compare("event ID", string(e.ID()), func() (string, error) { return pdu.EventID(), nil })
	compare("JSON", string(received.WithUnsigned(nil).JSON()), func() (string, error) { return string(pdu.JSON()), nil })
	compare("redacted", string(e.Redacted().JSON()), func() (string, error) {
		redacted, err := d.w.other.RedactEventJSON(pdu.JSON())
		if err != nil {
			return "", err
		}
		redacted, err = gomatrixserverlib.CanonicalJSON(redacted)
		return string(redacted), err
	})
	signatures := d
	signatures.aspect = "signatures"
	signatures.err = event.NewVerifier(0).Verify(received, publishedKey)
	signatures.otherErr = guard(func() error {
		return gomatrixserverlib.VerifyEventSignatures(context.Background(), pdu, keyRing, userOf)
	})
	s.judge(index, signatures)
	if string(received.WithUnsigned(nil).JSON()) == string(pdu.JSON()) {
		s.compareAuth(index, d.w, received, pdu, allAuthExplanations)
	}
}
