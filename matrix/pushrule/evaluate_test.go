package pushrule

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"parley/matrix/canonjson"
	"parley/matrix/glob"
)

func TestPrecedence(t *testing.T) {
	const anything = `{"actions":["notify"]}`
	event := value(message("", `,"type":"m.room.message"`))
	// From the least to the most important: each one added wins.
	steps := []struct {
		kind         Kind
		ruleID, body string
	}{
		{Underride, "under 2", anything},
		{Underride, "under 1", anything},
		{Sender, "@bob:example.org", anything},
		{Room, "!636q39766251:example.com", anything},
		{Content, "there", `{"actions":["notify"],"pattern":"there"}`},
		{Content, "hello", `{"actions":["notify"],"pattern":"hello"}`},
		{Override, "over 2", anything},
		{Override, "over 1", anything},
	}
	s := Settings{}
	for _, step := range steps {
		s = put(t, s, step.kind, step.ruleID, step.body)
		got := Compile(s.Ruleset(Default(self)), self).Evaluate(event, Context{})
		if got.Kind != step.kind || got.RuleID != step.ruleID {
			t.Errorf("after adding %s %q the rule is %s %q", step.kind, step.ruleID, got.Kind, got.RuleID)
		}
	}
	for _, step := range slices.Backward(steps) {
		got := Compile(s.Ruleset(Default(self)), self).Evaluate(event, Context{})
		if got.Kind != step.kind || got.RuleID != step.ruleID {
			t.Errorf("before disabling %s %q the rule is %s %q", step.kind, step.ruleID, got.Kind, got.RuleID)
		}
		var err error
		if s, err = s.SetEnabled(Ruleset{}, step.kind, step.ruleID, false); err != nil {
			t.Fatal(err)
		}
	}
	if got := Compile(s.Ruleset(Default(self)), self).Evaluate(event, Context{}); got.RuleID != ".m.rule.message" {
		t.Errorf("with all disabled the rule is %q", got.RuleID)
	}
}

func TestPredefinedConditions(t *testing.T) {
	rows := []struct {
		name   string
		kind   Kind
		ruleID string
		event  string
		want   bool
	}{
		{"the room", Room, "!r:b", `{"room_id":"!r:b"}`, true},
		{"another room", Room, "!r:b", `{"room_id":"!r:c"}`, false},
		{"case counts in rooms", Room, "!r:b", `{"room_id":"!R:b"}`, false},
		{"no room", Room, "!r:b", `{}`, false},
		{"a room that is no string", Room, "!r:b", `{"room_id":["!r:b"]}`, false},
		{"a room in the content", Room, "!r:b", `{"content":{"room_id":"!r:b"}}`, false},
		{"a room ID that JSON escapes", Room, "!\n\":b", `{"room_id":"!\n\":b"}`, true},
		{"wildcards mean themselves", Room, "!*:b", `{"room_id":"!r:b"}`, false},
		{"the sender", Sender, "@u:b", `{"sender":"@u:b"}`, true},
		{"another sender", Sender, "@u:b", `{"sender":"@v:b"}`, false},
		{"case counts in users", Sender, "@u:b", `{"sender":"@U:b"}`, false},
		{"no sender", Sender, "@u:b", `{}`, false},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			s := put(t, Settings{}, r.kind, r.ruleID, `{"actions":["notify"]}`)
			got := Compile(s.Rules, self).Evaluate(value(r.event), Context{})
			if got.Notify != r.want {
				t.Errorf("%s: %+v", r.event, got)
			}
		})
	}
}

func TestResult(t *testing.T) {
	rows := []struct {
		name, actions string
		want          Result
	}{
		{"no actions", `[]`, Result{}},
		{"a historical action does nothing", `["dont_notify"]`, Result{}},
		{"historical actions change nothing", `["coalesce","notify","dont_notify"]`, Result{Notify: true}},
		{"an unknown action does nothing", `["dance",{"dance":1}]`, Result{}},
		{"notify", `["notify"]`, Result{Notify: true}},
		{"a highlight without value", `["notify",{"set_tweak":"highlight"}]`, Result{Notify: true, Highlight: true, Tweaks: value(`{"highlight":true}`)}},
		{"a highlight", `["notify",{"set_tweak":"highlight","value":true}]`, Result{Notify: true, Highlight: true, Tweaks: value(`{"highlight":true}`)}},
		{"no highlight", `["notify",{"set_tweak":"highlight","value":false}]`, Result{Notify: true, Tweaks: value(`{"highlight":false}`)}},
		{"a highlight that is text", `["notify",{"set_tweak":"highlight","value":"true"}]`, Result{Notify: true, Tweaks: value(`{"highlight":"true"}`)}},
		{"a sound", `[{"set_tweak":"sound","value":"bing"},"notify"]`, Result{Notify: true, Sound: "bing", Tweaks: value(`{"sound":"bing"}`)}},
		{"a sound that is no text", `["notify",{"set_tweak":"sound","value":1}]`, Result{Notify: true, Tweaks: value(`{"sound":1}`)}},
		{"a tweak of one's own", `["notify",{"set_tweak":"flash","value":{"hz":[3]}}]`, Result{Notify: true, Tweaks: value(`{"flash":{"hz":[3]}}`)}},
		{"a tweak of one's own without value", `["notify",{"set_tweak":"flash"}]`, Result{Notify: true, Tweaks: value(`{"flash":null}`)}},
		{"the last of two counts", `["notify",{"set_tweak":"sound","value":"a"},{"set_tweak":"sound","value":"b"}]`, Result{Notify: true, Sound: "b", Tweaks: value(`{"sound":"b"}`)}},
		{"tweaks need a notification", `[{"set_tweak":"sound","value":"bing"},{"set_tweak":"highlight"}]`, Result{}},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			// Stored rules may have historical actions, so this goes past ParseRule.
			rule := Rule{RuleID: "r", Enabled: true}
			if err := json.Unmarshal([]byte(r.actions), &rule.Actions); err != nil {
				t.Fatal(err)
			}
			got := Compile(Ruleset{Underride: []Rule{rule}}, self).Evaluate(value(`{}`), Context{})
			for _, action := range got.Actions {
				if action.historical() {
					t.Errorf("action %s", action)
				}
			}
			got.Actions = nil
			r.want.Kind, r.want.RuleID = Underride, "r"
			if !reflect.DeepEqual(got, r.want) {
				t.Errorf("got %+v, want %+v", got, r.want)
			}
		})
	}
}

func TestRulesOverManyProperties(t *testing.T) {
	var conditions []Condition
	event := canonjson.Value(`{}`)
	for i := range MaxConditions {
		name := fmt.Sprintf("p%d", i)
		conditions = append(conditions, EventMatch(name, name+"*"))
		event = event.With(name, canonjson.Text(strings.ToUpper(name)+strings.Repeat("x", 50)))
	}
	e := Compile(Ruleset{Override: []Rule{{RuleID: "r", Enabled: true, Conditions: conditions}}}, self)
	if got := e.Evaluate(event, Context{}); got.RuleID != "r" {
		t.Errorf("%s did not match", event)
	}
	if got := e.Evaluate(event.Without("p31"), Context{}); got.RuleID != "" {
		t.Errorf("%s matched", event)
	}
}

// An event that is not UTF-8 cannot come out of package canonjson, but folding
// makes it longer than the buffer that its length fits into.
func TestTextThatGrowsWhenFolded(t *testing.T) {
	event := canonjson.Value(`{"content":{"body":"` + strings.Repeat("\xff", 400) + ` a"}}`)
	if !holds(EventMatch("content.body", "a"), event, Context{}) {
		t.Error("the word at the end was not found")
	}
}

// naive is evaluation by the words of the specification, without preparation,
// over what encoding/json makes of an event.
func naive(rules Ruleset, user string, event map[string]any, ctx Context) (Kind, string) {
	if event["sender"] == user {
		return "", ""
	}
	for _, kind := range kinds {
		for _, rule := range rules.Rules(kind) {
			if rule.Enabled && naiveRule(kind, rule, event, ctx) {
				return kind, rule.RuleID
			}
		}
	}
	return "", ""
}

func naiveRule(kind Kind, rule Rule, event map[string]any, ctx Context) bool {
	switch kind {
	case Room:
		return event["room_id"] == rule.RuleID
	case Sender:
		return event["sender"] == rule.RuleID
	case Content:
		body, ok := naiveLookup(event, "content.body").(string)
		return ok && glob.CompileWords(rule.Pattern).Match(folded(body))
	}
	for _, c := range rule.Conditions {
		var m map[string]any
		if json.Unmarshal(c.Value, &m) != nil || !naiveHolds(m, event, ctx) {
			return false
		}
	}
	return true
}

func folded(s string) []byte { return glob.Fold(nil, []byte(s)) }

// absent is what naiveLookup finds when there is nothing.
type absent struct{}

func naiveLookup(event map[string]any, key string) any {
	const dot, backslash = "\x01", "\x02"
	key = strings.NewReplacer(`\\`, backslash, `\.`, dot).Replace(key)
	var v any = event
	for name := range strings.SplitSeq(key, ".") {
		name = strings.NewReplacer(backslash, `\`, dot, ".").Replace(name)
		m, _ := v.(map[string]any)
		next, ok := m[name]
		if !ok {
			return absent{}
		}
		v = next
	}
	return v
}

func naiveHolds(c, event map[string]any, ctx Context) bool {
	key, _ := c["key"].(string)
	switch c["kind"] {
	case "event_match":
		text, ok := naiveLookup(event, key).(string)
		pattern, _ := c["pattern"].(string)
		if key == "content.body" {
			return ok && glob.CompileWords(pattern).Match(folded(text))
		}
		return ok && glob.Compile(pattern).Match(folded(text))
	case "event_property_is":
		found := naiveLookup(event, key)
		if _, ok := found.(absent); ok {
			return false
		}
		return reflect.DeepEqual(found, c["value"])
	case "event_property_contains":
		list, _ := naiveLookup(event, key).([]any)
		return slices.ContainsFunc(list, func(x any) bool { return reflect.DeepEqual(x, c["value"]) })
	case "contains_display_name":
		body, ok := naiveLookup(event, "content.body").(string)
		return ok && ctx.DisplayName != "" && glob.ContainsWords(folded(body), folded(ctx.DisplayName))
	case "room_member_count":
		is, _ := c["is"].(string)
		n, _ := strconv.Atoi(strings.TrimLeft(is, "<>="))
		switch strings.TrimRight(is, "0123456789") {
		case "<":
			return ctx.MemberCount < n
		case ">":
			return ctx.MemberCount > n
		case "<=":
			return ctx.MemberCount <= n
		case ">=":
			return ctx.MemberCount >= n
		}
		return ctx.MemberCount == n
	case "sender_notification_permission":
		return ctx.SenderIsCreator || ctx.SenderLevel >= ctx.NotificationLevel(key)
	}
	return false
}

func TestEvaluationAgreesWithNaive(t *testing.T) {
	word := rapid.SampledFrom([]string{"a", "b", "A", "a b", "ba", "", "a*", "?", "*b", "é", "\"\\\n"})
	key := rapid.SampledFrom([]string{
		"type", "state_key", "content", "content.body", `content\.body`, "content.x", "content.x.y",
		`content.x\.y`, `content.x\\y`, `content.x\y`, "content.list", "", "content..y",
	})
	scalar := rapid.Custom(func(t *rapid.T) canonjson.Value {
		return rapid.OneOf(rapid.SampledFrom([]canonjson.Value{
			value("1"), value("0"), value("true"), value("false"), value("null"),
		}), rapid.Map(word, canonjson.Text)).Draw(t, "scalar")
	})
	condition := rapid.Custom(func(t *rapid.T) Condition {
		switch rapid.IntRange(0, 6).Draw(t, "condition") {
		case 0, 1:
			return EventMatch(key.Draw(t, "key"), word.Draw(t, "pattern"))
		case 2:
			return EventPropertyIs(key.Draw(t, "key"), scalar.Draw(t, "value"))
		case 3:
			return EventPropertyContains(key.Draw(t, "key"), scalar.Draw(t, "value"))
		case 4:
			return RoomMemberCount(rapid.StringMatching(`(|==|<|>|<=|>=)[0-3]`).Draw(t, "is"))
		case 5:
			return SenderNotificationPermission(rapid.SampledFrom([]string{"room", "x"}).Draw(t, "key"))
		}
		return Condition{value(rapid.SampledFrom([]string{
			`{"kind":"contains_display_name"}`, `{"kind":"unknown"}`,
		}).Draw(t, "other"))}
	})
	user := rapid.SampledFrom([]string{"@a:b", "@b:b", "@c:b"})
	room := rapid.SampledFrom([]string{"!a:b", "!b:b"})
	rules := func(t *rapid.T, kind Kind, ruleID *rapid.Generator[string]) []Rule {
		list := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Rule {
			r := Rule{Enabled: rapid.IntRange(0, 3).Draw(t, "enabled") > 0, RuleID: ruleID.Draw(t, "id")}
			if kind == Content {
				r.Pattern = word.Draw(t, "pattern")
			}
			if kind.conditional() {
				r.Conditions = rapid.SliceOfN(condition, 1, 3).Draw(t, "conditions")
			}
			return r
		}), 0, 4).Draw(t, string(kind))
		seen := make(map[string]bool)
		return slices.DeleteFunc(list, func(r Rule) bool { // IDs are unique
			duplicate := seen[r.RuleID]
			seen[r.RuleID] = true
			return duplicate
		})
	}
	anyID := rapid.StringMatching(`[a-z]{4}`)
	content := rapid.Custom(func(t *rapid.T) canonjson.Value {
		v := canonjson.Value(`{}`)
		for _, name := range []string{"body", "x", "x.y", `x\y`, "list", ""} {
			switch rapid.IntRange(0, 4).Draw(t, name) {
			case 0:
				v = v.With(name, scalar.Draw(t, "value"))
			case 1:
				v = v.With(name, canonjson.Text(word.Draw(t, "text")))
			case 2:
				v = v.With(name, canonjson.Value(nil).With("y", scalar.Draw(t, "value")))
			case 3:
				list, err := canonjson.Marshal(rapid.SliceOfN(scalar, 0, 3).Draw(t, "list"))
				if err != nil {
					t.Fatal(err)
				}
				v = v.With(name, list)
			}
		}
		return v
	})
	rapid.Check(t, func(t *rapid.T) {
		set := Ruleset{
			Override:  rules(t, Override, anyID),
			Content:   rules(t, Content, anyID),
			Room:      rules(t, Room, room),
			Sender:    rules(t, Sender, user),
			Underride: rules(t, Underride, anyID),
		}
		event := canonjson.Value(nil).
			With("content", content.Draw(t, "content")).
			With("room_id", canonjson.Text(room.Draw(t, "room"))).
			With("sender", canonjson.Text(user.Draw(t, "sender"))).
			With("type", canonjson.Text(word.Draw(t, "type"))).
			With("content.body", scalar.Draw(t, "content.body"))
		if rapid.Bool().Draw(t, "state") {
			event = event.With("state_key", scalar.Draw(t, "state_key"))
		}
		ctx := Context{
			MemberCount: rapid.IntRange(0, 3).Draw(t, "members"),
			// Without wildcards, which a display name does not have.
			DisplayName:       rapid.SampledFrom([]string{"", "a", "B", "é"}).Draw(t, "name"),
			SenderLevel:       rapid.Int64Range(0, 2).Draw(t, "level"),
			SenderIsCreator:   rapid.IntRange(0, 5).Draw(t, "creator") == 0,
			NotificationLevel: func(key string) int64 { return int64(len(key) % 3) },
		}
		var decoded map[string]any
		if err := json.Unmarshal(event, &decoded); err != nil {
			t.Fatal(err)
		}
		kind, ruleID := naive(set, "@a:b", decoded, ctx)
		got := Compile(set, "@a:b").Evaluate(event, ctx)
		if got.Kind != kind || got.RuleID != ruleID {
			t.Errorf("%s: got %s %q, want %s %q", event, got.Kind, got.RuleID, kind, ruleID)
		}
	})
}

func FuzzEvaluate(f *testing.F) {
	s := Settings{Rules: Ruleset{
		Override: []Rule{
			{RuleID: "a", Enabled: true, Conditions: []Condition{EventMatch("content", "*"), EventMatch("content.body", "x?*")}},
			{RuleID: "b", Enabled: true, Conditions: []Condition{EventPropertyContains(`content.a\.b`, canonjson.Text("\n"))}},
			{RuleID: "c", Enabled: true, Conditions: []Condition{{value(`{"kind":"contains_display_name"}`)}}},
		},
		Content: []Rule{{RuleID: "d", Enabled: true, Pattern: "y"}, {RuleID: "e", Enabled: true, Pattern: "\\"}},
		Room:    []Rule{{RuleID: "!r", Enabled: true}},
	}}
	e := Compile(s.Ruleset(Default(self)), self)
	f.Add([]byte(message(`,"m.mentions":{"user_ids":["@alice:example.org"],"room":true}`, `,"type":"m.room.message"`)), "Alice")
	f.Add([]byte(`{"content":{"body":"\u0000\"y\\","a.b":[[],{},"\n"]},"sender":{"sender":1}}`), "")
	f.Add([]byte(`[{"content":null}]`), "\xff")
	f.Fuzz(func(t *testing.T, src []byte, displayName string) {
		event, err := canonjson.Canonical(src, canonjson.Lenient)
		if err != nil {
			return
		}
		ctx := Context{MemberCount: 2, DisplayName: displayName}
		first := e.Evaluate(event, ctx)
		if again := e.Evaluate(event, ctx); !reflect.DeepEqual(first, again) {
			t.Errorf("first %+v, then %+v", first, again)
		}
		if event.Get("sender").Is(self) && first.RuleID != "" {
			t.Errorf("the user's own event matched %s", first.RuleID)
		}
	})
}
