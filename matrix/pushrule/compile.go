package pushrule

import (
	"slices"

	"parley/matrix/canonjson"
	"parley/matrix/glob"
	"parley/matrix/id"
)

// An Evaluator is a ruleset prepared for evaluation. It does not change, so any
// number of goroutines may use it.
type Evaluator struct {
	user        string
	paths       pathNode // root
	slots       int      // number of properties that rules look at
	override    []compiledRule
	content     []compiledRule
	postcontent []compiledRule
	// rooms and senders are the results of the rules for each, by the JSON of
	// its ID.
	rooms     map[string]*Result
	senders   map[string]*Result
	underride []compiledRule
}

// The properties that every evaluator looks at.
const (
	senderSlot = iota
	roomSlot
	bodySlot
)

// A compiledRule is a rule that is enabled and may match.
type compiledRule struct {
	result Result
	checks []check
}

// A check is a compiled condition.
type check struct {
	kind   string
	slot   int           // of the property, if the condition has a key
	glob   *glob.Pattern // of event_match
	text   string        // of sender_notification_permission, and the JSON to equal
	count  interval      // of room_member_count
	wanted bool          // of thread_subscription
}

// Compile prepares the rules of a user, which should include the defaults, see
// Settings.Ruleset. Disabled rules and those that can never match are left out.
// The ruleset must not be modified afterwards.
func Compile(rules Ruleset, user id.UserID) *Evaluator {
	e := &Evaluator{user: string(user), paths: pathNode{slot: -1}}
	e.slot([]string{"sender"})
	e.slot([]string{"room_id"})
	e.slot([]string{"content", "body"})

	e.override = e.conditional(Override, rules.Override)
	for _, rule := range rules.Content {
		if rule.Enabled && len(rule.Pattern) <= MaxPattern {
			e.content = append(e.content, compiledRule{
				result: newResult(Content, rule),
				checks: []check{{kind: eventMatch, slot: bodySlot, glob: glob.CompileWords(rule.Pattern)}},
			})
		}
	}
	e.postcontent = e.conditional(Postcontent, rules.Postcontent)
	e.rooms = byID(Room, rules.Room)
	e.senders = byID(Sender, rules.Sender)
	e.underride = e.conditional(Underride, rules.Underride)
	return e
}

// conditional compiles rules that have conditions.
func (e *Evaluator) conditional(kind Kind, rules []Rule) []compiledRule {
	var compiled []compiledRule
	for _, rule := range rules {
		if !rule.Enabled {
			continue
		}
		if checks, ok := e.checks(rule.Conditions); ok {
			compiled = append(compiled, compiledRule{newResult(kind, rule), checks})
		}
	}
	return compiled
}

// byID gives the results of room and sender rules. Of rules with the same ID
// the first one counts.
func byID(kind Kind, rules []Rule) map[string]*Result {
	results := make(map[string]*Result)
	for _, rule := range rules {
		key := string(canonjson.Text(rule.RuleID))
		if _, ok := results[key]; !ok && rule.Enabled {
			result := newResult(kind, rule)
			results[key] = &result
		}
	}
	return results
}

// checks compiles conditions; ok is false if one of them can never hold.
func (e *Evaluator) checks(conditions []Condition) (checks []check, ok bool) {
	for _, condition := range conditions {
		t, err := condition.parse("")
		if err != nil || t.kind == "" {
			return nil, false
		}
		c := check{kind: t.kind, count: t.count, text: string(t.value), wanted: t.wanted}
		switch t.kind {
		case senderNotificationPermission:
			c.text = t.key
		case eventMatch, eventPropertyIs, eventPropertyContains:
			path := splitKey(t.key)
			c.slot = e.slot(path)
			if t.kind == eventMatch {
				compile := glob.Compile
				if isBody(path) {
					compile = glob.CompileWords
				}
				c.glob = compile(t.pattern)
			}
		}
		checks = append(checks, c)
	}
	return checks, true
}

// isBody reports whether a path is that of content.body, where patterns match
// words.
func isBody(path []string) bool {
	return len(path) == 2 && path[0] == "content" && path[1] == "body"
}

// slot returns the index of the property at the path, adding it if need be.
func (e *Evaluator) slot(path []string) int {
	node := &e.paths
	for _, name := range path {
		text := canonjson.Text(name)
		i, child := node.child(text)
		if child == nil {
			child = &pathNode{name: text, slot: -1}
			node.children = slices.Insert(node.children, i, child)
		}
		node = child
	}
	if node.slot < 0 {
		node.slot = e.slots
		e.slots++
	}
	return node.slot
}

// newResult works out what a rule does when it matches.
func newResult(kind Kind, rule Rule) Result {
	r := Result{Kind: kind, RuleID: rule.RuleID}
	var tweaks canonjson.Value
	for _, action := range rule.Actions {
		if action.historical() {
			continue
		}
		r.Actions = append(r.Actions, action)
		if name, value, ok := action.tweak(); ok {
			tweaks = tweaks.With(name, value)
		}
		r.Notify = r.Notify || action.Is("notify")
	}
	if r.Notify {
		r.Tweaks = tweaks
		r.Highlight = tweaks.Get("highlight").True()
		r.Sound, _ = tweaks.Get("sound").Text()
	}
	return r
}
