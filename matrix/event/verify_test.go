package event

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/roomver"
	"parley/matrix/signing"
)

// A ring holds the keys at hand, by server and key ID.
type ring map[string]VerifyKey

func (r ring) keys(server id.ServerName, key id.KeyID) (VerifyKey, bool) {
	k, ok := r[string(server)+" "+string(key)]
	return k, ok
}

// namedKey is a key whose seed follows from its name.
func namedKey(t testing.TB, keyID id.KeyID, name string) signing.Key {
	seed := sha256.Sum256([]byte(name))
	key, err := signing.NewKey(keyID, seed[:])
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// spoil exchanges the signature of a server and key for other JSON.
func spoil(e *Event, server, key, signature string) *Event {
	signatures := e.JSON().Get("signatures")
	own := signatures.Get(server)
	if own.Kind() != canonjson.Object {
		own = nil
	}
	return e.withJSON(e.JSON().With("signatures", signatures.With(server, own.With(key, canonjson.Value(signature)))))
}

func TestVerify(t *testing.T) {
	const (
		sent = 1404838188000 // when the event was sent
		far  = 1 << 53
	)
	town, town2, hall := testKey(t), namedKey(t, "ed25519:two", "town2"), namedKey(t, "ed25519:h", "hall")
	valid := func(key signing.Key) VerifyKey { return VerifyKey{Public: key.Public(), ValidUntil: far} }
	known := ring{"town.test ed25519:1": valid(town), "town.test ed25519:two": valid(town2), "hall.test ed25519:h": valid(hall)}
	townKey := func(k VerifyKey) ring { return ring{"town.test ed25519:1": k, "town.test ed25519:two": valid(town2)} }
	none := func(d draft) draft { return d.with("signatures", "{}") }
	invite := func(content string) func(draft) draft {
		return func(d draft) draft {
			return none(d).with("type", `"m.room.member"`).with("state_key", `"@guest:inn.test"`).with("content", content)
		}
	}
	elsewhere := func(d draft) draft { return none(d).with("event_id", `"$loaf:hall.test"`) }
	byTown := func(e *Event) *Event { return e.Sign("town.test", town) }
	byBoth := func(e *Event) *Event { return byTown(e).Sign("town.test", town2) }
	bad := strconv.Quote(strings.Repeat("A", 86))
	const thirdParty = `{"membership":"invite","third_party_invite":{"signed":{}}}`

	rows := []struct {
		name        string
		first, last int
		draft       func(draft) draft
		sign        func(*Event) *Event
		keys        ring
		refused     id.ServerName // whose signature is at fault, if any
	}{
		{"signed by the sender's server", 1, 12, none, byTown, known, ""},
		{"not signed", 1, 12, none, nil, known, "town.test"},
		{"signed by another server", 1, 12, none, func(e *Event) *Event { return e.Sign("hall.test", hall) }, known, "town.test"},
		{"signed by an unknown key", 1, 12, none, byTown, ring{}, "town.test"},
		{"signed by a key of another server's", 1, 12, none, byTown, ring{"hall.test ed25519:1": valid(town)}, "town.test"},
		{"signed by another key of that name", 1, 12, none, byTown, townKey(valid(hall)), "town.test"},
		{"signed for another server name", 1, 12, none, func(e *Event) *Event { return e.Sign("Town.test", town) }, known, "town.test"},
		{"signed by two keys", 1, 12, none, byBoth, known, ""},
		{"signed by two keys, one unknown", 1, 12, none, byBoth, ring{"town.test ed25519:two": valid(town2)}, ""},
		{"signed by an unknown key badly", 1, 12, none, func(e *Event) *Event { return spoil(byTown(e), "town.test", "ed25519:x", bad) }, known, ""},
		{"signed by two keys, one badly", 1, 12, none, func(e *Event) *Event { return spoil(byTown(e), "town.test", "ed25519:two", bad) }, known, "town.test"},
		{"signed by two keys, the first one badly", 1, 12, none, func(e *Event) *Event { return spoil(byBoth(e), "town.test", "ed25519:1", bad) }, known, "town.test"},
		{"signed by another server badly", 1, 12, none, func(e *Event) *Event { return spoil(byTown(e), "hall.test", "ed25519:h", bad) }, known, ""},
		{"signed by an unknown algorithm too", 1, 12, none, func(e *Event) *Event { return spoil(byTown(e), "town.test", "ed448:1", `{"x":1}`) }, known, ""},
		{"signed by an unknown algorithm only", 1, 12, none, func(e *Event) *Event { return spoil(e, "town.test", "ed448:1", bad) },
			ring{"town.test ed448:1": valid(town)}, "town.test"},
		{"with a key that has no version", 1, 12, none, func(e *Event) *Event { return spoil(byTown(e), "town.test", "ed25519", "7") }, known, ""},
		{"with a key that has no name", 1, 12, none, func(e *Event) *Event { return spoil(byTown(e), "town.test", "", "7") }, known, ""},

		{"by a number", 1, 12, none, func(e *Event) *Event { return spoil(e, "town.test", "ed25519:1", "7") }, known, "town.test"},
		{"by null", 1, 12, none, func(e *Event) *Event { return spoil(e, "town.test", "ed25519:1", "null") }, known, "town.test"},
		{"by an empty string", 1, 12, none, func(e *Event) *Event { return spoil(e, "town.test", "ed25519:1", `""`) }, known, "town.test"},
		{"by no Base64", 1, 12, none, func(e *Event) *Event { return spoil(e, "town.test", "ed25519:1", `"***"`) }, known, "town.test"},
		{"by 63 bytes", 1, 12, none, func(e *Event) *Event { return spoil(e, "town.test", "ed25519:1", bad[:85]+`"`) }, known, "town.test"},
		{"by 96 bytes", 1, 12, none, func(e *Event) *Event {
			return spoil(e, "town.test", "ed25519:1", strconv.Quote(strings.Repeat("A", 128)))
		}, known, "town.test"},
		{"signatures that are a list", 1, 12, func(d draft) draft { return d.with("signatures", `{"town.test":["ed25519:1"]}`) }, nil, known, "town.test"},
		{"a key of the wrong length", 1, 12, none, byTown, townKey(VerifyKey{Public: town.Public()[:31], ValidUntil: far}), "town.test"},
		{"a key without bytes", 1, 12, none, byTown, townKey(VerifyKey{ValidUntil: far}), "town.test"},

		{"a key valid until the event", 1, 12, none, byTown, townKey(VerifyKey{Public: town.Public(), ValidUntil: sent}), ""},
		{"a key no longer valid, not enforced", 1, 4, none, byTown, townKey(VerifyKey{Public: town.Public(), ValidUntil: sent - 1}), ""},
		{"a key no longer valid, enforced", 5, 12, none, byTown, townKey(VerifyKey{Public: town.Public(), ValidUntil: sent - 1}), "town.test"},
		{"a key no longer valid beside one that is", 5, 12, none, byBoth, townKey(VerifyKey{Public: town.Public(), ValidUntil: sent - 1}), ""},
		{"a key no longer valid that signed badly", 5, 12, none, byBoth, townKey(VerifyKey{Public: hall.Public(), ValidUntil: sent - 1}), ""},
		{"a key that never was valid", 5, 12, none, byTown, townKey(VerifyKey{Public: town.Public()}), "town.test"},
		{"a key that expired at the event", 1, 12, none, byTown, townKey(VerifyKey{Public: town.Public(), Expired: sent}), ""},
		{"a key that expired before the event", 1, 12, none, byTown, townKey(VerifyKey{Public: town.Public(), Expired: sent - 1}), "town.test"},
		{"a key that expired though still valid", 1, 12, none, byTown, townKey(VerifyKey{Public: town.Public(), ValidUntil: far, Expired: sent - 1}), "town.test"},
		{"a key that expired beside one that has not", 1, 12, none, byBoth, townKey(VerifyKey{Public: hall.Public(), Expired: 1}), ""},
		{"a key that expired later, signing badly", 1, 12, none, byBoth, townKey(VerifyKey{Public: hall.Public(), Expired: far}), "town.test"},

		{"an event ID of another server", 1, 2, elsewhere, func(e *Event) *Event { return byTown(e).Sign("hall.test", hall) }, known, ""},
		{"an event ID of a server that did not sign", 1, 2, elsewhere, byTown, known, "hall.test"},
		{"an event ID of the only server that signed", 1, 2, elsewhere, func(e *Event) *Event { return e.Sign("hall.test", hall) }, known, "town.test"},
		{"an event ID of another server, which means nothing", 3, 12, elsewhere, byTown, known, ""},

		{"a third-party invite", 3, 12, invite(thirdParty), nil, known, ""},
		{"a third-party invite in a room whose event IDs are signed", 1, 2, invite(thirdParty), nil, known, "town.test"},
		{"a third-party invite with an ID of its sender's", 1, 2, func(d draft) draft { return invite(thirdParty)(elsewhere(d)) },
			func(e *Event) *Event { return e.Sign("hall.test", hall) }, known, ""},
		{"an invite", 1, 12, invite(`{"membership":"invite"}`), nil, known, "town.test"},
		{"a join with a third-party invite", 1, 12, invite(`{"membership":"join","third_party_invite":{"signed":{}}}`), nil, known, "town.test"},
		{"a third-party invite that is no state", 1, 12, func(d draft) draft { return invite(thirdParty)(d).with("state_key", "") }, nil, known, "town.test"},
		{"a third-party invite of another type", 1, 12, func(d draft) draft { return invite(thirdParty)(d).with("type", `"m.room.members"`) }, nil, known, "town.test"},
	}
	for _, r := range rows {
		for version := r.first; version <= r.last; version++ {
			t.Run(fmt.Sprintf("%s/v%d", r.name, version), func(t *testing.T) {
				e := r.draft(message(version)).parse(t, rulesOfNumber(t, version))
				if r.sign != nil {
					e = r.sign(e)
				}
				for _, memory := range []int{0, 10} {
					v := NewVerifier(memory)
					for range 2 { // the second time from memory, if any
						checkVerdict(t, e, v.Verify(e, r.keys.keys), r.refused)
					}
				}
			})
		}
	}
}

func checkVerdict(t *testing.T, e *Event, err error, refused id.ServerName) {
	t.Helper()
	if refused == "" {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	var got *SignatureError
	if !errors.As(err, &got) || got.Server != refused || got.Event != e.ID() || got.Reason == "" {
		t.Errorf("got error %v, want one about the signature of %s", err, refused)
		return
	}
	if want := "signature of " + string(refused) + " on " + string(e.ID()) + ": " + got.Reason; err.Error() != want {
		t.Errorf("got error %q, want %q", err, want)
	}
}

func TestSigners(t *testing.T) {
	invite := `{"membership":"invite","third_party_invite":null}`
	rows := []struct {
		name        string
		first, last int
		draft       func(draft) draft
		want        string
	}{
		{"the sender's server", 1, 12, func(d draft) draft { return d }, "[town.test]"},
		{"the event ID's too", 1, 2, func(d draft) draft { return d.with("event_id", `"$loaf:hall.test:1"`) }, "[town.test hall.test:1]"},
		{"nobody", 3, 12, func(d draft) draft {
			return d.with("type", `"m.room.member"`).with("state_key", `"@a:b"`).with("content", invite)
		}, "[]"},
		{"the event ID's only", 1, 2, func(d draft) draft {
			return d.with("type", `"m.room.member"`).with("state_key", `"@a:b"`).with("content", invite).with("event_id", `"$a:hall.test"`)
		}, "[hall.test]"},
	}
	for _, r := range rows {
		for version := r.first; version <= r.last; version++ {
			e := r.draft(message(version)).parse(t, rulesOfNumber(t, version))
			if got := fmt.Sprint(e.Signers()); got != r.want {
				t.Errorf("%s, version %d: got %s, want %s", r.name, version, got, r.want)
			}
		}
	}
}

// TestTampering changes a signed event. What redaction keeps is covered by the
// signature, the rest only by the content hash.
func TestTampering(t *testing.T) {
	rows := []struct {
		field, raw     string
		signed, hashed bool // whether signature and hash are good afterwards
	}{
		{"unsigned", `{"age":3}`, true, true},
		{"content", `{"body":"Give me your password"}`, true, false},
		{"org.example", `1`, true, false},
		{"depth", `13`, false, false},
		{"sender", `"@thief:town.test"`, false, false},
		{"type", `"m.room.name"`, false, false},
		{"state_key", `""`, false, false},
		{"prev_events", `[]`, false, false},
		{"auth_events", `[]`, false, false},
		{"room_id", `"!cellar:town.test"`, false, false},
		{"origin_server_ts", `1404838188001`, false, false},
		{"hashes", `{"sha256":"AAAA"}`, false, false},
		{"hashes", `{}`, false, false},
	}
	eachVersion(t, 1, lastVersion, func(t *testing.T, version int, rules *roomver.Rules) {
		event := slowObject(t, message(version).json())
		slowFinish(t, event, version, "town.test")
		for _, r := range rows {
			changed := without(event)
			changed[r.field] = slowDecode(t, []byte(r.raw))
			raw := slowEncode(changed)
			e, err := Parse(raw, rules)
			if err != nil {
				t.Fatalf("parsing %s: %v", raw, err)
			}
			if err := NewVerifier(0).Verify(e, keysOf(testKey(t))); (err == nil) != r.signed {
				t.Errorf("%s %s: got error %v, want a good signature: %v", r.field, r.raw, err, r.signed)
			}
			if e.HashMatches() != r.hashed {
				t.Errorf("%s %s: hash matches: %v, want %v", r.field, r.raw, !r.hashed, r.hashed)
			}
			if err := NewVerifier(0).Verify(e.Redacted(), keysOf(testKey(t))); (err == nil) != r.signed {
				t.Errorf("%s %s, redacted: got error %v, want a good signature: %v", r.field, r.raw, err, r.signed)
			}
		}
	})
}

// remembered counts the marks of a verifier.
func remembered(v *Verifier) int { return len(v.recent) + len(v.old) }

func signedMessages(t testing.TB, n int) []*Event {
	key := testKey(t)
	events := make([]*Event, n)
	for i := range events {
		events[i] = message(12).with("signatures", "{}").with("depth", strconv.Itoa(i)).parse(t, rulesOf(t, "12")).Sign("town.test", key)
	}
	return events
}

func TestVerifierRemembers(t *testing.T) {
	key := testKey(t)
	keys := keysOf(key)
	e := signedMessages(t, 1)[0]
	v := NewVerifier(10)
	for range 3 {
		if err := v.Verify(e, keys); err != nil || remembered(v) != 1 {
			t.Fatalf("%d signatures remembered, error %v", remembered(v), err)
		}
	}
	if err := v.Verify(e.Redacted().WithUnsigned(canonjson.Value(`{"age":1}`)), keys); err != nil || remembered(v) != 1 {
		t.Errorf("the redacted form was remembered apart (%d), error %v", remembered(v), err)
	}

	// A mark for a signature that is bad shows that what is remembered is not
	// computed again.
	forged := spoil(e, "town.test", "ed25519:1", strconv.Quote(strings.Repeat("A", 86)))
	if err := v.Verify(forged, keys); err == nil || remembered(v) != 1 {
		t.Fatalf("another signature on a remembered event: error %v, %d remembered", err, remembered(v))
	}
	v.remember(markOf(forged, forged.signedBytes(new(signedRoom)), make([]byte, ed25519.SignatureSize), key.Public()))
	if err := v.Verify(forged, keys); err != nil {
		t.Errorf("a remembered signature was computed again: %v", err)
	}
}

func TestVerifierMemoryIsSpecific(t *testing.T) {
	key, other := testKey(t), namedKey(t, "ed25519:1", "other")
	e := signedMessages(t, 1)[0]
	v := NewVerifier(10)
	if err := v.Verify(e, keysOf(key)); err != nil {
		t.Fatal(err)
	}
	if err := v.Verify(e, keysOf(other)); err == nil {
		t.Error("a signature remembered for one key was accepted for another")
	}
	if err := v.Verify(e, ring{}.keys); err == nil {
		t.Error("a remembered signature was accepted without a key")
	}
	expired := ring{"town.test ed25519:1": {Public: key.Public(), Expired: 1}}
	if err := v.Verify(e, expired.keys); err == nil {
		t.Error("a remembered signature was accepted though its key has expired since")
	}
	late := must(Parse(e.JSON().With("depth", canonjson.Value("7")), e.Rules()))
	if err := v.Verify(late, keysOf(key)); err == nil {
		t.Error("a remembered signature was accepted on another event")
	}
	if remembered(v) != 1 {
		t.Errorf("%d signatures are remembered, want the good one", remembered(v))
	}
}

func TestVerifierForgets(t *testing.T) {
	events := signedMessages(t, 40)
	for _, limit := range []int{-1, 0, 1, 2, 3, 4, 7, 10, 100} {
		v := NewVerifier(limit)
		for i, e := range events {
			if err := v.Verify(e, keysOf(testKey(t))); err != nil {
				t.Fatal(err)
			}
			if got := remembered(v); got > max(limit, 0) || limit >= len(events) && got != i+1 {
				t.Fatalf("%d of %d signatures are remembered, at most %d should be", got, i+1, limit)
			}
		}
		last := events[len(events)-1]
		raw, err := signing.Decode(last.JSON().Get("signatures").Get("town.test").Get("ed25519:1"))
		if err != nil {
			t.Fatal(err)
		}
		if mark := markOf(last, last.signedBytes(new(signedRoom)), raw[:], testKey(t).Public()); v.knows(mark) != (limit > 0) {
			t.Errorf("with limit %d the last signature is remembered: %v", limit, v.knows(mark))
		}
	}
}

func TestReceiveAll(t *testing.T) {
	keys := keysOf(testKey(t))
	events := signedMessages(t, 60)
	for i := range events {
		if i%3 == 1 {
			events[i] = spoil(events[i], "town.test", "ed25519:1", `"bad"`)
		}
	}
	if got := NewVerifier(0).ReceiveAll(nil, keys); len(got) != 0 {
		t.Errorf("no events give %v", got)
	}
	v := NewVerifier(20)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i, r := range v.ReceiveAll(events, keys) {
				if (r.Event == nil) != (r.Err != nil) || r.Event != nil && r.Event.ID() != events[i].ID() {
					t.Errorf("event %d was received as another, or with error %v", i, r.Err)
				}
				want := id.ServerName("")
				if i%3 == 1 {
					want = "town.test"
				}
				checkVerdict(t, events[i], r.Err, want)
			}
			if err := v.VerifyServer(events[0], "town.test", keys); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := remembered(v); got > 20 || got < 10 {
		t.Errorf("%d signatures are remembered, want 10 to 20", got)
	}
}

func TestVerifyServer(t *testing.T) {
	hall := namedKey(t, "ed25519:h", "hall")
	known := ring{"hall.test ed25519:h": {Public: hall.Public(), ValidUntil: 1 << 53}}
	e := message(12).parse(t, rulesOf(t, "12")).Sign("hall.test", hall)
	v := NewVerifier(4)
	checkVerdict(t, e, v.VerifyServer(e, "hall.test", known.keys), "")
	checkVerdict(t, e, v.VerifyServer(e, "town.test", known.keys), "town.test")
	checkVerdict(t, e, v.VerifyServer(e, "inn.test", known.keys), "inn.test")
}

func TestSign(t *testing.T) {
	eachVersion(t, 1, lastVersion, func(t *testing.T, version int, rules *roomver.Rules) {
		first, second := testKey(t), namedKey(t, "ed25519:two", "second")
		e := message(version).with("signatures", `{"town.test":{"ed448:x":7},"hall.test":[]}`).with("unsigned", `{"age":1}`).parse(t, rules)
		signed := e.Sign("town.test", first).Sign("hall.test", second).Sign("town.test", second)
		if again := signed.Sign("town.test", second); !bytes.Equal(again.JSON(), signed.JSON()) {
			t.Errorf("signing again changes %s into %s", signed.JSON(), again.JSON())
		}
		want := map[string]any{"town.test": map[string]any{}, "hall.test": map[string]any{}}
		message := slowMessage(slowObject(t, e.JSON()), version)
		put := func(server string, key signing.Key) {
			want[server].(map[string]any)[string(key.ID)] = signing.EncodeBase64(ed25519.Sign(key.Private, message))
		}
		put("town.test", first)
		put("town.test", second)
		put("hall.test", second)
		want["town.test"].(map[string]any)["ed448:x"] = 7
		if got := signed.JSON().Get("signatures"); string(got) != string(slowEncode(want)) {
			t.Errorf("signatures %s, want %s", got, slowEncode(want))
		}
		if signed.ID() != e.ID() || !bytes.Equal(signed.JSON().Without("signatures"), e.JSON().Without("signatures")) {
			t.Errorf("signing made %s of %s", signed.JSON(), e.JSON())
		}
		if string(e.JSON().Get("signatures")) != `{"hall.test":[],"town.test":{"ed448:x":7}}` {
			t.Errorf("signing changed the original to %s", e.JSON())
		}
	})
}

func TestHasSignature(t *testing.T) {
	e := message(12).with("signatures", `{"a.test":{"x":0},"b.test":{},"c.test":["x"]}`).parse(t, rulesOf(t, "12"))
	for server, want := range map[id.ServerName]bool{"a.test": true, "b.test": false, "c.test": false, "d.test": false, "": false} {
		if e.HasSignature(server) != want {
			t.Errorf("signature of %q: %v, want %v", server, !want, want)
		}
	}
}

func TestAuthorisingUser(t *testing.T) {
	const yes = `{"join_authorised_via_users_server":"@mayor:hall.test","membership":"join"}`
	rows := []struct {
		name        string
		first, last int
		eventType   string
		content     string
		user        id.UserID
		present     bool
	}{
		{"before restricted rooms", 1, 7, TypeMember, yes, "", false},
		{"of a restricted join", 8, 12, TypeMember, yes, "@mayor:hall.test", true},
		{"whatever the membership", 8, 12, TypeMember, `{"join_authorised_via_users_server":"@mayor:hall.test"}`, "@mayor:hall.test", true},
		{"absent", 8, 12, TypeMember, `{"membership":"join"}`, "", false},
		{"no user ID", 8, 12, TypeMember, `{"join_authorised_via_users_server":"hall.test"}`, "", true},
		{"no string", 8, 12, TypeMember, `{"join_authorised_via_users_server":null}`, "", true},
		{"of another event", 8, 12, TypeJoinRules, yes, "", false},
	}
	for _, r := range rows {
		for version := r.first; version <= r.last; version++ {
			d := message(version).with("type", string(canonjson.Text(r.eventType))).with("content", r.content)
			user, present := d.parse(t, rulesOfNumber(t, version)).AuthorisingUser()
			if user != r.user || present != r.present {
				t.Errorf("%s, version %d: got %q, %v; want %q, %v", r.name, version, user, present, r.user, r.present)
			}
		}
	}
}

// TestReceive has the three outcomes of the checks on receipt, and invites by
// a third party, which lose their exemption from the sender's signature when
// what exempts them is not kept.
func TestReceive(t *testing.T) {
	town := testKey(t)
	tampered := func(e *Event) *Event {
		return must(Parse(e.JSON().With("content", e.Content().With("extra", canonjson.Value("1"))), e.Rules()))
	}
	invite := func(version roomver.Version, content string) *Event {
		stateKey := "@evil:evil.test"
		e, err := Proto{
			Type: TypeMember, StateKey: &stateKey, Sender: "@admin:town.test", RoomID: "!r:town.test",
			Content: canonjson.Value(content), EventID: "$1:evil.test",
		}.Build(rulesOf(t, version), "evil.test", signing.Key{ID: "ed25519:evil", Private: town.Private})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	good, err := Proto{
		Type: "m.room.message", Sender: "@baker:town.test", RoomID: "!r:town.test", Content: canonjson.Value(`{"body":"hi"}`),
	}.Build(rulesOf(t, "12"), "town.test", town)
	if err != nil {
		t.Fatal(err)
	}
	const exempt = `{"membership":"invite","third_party_invite":{"signed":{}}}`
	rows := []struct {
		name     string
		event    *Event
		dropped  bool
		redacted bool
	}{
		{"a good event stays as it is", good, false, false},
		{"a changed event is received redacted", tampered(good), false, true},
		{"an event without signatures is dropped", spoil(good, "town.test", "ed25519:1", `""`), true, false},
		{"a third-party invite needs no signature of the sender's server", invite("10", exempt), false, false},
		{"a changed one in version 10 would become a plain invite", tampered(invite("10", exempt)), true, false},
		{"a changed one in version 12 stays a third-party invite", tampered(invite("12", exempt)), false, true},
		{"but not if it never was one", tampered(invite("12", `{"membership":"invite","third_party_invite":7}`)), true, false},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			got, err := NewVerifier(0).Receive(r.event, keysOf(town))
			switch {
			case (err != nil) != r.dropped:
				t.Errorf("got %v", err)
			case err != nil:
			case r.redacted && !bytes.Equal(got.JSON(), r.event.Redacted().JSON()), !r.redacted && got != r.event:
				t.Errorf("received as %s", got.JSON())
			}
		})
	}
}
