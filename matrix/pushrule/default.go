package pushrule

import (
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// Master is the ID of the one rule of the server that ranks before those of the
// user. It is disabled by default and turns off all notifications.
const Master = ".m.rule.master"

// Encrypted is the ID of a rule by which all encrypted events notify, but for those of
// rooms that are muted: whether one mentions the user only the device can find out. It
// is disabled by default, and clients that can do so enable it.
// https://github.com/matrix-org/matrix-spec-proposals/pull/4028
const Encrypted = ".org.matrix.msc4028.encrypted_event"

// Proposed says which rules of proposals a server has beside those of the
// specification.
type Proposed struct {
	// Threads are the rules by which who subscribes to a thread is notified of it, and
	// nobody else unless mentioned.
	// https://github.com/matrix-org/matrix-spec-proposals/pull/4306
	Threads bool
	// Polls are the rules by which polls notify as messages do, for the types of events
	// that clients use. https://github.com/matrix-org/matrix-spec-proposals/pull/3930
	Polls bool
}

// Default returns the rules that every user of a server has which has some proposed
// ones.
func (p Proposed) Default(user id.UserID) Ruleset {
	rules := Default(user)
	if p.Threads {
		rules.Postcontent = []Rule{
			newDefault(".io.element.msc4306.rule.unsubscribed_thread").when(ThreadSubscription(false)),
			newDefault(".io.element.msc4306.rule.subscribed_thread", Notify(), SetTweak("sound", canonjson.Text("default"))).when(ThreadSubscription(true)),
		}
	}
	if p.Polls {
		rules.Override = append(rules.Override, newDefault(".org.matrix.msc3930.rule.poll_response").when(ofPoll("response")))
		for _, what := range []string{"start", "end"} {
			rules.Underride = append(rules.Underride,
				newDefault(".org.matrix.msc3930.rule.poll_"+what+"_one_to_one", Notify(), SetTweak("sound", canonjson.Text("default"))).when(RoomMemberCount("2"), ofPoll(what)),
				newDefault(".org.matrix.msc3930.rule.poll_"+what, Notify()).when(ofPoll(what)))
		}
	}
	return rules
}

func ofPoll(what string) Condition {
	return EventPropertyIs("type", canonjson.Text("org.matrix.msc3381.poll."+what))
}

// Default returns the rules that every user has, in order, and [Encrypted] among them:
// https://spec.matrix.org/v1.19/client-server-api/#predefined-rules
//
// Settings.Ruleset adds what is the user's own.
func Default(user id.UserID) Ruleset {
	self := string(user)
	isType := func(eventType string) Condition { return EventMatch("type", eventType) }
	isState := EventMatch("state_key", "")
	isOneToOne := RoomMemberCount("2")
	sound := func(name string) Action { return SetTweak("sound", canonjson.Text(name)) }
	highlight := SetTweak("highlight", nil)

	master := newDefault(Master).when()
	master.Enabled = false
	encrypted := newDefault(Encrypted, Notify()).when(isType("m.room.encrypted"))
	encrypted.Enabled = false
	return Ruleset{
		Override: []Rule{
			master,
			encrypted,
			newDefault(".m.rule.suppress_notices").when(EventMatch("content.msgtype", "m.notice")),
			newDefault(".m.rule.invite_for_me", Notify(), sound("default")).when(
				isType("m.room.member"),
				EventMatch("content.membership", "invite"),
				EventMatch("state_key", self)),
			newDefault(".m.rule.member_event").when(isType("m.room.member")),
			newDefault(".m.rule.is_user_mention", Notify(), sound("default"), highlight).when(
				EventPropertyContains(`content.m\.mentions.user_ids`, canonjson.Text(self))),
			newDefault(".m.rule.is_room_mention", Notify(), highlight).when(
				EventPropertyIs(`content.m\.mentions.room`, canonjson.Value("true")),
				SenderNotificationPermission("room")),
			newDefault(".m.rule.tombstone", Notify(), highlight).when(isType("m.room.tombstone"), isState),
			newDefault(".m.rule.reaction").when(isType("m.reaction")),
			newDefault(".m.rule.room.server_acl").when(isType("m.room.server_acl"), isState),
			newDefault(".m.rule.suppress_edits").when(
				EventPropertyIs(`content.m\.relates_to.rel_type`, canonjson.Text("m.replace"))),
		},
		Content: []Rule{},
		Room:    []Rule{},
		Sender:  []Rule{},
		Underride: []Rule{
			newDefault(".m.rule.call", Notify(), sound("ring")).when(isType("m.call.invite")),
			newDefault(".m.rule.encrypted_room_one_to_one", Notify(), sound("default")).when(
				isOneToOne, isType("m.room.encrypted")),
			newDefault(".m.rule.room_one_to_one", Notify(), sound("default")).when(
				isOneToOne, isType("m.room.message")),
			newDefault(".m.rule.message", Notify()).when(isType("m.room.message")),
			newDefault(".m.rule.encrypted", Notify()).when(isType("m.room.encrypted")),
		},
	}
}

func newDefault(ruleID string, actions ...Action) Rule {
	if actions == nil {
		actions = []Action{}
	}
	return Rule{RuleID: ruleID, Default: true, Enabled: true, Actions: actions}
}

func (r Rule) when(conditions ...Condition) Rule {
	r.Conditions = append([]Condition{}, conditions...)
	return r
}
