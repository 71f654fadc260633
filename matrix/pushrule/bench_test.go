package pushrule

import (
	"fmt"
	"strings"
	"testing"

	"parley/matrix/canonjson"
)

// userRules are n rules that do not match: mutes of other rooms, as clients
// make them, and keywords, half each.
func userRules(n int) Settings {
	var s Settings
	for i := range n / 2 {
		room := fmt.Sprintf("!room%d:example.org", i)
		s.Rules.Override = append(s.Rules.Override, Rule{
			RuleID: room, Enabled: true, Conditions: []Condition{EventMatch("room_id", room)},
		})
		s.Rules.Content = append(s.Rules.Content, Rule{
			RuleID: fmt.Sprint(i), Enabled: true, Pattern: fmt.Sprintf("keyword%d", i), Actions: []Action{Notify()},
		})
	}
	return s
}

func benchEvent(size int) canonjson.Value {
	return value(fmt.Sprintf(`{"auth_events":["$urlsafe_base64_encoded_eventid_0000000000000000","$urlsafe_base64_encoded_eventid_1111111111111111"],`+
		`"content":{"body":%q,"m.mentions":{},"msgtype":"m.text"},"depth":250,"hashes":{"sha256":"thishashcoversallfieldsincasethisisredacted"},`+
		`"origin_server_ts":1404838188000,"prev_events":["$urlsafe_base64_encoded_eventid_2222222222222222"],"room_id":"!UcYsUzyxTGDxLBEvLy:example.org",`+
		`"sender":"@bob:example.com","type":"m.room.message"}`, strings.Repeat("lorem ipsum dolor ", size/18)))
}

func BenchmarkEvaluate(b *testing.B) {
	for _, rules := range []int{0, 100, 1000} {
		for _, size := range []int{200, 20000} {
			b.Run(fmt.Sprintf("rules=%d/body=%d", rules, size), func(b *testing.B) {
				e := Compile(userRules(rules).Ruleset(Default(self)), self)
				event := benchEvent(size)
				b.ReportAllocs()
				for b.Loop() {
					if e.Evaluate(event, Context{MemberCount: 10}).RuleID != ".m.rule.message" {
						b.Fatal("wrong rule")
					}
				}
			})
		}
	}
}

// The worst a user can do to one event: as many patterns as may be, as long as
// may be, over a body that keeps them busy.
func BenchmarkEvaluateWorst(b *testing.B) {
	rows := []struct{ name, pattern, unit string }{
		{"wildcards", strings.Repeat("a*?", MaxPattern/3), "a"},
		{"literal", "-aa-aa-a", "-aa"},
		{"long literal", strings.Repeat("-aa", MaxPattern/3-1) + "-a", "-aa"},
	}
	for _, r := range rows {
		for _, size := range []int{6000, 60000} {
			b.Run(fmt.Sprintf("%s/body=%d", r.name, size), func(b *testing.B) {
				var rules Ruleset
				for range MaxSearches {
					rules.Content = append(rules.Content, Rule{RuleID: "r", Enabled: true, Pattern: r.pattern + "_"})
				}
				e := Compile(rules, self)
				event := canonjson.Value(nil).With("content", canonjson.Value(nil).With("body", canonjson.Text(strings.Repeat(r.unit, size/len(r.unit)))))
				for b.Loop() {
					if e.Evaluate(event, Context{}).RuleID != "" {
						b.Fatal("matched")
					}
				}
			})
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	for _, rules := range []int{0, 100, 1000} {
		b.Run(fmt.Sprintf("rules=%d", rules), func(b *testing.B) {
			s := userRules(rules)
			b.ReportAllocs()
			for b.Loop() {
				Compile(s.Ruleset(Default(self)), self)
			}
		})
	}
}

func BenchmarkPutRule(b *testing.B) {
	for _, rules := range []int{10, 1000} {
		b.Run(fmt.Sprintf("rules=%d", rules), func(b *testing.B) {
			s := userRules(rules)
			for b.Loop() {
				if _, err := s.PutRule(Override, Rule{RuleID: "r"}, Position{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
