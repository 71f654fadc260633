package pushrule

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"parley/matrix/canonjson"
	"parley/matrix/mxerr"
)

// TestDefaultIsWhatTheSpecificationSays compares each rule as canonical JSON, in
// order, with what the section on predefined rules defines, and MSC4028 beside it.
func TestDefaultIsWhatTheSpecificationSays(t *testing.T) {
	rows := []struct {
		kind  Kind
		rules []string
	}{
		{Override, []string{
			`{"actions":[],"conditions":[],"default":true,"enabled":false,"rule_id":".m.rule.master"}`,
			`{"actions":["notify"],"conditions":[{"key":"type","kind":"event_match","pattern":"m.room.encrypted"}],"default":true,"enabled":false,"rule_id":".org.matrix.msc4028.encrypted_event"}`,
			`{"actions":[],"conditions":[{"key":"content.msgtype","kind":"event_match","pattern":"m.notice"}],"default":true,"enabled":true,"rule_id":".m.rule.suppress_notices"}`,
			`{"actions":["notify",{"set_tweak":"sound","value":"default"}],"conditions":[{"key":"type","kind":"event_match","pattern":"m.room.member"},{"key":"content.membership","kind":"event_match","pattern":"invite"},{"key":"state_key","kind":"event_match","pattern":"@alice:example.org"}],"default":true,"enabled":true,"rule_id":".m.rule.invite_for_me"}`,
			`{"actions":[],"conditions":[{"key":"type","kind":"event_match","pattern":"m.room.member"}],"default":true,"enabled":true,"rule_id":".m.rule.member_event"}`,
			`{"actions":["notify",{"set_tweak":"sound","value":"default"},{"set_tweak":"highlight"}],"conditions":[{"key":"content.m\\.mentions.user_ids","kind":"event_property_contains","value":"@alice:example.org"}],"default":true,"enabled":true,"rule_id":".m.rule.is_user_mention"}`,
			`{"actions":["notify",{"set_tweak":"highlight"}],"conditions":[{"key":"content.m\\.mentions.room","kind":"event_property_is","value":true},{"key":"room","kind":"sender_notification_permission"}],"default":true,"enabled":true,"rule_id":".m.rule.is_room_mention"}`,
			`{"actions":["notify",{"set_tweak":"highlight"}],"conditions":[{"key":"type","kind":"event_match","pattern":"m.room.tombstone"},{"key":"state_key","kind":"event_match","pattern":""}],"default":true,"enabled":true,"rule_id":".m.rule.tombstone"}`,
			`{"actions":[],"conditions":[{"key":"type","kind":"event_match","pattern":"m.reaction"}],"default":true,"enabled":true,"rule_id":".m.rule.reaction"}`,
			`{"actions":[],"conditions":[{"key":"type","kind":"event_match","pattern":"m.room.server_acl"},{"key":"state_key","kind":"event_match","pattern":""}],"default":true,"enabled":true,"rule_id":".m.rule.room.server_acl"}`,
			`{"actions":[],"conditions":[{"key":"content.m\\.relates_to.rel_type","kind":"event_property_is","value":"m.replace"}],"default":true,"enabled":true,"rule_id":".m.rule.suppress_edits"}`,
		}},
		{Content, nil}, {Room, nil}, {Sender, nil},
		{Underride, []string{
			`{"actions":["notify",{"set_tweak":"sound","value":"ring"}],"conditions":[{"key":"type","kind":"event_match","pattern":"m.call.invite"}],"default":true,"enabled":true,"rule_id":".m.rule.call"}`,
			`{"actions":["notify",{"set_tweak":"sound","value":"default"}],"conditions":[{"is":"2","kind":"room_member_count"},{"key":"type","kind":"event_match","pattern":"m.room.encrypted"}],"default":true,"enabled":true,"rule_id":".m.rule.encrypted_room_one_to_one"}`,
			`{"actions":["notify",{"set_tweak":"sound","value":"default"}],"conditions":[{"is":"2","kind":"room_member_count"},{"key":"type","kind":"event_match","pattern":"m.room.message"}],"default":true,"enabled":true,"rule_id":".m.rule.room_one_to_one"}`,
			`{"actions":["notify"],"conditions":[{"key":"type","kind":"event_match","pattern":"m.room.message"}],"default":true,"enabled":true,"rule_id":".m.rule.message"}`,
			`{"actions":["notify"],"conditions":[{"key":"type","kind":"event_match","pattern":"m.room.encrypted"}],"default":true,"enabled":true,"rule_id":".m.rule.encrypted"}`,
		}},
	}
	rules := Default(self)
	for _, r := range rows {
		got := rules.Rules(r.kind)
		if len(got) != len(r.rules) {
			t.Errorf("%d rules of kind %s, want %d", len(got), r.kind, len(r.rules))
			continue
		}
		for i, want := range r.rules {
			if s := encode(t, got[i]); s != want {
				t.Errorf("%s rule %d is\n%s, want\n%s", r.kind, i, s, want)
			}
		}
	}
}

func encode(t *testing.T, x any) string {
	t.Helper()
	v, err := canonjson.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	return string(v)
}

// A message is a text from Bob in a room, with further members of its content
// and of the event.
func message(content, event string) string {
	return `{"content":{"body":"Hello there"` + content + `},"event_id":"$143273582443PhrSn","origin_server_ts":1432735824653,` +
		`"room_id":"!636q39766251:example.com","sender":"@bob:example.org"` + event + `}`
}

func TestDefaultRulesOnRealisticEvents(t *testing.T) {
	const text = `,"msgtype":"m.text"`
	group := Context{MemberCount: 5, DisplayName: "Alice"}
	pair := Context{MemberCount: 2, DisplayName: "Alice"}
	powerful := Context{MemberCount: 5, SenderLevel: 50}
	member := func(membership, stateKey string) string {
		return `{"content":{"membership":"` + membership + `"},"room_id":"!r:example.org","sender":"@bob:example.org","state_key":"` + stateKey + `","type":"m.room.member"}`
	}
	rows := []struct {
		name, event string
		ctx         Context
		rule        string
		verdict     string // N notify, H highlight, then the sound
	}{
		{"a message in a group", message(text, `,"type":"m.room.message"`), group, ".m.rule.message", "N"},
		{"a message between two", message(text, `,"type":"m.room.message"`), pair, ".m.rule.room_one_to_one", "N default"},
		{"a message to nobody else", message(text, `,"type":"m.room.message"`), Context{MemberCount: 1}, ".m.rule.message", "N"},
		{"a notice", message(`,"msgtype":"m.notice"`, `,"type":"m.room.message"`), pair, ".m.rule.suppress_notices", ""},
		{"an emote is no notice", message(`,"msgtype":"m.emote"`, `,"type":"m.room.message"`), group, ".m.rule.message", "N"},
		{"a notice beats a mention", message(`,"m.mentions":{"user_ids":["@alice:example.org"]},"msgtype":"m.notice"`, `,"type":"m.room.message"`), pair, ".m.rule.suppress_notices", ""},
		{"an invite", member("invite", self), group, ".m.rule.invite_for_me", "N default"},
		{"an invite for somebody else", member("invite", "@carol:example.org"), group, ".m.rule.member_event", ""},
		{"a ban is no invite", member("ban", self), group, ".m.rule.member_event", ""},
		{"a join", member("join", "@carol:example.org"), pair, ".m.rule.member_event", ""},
		{"a mention", message(`,"m.mentions":{"user_ids":["@bob:example.org","@alice:example.org"]},"msgtype":"m.text"`, `,"type":"m.room.message"`), group, ".m.rule.is_user_mention", "NH default"},
		{"a mention of somebody else", message(`,"m.mentions":{"user_ids":["@bob:example.org"]},"msgtype":"m.text"`, `,"type":"m.room.message"`), group, ".m.rule.message", "N"},
		{"a mention of a longer name", message(`,"m.mentions":{"user_ids":["@alice:example.org.uk"]},"msgtype":"m.text"`, `,"type":"m.room.message"`), group, ".m.rule.message", "N"},
		{"a mention in a nested m and mentions", message(`,"m":{"mentions":{"user_ids":["@alice:example.org"]}},"msgtype":"m.text"`, `,"type":"m.room.message"`), group, ".m.rule.message", "N"},
		{"the user's name in the body, as before m.mentions", strings.Replace(message(text, `,"type":"m.room.message"`), "Hello", "Alice alice", 1), group, ".m.rule.message", "N"},
		{"a room mention", message(`,"m.mentions":{"room":true},"msgtype":"m.text"`, `,"type":"m.room.message"`), powerful, ".m.rule.is_room_mention", "NH"},
		{"a room mention by a creator", message(`,"m.mentions":{"room":true},"msgtype":"m.text"`, `,"type":"m.room.message"`), Context{SenderIsCreator: true}, ".m.rule.is_room_mention", "NH"},
		{"a room mention without the power", message(`,"m.mentions":{"room":true},"msgtype":"m.text"`, `,"type":"m.room.message"`), group, ".m.rule.message", "N"},
		{"a room mention that is text", message(`,"m.mentions":{"room":"true"},"msgtype":"m.text"`, `,"type":"m.room.message"`), powerful, ".m.rule.message", "N"},
		{"@room in the body, as before m.mentions", strings.Replace(message(text, `,"type":"m.room.message"`), "Hello", "@room", 1), powerful, ".m.rule.message", "N"},
		{"a tombstone", message("", `,"state_key":"","type":"m.room.tombstone"`), group, ".m.rule.tombstone", "NH"},
		{"a tombstone that is not state", message("", `,"type":"m.room.tombstone"`), group, "", ""},
		{"a tombstone with another state key", message("", `,"state_key":"x","type":"m.room.tombstone"`), group, "", ""},
		{"a reaction", message(`,"m.relates_to":{"event_id":"$x","key":"👍","rel_type":"m.annotation"}`, `,"type":"m.reaction"`), pair, ".m.rule.reaction", ""},
		{"a server ACL", message("", `,"state_key":"","type":"m.room.server_acl"`), group, ".m.rule.room.server_acl", ""},
		{"a server ACL that is not state", message("", `,"type":"m.room.server_acl"`), group, "", ""},
		{"an edit", message(`,"m.relates_to":{"event_id":"$x","rel_type":"m.replace"},"msgtype":"m.text"`, `,"type":"m.room.message"`), pair, ".m.rule.suppress_edits", ""},
		{"an edit that mentions", message(`,"m.mentions":{"user_ids":["@alice:example.org"]},"m.relates_to":{"event_id":"$x","rel_type":"m.replace"},"msgtype":"m.text"`, `,"type":"m.room.message"`), pair, ".m.rule.is_user_mention", "NH default"},
		{"a reply in a thread is no edit", message(`,"m.relates_to":{"event_id":"$x","rel_type":"m.thread"},"msgtype":"m.text"`, `,"type":"m.room.message"`), group, ".m.rule.message", "N"},
		{"a call", message("", `,"type":"m.call.invite"`), group, ".m.rule.call", "N ring"},
		{"the end of a call", message("", `,"type":"m.call.hangup"`), group, "", ""},
		{"an encrypted event between two", message("", `,"type":"m.room.encrypted"`), pair, ".m.rule.encrypted_room_one_to_one", "N default"},
		{"an encrypted event in a group", message("", `,"type":"m.room.encrypted"`), group, ".m.rule.encrypted", "N"},
		{"a topic", message(`,"topic":"Lunch"`, `,"state_key":"","type":"m.room.topic"`), pair, "", ""},
		{"a sticker", message("", `,"type":"m.sticker"`), pair, "", ""},
		{"the user's own message", strings.Replace(message(text, `,"type":"m.room.message"`), "@bob", "@alice", 1), pair, "", ""},
		{"the user's own mention", strings.Replace(message(`,"m.mentions":{"user_ids":["@alice:example.org"]}`, `,"type":"m.room.message"`), "@bob", "@alice", 1), pair, "", ""},
	}
	e := Compile(Settings{}.Ruleset(Default(self)), self)
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			got := e.Evaluate(value(r.event), r.ctx)
			if got.RuleID != r.rule || verdict(got) != r.verdict {
				t.Errorf("%s:\ngot rule %q, %q; want %q, %q", r.event, got.RuleID, verdict(got), r.rule, r.verdict)
			}
		})
	}
}

func TestMasterSilencesAll(t *testing.T) {
	settings, err := Settings{}.SetEnabled(Default(self), Override, Master, true)
	if err != nil {
		t.Fatal(err)
	}
	settings = put(t, settings, Override, "mine", `{"actions":["notify"]}`)
	e := Compile(settings.Ruleset(Default(self)), self)
	got := e.Evaluate(value(message("", `,"type":"m.room.message"`)), Context{MemberCount: 2})
	if got.RuleID != Master || got.Notify {
		t.Errorf("got %+v", got)
	}
}

// verdict writes a result as N for notify, H for highlight, and the sound.
func verdict(r Result) string {
	s := ""
	if r.Notify {
		s += "N"
	}
	if r.Highlight {
		s += "H"
	}
	if r.Sound != "" {
		s += " " + r.Sound
	}
	return s
}

// put adds a rule the way a client does.
func put(t *testing.T, s Settings, kind Kind, ruleID, body string) Settings {
	t.Helper()
	rule, err := ParseRule(kind, ruleID, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	s, err = s.PutRule(kind, rule, Position{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestThreadsAreHeardOfByWhoSubscribes: the rules stand behind mentions and keywords
// and before what is set for a room.
func TestThreadsAreHeardOfByWhoSubscribes(t *testing.T) {
	room := `{"actions":["notify"]}`
	defaults := Proposed{Threads: true}.Default(self)
	for _, tt := range []struct {
		name   string
		kind   Kind
		rule   string
		event  string
		thread Thread
		want   string
	}{
		{"in no thread all is as before", "", "", `{"type":"m.room.message"}`, NoThread, ".m.rule.message"},
		{"of other threads nothing", "", "", `{"type":"m.room.message"}`, Unsubscribed, ".io.element.msc4306.rule.unsubscribed_thread"},
		{"of one's own all", "", "", `{"type":"m.other"}`, Subscribed, ".io.element.msc4306.rule.subscribed_thread"},
		{"but no reactions", "", "", `{"type":"m.reaction"}`, Subscribed, ".m.rule.reaction"},
		{"a mention", "", "", `{"type":"m.room.message","content":{"m.mentions":{"user_ids":["@alice:example.org"]}}}`, Unsubscribed, ".m.rule.is_user_mention"},
		{"a keyword", Content, `{"actions":["notify"],"pattern":"word"}`, `{"type":"m.room.message","content":{"body":"word"}}`, Unsubscribed, "mine"},
		{"all of the room is not all of its threads", Room, room, `{"type":"m.room.message","room_id":"!r:a.test"}`, Unsubscribed, ".io.element.msc4306.rule.unsubscribed_thread"},
		{"what is muted in the end is heard of", Room, `{"actions":[]}`, `{"type":"m.room.message","room_id":"!r:a.test"}`, Subscribed, ".io.element.msc4306.rule.subscribed_thread"},
		{"a user's own condition", Override, `{"actions":[],"conditions":[{"kind":"io.element.msc4306.thread_subscription","subscribed":true}]}`, `{"type":"m.room.message"}`, Subscribed, "mine"},
	} {
		var s Settings
		if tt.kind != "" {
			ruleID := "mine"
			if tt.kind == Room {
				ruleID = "!r:a.test"
			}
			rule, err := ParseRule(tt.kind, ruleID, []byte(tt.rule))
			if err == nil {
				s, err = s.PutRule(tt.kind, rule, Position{})
			}
			if err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
		}
		event := value(tt.event).With("sender", canonjson.Text("@bob:a.test"))
		if got := Compile(s.Ruleset(defaults), self).Evaluate(event, Context{MemberCount: 3, Thread: tt.thread}); got.RuleID != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got.RuleID, tt.want)
		}
	}
	if _, err := ParseRule(Postcontent, "mine", []byte(room)); !errors.Is(err, mxerr.InvalidParam) {
		t.Errorf("users may make such rules: %v", err)
	}
	if _, err := ParseRule(Override, "mine", []byte(`{"actions":[],"conditions":[{"kind":"io.element.msc4306.thread_subscription"}]}`)); !errors.Is(err, mxerr.InvalidParam) {
		t.Errorf("what is subscribed has to be said: %v", err)
	}
	if list, err := json.Marshal(Default(self)); err != nil || strings.Contains(string(list), "postcontent") {
		t.Errorf("the kind is there where there are none: %s, %v", list, err)
	}
}

func TestPollsNotifyAsMessagesDo(t *testing.T) {
	e := Compile(Proposed{Polls: true}.Default(self), self)
	for _, tt := range []struct {
		what    string
		members int
		want    string
		notify  bool
	}{
		{"start", 2, ".org.matrix.msc3930.rule.poll_start_one_to_one", true},
		{"start", 3, ".org.matrix.msc3930.rule.poll_start", true},
		{"end", 2, ".org.matrix.msc3930.rule.poll_end_one_to_one", true},
		{"end", 3, ".org.matrix.msc3930.rule.poll_end", true},
		{"response", 2, ".org.matrix.msc3930.rule.poll_response", false},
		{"other", 2, "", false},
	} {
		event := value(`{"type":"org.matrix.msc3381.poll.`+tt.what+`"}`).With("sender", canonjson.Text("@bob:a.test"))
		if got := e.Evaluate(event, Context{MemberCount: tt.members}); got.RuleID != tt.want || got.Notify != tt.notify {
			t.Errorf("%s among %d: got %s, %t", tt.what, tt.members, got.RuleID, got.Notify)
		}
	}
}
