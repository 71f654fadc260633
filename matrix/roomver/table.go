package roomver

import "slices"

const (
	maxInt64 = 1<<63 - 1
	maxInt53 = 1<<53 - 1
)

// table has the versions of the specification and behind them those of proposals.
var table = withProposals(specified)

// specified is written as a history: each version is the one before it and what
// it changed.
var specified = history(
	func(r *Rules) {
		r.Version = "1"
		r.StateRes = StateResV1
		r.EventID = EventIDCarried
		r.HashedReferences = true
		r.MaxDepth = maxInt64
		r.Auth = AuthV1
		r.AliasesRule = true
		r.RedactionRule = true
		r.Levels = LevelsFloaty
		r.CreatorInContent = true
		r.Redaction = redactionV1
	},
	func(r *Rules) {
		r.Version = "2"
		r.StateRes = StateResV2
	},
	func(r *Rules) {
		r.Version = "3"
		r.EventID = EventIDStdHash
		r.HashedReferences = false
		r.Auth = AuthV3
		r.RedactionRule = false
	},
	func(r *Rules) {
		r.Version = "4"
		r.EventID = EventIDURLHash
	},
	func(r *Rules) {
		r.Version = "5"
		r.KeyValidity = true
	},
	func(r *Rules) {
		r.Version = "6"
		r.StrictJSON = true
		r.MaxDepth = maxInt53
		r.Auth = AuthV6
		r.AliasesRule = false
		r.NotificationLevels = true
		r.Levels = LevelsStringy
		r.Redaction = redactionV6
	},
	func(r *Rules) {
		r.Version = "7"
		r.Auth = AuthV7
		r.Knock = true
	},
	func(r *Rules) {
		r.Version = "8"
		r.Auth = AuthV8
		r.Restricted = true
		r.Redaction = redactionV8
	},
	func(r *Rules) {
		r.Version = "9"
		r.Redaction = redactionV9
	},
	func(r *Rules) {
		r.Version = "10"
		r.Auth = AuthV10
		r.KnockRestricted = true
		r.Levels = LevelsStrict
	},
	func(r *Rules) {
		r.Version = "11"
		r.Auth = AuthV11
		r.RedactsInContent = true
		r.CreatorInContent = false
		r.Redaction = redactionV11
	},
	func(r *Rules) {
		r.Version = "12"
		r.StateRes = StateResV21
		r.RoomIDFromCreate = true
		r.Auth = AuthV12
		r.PrivilegedCreators = true
	},
)

func history(changes ...func(*Rules)) []Rules {
	var versions []Rules
	var r Rules
	for _, change := range changes {
		change(&r)
		versions = append(versions, r)
	}
	return versions
}

func withProposals(specified []Rules) []Rules {
	return slices.Concat(specified, []Rules{
		// https://github.com/matrix-org/matrix-spec-proposals/pull/3757
		proposal("org.matrix.msc3757.10", specified, "10", func(r *Rules) { r.OwnedState = true }),
		proposal("org.matrix.msc3757.11", specified, "11", func(r *Rules) { r.OwnedState = true }),
	})
}

// proposal is a version of the specification with the change of a proposal.
func proposal(name Version, specified []Rules, base Version, change func(*Rules)) Rules {
	r := specified[slices.IndexFunc(specified, func(r Rules) bool { return r.Version == base })]
	r.Version, r.Unstable = name, true
	change(&r)
	return r
}

var (
	keysV1 = sorted("event_id", "type", "room_id", "sender", "state_key", "content", "hashes", "signatures",
		"depth", "prev_events", "prev_state", "auth_events", "origin", "origin_server_ts", "membership")
	keysV11 = sorted("event_id", "type", "room_id", "sender", "state_key", "content", "hashes", "signatures",
		"depth", "prev_events", "auth_events", "origin_server_ts")

	levelKeysV1  = sorted("ban", "events", "events_default", "kick", "redact", "state_default", "users", "users_default")
	levelKeysV11 = sorted(append([]string{"invite"}, levelKeysV1...)...)
)

var redactionV1 = Redaction{Keys: keysV1, Content: map[string]Kept{
	"m.room.member":             {Keys: []string{"membership"}},
	"m.room.create":             {Keys: []string{"creator"}},
	"m.room.join_rules":         {Keys: []string{"join_rule"}},
	"m.room.power_levels":       {Keys: levelKeysV1},
	"m.room.aliases":            {Keys: []string{"aliases"}},
	"m.room.history_visibility": {Keys: []string{"history_visibility"}},
}}

var redactionV6 = Redaction{Keys: keysV1, Content: map[string]Kept{
	"m.room.member":             {Keys: []string{"membership"}},
	"m.room.create":             {Keys: []string{"creator"}},
	"m.room.join_rules":         {Keys: []string{"join_rule"}},
	"m.room.power_levels":       {Keys: levelKeysV1},
	"m.room.history_visibility": {Keys: []string{"history_visibility"}},
}}

var redactionV8 = Redaction{Keys: keysV1, Content: map[string]Kept{
	"m.room.member":             {Keys: []string{"membership"}},
	"m.room.create":             {Keys: []string{"creator"}},
	"m.room.join_rules":         {Keys: []string{"allow", "join_rule"}},
	"m.room.power_levels":       {Keys: levelKeysV1},
	"m.room.history_visibility": {Keys: []string{"history_visibility"}},
}}

var redactionV9 = Redaction{Keys: keysV1, Content: map[string]Kept{
	"m.room.member":             {Keys: []string{"join_authorised_via_users_server", "membership"}},
	"m.room.create":             {Keys: []string{"creator"}},
	"m.room.join_rules":         {Keys: []string{"allow", "join_rule"}},
	"m.room.power_levels":       {Keys: levelKeysV1},
	"m.room.history_visibility": {Keys: []string{"history_visibility"}},
}}

var redactionV11 = Redaction{Keys: keysV11, Content: map[string]Kept{
	"m.room.member": {
		Keys:       []string{"join_authorised_via_users_server", "membership"},
		Within:     "third_party_invite",
		WithinKeys: []string{"signed"},
	},
	"m.room.create":             {All: true},
	"m.room.join_rules":         {Keys: []string{"allow", "join_rule"}},
	"m.room.power_levels":       {Keys: levelKeysV11},
	"m.room.history_visibility": {Keys: []string{"history_visibility"}},
	"m.room.redaction":          {Keys: []string{"redacts"}},
}}

func sorted(keys ...string) []string {
	slices.Sort(keys)
	return keys
}
