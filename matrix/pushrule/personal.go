package pushrule

import (
	"slices"

	"parley/matrix/canonjson"
	"parley/matrix/glob"
	"parley/matrix/id"
)

// Personal is the rules of one user, with what is known of them beforehand: where
// they say the same as the rules of the server, events need not be looked at one by
// one. It does not change.
type Personal struct {
	*Evaluator
	override, underride roomRules // the user's own
	silent              bool      // nothing notifies anywhere
	// Whether the rules of the server do what they do by default; and whether there
	// are content rules.
	sameOverride, sameThreads, sameUnderride, words bool
}

// NewPersonal prepares what a user has set of the rules of a server.
func NewPersonal(s Settings, defaults Ruleset, user id.UserID) *Personal {
	rules := s.Ruleset(defaults)
	p := &Personal{
		Evaluator: Compile(rules, user), override: newRoomRules(Override, rules.Override), underride: newRoomRules(Underride, rules.Underride),
		sameOverride: same(defaults, rules, Override), sameThreads: same(defaults, rules, Postcontent), sameUnderride: same(defaults, rules, Underride),
	}
	if master, err := rules.Rule(Override, Master); err == nil && master.Enabled {
		p.sameOverride = false
		p.silent = !newResult(Override, master).Notify
	}
	for _, rule := range rules.Content {
		p.words = p.words || rule.Enabled
	}
	return p
}

// An Effect is what is known beforehand of the events of a room: which of them
// notify a user, and which are highlights. It is not about sounds.
//
// Where the server has rules about threads, Same and Mentions are about the main
// timeline: threads are as those rules say, the same for everybody who subscribes to
// one, and mentions for others.
type Effect uint8

const (
	Various  Effect = iota // each has to be evaluated
	Same                   // those that do by the rules of the server
	Silence                // none
	Mentions               // those that are highlights by the rules of the server, all as highlights
)

// In returns what is known of the events of a room.
func (p *Personal) In(room id.RoomID) Effect {
	if p.silent {
		return Silence
	}
	folded := glob.Fold(nil, []byte(room))
	if first, ok := p.override.first(folded); ok {
		if first.certain && !first.notify {
			return Silence
		}
		return Various
	}
	if !p.sameOverride || !p.sameThreads || p.words {
		return Various
	}
	if rule := p.rooms[string(canonjson.Text(string(room)))]; rule != nil {
		if rule.Notify {
			return Various
		}
		return Mentions
	}
	if len(p.senders) > 0 || !p.sameUnderride {
		return Various
	}
	if _, ok := p.underride.first(folded); ok {
		return Various
	}
	return Same
}

// same reports whether the rules of the server of a kind do what they do by
// default.
func same(defaults, rules Ruleset, kind Kind) bool {
	for _, given := range defaults.Rules(kind) {
		rule, err := rules.Rule(kind, given.RuleID)
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

// roomRules are the rules of a user of one kind, as they concern rooms. Most are
// about a single room, which users may have thousands of.
type roomRules struct {
	single map[string]roomRule // the first that is about one room, by its folded ID
	others []roomRule
}

// A roomRule is a rule that may match something in a room.
type roomRule struct {
	index   int
	rooms   []*glob.Pattern // that the ID of the room has to match
	certain bool            // it matches all events of these rooms
	notify  bool
}

func newRoomRules(kind Kind, rules []Rule) roomRules {
	r := roomRules{single: make(map[string]roomRule)}
	for i, rule := range rules {
		if !rule.Enabled || rule.Default {
			continue
		}
		of, patterns, ok := newRoomRule(rule)
		if !ok {
			continue
		}
		of.index, of.notify = i, newResult(kind, rule).Notify
		if len(patterns) != 1 || glob.Wild(patterns[0]) {
			r.others = append(r.others, of)
			continue
		}
		room := string(glob.Fold(nil, []byte(patterns[0])))
		if _, earlier := r.single[room]; !earlier {
			r.single[room] = of
		}
	}
	return r
}

// newRoomRule returns what a rule is to rooms; ok is false if it never matches.
func newRoomRule(rule Rule) (of roomRule, patterns []string, ok bool) {
	of.certain = true
	for _, c := range rule.Conditions {
		t, err := c.parse("")
		if err != nil || t.kind == "" {
			return of, nil, false
		}
		if path := splitKey(t.key); t.kind != eventMatch || len(path) != 1 || path[0] != "room_id" {
			of.certain = false
			continue
		}
		patterns = append(patterns, t.pattern)
		of.rooms = append(of.rooms, glob.Compile(t.pattern))
	}
	return of, patterns, true
}

// first returns the first rule that may match something in a room.
func (r roomRules) first(folded []byte) (roomRule, bool) {
	found, ok := r.single[string(folded)]
	for _, rule := range r.others {
		if ok && rule.index > found.index {
			break
		}
		if !slices.ContainsFunc(rule.rooms, func(p *glob.Pattern) bool { return !p.Match(folded) }) {
			return rule, true
		}
	}
	return found, ok
}
