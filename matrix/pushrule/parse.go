package pushrule

import (
	"bytes"
	"strconv"
	"strings"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// The limits of one rule, in bytes and numbers. Longer ones are refused with
// M_INVALID_PARAM. The specification has none.
const (
	MaxRuleID     = 512
	MaxPattern    = 256 // also of the key of a condition; a longer pattern never matches
	MaxConditions = 32
	MaxActions    = 16
)

// ParseRule reads the body of
// PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleId} into a rule that is
// enabled and not a default.
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3pushrulesglobalkindruleid
//
// The error says which member is wrong, as M_MISSING_PARAM or M_INVALID_PARAM,
// or that the body is no JSON object that can be canonical, as M_NOT_JSON or
// M_BAD_JSON. Members that no rule has are ignored, as clients send rules back
// as they got them; conditions and pattern for a kind that does not use them
// are refused, because ignoring them would widen the rule. Unknown conditions
// and actions are kept; the historical dont_notify and coalesce are dropped.
func ParseRule(kind Kind, ruleID string, body []byte) (Rule, error) {
	if err := checkRuleID(kind, ruleID); err != nil {
		return Rule{}, err
	}
	v, err := parseBody(body)
	if err != nil {
		return Rule{}, err
	}
	rule := Rule{RuleID: ruleID, Enabled: true}
	if rule.Actions, err = parseActions(v); err != nil {
		return Rule{}, err
	}
	if rule.Conditions, err = parseConditions(kind, v.Get("conditions")); err != nil {
		return Rule{}, err
	}
	if rule.Pattern, err = parsePattern(kind, v); err != nil {
		return Rule{}, err
	}
	return rule, nil
}

// ParseActions reads the body {"actions":[...]} of
// PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/actions, with the
// errors of ParseRule. The result is never nil without an error.
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3pushrulesglobalkindruleidactions
func ParseActions(body []byte) ([]Action, error) {
	v, err := parseBody(body)
	if err != nil {
		return nil, err
	}
	return parseActions(v)
}

// ParseEnabled reads the body {"enabled":...} of
// PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/enabled, with the
// errors of ParseRule.
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3pushrulesglobalkindruleidenabled
func ParseEnabled(body []byte) (bool, error) {
	v, err := parseBody(body)
	if err != nil {
		return false, err
	}
	switch enabled := v.Get("enabled"); enabled.Kind() {
	case canonjson.Absent:
		return false, missing("enabled")
	case canonjson.Bool:
		return enabled.True(), nil
	}
	return false, invalid("enabled", "must be a boolean")
}

// parseBody returns a body as an object, which may share its memory.
func parseBody(body []byte) (canonjson.Value, error) {
	v, err := canonjson.Canonical(body, canonjson.Strict)
	if err != nil {
		if _, lenient := canonjson.Canonical(body, canonjson.Lenient); lenient == nil {
			return nil, mxerr.New(mxerr.BadJSON, "numbers must be integers between -(2^53)+1 and (2^53)-1").Wrap(err)
		}
		return nil, mxerr.New(mxerr.NotJSON, "the body is not JSON").Wrap(err)
	}
	if v.Kind() != canonjson.Object {
		return nil, mxerr.New(mxerr.BadJSON, "the body must be an object")
	}
	return v, nil
}

func parseActions(body canonjson.Value) ([]Action, error) {
	list := body.Get("actions")
	switch list.Kind() {
	case canonjson.Absent:
		return nil, missing("actions")
	case canonjson.Array:
	default:
		return nil, invalid("actions", "must be an array")
	}
	actions := []Action{}
	n := -1
	for v := range list.Elements() {
		n++
		action := Action{bytes.Clone(v)}
		tweak := v.Get("set_tweak")
		switch {
		case v.Kind() != canonjson.String && v.Kind() != canonjson.Object:
			return nil, invalid(element("actions", n), "must be a string or an object")
		case tweak != nil && tweak.Kind() != canonjson.String:
			return nil, invalid(element("actions", n)+".set_tweak", "must be a string")
		case action.historical():
			continue
		case len(actions) == MaxActions:
			return nil, invalid("actions", "must not be more than %d", MaxActions)
		}
		actions = append(actions, action)
	}
	return actions, nil
}

// parseConditions returns nil for kinds without conditions and else a slice
// that is not nil.
func parseConditions(kind Kind, list canonjson.Value) ([]Condition, error) {
	switch list.Kind() {
	case canonjson.Absent, canonjson.Null, canonjson.Array:
	default:
		return nil, invalid("conditions", "must be an array")
	}
	conditions := []Condition{}
	for v := range list.Elements() {
		at := element("conditions", len(conditions))
		if !kind.conditional() {
			return nil, invalid("conditions", "are for override and underride rules only")
		}
		if len(conditions) == MaxConditions {
			return nil, invalid("conditions", "must not be more than %d", MaxConditions)
		}
		condition := Condition{bytes.Clone(v)}
		if _, err := condition.parse(at); err != nil {
			return nil, err
		}
		conditions = append(conditions, condition)
	}
	if !kind.conditional() {
		return nil, nil
	}
	return conditions, nil
}

func parsePattern(kind Kind, body canonjson.Value) (string, error) {
	v := body.Get("pattern")
	if kind != Content {
		if v.Kind() == canonjson.Absent || v.Kind() == canonjson.Null || v.Is("") {
			return "", nil
		}
		return "", invalid("pattern", "is for content rules only")
	}
	pattern, err := textMember(body, "", "pattern")
	if err == nil && pattern == "" {
		// It would match every message.
		err = invalid("pattern", "must not be empty")
	}
	return pattern, err
}

// checkRuleID reports what is wrong with the ID of a rule that a user makes.
func checkRuleID(kind Kind, ruleID string) error {
	if _, err := ParseKind(string(kind)); err != nil {
		return err
	}
	switch {
	case kind == Postcontent:
		return invalid("kind", "must not be postcontent, of which only the server has rules")
	case ruleID == "":
		return missing("rule_id")
	case len(ruleID) > MaxRuleID:
		return invalid("rule_id", "must not be longer than %d bytes", MaxRuleID)
	case reserved(ruleID):
		return invalid("rule_id", "must not start with a dot, which marks server-default rules")
	case strings.ContainsAny(ruleID, `/\`):
		return invalid("rule_id", "must not contain slashes or backslashes")
	}
	switch kind {
	case Room:
		if _, err := id.ParseRoomID(ruleID); err != nil {
			return invalid("rule_id", "of a room rule must be a room ID")
		}
	case Sender:
		if _, err := id.ParseUserID(ruleID); err != nil {
			return invalid("rule_id", "of a sender rule must be a user ID")
		}
	}
	return nil
}

// textMember returns a member of what is at the path, which must be a string of
// at most MaxPattern bytes.
func textMember(v canonjson.Value, path, name string) (string, error) {
	member := v.Get(name)
	if member.Kind() == canonjson.Absent {
		return "", missing(join(path, name))
	}
	text, ok := member.Text()
	if !ok {
		return "", invalid(join(path, name), "must be a string")
	}
	if len(text) > MaxPattern {
		return "", invalid(join(path, name), "must not be longer than %d bytes", MaxPattern)
	}
	return text, nil
}

// join names a member for an error.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func element(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }

func missing(field string) error {
	return mxerr.New(mxerr.MissingParam, "%s is missing", field)
}

func invalid(field, format string, args ...any) error {
	return mxerr.New(mxerr.InvalidParam, field+" "+format, args...)
}
