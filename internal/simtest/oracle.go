package simtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"parley/matrix/canonjson"
)

// compare brings a stream's client up to date and compares it with a fresh one
// and with what is true. A profile may still be on its way into rooms, and
// somebody cease to type; then it begins again.
func (w *world) compare(s *stream) {
	s.collect()
	for range 50 {
		s.sync(0, false)
		fresh, response := s.fresh()
		if fresh.since != s.client.since {
			continue
		}
		c := comparison{stream: s, fresh: fresh}
		c.all()
		c.counts()
		if again, _ := s.fresh(); again.since != fresh.since {
			continue
		}
		if len(c.differences) > 0 {
			more := ""
			for id := range c.client.rooms {
				if w.federation != nil && strings.Contains(strings.Join(c.differences, "\n"), id) {
					more += w.describe(s.person.server(), &place{id: id})
				}
			}
			s.fail("the law is broken:\n%s\n%s\na fresh client got: %s", strings.Join(c.differences, "\n"), more, response)
		}
		w.count("comparisons")
		return
	}
	s.fail("the server does not come to rest")
}

// A comparison collects where a client differs from what it is to be.
type comparison struct {
	*stream
	fresh       *client
	together    *client // a fresh one that does not care for threads, if it is needed
	differences []string
}

func (c *comparison) differ(format string, args ...any) {
	c.differences = append(c.differences, fmt.Sprintf(format, args...))
}

func (c *comparison) all() {
	c.maps("account data", c.client.accountData, c.fresh.accountData)
	for _, section := range []string{"join", "invite", "knock"} {
		mine, theirs := c.roomsIn(section), c.fresh.in(section)
		maps.DeleteFunc(mine, func(id string, _ *room) bool { return theirs[id] == nil && c.w.partial(c.person.server(), id) })
		if a, b := slices.Sorted(maps.Keys(mine)), slices.Sorted(maps.Keys(theirs)); !slices.Equal(a, b) {
			c.differ("rooms in %s: %v, fresh %v", section, a, b)
		}
		for id, r := range mine {
			if other := theirs[id]; other != nil {
				c.room(id, r, other)
			}
		}
	}
	c.left()
	c.presence()
	c.keys()
}

func (c *comparison) room(id string, r, fresh *room) {
	if r.section != "join" {
		c.strippedState(id, r.stripped, fresh.stripped)
		return
	}
	c.maps(id+": account data", r.accountData, fresh.accountData)
	c.maps(id+": receipts", c.withoutIgnored(r.receipts), fresh.receipts)
	for k := range r.receipts {
		if k.kind == "m.read.private" && k.user != c.person.id {
			c.differ("%s: a private receipt of %s", id, k.user)
		}
	}
	if a, b := fmt.Sprint(r.typing), fmt.Sprint(fresh.typing); a != b {
		c.differ("%s: typing %s, fresh %s", id, a, b)
	}
	if r.notifications != fresh.notifications || r.highlights != fresh.highlights || string(r.threads) != string(fresh.threads) {
		c.differ("%s: %d unread and %d highlights, threads %s, fresh %d and %d, threads %s", id,
			r.notifications, r.highlights, r.threads, fresh.notifications, fresh.highlights, fresh.threads)
	}
	c.totals(id, r)
	for name, value := range fresh.summary {
		if string(r.summary[name]) != string(value) {
			c.differ("%s: summary %s is %s, fresh %s", id, name, r.summary[name], value)
		}
	}
	truth := c.truth(id)
	c.state(id, "", r, truth)
	c.state(id, "fresh ", fresh, truth)
	c.suffix(id, r, fresh)
	c.history(id, r, true)
}

// totals holds what is unread of each thread against what is unread of all, if
// the client gets the one and then the oracle the other.
func (c *comparison) totals(id string, r *room) {
	if !c.filter.Room.Timeline.Threads {
		return
	}
	if r.threads == nil {
		c.differ("%s: nothing about threads", id)
	}
	if c.together == nil {
		other := *c.stream
		other.filter, other.query, other.after = new(filter), "", ""
		other.param = other.filter.json()
		c.together, _ = other.fresh()
		c.w.count("thread counts")
	}
	n, h := r.total()
	if all := c.together.rooms[id]; all == nil || n != all.notifications || h != all.highlights {
		c.differ("%s: %d unread and %d highlights, threads %s, without threads %+v", id, r.notifications, r.highlights, r.threads, all)
	}
}

// counts holds what is unread of rooms against the list of what notified the user
// and is not read.
func (c *comparison) counts() {
	type counts struct{ notifications, highlights int64 }
	if c.w.federation != nil && (c.person.ruled || len(c.person.ignored) > 0) {
		return // what counts for the user only is not counted over a gap
	}
	listed, which := make(map[string]counts), make(map[string][]string)
	for from := ""; ; {
		status, page := c.w.get(c.person.watcher, "/_matrix/client/v3/notifications?limit=500"+from)
		if status != 200 {
			c.differ("what notified: %d %s", status, page)
			return
		}
		for n := range page.Get("notifications").Elements() {
			if n.Get("read").True() {
				continue
			}
			which[text(n, "room_id")] = append(which[text(n, "room_id")], text(n.Get("event"), "event_id"))
			of := listed[text(n, "room_id")]
			of.notifications++
			if strings.Contains(string(n.Get("actions")), "highlight") {
				of.highlights++
			}
			listed[text(n, "room_id")] = of
		}
		next := text(page, "next_token")
		if next == "" {
			break
		}
		from = "&from=" + next
	}
	for id, r := range c.client.in("join") {
		var got counts
		if got.notifications, got.highlights = r.total(); got != listed[id] {
			c.differ("%s: unread and highlights %v, listed %v %v", id, got, listed[id], which[id])
		}
	}
}

// left compares the rooms that the user has left. They are told of in passing,
// and to begin with only where the filter wants them.
func (c *comparison) left() {
	mine, theirs := c.client.in("leave"), c.fresh.in("leave")
	if !c.filter.Room.IncludeLeave && len(theirs) > 0 {
		c.differ("left rooms that nobody asked for")
	}
	for id, r := range mine {
		if c.person.forgot[id] {
			continue
		}
		if c.invitedUnheard(id) {
			continue
		}
		truth, fresh := c.truth(id), theirs[id]
		if fresh == nil && c.filter.Room.IncludeLeave && (truth != nil || c.w.federation == nil) {
			c.differ("%s: left, fresh nothing", id) // of a room elsewhere nothing is left of an invite
		}
		if truth == nil {
			continue // the user was invited at most
		}
		if text(truth[tuple{"m.room.history_visibility", ""}].content(), "history_visibility") == "world_readable" {
			// What is true now may be read, and not what was when the user left.
			if truth = nil; fresh != nil {
				truth = fresh.state
			}
		}
		if !c.filter.Room.IncludeLeave && r.unknown() {
			continue // it was left before the client began; there was a ban since
		}
		c.state(id, "", r, truth)
		c.history(id, r, false)
		if fresh != nil {
			c.state(id, "fresh ", fresh, truth)
			c.suffix(id, r, fresh)
		}
	}
	for id := range theirs {
		if mine[id] == nil && !c.person.forgot[id] {
			c.differ("%s: fresh left, otherwise nothing", id)
		}
	}
}

// truth returns the state of a room that the user may see: now, or at the time
// of leaving; nil if none.
func (c *comparison) truth(id string) map[tuple]event {
	status, v := c.w.get(c.person.watcher, roomPath(id, "state"))
	if status != 200 {
		return nil
	}
	state := make(map[tuple]event)
	for _, e := range parseEvents(v) {
		state[e.tuple()] = e
	}
	return state
}

// state compares the state that a client has of a room with the true one, as far
// as the filter lets it pass. If members are loaded lazily, those that the client
// knows must be right, and its own among them.
func (c *comparison) state(id, whose string, r *room, truth map[tuple]event) {
	redactions := r.section == "join" && c.filter.EventFields == nil
	for t, e := range truth {
		if !c.filter.Room.State.passes(id, e) || r.section == "leave" && e.is("m.room.member", c.person.id) {
			continue // who has left is told of the own membership later, too
		}
		got, ok := r.state[t]
		switch {
		case !ok && c.filter.Room.State.Lazy && t.kind == "m.room.member" && t.key != c.person.id:
		case got.id != e.id:
			c.differ("%s: %sstate %v is %q, true %s", id, whose, t, got.id, e.json)
		case e.redacted && !got.redacted && redactions:
			c.differ("%s: %sstate %v is not redacted: %s", id, whose, t, got.json)
		case c.filter.EventFields == nil && !same(got, e):
			c.differ("%s: %sstate %v is %s, true %s", id, whose, t, got.json, e.json)
		}
	}
	for t := range r.state {
		if _, ok := truth[t]; !ok && r.section == "join" && c.w.federation == nil { // nobody can be told that there is none any more
			c.differ("%s: %sthere is no state %v", id, whose, t)
		}
	}
}

// suffix demands that the fresh timeline is the end of what the client has.
func (c *comparison) suffix(id string, r, fresh *room) {
	mine, theirs := c.person.heard(r.timeline), c.person.heard(fresh.timeline)
	if c.filter.Room.Timeline.ContainsURL != nil {
		return // what is redacted has no URL any more
	}
	if len(theirs) > len(mine) {
		if !r.gap {
			c.differ("%s: %d events and no gap, fresh %d", id, len(mine), len(theirs))
		}
		theirs = theirs[len(theirs)-len(mine):]
	}
	mine = mine[len(mine)-len(theirs):]
	for i, e := range theirs {
		if mine[i].id != e.id || e.redacted && !mine[i].redacted && r.section == "join" && c.tellsRedactions(id) && c.seesRedactionOf(id, e) {
			c.differ("%s: event %d from the end is %s, fresh %s", id, len(theirs)-i, mine[i].json, e.json)
			return
		}
	}
}

// seesRedactionOf reports whether the user may see by what an event is redacted. What
// happened while the user was away is not told.
func (c *comparison) seesRedactionOf(room string, e event) bool {
	by := e.json.Get("unsigned").Get("redacted_because")
	status, _ := c.w.get(c.person.watcher, roomPath(room, "event", text(by, "event_id")))
	return status == 200
}

// tellsRedactions reports whether the client sees all redactions in a room.
func (c *comparison) tellsRedactions(room string) bool {
	f := c.filter.Room.Timeline
	for _, e := range c.client.rooms[room].timeline {
		if e.kind == "m.room.redaction" && e.redacts() == "" {
			return false // it was redacted itself, and does not say what it redacts
		}
	}
	return len(c.person.ignored) == 0 && c.filter.EventFields == nil && f.Senders == nil && f.NotSenders == nil && f.ContainsURL == nil &&
		f.passes(room, event{kind: "m.room.redaction"})
}

// unknown reports whether nothing but members is known of a room: the user's own
// membership, and who decided on it.
func (r *room) unknown() bool {
	for t := range r.state {
		if t.kind != "m.room.member" {
			return false
		}
	}
	return true
}

// strippedState compares what was told with an invite or knock. Who is not in
// the room is not told of redactions, so what is told now may be less. What the state
// was by then is gone with the history, but for the user's own part of it.
func (c *comparison) strippedState(id string, mine, fresh []canonjson.Value) {
	if c.w.purged(id) {
		others := func(v canonjson.Value) bool { return text(v, "state_key") != c.person.id }
		mine, fresh = slices.DeleteFunc(slices.Clone(mine), others), slices.DeleteFunc(slices.Clone(fresh), others)
	}
	told := make(map[string]canonjson.Value)
	for _, v := range mine {
		told[text(v, "type")+"\x00"+text(v, "state_key")] = v
	}
	if len(mine) != len(fresh) {
		c.differ("%s: stripped state %s, fresh %s", id, mine, fresh)
	}
	for _, v := range fresh {
		other := told[text(v, "type")+"\x00"+text(v, "state_key")]
		if text(other, "sender") != text(v, "sender") {
			c.differ("%s: stripped state %s, fresh %s", id, other, v)
		}
		for name, value := range v.Get("content").Members() {
			key, _ := name.Text()
			if string(other.Get("content").Get(key)) != string(value) {
				c.differ("%s: stripped state %s, fresh %s", id, other, v)
			}
		}
	}
}

func (c *comparison) maps(what string, mine, theirs any) {
	if a, b := fmt.Sprint(mine), fmt.Sprint(theirs); a != b { // with sorted keys
		c.differ("%s: %s, fresh %s", what, a, b)
	}
}
