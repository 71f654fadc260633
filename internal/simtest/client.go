package simtest

import (
	"fmt"
	"maps"
	"slices"

	"parley/matrix/canonjson"
)

// An event is one as a client has got it.
type event struct {
	json             canonjson.Value
	id, kind, sender string
	key              *string // of state; nil if it is none
	// redacted: it came so, or the client was told of a redaction.
	redacted bool
}

type tuple struct{ kind, key string }

func (e event) tuple() tuple             { return tuple{e.kind, *e.key} }
func (e event) content() canonjson.Value { return e.json.Get("content") }
func (e event) is(kind, key string) bool { return e.key != nil && e.kind == kind && *e.key == key }
func (e event) membership() string       { return text(e.content(), "membership") }
func text(v canonjson.Value, name string) string {
	s, _ := v.Get(name).Text()
	return s
}

func parseEvent(v canonjson.Value) event {
	e := event{json: v, id: text(v, "event_id"), kind: text(v, "type"), sender: text(v, "sender")}
	if key, ok := v.Get("state_key").Text(); ok {
		e.key = &key
	}
	e.redacted = v.Get("unsigned").Get("redacted_because") != nil
	return e
}

func parseEvents(v canonjson.Value) []event {
	var list []event
	for e := range v.Elements() {
		list = append(list, parseEvent(e))
	}
	return list
}

// redacts returns what a redaction names.
func (e event) redacts() string {
	if target := text(e.json, "redacts"); target != "" {
		return target
	}
	return text(e.content(), "redacts")
}

// A client is what somebody knows who has applied the responses of a stream up
// to a token.
type client struct {
	since       string
	accountData map[string]canonjson.Value
	presence    map[string]string
	rooms       map[string]*room
	left        string // how many one-time keys the device has left
}

// A room is what a client knows of one.
type room struct {
	section string // of the response that had it last: join, invite, knock, leave
	state   map[tuple]event
	// timeline is the events behind the last gap; prevBatch leads to what is
	// before them.
	timeline  []event
	prevBatch string
	gap       bool // there was one

	accountData               map[string]canonjson.Value
	receipts                  map[receiptKey]string
	typing                    []string
	summary                   map[string]canonjson.Value
	notifications, highlights int64
	threads                   canonjson.Value   // counts of threads
	stripped                  []canonjson.Value // of an invite or knock
}

type receiptKey struct{ user, kind, thread string }

func newClient() *client {
	return &client{accountData: make(map[string]canonjson.Value), presence: make(map[string]string), rooms: make(map[string]*room)}
}

// clone is a backup.
func (c *client) clone() *client {
	copied := &client{since: c.since, left: c.left, accountData: maps.Clone(c.accountData), presence: maps.Clone(c.presence), rooms: make(map[string]*room)}
	for id, r := range c.rooms {
		other := *r
		other.state, other.timeline = maps.Clone(r.state), slices.Clone(r.timeline)
		other.accountData, other.receipts, other.summary = maps.Clone(r.accountData), maps.Clone(r.receipts), maps.Clone(r.summary)
		copied.rooms[id] = &other
	}
	return copied
}

func (c *client) room(id string) *room {
	r := c.rooms[id]
	if r == nil {
		r = &room{
			state: make(map[tuple]event), accountData: make(map[string]canonjson.Value),
			receipts: make(map[receiptKey]string), summary: make(map[string]canonjson.Value),
		}
		c.rooms[id] = r
	}
	return r
}

// in returns the rooms of a section.
func (c *client) in(section string) map[string]*room {
	rooms := make(map[string]*room)
	for id, r := range c.rooms {
		if r.section == section {
			rooms[id] = r
		}
	}
	return rooms
}

// apply takes in a response. stateAfter is the name of the member that has the
// state after the timeline, if the client asked for that. The error says what no
// client could make sense of.
// https://spec.matrix.org/v1.19/client-server-api/#syncing
func (c *client) apply(response canonjson.Value, stateAfter string) error {
	c.since = text(response, "next_batch")
	replace(c.accountData, response.Get("account_data"))
	c.left = string(response.Get("device_one_time_keys_count"))
	c.applyPresence(response.Get("presence"))
	for _, section := range []string{"join", "leave", "invite", "knock"} {
		for name, v := range response.Get("rooms").Get(section).Members() {
			id, _ := name.Text()
			r := c.room(id)
			r.section = section
			if section == "invite" || section == "knock" {
				r.stripped = slices.Collect(v.Get(section + "_state").Get("events").Elements())
				continue
			}
			if err := r.applyHistory(v, stateAfter); err != nil {
				return fmt.Errorf("%s: %w", id, err)
			}
			r.applyRest(v)
		}
	}
	return nil
}

// replace takes in account data, of which the last of a type counts.
func replace(data map[string]canonjson.Value, part canonjson.Value) {
	for e := range part.Get("events").Elements() {
		data[text(e, "type")] = e.Get("content")
	}
}

// applyHistory applies the state of a room, then its timeline.
func (r *room) applyHistory(v canonjson.Value, stateAfter string) error {
	state := v.Get("state")
	if stateAfter != "" {
		if state != nil || v.Get(stateAfter) == nil {
			return fmt.Errorf("the state is not in %s: %s", stateAfter, v)
		}
		state = v.Get(stateAfter)
	}
	for _, e := range parseEvents(state.Get("events")) {
		r.state[e.tuple()] = e
	}
	timeline := v.Get("timeline")
	if timeline.Get("limited").True() {
		r.timeline, r.prevBatch, r.gap = nil, "", true
	}
	if r.prevBatch == "" {
		r.prevBatch = text(timeline, "prev_batch")
	}
	for _, e := range parseEvents(timeline.Get("events")) {
		if slices.ContainsFunc(r.timeline, func(other event) bool { return other.id == e.id }) {
			return fmt.Errorf("the client has %s already: %s", e.id, v)
		}
		r.timeline = append(r.timeline, e)
		if e.key != nil && stateAfter == "" {
			r.state[e.tuple()] = e
		}
		if e.kind == "m.room.redaction" {
			r.redact(e.redacts())
		}
	}
	return nil
}

func (r *room) redact(target string) {
	for i := range r.timeline {
		if r.timeline[i].id == target {
			r.timeline[i].redacted = true
		}
	}
	for t, e := range r.state {
		if e.id == target {
			e.redacted = true
			r.state[t] = e
		}
	}
}

// total returns what is unread in the main timeline and threads together.
func (r *room) total() (notifications, highlights int64) {
	notifications, highlights = r.notifications, r.highlights
	for _, counts := range r.threads.Members() {
		n, _ := counts.Get("notification_count").Int()
		h, _ := counts.Get("highlight_count").Int()
		notifications, highlights = notifications+n, highlights+h
	}
	return notifications, highlights
}

func (r *room) applyRest(v canonjson.Value) {
	replace(r.accountData, v.Get("account_data"))
	for e := range v.Get("ephemeral").Get("events").Elements() {
		switch text(e, "type") {
		case "m.typing":
			r.typing = nil
			for user := range e.Get("content").Get("user_ids").Elements() {
				id, _ := user.Text()
				r.typing = append(r.typing, id)
			}
		case "m.receipt":
			r.applyReceipts(e.Get("content"))
		}
	}
	for name, value := range v.Get("summary").Members() {
		key, _ := name.Text()
		r.summary[key] = value
	}
	if counts := v.Get("unread_notifications"); counts != nil {
		r.notifications, _ = counts.Get("notification_count").Int()
		r.highlights, _ = counts.Get("highlight_count").Int()
		r.threads = v.Get("unread_thread_notifications")
	}
}

// applyReceipts replaces, for each user, type and thread, what was there.
func (r *room) applyReceipts(content canonjson.Value) {
	for eventName, types := range content.Members() {
		eventID, _ := eventName.Text()
		for typeName, users := range types.Members() {
			kind, _ := typeName.Text()
			for userName, about := range users.Members() {
				user, _ := userName.Text()
				r.receipts[receiptKey{user, kind, text(about, "thread_id")}] = eventID
			}
		}
	}
}
