package event

import (
	"math/bits"

	"parley/matrix/canonjson"
)

// fields is a set of the top-level keys that have a meaning.
type fields uint32

const (
	fieldAuth fields = 1 << iota
	fieldContent
	fieldDepth
	fieldEventID
	fieldHashes
	fieldSticky
	fieldTS
	fieldPrev
	fieldRedacts
	fieldRoomID
	fieldSender
	fieldSignatures
	fieldStateKey
	fieldType
	fieldUnsigned
)

var fieldNames = [...]string{
	"auth_events", "content", "depth", "event_id", "hashes", sticky, "origin_server_ts", "prev_events",
	"redacts", "room_id", "sender", "signatures", "state_key", "type", "unsigned",
}

// lookupField returns the field of that name, 0 when it has no meaning. None
// of the names needs an escape, so the bytes can be compared as they are.
func lookupField(name canonjson.Value) fields {
	inside := name[1 : len(name)-1]
	for i, n := range fieldNames {
		if len(n) == len(inside) && n == string(inside) {
			return 1 << i
		}
	}
	return 0
}

func (f fields) first() string { return fieldNames[bits.TrailingZeros32(uint32(f))] }
