package pushrule

import (
	"encoding/json"

	"parley/matrix/canonjson"
	"parley/matrix/glob"
	"parley/matrix/id"
)

// Nobody is a user whom no event can name. What rules compiled for it say of an event
// holds for everybody whom the event does not name: who has not sent it, is not
// mentioned in it, and is not whose membership it changes.
const Nobody id.UserID = "@"

// In returns what of the settings decides anything about the events of a room, less
// what does not matter there, such as the names of rules. Users who differ in what
// they want of other rooms so have the same settings here, and can share an
// [Evaluator]; those with the same Key can.
func (s Settings) In(room id.RoomID) Settings {
	folded := glob.Fold(nil, []byte(room))
	local := Settings{Defaults: s.Defaults}
	silenced := false
	local.Rules.Override, silenced = conditionalIn(folded, s.Rules.Override)
	if silenced { // all that is asked before is whether everything is off
		local.Defaults = nil
		if master, ok := s.Defaults[Master]; ok {
			local.Defaults = map[string]Edit{Master: master}
		}
		return local
	}
	for _, rule := range s.Rules.Content {
		if rule.Enabled {
			local.Rules.Content = append(local.Rules.Content, Rule{Enabled: true, Pattern: rule.Pattern, Actions: rule.Actions})
		}
	}
	for _, rule := range s.Rules.Room {
		if rule.Enabled && rule.RuleID == string(room) {
			local.Rules.Room = []Rule{{RuleID: rule.RuleID, Enabled: true, Actions: rule.Actions}}
			return local // it matches everything that comes so far
		}
	}
	for _, rule := range s.Rules.Sender {
		if rule.Enabled {
			local.Rules.Sender = append(local.Rules.Sender, Rule{RuleID: rule.RuleID, Enabled: true, Actions: rule.Actions})
		}
	}
	local.Rules.Underride, _ = conditionalIn(folded, s.Rules.Underride)
	return local
}

// conditionalIn returns the rules that may match something in a room, up to the
// first that matches everything there, if one does.
func conditionalIn(folded []byte, rules []Rule) (local []Rule, everything bool) {
	for _, rule := range rules {
		if !rule.Enabled {
			continue
		}
		if conditions, ok := conditionsIn(folded, rule.Conditions); ok {
			local = append(local, Rule{Enabled: true, Conditions: conditions, Actions: rule.Actions})
			if len(conditions) == 0 {
				return local, true
			}
		}
	}
	return local, false
}

// conditionsIn returns the conditions that hold for some events of a room and not for
// others; ok is false if one of them holds for none.
func conditionsIn(folded []byte, conditions []Condition) (local []Condition, ok bool) {
	local = []Condition{}
	for _, c := range conditions {
		t, err := c.parse("")
		if err != nil || t.kind == "" {
			return nil, false
		}
		path := splitKey(t.key)
		if t.kind != eventMatch || len(path) != 1 || path[0] != "room_id" {
			local = append(local, c)
		} else if !glob.Compile(t.pattern).Match(folded) {
			return nil, false
		}
	}
	return local, true
}

// Key returns a text that settings have in common if all their rules are the same.
func (s Settings) Key() string {
	text, err := json.Marshal(s)
	if err != nil {
		panic("pushrule: settings are not encoded: " + err.Error()) // they were made of JSON
	}
	return string(text)
}

// Named reports whether a rule that is the user's own asks for the user's name.
func (s Settings) Named() bool {
	for _, rules := range [][]Rule{s.Rules.Override, s.Rules.Underride} {
		for _, rule := range rules {
			for _, c := range rule.Conditions {
				if rule.Enabled && c.Get("kind").Is(containsDisplayName) {
					return true
				}
			}
		}
	}
	return false
}

// Own reports whether there are rules that the user has made, beside those of the
// server.
func (s Settings) Own() bool {
	for _, kind := range kinds {
		if len(s.Rules.Rules(kind)) > 0 {
			return true
		}
	}
	return false
}

// WithMention returns an event of the same form that mentions Nobody, in place of
// whom it does. Rules of the server that are compiled for Nobody say of it what they
// say of the event to those who are mentioned.
func WithMention(event canonjson.Value) canonjson.Value {
	content := event.Get("content")
	mentions := content.Get("m.mentions").With("user_ids", canonjson.Value(`["`+string(Nobody)+`"]`))
	return event.With("content", content.With("m.mentions", mentions))
}
