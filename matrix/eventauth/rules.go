package eventauth

import "parley/matrix/roomver"

// A Rule is a reason for which the authorization rules refuse an event. The
// rules that allow have no name: nobody asks for them.
type Rule uint8

// The rules in the order of the specification. [Rule.Number] gives the number
// that each has in a room version.
const (
	CreateHasPrevEvents         Rule = iota + 1 // it has prev_events
	CreateRoomDomain                            // the domain of room_id is not that of the sender
	CreateHasRoomID                             // it has a room_id
	CreateUnknownVersion                        // its room_version is not a recognised version
	CreateNoCreator                             // its content has no creator
	CreateAdditionalCreators                    // additional_creators is not an array of user IDs
	RoomIDNotCreate                             // room_id is not the ID of the accepted create event
	AuthDuplicate                               // auth_events has two entries for one type and state key
	AuthUnselected                              // auth_events has an entry that is not to be selected for this event
	AuthRejected                                // auth_events has an entry that was itself rejected
	AuthNoCreate                                // auth_events has no create event
	AuthOtherRoom                               // auth_events has an entry of another room
	NotFederated                                // the room is not federated and the sender is not of its server
	AliasesNoStateKey                           // an aliases event has no state_key
	AliasesOtherDomain                          // an aliases event has a state_key other than the domain of the sender
	MemberMalformed                             // a member event has no state_key or no membership
	MemberNotSignedByAuthoriser                 // it is not signed by the authorising user's server
	JoinOther                                   // a join is for another than the sender
	JoinBanned                                  // a join is by a banned user
	JoinUnauthorised                            // a restricted join names no joined user who may invite
	JoinRuleForbids                             // the join rule does not admit the user
	ThirdPartyBanned                            // a third-party invite is of a banned user
	ThirdPartyUnsigned                          // third_party_invite has no signed
	ThirdPartyIncomplete                        // signed has no mxid or no token
	ThirdPartyOtherUser                         // mxid is not the invited user
	ThirdPartyUnknown                           // no third-party invite with the token is in the room state
	ThirdPartyOtherSender                       // the sender is not that of the third-party invite in the room state
	ThirdPartyBadSignature                      // no signature in signed is by a public key of the third-party invite
	InviterNotJoined                            // the sender of an invite is not joined
	InviteeJoinedOrBanned                       // an invite is of a user who is joined or banned
	InviteLevel                                 // the sender of an invite is below the invite level
	LeaveNotIn                                  // a leave is by a user who is not in the room, invited or knocking
	KickerNotJoined                             // the sender of a kick or unban is not joined
	UnbanLevel                                  // the sender of an unban is below the ban level
	KickLevel                                   // the sender of a kick is below the kick level or not above the target
	BannerNotJoined                             // the sender of a ban is not joined
	BanLevel                                    // the sender of a ban is below the ban level or not above the target
	KnockRule                                   // a knock where the join rule has no knocking
	KnockOther                                  // a knock is for another than the sender
	KnockAlreadyIn                              // a knock is by a user who is banned, invited or joined
	MembershipUnknown                           // the membership is unknown
	SenderNotJoined                             // the sender is not joined
	ThirdPartyInviteLevel                       // the sender of a third-party invite is below the invite level
	RequiredLevel                               // the sender is below the level that the event type requires
	StateKeyOfOther                             // the state_key is a user other than the sender
	StateKeyOfNobody                            // the state_key begins with an @ but not with a user ID
	StateKeyOwned                               // the state_key is of another user, who is not below the sender
	LevelsNotIntegers                           // a level is not an integer
	LevelsNotObjects                            // events or notifications is not an object of integers
	LevelsUsers                                 // users is not an object of user IDs and integers
	LevelsNameCreator                           // users names a creator of the room
	LevelsOldAboveSender                        // a level is changed that was above the sender
	LevelsNewAboveSender                        // a level is raised above the sender
	LevelsEventOldAboveSender                   // the level of an event or notification is changed that was above the sender
	LevelsEventNewAboveSender                   // the level of an event or notification is raised above the sender
	LevelsUserNotBelowSender                    // the level of another user is changed that was not below the sender
	LevelsUserNewAboveSender                    // the level of a user is raised above the sender
	RedactionForbidden                          // a redaction is by a sender below the redact level and of an event of another domain
)

// Number returns the number of the rule in the specification of the room
// version, such as "5.2.3", or "" when the version has no such rule. Numbers
// are as the specification's pages show them.
func (r Rule) Number(rules *roomver.Rules) string {
	if number, changed := ownedNumbers[r]; changed && rules.OwnedState {
		return number
	}
	return ruleTable[r].numbers[rules.Auth]
}

// String returns the rule in words: what is so when it refuses.
func (r Rule) String() string { return ruleTable[r].words }

// ruleTable has the words of each rule and its number by numbering, in the
// order of the roomver.Auth constants: room versions 1-2, 3-5, 6, 7, 8-9, 10,
// 11 and 12.
var ruleTable = [...]struct {
	words   string
	numbers [roomver.AuthNumberings]string
}{
	CreateHasPrevEvents: {"it has prev_events",
		[...]string{"1.1", "1.1", "1.1", "1.1", "1.1", "1.1", "1.1", "1.1"}},
	CreateRoomDomain: {"the domain of room_id is not that of the sender",
		[...]string{"1.2", "1.2", "1.2", "1.2", "1.2", "1.2", "1.2", ""}},
	CreateHasRoomID: {"it has a room_id",
		[...]string{"", "", "", "", "", "", "", "1.2"}},
	CreateUnknownVersion: {"its room_version is not a recognised version",
		[...]string{"1.3", "1.3", "1.3", "1.3", "1.3", "1.3", "1.3", "1.3"}},
	CreateNoCreator: {"its content has no creator",
		[...]string{"1.4", "1.4", "1.4", "1.4", "1.4", "1.4", "", ""}},
	CreateAdditionalCreators: {"additional_creators is not an array of user IDs",
		[...]string{"", "", "", "", "", "", "", "1.4"}},
	RoomIDNotCreate: {"room_id is not the ID of the accepted create event",
		[...]string{"", "", "", "", "", "", "", "2"}},
	AuthDuplicate: {"auth_events has two entries for one type and state key",
		[...]string{"2.1", "2.1", "2.1", "2.1", "2.1", "2.1", "2.1", "3.1"}},
	AuthUnselected: {"auth_events has an entry that is not to be selected for this event",
		[...]string{"2.2", "2.2", "2.2", "2.2", "2.2", "2.2", "2.2", "3.2"}},
	AuthRejected: {"auth_events has an entry that was itself rejected",
		[...]string{"2.3", "2.3", "2.3", "2.3", "2.3", "2.3", "2.3", "3.3"}},
	AuthNoCreate: {"auth_events has no create event",
		[...]string{"2.4", "2.4", "2.4", "2.4", "2.4", "2.4", "2.4", ""}},
	AuthOtherRoom: {"auth_events has an entry of another room",
		[...]string{"2.5", "2.5", "2.5", "2.5", "2.5", "2.5", "2.5", "3.4"}},
	NotFederated: {"the room is not federated and the sender is not of its server",
		[...]string{"3", "3", "3", "3", "3", "3", "3", "4"}},
	AliasesNoStateKey: {"an aliases event has no state_key",
		[...]string{"4.1", "4.1", "", "", "", "", "", ""}},
	AliasesOtherDomain: {"an aliases event has a state_key other than the domain of the sender",
		[...]string{"4.2", "4.2", "", "", "", "", "", ""}},
	MemberMalformed: {"a member event has no state_key or no membership",
		[...]string{"5.1", "5.1", "4.1", "4.1", "4.1", "4.1", "4.1", "5.1"}},
	MemberNotSignedByAuthoriser: {"it is not signed by the authorising user's server",
		[...]string{"", "", "", "", "4.2.1", "4.2.1", "4.2.1", "5.2.1"}},
	JoinOther: {"a join is for another than the sender",
		[...]string{"5.2.2", "5.2.2", "4.2.2", "4.2.2", "4.3.2", "4.3.2", "4.3.2", "5.3.2"}},
	JoinBanned: {"a join is by a banned user",
		[...]string{"5.2.3", "5.2.3", "4.2.3", "4.2.3", "4.3.3", "4.3.3", "4.3.3", "5.3.3"}},
	JoinUnauthorised: {"a restricted join names no joined user who may invite",
		[...]string{"", "", "", "", "4.3.5.2", "4.3.5.2", "4.3.5.2", "5.3.5.2"}},
	JoinRuleForbids: {"the join rule does not admit the user",
		[...]string{"5.2.6", "5.2.6", "4.2.6", "4.2.6", "4.3.7", "4.3.7", "4.3.7", "5.3.7"}},
	ThirdPartyBanned: {"a third-party invite is of a banned user",
		[...]string{"5.3.1.1", "5.3.1.1", "4.3.1.1", "4.3.1.1", "4.4.1.1", "4.4.1.1", "4.4.1.1", "5.4.1.1"}},
	ThirdPartyUnsigned: {"third_party_invite has no signed",
		[...]string{"5.3.1.2", "5.3.1.2", "4.3.1.2", "4.3.1.2", "4.4.1.2", "4.4.1.2", "4.4.1.2", "5.4.1.2"}},
	ThirdPartyIncomplete: {"signed has no mxid or no token",
		[...]string{"5.3.1.3", "5.3.1.3", "4.3.1.3", "4.3.1.3", "4.4.1.3", "4.4.1.3", "4.4.1.3", "5.4.1.3"}},
	ThirdPartyOtherUser: {"mxid is not the invited user",
		[...]string{"5.3.1.4", "5.3.1.4", "4.3.1.4", "4.3.1.4", "4.4.1.4", "4.4.1.4", "4.4.1.4", "5.4.1.4"}},
	ThirdPartyUnknown: {"no third-party invite with the token is in the room state",
		[...]string{"5.3.1.5", "5.3.1.5", "4.3.1.5", "4.3.1.5", "4.4.1.5", "4.4.1.5", "4.4.1.5", "5.4.1.5"}},
	ThirdPartyOtherSender: {"the sender is not that of the third-party invite in the room state",
		[...]string{"5.3.1.6", "5.3.1.6", "4.3.1.6", "4.3.1.6", "4.4.1.6", "4.4.1.6", "4.4.1.6", "5.4.1.6"}},
	ThirdPartyBadSignature: {"no signature in signed is by a public key of the third-party invite",
		[...]string{"5.3.1.8", "5.3.1.8", "4.3.1.8", "4.3.1.8", "4.4.1.8", "4.4.1.8", "4.4.1.8", "5.4.1.8"}},
	InviterNotJoined: {"the sender of an invite is not joined",
		[...]string{"5.3.2", "5.3.2", "4.3.2", "4.3.2", "4.4.2", "4.4.2", "4.4.2", "5.4.2"}},
	InviteeJoinedOrBanned: {"an invite is of a user who is joined or banned",
		[...]string{"5.3.3", "5.3.3", "4.3.3", "4.3.3", "4.4.3", "4.4.3", "4.4.3", "5.4.3"}},
	InviteLevel: {"the sender of an invite is below the invite level",
		[...]string{"5.3.5", "5.3.5", "4.3.5", "4.3.5", "4.4.5", "4.4.5", "4.4.5", "5.4.5"}},
	LeaveNotIn: {"a leave is by a user who is not in the room, invited or knocking",
		[...]string{"5.4.1", "5.4.1", "4.4.1", "4.4.1", "4.5.1", "4.5.1", "4.5.1", "5.5.1"}},
	KickerNotJoined: {"the sender of a kick or unban is not joined",
		[...]string{"5.4.2", "5.4.2", "4.4.2", "4.4.2", "4.5.2", "4.5.2", "4.5.2", "5.5.2"}},
	UnbanLevel: {"the sender of an unban is below the ban level",
		[...]string{"5.4.3", "5.4.3", "4.4.3", "4.4.3", "4.5.3", "4.5.3", "4.5.3", "5.5.3"}},
	KickLevel: {"the sender of a kick is below the kick level or not above the target",
		[...]string{"5.4.5", "5.4.5", "4.4.5", "4.4.5", "4.5.5", "4.5.5", "4.5.5", "5.5.5"}},
	BannerNotJoined: {"the sender of a ban is not joined",
		[...]string{"5.5.1", "5.5.1", "4.5.1", "4.5.1", "4.6.1", "4.6.1", "4.6.1", "5.6.1"}},
	BanLevel: {"the sender of a ban is below the ban level or not above the target",
		[...]string{"5.5.3", "5.5.3", "4.5.3", "4.5.3", "4.6.3", "4.6.3", "4.6.3", "5.6.3"}},
	KnockRule: {"a knock where the join rule has no knocking",
		[...]string{"", "", "", "4.6.1", "4.7.1", "4.7.1", "4.7.1", "5.7.1"}},
	KnockOther: {"a knock is for another than the sender",
		[...]string{"", "", "", "4.6.2", "4.7.2", "4.7.2", "4.7.2", "5.7.2"}},
	KnockAlreadyIn: {"a knock is by a user who is banned, invited or joined",
		[...]string{"", "", "", "4.6.4", "4.7.4", "4.7.4", "4.7.4", "5.7.4"}},
	MembershipUnknown: {"the membership is unknown",
		[...]string{"5.6", "5.6", "4.6", "4.7", "4.8", "4.8", "4.8", "5.8"}},
	SenderNotJoined: {"the sender is not joined",
		[...]string{"6", "6", "5", "5", "5", "5", "5", "6"}},
	ThirdPartyInviteLevel: {"the sender of a third-party invite is below the invite level",
		[...]string{"7.1", "7.1", "6.1", "6.1", "6.1", "6.1", "6.1", "7.1"}},
	RequiredLevel: {"the sender is below the level that the event type requires",
		[...]string{"8", "8", "7", "7", "7", "7", "7", "8"}},
	StateKeyOfOther: {"the state_key is a user other than the sender",
		[...]string{"9", "9", "8", "8", "8", "8", "8", "9"}},
	StateKeyOfNobody: {words: "the state_key begins with an @ but not with a user ID"},
	StateKeyOwned:    {words: "the state_key is of another user, who is not below the sender"},
	LevelsNotIntegers: {"a level is not an integer",
		[...]string{"", "", "", "", "", "9.1", "9.1", "10.1"}},
	LevelsNotObjects: {"events or notifications is not an object of integers",
		[...]string{"", "", "", "", "", "9.2", "9.2", "10.2"}},
	LevelsUsers: {"users is not an object of user IDs and integers",
		[...]string{"10.1", "10.1", "9.1", "9.1", "9.1", "9.3", "9.3", "10.3"}},
	LevelsNameCreator: {"users names a creator of the room",
		[...]string{"", "", "", "", "", "", "", "10.4"}},
	LevelsOldAboveSender: {"a level is changed that was above the sender",
		[...]string{"10.3.1", "10.3.1", "9.3.1", "9.3.1", "9.3.1", "9.5.1", "9.5.1", "10.6.1"}},
	LevelsNewAboveSender: {"a level is raised above the sender",
		[...]string{"10.3.2", "10.3.2", "9.3.2", "9.3.2", "9.3.2", "9.5.2", "9.5.2", "10.6.2"}},
	LevelsEventOldAboveSender: {"the level of an event or notification is changed that was above the sender",
		[...]string{"10.4.1", "10.4.1", "9.4.1", "9.4.1", "9.4.1", "9.6.1", "9.6.1", "10.7.1"}},
	LevelsEventNewAboveSender: {"the level of an event or notification is raised above the sender",
		[...]string{"10.5.1", "10.5.1", "9.5.1", "9.5.1", "9.5.1", "9.7.1", "9.7.1", "10.8.1"}},
	LevelsUserNotBelowSender: {"the level of another user is changed that was not below the sender",
		[...]string{"10.6.1", "10.6.1", "9.6.1", "9.6.1", "9.6.1", "9.8.1", "9.8.1", "10.9.1"}},
	LevelsUserNewAboveSender: {"the level of a user is raised above the sender",
		[...]string{"10.7.1", "10.7.1", "9.7.1", "9.7.1", "9.7.1", "9.9.1", "9.9.1", "10.10.1"}},
	RedactionForbidden: {"a redaction is by a sender below the redact level and of an event of another domain",
		[...]string{"11.3", "", "", "", "", "", "", ""}},
}

// ownedNumbers has the numbers that owned state puts in place of those of the
// table. What MSC3757 says there of longer state keys has no rule here: package
// event has one limit for all versions.
var ownedNumbers = map[Rule]string{
	StateKeyOfOther:  "",
	StateKeyOfNobody: "8.1.1",
	StateKeyOwned:    "8.1.3",
}
