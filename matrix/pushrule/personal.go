package pushrule

import (
	"parley/matrix/canonjson"
	"parley/matrix/glob"
	"parley/matrix/id"
)

// Personal is the rules of one user, with what is known of them beforehand: where
// they say the same as the rules of the server, events need not be looked at one by
// one. It does not change.
type Personal struct {
	*Evaluator
	rules    Ruleset
	defaults Ruleset
}

// NewPersonal prepares what a user has set.
func NewPersonal(s Settings, user id.UserID) *Personal {
	defaults := Default(user)
	rules := s.Ruleset(defaults)
	return &Personal{Compile(rules, user), rules, defaults}
}

// An Effect is what is known beforehand of the events of a room: which of them
// notify a user, and which are highlights. It is not about sounds.
type Effect uint8

const (
	Various  Effect = iota // each has to be evaluated
	Same                   // those that do by the rules of the server
	Silence                // none
	Mentions               // those that are highlights by the rules of the server, all as highlights
)

// In returns what is known of the events of a room.
func (p *Personal) In(room id.RoomID) Effect {
	name := canonjson.Text(string(room))
	for _, rule := range p.rules.Override {
		if !rule.Enabled || rule.Default && rule.RuleID != Master || !mayMatch(rule, room) {
			continue
		}
		if certain(rule) && !newResult(Override, rule).Notify {
			return Silence
		}
		return Various
	}
	if !p.sameDefaults(Override) {
		return Various
	}
	for _, rule := range p.rules.Content {
		if rule.Enabled {
			return Various
		}
	}
	if rule := p.rooms[string(name)]; rule != nil {
		if rule.Notify {
			return Various
		}
		return Mentions
	}
	if len(p.senders) > 0 || !p.sameDefaults(Underride) {
		return Various
	}
	for _, rule := range p.rules.Underride {
		if rule.Enabled && !rule.Default && mayMatch(rule, room) {
			return Various
		}
	}
	return Same
}

// sameDefaults reports whether the rules of the server of a kind do what they do
// by default.
func (p *Personal) sameDefaults(kind Kind) bool {
	for _, given := range p.defaults.Rules(kind) {
		rule, err := p.rules.Rule(kind, given.RuleID)
		if err != nil || rule.Enabled != given.Enabled {
			return false
		}
		is, was := newResult(kind, rule), newResult(kind, given)
		if rule.Enabled && (is.Notify != was.Notify || is.Highlight != was.Highlight) {
			return false
		}
	}
	return true
}

// mayMatch reports whether a rule may match any event of a room.
func mayMatch(rule Rule, room id.RoomID) bool {
	for _, c := range rule.Conditions {
		t, err := c.parse("")
		if err != nil || t.kind == "" || isRoomID(t) && !matchesRoom(t.pattern, room) {
			return false
		}
	}
	return true
}

// certain reports whether a rule that may match some event of a room matches all.
func certain(rule Rule) bool {
	for _, c := range rule.Conditions {
		if t, err := c.parse(""); err != nil || !isRoomID(t) {
			return false
		}
	}
	return true
}

// isRoomID reports whether a condition is on the ID of the room alone.
func isRoomID(t terms) bool {
	path := splitKey(t.key)
	return t.kind == eventMatch && len(path) == 1 && path[0] == "room_id"
}

func matchesRoom(pattern string, room id.RoomID) bool {
	return glob.Compile(pattern).Match(glob.Fold(nil, []byte(room)))
}
