package room

import (
	"slices"

	"parley/internal/journal"
	"parley/matrix/event"
)

// A Visibility says who may see the history of a room:
// https://spec.matrix.org/v1.19/client-server-api/#room-history-visibility
type Visibility string

const (
	WorldReadable Visibility = "world_readable"
	Shared        Visibility = "shared"
	Invited       Visibility = "invited"
	Joined        Visibility = "joined"
)

// VisibilityOf returns what a history visibility event says; nil is a room
// without one. What is not understood counts as shared.
func VisibilityOf(e *event.Event) Visibility {
	if e == nil {
		return Shared
	}
	text, _ := e.Content().Get("history_visibility").Text()
	switch v := Visibility(text); v {
	case WorldReadable, Invited, Joined:
		return v
	}
	return Shared
}

// A MembershipAt is what one user became to a room, and where in the room's own
// order, and at which position of the journal.
type MembershipAt struct {
	Place      int64
	Pos        journal.Position
	Membership string
	// Outside is a membership that came while this server was not in the room. What
	// is fetched of the room's history later may be older, and still come behind it:
	// it has a time, but no place.
	Outside bool
	// Merged says that the event in the place is another one, with which branches met:
	// the state before it says so already.
	Merged bool
}

// aside reports whether the user has become nothing there: an event that was put into a gap
// later has another branch before it, where it was so.
func (m MembershipAt) aside() bool { return m.Merged && m.Pos == 0 }

// A VisibilityAt is what the history visibility became, and where.
type VisibilityAt struct {
	Place      int64
	Visibility Visibility
	Merged     bool // as of a membership
}

// An Interval is the places from First to Last, both included.
type Interval struct {
	First, Last int64
}

// Contains reports whether a place is in the interval.
func (i Interval) Contains(place int64) bool { return i.First <= place && place <= i.Last }

// Visible returns the places of a room's history, up to and including last,
// whose events a user may see: disjoint intervals in order. The memberships of
// the user and the visibilities are each in the order of their places, which
// begin at 1. Events in between change neither.
//
// A history visibility event is seen by who may see what is before or after it.
// A member event of the user's own is always seen: who declines an invite learns
// that it is gone. An event with which branches met is seen by the state that came of
// them.
func Visible(memberships []MembershipAt, visibilities []VisibilityAt, last int64) []Interval {
	v := sight{visibility: Shared}
	memberships = slices.DeleteFunc(slices.Clone(memberships), func(m MembershipAt) bool { return m.Outside })
	for _, m := range memberships {
		if m.Membership == event.MembershipJoin && !m.aside() {
			v.lastJoin = m.Place
		}
	}
	var seen []Interval
	see := func(first, last int64) {
		switch n := len(seen); {
		case first > last:
		case n > 0 && seen[n-1].Last+1 == first:
			seen[n-1].Last = last
		default:
			seen = append(seen, Interval{first, last})
		}
	}
	next := int64(1) // the first place that is not decided
	for _, place := range changes(memberships, visibilities) {
		if place > last {
			break
		}
		if v.allows(next) {
			see(next, place-1)
		}
		before, here := v.allows(place), false // here: the event in the place changes it
		for len(memberships) > 0 && memberships[0].Place == place {
			if !memberships[0].Merged {
				before, here = true, true
			}
			v.membership, memberships = memberships[0].Membership, memberships[1:]
		}
		for len(visibilities) > 0 && visibilities[0].Place == place {
			here = here || !visibilities[0].Merged
			v.visibility, visibilities = visibilities[0].Visibility, visibilities[1:]
		}
		if here && before || v.allows(place) {
			see(place, place)
		}
		next = place + 1
	}
	if v.allows(next) {
		see(next, last)
	}
	return seen
}

// changes returns the places at which anything changes, in order.
func changes(memberships []MembershipAt, visibilities []VisibilityAt) []int64 {
	var places []int64
	for _, m := range memberships {
		places = append(places, m.Place)
	}
	for _, v := range visibilities {
		places = append(places, v.Place)
	}
	slices.Sort(places)
	return slices.Compact(places)
}

// sight is what decides whether a user sees an event, at one place.
type sight struct {
	visibility Visibility
	membership string
	lastJoin   int64 // the place of the user's last join
}

// allows applies the rules to an event at a place, which must have the same
// visibility and membership.
func (s sight) allows(place int64) bool {
	switch {
	// 1. If the history_visibility was set to world_readable, allow.
	case s.visibility == WorldReadable:
		return true
	// 2. If the user's membership was join, allow.
	case s.membership == event.MembershipJoin:
		return true
	// 3. If history_visibility was set to shared, and the user joined the room
	// at any point after the event was sent, allow.
	case s.visibility == Shared && place < s.lastJoin:
		return true
	// 4. If the user's membership was invite, and the history_visibility was
	// set to invited, allow.
	case s.membership == event.MembershipInvite && s.visibility == Invited:
		return true
	}
	// 5. Otherwise, deny.
	return false
}
