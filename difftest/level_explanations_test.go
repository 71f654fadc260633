package difftest

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/roomver"
)

// What a change of power levels may do is transcribed here from rules 10.5 to
// 10.10 of room version 12, with switches for what gomatrixserverlib does
// instead. A difference is explained by the smallest set of switches with
// which the transcription decides as gomatrixserverlib did.
type levelSwitches uint8

const (
	fillDefaults levelSwitches = 1 << iota
	skipUsersDefault
	checkFirst
	strictNotifications
	ordinaryCreator
	inviteAsEvent
	overflow
	allLevelSwitches = iota
)

var levelExplanations = []explanation[authDifference]{
	{
		"accepts power levels of null in room versions that demand integers",
		"rooms/v10 rules 9.1 to 9.3: if present and not an integer, reject",
		func(d authDifference) bool {
			return (d.onlyParley(eventauth.LevelsNotIntegers) || d.onlyParley(eventauth.LevelsNotObjects) || d.onlyParley(eventauth.LevelsUsers)) &&
				d.w.rules.Levels == roomver.LevelsStrict && hasNull(d.e.Content())
		},
	},
	{
		"takes users of null for absent",
		"rooms/v1 rule 10.1: if users is not an object, reject",
		func(d authDifference) bool {
			return d.onlyParley(eventauth.LevelsUsers) && d.e.Content().Get("users").Kind() == canonjson.Null
		},
	},
	{
		"takes events and notifications of null for absent",
		"rooms/v9 rules 9.6 and 9.7 do not say what null is; what cannot be read nobody may bring in",
		func(d authDifference) bool {
			c := d.e.Content()
			return d.onlyParley(eventauth.LevelsEventNewAboveSender) &&
				(c.Get("events").Kind() == canonjson.Null || c.Get("notifications").Kind() == canonjson.Null)
		},
	},
	{
		"refuses power levels with a malformed member at which no rule looks",
		"rooms/v1 rule 10: users is checked, then without previous power levels, allow; notifications matter from version 6 on",
		func(d authDifference) bool {
			return d.onlyOther("unparseable power_levels event content") && (d.withoutLevels() || !d.w.rules.NotificationLevels) && d.w.rules.Levels != roomver.LevelsStrict
		},
	},
	{
		"refuses users keys with characters beyond ASCII, or with a port beyond 65535",
		"appendices, historical user IDs and server names: any code points; one to five digits",
		func(d authDifference) bool {
			if d.onlyOther("local part contains invalid characters from historical set") || d.onlyOther("domain is invalid") {
				for name := range d.e.Content().Get("users").Members() {
					if !isHistorical(name.String()) {
						return true
					}
				}
			}
			return false
		},
	},
	levelExplanation(fillDefaults,
		"compares what a level amounts to, defaults included, instead of what the event says",
		"rooms/v11 rules 9.5 to 9.9: properties and entries that are added, changed or removed"),
	levelExplanation(skipUsersDefault,
		"does not look at users_default",
		"rooms/v11 rule 9.5: users_default, events_default, ..."),
	levelExplanation(checkFirst,
		"holds the first power levels of a room against the defaults",
		"rooms/v11 rule 9.4: without previous power levels, allow"),
	levelExplanation(strictNotifications,
		"demands that the old level of a notification be below that of the sender",
		"rooms/v11 rule 9.6.1: if the current value is greater than the sender's level, reject"),
	levelExplanation(ordinaryCreator,
		"gives creators no privilege over the levels of notifications",
		"rooms/v12, authorization rules: the power level of room creators is infinitely high"),
	levelExplanation(inviteAsEvent,
		"takes the invite level for that of m.room.third_party_invite in events",
		"rooms/v11 rules 9.6 and 9.7: each entry of events"),
	{
		"takes numbers beyond 64 bits for the smallest there is",
		"rooms/v1, power levels as floats: values outside of binary64 are rejected, others are truncated",
		func(d authDifference) bool { return d.levelSwitches()&overflow != 0 || d.agreesWithoutOverflow() },
	},
}

func levelExplanation(s levelSwitches, name, spec string) explanation[authDifference] {
	return explanation[authDifference]{name, spec, func(d authDifference) bool { return d.levelSwitches()&s != 0 }}
}

func hasNull(v canonjson.Value) bool {
	for _, value := range v.Members() {
		if value.Kind() == canonjson.Null || hasNull(value) {
			return true
		}
	}
	return false
}

// levelSwitches returns the smallest set of switches that explains the
// difference, none when it is not about the change of power levels.
func (d authDifference) levelSwitches() levelSwitches {
	rules := []eventauth.Rule{eventauth.LevelsOldAboveSender, eventauth.LevelsNewAboveSender, eventauth.LevelsEventOldAboveSender,
		eventauth.LevelsEventNewAboveSender, eventauth.LevelsUserNotBelowSender, eventauth.LevelsUserNewAboveSender}
	if !d.isType(event.TypePowerLevels) || isPanic(d.other) || d.levelsUnreadable() ||
		d.refusal != nil && !slices.Contains(rules, d.refusal.Rule) ||
		d.other != nil && !strings.Contains(d.other.Error(), "is not allowed") {
		return 0
	}
	var best levelSwitches
	if d.allowsLevels(0) != (d.refusal == nil) {
		return 0
	}
	fewest := allLevelSwitches + 1
	for s := range levelSwitches(1 << allLevelSwitches) {
		n := 0
		for i := range allLevelSwitches {
			n += int(s >> i & 1)
		}
		if n < fewest && d.allowsLevels(s) == (d.other == nil) {
			best, fewest = s, n
		}
	}
	return best
}

// agreesWithoutOverflow reports whether there are levels beyond 64 bits, and
// parley decides as gomatrixserverlib did when they are as small as can be.
func (d authDifference) agreesWithoutOverflow() bool {
	t := event.Tuple{Type: event.TypePowerLevels}
	current := d.w.state[t]
	if current == nil || d.w.rules.Levels != roomver.LevelsFloaty || isPanic(d.other) {
		return false
	}
	content, found := withoutOverflow(current.Content())
	if !found {
		return false
	}
	state := maps.Clone(d.w.state)
	state[t], _ = d.w.load(d.w.stateFields(current.Sender(), t.Type, t.StateKey, string(content)))
	content, _ = withoutOverflow(d.e.Content())
	e, err := event.Parse(d.e.JSON().With("content", content), d.w.rules)
	if err != nil {
		return false
	}
	w := *d.w
	w.state = state
	small := authDifference{w: &w, e: e, other: d.other}
	errors.As(eventauth.Check(e, state), &small.refusal)
	return (small.refusal == nil) == (d.other == nil) || small.levelSwitches() != 0
}

func withoutOverflow(v canonjson.Value) (changed canonjson.Value, found bool) {
	switch v.Kind() {
	case canonjson.Object:
		changed = v
		for name, value := range v.Members() {
			if value, ok := withoutOverflow(value); ok {
				changed, found = changed.With(name.String(), value), true
			}
		}
		return changed, found
	case canonjson.Number:
		if f, err := strconv.ParseFloat(string(v), 64); err == nil && (f >= math.MaxInt64 || f <= math.MinInt64) {
			return canonjson.Value("-9223372036854775808"), true
		}
	}
	return v, false
}

// allowsLevels decides as the rules of the specification do, or with switches
// on.
func (d authDifference) allowsLevels(s levelSwitches) bool {
	previous := d.w.state[event.Tuple{Type: event.TypePowerLevels}]
	var old canonjson.Value
	level := int64(d.levels().User(d.e.Sender()))
	if previous == nil {
		if s&checkFirst == 0 {
			return true
		}
		s |= fillDefaults
		old = canonjson.Value(nil).With("users", canonjson.Value(nil).With(string(d.w.create.Sender()), canonjson.Value("9007199254740991")))
		if level != math.MaxInt64 && d.e.Sender() == d.w.create.Sender() {
			level = 1<<53 - 1
		}
	} else {
		old = previous.Content()
	}
	c := levelCheck{d: d, switches: s, level: level, old: old, new: d.e.Content()}
	return c.scalars() && c.events() && c.notifications() && c.users()
}

type levelCheck struct {
	d        authDifference
	switches levelSwitches
	level    int64
	old, new canonjson.Value
}

func (c levelCheck) scalars() bool {
	defaults := map[string]int64{"state_default": 50, "ban": 50, "redact": 50, "kick": 50}
	for _, key := range scalars {
		if key == "users_default" && c.switches&skipUsersDefault != 0 {
			continue
		}
		if !c.change(c.old.Get(key), c.new.Get(key), defaults[key], defaults[key], false) {
			return false
		}
	}
	return true
}

func (c levelCheck) events() bool {
	for _, name := range c.names("events") {
		old, new := c.old.Get("events").Get(name), c.new.Get("events").Get(name)
		oldDefault, newDefault := c.read(c.old.Get("events_default"), 0), c.read(c.new.Get("events_default"), 0)
		if name == event.TypeThirdPartyInvite && c.switches&inviteAsEvent != 0 {
			old, new = c.old.Get("invite"), c.new.Get("invite")
			oldDefault, newDefault = 0, 0
		}
		if !c.change(old, new, oldDefault, newDefault, false) {
			return false
		}
	}
	return true
}

func (c levelCheck) notifications() bool {
	if !c.d.w.rules.NotificationLevels {
		return true
	}
	if c.switches&ordinaryCreator != 0 {
		c.level = c.read(c.old.Get("users").Get(string(c.d.e.Sender())), c.read(c.old.Get("users_default"), 0))
	}
	for _, name := range c.names("notifications") {
		old, new := c.old.Get("notifications").Get(name), c.new.Get("notifications").Get(name)
		if !c.change(old, new, 50, 50, c.switches&strictNotifications != 0) {
			return false
		}
	}
	return true
}

func (c levelCheck) users() bool {
	for _, name := range c.names("users") {
		old, new := c.old.Get("users").Get(name), c.new.Get("users").Get(name)
		oldDefault, newDefault := c.read(c.old.Get("users_default"), 0), c.read(c.new.Get("users_default"), 0)
		if name == string(c.d.e.Sender()) {
			if changed, _, is := c.pair(old, new, oldDefault, newDefault); changed && is > c.level {
				return false
			}
		} else if !c.change(old, new, oldDefault, newDefault, true) {
			return false
		}
	}
	return true
}

// change reports whether a sender of the level may change the one level into
// the other. Strictly, the old level must be below that of the sender.
func (c levelCheck) change(old, new canonjson.Value, oldDefault, newDefault int64, strictly bool) bool {
	changed, was, is := c.pair(old, new, oldDefault, newDefault)
	if !changed {
		return true
	}
	if strictly && was == c.level && (old != nil || c.switches&fillDefaults != 0) {
		return false
	}
	return was <= c.level && is <= c.level
}

// pair returns what the levels are, each the least possible when it is absent.
func (c levelCheck) pair(old, new canonjson.Value, oldDefault, newDefault int64) (changed bool, was, is int64) {
	if c.switches&fillDefaults != 0 {
		was, is = c.read(old, oldDefault), c.read(new, newDefault)
		return was != is, was, is
	}
	was, is = c.read(old, math.MinInt64), c.read(new, math.MinInt64)
	return (old == nil) != (new == nil) || was != is, was, is
}

func (c levelCheck) names(section string) []string {
	var names []string
	for _, content := range []canonjson.Value{c.old, c.new} {
		for name := range content.Get(section).Members() {
			names = append(names, name.String())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// read reads a level; one that is not readable is above everybody.
func (c levelCheck) read(v canonjson.Value, absent int64) int64 {
	switch v.Kind() {
	case canonjson.Absent:
		return absent
	case canonjson.Number:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return n
		}
		f, err := strconv.ParseFloat(string(v), 64)
		if err != nil {
			return math.MaxInt64
		}
		if f >= math.MaxInt64 && c.switches&overflow == 0 {
			return math.MaxInt64 - 1
		}
		if f >= math.MaxInt64 || f <= math.MinInt64 {
			return math.MinInt64
		}
		return int64(f)
	}
	text, _ := v.Text()
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return math.MaxInt64
	}
	return n
}
