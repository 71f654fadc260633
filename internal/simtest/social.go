package simtest

import (
	"fmt"
	"maps"
	"slices"

	"parley/matrix/canonjson"
)

// ignore has somebody ignore others, or nobody any more.
func (w *world) ignore() deed {
	p := pick(w.rng, w.people)
	list := object{}
	if w.chance(70) {
		for _, user := range some(w.rng, w.userIDs()) {
			list[user] = object{}
			if user != p.id {
				p.ignored[user] = true // even if there is no answer
			}
		}
	}
	return deed{
		who: w.device(p), method: "PUT", path: p.path("account_data", "m.ignored_user_list"), body: object{"ignored_users": list},
		done: w.counts("ignore lists"),
	}
}

// presence has somebody say something about it.
func (w *world) presence() deed {
	p := pick(w.rng, w.people)
	body := object{"presence": pick(w.rng, []string{"online", "unavailable", "offline"})}
	if w.chance(50) {
		body["status_msg"] = fmt.Sprint("status ", w.rng.IntN(3))
	}
	return deed{who: w.device(p), method: "PUT", path: "/_matrix/client/v3/presence/" + p.id + "/status", body: body, done: w.counts("presence")}
}

// heard is what of a list of events a user cannot have missed, or have from
// before, because of whom the user has ever ignored.
func (p *person) heard(events []event) []event {
	return slices.DeleteFunc(slices.Clone(events), func(e event) bool { return e.key == nil && p.ignored[e.sender] })
}

// withoutIgnored takes out what a client still has of users who are ignored by
// now, and which it is to hide by itself: their receipts and invites.
func (c *comparison) withoutIgnored(receipts map[receiptKey]string) map[receiptKey]string {
	kept := maps.Clone(receipts)
	maps.DeleteFunc(kept, func(k receiptKey, _ string) bool { return c.person.ignored[k.user] && !c.hears(k.user) })
	return kept
}

// hears reports whether the user does not ignore another one, by what the server
// says.
func (c *comparison) hears(user string) bool {
	_, v := c.w.get(c.person.watcher, c.person.path("account_data", "m.ignored_user_list"))
	return v.Get("ignored_users").Get(user) == nil
}

// inviter is who invited the user to a room.
func (r *room) inviter(user string) string {
	for _, v := range r.stripped {
		if parseEvent(v).is("m.room.member", user) {
			return text(v, "sender")
		}
	}
	return ""
}

// rooms returns those that a client has in a section, less invites of users who
// are ignored.
func (c *comparison) roomsIn(section string) map[string]*room {
	rooms := c.client.in(section)
	if section == "invite" {
		maps.DeleteFunc(rooms, func(_ string, r *room) bool {
			by := r.inviter(c.person.id)
			return c.person.ignored[by] && !c.hears(by)
		})
	}
	return rooms
}

// applyPresence takes in what is told of presence.
func (c *client) applyPresence(v canonjson.Value) {
	for e := range v.Get("events").Elements() {
		content := e.Get("content")
		c.presence[text(e, "sender")] = text(content, "presence") + " " + text(content, "status_msg") + " " + text(content, "displayname")
	}
}

// presence compares what the client knows of whom a fresh one is told of. Of
// others it may know what was so when they shared a room.
func (c *comparison) presence() {
	for user, fresh := range c.fresh.presence {
		if mine := c.client.presence[user]; mine != fresh {
			c.differ("presence of %s is %q, fresh %q", user, mine, fresh)
		}
	}
}

// invitedUnheard reports whether the user, who has left a room, was invited to it
// again by somebody who was ignored, perhaps. Then the client need not know.
func (c *comparison) invitedUnheard(id string) bool {
	if len(c.person.ignored) == 0 {
		return false
	}
	if c.truth(id) == nil {
		return true // the user was invited at most, or what the state was then is purged
	}
	var last event
	for _, e := range c.walk(id, "", 100) {
		if e.is("m.room.member", c.person.id) {
			last = e
		}
	}
	return last.membership() == "invite" && c.person.ignored[last.sender]
}
