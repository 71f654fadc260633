package pushrule

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"parley/matrix/mxerr"
)

func TestSucceed(t *testing.T) {
	const mute = `{"actions":[],"conditions":[{"key":"room_id","kind":"event_match","pattern":"%s"}],"default":false,"enabled":true,"rule_id":"%s"}`
	const quiet = `{"actions":["notify"],"default":false,"enabled":false,"rule_id":"%s"}`
	const other = `{"actions":[],"conditions":[],"default":false,"enabled":true,"rule_id":"z"}`
	rule := func(pattern, about, ruleID string) string { return fmt.Sprintf(pattern, about, ruleID) }
	named := func(ruleID string) string { return fmt.Sprintf(quiet, ruleID) }
	const empty = `"content":[],"override":[],"room":[],"sender":[],"underride":[]`
	for _, tt := range []struct{ name, rules, want string }{
		{"nothing is said about the room", `{"override":[` + rule(mute, "!x:a", "x") + `],"room":[` + named("!x:a") + `]}`,
			`{"content":[],"override":[` + rule(mute, "!x:a", "x") + `],"room":[` + named("!x:a") + `],"sender":[],"underride":[]}`},
		{"no rules", `{}`, `{` + empty + `}`},
		{"a room rule", `{"room":[` + named("!x:a") + `,` + named("!old:a") + `,` + named("!y:a") + `]}`,
			`{"content":[],"override":[],"room":[` + named("!x:a") + `,` + named("!old:a") + `,` + named("!new") + `,` + named("!y:a") + `],"sender":[],"underride":[]}`},
		{"an override that is called like the room", `{"override":[` + rule(mute, "!old:a", "!old:a") + `,` + other + `]}`,
			`{"content":[],"override":[` + rule(mute, "!old:a", "!old:a") + `,` + rule(mute, "!new", "!new") + `,` + other + `],"room":[],"sender":[],"underride":[]}`},
		{"an underride that is called otherwise", `{"underride":[` + rule(mute, "!old:a", "mine") + `]}`,
			`{"content":[],"override":[],"room":[],"sender":[],"underride":[` + rule(mute, "!old:a", "mine") + `,` + rule(mute, "!new", "mine-!new") + `]}`},
		{"what is there for the new room stays", `{"override":[` + rule(mute, "!new", "b") + `,` + rule(mute, "!old:a", "a") + `],"room":[` + named("!new") + `,` + named("!old:a") + `]}`,
			`{"content":[],"override":[` + rule(mute, "!new", "b") + `,` + rule(mute, "!old:a", "a") + `],"room":[` + named("!new") + `,` + named("!old:a") + `],"sender":[],"underride":[]}`},
	} {
		var s Settings
		if err := json.Unmarshal([]byte(`{"rules":`+tt.rules+`}`), &s); err != nil {
			t.Fatal(err)
		}
		before, _ := json.Marshal(s.Rules)
		next, err := s.Succeed("!old:a", "!new")
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got, _ := json.Marshal(next.Rules); string(got) != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.name, got, tt.want)
		}
		if after, _ := json.Marshal(s.Rules); string(after) != string(before) {
			t.Errorf("%s: the settings themselves have changed", tt.name)
		}
		again, err := next.Succeed("!old:a", "!new")
		got, _ := json.Marshal(again.Rules)
		if string(got) != tt.want || err != nil {
			t.Errorf("%s: done again, got %s, %v", tt.name, got, err)
		}
	}
}

func TestSucceedStaysWithinTheLimits(t *testing.T) {
	var s Settings
	for i := range MaxRules {
		s.Rules.Room = append(s.Rules.Room, Rule{RuleID: fmt.Sprintf("!%d:a", i)})
	}
	if _, err := s.Succeed("!0:a", "!new"); !errors.Is(err, mxerr.InvalidParam) {
		t.Errorf("got %v", err)
	}
}
