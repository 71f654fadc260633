package event

import (
	"parley/matrix/canonjson"
	"parley/matrix/roomver"
)

// Redacted returns the event stripped as the redaction algorithm of its room
// version says: https://spec.matrix.org/v1.19/client-server-api/#redactions
// It keeps its ID, hashes and signatures and loses unsigned.
func (e *Event) Redacted() *Event {
	stripped := appendRedacted(make([]byte, 0, min(len(e.json), 2048)), e, true)
	if len(stripped) == len(e.json) {
		return e
	}
	return e.withJSON(stripped)
}

// appendRedacted appends the redacted form of the event, with or without its
// signatures. Without them it is what the signatures and the reference hash
// cover.
func appendRedacted(dst []byte, e *Event, signatures bool) []byte {
	dst = append(dst, '{')
	start := len(dst)
	keys := keyCursor{keys: e.rules.Redaction.Keys}
	for name, value := range e.json.Members() {
		if !keys.has(name) || !signatures && name.Is("signatures") {
			continue
		}
		dst = appendName(dst, start, name)
		if name.Is("content") {
			dst = appendKept(dst, value, e.rules.Redaction.Content[e.eventType])
		} else {
			dst = append(dst, value...)
		}
	}
	return append(dst, '}')
}

func appendKept(dst []byte, object canonjson.Value, kept roomver.Kept) []byte {
	if kept.All {
		return append(dst, object...)
	}
	dst = append(dst, '{')
	start := len(dst)
	keys := keyCursor{keys: kept.Keys}
	for name, value := range object.Members() {
		switch {
		case keys.has(name):
			dst = append(appendName(dst, start, name), value...)
		case kept.Within != "" && value.Kind() == canonjson.Object && name.Is(kept.Within):
			dst = appendKept(appendName(dst, start, name), value, roomver.Kept{Keys: kept.WithinKeys})
		}
	}
	return append(dst, '}')
}

// appendName appends a member name and its colon to an object whose first
// member begins at start.
func appendName(dst []byte, start int, name canonjson.Value) []byte {
	if len(dst) > start {
		dst = append(dst, ',')
	}
	dst = append(dst, name...)
	return append(dst, ':')
}

// keyCursor asks for names in canonical order whether they are in a sorted
// list, in one pass over both. The listed keys consist of a-z and '_', which
// sort after everything that JSON escapes and after the backslash, so that the
// encoded form of a name compares with them as the name itself would.
type keyCursor struct {
	keys []string
}

func (c *keyCursor) has(name canonjson.Value) bool {
	inside := name[1 : len(name)-1]
	for len(c.keys) > 0 && c.keys[0] < string(inside) {
		c.keys = c.keys[1:]
	}
	return len(c.keys) > 0 && c.keys[0] == string(inside)
}
