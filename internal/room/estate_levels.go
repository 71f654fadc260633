package room

import (
	"slices"
	"strconv"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

// The levels of a room that say what takes which power.
var scalars = [...]struct {
	name string
	of   func(eventauth.Levels) eventauth.Level
}{
	{"ban", eventauth.Levels.Ban}, {"kick", eventauth.Levels.Kick}, {"redact", eventauth.Levels.Redact}, {"invite", eventauth.Levels.Invite},
	{"events_default", eventsDefault}, {"state_default", stateDefault}, {"users_default", usersDefault},
}

// noType is no type of an event that anybody gives a level to.
const noType = "\x00"

func eventsDefault(l eventauth.Levels) eventauth.Level { return l.Send(noType, false) }
func stateDefault(l eventauth.Levels) eventauth.Level  { return l.Send(noType, true) }
func usersDefault(l eventauth.Levels) eventauth.Level  { return l.User("") }

// tombstoneLevel is the level that upgrading a room takes where whoever does it
// becomes its creator, and stands above all others.
const tombstoneLevel = 150

// inheritedLevels returns the power levels of the new room: what the old ones mean,
// as integers whatever they were, less the new creators, where these may have no
// level. Where they must have one, the creators of the old room, who had none, get
// one that suffices for everything.
func (e estate) inheritedLevels(sender id.UserID, creators []id.UserID, to *roomver.Rules) canonjson.Value {
	old := e.content(event.TypePowerLevels)
	if old == nil {
		return NewRoom{Creator: sender}.levels(to)
	}
	content := canonjson.Value("{}")
	for _, scalar := range scalars {
		content = content.With(scalar.name, number(scalar.of(e.levels)))
	}
	events := levelsOf(old.Get("events"), func(eventType string) eventauth.Level { return e.levels.Send(eventType, true) })
	users := levelsOf(old.Get("users").Filter(func(name canonjson.Value) bool {
		user, err := id.ParseUserID(name.String())
		return err == nil && !(to.PrivilegedCreators && (user == sender || slices.Contains(creators, user)))
	}), func(user string) eventauth.Level { return e.levels.User(id.UserID(user)) })
	switch {
	case to.PrivilegedCreators:
		events = e.withTombstone(events)
	case e.rules.PrivilegedCreators:
		top := number(max(100, highest(content), highest(events), highest(users)))
		for user := range eventauth.Creators(e.state[event.Tuple{Type: event.TypeCreate}]) {
			users = users.With(string(user), top)
		}
	}
	if list := old.Get("notifications"); list.Kind() == canonjson.Object {
		content = content.With("notifications", levelsOf(list, e.levels.Notification))
	}
	return content.With("events", events).With("users", users)
}

// levelsOf returns an object with the names of another one, and their levels.
func levelsOf(list canonjson.Value, of func(name string) eventauth.Level) canonjson.Value {
	levels := canonjson.Value("{}")
	for name := range list.Members() {
		levels = levels.With(name.String(), number(of(name.String())))
	}
	return levels
}

// highest returns the highest level in an object of levels.
func highest(levels canonjson.Value) (top eventauth.Level) {
	for _, v := range levels.Members() {
		n, _ := v.Int()
		top = max(top, eventauth.Level(n))
	}
	return top
}

// withTombstone returns levels of events in which a tombstone takes more than
// other state. A room whose creators were like others had a level for it that was
// given for less than it is worth now.
func (e estate) withTombstone(events canonjson.Value) canonjson.Value {
	level := e.levels.Send(typeTombstone, true)
	if !e.rules.PrivilegedCreators {
		level = max(level, tombstoneLevel)
	}
	if least := stateDefault(e.levels) + 1; level < least {
		level = max(least, tombstoneLevel)
	}
	return events.With(typeTombstone, number(level))
}

// raisedLevels returns power levels of the old room by which nobody talks there
// any more who has no power, nil if that is so already.
func (e estate) raisedLevels() canonjson.Value {
	content := e.content(event.TypePowerLevels)
	if content == nil {
		content = canonjson.Value("{}")
		if create := e.state[event.Tuple{Type: event.TypeCreate}]; create != nil && !e.rules.PrivilegedCreators {
			for user := range eventauth.Creators(create) {
				content = content.With("users", object(string(user), level(100)))
			}
		}
	}
	least := max(50, usersDefault(e.levels)+1)
	changed := false
	for _, raised := range []struct {
		name string
		now  eventauth.Level
	}{{"events_default", eventsDefault(e.levels)}, {"invite", e.levels.Invite()}} {
		if raised.now < least {
			content, changed = content.With(raised.name, number(least)), true
		}
	}
	if !changed {
		return nil
	}
	return content
}

// maxLevel is the greatest level that is a number in every room version.
const maxLevel = 1<<53 - 1

func number(l eventauth.Level) canonjson.Value {
	return canonjson.Value(strconv.FormatInt(int64(min(max(l, -maxLevel), maxLevel)), 10))
}
