package eventauth

import (
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
)

// Join rules that admit somebody. Any other rule, known or not, admits nobody
// who is not in the room already.
const (
	ruleInvite          = "invite"
	rulePublic          = "public"
	ruleKnock           = "knock"
	ruleRestricted      = "restricted"
	ruleKnockRestricted = "knock_restricted"
)

// member is rule 5.
func (c *check) member() error {
	// 1. If there is no state_key property, or no membership property in
	// content, reject.
	target, ok := c.e.StateKey()
	if !ok || c.e.Content().Get("membership") == nil {
		return c.refuse(MemberMalformed, "")
	}
	switch membership := c.e.Membership(); {
	case membership == event.MembershipJoin:
		return c.join(target)
	case membership == event.MembershipInvite:
		return c.invite(target)
	case membership == event.MembershipLeave:
		return c.leave(target)
	case membership == event.MembershipBan:
		return c.ban(target)
	case membership == event.MembershipKnock && c.rules.Knock:
		return c.knock(target)
	default:
		// 8. Otherwise, the membership is unknown. Reject.
		return c.refuse(MembershipUnknown, "%.40q", membership)
	}
}

// joinRule returns the join rule of the state, which is invite unless it says
// otherwise.
func (c *check) joinRule() string {
	e := c.state.StateEvent(event.Tuple{Type: event.TypeJoinRules})
	if e == nil {
		return ruleInvite
	}
	v := e.Content().Get("join_rule")
	if v == nil {
		return ruleInvite
	}
	rule, _ := v.Text()
	return rule
}

// join is rule 5.3.
func (c *check) join(target string) error {
	// 1. If the only previous event is an m.room.create and the state_key is
	// the sender of the m.room.create, allow. (Up to version 10: the creator.)
	// Other creators do not get in this way.
	prev := c.e.PrevEvents()
	if len(prev) == 1 && prev[0] == c.create.ID() && isFounder(c.create, target) {
		return nil
	}
	// 2. If the sender does not match state_key, reject.
	if target != string(c.e.Sender()) {
		return c.refuse(JoinOther, "sender %s, state_key %q", c.e.Sender(), target)
	}
	// 3. If the sender is banned, reject.
	current := c.membership(target)
	if current == event.MembershipBan {
		return c.refuse(JoinBanned, "%s", target)
	}
	in := current == event.MembershipJoin || current == event.MembershipInvite
	switch rule := c.joinRule(); {
	// 4. If the join_rule is invite or knock then allow if membership state is
	// invite or join.
	case in && (rule == ruleInvite || rule == ruleKnock && c.rules.Knock):
		return nil
	// 5. If the join_rule is restricted or knock_restricted:
	case rule == ruleRestricted && c.rules.Restricted, rule == ruleKnockRestricted && c.rules.KnockRestricted:
		// 1. If membership state is join or invite, allow.
		if in {
			return nil
		}
		return c.restrictedJoin()
	// 6. If the join_rule is public, allow.
	case rule == rulePublic:
		return nil
	default:
		// 7. Otherwise, reject.
		return c.refuse(JoinRuleForbids, "join_rule %.40q, membership %q", rule, current)
	}
}

func (c *check) restrictedJoin() error {
	// 2. If the join_authorised_via_users_server key in content is not a user
	// with sufficient permission to invite other users or is not a joined
	// member of the room, reject.
	authoriser, _ := c.e.AuthorisingUser()
	if authoriser == "" {
		return c.refuse(JoinUnauthorised, "no authorising user")
	}
	if m := c.membership(string(authoriser)); m != event.MembershipJoin {
		return c.refuse(JoinUnauthorised, "membership of %s is %q", authoriser, m)
	}
	if level := c.levels.User(authoriser); level < c.levels.Invite() {
		return c.refuse(JoinUnauthorised, "%s has %d of %d", authoriser, level, c.levels.Invite())
	}
	// 3. Otherwise, allow.
	return nil
}

// invite is rule 5.4.
func (c *check) invite(target string) error {
	// 1. If content has a third_party_invite property:
	if invite := c.e.Content().Get("third_party_invite"); invite != nil {
		return c.thirdPartyInvite(target, invite)
	}
	// 2. If the sender's current membership state is not join, reject.
	if m := c.membership(string(c.e.Sender())); m != event.MembershipJoin {
		return c.refuse(InviterNotJoined, "membership of %s is %q", c.e.Sender(), m)
	}
	// 3. If target user's current membership state is join or ban, reject.
	if m := c.membership(target); m == event.MembershipJoin || m == event.MembershipBan {
		return c.refuse(InviteeJoinedOrBanned, "membership of %s is %q", target, m)
	}
	// 4. If the sender's power level is greater than or equal to the invite
	// level, allow.
	level := c.levels.User(c.e.Sender())
	if level >= c.levels.Invite() {
		return nil
	}
	// 5. Otherwise, reject.
	return c.refuse(InviteLevel, "%s has %d of %d", c.e.Sender(), level, c.levels.Invite())
}

// thirdPartyInvite is rule 5.4.1. It looks neither at the membership of the
// sender nor at power levels: those let the m.room.third_party_invite in.
func (c *check) thirdPartyInvite(target string, invite canonjson.Value) error {
	// 1. If target user is banned, reject.
	if c.membership(target) == event.MembershipBan {
		return c.refuse(ThirdPartyBanned, "%s", target)
	}
	// 2. If content.third_party_invite does not have a signed property, reject.
	signed := invite.Get("signed")
	if signed == nil {
		return c.refuse(ThirdPartyUnsigned, "")
	}
	// 3. If signed does not have mxid and token properties, reject.
	mxid, token := signed.Get("mxid"), signed.Get("token")
	if mxid == nil || token == nil {
		return c.refuse(ThirdPartyIncomplete, "")
	}
	// 4. If mxid does not match state_key, reject.
	if !mxid.Is(target) {
		return c.refuse(ThirdPartyOtherUser, "mxid %.255s, state_key %q", mxid, target)
	}
	// 5. If there is no m.room.third_party_invite event in the current room
	// state with state_key matching token, reject.
	key, ok := token.Text()
	var issued *event.Event
	if ok {
		issued = c.state.StateEvent(event.Tuple{Type: event.TypeThirdPartyInvite, StateKey: key})
	}
	if issued == nil {
		return c.refuse(ThirdPartyUnknown, "token %.255s", token)
	}
	// 6. If sender does not match sender of the m.room.third_party_invite,
	// reject.
	if c.e.Sender() != issued.Sender() {
		return c.refuse(ThirdPartyOtherSender, "%s instead of %s", c.e.Sender(), issued.Sender())
	}
	// 7. If any signature in signed matches any public key in the
	// m.room.third_party_invite event, allow.
	if signedByAny(signed, issued.Content()) {
		return nil
	}
	// 8. Otherwise, reject.
	return c.refuse(ThirdPartyBadSignature, "")
}

// leave is rule 5.5.
func (c *check) leave(target string) error {
	sender := string(c.e.Sender())
	current := c.membership(target)
	// 1. If the sender matches state_key, allow if and only if that user's
	// current membership state is invite, join, or knock.
	if sender == target {
		switch {
		case current == event.MembershipInvite, current == event.MembershipJoin,
			current == event.MembershipKnock && c.rules.Knock:
			return nil
		}
		return c.refuse(LeaveNotIn, "membership of %s is %q", target, current)
	}
	// 2. If the sender's current membership state is not join, reject.
	if m := c.membership(sender); m != event.MembershipJoin {
		return c.refuse(KickerNotJoined, "membership of %s is %q", sender, m)
	}
	// 3. If the target user's current membership state is ban, and the
	// sender's power level is less than the ban level, reject.
	level := c.levels.User(c.e.Sender())
	if current == event.MembershipBan && level < c.levels.Ban() {
		return c.refuse(UnbanLevel, "%s has %d of %d", sender, level, c.levels.Ban())
	}
	// 4. If the sender's power level is greater than or equal to the kick
	// level, and the target user's power level is less than the sender's power
	// level, allow.
	targetLevel := c.levels.User(id.UserID(target))
	if level >= c.levels.Kick() && targetLevel < level {
		return nil
	}
	// 5. Otherwise, reject.
	return c.refuse(KickLevel, "%s has %d of %d, %s has %d", sender, level, c.levels.Kick(), target, targetLevel)
}

// ban is rule 5.6.
func (c *check) ban(target string) error {
	sender := string(c.e.Sender())
	// 1. If the sender's current membership state is not join, reject.
	if m := c.membership(sender); m != event.MembershipJoin {
		return c.refuse(BannerNotJoined, "membership of %s is %q", sender, m)
	}
	// 2. If the sender's power level is greater than or equal to the ban
	// level, and the target user's power level is less than the sender's power
	// level, allow.
	level, targetLevel := c.levels.User(c.e.Sender()), c.levels.User(id.UserID(target))
	if level >= c.levels.Ban() && targetLevel < level {
		return nil
	}
	// 3. Otherwise, reject.
	return c.refuse(BanLevel, "%s has %d of %d, %s has %d", sender, level, c.levels.Ban(), target, targetLevel)
}

// knock is rule 5.7.
func (c *check) knock(target string) error {
	// 1. If the join_rule is anything other than knock or knock_restricted,
	// reject.
	rule := c.joinRule()
	if rule != ruleKnock && (rule != ruleKnockRestricted || !c.rules.KnockRestricted) {
		return c.refuse(KnockRule, "join_rule %.40q", rule)
	}
	// 2. If sender does not match state_key, reject.
	if target != string(c.e.Sender()) {
		return c.refuse(KnockOther, "sender %s, state_key %q", c.e.Sender(), target)
	}
	// 3. If the sender's current membership is not ban, invite, or join, allow.
	switch m := c.membership(target); m {
	case event.MembershipBan, event.MembershipInvite, event.MembershipJoin:
		// 4. Otherwise, reject.
		return c.refuse(KnockAlreadyIn, "membership of %s is %q", target, m)
	}
	return nil
}
