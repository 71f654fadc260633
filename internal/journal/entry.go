package journal

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

// Kind returns of what the scope is.
func (s Scope) Kind() ScopeKind { return ScopeKind(s >> idBits) }

// Number returns the number of what the scope is of.
func (s Scope) Number() int64 { return int64(s) & (1<<idBits - 1) }

// A Kind says what an entry is about, and so which table its reference is a key
// of. The numbers belong to the packages that append such entries, are stored
// and never change.
type Kind int64

// An Entry is one line of the journal.
type Entry struct {
	Pos   Position
	Scope Scope
	Kind  Kind
	Ref   int64
}
