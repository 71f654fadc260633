package pushrule

import (
	"testing"

	"parley/matrix/canonjson"
)

const self = "@alice:example.org"

// value returns JSON written for people as canonical JSON.
func value(s string) canonjson.Value {
	v, err := canonjson.Canonical([]byte(s), canonjson.Lenient)
	if err != nil {
		panic(s + ": " + err.Error())
	}
	return v
}

// holds evaluates a rule with one condition.
func holds(c Condition, event canonjson.Value, ctx Context) bool {
	rules := Ruleset{Override: []Rule{{RuleID: "r", Enabled: true, Conditions: []Condition{c}}}}
	return Compile(rules, self).Evaluate(event, ctx).RuleID == "r"
}

func TestEventMatch(t *testing.T) {
	rows := []struct {
		name, key, pattern, event string
		want                      bool
	}{
		{"the specification's topic", "content.topic", "lunc?*", `{"content":{"topic":"Lunch plans"},"type":"m.room.topic"}`, true},
		{"case does not count", "content.topic", "lunc?*", `{"content":{"topic":"LUNCH"}}`, true},
		{"a leading space counts", "content.topic", "lunc?*", `{"content":{"topic":" lunch"}}`, false},
		{"a question mark needs its character", "content.topic", "lunc?*", `{"content":{"topic":"lunc"}}`, false},
		{"null is no string", "content.topic", "lunc?*", `{"content":{"topic":null}}`, false},
		{"the specification's body", "content.body", "ex*ple", `{"content":{"body":"An example event."}}`, true},
		{"at both ends of the body", "content.body", "ex*ple", `{"content":{"body":"exple"}}`, true},
		{"over words of the body", "content.body", "ex*ple", `{"content":{"body":"An exciting triple-whammy"}}`, true},
		{"within a word of the body", "content.body", "ample", `{"content":{"body":"An example"}}`, false},
		{"only the body is searched for words", "content.topic", "lunch", `{"content":{"topic":"Lunch plans"}}`, false},
		{"a body elsewhere is not", "content.x.body", "a", `{"content":{"x":{"body":"a b"}}}`, false},
		{"a body outside of the content is not", "unsigned.body", "a", `{"unsigned":{"body":"a b"}}`, false},
		{"a property named content.body is not", `content\.body`, "a", `{"content.body":"a b"}`, false},
		{"but matches as a whole", `content\.body`, "a b", `{"content.body":"A b"}`, true},
		{"an absent property", "content.topic", "*", `{"content":{}}`, false},
		{"an absent parent", "content.topic", "*", `{}`, false},
		{"a number is no string", "content.n", "*", `{"content":{"n":1}}`, false},
		{"a parent that is an array", "content.topic", "*", `{"content":["topic"]}`, false},
		{"an empty value matches an empty pattern", "state_key", "", `{"state_key":""}`, true},
		{"an absent value does not", "state_key", "", `{}`, false},
		{"an empty value matches a star", "state_key", "*", `{"state_key":""}`, true},
		{"escaped characters", "content.topic", "say \"hi\"\n\\", `{"content":{"topic":"Say \"Hi\"\n\\"}}`, true},
		{"an escaped key", `content.m\.x.y`, "z", `{"content":{"m.x":{"y":"z"}}}`, true},
		{"a key without escapes does not find a name with a dot", "content.m.x", "z", `{"content":{"m.x":"z"}}`, false},
		{"a key without escapes finds the nested name", "content.m.x", "z", `{"content":{"m":{"x":"z"}}}`, true},
		{"both a property and what is in it can be asked for", "content", "z", `{"content":"z"}`, true},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			if got := holds(EventMatch(r.key, r.pattern), value(r.event), Context{}); got != r.want {
				t.Errorf("%s against %q: %v", r.event, r.pattern, got)
			}
		})
	}
}

func TestEventPropertyIs(t *testing.T) {
	const federate = `content.m\.federate`
	rows := []struct {
		name, key, value, event string
		want                    bool
	}{
		{"the specification's create event", federate, "true", `{"content":{"creator":"@example:example.org","m.federate":true,"room_version":"1"}}`, true},
		{"a string is no boolean", federate, "true", `{"content":{"m.federate":"true"}}`, false},
		{"a number is no boolean", federate, "true", `{"content":{"m.federate":1}}`, false},
		{"false is not true", federate, "true", `{"content":{"m.federate":false}}`, false},
		{"absent is not false", federate, "false", `{"content":{}}`, false},
		{"absent is not null", federate, "null", `{"content":{}}`, false},
		{"null is null", federate, "null", `{"content":{"m.federate":null}}`, true},
		{"integers are equal", "content.n", "-7", `{"content":{"n":-7}}`, true},
		{"the largest integer", "content.n", "9007199254740991", `{"content":{"n":9007199254740991}}`, true},
		{"a fraction equals no integer", "content.n", "1", `{"content":{"n":1.5}}`, false},
		{"strings are equal", "content.s", `"a\"é"`, `{"content":{"s":"a\"\u00e9"}}`, true},
		{"case counts", "content.s", `"a"`, `{"content":{"s":"A"}}`, false},
		{"a pattern is only text", "content.s", `"*"`, `{"content":{"s":"a"}}`, false},
		{"the body is compared as a whole", "content.body", `"a"`, `{"content":{"body":"a b"}}`, false},
		{"an array is not its element", "content.s", `"a"`, `{"content":{"s":["a"]}}`, false},
		{"a plain key does not reach a name with a dot", "content.m.federate", "true", `{"content":{"m.federate":true}}`, false},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			if got := holds(EventPropertyIs(r.key, value(r.value)), value(r.event), Context{}); got != r.want {
				t.Errorf("%s is %s in %s: %v", r.key, r.value, r.event, got)
			}
		})
	}
}

func TestEventPropertyContains(t *testing.T) {
	const aliases = `{"content":{"alias":"#somewhere:localhost","alt_aliases":["#somewhere:example.org","#myroom:example.com"]},"type":"m.room.canonical_alias"}`
	rows := []struct {
		name, value, event string
		want               bool
	}{
		{"the specification's alias", `"#myroom:example.com"`, aliases, true},
		{"part of an element", `":example.com"`, aliases, false},
		{"an empty array", `"a"`, `{"content":{"alt_aliases":[]}}`, false},
		{"a string is no array", `"a"`, `{"content":{"alt_aliases":"a"}}`, false},
		{"an object is no array", `"a"`, `{"content":{"alt_aliases":{"a":"a"}}}`, false},
		{"absent", `"a"`, `{"content":{}}`, false},
		{"compound elements are passed over", `"a"`, `{"content":{"alt_aliases":[["a"],{"a":"a"},"a"]}}`, true},
		{"nested elements do not count", `"a"`, `{"content":{"alt_aliases":[["a"]]}}`, false},
		{"types count", `1`, `{"content":{"alt_aliases":["1",true]}}`, false},
		{"an integer", `1`, `{"content":{"alt_aliases":["1",1]}}`, true},
		{"a boolean", `false`, `{"content":{"alt_aliases":[0,false]}}`, true},
		{"null", `null`, `{"content":{"alt_aliases":[null]}}`, true},
		{"case counts", `"a"`, `{"content":{"alt_aliases":["A"]}}`, false},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			if got := holds(EventPropertyContains("content.alt_aliases", value(r.value)), value(r.event), Context{}); got != r.want {
				t.Errorf("%s in %s: %v", r.value, r.event, got)
			}
		})
	}
}

func TestContainsDisplayName(t *testing.T) {
	rows := []struct {
		name, displayName, event string
		want                     bool
	}{
		{"a name among words", "Alice", `{"content":{"body":"hello alice!"}}`, true},
		{"a name of two words", "Alice B.", `{"content":{"body":"so, alice b., what now"}}`, true},
		{"within a word", "Alice", `{"content":{"body":"malice"}}`, false},
		{"wildcards mean themselves", "A*e", `{"content":{"body":"Alice"}}`, false},
		{"and match themselves", "A*e", `{"content":{"body":"hi a*E"}}`, true},
		{"no name occurs nowhere", "", `{"content":{"body":"hello"}}`, false},
		{"no body", "Alice", `{"content":{"formatted_body":"Alice"}}`, false},
		{"a body that is no string", "Alice", `{"content":{"body":["Alice"]}}`, false},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			c := Condition{value(`{"kind":"contains_display_name"}`)}
			if got := holds(c, value(r.event), Context{DisplayName: r.displayName}); got != r.want {
				t.Errorf("%q in %s: %v", r.displayName, r.event, got)
			}
		})
	}
}

func TestRoomMemberCount(t *testing.T) {
	rows := []struct {
		is   string
		n    int
		want bool
	}{
		{"2", 2, true}, {"2", 3, false}, {"==2", 2, true}, {"==2", 1, false},
		{"<2", 1, true}, {"<2", 2, false}, {">2", 3, true}, {">2", 2, false},
		{"<=10", 10, true}, {"<=10", 11, false}, {">=10", 10, true}, {">=10", 9, false},
		{"007", 7, true},
		{"<99999999999999999999", 5, true}, {"99999999999999999999", 5, false}, {">99999999999999999999", 5, false},
		{">9223372036854775807", 5, false}, {">=0", 0, true},
		// Malformed ones never hold.
		{"", 0, false}, {"=2", 2, false}, {"=>2", 2, false}, {"< 2", 1, false}, {"2 ", 2, false},
		{"-1", 0, false}, {"+2", 2, false}, {"2.0", 2, false}, {"two", 2, false}, {"<", 0, false}, {"<>2", 3, false}, {"2<", 2, false},
	}
	for _, r := range rows {
		if got := holds(RoomMemberCount(r.is), value(`{}`), Context{MemberCount: r.n}); got != r.want {
			t.Errorf("%d members are %q: %v", r.n, r.is, got)
		}
	}
}

func TestSenderNotificationPermission(t *testing.T) {
	levels := func(key string) int64 {
		if key == "room" {
			return 20
		}
		return DefaultNotificationLevel
	}
	rows := []struct {
		name, key string
		ctx       Context
		want      bool
	}{
		{"exactly the level", "room", Context{SenderLevel: 20, NotificationLevel: levels}, true},
		{"less than the level", "room", Context{SenderLevel: 19, NotificationLevel: levels}, false},
		{"another key has its own level", "other", Context{SenderLevel: 20, NotificationLevel: levels}, false},
		{"a key is a name, not a path", `ro\.om`, Context{SenderLevel: 50, NotificationLevel: levels}, true},
		{"50 without power levels", "room", Context{SenderLevel: 50}, true},
		{"49 without power levels", "room", Context{SenderLevel: 49}, false},
		{"a creator may do all", "room", Context{SenderIsCreator: true, NotificationLevel: levels}, true},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			if got := holds(SenderNotificationPermission(r.key), value(`{}`), r.ctx); got != r.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestMalformedAndUnknownConditionsNeverHold(t *testing.T) {
	event := value(`{"content":{"body":"a","n":1,"list":["a"]},"type":"a"}`)
	for _, c := range []string{
		`{}`, `null`, `1`, `"event_match"`, `[]`, `{"kind":1}`,
		`{"kind":"event_match"}`, `{"kind":"event_match","key":"type"}`, `{"kind":"event_match","pattern":"*"}`,
		`{"kind":"event_match","key":"type","pattern":null}`, `{"kind":"event_match","key":["type"],"pattern":"*"}`,
		`{"kind":"event_property_is","key":"content.n"}`, `{"kind":"event_property_is","key":"content.list","value":["a"]}`,
		`{"kind":"event_property_is","key":"content.n","value":1.5}`,
		`{"kind":"event_property_contains","key":"content.list","value":{}}`,
		`{"kind":"room_member_count"}`, `{"kind":"room_member_count","is":0}`,
		`{"kind":"sender_notification_permission"}`,
		`{"kind":"org.example.unknown"}`, `{"kind":""}`,
	} {
		if holds(Condition{value(c)}, event, Context{}) {
			t.Errorf("%s holds", c)
		}
	}
	if holds(Condition{}, event, Context{}) {
		t.Error("no condition at all holds")
	}
}
