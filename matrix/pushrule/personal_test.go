package pushrule

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"parley/matrix/canonjson"
	"parley/matrix/id"
)

func TestWhatIsKnownOfARoomBeforehand(t *testing.T) {
	const room, other = "!Room:a.test", "!other:a.test"
	type edit = func(s Settings) (Settings, error)
	put := func(kind Kind, ruleID, body string) edit {
		return func(s Settings) (Settings, error) {
			rule, err := ParseRule(kind, ruleID, []byte(body))
			if err != nil {
				return s, err
			}
			return s.PutRule(kind, rule, Position{})
		}
	}
	in := func(roomID string) string { return `{"kind":"event_match","key":"room_id","pattern":"` + roomID + `"}` }
	when := func(actions string, conditions ...string) string {
		return `{"actions":[` + actions + `],"conditions":[` + strings.Join(conditions, ",") + `]}`
	}
	const notify, body = `"notify"`, `{"kind":"event_match","key":"content.body","pattern":"x"}`
	enable := func(kind Kind, ruleID string, enabled bool) edit {
		return func(s Settings) (Settings, error) { return s.SetEnabled(Default(self), kind, ruleID, enabled) }
	}
	act := func(kind Kind, ruleID string, actions ...Action) edit {
		return func(s Settings) (Settings, error) { return s.SetActions(Default(self), kind, ruleID, actions) }
	}
	for _, tt := range []struct {
		name  string
		edits []edit
		want  Effect
	}{
		{"nothing is set", nil, Same},
		{"all is off", []edit{enable(Override, Master, true)}, Silence},
		{"all is off, whatever else", []edit{enable(Override, Master, true), put(Content, "k", `{"actions":["notify"],"pattern":"k"}`)}, Silence},
		{"the room is muted", []edit{put(Override, "m", when("", in(room)))}, Silence},
		{"the room is muted in other letters", []edit{put(Override, "m", when("", in("!rOOm:*")))}, Silence},
		{"another is muted", []edit{put(Override, "m", when("", in(other)))}, Same},
		{"both are", []edit{put(Override, "m", when("", in(room))), put(Override, "n", when("", in(other)))}, Silence},
		{"some of the room is muted", []edit{put(Override, "m", when("", in(room), body))}, Various},
		{"the room is muted, but for something", []edit{put(Override, "m", when("", in(room))), put(Override, "n", when(notify, body))}, Various},
		{"the room is muted not", []edit{put(Override, "m", when("", in(room))), enable(Override, "m", false)}, Same},
		{"everything of the room notifies", []edit{put(Override, "m", when(notify, in(room)))}, Various},
		{"a rule that never matches", []edit{put(Override, "m", when("", `{"kind":"moon_phase"}`))}, Same},
		{"mentions only", []edit{put(Room, room, `{"actions":[]}`)}, Mentions},
		{"mentions only, of another room", []edit{put(Room, other, `{"actions":[]}`)}, Same},
		{"mentions only, and whatever somebody says", []edit{put(Room, room, `{"actions":[]}`), put(Sender, "@bob:a.test", `{"actions":["notify"]}`)}, Mentions},
		{"mentions and keywords", []edit{put(Room, room, `{"actions":[]}`), put(Content, "k", `{"actions":["notify"],"pattern":"k"}`)}, Various},
		{"mentions only, and no mentions", []edit{put(Room, room, `{"actions":[]}`), enable(Override, ".m.rule.is_user_mention", false)}, Various},
		{"all of the room", []edit{put(Room, room, `{"actions":["notify"]}`)}, Various},
		{"a keyword", []edit{put(Content, "k", `{"actions":["notify"],"pattern":"k"}`)}, Various},
		{"nothing of somebody", []edit{put(Sender, "@bob:a.test", `{"actions":[]}`)}, Various},
		{"no messages", []edit{enable(Underride, ".m.rule.message", false)}, Various},
		{"no notices, which is so already", []edit{enable(Override, ".m.rule.suppress_notices", true)}, Same},
		{"other sounds", []edit{act(Underride, ".m.rule.message", Notify(), SetTweak("sound", canonjson.Text("x")))}, Same},
		{"louder", []edit{act(Underride, ".m.rule.message", Notify(), SetTweak("highlight", nil))}, Various},
		{"more in the end", []edit{put(Underride, "u", when(notify, in(room)))}, Various},
		{"more in the end elsewhere", []edit{put(Underride, "u", when(notify, in(other)))}, Same},
	} {
		var s Settings
		var err error
		for _, edit := range tt.edits {
			if s, err = edit(s); err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
		}
		if got := NewPersonal(s, Default(self), self).In(room); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
}

// TestWhatIsKnownBeforehandIsSo holds what is said of a room against the evaluation
// of events in it.
func TestWhatIsKnownBeforehandIsSo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSettings(t)
		room, event, about := drawEvent(t)
		defaults := Proposed{Threads: rapid.Bool().Draw(t, "threads")}.Default(self)
		if defaults.Postcontent != nil {
			about.Thread = rapid.SampledFrom([]Thread{NoThread, Unsubscribed, Subscribed}).Draw(t, "thread")
		}
		p, byDefault := NewPersonal(s, defaults, self), Compile(defaults, self)
		got, given := p.Evaluate(event, about), byDefault.Evaluate(event, about)
		wrong := false
		switch p.In(id.RoomID(room)) {
		case Same:
			wrong = got.Notify != given.Notify || got.Highlight != given.Highlight
		case Silence:
			wrong = got.Notify
		case Mentions:
			if wrong = got.Notify != given.Highlight || got.Highlight != given.Highlight; about.Thread != NoThread {
				wrong = got.Notify != given.Notify || got.Highlight != given.Highlight
			}
		}
		if wrong {
			t.Errorf("in %s: %d, %s: got %+v, by default %+v, settings %+v", room, p.In(id.RoomID(room)), event, got, given, s)
		}
	})
}

// drawSettings draws what somebody may have set, of rooms !a:x and !b:x.
func drawSettings(t *rapid.T) Settings {
	of := func(name string, choices ...string) string { return rapid.SampledFrom(choices).Draw(t, name) }
	actions := func() string { return of("actions", `[]`, `["notify"]`, `["notify",{"set_tweak":"highlight"}]`) }
	roomID := func() string { return of("room", "!a:x", "!b:x") }
	var s Settings
	for range rapid.IntRange(0, 3).Draw(t, "edits") {
		var next Settings
		var err error
		kind := Kind(of("kind", "override", "content", "room", "sender", "underride", "enabled", "actions"))
		switch kind {
		case "enabled":
			ruleID := of("rule", Master, ".m.rule.is_user_mention", ".m.rule.suppress_notices")
			next, err = s.SetEnabled(Default(self), Override, ruleID, rapid.Bool().Draw(t, "on"))
		case "actions":
			list, _ := ParseActions([]byte(`{"actions":` + actions() + `}`))
			next, err = s.SetActions(Default(self), Underride, of("rule", ".m.rule.message", ".m.rule.room_one_to_one"), list)
		default:
			ruleID, body := fmt.Sprint("r", len(s.Rules.Override)+len(s.Rules.Content)), `{"actions":`+actions()
			switch kind {
			case Content:
				body += `,"pattern":"word"`
			case Room:
				ruleID = roomID()
			case Sender:
				ruleID = of("sender", "@bob:a.test", "@carol:a.test")
			default:
				conditions := []string{`{"kind":"event_match","key":"room_id","pattern":"` + roomID() + `"}`}
				if rapid.Bool().Draw(t, "further") {
					conditions = append(conditions, of("condition", `{"kind":"event_match","key":"content.body","pattern":"word"}`, `{"kind":"x"}`, `{"kind":"contains_display_name"}`))
				}
				body += `,"conditions":[` + strings.Join(conditions[rapid.IntRange(0, len(conditions)).Draw(t, "from"):], ",") + `]`
			}
			var rule Rule
			if rule, err = ParseRule(kind, ruleID, []byte(body+"}")); err == nil {
				next, err = s.PutRule(kind, rule, Position{})
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		s = next
	}
	return s
}

// drawEvent draws an event of one of these rooms.
func drawEvent(t *rapid.T) (room string, event canonjson.Value, about Context) {
	of := func(name string, choices ...string) string { return rapid.SampledFrom(choices).Draw(t, name) }
	room = of("room", "!a:x", "!b:x")
	event = canonjson.Value(fmt.Sprintf(`{"content":{"body":%q,"m.mentions":%s,"msgtype":%q},"room_id":%q,"sender":%q,"type":%q}`,
		of("body", "word", "nothing"), of("mentions", `{}`, `{"user_ids":["`+string(self)+`"]}`, `{"room":true}`), of("msgtype", "m.text", "m.notice"),
		room, of("sender", "@bob:a.test", "@carol:a.test", string(self)), of("type", "m.room.message", "m.room.encrypted", "m.other")))
	about = Context{MemberCount: rapid.IntRange(2, 3).Draw(t, "members"), DisplayName: "nothing", SenderLevel: 50}
	return room, event, about
}
