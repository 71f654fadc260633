package pushrule

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// TestRulesThatAreSharedSayTheSame holds what rules of a room that are compiled for
// nobody say against those of the user.
func TestRulesThatAreSharedSayTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSettings(t)
		room, event, about := drawEvent(t)
		if event.Get("sender").Is(self) {
			return
		}
		rules := Proposed{Threads: rapid.Bool().Draw(t, "threads"), Polls: rapid.Bool().Draw(t, "polls")}
		if rules.Threads {
			about.Thread = rapid.SampledFrom([]Thread{NoThread, Unsubscribed, Subscribed}).Draw(t, "thread")
		}
		want := Compile(s.Ruleset(rules.Default(self)), self).Evaluate(event, about)
		local := s.In(id.RoomID(room))
		shared := Compile(local.Ruleset(rules.Default(Nobody)), Nobody)
		if event.Get("content").Get("m.mentions").Get("user_ids") != nil {
			if local.Own() {
				return
			}
			event = WithMention(event)
		}
		got := shared.Evaluate(event, about)
		if got.Notify != want.Notify || got.Highlight != want.Highlight || got.Sound != want.Sound || string(got.Tweaks) != string(want.Tweaks) {
			t.Errorf("%s of %s in %s: got %+v, want %+v", s.Key(), event, room, got, want)
		}
	})
}

func TestWhatOthersShareOfARoom(t *testing.T) {
	mute := func(room string) Rule {
		return Rule{RuleID: room, Enabled: true, Conditions: []Condition{EventMatch("room_id", room)}}
	}
	word := func(ruleID, pattern string) Rule {
		return Rule{RuleID: ruleID, Enabled: true, Pattern: pattern, Actions: []Action{Notify()}}
	}
	off := word("off", "y")
	off.Enabled = false
	named := Rule{RuleID: "n", Enabled: true, Conditions: []Condition{newCondition(containsDisplayName)}}
	rows := []struct {
		name       string
		a, b       Settings
		same       bool
		own, named bool // of a
	}{
		{"nothing, and mutes of other rooms", Settings{Rules: Ruleset{Override: []Rule{mute("!b:x"), mute("!c:x")}}}, Settings{}, true, false, false},
		{"a mute, whatever else", Settings{Rules: Ruleset{Override: []Rule{mute("!b:x"), mute("!a:x")}, Content: []Rule{word("w", "x")}}},
			Settings{Rules: Ruleset{Override: []Rule{mute("!A:x")}}}, true, true, false},
		{"the same keyword", Settings{Rules: Ruleset{Content: []Rule{off, word("1", "x")}}}, Settings{Rules: Ruleset{Content: []Rule{word("2", "x")}}}, true, true, false},
		{"another keyword", Settings{Rules: Ruleset{Content: []Rule{word("1", "x")}}}, Settings{Rules: Ruleset{Content: []Rule{word("1", "y")}}}, false, true, false},
		{"mentions only, whatever comes after", Settings{Rules: Ruleset{Room: []Rule{{RuleID: "!a:x", Enabled: true}}, Sender: []Rule{{RuleID: "@b:x", Enabled: true}}}},
			Settings{Rules: Ruleset{Room: []Rule{{RuleID: "!b:x", Enabled: true}, {RuleID: "!a:x", Enabled: true}}}}, true, true, false},
		{"the name", Settings{Rules: Ruleset{Override: []Rule{named}}}, Settings{Rules: Ruleset{Underride: []Rule{named}}}, false, true, true},
		{"a rule of the server", Settings{Defaults: map[string]Edit{".m.rule.message": {Actions: []Action{}}}}, Settings{}, false, false, false},
	}
	for _, r := range rows {
		a, b := r.a.In("!a:x"), r.b.In("!a:x")
		if same := a.Key() == b.Key(); same != r.same || a.Own() != r.own || a.Named() != r.named {
			t.Errorf("%s: got %s and %s, own %v, named %v", r.name, a.Key(), b.Key(), a.Own(), a.Named())
		}
	}
}

// BenchmarkShare is what it takes to find whom somebody's rules can be shared with.
func BenchmarkShare(b *testing.B) {
	for _, rules := range []int{10, 1000} {
		b.Run(fmt.Sprintf("rules=%d", rules), func(b *testing.B) {
			s := userRules(rules)
			for b.Loop() {
				if s.In("!room3:example.org").Key() == "" {
					b.Fatal("no key")
				}
			}
		})
	}
}

func TestAMentionOfNobody(t *testing.T) {
	got := WithMention(canonjson.Value(`{"content":{"body":"x","m.mentions":{"room":true,"user_ids":["@a:x","@b:x"]}},"type":"t"}`))
	if want := `{"content":{"body":"x","m.mentions":{"room":true,"user_ids":["@"]}},"type":"t"}`; string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
