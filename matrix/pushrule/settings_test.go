package pushrule

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
)

// reload stores settings and reads them back.
func reload(t *testing.T, s Settings) Settings {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var again Settings
	if err := json.Unmarshal(b, &again); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	if got, want := encode(t, again), encode(t, s); got != want {
		t.Errorf("stored %s, read %s", want, got)
	}
	return again
}

func ids(rules []Rule) []string {
	var all []string
	for _, r := range rules {
		all = append(all, r.RuleID)
	}
	return all
}

func TestUserRulesRankBetweenMasterAndDefaults(t *testing.T) {
	s := put(t, Settings{}, Override, "mine", `{"actions":[]}`)
	s = put(t, s, Underride, "low", `{"actions":[]}`)
	rules := s.Ruleset(Default(self))
	if got := ids(rules.Override)[:3]; !slices.Equal(got, []string{Master, "mine", Encrypted}) {
		t.Errorf("override rules begin with %q", got)
	}
	if got := ids(rules.Underride)[:2]; !slices.Equal(got, []string{"low", ".m.rule.call"}) {
		t.Errorf("underride rules begin with %q", got)
	}
	if n := len(rules.Override); n != len(Default(self).Override)+1 {
		t.Errorf("%d override rules", n)
	}
}

// A user edits one field of one rule. Then the server changes its rules.
func TestChangedDefaultsReachWhatTheUserDidNotEdit(t *testing.T) {
	defaults := Default(self)
	s, err := Settings{}.SetEnabled(defaults, Underride, ".m.rule.message", false)
	if err != nil {
		t.Fatal(err)
	}
	s, err = s.SetActions(defaults, Underride, ".m.rule.call", nil)
	if err != nil {
		t.Fatal(err)
	}
	s = reload(t, s)

	changed := Default(self)
	changed.Underride = []Rule{
		newDefault(".m.rule.new", Notify()),
		newDefault(".m.rule.message", Notify(), SetTweak("highlight", nil)).when(EventMatch("type", "m.new")),
		newDefault(".m.rule.call", Notify()),
	}
	rules := s.Ruleset(changed)
	if got := ids(rules.Underride); !slices.Equal(got, []string{".m.rule.new", ".m.rule.message", ".m.rule.call"}) {
		t.Fatalf("got rules %q", got)
	}
	message, call := rules.Underride[1], rules.Underride[2]
	if message.Enabled || len(message.Actions) != 2 || !message.Conditions[0].Get("pattern").Is("m.new") {
		t.Errorf("the message rule is %s", encode(t, message))
	}
	if !call.Enabled || len(call.Actions) != 0 {
		t.Errorf("the call rule is %s", encode(t, call))
	}
	if !changed.Underride[1].Enabled {
		t.Error("the defaults themselves were changed")
	}
}

func TestAnEditOutlivesTheRuleItEdits(t *testing.T) {
	s, err := Settings{}.SetEnabled(Default(self), Override, ".m.rule.reaction", false)
	if err != nil {
		t.Fatal(err)
	}
	if rules := s.Ruleset(Ruleset{}); len(rules.Override) != 0 {
		t.Errorf("rules that the server does not have: %q", ids(rules.Override))
	}
	rules := s.Ruleset(Default(self))
	if rule, err := rules.Rule(Override, ".m.rule.reaction"); err != nil || rule.Enabled {
		t.Errorf("got %v, %v", rule, err)
	}
}

func TestSettingsJSON(t *testing.T) {
	const empty = `{"defaults":{},"rules":{"content":[],"override":[],"room":[],"sender":[],"underride":[]}}`
	if got := encode(t, Settings{}); got != empty {
		t.Errorf("nothing is stored as %s, want %s", got, empty)
	}
	for _, stored := range []string{empty, `{}`, `{"rules":{"override":null},"defaults":null}`} {
		var s Settings
		if err := json.Unmarshal([]byte(stored), &s); err != nil {
			t.Fatal(err)
		}
		if got, want := s.Ruleset(Default(self)), (Settings{}).Ruleset(Default(self)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s gives %s", stored, encode(t, got))
		}
	}

	s := put(t, Settings{}, Content, "cake", `{"actions":["notify"],"pattern":"cake"}`)
	s, err := s.SetActions(Default(self), Underride, ".m.rule.message", nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err = s.SetEnabled(Default(self), Override, Master, true)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"defaults":{".m.rule.master":{"enabled":true},".m.rule.message":{"actions":[]}},` +
		`"rules":{"content":[{"actions":["notify"],"default":false,"enabled":true,"pattern":"cake","rule_id":"cake"}],"override":[],"room":[],"sender":[],"underride":[]}}`
	if got := encode(t, s); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
	reload(t, s)
}

func TestRulesetJSONHasEveryKind(t *testing.T) {
	if got, want := encode(t, Ruleset{Room: []Rule{{RuleID: "!r"}}}),
		`{"content":[],"override":[],"room":[{"actions":[],"default":false,"enabled":false,"rule_id":"!r"}],"sender":[],"underride":[]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	b, err := json.Marshal(Default(self))
	if err != nil {
		t.Fatal(err)
	}
	var again Ruleset
	if err := json.Unmarshal(b, &again); err != nil || !reflect.DeepEqual(again, Default(self)) {
		t.Errorf("the defaults became %s, %v", encode(t, again), err)
	}
}

func TestStoredRulesOfUsersAreNoDefaults(t *testing.T) {
	s := Settings{Rules: Ruleset{Sender: []Rule{{RuleID: "@a:b", Default: true}}}}
	if rules := s.Ruleset(Ruleset{}); rules.Sender[0].Default {
		t.Error("a user's rule passes for a default")
	}
}

func TestEncodingChangesNothing(t *testing.T) {
	rules := Ruleset{Room: []Rule{{RuleID: "!r"}}}
	encode(t, rules)
	if rules.Override != nil || rules.Room[0].Actions != nil {
		t.Errorf("the rules became %+v", rules)
	}
}

// Whatever JSON a stored ruleset holds, it is refused or can be evaluated.
func TestMalformedStoredRules(t *testing.T) {
	for _, stored := range []string{
		`{"rules":{"override":[{}]}}`,
		`{"rules":{"override":[{"enabled":true,"conditions":[null,1,"x",[],{}],"actions":[null,1,[],{},{"set_tweak":1}]}]}}`,
		`{"rules":{"override":[{"enabled":true,"actions":null,"conditions":null}]}}`,
		`{"rules":{"content":[{"enabled":true}],"room":[{"enabled":true,"rule_id":"\ud800"}],"sender":[{"enabled":true},{"enabled":true}]}}`,
		`{"rules":{"underride":[{"enabled":true,"rule_id":".m.rule.master"},{"enabled":true,"rule_id":".m.rule.master"}]}}`,
		`{"defaults":{"x":{"actions":[1]},".m.rule.message":{"actions":[null,{"set_tweak":"sound","value":1},"notify"]}}}`,
		`{"rules":{"override":[{"conditions":[1.5]}]}}`,
		`{"rules":[]}`,
	} {
		var s Settings
		if err := json.Unmarshal([]byte(stored), &s); err != nil {
			continue
		}
		rules := s.Ruleset(Default(self))
		encode(t, rules)
		Compile(rules, self).Evaluate(value(message("", `,"type":"m.room.message"`)), Context{})
	}
}
