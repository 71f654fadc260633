package pushrule

import "encoding/json"

// Settings is what one user changed about push rules: all that has to be
// stored. The zero value is a user who changed nothing. Its JSON is
//
//	{
//	  "rules": {"override": [...], "content": [...], "room": [...], "sender": [...], "underride": [...]},
//	  "defaults": {".m.rule.master": {"enabled": true}, ".m.rule.message": {"actions": []}}
//	}
//
// The methods that edit return changed settings and leave the receiver as it
// was; both may share memory, so treat it as immutable.
type Settings struct {
	// Rules are those the user made, in order of importance.
	Rules Ruleset `json:"rules"`
	// Defaults are the edits to rules of the server, by rule ID, which is
	// unique among them beyond its kind. An edit stays when the server stops
	// having the rule, and applies again if it comes back.
	Defaults map[string]Edit `json:"defaults"`
}

// An Edit is what a user set of a rule of the server. What was not set follows
// the server's rule, also when that changes; what was set stays, even if it is
// what the server's rule says at present.
type Edit struct {
	// Actions is nil if they were not set, and empty if they were set to none.
	Actions []Action `json:"actions,omitzero"`
	// Enabled is nil if it was not set.
	Enabled *bool `json:"enabled,omitempty"`
}

// MarshalJSON writes an object for Defaults, empty if need be.
func (s Settings) MarshalJSON() ([]byte, error) {
	if s.Defaults == nil {
		s.Defaults = map[string]Edit{}
	}
	type plain Settings
	return json.Marshal(plain(s))
}

// Ruleset combines the user's settings with the rules of the server: what
// clients are shown and what is evaluated. In each kind the user's rules come
// before the server's, except that Master is before all.
func (s Settings) Ruleset(defaults Ruleset) Ruleset {
	var combined Ruleset
	for _, kind := range kinds {
		own, given := s.Rules.Rules(kind), defaults.Rules(kind)
		rules := make([]Rule, 0, len(own)+len(given))
		if i := indexRule(given, Master); i >= 0 && kind == Override {
			rules = append(rules, s.edited(given[i]))
		}
		for _, rule := range own {
			rule.Default = false
			rules = append(rules, rule)
		}
		for _, rule := range given {
			if rule.RuleID != Master || kind != Override {
				rules = append(rules, s.edited(rule))
			}
		}
		*combined.list(kind) = rules
	}
	return combined
}

// edited returns a rule of the server as the user has it.
func (s Settings) edited(rule Rule) Rule {
	edit := s.Defaults[rule.RuleID]
	if edit.Enabled != nil {
		rule.Enabled = *edit.Enabled
	}
	if edit.Actions != nil {
		rule.Actions = edit.Actions
	}
	return rule
}
