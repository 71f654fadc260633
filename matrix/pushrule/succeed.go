package pushrule

import (
	"slices"
	"strings"

	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// Succeed returns the settings with a copy, for another room, of each rule that
// the user made for one: the room rule with its ID, and the override and underride
// rules with a condition that names it. A copy stands directly behind what it is a
// copy of. If there is a rule for the other room in a kind already, none of the kind
// is copied: the user has decided.
func (s Settings) Succeed(from, to id.RoomID) (Settings, error) {
	next := s
	for _, kind := range [...]Kind{Override, Room, Underride} {
		rules := s.Rules.Rules(kind)
		if slices.ContainsFunc(rules, func(r Rule) bool { return r.isAbout(kind, to) }) {
			continue
		}
		var all []Rule
		for _, rule := range rules {
			all = append(all, rule)
			if rule.isAbout(kind, from) {
				all = append(all, rule.about(kind, from, to))
			}
		}
		*next.Rules.list(kind) = all
	}
	return s.grown(next)
}

// isAbout reports whether the rule is for one room.
func (r Rule) isAbout(kind Kind, room id.RoomID) bool {
	if kind == Room {
		return r.RuleID == string(room)
	}
	return slices.ContainsFunc(r.Conditions, func(c Condition) bool { return c.names(room) != "" })
}

// names returns the member in which the condition names a room, empty if it does
// not.
func (c Condition) names(room id.RoomID) string {
	member := map[string]string{eventMatch: "pattern", eventPropertyIs: "value"}[c.Get("kind").String()]
	if member == "" || !c.Get("key").Is("room_id") || !c.Get(member).Is(string(room)) {
		return ""
	}
	return member
}

// about returns the rule as one for another room.
func (r Rule) about(kind Kind, from, to id.RoomID) Rule {
	if kind == Room {
		r.RuleID = string(to)
		return r
	}
	r.Conditions = slices.Clone(r.Conditions)
	for i, c := range r.Conditions {
		if member := c.names(from); member != "" {
			r.Conditions[i] = c.with(member, canonjson.Text(string(to)))
		}
	}
	if strings.Contains(r.RuleID, string(from)) {
		r.RuleID = strings.ReplaceAll(r.RuleID, string(from), string(to))
	} else {
		r.RuleID += "-" + string(to)
	}
	return r
}
