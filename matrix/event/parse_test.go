package event

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

func TestParseReadsTheHeader(t *testing.T) {
	eachVersion(t, 1, lastVersion, func(t *testing.T, version int, rules *roomver.Rules) {
		e := message(version).with("state_key", `"é\n"`).with("unsigned", `{"age":4612}`).parse(t, rules)
		auth, prev := []id.EventID{"$auth-one", "$auth_two"}, []id.EventID{"$prev-one"}
		if version <= 2 {
			auth, prev = []id.EventID{"$one:town.test", "$two:town.test"}, []id.EventID{"$prev:town.test"}
		}
		room := id.RoomID("!square:town.test")
		if version >= 12 {
			room = "!Nhcu5BS-UMnFX7hBVfVSoXiD7OgH6iRT-xyIuqDnpYQ"
		}
		key, isState := e.StateKey()
		tuple, ok := e.Tuple()
		rows := []struct {
			name      string
			got, want any
		}{
			{"rules", e.Rules(), rules},
			{"room", e.RoomID(), room},
			{"carries a room ID", e.CarriesRoomID(), true},
			{"type", e.Type(), "m.room.message"},
			{"state key", key, "é\n"},
			{"is a state event", isState && ok, true},
			{"tuple", tuple, Tuple{"m.room.message", "é\n"}},
			{"is this state", e.IsState("m.room.message", "é\n"), true},
			{"is other state", e.IsState("m.room.message", ""), false},
			{"sender", e.Sender(), id.UserID("@baker:town.test")},
			{"time", e.OriginServerTS(), int64(1404838188000)},
			{"depth", e.Depth(), int64(12)},
			{"prev events", e.PrevEvents(), prev},
			{"auth events", e.AuthEvents(), auth},
			{"redacts", e.Redacts(), id.EventID("")},
			{"membership", e.Membership(), ""},
			{"content", string(e.Content()), `{"body":"Good evening","msgtype":"m.text"}`},
			{"unsigned", string(e.Unsigned()), `{"age":4612}`},
		}
		for _, r := range rows {
			if !reflect.DeepEqual(r.got, r.want) {
				t.Errorf("%s: got %v, want %v", r.name, r.got, r.want)
			}
		}
	})
}

// wantFormatError checks that the error names the field, "" for the whole.
func wantFormatError(t *testing.T, input []byte, err error, field string) {
	t.Helper()
	var format *FormatError
	if !errors.As(err, &format) {
		t.Errorf("%.300s: got error %v, want a FormatError of %q", input, err, field)
		return
	}
	if format.Field != field || format.Reason == "" || !strings.HasPrefix(err.Error(), "invalid event: "+field) {
		t.Errorf("%.300s: error %q is about %q, want %q", input, err, format.Field, field)
	}
}

func TestParseNeedsEachField(t *testing.T) {
	eachVersion(t, 1, lastVersion, func(t *testing.T, version int, rules *roomver.Rules) {
		for name := range message(version) {
			raw := message(version).with(name, "").json()
			_, err := Parse(raw, rules)
			wantFormatError(t, raw, err, name)
			if version >= 12 && name == "room_id" {
				continue // TestParseCreate
			}
			if name != "type" {
				raw = message(version).with("type", `"m.room.create"`).with(name, "").json()
				_, err = Parse(raw, rules)
				wantFormatError(t, raw, err, name)
			}
		}
		for _, optional := range []string{"state_key", "unsigned", "redacts", "origin", "prev_state"} {
			if message(version).parse(t, rules).JSON().Get(optional) != nil {
				t.Errorf("%s was made up", optional)
			}
		}
	})
}

func TestParseNeedsTheRightTypes(t *testing.T) {
	kinds := map[canonjson.Kind][]string{
		canonjson.Null: {"null"}, canonjson.Bool: {"true", "false"}, canonjson.Number: {"0", "-7", "1404838188000"},
		canonjson.String: {`""`, `"12"`}, canonjson.Array: {"[]", `["$a"]`}, canonjson.Object: {"{}", `{"a":1}`},
	}
	want := map[string]canonjson.Kind{
		"auth_events": canonjson.Array, "content": canonjson.Object, "depth": canonjson.Number, "hashes": canonjson.Object,
		"origin_server_ts": canonjson.Number, "prev_events": canonjson.Array, "room_id": canonjson.String,
		"sender": canonjson.String, "signatures": canonjson.Object, "state_key": canonjson.String, "type": canonjson.String,
		"unsigned": canonjson.Object,
	}
	eachVersion(t, 1, lastVersion, func(t *testing.T, version int, rules *roomver.Rules) {
		delete(want, "event_id")
		if version <= 2 {
			want["event_id"] = canonjson.String
		}
		for field, right := range want {
			for kind, values := range kinds {
				for _, value := range values {
					if kind != right {
						raw := message(version).with(field, value).json()
						_, err := Parse(raw, rules)
						wantFormatError(t, raw, err, field)
					}
				}
			}
		}
	})
}

func TestParseTopLevelKinds(t *testing.T) {
	for _, raw := range []string{"null", "true", "7", `"event"`, "[]", `[{"type":"a"}]`} {
		_, err := Parse([]byte(raw), rulesOf(t, "12"))
		wantFormatError(t, []byte(raw), err, "")
	}
}

// long is a JSON string of n bytes between prefix and suffix, of characters of
// two bytes as far as possible.
func long(prefix string, n int, suffix string) string {
	n -= len(prefix) + len(suffix)
	return `"` + prefix + strings.Repeat("é", n/2) + strings.Repeat("x", n%2) + suffix + `"`
}

func TestParseLimits(t *testing.T) {
	const good, syntax = "good", "syntax"
	plainList := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat(`"$e",`, n), ",") + "]" }
	pairList := func(n int) string {
		return "[" + strings.TrimSuffix(strings.Repeat(`["$e:a",{"sha256":"aa"}],`, n), ",") + "]"
	}
	rows := []struct {
		name        string
		first, last int // room versions
		field, raw  string
		want        string // good, syntax or the field that is wrong
	}{
		{"a type of 255 bytes", 1, 12, "type", long("", 255, ""), good},
		{"a type of 256 bytes in 128 characters", 1, 12, "type", long("", 256, ""), "type"},
		{"an empty type", 1, 12, "type", `""`, good},
		{"a state key of 255 bytes", 1, 12, "state_key", long("", 255, ""), good},
		{"a state key of 256 bytes", 1, 12, "state_key", long("", 256, ""), "state_key"},
		{"a state key of 255 bytes that are escaped", 1, 12, "state_key", `"` + strings.Repeat(`\n`, 255) + `"`, good},
		{"a state key of 256 bytes that are escaped", 1, 12, "state_key", `"` + strings.Repeat(`\n`, 256) + `"`, "state_key"},
		{"an empty state key", 1, 12, "state_key", `""`, good},
		{"a sender of 255 bytes", 1, 12, "sender", long("@", 255, ":town.test"), good},
		{"a sender of 256 bytes", 1, 12, "sender", long("@", 256, ":town.test"), "sender"},
		{"a sender without server", 1, 12, "sender", `"@baker"`, "sender"},
		{"a sender with another sigil", 1, 12, "sender", `"!baker:town.test"`, "sender"},
		{"a sender with a NUL", 1, 12, "sender", `"@ba\u0000ker:town.test"`, "sender"},
		{"a sender with a bad server", 1, 12, "sender", `"@baker:town test"`, "sender"},
		{"a historical sender", 1, 12, "sender", `"@Bäcker \"B\":town.test:8448"`, good},
		{"a room ID of 255 bytes", 1, 12, "room_id", long("!", 255, ":town.test"), good},
		{"a room ID of 256 bytes", 1, 12, "room_id", long("!", 256, ":town.test"), "room_id"},
		{"an alias for a room ID", 1, 12, "room_id", `"#square:town.test"`, "room_id"},
		{"a room ID without anything", 1, 12, "room_id", `"!"`, "room_id"},
		{"an event ID of 255 bytes", 1, 2, "event_id", long("$", 255, ":town.test"), good},
		{"an event ID of 256 bytes", 1, 2, "event_id", long("$", 256, ":town.test"), "event_id"},
		{"an event ID without domain", 1, 2, "event_id", `"$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"`, "event_id"},
		{"an event ID with an empty domain", 1, 2, "event_id", `"$loaf:"`, "event_id"},
		{"an event ID with another sigil", 1, 2, "event_id", `"@loaf:town.test"`, "event_id"},
		{"any event ID where none belongs", 3, 12, "event_id", `[1,{"not":"an ID"}]`, good},

		{"no prev event", 1, 12, "prev_events", `[]`, good},
		{"20 prev events", 3, 12, "prev_events", plainList(20), good},
		{"21 prev events", 3, 12, "prev_events", plainList(21), "prev_events"},
		{"20 prev events in pairs", 1, 2, "prev_events", pairList(20), good},
		{"21 prev events in pairs", 1, 2, "prev_events", pairList(21), "prev_events"},
		{"no auth event", 1, 12, "auth_events", `[]`, good},
		{"10 auth events", 3, 12, "auth_events", plainList(10), good},
		{"11 auth events", 3, 12, "auth_events", plainList(11), "auth_events"},
		{"10 auth events in pairs", 1, 2, "auth_events", pairList(10), good},
		{"11 auth events in pairs", 1, 2, "auth_events", pairList(11), "auth_events"},
		{"pairs where plain IDs belong", 3, 12, "prev_events", pairList(1), "prev_events"},
		{"plain IDs where pairs belong", 1, 2, "prev_events", plainList(1), "prev_events"},
		{"a plain ID after a pair", 1, 2, "auth_events", `[["$e:a",{"sha256":"aa"}],"$e:a"]`, "auth_events"},
		{"a pair of one", 1, 2, "prev_events", `[["$e:a"]]`, "prev_events"},
		{"a pair of none", 1, 2, "prev_events", `[[]]`, "prev_events"},
		{"a pair of three", 1, 2, "prev_events", `[["$e:a",{"sha256":"aa"},{}]]`, "prev_events"},
		{"a pair in reverse", 1, 2, "prev_events", `[[{"sha256":"aa"},"$e:a"]]`, "prev_events"},
		{"a pair with a plain hash", 1, 2, "prev_events", `[["$e:a","aa"]]`, "prev_events"},
		{"a pair of an object", 1, 2, "prev_events", `[{"$e:a":{"sha256":"aa"}}]`, "prev_events"},
		{"a reference that is a number", 3, 12, "auth_events", `["$e",7]`, "auth_events"},
		{"a reference that is null", 3, 12, "auth_events", `[null]`, "auth_events"},
		{"a reference that is no event ID", 3, 12, "auth_events", `["e"]`, "auth_events"},
		{"a reference of 256 bytes", 3, 12, "auth_events", "[" + long("$", 256, "") + "]", "auth_events"},
		{"a reference that needs an escape", 3, 12, "auth_events", `["$e\"f"]`, good},

		{"depth 0", 1, 12, "depth", "0", good},
		{"depth 2^53-1", 1, 12, "depth", "9007199254740991", good},
		{"depth 2^53", 1, 5, "depth", "9007199254740992", good},
		{"depth 2^53", 6, 12, "depth", "9007199254740992", syntax},
		{"depth 2^63-1", 1, 5, "depth", "9223372036854775807", good},
		{"depth 2^63", 1, 5, "depth", "9223372036854775808", "depth"},
		{"depth 2^64", 1, 5, "depth", "18446744073709551616", "depth"},
		{"depth -1", 1, 12, "depth", "-1", "depth"},
		{"depth -2^63", 1, 5, "depth", "-9223372036854775808", "depth"},
		{"a depth with a fraction", 1, 5, "depth", "1.5", "depth"},
		{"a depth with a fraction", 6, 12, "depth", "1.5", syntax},
		{"a depth written as a string", 1, 12, "depth", `"12"`, "depth"},
		{"a time before 1970", 1, 12, "origin_server_ts", "-1", good},
		{"a time beyond 64 bits", 1, 5, "origin_server_ts", "9223372036854775808", "origin_server_ts"},
		{"a time with a fraction", 1, 5, "origin_server_ts", "0.5", "origin_server_ts"},

		{"a fraction in content", 1, 5, "content", `{"a":1.5}`, good},
		{"a fraction in content", 6, 12, "content", `{"a":1.5}`, syntax},
		{"an exponent in content", 6, 12, "content", `{"a":1e3}`, syntax},
		{"a large integer in content", 1, 5, "content", `{"a":[123456789012345678901234567890]}`, good},
		{"a large integer in content", 6, 12, "content", `{"a":[-9007199254740992]}`, syntax},
		{"negative zero in content", 6, 12, "content", `{"a":-0}`, syntax},
		{"a large integer in unsigned", 6, 12, "unsigned", `{"age":9007199254740992}`, syntax},
		{"a large integer in signatures", 6, 12, "signatures", `{"a":{"b":9007199254740992}}`, syntax},
		{"a number beyond binary64", 1, 12, "content", `{"a":1e400}`, syntax},
		{"a lone surrogate", 1, 12, "content", `{"a":"\ud800"}`, syntax},
		{"bytes that are not UTF-8", 1, 12, "content", "{\"a\":\"\xff\"}", syntax},
		{"no JSON", 1, 12, "content", `{"a":}`, syntax},
	}
	for _, r := range rows {
		for version := r.first; version <= r.last; version++ {
			t.Run(fmt.Sprintf("%s/v%d", r.name, version), func(t *testing.T) {
				raw := message(version).with(r.field, r.raw).json()
				_, err := Parse(raw, rulesOfNumber(t, version))
				switch r.want {
				case good:
					if err != nil {
						t.Errorf("refused: %v", err)
					}
				case syntax:
					if got := (*canonjson.SyntaxError)(nil); !errors.As(err, &got) {
						t.Errorf("got error %v, want a SyntaxError", err)
					}
				default:
					wantFormatError(t, raw, err, r.want)
				}
			})
		}
	}
}

// padded makes the canonical JSON of an event n bytes long.
func padded(d draft, n int) draft {
	d = d.with("content", `{"body":""}`)
	n -= len(d.json())
	return d.with("content", `{"body":"`+strings.Repeat("é", n/2)+strings.Repeat("x", n%2)+`"}`)
}

func TestParseSizeOfTheWhole(t *testing.T) {
	eachVersion(t, 1, lastVersion, func(t *testing.T, version int, rules *roomver.Rules) {
		d := message(version).with("unsigned", `{"age":1}`)
		if e := padded(d, 65536).parse(t, rules); len(e.JSON()) != 65536 {
			t.Fatalf("the event has %d bytes", len(e.JSON()))
		}
		raw := padded(d, 65537).json()
		_, err := Parse(raw, rules)
		wantFormatError(t, raw, err, "")

		spaced := slices.Concat([]byte(" \n"), padded(d, 65536).json(), []byte("\t"))
		if _, err := Parse(spaced, rules); err != nil {
			t.Errorf("white space was counted: %v", err)
		}
		escaped := []byte(strings.ReplaceAll(string(padded(d, 65536).json()), "é", `\u00e9`))
		if _, err := Parse(escaped, rules); err != nil {
			t.Errorf("escapes were counted that canonical JSON does not have: %v", err)
		}
	})
}

func TestParseCanonicalises(t *testing.T) {
	eachVersion(t, 1, lastVersion, func(t *testing.T, version int, rules *roomver.Rules) {
		d := message(version).with("content", `{"a":[{},"é"],"b":-3}`).with("org.example", `{"kept":[null]}`)
		canonical := d.json()
		want, err := Parse(canonical, rules)
		if err != nil || &want.JSON()[0] != &canonical[0] {
			t.Fatalf("canonical input is not taken over: %v", err)
		}

		messy := []byte(` { "type":"wrong", "depth":null,`)
		for _, name := range slices.Backward(slices.Sorted(maps.Keys(d))) {
			if name == "content" {
				messy = append(messy, `"content":{"b":7,"\u0062" : -3,"a":[{ },"\u00e9"]},`...)
				continue
			}
			// The first letter of each name is escaped.
			messy = fmt.Appendf(messy, "\"\\u%04x%s\"\t:\n%s ,", name[0], name[1:], d[name])
		}
		messy = append(messy[:len(messy)-1], "}\r\n"...)
		got, err := Parse(messy, rules)
		if err != nil {
			t.Fatalf("parsing %s: %v", messy, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %s with ID %s, want %s with ID %s", got.JSON(), got.ID(), want.JSON(), want.ID())
		}
	})
}

func TestParseLenientNumbers(t *testing.T) {
	eachVersion(t, 1, 5, func(t *testing.T, version int, rules *roomver.Rules) {
		e := message(version).with("depth", "12e2").with("content", `{"a":[-0,0.00001,1.50]}`).parse(t, rules)
		if e.Depth() != 1200 || string(e.JSON().Get("depth")) != "1200" {
			t.Errorf("depth %d in %s, want 1200", e.Depth(), e.JSON())
		}
		if got := string(e.Content()); got != `{"a":[0,1e-05,1.5]}` {
			t.Errorf("content %s", got)
		}
	})
}

func TestParseRedacts(t *testing.T) {
	rows := []struct {
		name        string
		first, last int
		eventType   string
		top, inside string // raw JSON of redacts at the top level and in content
		want        id.EventID
	}{
		{"at the top", 1, 10, TypeRedaction, `"$a:b"`, ``, "$a:b"},
		{"at the top, not in content", 1, 10, TypeRedaction, `"$a:b"`, `"$c:d"`, "$a:b"},
		{"not in content", 1, 10, TypeRedaction, ``, `"$c:d"`, ""},
		{"in content", 11, 12, TypeRedaction, ``, `"$c-d"`, "$c-d"},
		{"in content, not at the top", 11, 12, TypeRedaction, `"$a-b"`, `"$c-d"`, "$c-d"},
		{"not at the top", 11, 12, TypeRedaction, `"$a-b"`, ``, ""},
		{"of no event ID", 1, 12, TypeRedaction, `"a"`, `"a"`, ""},
		{"of no string", 1, 12, TypeRedaction, `{"$a":1}`, `["$a"]`, ""},
		{"of an ID that is too long", 1, 12, TypeRedaction, long("$", 256, ""), long("$", 256, ""), ""},
		{"of an ID with an escape", 1, 10, TypeRedaction, `"$\"q"`, ``, `$"q`},
		{"of an ID with an escape", 11, 12, TypeRedaction, ``, `"$\"q"`, `$"q`},
		{"in another type", 1, 12, "m.room.message", `"$a"`, `"$a"`, ""},
		{"in a type that sorts last", 1, 12, "zzz", `"$a"`, `"$a"`, ""},
	}
	for _, r := range rows {
		for version := r.first; version <= r.last; version++ {
			t.Run(fmt.Sprintf("%s/v%d", r.name, version), func(t *testing.T) {
				d := message(version).with("type", string(canonjson.Text(r.eventType))).with("redacts", r.top)
				if r.inside != "" {
					d = d.with("content", `{"redacts":`+r.inside+`}`)
				}
				if got := d.parse(t, rulesOfNumber(t, version)).Redacts(); got != r.want {
					t.Errorf("got %q, want %q", got, r.want)
				}
			})
		}
	}
}

func TestParseCreate(t *testing.T) {
	create := func(version int, room string) draft {
		return message(version).with("type", `"m.room.create"`).with("state_key", `""`).with("prev_events", "[]").
			with("auth_events", "[]").with("room_id", room)
	}
	t.Run("without room ID", func(t *testing.T) {
		e := create(12, "").parse(t, rulesOf(t, "12"))
		if want := id.RoomID("!" + string(e.ID())[1:]); e.RoomID() != want || e.CarriesRoomID() {
			t.Errorf("room %s (carried: %v), want %s", e.RoomID(), e.CarriesRoomID(), want)
		}
	})
	t.Run("with a room ID, for authorization to refuse", func(t *testing.T) {
		e := create(12, `"!other"`).parse(t, rulesOf(t, "12"))
		if e.RoomID() != "!other" || !e.CarriesRoomID() {
			t.Errorf("room %s (carried: %v), want !other", e.RoomID(), e.CarriesRoomID())
		}
	})
	t.Run("with a room ID that is none", func(t *testing.T) {
		raw := create(12, `null`).json()
		_, err := Parse(raw, rulesOf(t, "12"))
		wantFormatError(t, raw, err, "room_id")
	})
	eachVersion(t, 1, 11, func(t *testing.T, version int, rules *roomver.Rules) {
		raw := create(version, "").json()
		_, err := Parse(raw, rules)
		wantFormatError(t, raw, err, "room_id")
	})
	t.Run("another type without room ID", func(t *testing.T) {
		raw := create(12, "").with("type", `"m.room.create "`).json()
		_, err := Parse(raw, rulesOf(t, "12"))
		wantFormatError(t, raw, err, "room_id")
	})
}

func TestMembership(t *testing.T) {
	rows := []struct{ name, eventType, content, want string }{
		{"of a member event", TypeMember, `{"membership":"join"}`, "join"},
		{"with an escape", TypeMember, `{"membership":"jo\"in"}`, `jo"in`},
		{"that nobody knows", TypeMember, `{"membership":"x"}`, "x"},
		{"absent", TypeMember, `{}`, ""},
		{"no string", TypeMember, `{"membership":["join"]}`, ""},
		{"of another event", "m.room.message", `{"membership":"join"}`, ""},
	}
	for _, r := range rows {
		d := message(12).with("type", string(canonjson.Text(r.eventType))).with("content", r.content)
		if got := d.parse(t, rulesOf(t, "12")).Membership(); got != r.want {
			t.Errorf("%s: got %q, want %q", r.name, got, r.want)
		}
	}
}

func TestLoad(t *testing.T) {
	eachVersion(t, 1, lastVersion, func(t *testing.T, version int, rules *roomver.Rules) {
		for _, d := range []draft{message(version), message(version).with("type", `"m.room.create"`)} {
			if version == 12 {
				d = d.with("room_id", `"!x"`)
				if d["type"] == `"m.room.create"` {
					d = d.with("room_id", "")
				}
			}
			want := d.parse(t, rules)
			got, err := Load(want.JSON(), want.ID(), rules)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("loaded %+v, %v; want %+v", got, err, want)
			}
		}
		for _, raw := range []string{
			"", "[]", "{}", string(message(version).with("type", "7").json()), string(message(version).with("content", "").json()),
			string(message(version).with("depth", "9223372036854775808").json()), string(message(version).with("depth", "-1").json()),
		} {
			_, err := Load(canonjson.Value(raw), "$x", rules)
			if got := (*FormatError)(nil); !errors.As(err, &got) {
				t.Errorf("loading %q: got error %v, want a FormatError", raw, err)
			}
		}
	})
}

// TestLoadLimitsDepth: JSON that a store kept has not passed the strict rules
// again.
func TestLoadLimitsDepth(t *testing.T) {
	eachVersion(t, 1, lastVersion, func(t *testing.T, version int, rules *roomver.Rules) {
		_, err := Load(message(version).with("depth", "9007199254740992").json(), "$x", rules)
		if (err != nil) != (version >= 6) {
			t.Errorf("loading depth 2^53: %v", err)
		}
	})
}

func TestWithUnsigned(t *testing.T) {
	e := message(12).with("unsigned", `{"age":1}`).parse(t, rulesOf(t, "12"))
	changed := e.WithUnsigned(canonjson.Value(`{"age":2}`))
	removed := changed.WithUnsigned(nil)
	if string(e.Unsigned()) != `{"age":1}` || string(changed.Unsigned()) != `{"age":2}` || removed.Unsigned() != nil {
		t.Errorf("got %s, then %s, then %s", e.Unsigned(), changed.Unsigned(), removed.Unsigned())
	}
	for _, other := range []*Event{changed, removed} {
		if other.ID() != e.ID() || other.ContentHash() != e.ContentHash() || other.ReferenceHash() != e.ReferenceHash() {
			t.Errorf("unsigned is covered by a hash: %s", other.JSON())
		}
	}
	if !canonjson.IsCanonical(changed.JSON(), canonjson.Strict) || removed.JSON().Get("unsigned") != nil {
		t.Errorf("got %s and %s", changed.JSON(), removed.JSON())
	}
}

func TestParseAll(t *testing.T) {
	rules := rulesOf(t, "12")
	var raw [][]byte
	for i, e := range signedMessages(t, 50) {
		raw = append(raw, e.JSON())
		if i%7 == 3 {
			raw[i] = []byte("{}")
		}
	}
	for i, r := range ParseAll(raw, rules) {
		want, wantErr := Parse(raw[i], rules)
		if (r.Err != nil) != (wantErr != nil) || r.Err == nil && r.Event.ID() != want.ID() {
			t.Errorf("event %d came out as another, or with error %v", i, r.Err)
		}
	}
	if got := ParseAll(nil, rules); len(got) != 0 {
		t.Errorf("nothing gives %v", got)
	}
}
