package pushrule

import (
	"encoding/json"
	"slices"
	"strings"

	"parley/matrix/mxerr"
)

// A Kind says what a rule matches and how early it is tried.
type Kind string

// The kinds in the order in which they are tried.
const (
	Override Kind = "override"
	Content  Kind = "content"
	// Postcontent has rules of the server only.
	// https://github.com/matrix-org/matrix-spec-proposals/pull/4306
	Postcontent Kind = "postcontent"
	Room        Kind = "room"
	Sender      Kind = "sender"
	Underride   Kind = "underride"
)

// ParseKind accepts the names of the kinds and refuses others with
// M_INVALID_PARAM.
func ParseKind(s string) (Kind, error) {
	switch k := Kind(s); k {
	case Override, Content, Postcontent, Room, Sender, Underride:
		return k, nil
	}
	return "", mxerr.New(mxerr.InvalidParam, "kind must be override, content, room, sender or underride")
}

// conditional reports whether rules of the kind carry conditions.
func (k Kind) conditional() bool { return k == Override || k == Postcontent || k == Underride }

// A Rule is one push rule in the form clients see:
// https://spec.matrix.org/v1.19/client-server-api/#push-rules
//
// Its members are in canonical order, so that only strings can differ from
// canonical JSON when it is encoded.
type Rule struct {
	Actions []Action `json:"actions"`
	// Conditions are for override, postcontent and underride rules only. They must all
	// hold; a rule without any always matches. Nil is left out of the JSON,
	// empty is not.
	Conditions []Condition `json:"conditions,omitzero"`
	// Default marks a rule of the server, whose ID begins with a dot.
	Default bool `json:"default"`
	Enabled bool `json:"enabled"`
	// Pattern is for content rules only.
	Pattern string `json:"pattern,omitempty"`
	// RuleID is unique within a kind. For room and sender rules it is the ID
	// of the room or user the rule is about.
	RuleID string `json:"rule_id"`
}

// reserved reports whether a rule ID belongs to the server.
func reserved(ruleID string) bool { return strings.HasPrefix(ruleID, ".") }

// A Ruleset is all rules of a user, each kind ordered from the most to the
// least important. It is the "global" ruleset, the only one there is.
type Ruleset struct {
	Content     []Rule `json:"content"`
	Override    []Rule `json:"override"`
	Postcontent []Rule `json:"postcontent,omitempty"` // left out where the server has none
	Room        []Rule `json:"room"`
	Sender      []Rule `json:"sender"`
	Underride   []Rule `json:"underride"`
}

// kinds is every kind in order of precedence.
var kinds = [...]Kind{Override, Content, Postcontent, Room, Sender, Underride}

// Rules returns the rules of a kind, which belong to the ruleset.
func (r *Ruleset) Rules(kind Kind) []Rule {
	if p := r.list(kind); p != nil {
		return *p
	}
	return nil
}

// list returns where the rules of a kind are kept, nil for no kind.
func (r *Ruleset) list(kind Kind) *[]Rule {
	switch kind {
	case Override:
		return &r.Override
	case Content:
		return &r.Content
	case Postcontent:
		return &r.Postcontent
	case Room:
		return &r.Room
	case Sender:
		return &r.Sender
	case Underride:
		return &r.Underride
	}
	return nil
}

// Rule returns the rule with the ID. If there is none the error is M_NOT_FOUND.
func (r *Ruleset) Rule(kind Kind, ruleID string) (Rule, error) {
	rules := r.Rules(kind)
	if i := indexRule(rules, ruleID); i >= 0 {
		return rules[i], nil
	}
	return Rule{}, notFound(kind, ruleID)
}

func indexRule(rules []Rule, ruleID string) int {
	return slices.IndexFunc(rules, func(r Rule) bool { return r.RuleID == ruleID })
}

// MarshalJSON writes an array for every kind of the specification, and an
// array of actions for every rule.
func (r Ruleset) MarshalJSON() ([]byte, error) {
	for _, kind := range kinds {
		list := r.list(kind)
		*list = slices.Clone(*list)
		if *list == nil {
			*list = []Rule{}
		}
		for i := range *list {
			if rule := &(*list)[i]; rule.Actions == nil {
				rule.Actions = []Action{}
			}
		}
	}
	type plain Ruleset
	return json.Marshal(plain(r))
}
