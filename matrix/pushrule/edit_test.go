package pushrule

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"parley/matrix/canonjson"
	"parley/matrix/mxerr"
)

// three has the override rules a, b and c, of which b is disabled.
func three(t *testing.T) Settings {
	t.Helper()
	var s Settings
	for _, ruleID := range []string{"c", "b", "a"} {
		s = put(t, s, Override, ruleID, `{"actions":[]}`)
	}
	s, err := s.SetEnabled(Ruleset{}, Override, "b", false)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPutRulePlaces(t *testing.T) {
	rows := []struct {
		name, ruleID, before, after string
		want                        string
	}{
		{"a new rule is most important", "x", "", "", "xabc"},
		{"before a rule", "x", "b", "", "axbc"},
		{"before the first", "x", "a", "", "xabc"},
		{"after a rule", "x", "", "b", "abxc"},
		{"after the last", "x", "", "c", "abcx"},
		{"between neighbours", "x", "c", "b", "abxc"},
		{"before decides", "x", "c", "a", "abxc"},
		{"also against the order", "x", "a", "c", "xabc"},
		{"a replaced rule stays", "b", "", "", "abc"},
		{"a replaced rule goes up", "c", "a", "", "cab"},
		{"a replaced rule goes down", "a", "", "b", "bac"},
		{"a replaced rule goes to the end", "a", "", "c", "bca"},
		{"a replaced rule before its neighbour", "a", "b", "", "abc"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			s := three(t)
			before := encode(t, s)
			next, err := s.PutRule(Override, Rule{RuleID: r.ruleID, Enabled: true, Default: true, Actions: []Action{Notify()}}, Position{Before: r.before, After: r.after})
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(ids(next.Rules.Override), ""); got != r.want {
				t.Errorf("got %s, want %s", got, r.want)
			}
			rule, err := next.Rules.Rule(Override, r.ruleID)
			if err != nil || len(rule.Actions) != 1 || rule.Default || rule.Enabled != (r.ruleID != "b") {
				t.Errorf("the rule became %s, %v", encode(t, rule), err)
			}
			if after := encode(t, s); after != before {
				t.Errorf("the receiver changed from %s to %s", before, after)
			}
		})
	}
}

func TestEditsRefuse(t *testing.T) {
	defaults := Default(self)
	at := func(ruleID string, p Position) func(Settings) (Settings, error) {
		return func(s Settings) (Settings, error) { return s.PutRule(Override, Rule{RuleID: ruleID}, p) }
	}
	remove := func(kind Kind, ruleID string) func(Settings) (Settings, error) {
		return func(s Settings) (Settings, error) { return s.DeleteRule(defaults, kind, ruleID) }
	}
	enable := func(kind Kind, ruleID string) func(Settings) (Settings, error) {
		return func(s Settings) (Settings, error) { return s.SetEnabled(defaults, kind, ruleID, true) }
	}
	act := func(kind Kind, ruleID string) func(Settings) (Settings, error) {
		return func(s Settings) (Settings, error) { return s.SetActions(defaults, kind, ruleID, nil) }
	}
	rows := []struct {
		name string
		edit func(Settings) (Settings, error)
		code mxerr.Code
		says string
	}{
		{"before an unknown rule", at("x", Position{Before: "y"}), mxerr.Unknown, "before/after rule not found: y"},
		{"after an unknown rule", at("x", Position{After: "y"}), mxerr.Unknown, "before/after rule not found: y"},
		{"before a known after an unknown rule", at("x", Position{Before: "a", After: "y"}), mxerr.Unknown, "y"},
		{"before a rule of the server", at("x", Position{Before: Master}), mxerr.InvalidParam, "before"},
		{"after a rule of the server", at("x", Position{After: Master}), mxerr.InvalidParam, "after"},
		{"before itself", at("a", Position{Before: "a"}), mxerr.InvalidParam, "itself"},
		{"after itself", at("a", Position{After: "a"}), mxerr.InvalidParam, "itself"},
		{"a rule of the server", at(Master, Position{}), mxerr.InvalidParam, "dot"},
		{"a kind that does not exist", func(s Settings) (Settings, error) {
			return s.PutRule("x", Rule{RuleID: "x"}, Position{})
		}, mxerr.InvalidParam, "kind"},
		{"deleting an unknown rule", remove(Override, "x"), mxerr.NotFound, "x"},
		{"deleting a rule of another kind", remove(Underride, "a"), mxerr.NotFound, "a"},
		{"deleting in a kind that does not exist", remove("x", "a"), mxerr.NotFound, "a"},
		{"deleting a rule of the server", remove(Override, Master), mxerr.InvalidParam, "disabled"},
		{"deleting a rule that the server has not", remove(Override, ".m.rule.x"), mxerr.NotFound, ".m.rule.x"},
		{"enabling an unknown rule", enable(Override, "x"), mxerr.NotFound, "x"},
		{"enabling a rule of another kind", enable(Underride, Master), mxerr.NotFound, Master},
		{"enabling a legacy rule", enable(Override, ".m.rule.contains_display_name"), mxerr.NotFound, "display_name"},
		{"enabling in a kind that does not exist", enable("x", "a"), mxerr.NotFound, "a"},
		{"actions of an unknown rule", act(Content, "x"), mxerr.NotFound, "x"},
		{"actions of a legacy rule", act(Content, ".m.rule.contains_user_name"), mxerr.NotFound, "user_name"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			s := three(t)
			before := encode(t, s)
			next, err := r.edit(s)
			checkError(t, err, r.code, r.says)
			if !reflect.DeepEqual(next, Settings{}) || encode(t, s) != before {
				t.Errorf("settings became %s and %s", encode(t, next), encode(t, s))
			}
		})
	}
}

func TestDeletedRuleIsForgotten(t *testing.T) {
	s := three(t)
	next, err := s.DeleteRule(Default(self), Override, "b")
	if err != nil || strings.Join(ids(next.Rules.Override), "") != "ac" || len(s.Rules.Override) != 3 {
		t.Fatalf("got %s, %v", encode(t, next), err)
	}
	next = put(t, next, Override, "b", `{"actions":[]}`)
	if rule, err := next.Rules.Rule(Override, "b"); err != nil || !rule.Enabled {
		t.Errorf("made anew it is %s, %v", encode(t, rule), err)
	}
}

func TestSetEnabledAndActions(t *testing.T) {
	defaults := Default(self)
	for _, ruleID := range []string{"a", ".m.rule.tombstone"} {
		s := three(t)
		next, err := s.SetEnabled(defaults, Override, ruleID, false)
		if err != nil {
			t.Fatal(err)
		}
		next, err = next.SetActions(defaults, Override, ruleID, []Action{SetTweak("sound", canonjson.Text("x"))})
		if err != nil {
			t.Fatal(err)
		}
		rules := reload(t, next).Ruleset(defaults)
		rule, err := rules.Rule(Override, ruleID)
		if err != nil || rule.Enabled || len(rule.Actions) != 1 || rule.Default != reserved(ruleID) {
			t.Errorf("%s became %s, %v", ruleID, encode(t, rule), err)
		}
		rules = s.Ruleset(defaults)
		if rule, err := rules.Rule(Override, ruleID); err != nil || !rule.Enabled {
			t.Errorf("the receiver's %s became %s, %v", ruleID, encode(t, rule), err)
		}
	}
}

func TestLimits(t *testing.T) {
	many := func(n int, ruleID func(i int) string, rule Rule) []Rule {
		rules := make([]Rule, n)
		for i := range rules {
			rules[i] = rule
			rules[i].RuleID = ruleID(i)
		}
		return rules
	}
	number := func(i int) string { return fmt.Sprint(i) }
	large := Rule{Actions: []Action{SetTweak("x", canonjson.Text(strings.Repeat("x", 1000)))}}

	t.Run("rules", func(t *testing.T) {
		s := Settings{Rules: Ruleset{Room: many(MaxRules-1, number, Rule{})}}
		s = put(t, s, Override, "last", `{"actions":[]}`)
		_, err := s.PutRule(Sender, Rule{RuleID: "@a:b"}, Position{})
		checkError(t, err, mxerr.InvalidParam, "5000")
		if _, err := s.PutRule(Override, Rule{RuleID: "last"}, Position{}); err != nil {
			t.Errorf("replacing: %v", err)
		}
	})
	t.Run("searches", func(t *testing.T) {
		s := Settings{Rules: Ruleset{Content: many(MaxSearches, number, Rule{Pattern: "x"})}}
		for _, c := range []Condition{
			EventMatch("content.body", "x"), EventMatch("type", "m.*"),
			EventPropertyContains("content.x", canonjson.Text("x")), {value(`{"kind":"contains_display_name"}`)},
		} {
			_, err := s.PutRule(Override, Rule{RuleID: "r", Conditions: []Condition{c}}, Position{})
			checkError(t, err, mxerr.InvalidParam, "200")
		}
		for _, c := range []Condition{
			EventMatch("content.topic", "x"), EventPropertyIs("content.body", canonjson.Text("x")),
			RoomMemberCount("2"), SenderNotificationPermission("room"), {value(`{"kind":"x"}`)}, {},
		} {
			if _, err := s.PutRule(Override, Rule{RuleID: "r", Conditions: []Condition{c}}, Position{}); err != nil {
				t.Errorf("%s: %v", c, err)
			}
		}
	})
	t.Run("size", func(t *testing.T) {
		s := Settings{Rules: Ruleset{Room: many(MaxSize/1100, number, large)}}
		for i := 0; ; i++ {
			next, err := s.PutRule(Override, Rule{RuleID: fmt.Sprint(i), Actions: large.Actions}, Position{})
			if err != nil {
				checkError(t, err, mxerr.InvalidParam, "1048576")
				break
			}
			s = next
		}
		_, err := s.SetActions(Default(self), Underride, ".m.rule.message", large.Actions)
		checkError(t, err, mxerr.InvalidParam, "1048576")
	})
	t.Run("settings beyond a limit can shrink", func(t *testing.T) {
		s := Settings{Rules: Ruleset{Content: many(MaxRules+10, number, large)}}
		if _, err := s.DeleteRule(Ruleset{}, Content, "3"); err != nil {
			t.Error(err)
		}
		if _, err := s.SetActions(Ruleset{}, Content, "3", nil); err != nil {
			t.Error(err)
		}
		if _, err := s.SetEnabled(Ruleset{}, Content, "3", true); err != nil {
			t.Error(err)
		}
	})
}

// TestEditsAgreeWithModel runs random edits against an ordered list of names
// and a map of what is enabled.
func TestEditsAgreeWithModel(t *testing.T) {
	defaults := Default(self)
	rapid.Check(t, func(rt *rapid.T) {
		var s Settings
		var order []string
		enabled := map[string]bool{Master: false}
		name := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"})
		for range rapid.IntRange(1, 30).Draw(rt, "edits") {
			ruleID := name.Draw(rt, "rule")
			known := slices.Contains(order, ruleID)
			switch rapid.IntRange(0, 3).Draw(rt, "edit") {
			case 0:
				next, err := s.PutRule(Underride, Rule{RuleID: ruleID, Enabled: true}, Position{})
				if err != nil {
					rt.Fatal(err)
				}
				s = next
				if !known {
					order = slices.Insert(order, 0, ruleID)
					enabled[ruleID] = true
				}
			case 1:
				target := name.Draw(rt, "before")
				next, err := s.PutRule(Underride, Rule{RuleID: ruleID, Enabled: true}, Position{Before: target})
				if ok := target != ruleID && slices.Contains(order, target); ok != (err == nil) {
					rt.Fatalf("putting %s before %s: %v", ruleID, target, err)
				}
				if err != nil {
					continue
				}
				s = next
				if !known {
					enabled[ruleID] = true
				}
				order = slices.DeleteFunc(order, func(o string) bool { return o == ruleID })
				order = slices.Insert(order, slices.Index(order, target), ruleID)
			case 2:
				next, err := s.DeleteRule(defaults, Underride, ruleID)
				if known != (err == nil) {
					rt.Fatalf("deleting %s: %v", ruleID, err)
				}
				if known {
					s = next
					order = slices.DeleteFunc(order, func(o string) bool { return o == ruleID })
					delete(enabled, ruleID)
				}
			case 3:
				on := rapid.Bool().Draw(rt, "on")
				kind, ruleID := Underride, ruleID
				if rapid.Bool().Draw(rt, "default") {
					kind, ruleID, known = Override, Master, true
				}
				next, err := s.SetEnabled(defaults, kind, ruleID, on)
				if known != (err == nil) {
					rt.Fatalf("enabling %s: %v", ruleID, err)
				}
				if known {
					s = next
					enabled[ruleID] = on
				}
			}
		}
		rules := reload(t, s).Ruleset(defaults)
		got := make(map[string]bool)
		var gotOrder []string
		for _, r := range rules.Underride {
			if !r.Default {
				gotOrder = append(gotOrder, r.RuleID)
				got[r.RuleID] = r.Enabled
			}
		}
		got[Master] = rules.Override[0].Enabled
		if !slices.Equal(gotOrder, order) || !maps.Equal(got, enabled) {
			rt.Errorf("got %q %v, want %q %v", gotOrder, got, order, enabled)
		}
	})
}
