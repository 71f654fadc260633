package pushrule

import "parley/matrix/canonjson"

// An Action is the JSON of one action of a rule, kept as it came: a string, or
// an object such as {"set_tweak":"sound","value":"default"}. One that is not
// known has no effect.
// https://spec.matrix.org/v1.19/client-server-api/#actions
type Action struct{ canonjson.Value }

// Notify is the action that causes a notification.
func Notify() Action { return Action{canonjson.Text("notify")} }

// SetTweak is the action that adds an entry to the tweaks sent with the
// notification. A nil value leaves it out, which for highlight means true.
func SetTweak(name string, value canonjson.Value) Action {
	tweak := canonjson.Value(nil).With("set_tweak", canonjson.Text(name))
	if value != nil {
		tweak = tweak.With("value", value)
	}
	return Action{tweak}
}

// historical reports whether the action is one of those that older versions of
// the specification had and that must be ignored.
func (a Action) historical() bool { return a.Is("dont_notify") || a.Is("coalesce") }

// tweak returns what a set_tweak sets. A tweak without a value is true for
// highlight, as specified, and null for the others, which the specification
// leaves open.
func (a Action) tweak() (name string, value canonjson.Value, ok bool) {
	name, ok = a.Get("set_tweak").Text()
	if value = a.Get("value"); value == nil {
		value = canonjson.Value("null")
		if name == "highlight" {
			value = canonjson.Value("true")
		}
	}
	return name, value, ok
}
