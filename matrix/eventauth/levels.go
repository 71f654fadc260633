package eventauth

import (
	"iter"
	"math"
	"strconv"
	"strings"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

// A Level is a power level.
type Level int64

// Creator is the level of the creators of a room where they stand above all
// others. It is greater than any level an event can name.
const Creator Level = math.MaxInt64

// Defaults of levels that m.room.power_levels does not name, and of rooms
// without such an event:
// https://spec.matrix.org/v1.19/client-server-api/#mroompower_levels
const (
	defaultBan          Level = 50
	defaultKick         Level = 50
	defaultRedact       Level = 50
	defaultInvite       Level = 0
	defaultState        Level = 50
	defaultEvents       Level = 0
	defaultUsers        Level = 0
	defaultNotification Level = 50
	defaultCreator      Level = 100 // without the event, where creators have a level at all
)

// Levels answers who may do what in a room. It is a view of the events it was
// made from: it costs nothing to make and reads on demand. The zero Levels is
// of a room without events, where nobody has any power.
type Levels struct {
	rules   *roomver.Rules
	create  *event.Event
	content canonjson.Value // of m.room.power_levels, nil without one
}

// LevelsIn returns the levels in a state.
func LevelsIn(state State) Levels {
	return NewLevels(
		state.StateEvent(event.Tuple{Type: event.TypeCreate}),
		state.StateEvent(event.Tuple{Type: event.TypePowerLevels}))
}

// NewLevels returns the levels that a room's create event and power levels
// make. Either may be nil: without a create event nobody is a creator.
func NewLevels(create, powerLevels *event.Event) Levels {
	l := Levels{create: create}
	if create != nil {
		l.rules = create.Rules()
	}
	if powerLevels != nil {
		l.rules = powerLevels.Rules()
		l.content = powerLevels.Content()
	}
	return l
}

// User returns the level of a user.
func (l Levels) User(user id.UserID) Level {
	isCreator := l.create != nil && IsCreator(l.create, user)
	if isCreator && l.rules.PrivilegedCreators {
		return Creator
	}
	if isCreator && l.content == nil {
		return defaultCreator
	}
	if level, ok := l.read(l.content.Get("users").Get(string(user))); ok {
		return level
	}
	return l.scalar("users_default", defaultUsers)
}

// Send returns the level that sending an event of the type takes. Membership
// events have levels of their own.
func (l Levels) Send(eventType string, isState bool) Level {
	if level, ok := l.read(l.content.Get("events").Get(eventType)); ok {
		return level
	}
	if isState {
		return l.scalar("state_default", defaultState)
	}
	return l.scalar("events_default", defaultEvents)
}

// Invite returns the level that inviting takes.
func (l Levels) Invite() Level { return l.scalar("invite", defaultInvite) }

// Kick returns the level that kicking takes; the target must be below the
// sender too.
func (l Levels) Kick() Level { return l.scalar("kick", defaultKick) }

// Ban returns the level that banning takes; the target must be below the
// sender too.
func (l Levels) Ban() Level { return l.scalar("ban", defaultBan) }

// Redact returns the level that redacting the events of others takes.
func (l Levels) Redact() Level { return l.scalar("redact", defaultRedact) }

// Notification returns the level that notifying the room takes in the way that
// the key names, such as "room".
func (l Levels) Notification(key string) Level {
	if level, ok := l.read(l.content.Get("notifications").Get(key)); ok {
		return level
	}
	return defaultNotification
}

func (l Levels) scalar(key string, otherwise Level) Level {
	if level, ok := l.read(l.content.Get(key)); ok {
		return level
	}
	return otherwise
}

func (l Levels) read(v canonjson.Value) (Level, bool) {
	if v == nil {
		return 0, false
	}
	return readLevel(v, l.rules.Levels)
}

// readLevel reads a level in a form that the room version allows:
// https://spec.matrix.org/v1.19/rooms/v1/#deprecated-event-content-schemas
// Values beyond 64 bits become the nearest that is not Creator.
func readLevel(v canonjson.Value, format roomver.LevelFormat) (Level, bool) {
	switch v.Kind() {
	case canonjson.Number:
		if n, ok := v.Int(); ok {
			return min(Level(n), Creator-1), true
		}
		if format != roomver.LevelsFloaty {
			return 0, false
		}
		f, err := strconv.ParseFloat(string(v), 64)
		if err != nil {
			return 0, false
		}
		return truncate(f), true
	case canonjson.String:
		if format == roomver.LevelsStrict {
			return 0, false
		}
		s, _ := v.Text()
		return readDigits(strings.TrimSpace(s))
	}
	return 0, false
}

func truncate(f float64) Level {
	switch {
	case f >= math.MaxInt64:
		return Creator - 1
	case f <= math.MinInt64:
		return math.MinInt64
	}
	return Level(f)
}

// readDigits reads decimal digits with an optional sign.
func readDigits(s string) (Level, bool) {
	digits := s
	if s != "" && (s[0] == '+' || s[0] == '-') {
		digits = s[1:]
	}
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil && n == 0 {
		return 0, false
	}
	return min(Level(n), Creator-1), true
}

// Creators yields the creators of a room: the sender of the create event, or
// the user its content names where that decides, and where creators have
// privileges also additional_creators. What is no string is passed over.
func Creators(create *event.Event) iter.Seq[id.UserID] {
	return func(yield func(id.UserID) bool) {
		first := string(create.Sender())
		if create.Rules().CreatorInContent {
			var ok bool
			if first, ok = create.Content().Get("creator").Text(); !ok {
				return
			}
		}
		if !yield(id.UserID(first)) || !create.Rules().PrivilegedCreators {
			return
		}
		for v := range create.Content().Get("additional_creators").Elements() {
			if user, ok := v.Text(); ok && !yield(id.UserID(user)) {
				return
			}
		}
	}
}

// IsCreator reports whether the user is one of the creators of a room.
func IsCreator(create *event.Event, user id.UserID) bool {
	if isFounder(create, string(user)) {
		return true
	}
	if create.Rules().PrivilegedCreators {
		for v := range create.Content().Get("additional_creators").Elements() {
			if v.Is(string(user)) {
				return true
			}
		}
	}
	return false
}

// isFounder reports whether the user is the one creator that every room has.
func isFounder(create *event.Event, user string) bool {
	if create.Rules().CreatorInContent {
		return create.Content().Get("creator").Is(user)
	}
	return string(create.Sender()) == user
}
