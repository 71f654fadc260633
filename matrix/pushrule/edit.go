package pushrule

import (
	"maps"
	"slices"

	"parley/matrix/glob"
	"parley/matrix/mxerr"
)

// The limits of all that one user changed. An edit that leads beyond one is
// refused with M_INVALID_PARAM.
const (
	// MaxRules is how many rules a user may make, all kinds together: enough
	// for one in each of several thousand rooms.
	MaxRules = 5000
	// MaxSearches is how many of those rules' conditions may have to read
	// through a text or list of the event: content rules, and conditions on
	// content.body, with wildcards, of display names and of kind
	// event_property_contains. It bounds the time that one event can take.
	MaxSearches = 200
	// MaxSize is how many bytes the rules and edits may have together,
	// counting IDs, patterns, conditions and actions. Clients get them all
	// whenever one changes.
	MaxSize = 1 << 20
)

// A Position says where a rule goes among the user's rules of its kind. Each
// is the ID of such a rule or empty.
type Position struct {
	Before string // directly before this one; this decides if both are given
	After  string // directly after this one
}

// PutRule adds a rule or replaces the one with its ID, in which case the old
// one's Enabled stays. Without a position a new rule comes first and a replaced
// one stays where it is. Make rule with ParseRule.
//
// If Before or After names no rule the error is M_UNKNOWN with status 400; if
// it names a rule of the server, or rule itself, M_INVALID_PARAM.
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3pushrulesglobalkindruleid
func (s Settings) PutRule(kind Kind, rule Rule, at Position) (Settings, error) {
	if err := checkRuleID(kind, rule.RuleID); err != nil {
		return Settings{}, err
	}
	rule.Default = false
	rules := slices.Clone(s.Rules.Rules(kind))
	place := 0
	if i := indexRule(rules, rule.RuleID); i >= 0 {
		rule.Enabled = rules[i].Enabled
		rules = slices.Delete(rules, i, i+1)
		place = i
	}
	if at.After != "" {
		i, err := findRelative(rules, rule.RuleID, "after", at.After)
		if err != nil {
			return Settings{}, err
		}
		place = i + 1
	}
	if at.Before != "" {
		i, err := findRelative(rules, rule.RuleID, "before", at.Before)
		if err != nil {
			return Settings{}, err
		}
		place = i
	}
	next := s
	*next.Rules.list(kind) = slices.Insert(rules, place, rule)
	return s.grown(next)
}

// findRelative returns the index of the rule that a new one is placed next to.
func findRelative(rules []Rule, ruleID, parameter, target string) (int, error) {
	switch {
	case reserved(target):
		return 0, invalid(parameter, "must not be a server-default rule")
	case target == ruleID:
		return 0, invalid(parameter, "must not be the rule itself")
	}
	if i := indexRule(rules, target); i >= 0 {
		return i, nil
	}
	return 0, mxerr.New(mxerr.Unknown, "before/after rule not found: %s", target).WithStatus(400)
}

// DeleteRule removes a rule that the user made. If there is none the error is
// M_NOT_FOUND; for a rule of defaults, which can only be disabled, it is
// M_INVALID_PARAM.
// https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3pushrulesglobalkindruleid
func (s Settings) DeleteRule(defaults Ruleset, kind Kind, ruleID string) (Settings, error) {
	rules := s.Rules.Rules(kind)
	i := indexRule(rules, ruleID)
	if i < 0 {
		if indexRule(defaults.Rules(kind), ruleID) >= 0 {
			return Settings{}, invalid("rule_id", "must not be of a server-default rule: those can be disabled, not deleted")
		}
		return Settings{}, notFound(kind, ruleID)
	}
	*s.Rules.list(kind) = slices.Delete(slices.Clone(rules), i, i+1)
	return s, nil
}

// SetEnabled enables or disables a rule of the user or of defaults. If there is
// none the error is M_NOT_FOUND.
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3pushrulesglobalkindruleidenabled
func (s Settings) SetEnabled(defaults Ruleset, kind Kind, ruleID string, enabled bool) (Settings, error) {
	return s.edit(defaults, kind, ruleID,
		func(r *Rule) { r.Enabled = enabled },
		func(e *Edit) { e.Enabled = &enabled })
}

// SetActions replaces the actions of a rule of the user or of defaults, nil
// meaning none. If there is no such rule the error is M_NOT_FOUND. Make actions
// with ParseActions.
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3pushrulesglobalkindruleidactions
func (s Settings) SetActions(defaults Ruleset, kind Kind, ruleID string, actions []Action) (Settings, error) {
	if actions == nil {
		actions = []Action{}
	}
	return s.edit(defaults, kind, ruleID,
		func(r *Rule) { r.Actions = actions },
		func(e *Edit) { e.Actions = actions })
}

// edit changes a rule of the user, or the user's edit of a rule of the server.
func (s Settings) edit(defaults Ruleset, kind Kind, ruleID string, rule func(*Rule), given func(*Edit)) (Settings, error) {
	next := s
	if i := indexRule(s.Rules.Rules(kind), ruleID); i >= 0 {
		rules := slices.Clone(s.Rules.Rules(kind))
		rule(&rules[i])
		*next.Rules.list(kind) = rules
		return s.grown(next)
	}
	if indexRule(defaults.Rules(kind), ruleID) < 0 {
		return Settings{}, notFound(kind, ruleID)
	}
	next.Defaults = maps.Clone(s.Defaults)
	if next.Defaults == nil {
		next.Defaults = make(map[string]Edit, 1)
	}
	edit := next.Defaults[ruleID]
	given(&edit)
	next.Defaults[ruleID] = edit
	return s.grown(next)
}

func notFound(kind Kind, ruleID string) error {
	return mxerr.New(mxerr.NotFound, "there is no push rule %s of kind %s", ruleID, kind)
}

// grown returns next unless it goes beyond a limit, or further beyond.
func (s Settings) grown(next Settings) (Settings, error) {
	is := next.usage()
	if is.rules <= MaxRules && is.searches <= MaxSearches && is.size <= MaxSize {
		return next, nil
	}
	was := s.usage()
	switch {
	case is.rules > MaxRules && is.rules > was.rules:
		return Settings{}, mxerr.New(mxerr.InvalidParam, "a user can have %d push rules and not more", MaxRules)
	case is.searches > MaxSearches && is.searches > was.searches:
		return Settings{}, mxerr.New(mxerr.InvalidParam, "a user can have %d push rule conditions that search events and not more", MaxSearches)
	case is.size > MaxSize && is.size > was.size:
		return Settings{}, mxerr.New(mxerr.InvalidParam, "a user's push rules can have %d bytes and not more", MaxSize)
	}
	return next, nil
}

// usage is what the limits are compared with.
type usage struct{ rules, searches, size int }

func (s Settings) usage() usage {
	var u usage
	for _, kind := range kinds {
		rules := s.Rules.Rules(kind)
		u.rules += len(rules)
		if kind == Content {
			u.searches += len(rules)
		}
		for _, rule := range rules {
			u.size += len(rule.RuleID) + len(rule.Pattern) + actionsSize(rule.Actions)
			for _, condition := range rule.Conditions {
				u.size += len(condition.Value)
				if condition.searches() {
					u.searches++
				}
			}
		}
	}
	for ruleID, edit := range s.Defaults {
		u.size += len(ruleID) + actionsSize(edit.Actions)
	}
	return u
}

func actionsSize(actions []Action) int {
	n := 0
	for _, action := range actions {
		n += len(action.Value)
	}
	return n
}

// searches reports whether evaluating the condition reads through a value.
func (c Condition) searches() bool {
	t, err := c.parse("")
	if err != nil {
		return false
	}
	switch t.kind {
	case eventMatch:
		return glob.Wild(t.pattern) || isBody(splitKey(t.key))
	case eventPropertyContains, containsDisplayName:
		return true
	}
	return false
}
