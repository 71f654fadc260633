package simtest

import (
	"fmt"
	"net/url"
	"slices"
)

// history holds a client's timeline against the history of the room as the user
// sees it: with what prev_batch leads to, nothing is missing and nothing twice.
func (c *comparison) history(id string, r *room, joined bool) {
	if c.w.checks.IntN(3) > 0 || c.w.federation != nil && (!c.w.healed || !joined) {
		return // what is missing may come at any time, and no event says that to join did not count
	}
	whole := c.walk(id, "", 100)
	if c.filter.EventFields == nil && c.w.federation == nil { // branches have states of their own
		c.memberships(id, whole)
	}
	before := c.walk(id, r.prevBatch, 1+c.w.checks.IntN(30))
	if !joined {
		// Where everybody may read, it goes on after the user has left.
		until := untilLeft(whole, c.person.id)
		later := func(e event) bool {
			same := func(other event) bool { return other.id == e.id }
			return slices.ContainsFunc(whole, same) && !slices.ContainsFunc(until, same)
		}
		whole, before = until, slices.DeleteFunc(before, later)
	}
	heard := c.person.heard
	want, got := c.passing(id, heard(whole)), append(c.passing(id, heard(before)), c.passing(id, heard(r.timeline))...)
	if c.filter.Room.Timeline.ContainsURL != nil {
		gone := redacted(whole)
		drop := func(e event) bool { return gone[e.id] }
		want, got = slices.DeleteFunc(want, drop), slices.DeleteFunc(got, drop)
	}
	if len(c.filter.Room.Timeline.NotRooms) > 0 || none(c.filter.Room.Timeline) {
		return // there is no timeline, and prev_batch is the end of the room
	}
	if c.w.purged(id) {
		// The client may have what is gone.
		begins := func(e event) bool { return len(want) > 0 && e.id == want[0].id }
		if i := slices.IndexFunc(got, begins); i > 0 {
			got = got[i:]
			c.w.count("histories that begin later")
		} else if len(want) == 0 {
			return
		}
	}
	if a, b := ids(got), ids(want); !slices.Equal(a, b) {
		c.differ("%s: the timeline and what is before it:\n%v\nthe history:\n%v\nprev_batch %s, timeline %v", id, a, b, r.prevBatch, ids(r.timeline))
	}
	c.w.count("histories")
}

// purged reports whether something of a room's history is gone.
func (w *world) purged(id string) bool {
	return slices.ContainsFunc(w.rooms, func(r *place) bool { return r.id == id && r.purged })
}

func none(p part) bool { return p.Types != nil && len(p.Types) == 0 }

func ids(events []event) []string {
	list := []string{}
	for _, e := range events {
		list = append(list, e.id)
	}
	return list
}

func redacted(events []event) map[string]bool {
	set := make(map[string]bool)
	for _, e := range events {
		if e.redacted {
			set[e.id] = true
		}
	}
	return set
}

func (c *comparison) passing(id string, events []event) []event {
	return slices.DeleteFunc(slices.Clone(events), func(e event) bool { return !c.filter.Room.Timeline.passes(id, e) })
}

// walk reads a room's history backwards to its beginning, and returns it in
// order.
func (c *comparison) walk(id, from string, limit int) []event {
	var events []event
	for {
		path := roomPath(id, "messages") + fmt.Sprintf("?dir=b&limit=%d&from=%s", limit, url.QueryEscape(from))
		status, v := c.w.get(c.person.watcher, path)
		if status != 200 {
			c.differ("%s: GET %s: %d %s", id, path, status, v)
			return nil
		}
		chunk := parseEvents(v.Get("chunk"))
		events = append(events, chunk...)
		if from = text(v, "end"); from == "" {
			slices.Reverse(events)
			return events
		}
		if len(events) > 100_000 {
			c.fail("%s: /messages does not end", id)
		}
	}
}

// memberships holds what events say of the user's membership against the user's
// own member events, all of which the user sees that matter.
func (c *comparison) memberships(id string, events []event) {
	known := ""
	for _, e := range events {
		told := text(e.json.Get("unsigned"), "membership")
		if e.is("m.room.member", c.person.id) {
			known = e.membership()
		}
		if e.redacted && e.is("m.room.member", c.person.id) {
			known = told
		}
		if known != "" && told != known {
			c.differ("%s: the user was %s to the room, not %s: %s", id, known, told, e.json)
		}
	}
}

// untilLeft returns what of a history is told to a user who is not in the room:
// what was until the user left it, and then the own member events.
func untilLeft(events []event, user string) []event {
	joined, left := false, 0
	for i, e := range events {
		switch is := e.is("m.room.member", user) && e.membership() == "join"; {
		case is:
			joined = true
		case joined && e.is("m.room.member", user):
			joined, left = false, i+1
		}
	}
	own := slices.DeleteFunc(slices.Clone(events[left:]), func(e event) bool { return !e.is("m.room.member", user) })
	return append(slices.Clone(events[:left]), own...)
}
