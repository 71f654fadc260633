package eventauth_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"parley/internal/roomtest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

// The ranges of versions in which levels may be written in one way, told from
// the numbers of the rules rather than from the table of room versions.
func floatsAllowed(rules *roomver.Rules) bool {
	return specNumber(eventauth.AliasesNoStateKey, rules) != ""
}

func stringsAllowed(rules *roomver.Rules) bool {
	return specNumber(eventauth.LevelsNotIntegers, rules) == ""
}

const (
	unread  = eventauth.Level(math.MinInt64 + 77) // no level of the table
	highest = eventauth.Level(math.MaxInt64 - 1)
	lowest  = eventauth.Level(math.MinInt64)
)

var levelForms = []struct {
	json string
	// What the value is worth in versions 1 to 5, 6 to 9 and from 10 on.
	floaty, stringy, strict eventauth.Level
}{
	{`50`, 50, 50, 50},
	{`-50`, -50, -50, -50},
	{`0`, 0, 0, 0},
	{`9007199254740991`, 1<<53 - 1, 1<<53 - 1, 1<<53 - 1},
	{`-9007199254740991`, -1<<53 + 1, -1<<53 + 1, -1<<53 + 1},

	{`"50"`, 50, 50, unread},
	{`"-50"`, -50, -50, unread},
	{`"+50"`, 50, 50, unread},
	{`"00050"`, 50, 50, unread},
	{`" 50 "`, 50, 50, unread},
	{`"\t\n\r50"`, 50, 50, unread},
	{`" -00050 "`, -50, -50, unread},
	{`"000"`, 0, 0, unread},
	{`"9223372036854775807"`, highest, highest, unread},
	{`"99999999999999999999"`, highest, highest, unread},
	{`"-99999999999999999999"`, lowest, lowest, unread},

	{`50.57`, 50, unread, unread},
	{`-50.57`, -50, unread, unread},
	{`0.99`, 0, unread, unread},
	{`5.114698E4`, 51146, unread, unread},
	{`5e1`, 50, unread, unread},
	{`-1e-9`, 0, unread, unread},
	{`1e300`, highest, unread, unread},
	{`-1e300`, lowest, unread, unread},
	{`9.223372036854775808e18`, highest, unread, unread},
	{`-9.223372036854775808e18`, lowest, unread, unread},
	{`9223372036854775807`, highest, unread, unread},
	{`99999999999999999999`, highest, unread, unread},
	{`1` + strings.Repeat("0", 400), unread, unread, unread},

	{`""`, unread, unread, unread},
	{`" "`, unread, unread, unread},
	{`"+"`, unread, unread, unread},
	{`"+-50"`, unread, unread, unread},
	{`"- 50"`, unread, unread, unread},
	{`"5 0"`, unread, unread, unread},
	{`"50.0"`, unread, unread, unread},
	{`"5e1"`, unread, unread, unread},
	{`"0x32"`, unread, unread, unread},
	{`"5_0"`, unread, unread, unread},
	{`"\u0665\u0660"`, unread, unread, unread}, // digits, but not ASCII ones
	{`"NaN"`, unread, unread, unread},
	{`"Infinity"`, unread, unread, unread},
	{`true`, unread, unread, unread},
	{`null`, unread, unread, unread},
	{`[50]`, unread, unread, unread},
	{`{"level":50}`, unread, unread, unread},
}

func TestLevelForms(t *testing.T) {
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		main := roomtest.New(t, rules.Version).Create(alice, nil)
		main.Send(roomtest.Join(alice))
		for _, row := range levelForms {
			want := row.strict
			switch {
			case floatsAllowed(rules):
				want = row.floaty
			case stringsAllowed(rules):
				want = row.stringy
			}
			e, err := main.TryBuild(roomtest.PowerLevels(alice, fmt.Sprintf(
				`{"users":{"@bob:b.test":%[1]s},"users_default":7,"ban":%[1]s,"events":{"m.custom":%[1]s},"notifications":{"room":%[1]s}}`, row.json)))
			if err != nil {
				if floatsAllowed(rules) || want != unread {
					t.Errorf("%s: %v", row.json, err)
				}
				continue // a number that is not canonical JSON
			}
			or := func(otherwise eventauth.Level) eventauth.Level {
				if want == unread {
					return otherwise
				}
				return want
			}
			l := eventauth.NewLevels(main.Room().CreateEvent(), e)
			for _, answer := range []struct {
				of        string
				got, want eventauth.Level
			}{
				{"bob", l.User(bob), or(7)},
				{"ban", l.Ban(), or(50)},
				{"m.custom", l.Send("m.custom", false), or(0)},
				{"m.custom as state", l.Send("m.custom", true), or(50)},
				{"room notifications", l.Notification("room"), or(50)},
			} {
				if answer.got != answer.want {
					t.Errorf("%s: level of %s: got %d, want %d", row.json, answer.of, answer.got, answer.want)
				}
			}
			verdict := eventauth.Rule(0)
			switch {
			case want == unread && stringsAllowed(rules):
				verdict = eventauth.LevelsUsers
			case want == unread:
				verdict = eventauth.LevelsNotIntegers
			}
			wantVerdict(t, rules, judgeEvent(main, e), verdict)
		}
	})
}

func TestLevelBeyondFloatsIsNoEvent(t *testing.T) {
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		main := roomtest.New(t, rules.Version).Create(alice, nil)
		for _, value := range []string{`1e400`, `-1e400`, `NaN`, `Infinity`} {
			if e, err := main.TryBuild(roomtest.PowerLevels(alice, `{"ban":`+value+`}`)); err == nil {
				t.Errorf("%s: got event %s, want an error", value, e.JSON())
			}
		}
	})
}

// TestFirstLevelsBeyondFloats: where no rule looks at the other levels of the
// first power levels, an integer that no binary64 can hold still refuses them.
func TestFirstLevelsBeyondFloats(t *testing.T) {
	huge := "1" + strings.Repeat("0", 400)
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		if !floatsAllowed(rules) {
			return // it is not canonical JSON
		}
		for _, content := range []string{`{"ban":%s}`, `{"events":{"x":%s}}`, `{"notifications":{"room":%s}}`} {
			main := roomtest.New(t, rules.Version).Create(alice, nil)
			main.Send(roomtest.Join(alice))
			wantVerdict(t, rules, judge(main, roomtest.PowerLevels(alice, fmt.Sprintf(content, "1"))), 0)
			wantVerdict(t, rules, judge(main, roomtest.PowerLevels(alice, fmt.Sprintf(content, huge))), eventauth.LevelsNewAboveSender)
		}
	})
}

func TestLevelDefaults(t *testing.T) {
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		main := roomtest.New(t, rules.Version).Create(alice, `{"additional_creators":["@carol:c.test",7]}`)
		none := eventauth.LevelsIn(main)
		main.Send(roomtest.PowerLevels(alice, `{}`))
		empty := eventauth.LevelsIn(main)
		var without, with, additional eventauth.Level = 100, 0, 0
		if rules.PrivilegedCreators {
			without, with, additional = eventauth.Creator, eventauth.Creator, eventauth.Creator
		}
		for _, row := range []struct {
			name                   string
			ask                    func(eventauth.Levels) eventauth.Level
			wantNone, wantEmptyObj eventauth.Level
		}{
			{"creator", func(l eventauth.Levels) eventauth.Level { return l.User(alice) }, without, with},
			{"additional creator", func(l eventauth.Levels) eventauth.Level { return l.User(carol) }, additional, additional},
			{"user", func(l eventauth.Levels) eventauth.Level { return l.User(bob) }, 0, 0},
			{"message", func(l eventauth.Levels) eventauth.Level { return l.Send("m.room.message", false) }, 0, 0},
			{"state", func(l eventauth.Levels) eventauth.Level { return l.Send("m.room.name", true) }, 50, 50},
			{"invite", eventauth.Levels.Invite, 0, 0},
			{"kick", eventauth.Levels.Kick, 50, 50},
			{"ban", eventauth.Levels.Ban, 50, 50},
			{"redact", eventauth.Levels.Redact, 50, 50},
			{"notification", func(l eventauth.Levels) eventauth.Level { return l.Notification("room") }, 50, 50},
		} {
			if got := row.ask(none); got != row.wantNone {
				t.Errorf("%s without power levels: got %d, want %d", row.name, got, row.wantNone)
			}
			if got := row.ask(empty); got != row.wantEmptyObj {
				t.Errorf("%s with empty power levels: got %d, want %d", row.name, got, row.wantEmptyObj)
			}
		}
	})
	var l eventauth.Levels
	if l.User(alice) != 0 || l.Ban() != 50 || l.Send("m.room.name", true) != 50 {
		t.Error("the levels of no room are not the defaults")
	}
	if l := eventauth.LevelsIn(eventauth.MapState{}); l.User(alice) != 0 {
		t.Error("a state without a create event gives somebody power")
	}
}

func TestLevelsOfCreatorNamedByContent(t *testing.T) {
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		main := roomtest.New(t, rules.Version).Create(alice, `{"creator":"@bob:b.test","additional_creators":["@carol:c.test",7,"@dave:d.test"]}`)
		creator, other := alice, bob
		if rules.CreatorInContent {
			creator, other = bob, alice
		}
		if l := eventauth.LevelsIn(main); l.User(creator) < 100 || l.User(other) != 0 {
			t.Errorf("got %d for the creator %s, %d for %s", l.User(creator), creator, l.User(other), other)
		}
		want := []id.UserID{creator}
		if rules.PrivilegedCreators {
			want = append(want, carol, dave)
		}
		if got := slices.Collect(eventauth.Creators(main.Room().CreateEvent())); !slices.Equal(got, want) {
			t.Errorf("got creators %q, want %q", got, want)
		}
		for _, user := range []id.UserID{alice, bob, carol, dave} {
			if got := eventauth.IsCreator(main.Room().CreateEvent(), user); got != slices.Contains(want, user) {
				t.Errorf("%s is a creator: got %v", user, got)
			}
		}
	})
}

// levelRow is a change of power levels by mod, who has 50.
type levelRow struct {
	name          string
	before, after string // changes to the levels of the scene
	want          eventauth.Rule
	in            func(*roomver.Rules) bool // the versions; nil for all
}

func from6(rules *roomver.Rules) bool { return !floatsAllowed(rules) }

func strings6(rules *roomver.Rules) bool { return stringsAllowed(rules) && !floatsAllowed(rules) }

func from10(rules *roomver.Rules) bool { return !stringsAllowed(rules) }

var levelRows = []levelRow{
	{"nothing changes", `{"ban":60}`, `{"ban":60}`, 0, nil},
	{"another property is added", `{}`, `{"org.example.note":"kept"}`, 0, nil},

	{"own level lowered", `{}`, `{"users":{"@mod:m.test":0}}`, 0, nil},
	{"own level raised", `{}`, `{"users":{"@mod:m.test":51}}`, eventauth.LevelsUserNewAboveSender, nil},
	{"own entry removed", `{}`, `{"users":{"@mod:m.test":null}}`, 0, nil},
	{"entry of an equal removed", `{}`, `{"users":{"@peer:p.test":null}}`, eventauth.LevelsUserNotBelowSender, nil},
	{"level of another raised to own", `{}`, `{"users":{"@bob:b.test":50}}`, 0, nil},
	{"level of another raised above own", `{}`, `{"users":{"@bob:b.test":51}}`, eventauth.LevelsUserNewAboveSender, nil},
	{"level of an equal lowered", `{}`, `{"users":{"@peer:p.test":0}}`, eventauth.LevelsUserNotBelowSender, nil},
	{"level of an equal raised", `{}`, `{"users":{"@peer:p.test":51}}`, eventauth.LevelsUserNotBelowSender, nil},
	{"level of one just below lowered", `{"users":{"@bob:b.test":49}}`, `{"users":{"@bob:b.test":0}}`, 0, nil},
	{"level of a superior lowered", `{"users":{"@bob:b.test":51}}`, `{"users":{"@bob:b.test":50}}`, eventauth.LevelsUserNotBelowSender, nil},
	{"entry below removed", `{"users":{"@bob:b.test":49}}`, `{}`, 0, nil},
	{"entry equal removed", `{"users":{"@bob:b.test":50}}`, `{}`, eventauth.LevelsUserNotBelowSender, nil},
	{"entry far above unchanged", `{"users":{"@bob:b.test":90}}`, `{"users":{"@bob:b.test":90},"ban":40}`, 0, nil},
	{"all users removed", `{}`, `{"users":null}`, eventauth.LevelsUsers, nil},
	{"users is a list", `{}`, `{"users":[]}`, eventauth.LevelsUsers, nil},
	{"users has an entry that is no user ID", `{}`, `{"users":{"#room:b.test":0}}`, eventauth.LevelsUsers, nil},
	{"users has a historical user ID", `{}`, `{"users":{"@Böb !:b.test":0}}`, 0, nil},
	{"users_default raised to own", `{}`, `{"users_default":50}`, 0, nil},

	{"event type added at own level", `{}`, `{"events":{"m.custom":50}}`, 0, nil},
	{"event type added above", `{}`, `{"events":{"m.custom":51}}`, eventauth.LevelsEventNewAboveSender, nil},
	{"event type raised above", `{"events":{"m.custom":50}}`, `{"events":{"m.custom":51}}`, eventauth.LevelsEventNewAboveSender, nil},
	{"event type lowered from above", `{"events":{"m.custom":51}}`, `{"events":{"m.custom":0}}`, eventauth.LevelsEventOldAboveSender, nil},
	{"event type above removed", `{"events":{"m.custom":51}}`, `{"events":{}}`, eventauth.LevelsEventOldAboveSender, nil},
	{"all event types removed, one above", `{"events":{"m.custom":51}}`, `{}`, eventauth.LevelsEventOldAboveSender, nil},
	{"event type at own level removed", `{"events":{"m.custom":50}}`, `{}`, 0, nil},
	{"event type above unchanged among others", `{"events":{"m.a":1,"m.custom":90,"m.z":1}}`, `{"events":{"m.b":2,"m.custom":90}}`, 0, nil},
	{"names that sort around an escape", `{"events":{"a\"":90,"a\\":1,"a#":1}}`, `{"events":{"a\"":90,"a#":2}}`, 0, nil},

	{"notification raised above", `{}`, `{"notifications":{"room":51}}`, eventauth.LevelsEventNewAboveSender, from6},
	{"notification lowered from above", `{"notifications":{"room":51}}`, `{"notifications":{"room":50}}`, eventauth.LevelsEventOldAboveSender, from6},
	{"notification above removed", `{"notifications":{"room":51}}`, `{}`, eventauth.LevelsEventOldAboveSender, from6},
	{"notification at own level", `{}`, `{"notifications":{"room":50}}`, 0, nil},
	{"notification above, not looked at", `{}`, `{"notifications":{"room":51}}`, 0, floatsAllowed},
	{"notification malformed, not looked at", `{}`, `{"notifications":["room"]}`, 0, floatsAllowed},

	{"string instead of the same number", `{"ban":60}`, `{"ban":"60"}`, 0, stringsAllowed},
	{"number instead of the same string", `{"ban":"60","users":{"@peer:p.test":"50"}}`, `{"ban":60}`, 0, stringsAllowed},
	{"another spelling of the same level", `{"users":{"@bob:b.test":"+90"}}`, `{"users":{"@bob:b.test":" 0090 "}}`, 0, stringsAllowed},
	{"string above", `{}`, `{"ban":"51"}`, eventauth.LevelsNewAboveSender, stringsAllowed},
	{"fraction that does not matter", `{"ban":60.9}`, `{"ban":60}`, 0, floatsAllowed},
	{"fraction that is cut to own level", `{}`, `{"ban":50.9}`, 0, floatsAllowed},
	{"exponent above", `{}`, `{"ban":5.1E1}`, eventauth.LevelsNewAboveSender, floatsAllowed},
	{"lowest level of all removed", `{"users":{"@bob:b.test":"-9223372036854775808"}}`, `{}`, 0, stringsAllowed},
	{"lowest level of all added", `{}`, `{"users":{"@bob:b.test":"-9223372036854775808"}}`, 0, stringsAllowed},

	{"scalar that is no level", `{}`, `{"ban":"sixty"}`, eventauth.LevelsNewAboveSender, stringsAllowed},
	{"scalar that is no level, kept", `{"ban":null}`, `{"ban":null,"kick":49}`, 0, stringsAllowed},
	{"scalar that is no level, changed to another", `{"ban":null}`, `{"ban":"sixty"}`, eventauth.LevelsNewAboveSender, stringsAllowed},
	{"events that are no object, kept", `{"events":null}`, `{"events":null,"kick":49}`, 0, stringsAllowed},
	{"events that are no object, changed to another", `{"events":null}`, `{"events":[]}`, eventauth.LevelsEventNewAboveSender, stringsAllowed},
	{"scalar that was no level, mended", `{"ban":null}`, `{"ban":50}`, 0, stringsAllowed},
	{"scalar that was no level, mended above", `{"ban":null}`, `{"ban":51}`, eventauth.LevelsNewAboveSender, stringsAllowed},
	{"scalar that was no level, removed", `{"ban":null}`, `{}`, 0, stringsAllowed},
	{"events is a list", `{}`, `{"events":[]}`, eventauth.LevelsEventNewAboveSender, stringsAllowed},
	{"event type that is no level", `{}`, `{"events":{"m.custom":null}}`, eventauth.LevelsEventNewAboveSender, stringsAllowed},
	{"notifications is a list", `{}`, `{"notifications":[]}`, eventauth.LevelsEventNewAboveSender, strings6},

	{"scalar is a string", `{}`, `{"kick":"0"}`, eventauth.LevelsNotIntegers, from10},
	{"scalar is null", `{}`, `{"invite":null}`, eventauth.LevelsNotIntegers, from10},
	{"events is a list", `{}`, `{"events":[]}`, eventauth.LevelsNotObjects, from10},
	{"event type is a string", `{}`, `{"events":{"m.custom":"0"}}`, eventauth.LevelsNotObjects, from10},
	{"notifications is a list", `{}`, `{"notifications":[]}`, eventauth.LevelsNotObjects, from10},
	{"notification is a string", `{}`, `{"notifications":{"room":"0"}}`, eventauth.LevelsNotObjects, from10},
	{"user is a string", `{}`, `{"users":{"@bob:b.test":"0"}}`, eventauth.LevelsUsers, from10},
}

func TestChangesOfLevels(t *testing.T) {
	for _, row := range levelRows {
		t.Run(row.name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
				if row.in == nil || row.in(rules) {
					main := scene(t, rules)
					main.Send(levels(main, row.before))
					wantVerdict(t, rules, judge(main, levelsBy(main, mod, row.after)), row.want)
				}
			})
		})
	}
}

func TestChangesOfEachScalar(t *testing.T) {
	for _, key := range strings.Fields("users_default events_default state_default ban redact kick invite") {
		t.Run(key, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
				main := scene(t, rules)
				for _, row := range []struct {
					before, after string // values, "" for none
					want          eventauth.Rule
				}{
					{"", "50", 0},
					{"", "51", eventauth.LevelsNewAboveSender},
					{"50", "", 0},
					{"50", "-1", 0},
					{"50", "51", eventauth.LevelsNewAboveSender},
					{"51", "50", eventauth.LevelsOldAboveSender},
					{"51", "", eventauth.LevelsOldAboveSender},
					{"51", "52", eventauth.LevelsOldAboveSender},
					{"51", "51", 0},
				} {
					content := func(value string) string {
						if value == "" {
							return `{}`
						}
						return fmt.Sprintf(`{%q:%s}`, key, value)
					}
					b := main.Fork()
					// Whatever state_default becomes, mod may change levels.
					before := overlay(canonical(`{"events":{"m.room.power_levels":50}}`), canonical(content(row.before)))
					after := overlay(canonical(`{"events":{"m.room.power_levels":50}}`), canonical(content(row.after)))
					b.Send(levels(b, string(before)))
					wantVerdict(t, rules, judge(b, levelsBy(b, mod, string(after))), row.want)
				}
			})
		})
	}
}

func TestFirstPowerLevels(t *testing.T) {
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		main := roomtest.New(t, rules.Version).Create(alice, nil)
		main.Send(roomtest.Join(alice), roomtest.JoinRules(alice, "public"), roomtest.Join(bob))
		const beyond = `{"users":{"@carol:c.test":9007199254740991},"ban":9007199254740991,"events":{"m.a":9007199254740991}}`
		wantVerdict(t, rules, judge(main, roomtest.PowerLevels(alice, beyond)), 0)
		wantVerdict(t, rules, judge(main, roomtest.PowerLevels(alice, `{}`)), 0)
		wantVerdict(t, rules, judge(main, roomtest.PowerLevels(bob, `{}`)), eventauth.RequiredLevel)
		wantVerdict(t, rules, judge(main, roomtest.PowerLevels(alice, `{"users":{"carol":1}}`)), eventauth.LevelsUsers)
		malformed := eventauth.Rule(0)
		if !stringsAllowed(rules) {
			malformed = eventauth.LevelsNotIntegers
		}
		wantVerdict(t, rules, judge(main, roomtest.PowerLevels(alice, `{"ban":"high"}`)), malformed)
	})
}

// The rule goes by type alone: under another state key, or as no state at all,
// the event is held against the levels in force too.
func TestPowerLevelsInOtherPlaces(t *testing.T) {
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		main := scene(t, rules)
		s := levelsBy(main, mod, `{"ban":51}`)
		s.StateKey = new("elsewhere")
		wantVerdict(t, rules, judge(main, s), eventauth.LevelsNewAboveSender)
		s = levelsBy(main, bob, `{"ban":1}`)
		s.StateKey = nil
		wantVerdict(t, rules, judge(main, s), eventauth.LevelsNewAboveSender)
		main.Send(roomtest.State(alice, event.TypePowerLevels, "elsewhere", `{"ban":0}`))
		wantVerdict(t, rules, judge(main, roomtest.Ban(bob, dave)), eventauth.BanLevel)
	})
}

func TestPowerLevelsNamingCreators(t *testing.T) {
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		main := sceneOf(t, rules, `{"additional_creators":["@carol:c.test"]}`)
		for _, row := range []struct {
			users string
			rule  eventauth.Rule
		}{
			{`{"@alice:a.test":100}`, eventauth.LevelsNameCreator},
			{`{"@carol:c.test":0}`, eventauth.LevelsNameCreator},
			{`{"@dave:d.test":0}`, 0},
		} {
			want := row.rule
			if !rules.PrivilegedCreators {
				want = 0
			}
			wantVerdict(t, rules, judge(main, levels(main, `{"users":`+row.users+`}`)), want)
		}
	})
}

// manyUsers is power levels by mod: those of the scene and n users of level 1.
func manyUsers(b *roomtest.Branch, n int, changed string) roomtest.Spec {
	users := []byte(`{"@mod:m.test":50,"@peer:p.test":50`)
	if !b.Room().Rules().PrivilegedCreators {
		users = append(users, `,"@alice:a.test":100`...)
	}
	for i := range n {
		users = fmt.Appendf(users, `,"@user%05d:u.test":1`, i)
	}
	users = append(users, '}')
	return roomtest.PowerLevels(mod, canonjson.Value(nil).With("users", canonical(string(users))).With("topic", canonjson.Text(changed)))
}

func TestPowerLevelsOfTwoThousandUsers(t *testing.T) {
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		main := scene(t, rules)
		main.Send(manyUsers(main, 2000, "before"))
		wantVerdict(t, rules, judge(main, manyUsers(main, 2000, "after")), 0)
		wantVerdict(t, rules, judge(main, manyUsers(main, 1999, "after")), 0)
		wantVerdict(t, rules, judge(main, manyUsers(main, 2001, "after")), 0)
		s := manyUsers(main, 2000, "after")
		s.Sender = "@user00000:u.test"
		wantVerdict(t, rules, judge(main, s), eventauth.SenderNotJoined)
	})
}
