package event

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

// greeting is a good new event for any room version.
func greeting() Proto {
	return Proto{
		Type:           "m.room.message",
		Sender:         "@baker:town.test",
		RoomID:         "!square:town.test",
		Content:        canonjson.Value(`{"body":"Good evening"}`),
		OriginServerTS: 1404838188000,
		Depth:          12,
		PrevEvents:     []Reference{{ID: "$prev:town.test", Hash: Hash{1}}, {ID: "$prev2:town.test", Hash: Hash{2}}},
		AuthEvents:     []Reference{{ID: "$auth:town.test", Hash: Hash{31: 3}}},
		EventID:        "$loaf:town.test",
	}
}

func TestBuild(t *testing.T) {
	empty, quoted := "", "é\"\n"
	rows := []struct {
		name   string
		change func(*Proto)
	}{
		{"a message", func(*Proto) {}},
		{"state with an empty key", func(p *Proto) { p.Type, p.StateKey = "m.room.topic", &empty }},
		{"state with a key that needs escapes", func(p *Proto) { p.Type, p.StateKey = "a\tb", &quoted }},
		{"no content", func(p *Proto) { p.Content = nil }},
		{"unsigned data", func(p *Proto) { p.Unsigned = canonjson.Value(`{"age":1}`) }},
		{"no references", func(p *Proto) { p.PrevEvents, p.AuthEvents = nil, nil }},
		{"a redaction", func(p *Proto) { p.Type, p.Redacts = TypeRedaction, "$a\"b:town.test" }},
		{"a redaction with a reason", func(p *Proto) {
			p.Type, p.Redacts, p.Content = TypeRedaction, "$a:town.test", canonjson.Value(`{"a":1,"reason":"spam","z":2}`)
		}},
		{"a create event", func(p *Proto) {
			p.Type, p.StateKey, p.PrevEvents, p.AuthEvents = TypeCreate, &empty, nil, nil
		}},
		{"a create event with an escape for a name in content", func(p *Proto) {
			p.Type, p.StateKey, p.Content = TypeCreate, &empty, canonjson.Value(`{"\n":1,"room_version":"x"}`)
		}},
	}
	key := testKey(t)
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			eachVersion(t, 1, lastVersion, func(t *testing.T, version int, rules *roomver.Rules) {
				p := greeting()
				r.change(&p)
				e, err := p.Build(rules, "town.test", key)
				if err != nil {
					t.Fatal(err)
				}
				checkBuilt(t, p, e, version)
				want := slowBuild(p, version)
				slowFinish(t, want, version, "town.test")
				if got := string(e.JSON()); got != string(slowEncode(want)) {
					t.Errorf("got  %s\nwant %s", got, slowEncode(want))
				}
			})
		})
	}
}

func checkBuilt(t *testing.T, p Proto, e *Event, version int) {
	t.Helper()
	checkStored(t, e)
	checkRedacted(t, e, e.Redacted())
	if !e.HashMatches() || !canonjson.IsCanonical(e.JSON(), canonjson.Strict) {
		t.Errorf("hash matches: %v; %s", e.HashMatches(), e.JSON())
	}
	if err := NewVerifier(0).Verify(e, keysOf(testKey(t))); err != nil {
		t.Error(err)
	}
	if got := slowID(slowObject(t, e.JSON()), version); got != string(e.ID()) {
		t.Errorf("ID %s, want %s", e.ID(), got)
	}
	if e.Redacts() != p.Redacts || e.Depth() != p.Depth || len(e.PrevEvents()) != len(p.PrevEvents) {
		t.Errorf("%+v became %s", p, e.JSON())
	}
}

// slowBuild is the event without hashes and signatures.
func slowBuild(p Proto, version int) map[string]any {
	references := func(refs []Reference) any {
		list := []any{}
		for _, r := range refs {
			if version > 2 {
				list = append(list, string(r.ID))
				continue
			}
			list = append(list, []any{string(r.ID), map[string]any{"sha256": base64Of(r.Hash)}})
		}
		return list
	}
	content := map[string]any{}
	if p.Content != nil {
		content = must(decodeObject(p.Content))
	}
	event := map[string]any{
		"type": p.Type, "sender": string(p.Sender), "room_id": string(p.RoomID), "content": content, "depth": p.Depth,
		"origin_server_ts": p.OriginServerTS, "prev_events": references(p.PrevEvents), "auth_events": references(p.AuthEvents),
	}
	if version <= 2 {
		event["event_id"] = string(p.EventID)
	}
	if version >= 12 && p.Type == "m.room.create" {
		delete(event, "room_id")
	}
	if p.StateKey != nil {
		event["state_key"] = *p.StateKey
	}
	if p.Unsigned != nil {
		event["unsigned"] = must(decodeObject(p.Unsigned))
	}
	if p.Redacts != "" && version <= 10 {
		event["redacts"] = string(p.Redacts)
	}
	if p.Redacts != "" && version >= 11 {
		content["redacts"] = string(p.Redacts)
	}
	return event
}

func TestBuildRefuses(t *testing.T) {
	state := strings.Repeat("x", 256)
	rows := []struct {
		name        string
		first, last int
		change      func(*Proto)
		field       string // of the FormatError; "syntax" for a SyntaxError
	}{
		{"no sender", 1, 12, func(p *Proto) { p.Sender = "" }, "sender"},
		{"no room", 1, 12, func(p *Proto) { p.RoomID = "" }, "room_id"},
		{"no event ID", 1, 2, func(p *Proto) { p.EventID = "" }, "event_id"},
		{"an event ID without domain", 1, 2, func(p *Proto) { p.EventID = "$loaf" }, "event_id"},
		{"a long type", 1, 12, func(p *Proto) { p.Type = state }, "type"},
		{"a long state key", 1, 12, func(p *Proto) { p.StateKey = &state }, "state_key"},
		{"21 prev events", 1, 12, func(p *Proto) { p.PrevEvents = many(21) }, "prev_events"},
		{"11 auth events", 1, 12, func(p *Proto) { p.AuthEvents = many(11) }, "auth_events"},
		{"a negative depth", 1, 12, func(p *Proto) { p.Depth = -1 }, "depth"},
		{"content that is a list", 1, 12, func(p *Proto) { p.Content = canonjson.Value(`[]`) }, "content"},
		{"unsigned data that is a list", 1, 12, func(p *Proto) { p.Unsigned = canonjson.Value(`[]`) }, "unsigned"},
		{"a fraction", 1, 12, func(p *Proto) { p.Content = canonjson.Value(`{"a":1.5}`) }, "syntax"},
		{"a large integer", 1, 12, func(p *Proto) { p.Content = canonjson.Value(`{"a":9007199254740992}`) }, "syntax"},
		{"a large integer in unsigned data", 1, 12, func(p *Proto) { p.Unsigned = canonjson.Value(`{"a":9007199254740992}`) }, "syntax"},
		{"a late time", 1, 12, func(p *Proto) { p.OriginServerTS = 1 << 53 }, "origin_server_ts"},
		{"an early time", 1, 12, func(p *Proto) { p.OriginServerTS = -1 << 53 }, "origin_server_ts"},
		{"half an object", 1, 12, func(p *Proto) { p.Content = canonjson.Value(`{"a":`) }, "syntax"},
		{"content that ends the event's own object", 1, 12, func(p *Proto) { p.Content = canonjson.Value(`{},"type":"m.room.create"`) }, "syntax"},
		{"content that is empty", 1, 12, func(p *Proto) { p.Content = canonjson.Value("") }, "syntax"},
		{"members out of order", 1, 12, func(p *Proto) { p.Content = canonjson.Value(`{"b":1,"a":2}`) }, "content"},
		{"white space", 1, 12, func(p *Proto) { p.Unsigned = canonjson.Value(`{ }`) }, "unsigned"},
		{"a target that is no event", 1, 12, func(p *Proto) { p.Type, p.Redacts = TypeRedaction, "nonsense" }, "redacts"},
		{"a target of what is no redaction", 1, 12, func(p *Proto) { p.Redacts = "$e:town.test" }, "redacts"},
		{"content beyond all limits", 1, 12, func(p *Proto) {
			p.Content = canonjson.Value(`{"a":"` + strings.Repeat("x", 70000) + `"}`)
		}, ""},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			eachVersion(t, r.first, r.last, func(t *testing.T, version int, rules *roomver.Rules) {
				p := greeting()
				r.change(&p)
				e, err := p.Build(rules, "town.test", testKey(t))
				if e != nil || err == nil {
					t.Fatalf("built %s", e.JSON())
				}
				var syntax *canonjson.SyntaxError
				var format *FormatError
				switch {
				case r.field == "syntax" && errors.As(err, &syntax):
				case r.field != "syntax" && errors.As(err, &format) && format.Field == r.field:
				default:
					t.Errorf("got error %v, want one about %q", err, r.field)
				}
			})
		})
	}
}

func many(n int) []Reference {
	refs := make([]Reference, n)
	for i := range refs {
		refs[i].ID = "$e:town.test"
	}
	return refs
}

// TestBuildSize: the signature counts.
func TestBuildSize(t *testing.T) {
	eachVersion(t, 1, lastVersion, func(t *testing.T, version int, rules *roomver.Rules) {
		build := func(n int) (*Event, error) {
			p := greeting()
			p.Content = canonjson.Value(`{"body":"` + strings.Repeat("x", n) + `"}`)
			return p.Build(rules, "town.test", testKey(t))
		}
		small, err := build(0)
		if err != nil {
			t.Fatal(err)
		}
		room := 65536 - len(small.JSON())
		if full, err := build(room); err != nil || len(full.JSON()) != 65536 {
			t.Errorf("an event of 65536 bytes: %v", err)
		}
		for _, n := range []int{room + 1, room + 100, room + 200} {
			_, err = build(n)
			wantBuildError(t, err)
		}
	})
}

func wantBuildError(t *testing.T, err error) {
	t.Helper()
	if format := (*FormatError)(nil); !errors.As(err, &format) || format.Field != "" {
		t.Errorf("got error %v, want a FormatError of the whole", err)
	}
}

func TestBuildCutsDepth(t *testing.T) {
	eachVersion(t, 6, lastVersion, func(t *testing.T, _ int, rules *roomver.Rules) {
		p := greeting()
		p.Depth = math.MaxInt64
		e, err := p.Build(rules, "town.test", testKey(t))
		if err != nil {
			t.Fatal(err)
		}
		if e.Depth() != 1<<53-1 {
			t.Errorf("depth %d", e.Depth())
		}
	})
}

func TestBuildChains(t *testing.T) {
	eachVersion(t, 1, lastVersion, func(t *testing.T, version int, rules *roomver.Rules) {
		first, err := greeting().Build(rules, "town.test", testKey(t))
		if err != nil {
			t.Fatal(err)
		}
		p := greeting()
		p.EventID = "$next:town.test"
		p.PrevEvents = []Reference{first.Reference()}
		second, err := p.Build(rules, "town.test", testKey(t))
		if err != nil {
			t.Fatal(err)
		}
		if want := []id.EventID{first.ID()}; !reflect.DeepEqual(second.PrevEvents(), want) {
			t.Errorf("prev events %s, want %s", second.PrevEvents(), want)
		}
		want := `["` + string(first.ID()) + `"]`
		if version <= 2 {
			want = `[["` + string(first.ID()) + `",{"sha256":"` + base64Of(first.ReferenceHash()) + `"}]]`
		}
		if got := second.JSON().Get("prev_events"); !bytes.Equal(got, []byte(want)) {
			t.Errorf("prev events %s, want %s", got, want)
		}
	})
}

func TestBuildCreateMakesTheRoom(t *testing.T) {
	empty := ""
	rules := rulesOf(t, "12")
	p := greeting()
	p.Type, p.StateKey, p.RoomID, p.PrevEvents, p.AuthEvents = TypeCreate, &empty, "", nil, nil
	e, err := p.Build(rules, "town.test", testKey(t))
	if err != nil {
		t.Fatal(err)
	}
	if want := id.RoomID("!" + string(e.ID())[1:]); e.RoomID() != want || e.CarriesRoomID() {
		t.Errorf("room %s (carried: %v), want %s", e.RoomID(), e.CarriesRoomID(), want)
	}
}
