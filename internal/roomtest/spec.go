package roomtest

import (
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
)

// Users on servers of their own.
const (
	Alice id.UserID = "@alice:a.test"
	Bob   id.UserID = "@bob:b.test"
	Carol id.UserID = "@carol:c.test"
)

// A Spec is what an event is to say. Only Type and Sender must be set; the zero
// value of any other field leaves it to the [Branch] where the event goes.
type Spec struct {
	Type     string
	StateKey *string // nil for an event that is not state
	Sender   id.UserID
	// Content is a JSON text as a string or canonjson.Value, or anything for
	// encoding/json; nil is the empty object. It may be JSON that only the
	// lenient room versions accept.
	Content any
	// Prev are the events that this one follows: the heads of the branch when
	// nil, none when empty.
	Prev []*event.Event
	// Auth are the events that are said to authorise it: what
	// eventauth.Draft.Selection picks from the state when nil, none when
	// empty.
	Auth []*event.Event
	// Depth is one more than the greatest of Prev when 0.
	Depth int64
	// TS is the time of sending in milliseconds since 1970: one more than that
	// of the event that was built before, going by those without a TS, when 0.
	TS      int64
	Redacts id.EventID // the target of a redaction
	// ID is for room versions whose events carry one, and unique when empty.
	ID id.EventID
	// Signers are servers that sign besides that of the sender.
	Signers []id.ServerName
	// Edit, when set, changes the event before it is hashed and signed: it is
	// given the whole event and returns the one wanted. Hashes that it puts in
	// stay as they are.
	Edit func(canonjson.Value) canonjson.Value
	// Rejected leaves the state after the event as it is before.
	Rejected bool
}

// State is a state event.
func State(sender id.UserID, eventType, stateKey string, content any) Spec {
	return Spec{Type: eventType, StateKey: &stateKey, Sender: sender, Content: content}
}

// Message is a text message.
func Message(sender id.UserID, body string) Spec {
	content := canonjson.Value(nil).With("body", canonjson.Text(body)).With("msgtype", canonjson.Text("m.text"))
	return Spec{Type: "m.room.message", Sender: sender, Content: content}
}

// Topic sets the topic: state that no authorization rule looks at.
func Topic(sender id.UserID, topic string) Spec {
	return State(sender, "m.room.topic", "", canonjson.Value(nil).With("topic", canonjson.Text(topic)))
}

// Redaction redacts an event.
func Redaction(sender id.UserID, target *event.Event) Spec {
	return Spec{Type: event.TypeRedaction, Sender: sender, Redacts: target.ID()}
}

// PowerLevels sets the power levels; the content is as in [Spec].
func PowerLevels(sender id.UserID, content any) Spec {
	return State(sender, event.TypePowerLevels, "", content)
}

// JoinRules sets the join rule.
func JoinRules(sender id.UserID, rule string) Spec {
	return State(sender, event.TypeJoinRules, "", canonjson.Value(nil).With("join_rule", canonjson.Text(rule)))
}

// ServerACL sets the server access control list; the content is as in [Spec].
func ServerACL(sender id.UserID, content any) Spec {
	return State(sender, event.TypeServerACL, "", content)
}

// Member gives the target a membership.
func Member(sender, target id.UserID, membership string) Spec {
	content := canonjson.Value(nil).With("membership", canonjson.Text(membership))
	return State(sender, event.TypeMember, string(target), content)
}

// Join is the user's own.
func Join(user id.UserID) Spec { return Member(user, user, event.MembershipJoin) }

// JoinVia is a join by a restricted join rule, authorised by another user,
// whose server signs it too.
func JoinVia(user, authoriser id.UserID) Spec {
	s := Join(user)
	s.Content = canonjson.Value(nil).With("membership", canonjson.Text(event.MembershipJoin)).
		With("join_authorised_via_users_server", canonjson.Text(string(authoriser)))
	s.Signers = []id.ServerName{authoriser.Server()}
	return s
}

// Leave is the user's own.
func Leave(user id.UserID) Spec { return Member(user, user, event.MembershipLeave) }

// Knock is the user's own.
func Knock(user id.UserID) Spec { return Member(user, user, event.MembershipKnock) }

// Invite invites the target.
func Invite(sender, target id.UserID) Spec { return Member(sender, target, event.MembershipInvite) }

// Kick removes the target. It also unbans, or revokes an invite.
func Kick(sender, target id.UserID) Spec { return Member(sender, target, event.MembershipLeave) }

// Ban bans the target.
func Ban(sender, target id.UserID) Spec { return Member(sender, target, event.MembershipBan) }
