package feed

import (
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"

	"parley/internal/journal"
	"parley/internal/room"
	"parley/matrix/event"
)

// A reach is up to which position a client was told something of a room: nothing
// yet, all up to the position of the token that it has, or all up to another one.
type reach int64

const (
	reachNone reach = iota
	reachAll
	reachPos // and what is added is a position
)

func reachTo(pos journal.Position) reach { return reachPos + reach(pos) }

// from returns behind which position the rest is to be told, to a client that has a
// token of a position.
func (r reach) from(token journal.Position) journal.Position {
	switch r {
	case reachNone:
		return 0
	case reachAll:
		return token
	}
	return journal.Position(r - reachPos)
}

// sent is what a client was told of a room on a connection. Most rooms do not
// change here when they are told of: what is told is told up to the token.
type sent struct {
	history reach // never reachNone: then the room is not there
	// data and receipts are those that extensions tell of.
	data, receipts reach
	// membership is what the user is to the room, as it was told.
	membership membership
	direct     bool
	// wants says which state was told, by its index.
	wants int
	// depth is how many of the last events the client has at least.
	depth int
	// profiles says that the client was told of the profiles of all members.
	profiles bool
}

// wholeDepth says that the client has all events that it may see.
const wholeDepth = math.MaxInt32

// A membership is one in a byte.
type membership uint8

var memberships = [...]string{"", event.MembershipJoin, event.MembershipInvite, event.MembershipKnock, event.MembershipLeave, event.MembershipBan}

func membershipOf(name string) membership {
	return membership(max(0, slices.Index(memberships[:], name)))
}

func (m membership) String() string { return memberships[m] }

// gone reports whether the user is out of the room.
func (m membership) gone() bool { return event.IsOut(m.String()) }

// told is what a client was told on a connection.
type told struct {
	rooms map[room.Num]sent
	// wants are the texts that rooms refer to. It only grows.
	wants []string
	// profiles says of which fields of profiles the client is told, empty for none. In
	// what is added, nil: it is as before.
	profiles *string
}

// empty reports whether nothing is added.
func (t *told) empty() bool { return len(t.rooms)+len(t.wants) == 0 && t.profiles == nil }

func (t *told) clone() *told {
	return &told{rooms: maps.Clone(t.rooms), wants: slices.Clip(t.wants), profiles: t.profiles}
}

// add takes in what was told later.
func (t *told) add(change *told) {
	maps.Copy(t.rooms, change.rooms)
	t.wants = append(t.wants, change.wants...)
	if change.profiles != nil {
		t.profiles = change.profiles
	}
}

// encode returns it as it is stored: some bytes per room.
func (t *told) encode() []byte {
	text := func(dst []byte, s string) []byte { return append(binary.AppendUvarint(dst, uint64(len(s))), s...) }
	dst := binary.AppendUvarint(nil, uint64(len(t.wants)))
	for _, s := range t.wants {
		dst = text(dst, s)
	}
	if t.profiles == nil {
		dst = append(dst, 0)
	} else {
		dst = text(append(dst, 1), *t.profiles)
	}
	last := room.Num(0)
	for _, num := range slices.Sorted(maps.Keys(t.rooms)) {
		s := t.rooms[num]
		flags := uint64(s.membership) << 2
		if s.direct {
			flags |= 1
		}
		if s.profiles {
			flags |= 2
		}
		for _, n := range [...]uint64{uint64(num - last), uint64(s.history), uint64(s.data), uint64(s.receipts), flags, uint64(s.wants), uint64(s.depth)} {
			dst = binary.AppendUvarint(dst, n)
		}
		last = num
	}
	return dst
}

var errTold = errors.New("malformed state of a connection")

// decodeTold reads what encode wrote.
func decodeTold(b []byte) (*told, error) {
	t := &told{rooms: make(map[room.Num]sent)}
	ok := true
	next := func() uint64 {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			ok, b = false, nil
			return 0
		}
		b = b[size:]
		return n
	}
	text := func() (s string) {
		if size := next(); size > uint64(len(b)) {
			ok, b = false, nil
		} else {
			s, b = string(b[:size]), b[size:]
		}
		return s
	}
	for count := next(); ok && count > 0; count-- {
		t.wants = append(t.wants, text())
	}
	if next() != 0 {
		s := text()
		t.profiles = &s
	}
	num := room.Num(0)
	for ok && len(b) > 0 {
		num += room.Num(next())
		s := sent{history: reach(next()), data: reach(next()), receipts: reach(next())}
		flags := next()
		s.wants, s.depth = int(next()), int(next())
		s.direct, s.profiles = flags&1 != 0, flags&2 != 0
		if flags>>2 >= uint64(len(memberships)) {
			return nil, errTold
		}
		s.membership = membership(flags >> 2)
		t.rooms[num] = s
	}
	if !ok {
		return nil, errTold
	}
	return t, nil
}

// compact returns the same with only those wants that rooms refer to.
func (t *told) compact() *told {
	c, index := &told{rooms: make(map[room.Num]sent, len(t.rooms)), profiles: t.profiles}, make(map[int]int)
	for _, num := range slices.Sorted(maps.Keys(t.rooms)) {
		s := t.rooms[num]
		i, ok := index[s.wants]
		if !ok {
			i = len(c.wants)
			index[s.wants], c.wants = i, append(c.wants, t.wants[s.wants])
		}
		s.wants = i
		c.rooms[num] = s
	}
	return c
}
