package event

import (
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

// Event types and memberships that decide what an event may do. Types that
// only clients read are not listed.
const (
	TypeCreate            = "m.room.create"
	TypeMember            = "m.room.member"
	TypePowerLevels       = "m.room.power_levels"
	TypeJoinRules         = "m.room.join_rules"
	TypeThirdPartyInvite  = "m.room.third_party_invite"
	TypeAliases           = "m.room.aliases"
	TypeRedaction         = "m.room.redaction"
	TypeServerACL         = "m.room.server_acl"
	TypeHistoryVisibility = "m.room.history_visibility"

	MembershipJoin   = "join"
	MembershipInvite = "invite"
	MembershipLeave  = "leave"
	MembershipBan    = "ban"
	MembershipKnock  = "knock"
)

// IsOut reports whether a membership is that of who has left a room or was put out
// of it. Who was never in a room has none, and is not out.
func IsOut(membership string) bool {
	return membership == MembershipLeave || membership == MembershipBan
}

// Event is one PDU. It is immutable and safe for concurrent use. Slices and
// values that its methods return are shared with it and must not be modified.
type Event struct {
	rules *roomver.Rules
	json  canonjson.Value
	id    id.EventID

	roomID         id.RoomID
	eventType      string
	stateKey       string
	isState        bool
	sender         id.UserID
	originServerTS int64
	depth          int64
	prev, auth     []id.EventID
	redacts        id.EventID
	sticky         int64
	refs           references

	content, hashes, signatures, unsigned canonjson.Value
}

// A Tuple names a place in the state of a room.
type Tuple struct {
	Type, StateKey string
}

// Rules returns the rules of the room version that the event was made for.
func (e *Event) Rules() *roomver.Rules { return e.rules }

// JSON returns the whole PDU in canonical form, as servers exchange it.
func (e *Event) JSON() canonjson.Value { return e.json }

// ID returns the event ID: from the event in room versions 1 and 2, otherwise
// computed from its reference hash.
func (e *Event) ID() id.EventID { return e.id }

// RoomID returns the room the event belongs to. Where the create event carries
// none it is what the event's ID makes it.
func (e *Event) RoomID() id.RoomID { return e.roomID }

// CarriesRoomID reports whether the PDU has a room_id of its own.
func (e *Event) CarriesRoomID() bool { return e.json.Get("room_id") != nil }

// Type returns the event type.
func (e *Event) Type() string { return e.eventType }

// StateKey returns the state key; ok is false when the event is no state
// event, which is not the same as an empty state key.
func (e *Event) StateKey() (key string, ok bool) { return e.stateKey, e.isState }

// IsState reports whether the event is a state event of the type and state
// key.
func (e *Event) IsState(eventType, stateKey string) bool {
	return e.isState && e.eventType == eventType && e.stateKey == stateKey
}

// Tuple returns the place in the state that the event takes; ok is false when
// it is no state event.
func (e *Event) Tuple() (t Tuple, ok bool) { return Tuple{e.eventType, e.stateKey}, e.isState }

// Sender returns the user who sent the event.
func (e *Event) Sender() id.UserID { return e.sender }

// OriginServerTS returns the time of sending by the clock of the sender's
// server, in milliseconds since 1970. Nobody checks it.
func (e *Event) OriginServerTS() int64 { return e.originServerTS }

// Depth returns the depth that the sender's server claims.
func (e *Event) Depth() int64 { return e.depth }

// PrevEvents returns the IDs of the events that this one follows.
func (e *Event) PrevEvents() []id.EventID { return e.prev }

// AuthEvents returns the IDs of the events that are said to authorise this
// one.
func (e *Event) AuthEvents() []id.EventID { return e.auth }

// Redacts returns the event that a redaction names, wherever the room version
// puts it; empty when it names none or the event is no redaction.
func (e *Event) Redacts() id.EventID { return e.redacts }

// Content returns the content object.
func (e *Event) Content() canonjson.Value { return e.content }

// Unsigned returns the unsigned object as it came, nil if there is none. It is
// not covered by any hash or signature.
func (e *Event) Unsigned() canonjson.Value { return e.unsigned }

// Membership returns the membership that a member event gives its target;
// empty for other events and when it is not a string.
func (e *Event) Membership() string {
	if e.eventType != TypeMember {
		return ""
	}
	membership, _ := text(e.content.Get("membership"))
	return membership
}

// WithUnsigned returns a copy of the event with other unsigned data, which
// must be an object, or with none when it is nil.
func (e *Event) WithUnsigned(unsigned canonjson.Value) *Event {
	changed := e.json.Without("unsigned")
	if unsigned != nil {
		changed = changed.With("unsigned", unsigned)
	}
	return e.withJSON(changed)
}

// withJSON returns the same event in another form: with more signatures, say.
// The form must have been derived from the event's own.
func (e *Event) withJSON(changed canonjson.Value) *Event {
	c := &Event{rules: e.rules, json: changed, id: e.id}
	if err := c.readHeader(); err != nil {
		panic("event: a form derived from a valid event is not valid: " + err.Error())
	}
	c.setRoomID()
	return c
}
