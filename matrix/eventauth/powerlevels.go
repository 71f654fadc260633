package eventauth

import (
	"bytes"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

// levelScalars are the properties of m.room.power_levels that are levels.
var levelScalars = [...]string{"users_default", "events_default", "state_default", "ban", "redact", "kick", "invite"}

// powerLevels is rule 10; level is that of the sender.
func (c *check) powerLevels(level Level) error {
	if err := c.levelShapes(); err != nil {
		return err
	}
	// 5. If there is no previous m.room.power_levels event in the room, allow.
	current := c.state.StateEvent(event.Tuple{Type: event.TypePowerLevels})
	if current == nil {
		return nil
	}
	d := levelChanges{c: c, level: level, old: current.Content(), new: c.e.Content()}
	return d.check()
}

// levelShapes checks what must be so whoever the sender is.
func (c *check) levelShapes() error {
	content := c.e.Content()
	if c.rules.Levels == roomver.LevelsStrict {
		// 1. If any of the properties users_default, events_default,
		// state_default, ban, redact, kick, or invite in content are present
		// and not an integer, reject.
		for _, key := range levelScalars {
			if v := content.Get(key); v != nil && !c.isLevel(v) {
				return c.refuse(LevelsNotIntegers, "%s is %.40s", key, v)
			}
		}
		// 2. If either of the properties events or notifications in content
		// are present and not an object with values that are integers, reject.
		for _, key := range [...]string{"events", "notifications"} {
			if v := content.Get(key); v != nil && !c.isLevelMap(v) {
				return c.refuse(LevelsNotObjects, "%s", key)
			}
		}
	}
	// 3. If the users property in content is not an object with keys that are
	// valid user IDs with values that are integers, reject. (Up to version 9:
	// or a string that is an integer.)
	users := content.Get("users")
	if users != nil && !c.isLevelMap(users) {
		return c.refuse(LevelsUsers, "")
	}
	creators := c.privilegedCreators()
	for name := range users.Members() {
		user := id.UserID(name.String())
		if _, err := id.ParseUserID(string(user)); err != nil {
			return c.refuse(LevelsUsers, "%v", err)
		}
		// 4. If the users property in content contains the sender of the
		// m.room.create event or any of the additional_creators array (if
		// present) from the content of the m.room.create event, reject.
		if _, isCreator := creators[user]; isCreator {
			return c.refuse(LevelsNameCreator, "%s", user)
		}
	}
	if c.rules.Levels == roomver.LevelsFloaty && !inRange(content) {
		return c.refuse(LevelsNewAboveSender, "a level is beyond binary64")
	}
	return nil
}

// privilegedCreators returns the creators that must not be given a level, as a
// set: an event has room for thousands of them, and another for as many users.
func (c *check) privilegedCreators() map[id.UserID]struct{} {
	if !c.rules.PrivilegedCreators {
		return nil
	}
	set := make(map[id.UserID]struct{})
	for user := range Creators(c.create) {
		set[user] = struct{}{}
	}
	return set
}

// inRange reports whether all numbers in power levels can be held by a binary64.
// Where they may be floats the event is refused otherwise, by no rule that has
// a number:
// https://spec.matrix.org/v1.19/rooms/v1/#mroompower_levels-events-accept-values-as-floats
func inRange(v canonjson.Value) bool {
	if v.Kind() == canonjson.Number {
		_, ok := readLevel(v, roomver.LevelsFloaty)
		return ok
	}
	for _, member := range v.Members() {
		if !inRange(member) {
			return false
		}
	}
	return true
}

func (c *check) isLevel(v canonjson.Value) bool {
	_, ok := readLevel(v, c.rules.Levels)
	return ok
}

func (c *check) isLevelMap(v canonjson.Value) bool {
	if v.Kind() != canonjson.Object {
		return false
	}
	for _, level := range v.Members() {
		if !c.isLevel(level) {
			return false
		}
	}
	return true
}

// levelChanges compares the power levels in force with those that are to
// replace them.
type levelChanges struct {
	c        *check
	level    Level // of the sender
	old, new canonjson.Value
}

func (d levelChanges) check() error {
	// 6. For the properties users_default, events_default, state_default, ban,
	// redact, kick, invite check if they were added, changed or removed. For
	// each found alteration:
	for _, key := range levelScalars {
		change := d.compare(d.old.Get(key), d.new.Get(key))
		// 1. If the current value is higher than the sender's current power
		// level, reject.
		if change.any && change.old > d.level {
			return d.c.refuse(LevelsOldAboveSender, "%s", key)
		}
		// 2. If the new value is higher than the sender's current power level,
		// reject.
		if change.any && change.new > d.level {
			return d.c.refuse(LevelsNewAboveSender, "%s", key)
		}
	}
	if err := d.events("events"); err != nil {
		return err
	}
	if d.c.rules.NotificationLevels {
		if err := d.events("notifications"); err != nil {
			return err
		}
	}
	return d.users()
}

// events checks the entries of events or notifications.
func (d levelChanges) events(key string) error {
	if v := d.new.Get(key); v != nil && v.Kind() != canonjson.Object && !bytes.Equal(v, d.old.Get(key)) {
		return d.c.refuse(LevelsEventNewAboveSender, "%s is not an object", key)
	}
	return d.entries(key, func(name canonjson.Value, change levelChange) error {
		// 7. For each entry being changed in, or removed from, the events or
		// notifications properties: If the current value is greater than the
		// sender's current power level, reject.
		if change.old > d.level {
			return d.c.refuse(LevelsEventOldAboveSender, "%s: %.255s", key, name)
		}
		// 8. For each entry being added to, or changed in, the events or
		// notifications properties: If the new value is greater than the
		// sender's current power level, reject.
		if change.new > d.level {
			return d.c.refuse(LevelsEventNewAboveSender, "%s: %.255s", key, name)
		}
		return nil
	})
}

func (d levelChanges) users() error {
	return d.entries("users", func(name canonjson.Value, change levelChange) error {
		// 9. For each entry being changed in, or removed from, the users
		// property, other than the sender's own entry: If the current value is
		// greater than or equal to the sender's current power level, reject.
		if change.old >= d.level && change.had && !name.Is(string(d.c.e.Sender())) {
			return d.c.refuse(LevelsUserNotBelowSender, "%.255s", name)
		}
		// 10. For each entry being added to, or changed in, the users
		// property: If the new value is greater than the sender's current
		// power level, reject.
		if change.new > d.level {
			return d.c.refuse(LevelsUserNewAboveSender, "%.255s", name)
		}
		return nil
	})
}

// entries calls f for each entry that changes between the objects under key.
// Both have their members in one order, so they are walked side by side: a
// lookup per entry would be quadratic in what a sender may write.
func (d levelChanges) entries(key string, f func(name canonjson.Value, change levelChange) error) error {
	old, new := d.old.Get(key), d.new.Get(key)
	if bytes.Equal(old, new) {
		return nil
	}
	olds, news := entriesOf(old), entriesOf(new)
	for len(olds) > 0 || len(news) > 0 {
		var was, is levelEntry
		order := 0
		switch {
		case len(olds) == 0:
			order = 1
		case len(news) == 0:
			order = -1
		default:
			order = canonjson.Compare(olds[0].name, news[0].name)
		}
		if order <= 0 {
			was, olds = olds[0], olds[1:]
		}
		if order >= 0 {
			is, news = news[0], news[1:]
		}
		name := is.name
		if name == nil {
			name = was.name
		}
		if change := d.compare(was.level, is.level); change.any {
			if err := f(name, change); err != nil {
				return err
			}
		}
	}
	return nil
}

type levelEntry struct {
	name, level canonjson.Value
}

func entriesOf(object canonjson.Value) []levelEntry {
	var entries []levelEntry
	for name, level := range object.Members() {
		entries = append(entries, levelEntry{name, level})
	}
	return entries
}

// levelChange is how one level changes. A level that is absent is below every
// sender.
type levelChange struct {
	any, had bool
	old, new Level
}

const absent Level = -1 << 63

// compare compares two levels, each nil when absent. One that cannot be read
// counts, when it is new, as above everybody: nobody may bring it in. If it is
// there already it may stay.
func (d levelChanges) compare(old, new canonjson.Value) levelChange {
	change := levelChange{old: absent, new: absent}
	if old != nil && bytes.Equal(old, new) {
		return change
	}
	if old != nil {
		change.old, change.had = readLevel(old, d.c.rules.Levels)
	}
	if new == nil {
		change.any = change.had
		return change
	}
	level, ok := readLevel(new, d.c.rules.Levels)
	if !ok {
		level = Creator
	}
	change.new = level
	change.any = !change.had || change.old != change.new
	return change
}
