package event

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"parley/matrix/canonjson"
	"parley/matrix/roomver"
)

func TestAppendClient(t *testing.T) {
	// What every row has beside content, event ID and type.
	frame := func(content, between, room, after string) string {
		return `{"content":` + content + `,"event_id":"EVENT","origin_server_ts":1404838188000` + between +
			room + `,"sender":"@baker:town.test"` + after + `}`
	}
	const square = `,"room_id":"ROOM"`
	rows := []struct {
		name        string
		first, last int
		change      map[string]string
		client      Client
		want        string
	}{
		{"a message", 1, 12, nil, Client{},
			frame(`{"body":"Good evening","msgtype":"m.text"}`, ``, square, `,"type":"m.room.message"`)},
		{"without room", 1, 12, nil, Client{OmitRoomID: true},
			frame(`{"body":"Good evening","msgtype":"m.text"}`, ``, ``, `,"type":"m.room.message"`)},
		{"with unsigned data of ours", 1, 12, map[string]string{"unsigned": `{"age":1}`}, Client{Unsigned: canonjson.Value(`{"transaction_id":"t"}`)},
			frame(`{"body":"Good evening","msgtype":"m.text"}`, ``, square, `,"type":"m.room.message","unsigned":{"transaction_id":"t"}`)},
		{"without unsigned data of others", 1, 12, map[string]string{"unsigned": `{"age":1}`}, Client{},
			frame(`{"body":"Good evening","msgtype":"m.text"}`, ``, square, `,"type":"m.room.message"`)},
		{"state", 1, 12, map[string]string{"type": `"m.room.topic"`, "state_key": `""`, "content": `{}`}, Client{},
			frame(`{}`, ``, square, `,"state_key":"","type":"m.room.topic"`)},
		{"text with escapes", 1, 12, map[string]string{"type": `"a\nb"`, "state_key": `"\"é\\"`, "content": `{"\u0001":"\""}`}, Client{},
			frame(`{"\u0001":"\""}`, ``, square, `,"state_key":"\"é\\","type":"a\nb"`)},
		{"keys of servers", 1, 12, map[string]string{"origin": `"town.test"`, "org.example": `1`, "redacts": `"$a:b"`}, Client{},
			frame(`{"body":"Good evening","msgtype":"m.text"}`, ``, square, `,"type":"m.room.message"`)},

		{"a redaction with the target at the top", 1, 10,
			map[string]string{"type": `"m.room.redaction"`, "content": `{"reason":"spam"}`, "redacts": `"$a:b"`}, Client{},
			frame(`{"reason":"spam","redacts":"$a:b"}`, `,"redacts":"$a:b"`, square, `,"type":"m.room.redaction"`)},
		{"a redaction with the target in content", 11, 12,
			map[string]string{"type": `"m.room.redaction"`, "content": `{"reason":"spam","redacts":"$a-b"}`}, Client{},
			frame(`{"reason":"spam","redacts":"$a-b"}`, `,"redacts":"$a-b"`, square, `,"type":"m.room.redaction"`)},
		{"a redaction with two targets, the upper one counts", 1, 10,
			map[string]string{"type": `"m.room.redaction"`, "content": `{"redacts":"$c:d"}`, "redacts": `"$a:b"`}, Client{},
			frame(`{"redacts":"$a:b"}`, `,"redacts":"$a:b"`, square, `,"type":"m.room.redaction"`)},
		{"a redaction with two targets, the lower one counts", 11, 12,
			map[string]string{"type": `"m.room.redaction"`, "content": `{"redacts":"$c-d"}`, "redacts": `"$a-b"`}, Client{},
			frame(`{"redacts":"$c-d"}`, `,"redacts":"$c-d"`, square, `,"type":"m.room.redaction"`)},
		{"a redaction of an ID with an escape", 1, 10,
			map[string]string{"type": `"m.room.redaction"`, "content": `{}`, "redacts": `"$\"\u0001:b"`}, Client{OmitRoomID: true},
			frame(`{"redacts":"$\"\u0001:b"}`, `,"redacts":"$\"\u0001:b"`, ``, `,"type":"m.room.redaction"`)},
		{"a redaction of nothing", 1, 12, map[string]string{"type": `"m.room.redaction"`, "content": `{"a":1}`}, Client{},
			frame(`{"a":1}`, ``, square, `,"type":"m.room.redaction"`)},
	}
	for _, r := range rows {
		for version := r.first; version <= r.last; version++ {
			t.Run(fmt.Sprintf("%s/v%d", r.name, version), func(t *testing.T) {
				d := maps.Clone(message(version))
				maps.Copy(d, r.change)
				e := d.parse(t, rulesOfNumber(t, version))
				want := strings.NewReplacer("EVENT", string(e.ID()), "ROOM", string(e.RoomID())).Replace(r.want)
				if got := string(e.AppendClient([]byte("before"), r.client)); got != "before"+want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			})
		}
	}
}

func TestAppendClientNamesTheRoomOfCreate(t *testing.T) {
	e := message(12).with("type", `"m.room.create"`).with("room_id", "").with("state_key", `""`).parse(t, rulesOf(t, "12"))
	got := slowObject(t, e.AppendClient(nil, Client{}))
	if want := "!" + string(e.ID())[1:]; got["room_id"] != want || got["event_id"] != string(e.ID()) {
		t.Errorf("shown as %v in %v, want room %s", got["event_id"], got["room_id"], want)
	}
}

func TestAppendClientOfRedacted(t *testing.T) {
	e := message(11).with("unsigned", `{"age":1}`).parse(t, rulesOf(t, "11")).Redacted()
	because := message(11).parse(t, rulesOf(t, "11")).AppendClient([]byte(`{"redacted_because":`), Client{OmitRoomID: true})
	got := e.AppendClient(nil, Client{Unsigned: append(because, '}')})
	if !strings.HasPrefix(string(got), `{"content":{},`) || !canonjson.IsCanonical(got, canonjson.Strict) {
		t.Errorf("got %s", got)
	}
}

func TestAppendStripped(t *testing.T) {
	rows := []struct{ name, eventType, key, content, want string }{
		{"a name", `"m.room.name"`, `""`, `{"name":"Square"}`,
			`{"content":{"name":"Square"},"sender":"@baker:town.test","state_key":"","type":"m.room.name"}`},
		{"a member", `"m.room.member"`, `"@bäcker\":town.test"`, `{"membership":"invite"}`,
			`{"content":{"membership":"invite"},"sender":"@baker:town.test","state_key":"@bäcker\":town.test","type":"m.room.member"}`},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			eachVersion(t, 1, lastVersion, func(t *testing.T, version int, _ *roomver.Rules) {
				e := message(version).with("type", r.eventType).with("state_key", r.key).with("content", r.content).
					with("unsigned", `{"age":1}`).with("origin", `"x"`).parse(t, rulesOfNumber(t, version))
				got := e.AppendStripped([]byte("before"))
				if string(got) != "before"+r.want || !canonjson.IsCanonical(got[len("before"):], canonjson.Strict) {
					t.Errorf("got  %s\nwant %s", got, r.want)
				}
			})
		})
	}
}

// TestClientFormIsTheEvent compares with what encoding/json reads in the event.
func TestClientFormIsTheEvent(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		version := rapid.IntRange(1, lastVersion).Draw(rt, "version")
		event := drawEvent(rt, t, version)
		e, err := Parse(slowEncode(event), rulesOfNumber(t, version))
		if err != nil {
			rt.Fatal(err)
		}
		client := Client{OmitRoomID: rapid.Bool().Draw(rt, "omit room")}
		want := only(event, "content", "origin_server_ts", "room_id", "sender", "state_key", "type")
		want["event_id"], want["room_id"] = string(e.ID()), string(e.RoomID())
		if client.OmitRoomID {
			delete(want, "room_id")
		}
		if rapid.Bool().Draw(rt, "give unsigned") {
			want["unsigned"] = map[string]any{"age": json.Number("3")}
			client.Unsigned = canonjson.Value(`{"age":3}`)
		}
		if target := string(e.Redacts()); target != "" {
			want["redacts"] = target
			want["content"] = without(event["content"].(map[string]any))
			want["content"].(map[string]any)["redacts"] = target
		}
		if got := e.AppendClient(nil, client); string(got) != string(slowEncode(want)) {
			rt.Fatalf("got  %s\nwant %s", got, slowEncode(want))
		}
		if key, ok := event["state_key"]; ok {
			stripped := only(event, "content", "sender", "type")
			stripped["state_key"] = key
			if got := e.AppendStripped(nil); string(got) != string(slowEncode(stripped)) {
				rt.Fatalf("got  %s\nwant %s", got, slowEncode(stripped))
			}
		}
	})
}
