package event

import (
	"bytes"
	"fmt"
	"testing"

	"parley/matrix/canonjson"
	"parley/matrix/roomver"
)

// A since is what redaction leaves from a room version on, until the next.
type since struct {
	version int
	want    string
}

const (
	everyLevel = `{"ban":1,"events":{"m.room.name":2},"events_default":3,"invite":4,"kick":5,"notifications":{"room":6},` +
		`"redact":7,"state_default":8,"users":{"@a:b":9},"users_default":10,"x":11}`
	levelsV1 = `{"ban":1,"events":{"m.room.name":2},"events_default":3,"kick":5,` +
		`"redact":7,"state_default":8,"users":{"@a:b":9},"users_default":10}`
	levelsV11 = `{"ban":1,"events":{"m.room.name":2},"events_default":3,"invite":4,"kick":5,` +
		`"redact":7,"state_default":8,"users":{"@a:b":9},"users_default":10}`
)

// redactContent returns what redaction leaves of the content of a type.
func redactContent(eventType string, content canonjson.Value, rules *roomver.Rules) canonjson.Value {
	return appendKept(nil, content, rules.Redaction.Content[eventType])
}

func TestRedactContent(t *testing.T) {
	rows := []struct {
		name, eventType, content string
		want                     []since
	}{
		{"a message", "m.room.message", `{"body":"x","membership":"join","redacts":"$a"}`, []since{{1, `{}`}}},
		{"a topic", "m.room.topic", `{"topic":"x"}`, []since{{1, `{}`}}},
		{"the empty type", "", `{"x":1}`, []since{{1, `{}`}}},
		{"empty content", TypeMember, `{}`, []since{{1, `{}`}}},

		{"a create event", TypeCreate, `{"creator":"@a:b","m.federate":false,"room_version":"1"}`,
			[]since{{1, `{"creator":"@a:b"}`}, {11, `{"creator":"@a:b","m.federate":false,"room_version":"1"}`}}},
		{"a create event without creator", TypeCreate, `{"additional_creators":[],"type":"m.space"}`,
			[]since{{1, `{}`}, {11, `{"additional_creators":[],"type":"m.space"}`}}},

		{"a join", TypeMember, `{"avatar_url":"mxc://a/b","displayname":"A","membership":"join"}`, []since{{1, `{"membership":"join"}`}}},
		{"a restricted join", TypeMember, `{"join_authorised_via_users_server":"@a:b","membership":"join"}`,
			[]since{{1, `{"membership":"join"}`}, {9, `{"join_authorised_via_users_server":"@a:b","membership":"join"}`}}},
		{"kept keys of any type", TypeMember, `{"join_authorised_via_users_server":[1],"membership":{"x":null}}`,
			[]since{{1, `{"membership":{"x":null}}`}, {9, `{"join_authorised_via_users_server":[1],"membership":{"x":null}}`}}},
		{"a third-party invite", TypeMember,
			`{"membership":"invite","third_party_invite":{"display_name":"a","signed":{"mxid":"@a:b","token":"t"}}}`,
			[]since{{1, `{"membership":"invite"}`}, {11, `{"membership":"invite","third_party_invite":{"signed":{"mxid":"@a:b","token":"t"}}}`}}},
		{"a third-party invite with odd neighbours", TypeMember,
			`{"third_party_invite":{"":1,"sign":2,"signed":3,"signed ":4},"third_party_invite2":5,"third_party_invit":6}`,
			[]since{{1, `{}`}, {11, `{"third_party_invite":{"signed":3}}`}}},
		{"a third-party invite that is a string", TypeMember, `{"membership":"invite","third_party_invite":"signed"}`,
			[]since{{1, `{"membership":"invite"}`}}},
		{"a third-party invite that is a list", TypeMember, `{"third_party_invite":[{"signed":1}]}`, []since{{1, `{}`}}},
		{"a third-party invite that is null", TypeMember, `{"third_party_invite":null}`, []since{{1, `{}`}}},
		{"signed outside of a third-party invite", TypeMember, `{"signed":{"mxid":"@a:b"}}`, []since{{1, `{}`}}},
		{"a third-party invite of another type", TypeThirdPartyInvite, `{"third_party_invite":{"signed":1},"public_key":"x"}`, []since{{1, `{}`}}},

		{"join rules", TypeJoinRules, `{"allow":[{"room_id":"!a:b"}],"join_rule":"restricted","x":1}`,
			[]since{{1, `{"join_rule":"restricted"}`}, {8, `{"allow":[{"room_id":"!a:b"}],"join_rule":"restricted"}`}}},
		{"join rules without a rule", TypeJoinRules, `{"allow":[]}`, []since{{1, `{}`}, {8, `{"allow":[]}`}}},

		{"power levels", TypePowerLevels, everyLevel, []since{{1, levelsV1}, {11, levelsV11}}},
		{"power levels of the invite alone", TypePowerLevels, `{"invite":0,"notifications":{}}`, []since{{1, `{}`}, {11, `{"invite":0}`}}},
		{"power levels with odd neighbours", TypePowerLevels, `{"\n":1,"\"":2,"\\":3,"ba":4,"ban":5,"ban\n":6,"bans":7,"é":8}`,
			[]since{{1, `{"ban":5}`}}},

		{"aliases", TypeAliases, `{"aliases":["#a:b"],"x":1}`, []since{{1, `{"aliases":["#a:b"]}`}, {6, `{}`}}},
		{"history visibility", TypeHistoryVisibility, `{"history_visibility":"shared","x":1}`, []since{{1, `{"history_visibility":"shared"}`}}},
		{"a redaction", TypeRedaction, `{"reason":"spam","redacts":"$a"}`, []since{{1, `{}`}, {11, `{"redacts":"$a"}`}}},
		{"server ACLs", TypeServerACL, `{"allow":["*"]}`, []since{{1, `{}`}}},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			next := 0
			var want string
			for version := 1; version <= lastVersion; version++ {
				if next < len(r.want) && r.want[next].version == version {
					want = r.want[next].want
					next++
				}
				rules := rulesOfNumber(t, version)
				content := must(canonjson.Canonical([]byte(r.content), canonjson.Strict))
				if got := redactContent(r.eventType, content, rules); string(got) != want {
					t.Errorf("version %d leaves %s, want %s", version, got, want)
				}
				e := message(version).with("type", string(canonjson.Text(r.eventType))).with("content", r.content).parse(t, rules)
				if got := e.Redacted().Content(); string(got) != want {
					t.Errorf("version %d leaves %s in an event, want %s", version, got, want)
				}
			}
		})
	}
}

// must is for inputs that are part of a test.
func must[T any](value T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("bad input of a test: %v", err))
	}
	return value
}

func TestRedactTopLevel(t *testing.T) {
	rows := []struct {
		key  string
		last int // the last version that keeps it
	}{
		{"event_id", 12}, {"state_key", 12},
		{"prev_state", 10}, {"origin", 10}, {"membership", 10},
		{"unsigned", 0}, {"redacts", 0}, {"age_ts", 0}, {"org.example", 0}, {"", 0}, {"Origin", 0}, {"origin ", 0},
		{"origin_server_ts\n", 0}, {"contents", 0}, {"\"content", 0}, {"hash", 0}, {"é", 0},
	}
	eachVersion(t, 1, lastVersion, func(t *testing.T, version int, rules *roomver.Rules) {
		d := message(version)
		for _, r := range rows {
			switch {
			case r.key == "event_id" && version <= 2:
			case r.key == "state_key":
				d = d.with(r.key, `""`)
			default:
				d = d.with(r.key, `{}`)
			}
		}
		e := d.parse(t, rules)
		redacted := e.Redacted()
		for _, r := range rows {
			if got, want := redacted.JSON().Get(r.key) != nil, version <= r.last; got != want {
				t.Errorf("%q is kept: %v, want %v", r.key, got, want)
			}
		}
		for name := range message(version) {
			if name != "content" && !bytes.Equal(redacted.JSON().Get(name), e.JSON().Get(name)) {
				t.Errorf("%s became %s", name, redacted.JSON().Get(name))
			}
		}
		if redacted.ID() != e.ID() || redacted.RoomID() != e.RoomID() || redacted.Unsigned() != nil {
			t.Errorf("the redacted event is %s in %s", redacted.ID(), redacted.RoomID())
		}
		if again := redacted.Redacted(); !bytes.Equal(again.JSON(), redacted.JSON()) {
			t.Errorf("redacting twice gives %s, once %s", again.JSON(), redacted.JSON())
		}
		if string(e.Content()) == `{}` || e.Unsigned() == nil {
			t.Errorf("the original was changed to %s", e.JSON())
		}
	})
}

func TestRedactedRedaction(t *testing.T) {
	eachVersion(t, 1, lastVersion, func(t *testing.T, version int, rules *roomver.Rules) {
		e := message(version).with("type", `"m.room.redaction"`).with("redacts", `"$a:b"`).with("content", `{"redacts":"$a:b"}`).parse(t, rules)
		redacted := e.Redacted()
		if got := redacted.Redacts(); (got != "") != (version >= 11) {
			t.Errorf("a redacted redaction redacts %q", got)
		}
	})
}

func TestRedactedCreateKeepsTheRoom(t *testing.T) {
	e := message(12).with("type", `"m.room.create"`).with("room_id", "").with("state_key", `""`).with("junk", "1").parse(t, rulesOf(t, "12"))
	if redacted := e.Redacted(); redacted.RoomID() != e.RoomID() || redacted.ID() != e.ID() || e.RoomID() == "" {
		t.Errorf("room %s of %s became %s of %s", e.RoomID(), e.ID(), redacted.RoomID(), redacted.ID())
	}
}
