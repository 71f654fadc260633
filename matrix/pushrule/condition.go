package pushrule

import (
	"math"
	"strings"

	"parley/matrix/canonjson"
)

// A Condition is the JSON of one condition of a rule, kept as it came, with
// members and kinds that nobody here knows. One that is of unknown kind or
// malformed never holds, so its rule never matches.
// https://spec.matrix.org/v1.19/client-server-api/#conditions-1
type Condition struct{ canonjson.Value }

// The kinds of conditions that are evaluated.
const (
	eventMatch                   = "event_match"
	eventPropertyIs              = "event_property_is"
	eventPropertyContains        = "event_property_contains"
	containsDisplayName          = "contains_display_name"
	roomMemberCount              = "room_member_count"
	senderNotificationPermission = "sender_notification_permission"
	threadSubscription           = "io.element.msc4306.thread_subscription"
)

// EventMatch holds if the string at the key matches the pattern as a whole or,
// for the key content.body, in words.
func EventMatch(key, pattern string) Condition {
	return newCondition(eventMatch).with("key", canonjson.Text(key)).with("pattern", canonjson.Text(pattern))
}

// EventPropertyIs holds if the property at the key equals value, which must be
// a string, an integer, a boolean or null.
func EventPropertyIs(key string, value canonjson.Value) Condition {
	return newCondition(eventPropertyIs).with("key", canonjson.Text(key)).with("value", value)
}

// EventPropertyContains holds if the property at the key is an array with an
// element that equals value, which must be a string, an integer, a boolean or
// null.
func EventPropertyContains(key string, value canonjson.Value) Condition {
	return newCondition(eventPropertyContains).with("key", canonjson.Text(key)).with("value", value)
}

// RoomMemberCount holds if the number of members of the room is as said, for
// example "2" or "<=10".
func RoomMemberCount(is string) Condition {
	return newCondition(roomMemberCount).with("is", canonjson.Text(is))
}

// SenderNotificationPermission holds if the sender's power suffices for the
// key of notifications in the power levels.
func SenderNotificationPermission(key string) Condition {
	return newCondition(senderNotificationPermission).with("key", canonjson.Text(key))
}

// ThreadSubscription holds if the event is in a thread to which the user is, or is
// not, subscribed.
func ThreadSubscription(subscribed bool) Condition {
	value := canonjson.Value("false")
	if subscribed {
		value = canonjson.Value("true")
	}
	return newCondition(threadSubscription).with("subscribed", value)
}

func newCondition(kind string) Condition {
	return Condition{canonjson.Value(nil).With("kind", canonjson.Text(kind))}
}

func (c Condition) with(name string, value canonjson.Value) Condition {
	return Condition{c.With(name, value)}
}

// terms are the parameters of a condition, each as far as its kind has it.
type terms struct {
	kind    string // empty for a kind that is not known
	key     string
	pattern string
	value   canonjson.Value
	count   interval
	wanted  bool
}

// parse reads a condition. The error names the offending member, which is
// below path.
func (c Condition) parse(path string) (terms, error) {
	if c.Kind() != canonjson.Object {
		return terms{}, invalid(path, "must be an object")
	}
	var t terms
	var err error
	if t.kind, err = textMember(c.Value, path, "kind"); err != nil {
		return terms{}, err
	}
	switch t.kind {
	case eventMatch:
		if t.key, err = textMember(c.Value, path, "key"); err == nil {
			t.pattern, err = textMember(c.Value, path, "pattern")
		}
	case eventPropertyIs, eventPropertyContains:
		if t.key, err = textMember(c.Value, path, "key"); err == nil {
			t.value, err = scalarMember(c.Value, path, "value")
		}
	case roomMemberCount:
		var is string
		if is, err = textMember(c.Value, path, "is"); err == nil {
			t.count, err = parseInterval(is, join(path, "is"))
		}
	case senderNotificationPermission:
		t.key, err = textMember(c.Value, path, "key")
	case threadSubscription:
		v := c.Get("subscribed")
		if t.wanted = v.True(); !t.wanted && !v.False() {
			err = invalid(join(path, "subscribed"), "must be a boolean")
		}
	case containsDisplayName:
	default:
		t.kind = ""
	}
	return t, err
}

// scalarMember returns a member that event_property_is can be compared with.
func scalarMember(v canonjson.Value, path, name string) (canonjson.Value, error) {
	value := v.Get(name)
	switch value.Kind() {
	case canonjson.Absent:
		return nil, missing(join(path, name))
	case canonjson.Array, canonjson.Object:
		return nil, invalid(join(path, name), "must be a string, an integer, a boolean or null")
	case canonjson.Number:
		if n, ok := value.Int(); !ok || n > canonjson.MaxInt || n < -canonjson.MaxInt {
			return nil, invalid(join(path, name), "must be an integer between -(2^53)+1 and (2^53)-1")
		}
	}
	return value, nil
}

// An interval is a range of member counts, both ends included.
type interval struct{ from, to int64 }

// parseInterval reads the "is" of room_member_count. Numbers too large for an
// int64 become the largest, which no room has.
func parseInterval(s, at string) (interval, error) {
	operator := s[:len(s)-len(strings.TrimLeft(s, "<=>"))]
	digits := s[len(operator):]
	n := int64(0)
	for _, d := range []byte(digits) {
		if d < '0' || d > '9' {
			digits = ""
			break
		}
		if n > (math.MaxInt64-9)/10 {
			n = math.MaxInt64
			continue
		}
		n = n*10 + int64(d-'0')
	}
	if digits != "" {
		switch operator {
		case "", "==":
			return interval{n, n}, nil
		case "<":
			return interval{math.MinInt64, n - 1}, nil
		case "<=":
			return interval{math.MinInt64, n}, nil
		case ">":
			return interval{min(n, math.MaxInt64-1) + 1, math.MaxInt64}, nil
		case ">=":
			return interval{n, math.MaxInt64}, nil
		}
	}
	return interval{}, invalid(at, "must be a decimal integer, optionally after ==, <, >, >= or <=")
}
