package event

import (
	"strconv"

	"parley/matrix/canonjson"
)

// An event may say that it is sticky: for a while it is to reach every server and
// client of the room, and not only those that read so far back.
// https://github.com/matrix-org/matrix-spec-proposals/pull/4354

// sticky is the member that says so, until the proposal is accepted. It has no part in
// what is left of a redacted event.
const sticky = "msc4354_sticky"

// MaxSticky is for how long an event can be sticky at most, in milliseconds.
const MaxSticky = 60 * 60 * 1000

// Sticky returns for how many milliseconds after it was sent the event is sticky, 0 if
// it is not.
func (e *Event) Sticky() int64 { return e.sticky }

// readSticky takes what makes no sense for an event that is not sticky.
func (e *Event) readSticky(v canonjson.Value) {
	if v.Kind() != canonjson.Object {
		return
	}
	if ms, ok := v.Get("duration_ms").Int(); ok {
		e.sticky = min(max(0, ms), MaxSticky)
	}
}

// appendSticky appends the member to one before it.
func appendSticky(dst []byte, ms int64) []byte {
	dst = strconv.AppendInt(append(dst, `,"`+sticky+`":{"duration_ms":`...), ms, 10)
	return append(dst, '}')
}
