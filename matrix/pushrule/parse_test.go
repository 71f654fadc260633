package pushrule

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"parley/matrix/mxerr"
)

func TestParseRule(t *testing.T) {
	rows := []struct {
		name   string
		kind   Kind
		ruleID string
		body   string
		want   string // the rule as clients get it
	}{
		{
			"the specification's room rule", Room, "!dj234r78wl45Gh4D:matrix.org", `{"actions" : []}`,
			`{"actions":[],"default":false,"enabled":true,"rule_id":"!dj234r78wl45Gh4D:matrix.org"}`,
		},
		{
			"a room without a server in its ID", Room, "!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM", `{"actions":["notify"]}`,
			`{"actions":["notify"],"default":false,"enabled":true,"rule_id":"!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM"}`,
		},
		{
			"the specification's sender rule", Sender, "@spambot:matrix.org", `{"actions" : []}`,
			`{"actions":[],"default":false,"enabled":true,"rule_id":"@spambot:matrix.org"}`,
		},
		{
			"the specification's content rule", Content, "SSByZWFsbHkgbGlrZSBjYWtl", `{"pattern": "cake", "actions" : ["notify", {"set_tweak":"sound", "value":"cakealarm.wav"}]}`,
			`{"actions":["notify",{"set_tweak":"sound","value":"cakealarm.wav"}],"default":false,"enabled":true,"pattern":"cake","rule_id":"SSByZWFsbHkgbGlrZSBjYWtl"}`,
		},
		{
			"the specification's override rule", Override, "U2VlIHlvdSBpbiBUaGUgRHVrZQ",
			`{"conditions": [{"kind": "event_match", "key": "content.body", "pattern": "beer" }, {"kind": "room_member_count", "is": "<=10"}], "actions" : ["notify", {"set_tweak":"sound", "value":"beeroclock.wav"}]}`,
			`{"actions":["notify",{"set_tweak":"sound","value":"beeroclock.wav"}],"conditions":[{"key":"content.body","kind":"event_match","pattern":"beer"},{"is":"<=10","kind":"room_member_count"}],"default":false,"enabled":true,"rule_id":"U2VlIHlvdSBpbiBUaGUgRHVrZQ"}`,
		},
		{
			"conditions may be left out", Underride, "all", `{"actions":["notify"]}`,
			`{"actions":["notify"],"conditions":[],"default":false,"enabled":true,"rule_id":"all"}`,
		},
		{
			"historical actions are dropped", Override, "all", `{"actions":["dont_notify","coalesce"]}`,
			`{"actions":[],"conditions":[],"default":false,"enabled":true,"rule_id":"all"}`,
		},
		{
			"unknown actions are kept", Override, "all", `{"actions":["org.example.dance",{"org.example.flash":[1,{"a":null}]},{"set_tweak":"x","value":{"y":[true]},"more":1}]}`,
			`{"actions":["org.example.dance",{"org.example.flash":[1,{"a":null}]},{"more":1,"set_tweak":"x","value":{"y":[true]}}],"conditions":[],"default":false,"enabled":true,"rule_id":"all"}`,
		},
		{
			"unknown conditions and members of conditions are kept", Override, "c", `{"actions":[],"conditions":[{"kind":"org.example.moon","phase":["full"]},{"kind":"contains_display_name","pattern":"x"}]}`,
			`{"actions":[],"conditions":[{"kind":"org.example.moon","phase":["full"]},{"kind":"contains_display_name","pattern":"x"}],"default":false,"enabled":true,"rule_id":"c"}`,
		},
		{
			"a rule sent back as it was got", Room, "!r:example.org", `{"actions":[],"default":false,"enabled":false,"rule_id":"other","conditions":[],"pattern":null}`,
			`{"actions":[],"default":false,"enabled":true,"rule_id":"!r:example.org"}`,
		},
		{
			"wildcards and operators survive", Content, "p", `{"actions":[],"pattern":"<a*\u0026?>"}`,
			`{"actions":[],"default":false,"enabled":true,"pattern":"<a*&?>","rule_id":"p"}`,
		},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			rule, err := ParseRule(r.kind, r.ruleID, []byte(r.body))
			if err != nil {
				t.Fatal(err)
			}
			if got := encode(t, rule); got != r.want {
				t.Errorf("got\n%s, want\n%s", got, r.want)
			}
		})
	}
}

func TestParseRuleRefuses(t *testing.T) {
	long := strings.Repeat("x", MaxPattern+1)
	condition := func(c string) string { return `{"actions":[],"conditions":[` + c + `]}` }
	rows := []struct {
		name   string
		kind   Kind
		ruleID string
		body   string
		code   mxerr.Code
		says   string
	}{
		{"an unknown kind", "overide", "r", `{"actions":[]}`, mxerr.InvalidParam, "kind"},
		{"no rule ID", Override, "", `{"actions":[]}`, mxerr.MissingParam, "rule_id"},
		{"a rule ID of the server", Override, ".mine", `{"actions":[]}`, mxerr.InvalidParam, "dot"},
		{"a slash in the rule ID", Override, "a/b", `{"actions":[]}`, mxerr.InvalidParam, "slashes"},
		{"a backslash in the rule ID", Content, `a\b`, `{"actions":[],"pattern":"x"}`, mxerr.InvalidParam, "slashes"},
		{"a long rule ID", Override, strings.Repeat("r", MaxRuleID+1), `{"actions":[]}`, mxerr.InvalidParam, "512"},
		{"a room rule about an alias", Room, "#spam:example.org", `{"actions":[]}`, mxerr.InvalidParam, "room ID"},
		{"a sender rule about a name", Sender, "bob", `{"actions":[]}`, mxerr.InvalidParam, "user ID"},
		{"no JSON", Override, "r", `{"actions":`, mxerr.NotJSON, "JSON"},
		{"nothing", Override, "r", ``, mxerr.NotJSON, "JSON"},
		{"a fraction", Override, "r", `{"actions":[{"set_tweak":"x","value":1.5}]}`, mxerr.BadJSON, "integers"},
		{"an array", Override, "r", `[]`, mxerr.BadJSON, "object"},
		{"no actions", Override, "r", `{}`, mxerr.MissingParam, "actions"},
		{"actions that are no array", Override, "r", `{"actions":"notify"}`, mxerr.InvalidParam, "actions"},
		{"null for actions", Override, "r", `{"actions":null}`, mxerr.InvalidParam, "actions"},
		{"an action that is a number", Override, "r", `{"actions":["notify",1]}`, mxerr.InvalidParam, "actions[1]"},
		{"an action after a historical one", Override, "r", `{"actions":["dont_notify",1]}`, mxerr.InvalidParam, "actions[1]"},
		{"a tweak without a name", Override, "r", `{"actions":[{"set_tweak":null}]}`, mxerr.InvalidParam, "actions[0].set_tweak"},
		{"too many actions", Override, "r", `{"actions":["notify"` + strings.Repeat(`,"notify"`, MaxActions) + `]}`, mxerr.InvalidParam, "16"},
		{"conditions that are no array", Override, "r", `{"actions":[],"conditions":{}}`, mxerr.InvalidParam, "conditions"},
		{"too many conditions", Override, "r", condition(`{"kind":"x"}` + strings.Repeat(`,{"kind":"x"}`, MaxConditions)), mxerr.InvalidParam, "32"},
		{"conditions of a room rule", Room, "!r:example.org", condition(`{"kind":"x"}`), mxerr.InvalidParam, "conditions"},
		{"conditions of a content rule", Content, "r", `{"actions":[],"pattern":"x","conditions":[{"kind":"x"}]}`, mxerr.InvalidParam, "conditions"},
		{"a condition that is no object", Override, "r", condition(`{"kind":"x"},"x"`), mxerr.InvalidParam, "conditions[1]"},
		{"a condition without a kind", Override, "r", condition(`{}`), mxerr.MissingParam, "conditions[0].kind"},
		{"a kind that is no string", Override, "r", condition(`{"kind":1}`), mxerr.InvalidParam, "conditions[0].kind"},
		{"event_match without a key", Override, "r", condition(`{"kind":"event_match","pattern":"x"}`), mxerr.MissingParam, "conditions[0].key"},
		{"event_match without a pattern", Override, "r", condition(`{"kind":"event_match","key":"x"}`), mxerr.MissingParam, "conditions[0].pattern"},
		{"a pattern that is no string", Override, "r", condition(`{"kind":"event_match","key":"x","pattern":1}`), mxerr.InvalidParam, "conditions[0].pattern"},
		{"a long pattern in a condition", Override, "r", condition(`{"kind":"event_match","key":"x","pattern":"` + long + `"}`), mxerr.InvalidParam, "conditions[0].pattern"},
		{"a long key", Override, "r", condition(`{"kind":"event_match","key":"` + long + `","pattern":""}`), mxerr.InvalidParam, "conditions[0].key"},
		{"event_property_is without a value", Override, "r", condition(`{"kind":"event_property_is","key":"x"}`), mxerr.MissingParam, "conditions[0].value"},
		{"event_property_is an array", Override, "r", condition(`{"kind":"event_property_is","key":"x","value":[]}`), mxerr.InvalidParam, "conditions[0].value"},
		{"event_property_contains an object", Override, "r", condition(`{"kind":"event_property_contains","key":"x","value":{}}`), mxerr.InvalidParam, "conditions[0].value"},
		{"room_member_count without is", Override, "r", condition(`{"kind":"room_member_count"}`), mxerr.MissingParam, "conditions[0].is"},
		{"room_member_count of a number", Override, "r", condition(`{"kind":"room_member_count","is":2}`), mxerr.InvalidParam, "conditions[0].is"},
		{"room_member_count of words", Override, "r", condition(`{"kind":"room_member_count","is":"few"}`), mxerr.InvalidParam, "conditions[0].is"},
		{"sender_notification_permission without a key", Override, "r", condition(`{"kind":"sender_notification_permission"}`), mxerr.MissingParam, "conditions[0].key"},
		{"a content rule without a pattern", Content, "r", `{"actions":[]}`, mxerr.MissingParam, "pattern"},
		{"a content rule with an empty pattern", Content, "r", `{"actions":[],"pattern":""}`, mxerr.InvalidParam, "pattern"},
		{"a pattern that is null", Content, "r", `{"actions":[],"pattern":null}`, mxerr.InvalidParam, "pattern"},
		{"a long pattern", Content, "r", `{"actions":[],"pattern":"` + long + `"}`, mxerr.InvalidParam, "pattern"},
		{"a pattern of an override rule", Override, "r", `{"actions":[],"pattern":"x"}`, mxerr.InvalidParam, "pattern"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			_, err := ParseRule(r.kind, r.ruleID, []byte(r.body))
			checkError(t, err, r.code, r.says)
		})
	}
}

// checkError checks the code of a refusal, that it has status 400 or is
// M_NOT_FOUND, and that its message says something.
func checkError(t *testing.T, err error, code mxerr.Code, says string) {
	t.Helper()
	var refusal *mxerr.Error
	if !errors.As(err, &refusal) || refusal.Code != code || !strings.Contains(refusal.Message, says) {
		t.Errorf("got error %v, want %s with %q", err, code, says)
		return
	}
	if want := map[bool]int{true: 404, false: 400}[code == mxerr.NotFound]; refusal.Status != want {
		t.Errorf("status %d, want %d", refusal.Status, want)
	}
}

func TestParseActions(t *testing.T) {
	actions, err := ParseActions([]byte(`{"actions":["notify","dont_notify",{"set_tweak":"highlight"}]}`))
	if want := []Action{Notify(), SetTweak("highlight", nil)}; err != nil || !reflect.DeepEqual(actions, want) {
		t.Errorf("got %s, %v; want %s", actions, err, want)
	}
	if actions, err := ParseActions([]byte(`{"actions":[]}`)); err != nil || actions == nil || len(actions) != 0 {
		t.Errorf("got %#v, %v; want an empty slice", actions, err)
	}
	_, err = ParseActions([]byte(`{}`))
	checkError(t, err, mxerr.MissingParam, "actions")
	_, err = ParseActions([]byte(`"notify"`))
	checkError(t, err, mxerr.BadJSON, "object")
}

func TestParseEnabled(t *testing.T) {
	for body, want := range map[string]bool{`{"enabled":true}`: true, `{"enabled": false, "x": 1}`: false} {
		if got, err := ParseEnabled([]byte(body)); err != nil || got != want {
			t.Errorf("%s: got %v, %v", body, got, err)
		}
	}
	_, err := ParseEnabled([]byte(`{}`))
	checkError(t, err, mxerr.MissingParam, "enabled")
	_, err = ParseEnabled([]byte(`{"enabled":"true"}`))
	checkError(t, err, mxerr.InvalidParam, "enabled")
	_, err = ParseEnabled([]byte(`true`))
	checkError(t, err, mxerr.BadJSON, "object")
}

func TestParsedRuleDoesNotShareTheBody(t *testing.T) {
	body := []byte(`{"actions":["notify"],"conditions":[{"kind":"x"}]}`)
	rule, err := ParseRule(Override, "r", body)
	if err != nil {
		t.Fatal(err)
	}
	before := encode(t, rule)
	clear(body)
	if after := encode(t, rule); after != before {
		t.Errorf("%s became %s", before, after)
	}
}

// FuzzParseRule checks that a rule which is accepted can be encoded, sent back,
// stored, and evaluated.
func FuzzParseRule(f *testing.F) {
	f.Add("override", "r", `{"actions":["notify",{"set_tweak":"sound","value":"x"}],"conditions":[{"kind":"event_match","key":"content.body","pattern":"a*b"},{"kind":"room_member_count","is":">=2"}]}`)
	f.Add("content", "r", `{"actions":[],"pattern":"?x*"}`)
	f.Add("sender", "@a:b", `{"actions":[{"a":[]}]}`)
	f.Add("underride", "r", `{"actions":[],"conditions":[{"kind":"event_property_is","key":"a\\.b.c","value":null},{"kind":"new"}]}`)
	event := value(`{"content":{"body":"a b","list":["a",1]},"room_id":"!a:b","sender":"@a:b","type":"m.room.message"}`)
	f.Fuzz(func(t *testing.T, kind, ruleID, body string) {
		rule, err := ParseRule(Kind(kind), ruleID, []byte(body))
		if err != nil {
			if !errors.As(err, new(*mxerr.Error)) {
				t.Errorf("an error without a code: %v", err)
			}
			return
		}
		again, err := ParseRule(Kind(kind), ruleID, []byte(encode(t, rule)))
		if err != nil || !reflect.DeepEqual(again, rule) {
			t.Errorf("sent back: got %v, %v; want %v", again, err, rule)
		}
		settings, err := Settings{}.PutRule(Kind(kind), rule, Position{})
		if err != nil {
			if len(body) < MaxSize {
				t.Errorf("the rule was accepted but not put: %v", err)
			}
			return
		}
		Compile(reload(t, settings).Ruleset(Default(self)), self).Evaluate(event, Context{})
	})
}
