package event

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// shapes are spoiled in small ways to make seeds.
func shapes(version int) []draft {
	d := message(version)
	create := d.with("type", `"m.room.create"`).with("state_key", `""`).with("prev_events", "[]").with("auth_events", "[]").
		with("content", `{"creator":"@baker:town.test","m.federate":false,"room_version":"1"}`)
	member := d.with("type", `"m.room.member"`).with("state_key", `"@guest:inn.test"`)
	redaction := d.with("type", `"m.room.redaction"`)
	return []draft{
		d, d.with("unsigned", `{"age":4612}`), d.with("origin", `"town.test"`).with("prev_state", "[]").with("membership", `"join"`),
		create, create.with("room_id", ""),
		member.with("content", `{"avatar_url":"mxc://a/b","membership":"join"}`),
		member.with("content", `{"join_authorised_via_users_server":"@mayor:hall.test","membership":"join"}`),
		member.with("content", `{"membership":"invite","third_party_invite":{"display_name":"g","signed":{"mxid":"@guest:inn.test","signatures":{},"token":"t"}}}`),
		member.with("content", `{"membership":"invite","third_party_invite":7}`).with("signatures", "{}"),
		redaction.with("redacts", `"$a:b"`).with("content", `{"reason":"spam"}`),
		redaction.with("content", `{"redacts":"$a-b"}`),
		redaction.with("redacts", `["$a"]`).with("content", `{"redacts":null}`),
		d.with("type", `"m.room.power_levels"`).with("state_key", `""`).with("content", everyLevel),
		d.with("type", `"m.room.aliases"`).with("state_key", `"town.test"`).with("content", `{"aliases":["#a:town.test"]}`),
		d.with("type", `"m.room.join_rules"`).with("state_key", `""`).with("content", `{"allow":[],"join_rule":"restricted"}`),
		d.with("content", `{"a":1.5,"b":[1e3,-0,123456789012345678901],"\u0063":"\ud83d\ude00"}`),
		d.with("depth", "9223372036854775807"), d.with("depth", "-1"), d.with("event_id", `"$x"`), d.with("hashes", `{"sha256":7}`),
		d.with("content", `{"content":{"content":{}},"é":"\n"}`).with("", "[]").with("\"", "0"),
	}
}

func FuzzParse(f *testing.F) {
	for version := 1; version <= lastVersion; version++ {
		for _, d := range shapes(version) {
			f.Add(d.json(), byte(version-1))
		}
	}
	for _, raw := range []string{``, `{}`, `[]`, `null`, `{"type":"a","type":"b"}`, `{"content":{}}`, ` {"depth" : 1 } `} {
		f.Add([]byte(raw), byte(lastVersion-1))
	}
	f.Fuzz(func(t *testing.T, raw []byte, v byte) {
		version := int(v)%lastVersion + 1
		e, err := Parse(raw, rulesOfNumber(t, version))
		if err != nil {
			format, syntax := (*FormatError)(nil), (*canonjson.SyntaxError)(nil)
			if !errors.As(err, &format) && !errors.As(err, &syntax) || !utf8.ValidString(err.Error()) {
				t.Fatalf("error %q", err)
			}
			return
		}
		checkLimits(t, e)
		checkAccessors(t, e, version)
		checkAgainstSlow(t, e, version)
		checkForms(t, e)
	})
}

func checkLimits(t *testing.T, e *Event) {
	mode := canonjson.Lenient
	if e.Rules().StrictJSON {
		mode = canonjson.Strict
	}
	if !canonjson.IsCanonical(e.JSON(), mode) || len(e.JSON()) > 65536 {
		t.Fatalf("%d bytes, canonical or not: %s", len(e.JSON()), e.JSON())
	}
	key, _ := e.StateKey()
	for _, s := range []string{e.Type(), key, string(e.Sender()), string(e.RoomID()), string(e.ID()), string(e.Redacts())} {
		if len(s) > 255 || !utf8.ValidString(s) {
			t.Fatalf("accepted %q with %d bytes", s, len(s))
		}
	}
	if len(e.PrevEvents()) > 20 || len(e.AuthEvents()) > 10 || e.Depth() < 0 || e.Depth() > e.Rules().MaxDepth {
		t.Fatalf("%d prev events, %d auth events, depth %d", len(e.PrevEvents()), len(e.AuthEvents()), e.Depth())
	}
	if e.RoomID() == "" || e.ID() == "" || e.Sender() == "" {
		t.Fatalf("event %q in %q by %q", e.ID(), e.RoomID(), e.Sender())
	}
}

// checkAccessors compares with what encoding/json reads in the event.
func checkAccessors(t *testing.T, e *Event, version int) {
	event := slowObject(t, e.JSON())
	want := map[string]any{"content": slowDecode(t, e.Content()), "type": e.Type(), "sender": string(e.Sender()),
		"depth": json.Number(strconv.FormatInt(e.Depth(), 10)), "origin_server_ts": json.Number(strconv.FormatInt(e.OriginServerTS(), 10)),
		"prev_events": slowReferences(e.PrevEvents()), "auth_events": slowReferences(e.AuthEvents())}
	if key, ok := e.StateKey(); ok {
		want["state_key"] = key
	}
	if e.Unsigned() != nil {
		want["unsigned"] = slowDecode(t, e.Unsigned())
	}
	if e.CarriesRoomID() {
		want["room_id"] = string(e.RoomID())
	}
	got := only(event, "content", "type", "sender", "depth", "origin_server_ts", "prev_events", "auth_events", "state_key", "unsigned", "room_id")
	if version <= 2 {
		for _, field := range []string{"prev_events", "auth_events"} {
			list := []any{}
			for _, pair := range got[field].([]any) {
				list = append(list, pair.([]any)[0])
			}
			got[field] = list
		}
	}
	if !bytes.Equal(slowEncode(got), slowEncode(want)) {
		t.Fatalf("accessors say %s of %s", slowEncode(want), e.JSON())
	}
	target := event["redacts"]
	if version >= 11 {
		target = event["content"].(map[string]any)["redacts"]
	}
	if e.Redacts() != "" && (target != string(e.Redacts()) || e.Type() != "m.room.redaction") {
		t.Fatalf("redacts %q of %s", e.Redacts(), e.JSON())
	}
}

func slowReferences(ids []id.EventID) []any {
	list := []any{}
	for _, eventID := range ids {
		list = append(list, string(eventID))
	}
	return list
}

func checkAgainstSlow(t *testing.T, e *Event, version int) {
	event := slowObject(t, e.JSON())
	if want := slowEncode(event); !bytes.Equal(e.JSON(), want) {
		t.Fatalf("JSON %s, want %s", e.JSON(), want)
	}
	if want := slowID(event, version); string(e.ID()) != want {
		t.Fatalf("ID %s, want %s", e.ID(), want)
	}
	if want := slowContentHash(event); e.ContentHash() != want {
		t.Fatalf("content hash %x, want %x", e.ContentHash(), want)
	}
	if want := slowEncode(slowRedact(event, version)); !bytes.Equal(e.Redacted().JSON(), want) {
		t.Fatalf("redacted %s, want %s", e.Redacted().JSON(), want)
	}
}

// checkForms checks what is made of an event.
func checkForms(t *testing.T, e *Event) {
	redacted := e.Redacted()
	checkRedacted(t, e, redacted)
	checkStored(t, e)
	checkStored(t, redacted)
	signed := e.Sign("town.test", testKey(t))
	if signed.ID() != e.ID() || signed.HashMatches() != e.HashMatches() || !signed.HasSignature("town.test") {
		t.Fatalf("signing made %s of %s", signed.JSON(), e.JSON())
	}
	if len(signed.JSON()) <= MaxSize {
		checkStored(t, signed)
	}
	for _, out := range [][]byte{e.AppendClient(nil, Client{Unsigned: canonjson.Value("{}")}), e.AppendStripped(nil)} {
		if !canonjson.IsCanonical(out, canonjson.Lenient) || !json.Valid(out) {
			t.Fatalf("clients get %s", out)
		}
	}
	e.AuthorisingUser()
	e.Membership()
	e.Reference()
}

// slowVerdict is whether the signatures of one server on an event are good by
// the keys.
func slowVerdict(signatures any, server string, message []byte, keys ring, at int64, enforced bool) bool {
	object, _ := signatures.(map[string]any)
	own, _ := object[server].(map[string]any)
	good := false
	for name, value := range own {
		key, ok := keys[server+" "+name]
		if !ok || key.Expired != 0 && key.Expired < at || key.Expired == 0 && enforced && key.ValidUntil < at {
			continue
		}
		text, _ := value.(string)
		text = strings.TrimRight(text, "=")
		raw, err := base64.RawStdEncoding.DecodeString(text)
		if err != nil {
			raw, err = base64.RawURLEncoding.DecodeString(text)
		}
		if err != nil || len(raw) != 64 || !ed25519.Verify(key.Public, message, raw) {
			return false
		}
		good = true
	}
	return good
}

func FuzzVerify(f *testing.F) {
	town, two, old := testKey(f), namedKey(f, "ed25519:two", "two"), namedKey(f, "ed25519:old", "old")
	const sent = 1404838188000
	keys := ring{
		"town.test ed25519:1":   {Public: town.Public(), ValidUntil: 1 << 53},
		"town.test ed25519:two": {Public: two.Public(), ValidUntil: sent - 1},
		"town.test ed25519:old": {Public: old.Public(), ValidUntil: 1 << 53, Expired: sent - 1},
		"hall.test ed25519:1":   {Public: town.Public(), Expired: sent},
	}
	elsewhere := func(version int) draft { return message(version).with("event_id", `"$loaf:hall.test"`) }
	for _, version := range []int{1, 3, 4, 5, 11, 12} {
		e := elsewhere(version).with("signatures", "{}").parse(f, rulesOfNumber(f, version))
		for _, signed := range []*Event{
			e, e.Sign("town.test", town), e.Sign("town.test", two), e.Sign("town.test", old), e.Sign("hall.test", town),
			e.Sign("town.test", town).Sign("hall.test", town), e.Sign("town.test", two).Sign("town.test", town).Sign("town.test", old),
			spoil(e.Sign("town.test", town), "town.test", "ed25519:two", `"AAAA"`),
			spoil(e.Sign("town.test", town), "town.test", "ed25519:old", `null`),
			spoil(e, "town.test", "ed25519:1", `"`+strings.Repeat("A", 86)+`=="`),
		} {
			f.Add([]byte(signed.JSON().Get("signatures")), byte(version-1))
		}
	}
	f.Add([]byte(`{"town.test":[],"hall.test":{"":0,"ed25519:":{},":1":1}}`), byte(0))
	f.Add([]byte(`{"town.test":{"ed25519:1":"-_+/"}}`), byte(11))
	shared := NewVerifier(50)
	f.Fuzz(func(t *testing.T, signatures []byte, v byte) {
		version := int(v)%lastVersion + 1
		if !json.Valid(signatures) { // it would be another event
			return
		}
		e, err := Parse(elsewhere(version).with("signatures", string(signatures)).json(), rulesOfNumber(t, version))
		if err != nil {
			return
		}
		event := slowObject(t, e.JSON())
		want := map[string]bool{}
		for _, server := range []string{"town.test", "hall.test"} {
			want[server] = slowVerdict(event["signatures"], server, slowMessage(event, version), keys, sent, version >= 5)
		}
		for server, good := range want {
			if err := NewVerifier(0).VerifyServer(e, id.ServerName(server), keys.keys); (err == nil) != good {
				t.Fatalf("%s has signed: %v, want %v, by %s", server, err, good, signatures)
			}
		}
		good := want["town.test"] && (version > 2 || want["hall.test"])
		for _, verifier := range []*Verifier{NewVerifier(0), shared, shared} {
			if err := verifier.Verify(e, keys.keys); (err == nil) != good {
				t.Fatalf("signatures are good: %v, want %v: %s", err, good, signatures)
			}
		}
		if len(shared.recent)+len(shared.old) > 50 {
			t.Fatal("the memory has no bound")
		}
	})
}
