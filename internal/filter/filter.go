package filter

import (
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// The bounds of a filter.
const (
	MaxSize  = 64 << 10 // of a definition, in bytes
	MaxList  = 2000     // entries of one list
	MaxStars = 100      // wildcards in one list of types
	MaxNames = 32       // names in one path of event_fields
)

// The limits of a timeline: what it has without a limit in the filter, and the
// largest.
const (
	DefaultLimit = 10
	MaxLimit     = 100
)

// Filter is the whole of what a client wants of a sync.
type Filter struct {
	// Definition is what the filter was made of, nil for the zero Filter.
	Definition canonjson.Value
	// EventFields says to which members events are reduced.
	EventFields Fields
	// Federation asks for events as they came from other servers instead of in
	// the format for clients (event_format).
	Federation bool

	AccountData EventFilter // not of rooms
	Presence    EventFilter
	Room        RoomFilter
	// ProfileFields are those of which the client wants to be told, none unless it
	// says so.
	// https://github.com/matrix-org/matrix-spec-proposals/pull/4429
	ProfileFields []string
}

// RoomFilter says which rooms a client wants to see, and what of them.
type RoomFilter struct {
	rooms rooms
	// IncludeLeave asks for rooms that the user has left.
	IncludeLeave bool

	Timeline    RoomEventFilter
	State       RoomEventFilter
	Ephemeral   RoomEventFilter
	AccountData RoomEventFilter
}

// EventFilter says which events a client wants to see.
type EventFilter struct {
	types      types
	notTypes   types
	senders    set[id.UserID]
	notSenders set[id.UserID]
	limit      int // one more than the limit, 0 if there is none
}

// RoomEventFilter says which events of rooms a client wants to see.
type RoomEventFilter struct {
	EventFilter
	rooms rooms
	// ContainsURL, unless nil, says whether the content must have a member url
	// or must not.
	ContainsURL *bool

	// LazyLoadMembers asks for the membership only of who sent something, and
	// IncludeRedundantMembers for that again and again.
	LazyLoadMembers         bool
	IncludeRedundantMembers bool
	// UnreadThreadNotifications asks for the counts of each thread.
	UnreadThreadNotifications bool

	// RelatedByRelTypes and RelatedBySenders, unless nil, demand that another
	// event relates to this one, by one of the types and from one of the
	// senders. Match leaves that to the caller.
	RelatedByRelTypes []string
	RelatedBySenders  []id.UserID

	// relTypes, unless nil, are the types of relations of which an event has to have
	// one, and notRelTypes those that it must not have.
	// https://github.com/matrix-org/matrix-spec-proposals/pull/3874
	relTypes, notRelTypes set[string]
}

// rooms are the rooms to which something applies.
type rooms struct{ in, out set[id.RoomID] }

func (r *rooms) allow(room id.RoomID) bool {
	return (r.in == nil || r.in.has(room)) && !r.out.has(room)
}

func (r *rooms) all() bool { return r.in == nil && len(r.out) == 0 }

// A set is some identifiers, nil where the list of them is not there.
type set[T comparable] map[T]struct{}

func (s set[T]) has(x T) bool {
	_, ok := s[x]
	return ok
}
