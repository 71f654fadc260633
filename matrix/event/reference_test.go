package event

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"parley/matrix/canonjson"
	"parley/matrix/roomver"
)

// This file is a second, slow implementation of what hashing, signing and
// redacting events mean, over the maps of encoding/json and with tables of its
// own. It shares no code with what it is compared to.

// lastVersion is the newest room version; all of 1 to lastVersion are tested.
const lastVersion = 12

func rulesOfNumber(t testing.TB, version int) *roomver.Rules {
	return rulesOf(t, roomver.Version(strconv.Itoa(version)))
}

// eachVersion runs a subtest per room version from first to last.
func eachVersion(t *testing.T, first, last int, test func(t *testing.T, version int, rules *roomver.Rules)) {
	for version := first; version <= last; version++ {
		t.Run("v"+strconv.Itoa(version), func(t *testing.T) { test(t, version, rulesOfNumber(t, version)) })
	}
}

// slowDecode reads one JSON value with numbers kept as text.
func slowDecode(t testing.TB, raw []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("decoding %s: %v", raw, err)
	}
	return v
}

func decodeObject(raw []byte) (object map[string]any, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	err = d.Decode(&object)
	return object, err
}

func base64Of(h Hash) string { return base64.RawStdEncoding.EncodeToString(h[:]) }

func slowObject(t testing.TB, raw []byte) map[string]any {
	t.Helper()
	object, err := decodeObject(raw)
	if err != nil || object == nil {
		t.Fatalf("%s is not an object: %v", raw, err)
	}
	return object
}

// slowEncode writes canonical JSON by the grammar of
// https://spec.matrix.org/v1.19/appendices/#grammar. Numbers are written as
// they were read.
func slowEncode(v any) []byte {
	var out bytes.Buffer
	switch v := v.(type) {
	case map[string]any:
		var members []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			members = append(members, string(slowEncode(name))+":"+string(slowEncode(v[name])))
		}
		out.WriteString("{" + strings.Join(members, ",") + "}")
	case []any:
		var elements []string
		for _, element := range v {
			elements = append(elements, string(slowEncode(element)))
		}
		out.WriteString("[" + strings.Join(elements, ",") + "]")
	case string:
		out.WriteByte('"')
		for _, r := range v {
			switch short := strings.IndexRune("\b\t\n\f\r\"\\", r); {
			case short >= 0:
				out.WriteString(`\` + `btnfr"\`[short:short+1])
			case r < 0x20:
				fmt.Fprintf(&out, `\u%04x`, r)
			default:
				out.WriteRune(r)
			}
		}
		out.WriteByte('"')
	case nil:
		out.WriteString("null")
	default: // bool, json.Number, int
		fmt.Fprint(&out, v)
	}
	return out.Bytes()
}

// without is a copy of the object less the named members.
func without(object map[string]any, names ...string) map[string]any {
	c := maps.Clone(object)
	for _, name := range names {
		delete(c, name)
	}
	return c
}

func only(object map[string]any, names ...string) map[string]any {
	c := map[string]any{}
	for _, name := range names {
		if value, ok := object[name]; ok {
			c[name] = value
		}
	}
	return c
}

// slowRedact is the redaction algorithm as the pages of the room versions have
// it.
func slowRedact(event map[string]any, version int) map[string]any {
	kept := only(event, "event_id", "type", "room_id", "sender", "state_key", "content", "hashes", "signatures",
		"depth", "prev_events", "prev_state", "auth_events", "origin", "origin_server_ts", "membership")
	if version >= 11 {
		kept = without(kept, "prev_state", "origin", "membership")
	}
	content := event["content"].(map[string]any)
	kept["content"] = slowRedactContent(event["type"].(string), content, version)
	return kept
}

func slowRedactContent(eventType string, content map[string]any, version int) map[string]any {
	switch eventType {
	case "m.room.member":
		kept := only(content, "membership")
		if version >= 9 {
			kept = only(content, "membership", "join_authorised_via_users_server")
		}
		if invite, ok := content["third_party_invite"].(map[string]any); ok && version >= 11 {
			kept["third_party_invite"] = only(invite, "signed")
		}
		return kept
	case "m.room.create":
		if version >= 11 {
			return content
		}
		return only(content, "creator")
	case "m.room.join_rules":
		if version >= 8 {
			return only(content, "join_rule", "allow")
		}
		return only(content, "join_rule")
	case "m.room.power_levels":
		kept := only(content, "ban", "events", "events_default", "kick", "redact", "state_default", "users", "users_default", "invite")
		if version < 11 {
			delete(kept, "invite")
		}
		return kept
	case "m.room.aliases":
		if version <= 5 {
			return only(content, "aliases")
		}
	case "m.room.history_visibility":
		return only(content, "history_visibility")
	case "m.room.redaction":
		if version >= 11 {
			return only(content, "redacts")
		}
	}
	return map[string]any{}
}

func slowContentHash(event map[string]any) Hash {
	return sha256.Sum256(slowEncode(without(event, "unsigned", "signatures", "hashes")))
}

// slowMessage is what signatures and the reference hash cover.
func slowMessage(event map[string]any, version int) []byte {
	return slowEncode(without(slowRedact(event, version), "signatures", "unsigned"))
}

func slowID(event map[string]any, version int) string {
	sum := sha256.Sum256(slowMessage(event, version))
	switch {
	case version <= 2:
		return event["event_id"].(string)
	case version == 3:
		return "$" + base64.RawStdEncoding.EncodeToString(sum[:])
	}
	return "$" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// slowFinish adds the content hash, and for each server a signature with the
// test key.
func slowFinish(t testing.TB, event map[string]any, version int, servers ...string) {
	event["hashes"] = map[string]any{"sha256": base64Of(slowContentHash(event))}
	signatures := map[string]any{}
	for _, server := range servers {
		signature := ed25519.Sign(testKey(t).Private, slowMessage(event, version))
		signatures[server] = map[string]any{"ed25519:1": base64.RawStdEncoding.EncodeToString(signature)}
	}
	event["signatures"] = signatures
}

// A draft is a PDU as the raw JSON of its members, to be spoiled one at a time.
type draft map[string]string

// message is a good event of the room version.
func message(version int) draft {
	d := draft{
		"auth_events":      `["$auth-one","$auth_two"]`,
		"content":          `{"body":"Good evening","msgtype":"m.text"}`,
		"depth":            `12`,
		"hashes":           `{"sha256":"Z29vZCBldmVuaW5nLCBnb29kIGV2ZW5pbmcsIGdvb2Q"}`,
		"origin_server_ts": `1404838188000`,
		"prev_events":      `["$prev-one"]`,
		"room_id":          `"!square:town.test"`,
		"sender":           `"@baker:town.test"`,
		"signatures":       `{"town.test":{"ed25519:1":"c2lnbmF0dXJl"}}`,
		"type":             `"m.room.message"`,
	}
	if version <= 2 {
		d["event_id"] = `"$loaf:town.test"`
		d["auth_events"] = `[["$one:town.test",{"sha256":"b25l"}],["$two:town.test",{"sha256":"dHdv"}]]`
		d["prev_events"] = `[["$prev:town.test",{"sha256":"cHJldg"}]]`
	}
	if version >= 12 {
		d["room_id"] = `"!Nhcu5BS-UMnFX7hBVfVSoXiD7OgH6iRT-xyIuqDnpYQ"`
	}
	return d
}

// with sets a member to raw JSON, or removes it when that is empty.
func (d draft) with(name, raw string) draft {
	c := maps.Clone(d)
	c[name] = raw
	if raw == "" {
		delete(c, name)
	}
	return c
}

// json is canonical as long as the members are.
func (d draft) json() []byte {
	var members []string
	for _, name := range slices.Sorted(maps.Keys(d)) {
		members = append(members, string(canonjson.Text(name))+":"+d[name])
	}
	return []byte("{" + strings.Join(members, ",") + "}")
}

func (d draft) parse(t testing.TB, rules *roomver.Rules) *Event {
	t.Helper()
	e, err := Parse(d.json(), rules)
	if err != nil {
		t.Fatalf("parsing %s for version %s: %v", d.json(), rules.Version, err)
	}
	return e
}
