package eventauth

import (
	"strings"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

// Check decides whether the event is authorised by a state of its room. It
// returns nil or a *Refusal. The state's events must have the event's room
// version; where the event is itself state it need not be the state's own.
//
// Rules about the list of auth events and about the authorising user's
// signature are left to CheckAuthEvents.
func Check(e *event.Event, state State) error {
	// 1. If type is m.room.create:
	if e.Type() == event.TypeCreate {
		return checkCreate(e)
	}
	c := &check{e: e, rules: e.Rules(), state: state}
	c.create = state.StateEvent(event.Tuple{Type: event.TypeCreate})
	return c.event()
}

// check is one question: may this event be sent in this state?
type check struct {
	e      *event.Event
	rules  *roomver.Rules
	state  State
	create *event.Event
	levels Levels
}

func (c *check) refuse(rule Rule, format string, args ...any) error {
	return refuse(c.e, rule, format, args...)
}

func (c *check) event() error {
	e := c.e
	switch {
	case c.rules.RoomIDFromCreate:
		// 2. If the event's room_id is not an event ID for an accepted (not
		// rejected) m.room.create event, with the sigil ! instead of $, reject.
		if c.create == nil || c.create.RoomID() != e.RoomID() {
			return c.refuse(RoomIDNotCreate, "room %s", e.RoomID())
		}
	case c.create == nil:
		// 2.4 in version 11. If there is no m.room.create event among the
		// entries, reject.
		return c.refuse(AuthNoCreate, "none in the state")
	}
	c.levels = NewLevels(c.create, c.state.StateEvent(event.Tuple{Type: event.TypePowerLevels}))

	// 4. If the content of the m.room.create event in the room state has the
	// property m.federate set to false, and the sender domain of the event
	// does not match the sender domain of the create event, reject.
	if c.create.Content().Get("m.federate").False() && e.Sender().Server() != c.create.Sender().Server() {
		return c.refuse(NotFederated, "sender %s", e.Sender())
	}
	// 4 in versions 1 to 5. If type is m.room.aliases:
	if c.rules.AliasesRule && e.Type() == event.TypeAliases {
		return c.aliases()
	}
	// 5. If type is m.room.member:
	if e.Type() == event.TypeMember {
		return c.member()
	}
	// 6. If the sender's current membership state is not join, reject.
	if m := c.membership(string(e.Sender())); m != event.MembershipJoin {
		return c.refuse(SenderNotJoined, "membership of %s is %q", e.Sender(), m)
	}
	return c.byMember()
}

// byMember applies the rules for an event whose sender is in the room.
func (c *check) byMember() error {
	e := c.e
	level := c.levels.User(e.Sender())
	// 7. If type is m.room.third_party_invite:
	if e.Type() == event.TypeThirdPartyInvite {
		// 1. Allow if and only if sender's current power level is greater than
		// or equal to the invite level.
		if level < c.levels.Invite() {
			return c.refuse(ThirdPartyInviteLevel, "%s has %d of %d", e.Sender(), level, c.levels.Invite())
		}
		return nil
	}
	// 8. If the event type's required power level is greater than the sender's
	// power level, reject.
	stateKey, isState := e.StateKey()
	if required := c.levels.Send(e.Type(), isState); required > level {
		return c.refuse(RequiredLevel, "%s has %d of %d", e.Sender(), level, required)
	}
	// 9. If the event has a state_key that starts with an @ and does not match
	// the sender, reject.
	if isState && strings.HasPrefix(stateKey, "@") {
		if err := c.keyOfUser(stateKey, level); err != nil {
			return err
		}
	}
	// 10. If type is m.room.power_levels:
	if e.Type() == event.TypePowerLevels {
		return c.powerLevels(level)
	}
	// 11 in versions 1 and 2. If type is m.room.redaction:
	if c.rules.RedactionRule && e.Type() == event.TypeRedaction {
		return c.redaction(level)
	}
	// 11. Otherwise, allow.
	return nil
}

// keyOfUser is rule 9 for a state_key that starts with an @.
func (c *check) keyOfUser(stateKey string, level Level) error {
	sender := c.e.Sender()
	if !c.rules.OwnedState {
		// 9. If it does not match the sender, reject.
		if stateKey != string(sender) {
			return c.refuse(StateKeyOfOther, "state_key %q", stateKey)
		}
		return nil
	}
	// 8.1.1 of MSC3757. If the prefix of the state_key before the first _ that
	// follows the first : (or end of string) is not a valid user ID, reject.
	owner, err := ownerOf(stateKey)
	if err != nil {
		return c.refuse(StateKeyOfNobody, "%v", err)
	}
	// 8.1.3 of MSC3757. If the leading user ID does not match the sender, and
	// the sender's power level is not greater than that of the user denoted by
	// that ID, reject.
	if above := c.levels.User(owner); owner != sender && level <= above {
		return c.refuse(StateKeyOwned, "%s has %d, %s has %d", sender, level, owner, above)
	}
	return nil
}

// ownerOf returns the user ID that a state_key begins with. No server name has
// an underscore, while a localpart may have many.
func ownerOf(stateKey string) (id.UserID, error) {
	if colon := strings.IndexByte(stateKey, ':'); colon >= 0 {
		server, _, _ := strings.Cut(stateKey[colon:], "_")
		stateKey = stateKey[:colon+len(server)]
	}
	return id.ParseUserID(stateKey)
}

func checkCreate(e *event.Event) error {
	rules, content := e.Rules(), e.Content()
	// 1. If it has any prev_events, reject.
	if len(e.PrevEvents()) > 0 {
		return refuse(e, CreateHasPrevEvents, "%d", len(e.PrevEvents()))
	}
	if rules.RoomIDFromCreate {
		// 2. If the event has a room_id, reject.
		if e.CarriesRoomID() {
			return refuse(e, CreateHasRoomID, "%s", e.RoomID())
		}
	} else if server, ok := e.RoomID().Server(); !ok || server != e.Sender().Server() {
		// 2 in version 11. If the domain of the room_id does not match the
		// domain of the sender, reject.
		return refuse(e, CreateRoomDomain, "room %s, sender %s", e.RoomID(), e.Sender())
	}
	// 3. If content.room_version is present and is not a recognised version,
	// reject.
	if v := content.Get("room_version"); v != nil {
		name, ok := v.Text()
		if _, known := roomver.Lookup(roomver.Version(name)); !ok || !known {
			return refuse(e, CreateUnknownVersion, "%.40s", v)
		}
	}
	// 4 in version 10. If content has no creator property, reject.
	if rules.CreatorInContent && content.Get("creator") == nil {
		return refuse(e, CreateNoCreator, "")
	}
	// 4. If additional_creators is present in content and is not an array of
	// strings where each string passes the same user ID validation applied to
	// sender, reject.
	if v := content.Get("additional_creators"); rules.PrivilegedCreators && v != nil && !isUserList(v) {
		return refuse(e, CreateAdditionalCreators, "")
	}
	// 5. Otherwise, allow.
	return nil
}

func isUserList(v canonjson.Value) bool {
	if v.Kind() != canonjson.Array {
		return false
	}
	for item := range v.Elements() {
		s, ok := item.Text()
		if _, err := id.ParseUserID(s); !ok || err != nil {
			return false
		}
	}
	return true
}

// aliases is rule 4 of room versions 1 to 5.
func (c *check) aliases() error {
	// 1. If event has no state_key, reject.
	stateKey, ok := c.e.StateKey()
	if !ok {
		return c.refuse(AliasesNoStateKey, "")
	}
	// 2. If sender's domain doesn't match state_key, reject.
	if string(c.e.Sender().Server()) != stateKey {
		return c.refuse(AliasesOtherDomain, "state_key %q, sender %s", stateKey, c.e.Sender())
	}
	// 3. Otherwise, allow.
	return nil
}

// redaction is rule 11 of room versions 1 and 2.
func (c *check) redaction(level Level) error {
	// 1. If the sender's power level is greater than or equal to the redact
	// level, allow.
	if level >= c.levels.Redact() {
		return nil
	}
	// 2. If the domain of the event_id of the event being redacted is the same
	// as the domain of the event_id of the m.room.redaction, allow.
	target, ok := c.e.Redacts().Server()
	if own, _ := c.e.ID().Server(); ok && own == target {
		return nil
	}
	// 3. Otherwise, reject.
	return c.refuse(RedactionForbidden, "%s has %d of %d", c.e.Sender(), level, c.levels.Redact())
}

// RedactionApplies decides, in room versions whose auth rules do not, whether
// a redaction that was accepted takes effect on its target:
// https://spec.matrix.org/v1.19/rooms/v3/#handling-redactions
// The levels are those at the redaction. Where the auth rules decide it is
// true for every accepted redaction of an event of the same room.
func RedactionApplies(redaction, target *event.Event, levels Levels) bool {
	if redaction.RoomID() != target.RoomID() || redaction.Redacts() != target.ID() {
		return false
	}
	if redaction.Rules().RedactionRule {
		return true
	}
	// 1. The power level of the redaction event's sender is greater than or
	// equal to the redact level.
	// 2. The domain of the redaction event's sender matches that of the
	// original event's sender.
	return levels.User(redaction.Sender()) >= levels.Redact() ||
		redaction.Sender().Server() == target.Sender().Server()
}

// membership returns the membership of a user in the state, "" when the state
// has none.
func (c *check) membership(user string) string {
	if e := c.state.StateEvent(member(user)); e != nil {
		return e.Membership()
	}
	return ""
}
