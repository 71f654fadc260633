// Package roomver holds what differs between room versions, as data.
//
// A room version is an opaque name, fixed when the room is created, for a set
// of rules that all servers in the room follow:
// https://spec.matrix.org/v1.19/rooms/
//
// This package has the only table of them. Other packages take a [*Rules] and
// ask it one question at a time; none of them compares version names, so that
// a new version, or an experimental one, is a new row here.
package roomver

import "iter"

// A Version is the name of a room version. Versions are not ordered.
type Version string

// Default is the version that the specification recommends for new rooms.
const Default Version = "12"

// Rules says what is so in rooms of one version. The values returned by this
// package are shared and must not be modified.
type Rules struct {
	Version Version
	// Unstable: the version is a proposal's, to be tried out. What its name
	// stands for may change, and few servers know it.
	Unstable bool

	// StateRes is the algorithm that resolves conflicting states.
	StateRes StateRes

	// EventID is where the ID of an event comes from.
	EventID EventIDFormat
	// HashedReferences: auth_events and prev_events list pairs of an event ID
	// and a reference hash instead of plain event IDs.
	HashedReferences bool
	// RoomIDFromCreate: the room ID is the ID of the create event with another
	// sigil. The create event has no room_id and is not listed in auth_events;
	// the room ID implies it.
	RoomIDFromCreate bool
	// MaxDepth is the largest depth of an event.
	MaxDepth int64
	// StrictJSON: events that break canonical JSON are dropped.
	StrictJSON bool
	// KeyValidity: a signature counts only when its key was valid at the
	// event's origin_server_ts.
	KeyValidity bool
	// RedactsInContent: a redaction names its target in content instead of at
	// the top level.
	RedactsInContent bool

	// Auth selects the numbering of the authorization rules; what the rules
	// say is in the fields below.
	Auth AuthNumbering
	// AliasesRule: m.room.aliases events have an auth rule of their own.
	AliasesRule bool
	// RedactionRule: whether a redaction applies is decided by the auth rules,
	// not when it is applied.
	RedactionRule bool
	// NotificationLevels: changes of notifications in power levels are checked
	// as those of events are.
	NotificationLevels bool
	// Knock, Restricted and KnockRestricted are join rules that exist.
	Knock, Restricted, KnockRestricted bool
	// Levels is how power levels may be written.
	Levels LevelFormat
	// CreatorInContent: the creator of the room is content.creator of the
	// create event, which must be there; otherwise it is the event's sender.
	CreatorInContent bool
	// PrivilegedCreators: the sender of the create event and its
	// additional_creators stand above all power levels.
	PrivilegedCreators bool
	// OwnedState: a state key that is a user ID, or begins with one and an
	// underscore, is that user's and may be set by users above them too.
	OwnedState bool

	// Redaction is what redacting an event leaves of it.
	Redaction Redaction
}

// A StateRes is a state resolution algorithm.
type StateRes uint8

const (
	StateResV1  StateRes = iota + 1 // per type, by depth
	StateResV2                      // by power and mainline
	StateResV21                     // v2 from the empty state, with the conflicted subgraph
)

// An EventIDFormat says where event IDs come from.
type EventIDFormat uint8

const (
	// EventIDCarried is chosen by the sender's server, has a domain, and
	// stands in the event. That domain's server must sign the event too.
	EventIDCarried EventIDFormat = iota + 1
	// EventIDStdHash is the reference hash in standard unpadded Base64.
	EventIDStdHash
	// EventIDURLHash is the reference hash in URL-safe unpadded Base64.
	EventIDURLHash
)

// A LevelFormat says which JSON values are power levels.
type LevelFormat uint8

const (
	LevelsFloaty  LevelFormat = iota + 1 // integers, decimal strings, numbers with a fraction
	LevelsStringy                        // integers and decimal strings
	LevelsStrict                         // integers only, and the auth rules check it
)

// An AuthNumbering is one way in which the specification numbers the
// authorization rules, named after the first version that has it.
type AuthNumbering uint8

const (
	AuthV1 AuthNumbering = iota
	AuthV3
	AuthV6
	AuthV7
	AuthV8
	AuthV10
	AuthV11
	AuthV12
	AuthNumberings // how many there are
)

// Redaction is what survives of an event: the named top-level keys, and of
// content what its type says.
type Redaction struct {
	// Keys are the top-level keys kept, sorted.
	Keys []string
	// Content maps an event type to what is kept of content. Of types that are
	// not listed nothing is.
	Content map[string]Kept
}

// Kept is what redaction keeps of an object.
type Kept struct {
	// All keeps everything.
	All bool
	// Keys are kept whole, sorted.
	Keys []string
	// Within names keys that are kept when they hold an object, cut down to
	// the keys listed; sorted and at most one.
	Within string
	// WithinKeys are what is kept of the object under Within, sorted.
	WithinKeys []string
}

// Lookup returns the rules of a version, or false when this server does not
// know it.
func Lookup(v Version) (*Rules, bool) {
	for i := range table {
		if table[i].Version == v {
			return &table[i], true
		}
	}
	return nil, false
}

// Known yields the rules of every version: those of the specification, oldest
// first, then those of proposals.
func Known() iter.Seq[*Rules] {
	return func(yield func(*Rules) bool) {
		for i := range table {
			if !yield(&table[i]) {
				return
			}
		}
	}
}

// Valid reports whether v has the form of a room version, known or not: 1 to
// 32 of a-z, 0-9, '.' and '-'.
func (v Version) Valid() bool {
	if len(v) == 0 || len(v) > 32 {
		return false
	}
	for _, c := range []byte(v) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' {
			return false
		}
	}
	return true
}
