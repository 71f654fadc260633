package difftest

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"

	"github.com/matrix-org/gomatrixserverlib"
	"github.com/matrix-org/gomatrixserverlib/spec"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
)

// onlyParley reports whether parley alone refuses, by this rule.
func (d authDifference) onlyParley(rule eventauth.Rule) bool {
	return d.refusal != nil && d.refusal.Rule == rule && d.other == nil
}

// onlyOther reports whether gomatrixserverlib alone refuses, in these words.
func (d authDifference) onlyOther(words string) bool {
	return d.refusal == nil && d.other != nil && !isPanic(d.other) && strings.Contains(d.other.Error(), words)
}

func (d authDifference) membership(user string) string {
	e := d.w.state[event.Tuple{Type: event.TypeMember, StateKey: user}]
	if e == nil {
		return "leave"
	}
	return e.Membership()
}

func (d authDifference) target() string {
	target, _ := d.e.StateKey()
	return target
}

func (d authDifference) own() bool { return d.target() == string(d.e.Sender()) }

// joinRule returns the value of the join rule, nil without one.
func (d authDifference) joinRule() canonjson.Value {
	if e := d.w.state[event.Tuple{Type: event.TypeJoinRules}]; e != nil {
		return e.Content().Get("join_rule")
	}
	return nil
}

func (d authDifference) levels() eventauth.Levels { return eventauth.LevelsIn(d.w.state) }

// pdu returns the event in a place of the state as gomatrixserverlib has it.
func (d authDifference) pdu(eventType, stateKey string) gomatrixserverlib.PDU {
	for _, pdu := range d.w.pdus {
		if pdu.Type() == eventType && pdu.StateKeyEquals(stateKey) {
			return pdu
		}
	}
	return nil
}

// createUnreadable reports whether the content of the create event in the
// state does not fit into the type that gomatrixserverlib has for it.
func (d authDifference) createUnreadable() bool {
	return json.Unmarshal(d.w.create.Content(), new(gomatrixserverlib.CreateContent)) != nil
}

// levelsUnreadable reports the same of the power levels.
func (d authDifference) levelsUnreadable() bool {
	pdu := d.pdu(event.TypePowerLevels, "")
	if pdu == nil {
		return false
	}
	_, err := gomatrixserverlib.NewPowerLevelContentFromEvent(pdu)
	return err != nil
}

func (d authDifference) joinRulesUnreadable() bool {
	pdu := d.pdu(event.TypeJoinRules, "")
	return pdu != nil && json.Unmarshal(pdu.Content(), new(gomatrixserverlib.JoinRuleContent)) != nil
}

func (d authDifference) memberUnreadable(user string) bool {
	pdu := d.pdu(event.TypeMember, user)
	if pdu == nil {
		return false
	}
	_, err := gomatrixserverlib.NewMemberContentFromEvent(pdu)
	return err != nil
}

// otherCreator reports whether the creator that content names is not the
// sender of the create event.
func (d authDifference) otherCreator() bool {
	return d.w.rules.CreatorInContent && !d.w.create.Content().Get("creator").Is(string(d.w.create.Sender()))
}

func (d authDifference) withoutLevels() bool {
	return d.w.state[event.Tuple{Type: event.TypePowerLevels}] == nil
}

func (d authDifference) aliases() bool { return d.e.Type() == event.TypeAliases }

func (d authDifference) isType(eventType string) bool { return d.e.Type() == eventType }

// redactionRuleByContent reports whether gomatrixserverlib holds a redaction
// to the rule of room versions 1 and 2 because the create event does not say
// what the version is.
func (d authDifference) redactionRuleByContent() bool {
	return d.isType(event.TypeRedaction) && !d.w.rules.RedactionRule && d.w.create.Content().Get("room_version") == nil
}

func isHistorical(user string) bool {
	_, err := spec.NewUserID(user, true)
	return err == nil
}

// invite is the third_party_invite of the event.
func (d authDifference) invite() canonjson.Value { return d.e.Content().Get("third_party_invite") }

func (d authDifference) issued() *event.Event {
	token, _ := d.invite().Get("signed").Get("token").Text()
	return d.w.state[event.Tuple{Type: event.TypeThirdPartyInvite, StateKey: token}]
}

func (d authDifference) founder() id.UserID {
	for user := range eventauth.Creators(d.w.create) {
		return user
	}
	return ""
}

// afterCreate reports whether the event is a join that follows the create
// event directly.
func (d authDifference) afterCreate() bool {
	prev := d.e.PrevEvents()
	return d.e.Membership() == "join" && len(prev) == 1 && prev[0] == d.w.create.ID()
}

var authExplanations = append([]explanation[authDifference]{
	{
		"reads the create event as a whole and refuses everything when one member has a type it does not expect",
		"rooms/v11 authorization rule 3: only the property m.federate being false matters",
		func(d authDifference) bool {
			return d.onlyOther("create event has different roomID") && d.createUnreadable()
		},
	},
	{
		"reads the power levels in force as a whole; when one member has a type it does not expect, all levels count as 0",
		"rooms/v1 rule 10: what is not an integer is looked at where a rule asks for it",
		func(d authDifference) bool {
			return d.levelsUnreadable() && !isPanic(d.other) && !d.isType(event.TypeCreate)
		},
	},
	{
		"reads member events in the state as a whole and refuses what concerns one whose membership it cannot read",
		"rooms/v11 rules 4 and 5: such a user is not joined, invited or banned",
		func(d authDifference) bool {
			return d.onlyOther("unparseable member event content") && (d.memberUnreadable(d.target()) || d.memberUnreadable(string(d.e.Sender())))
		},
	},

	// Create events.
	{
		"refuses a create event with a state key other than empty, or with none",
		"rooms/v11 rule 1: the type decides, the state key is not asked for",
		func(d authDifference) bool {
			return d.onlyOther("create event state key is not empty") && !d.e.IsState(event.TypeCreate, "")
		},
	},
	{
		"accepts create events of unknown room versions in room version 11",
		"rooms/v11 rule 1.3: if room_version is not a recognised version, reject",
		func(d authDifference) bool {
			return d.onlyParley(eventauth.CreateUnknownVersion) && d.w.rules.Version == "11"
		},
	},
	{
		"knows room versions of unpublished proposals",
		"rooms/v11 rule 1.3: recognised is up to the server",
		func(d authDifference) bool {
			return d.onlyParley(eventauth.CreateUnknownVersion) && d.e.Content().Get("room_version").Is("org.matrix.msc3667")
		},
	},
	{
		"takes a room_version of null for an absent one",
		"rooms/v11 rule 1.3: if it is present and is not a recognised version, reject",
		func(d authDifference) bool {
			return d.onlyParley(eventauth.CreateUnknownVersion) && d.e.Content().Get("room_version").Kind() == canonjson.Null
		},
	},
	{
		"takes a creator of null for an absent one, and refuses one that is no string",
		"rooms/v10 rule 1.4: if content has no creator property, reject",
		func(d authDifference) bool {
			creator := d.e.Content().Get("creator").Kind()
			return d.isType(event.TypeCreate) &&
				(d.onlyOther("create event has no creator field") && creator == canonjson.Null ||
					d.onlyOther("create event has invalid content") && creator != canonjson.String && creator != canonjson.Absent)
		},
	},
	{
		"takes additional_creators of null for absent",
		"rooms/v12 rule 1.4: if it is present and is not an array of strings, reject",
		func(d authDifference) bool {
			return d.onlyParley(eventauth.CreateAdditionalCreators) && d.e.Content().Get("additional_creators").Kind() == canonjson.Null
		},
	},
	{
		"refuses additional creators whose user ID has characters beyond ASCII",
		"appendices, historical user IDs: any legal non-surrogate Unicode code points",
		func(d authDifference) bool {
			if d.onlyOther("additional creator '") {
				for v := range d.e.Content().Get("additional_creators").Elements() {
					if !isHistorical(v.String()) {
						return true
					}
				}
			}
			return false
		},
	},

	// Aliases.
	{
		"panics on m.room.aliases without a state key",
		"rooms/v1 rule 4.1: if event has no state_key, reject",
		func(d authDifference) bool {
			_, isState := d.e.StateKey()
			return d.aliases() && !isState && isPanic(d.other)
		},
	},
	{
		"applies the rule for m.room.aliases in room versions that do not have it",
		"rooms/v6, authorization rules: m.room.aliases is like any other event",
		func(d authDifference) bool { return d.aliases() && !d.w.rules.AliasesRule && !isPanic(d.other) },
	},

	// Redactions.
	{
		"applies the redaction rule of room versions 1 and 2 where the create event does not name the version",
		"rooms/v3, authorization rules: redactions have no rule of their own",
		func(d authDifference) bool {
			return d.redactionRuleByContent() && (d.onlyOther("invalid ID") || d.onlyOther("is not allowed to redact"))
		},
	},
	{
		"refuses a redaction of what is not named by an event ID with a domain, whatever the sender's level",
		"rooms/v1 rule 11.1: if the sender's level is at least the redact level, allow",
		func(d authDifference) bool {
			_, hasDomain := d.e.Redacts().Server()
			return d.w.rules.RedactionRule && d.isType(event.TypeRedaction) && d.onlyOther("invalid ID") &&
				!hasDomain && d.levels().User(d.e.Sender()) >= d.levels().Redact()
		},
	},
	{
		"compares the domain of the redacted event with that of the sender",
		"rooms/v1 rule 11.2: with that of the event_id of the redaction",
		func(d authDifference) bool {
			own, _ := d.e.ID().Server()
			return d.w.rules.RedactionRule && own != d.e.Sender().Server() &&
				(d.onlyParley(eventauth.RedactionForbidden) || d.onlyOther("is not allowed to redact"))
		},
	},

	// Members.
	{
		"refuses member events with a member of a type it does not expect, even one that does not matter",
		"rooms/v11 rule 4: only what the rules name is looked at",
		func(d authDifference) bool {
			c := d.e.Content()
			via := c.Get("join_authorised_via_users_server").Kind()
			return d.isType(event.TypeMember) && d.onlyOther("unparseable member event content") &&
				(via != canonjson.Absent && via != canonjson.String || d.inviteUnreadable())
		},
	},
	{
		"demands a third-party invite in the state for any member event that has third_party_invite",
		"rooms/v11 rule 4.4.1: it matters when membership is invite",
		func(d authDifference) bool {
			return d.invite() != nil && d.e.Membership() != "invite" &&
				(d.onlyOther("Couldn't find third party invite event") || d.onlyOther("unparseable third party invite"))
		},
	},
	{
		"lets a user leave who has left or was never there",
		"rooms/v11 rule 4.5.1: allow if and only if membership is invite, join or knock",
		func(d authDifference) bool {
			return d.onlyParley(eventauth.LeaveNotIn) && d.own() && d.membership(d.target()) == "leave"
		},
	},
	{
		"lets a user leave from a knock in room versions without knocking",
		"rooms/v1 rule 5.4.1: allow if and only if membership is invite or join",
		func(d authDifference) bool {
			return d.onlyParley(eventauth.LeaveNotIn) && d.own() && d.membership(d.target()) == "knock" && !d.w.rules.Knock
		},
	},
	{
		"takes knock_restricted for a join rule before room version 10",
		"rooms/v9 rules 4.3.7 and 4.7.1: an unknown join rule admits nobody",
		func(d authDifference) bool {
			return (d.onlyParley(eventauth.JoinRuleForbids) || d.onlyParley(eventauth.KnockRule)) &&
				d.joinRule().Is("knock_restricted") && !d.w.rules.KnockRestricted
		},
	},
	{
		"lets the invited and the joined join whatever the join rule",
		"rooms/v11 rule 4.3.7: with a join rule not named before, reject",
		func(d authDifference) bool {
			m := d.membership(d.target())
			return d.onlyParley(eventauth.JoinRuleForbids) && (m == "invite" || m == "join")
		},
	},
	{
		"lets nobody join a public room whose last membership was neither leave, invite nor join",
		"rooms/v11 rule 4.3.6: if the join_rule is public, allow",
		func(d authDifference) bool {
			m := d.membership(d.target())
			return d.onlyOther(`join rule "public" forbids it`) && m != "leave" && m != "ban"
		},
	},
	{
		"loses the join rule when another member of its content has a type it does not expect",
		"rooms/v11 rule 4.3: only join_rule is looked at",
		func(d authDifference) bool {
			return (d.onlyOther("forbids it") || d.onlyOther("does not support knocking")) && d.joinRulesUnreadable()
		},
	},
	{
		"takes the sender of the create event for the creator instead of content.creator",
		"rooms/v1 rule 5.2.1 and the note on content.creator: up to version 10 the creator is the one that content names",
		func(d authDifference) bool {
			return d.otherCreator() && !isPanic(d.other) && (d.afterCreate() || d.withoutLevels()) && !d.isType(event.TypeCreate)
		},
	},
	{
		"holds the first join against its sender",
		"rooms/v11 rule 4.3.1: the state_key being the creator's is enough",
		func(d authDifference) bool {
			return d.refusal == nil && d.other != nil && d.afterCreate() && d.target() == string(d.founder()) && !d.own()
		},
	},
	{
		"holds the right to unban to the ban level alone",
		"rooms/v11 rule 4.5.4: the sender also needs the kick level and to be above the target",
		func(d authDifference) bool {
			return d.onlyParley(eventauth.KickLevel) && d.membership(d.target()) == "ban" &&
				d.levels().User(d.e.Sender()) >= d.levels().Ban()
		},
	},

	// Third-party invites.
	{
		"lets a banned user be invited by a third-party invite",
		"rooms/v11 rule 4.4.1.1: if the target is banned, reject",
		func(d authDifference) bool {
			return d.onlyParley(eventauth.ThirdPartyBanned) && d.membership(d.target()) == "ban"
		},
	},
	{
		"lets anybody use a third-party invite",
		"rooms/v11 rule 4.4.1.6: if the sender is not that of the m.room.third_party_invite, reject",
		func(d authDifference) bool {
			return d.onlyParley(eventauth.ThirdPartyOtherSender) && d.issued().Sender() != d.e.Sender()
		},
	},
	{
		"takes third_party_invite of null for absent",
		"rooms/v11 rule 4.4.1.2: if it does not have signed, reject",
		func(d authDifference) bool {
			return d.onlyParley(eventauth.ThirdPartyUnsigned) && d.invite().Kind() == canonjson.Null
		},
	},
	{
		"does not look at public_key of a third-party invite",
		"rooms/v11 rule 4.4.1.7: the keys are public_key and public_keys[].public_key",
		func(d authDifference) bool {
			return d.onlyOther("Couldn't verify signature on third-party invite") && d.signedByPublicKey()
		},
	},
	{
		"leaves members it does not know out of what the identity server signed",
		"appendices, signing JSON: all members but signatures and unsigned are signed",
		func(d authDifference) bool {
			return d.onlyOther("Couldn't verify signature on third-party invite") && d.invite().Get("signed").Get("extra") != nil
		},
	},
	{
		"refuses a third-party invite with a state key that begins with @",
		"rooms/v11 rule 6.1: allow if and only if the sender has the invite level",
		func(d authDifference) bool {
			return d.isType(event.TypeThirdPartyInvite) && d.onlyOther("is not allowed to modify the state belonging to") && strings.HasPrefix(d.target(), "@")
		},
	},
	{
		"reads the m.room.third_party_invite as a whole and refuses when one member has a type it does not expect",
		"rooms/v11 rule 4.4.1.7: any public key in it will do",
		func(d authDifference) bool {
			return d.onlyOther("unparseable third party invite event content") && d.e.Membership() == "invite"
		},
	},
	{
		"takes signatures by keys whose ID merely begins with ed25519",
		"appendices, signing details: a key ID is the algorithm, a colon and a version",
		func(d authDifference) bool {
			if !d.onlyParley(eventauth.ThirdPartyBadSignature) {
				return false
			}
			for _, byKey := range d.invite().Get("signed").Get("signatures").Members() {
				for name := range byKey.Members() {
					if strings.HasPrefix(name.String(), "ed25519") && !strings.HasPrefix(name.String(), "ed25519:") {
						return true
					}
				}
			}
			return false
		},
	},
}, levelExplanations...)

func (d authDifference) inviteUnreadable() bool {
	var content struct {
		Invite *gomatrixserverlib.MemberThirdPartyInvite `json:"third_party_invite"`
	}
	return json.Unmarshal(d.e.Content(), &content) != nil
}

// signedByPublicKey reports whether the key in public_key, and none in
// public_keys, made the signature of the third-party invite.
func (d authDifference) signedByPublicKey() bool {
	issued := d.issued()
	if issued == nil || issued.Content().Get("public_key") == nil {
		return false
	}
	state := maps.Clone(d.w.state)
	t, _ := issued.Tuple()
	fields := d.w.stateFields(issued.Sender(), t.Type, t.StateKey, string(issued.Content().Without("public_key")))
	state[t], _ = d.w.load(fields)
	var refusal *eventauth.Refusal
	return errors.As(eventauth.Check(d.e, state), &refusal) && refusal.Rule == eventauth.ThirdPartyBadSignature
}

// damagedAuthExplanations are for events with damages that TestAuth has not.
var damagedAuthExplanations = []explanation[authDifference]{
	{
		"looks whether the event is of the room of the create event",
		"rooms/v11 rule 2.5: about auth_events, in parley eventauth.CheckAuthEvents",
		func(d authDifference) bool {
			return d.onlyOther("create event has different roomID") && d.e.RoomID() != d.w.room && !d.w.rules.RoomIDFromCreate
		},
	},
	{
		"finds no server in a sender with characters beyond ASCII, or with a port beyond 65535",
		"appendices, historical user IDs and server names: any code points; one to five digits",
		func(d authDifference) bool {
			return d.refusal == nil && d.other != nil && !isPanic(d.other) && !isHistorical(string(d.e.Sender()))
		},
	},
	{
		"matches names of members regardless of case where it authorises",
		"client-server-api, events: Type is not type",
		func(d authDifference) bool { return eventDifference{value: d.e.JSON()}.wrongCase() },
	},
}
