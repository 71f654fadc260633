package journal

import (
	"crypto/sha256"
	"encoding/binary"

	"parley/matrix/id"
)

// A Position is a place in the journal. The first entry has position 1; 0 is
// before everything.
type Position int64

// A Scope names whom an entry may concern: everyone who watches a room, say.
type Scope int64

// A ScopeKind says of what a scope is.
type ScopeKind uint8

// The kinds of scopes. The numbers are stored and never change.
const (
	ScopeRoom    ScopeKind = 1 // who is, was or is invited in a room
	ScopeUser    ScopeKind = 2 // the devices of a local user
	ScopeDevice  ScopeKind = 3 // one device
	ScopeSharers ScopeKind = 4 // everyone who shares a room with a user
	ScopeServers ScopeKind = 5 // other servers
	ScopePushers ScopeKind = 6 // the pushers with one app_id and pushkey
	ScopeNobody  ScopeKind = 7 // no client: consumers that go through everything. The number is that of a room
)

// idBits is how much of a scope is the number of what it is of.
const idBits = 56

// NewScope returns the scope of a thing, which has a number from 0 to 2^56-1
// among the things of its kind.
func NewScope(kind ScopeKind, number int64) Scope {
	if number < 0 || number >= 1<<idBits {
		panic("journal: number of a scope out of range")
	}
	return Scope(int64(kind)<<idBits | number)
}

// UserScope returns the scope of a user. Its number is a hash of the ID, so that
// whoever knows the ID knows the scope. Two users may have the same: a reader
// must look whether what an entry refers to is the user's.
func UserScope(user id.UserID) Scope {
	sum := sha256.Sum256([]byte(user))
	return NewScope(ScopeUser, int64(binary.BigEndian.Uint64(sum[:])>>(64-idBits)))
}

// SharersScope returns the scope of everyone who shares a room with a user. Nobody
// watches it: an entry of it is told in the user's rooms, see [Batch.Tell].
func SharersScope(user id.UserID) Scope { return NewScope(ScopeSharers, UserScope(user).Number()) }

// Kind returns of what the scope is.
func (s Scope) Kind() ScopeKind { return ScopeKind(s >> idBits) }

// Number returns the number of what the scope is of.
func (s Scope) Number() int64 { return int64(s) & (1<<idBits - 1) }

// A Kind says what an entry is about, and so what its reference means. The
// numbers are stored and never change; each belongs to the package that appends
// such entries.
type Kind int64

// All kinds are listed here so that no two have one number.
const (
	KindEvent        Kind = 1  // scope room; ref is the number of an event (room)
	KindMembership   Kind = 2  // scope user; ref is the number of the room in which the user's membership changed (room)
	KindForget       Kind = 3  // scope user; ref is the number of a room (room)
	KindReceipt      Kind = 4  // scope room, or user for private ones; the rows have the position (receipt)
	KindAccountData  Kind = 5  // scope user; the rows have the position, ref is 1 for push rules (accountdata)
	KindRedaction    Kind = 6  // scope room; ref is the number of an event that was redacted (room)
	KindPurge        Kind = 12 // scope room; ref is the number of the room, of which something is gone (room)
	KindPast         Kind = 14 // scope nobody; ref is the number of an event that was put into the room's past (room)
	KindMembers      Kind = 15 // scope nobody; ref is the member event of a user of another server, 0 if members came all at once (room)
	KindWhole        Kind = 13 // scope room; ref is the number of the room, all members of which are known from now on (room)
	KindOneTimeKeys  Kind = 30 // scope user; ref is of the device whose one-time or fallback keys have changed (e2ee)
	KindSignature    Kind = 31 // scope user, who has signed a key; the rows have the position (e2ee)
	KindToDevice     Kind = 20 // scope user; the rows have the position (todevice)
	KindDeviceList   Kind = 22 // scope sharers; the rows have the position, ref is 1 for a local user (devicelist)
	KindProfile      Kind = 23 // scope sharers; the rows have the position (profile)
	KindSubscription Kind = 32 // scope user; ref: the number of the room; the rows have the position (subscription)
	KindSticky       Kind = 35 // scope room; ref: an event that clients are told of after all, as it is sticky (room)
	KindPusher       Kind = 33 // scope pushers, of which something has changed (push)
	KindAbroad       Kind = 21 // scope servers; messages to devices of users of other servers, the rows have the position (todevice)
)

// An Entry is one line of the journal.
type Entry struct {
	Pos   Position
	Scope Scope
	Kind  Kind
	Ref   int64
}
