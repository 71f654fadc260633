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
// as integers whatever they were, less the new creators, where these may have no level.
// Where they must have one, the creators of the old room, who had none, get one
// that suffices for everything.
func (e estate) inheritedLevels(sender id.UserID, creators []id.UserID, to *roomver.Rules) canonjson.Value {
	old := e.content(event.TypePowerLevels)
	if old == nil {
		return NewRoom{Creator: sender}.levels(to)
	}
	content := canonjson.Value("{}")
	top := eventauth.Level(100)
	for _, scalar := range scalars {
		level := scalar.of(e.levels)
		top = max(top, level)
		content = content.With(scalar.name, number(level))
	}
	events := canonjson.Value("{}")
	for name := range old.Get("events").Members() {
		level := e.levels.Send(name.String(), true)
		top = max(top, level)
		events = events.With(name.String(), number(level))
	}
	if to.PrivilegedCreators {
		events = e.withTombstone(events)
	}
	users := canonjson.Value("{}")
	for name := range old.Get("users").Members() {
		user := id.UserID(name.String())
		if _, err := id.ParseUserID(string(user)); err != nil || to.PrivilegedCreators && (user == sender || slices.Contains(creators, user)) {
			continue
		}
		level := e.levels.User(user)
		top = max(top, level)
		users = users.With(string(user), number(level))
	}
	if e.rules.PrivilegedCreators && !to.PrivilegedCreators {
		for user := range eventauth.Creators(e.state[event.Tuple{Type: event.TypeCreate}]) {
			users = users.With(string(user), number(top))
		}
	}
	if list := old.Get("notifications"); list.Kind() == canonjson.Object {
		notifications := canonjson.Value("{}")
		for name := range list.Members() {
			notifications = notifications.With(name.String(), number(e.levels.Notification(name.String())))
		}
		content = content.With("notifications", notifications)
	}
	return content.With("events", events).With("users", users)
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
