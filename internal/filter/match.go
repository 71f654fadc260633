package filter

import (
	"strings"

	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// AllowsRoom reports whether the client wants to see anything of a room.
func (f *RoomFilter) AllowsRoom(room id.RoomID) bool { return f.rooms.allow(room) }

// AllRooms reports whether AllowsRoom is true of every room.
func (f *RoomFilter) AllRooms() bool { return f.rooms.all() }

// AllowsRoom reports whether events of a room can pass.
func (f *RoomEventFilter) AllowsRoom(room id.RoomID) bool { return f.rooms.allow(room) }

// ListsRooms reports whether the client has named the rooms that it wants to see.
func (f *RoomEventFilter) ListsRooms() bool { return f.rooms.in != nil }

// ExcludesRoom reports whether the client does not want to see a room that it names.
func (f *RoomEventFilter) ExcludesRoom(room id.RoomID) bool { return f.rooms.out.has(room) }

// Match reports whether something of a type and from a sender passes. The sender
// is empty if there is none.
func (f *EventFilter) Match(eventType string, sender id.UserID) bool {
	return (f.senders == nil || f.senders.has(sender)) && !f.notSenders.has(sender) &&
		(!f.types.given || f.types.match(eventType)) && !f.notTypes.match(eventType)
}

// All reports whether everything passes.
func (f *EventFilter) All() bool {
	return !f.types.given && !f.notTypes.given && f.senders == nil && len(f.notSenders) == 0
}

// None reports whether it is clear beforehand that nothing passes.
func (f *EventFilter) None() bool {
	return f.types.given && f.types.empty() || f.senders != nil && len(f.senders) == 0 || f.notTypes.all
}

// Limit returns how many events a timeline may have, from 0 to MaxLimit.
//
// The other lists of a sync are not cut: what is left out of them would never
// come.
func (f *EventFilter) Limit() int {
	if f.limit == 0 {
		return DefaultLimit
	}
	return f.limit - 1
}

// Match reports whether an event passes, in a room that AllowsRoom allows.
func (f *RoomEventFilter) Match(eventType string, sender id.UserID, content canonjson.Value) bool {
	if !f.EventFilter.Match(eventType, sender) {
		return false
	}
	if f.ContainsURL != nil && *f.ContainsURL != (content.Get("url") != nil) {
		return false
	}
	if f.relTypes == nil && len(f.notRelTypes) == 0 {
		return true
	}
	relation, _ := content.Get("m.relates_to").Get("rel_type").Text() // empty: none
	return (f.relTypes == nil || relation != "" && f.relTypes.has(relation)) && (relation == "" || !f.notRelTypes.has(relation))
}

// All reports whether everything passes, in every room.
func (f *RoomEventFilter) All() bool {
	return f.EventFilter.All() && f.ContainsURL == nil && f.rooms.all() &&
		f.relTypes == nil && len(f.notRelTypes) == 0 &&
		f.RelatedByRelTypes == nil && f.RelatedBySenders == nil
}

// None reports whether it is clear beforehand that nothing passes, in any room.
func (f *RoomEventFilter) None() bool {
	return f.EventFilter.None() || f.rooms.in != nil && len(f.rooms.in) == 0 ||
		f.relTypes != nil && len(f.relTypes) == 0 ||
		f.RelatedByRelTypes != nil && len(f.RelatedByRelTypes) == 0 ||
		f.RelatedBySenders != nil && len(f.RelatedBySenders) == 0
}

// types are the types of events on a list.
type types struct {
	given bool // the list is there
	all   bool // * is on it
	exact set[string]
	wild  []pattern
}

func (t *types) empty() bool { return !t.all && len(t.exact) == 0 && len(t.wild) == 0 }

func (t *types) match(eventType string) bool {
	if t.all || t.exact.has(eventType) {
		return true
	}
	for _, p := range t.wild {
		if p.match(eventType) {
			return true
		}
	}
	return false
}

// A pattern is the parts between which anything may stand, at least two: the
// first at the start, the last at the end.
type pattern []string

func (p pattern) match(s string) bool {
	first, last := p[0], p[len(p)-1]
	if len(s) < len(first)+len(last) || !strings.HasPrefix(s, first) || !strings.HasSuffix(s, last) {
		return false
	}
	s = s[len(first) : len(s)-len(last)]
	for _, part := range p[1 : len(p)-1] {
		// Where a part can be taken early, later parts have the more room.
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return true
}

// WantsRelated reports whether other events have to relate to those that pass,
// which Match does not know.
func (f *RoomEventFilter) WantsRelated() bool {
	return f.RelatedByRelTypes != nil || f.RelatedBySenders != nil
}
