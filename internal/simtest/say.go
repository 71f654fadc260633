package simtest

import (
	"fmt"
	"net/url"
	"strings"

	"parley/matrix/canonjson"
	"parley/matrix/roomver"
)

type object = map[string]any

func (w *world) visibility() string {
	return pick(w.rng, []string{"world_readable", "shared", "invited", "joined", "joined"})
}

// send sends an event and notes it.
func (w *world) send(r *place, p *person, kind string, content object) deed {
	device, txn := w.device(p), w.nextTxn()
	thread, relates := "", false
	if relation, ok := content["m.relates_to"].(object); ok && relation["rel_type"] != nil {
		if relates = true; relation["rel_type"] == "m.thread" {
			thread = relation["event_id"].(string)
		}
	}
	return deed{
		who: device, method: "PUT", path: roomPath(r.id, "send", kind, txn), body: content, txn: txn, again: w.chance(4),
		done: func(v canonjson.Value) {
			w.known(r, v, known{sender: p.id, kind: kind, relates: relates, thread: thread}, sending{device, txn})
		},
	}
}

func (w *world) known(r *place, v canonjson.Value, k known, s sending) {
	k.id = text(v, "event_id")
	w.count("events")
	_, known := w.sent[k.id] // state that says what is so already
	w.sent[k.id] = s
	if !known && w.federation != nil && !w.isDown(s.device.Server) {
		w.acknowledged(r, k.id, s.device.Server)
	}
	r.events = append(r.events, k)
}

// event picks an event of a room, of the last ones mostly; empty if none is
// known.
func (w *world) event(r *place) known {
	if len(r.events) == 0 {
		return known{}
	}
	return r.events[max(w.rng.IntN(len(r.events)), w.rng.IntN(len(r.events)), w.rng.IntN(len(r.events)))]
}

// message says something.
func (w *world) message(r *place) deed {
	p := w.somebody(r, "join")
	content := object{"msgtype": "m.text", "body": fmt.Sprintf("message %d", w.txns)}
	parent := w.event(r)
	earlier := parent.id
	switch n := w.rng.IntN(100); {
	case n < 10:
		content["msgtype"] = "m.notice"
	case n < 25:
		content["m.mentions"] = object{"user_ids": some(w.rng, w.userIDs())}
		if w.chance(30) {
			content["msgtype"] = "m.notice"
		}
	case n < 32:
		content["m.mentions"] = object{"room": true}
	case n < 42:
		content["url"] = "mxc://sim.test/image"
		content["msgtype"] = "m.image"
	case earlier == "" || n > 75:
	case n < 52:
		content["m.relates_to"] = object{"rel_type": "m.replace", "event_id": earlier}
		content["m.new_content"] = object{"msgtype": "m.text", "body": "edited"}
	case n < 58:
		content["m.relates_to"] = object{"m.in_reply_to": object{"event_id": earlier}}
	case n < 69 && (parent.thread != "" || !parent.relates):
		if parent.thread != "" {
			earlier = parent.thread
		}
		content["m.relates_to"] = object{"rel_type": "m.thread", "event_id": earlier}
	default:
		return w.send(r, p, "m.reaction", object{"m.relates_to": object{"rel_type": "m.annotation", "event_id": earlier, "key": fmt.Sprint("+", w.txns)}})
	}
	if w.chance(20) {
		return w.send(r, p, "org.sim.silent", content) // it notifies whom it mentions only
	}
	return w.send(r, p, "m.room.message", content)
}

// state sends a state event, perhaps one that says what is so already.
func (w *world) state(r *place) deed {
	p := w.somebody(r, "join")
	kind, key, content := "m.room.topic", "", object{"topic": fmt.Sprint("topic ", w.rng.IntN(4))}
	switch n := w.rng.IntN(100); {
	case n < 15:
		kind, content = "m.room.name", object{"name": pick(w.rng, []string{"", "one", "two"})}
	case n < 25:
	case n < 35:
		kind, content = "m.room.canonical_alias", object{}
		if len(r.aliases) > 0 && w.chance(70) {
			content["alias"] = pick(w.rng, r.aliases)
		}
	case n < 47:
		kind, content = "m.room.history_visibility", object{"history_visibility": w.visibility()}
	case n < 55:
		kind, content = "m.room.join_rules", object{"join_rule": pick(w.rng, []string{"public", "public", "invite", "knock"})}
	case n < 65:
		if d, ok := w.levels(r, p); ok {
			return d
		}
	default:
		kind, key = pick(w.rng, []string{"org.sim.a", "org.sim.b"}), pick(w.rng, []string{"", "x", "y"})
		if w.chance(20) {
			key = w.ofUser(r, p)
		}
		content = object{"n": w.rng.IntN(3)}
		if w.chance(20) {
			content["url"] = "mxc://sim.test/state"
		}
	}
	return w.put(r, p, kind, key, content)
}

// ofUser is a state key that is a user's own, or where state can be owned perhaps
// that of somebody else.
func (w *world) ofUser(r *place, p *person) string {
	if rules, _ := roomver.Lookup(roomver.Version(r.version)); !rules.OwnedState {
		return p.id
	}
	return pick(w.rng, []string{p.id, pick(w.rng, w.people).id}) + pick(w.rng, []string{"", "_x"})
}

func (w *world) put(r *place, p *person, kind, key string, content any) deed {
	device := w.device(p)
	return deed{
		who: device, method: "PUT", path: roomPath(r.id, "state", kind, key), body: content,
		done: func(v canonjson.Value) {
			w.known(r, v, known{sender: p.id, kind: kind, state: true}, sending{device, ""})
		},
	}
}

// levels changes the power levels a little.
func (w *world) levels(r *place, p *person) (deed, bool) {
	status, levels := w.get(p.watcher, roomPath(r.id, "state", "m.room.power_levels", ""))
	if status != 200 {
		return deed{}, false
	}
	user, level := pick(w.rng, w.people).id, canonjson.Value(pick(w.rng, []string{"0", "25", "50"}))
	if w.chance(30) {
		return w.put(r, p, "m.room.power_levels", "", levels.With("users_default", level)), true
	}
	return w.put(r, p, "m.room.power_levels", "", levels.With("users", levels.Get("users").With(user, level))), true
}

// redact takes back an event, own or not, state or not.
func (w *world) redact(r *place) (deed, bool) {
	target := w.event(r)
	if w.federation != nil && target.kind == "m.room.server_acl" {
		return deed{}, false // of the list it would leave that nobody is let in
	}
	if target.id == "" || target.kind == "m.room.power_levels" && w.chance(70) {
		return deed{}, false
	}
	p := w.somebody(r, "join")
	if w.chance(60) {
		for _, other := range w.people {
			if other.id == target.sender {
				p = other
			}
		}
	}
	device, txn := w.device(p), w.nextTxn()
	return deed{
		who: device, method: "PUT", path: roomPath(r.id, "redact", target.id, txn), body: `{}`, txn: txn, again: w.chance(4),
		done: func(v canonjson.Value) {
			w.count("redactions")
			w.known(r, v, known{sender: p.id, kind: "m.room.redaction"}, sending{device, txn})
		},
	}, true
}

func (w *world) receipt(r *place) (deed, bool) {
	e := w.event(r)
	if e.id == "" {
		return deed{}, false
	}
	p := w.somebody(r, "join")
	kind := pick(w.rng, []string{"m.read", "m.read", "m.read.private", "m.fully_read"})
	body := object{}
	if kind != "m.fully_read" && w.chance(45) {
		body["thread_id"] = "main"
		if e.thread != "" {
			body["thread_id"] = e.thread
		}
	}
	if w.chance(15) {
		return deed{who: w.device(p), method: "POST", path: roomPath(r.id, "read_markers"),
			body: object{"m.read": e.id, "m.fully_read": e.id, "m.read.private": w.event(r).id}, done: w.counts("receipts")}, true
	}
	return deed{who: w.device(p), method: "POST", path: roomPath(r.id, "receipt", kind, e.id), body: body, done: w.counts("receipts")}, true
}

func (w *world) counts(what string) func(canonjson.Value) {
	return func(canonjson.Value) { w.count(what) }
}

func (w *world) typing(r *place) deed {
	p := w.somebody(r, "join")
	body := object{"typing": w.chance(65), "timeout": pick(w.rng, []int{1000, 30000, 120000})}
	return deed{who: w.device(p), method: "PUT", path: roomPath(r.id, "typing", p.id), body: body, done: w.counts("typing")}
}

func (w *world) profile() deed {
	p := pick(w.rng, w.people)
	field := pick(w.rng, []string{"displayname", "displayname", "avatar_url"})
	value := fmt.Sprint("name ", w.rng.IntN(5))
	if field == "avatar_url" {
		value = fmt.Sprint("mxc://sim.test/avatar", w.rng.IntN(3))
	}
	path := "/_matrix/client/v3/profile/" + p.id + "/" + field
	return deed{who: w.device(p), method: "PUT", path: path, body: object{field: value}, done: w.counts("profiles")}
}

// keep leaves something with the account, for all rooms or for one.
func (w *world) keep(r *place) deed {
	p := pick(w.rng, w.people)
	if w.chance(70) {
		p = w.somebody(r, "join")
	}
	d := deed{who: w.device(p), method: "PUT", body: object{"n": w.rng.IntN(100)}, done: w.counts("account data")}
	kind := pick(w.rng, []string{"org.sim.a", "org.sim.b", "m.direct"})
	switch n := w.rng.IntN(100); {
	case n < 30:
		d.path = p.path("account_data", kind)
	case n < 65:
		d.path = p.path("rooms", r.id, "account_data", kind)
	case n < 85:
		d.path, d.body = p.path("rooms", r.id, "tags", pick(w.rng, []string{"m.favourite", "u.x"})), object{"order": 0.5}
	default:
		d.method, d.path, d.body = "DELETE", p.path("rooms", r.id, "tags", "u.x"), nil
	}
	return d
}

func (w *world) pushRule() deed {
	p := pick(w.rng, w.people)
	const rules = "/_matrix/client/v3/pushrules/global/"
	p.ruled = true // even if there is no answer
	d := deed{who: w.device(p), method: "PUT", done: func(canonjson.Value) {
		w.count("push rules")
		w.recounted = p.id
	}}
	nothing, notify := []string{}, []string{"notify"}
	actions := pick(w.rng, [][]string{nothing, notify})
	room := w.place().id
	in := object{"kind": "event_match", "key": "room_id", "pattern": room}
	switch w.rng.IntN(12) {
	case 0:
		d.path, d.body = rules+"content/sim", object{"pattern": fmt.Sprint("word", w.rng.IntN(3)), "actions": notify}
	case 1:
		d.method, d.path = "DELETE", rules+"content/sim"
	case 2:
		d.path, d.body = rules+"override/.m.rule.master/enabled", object{"enabled": w.chance(20)}
	case 3:
		d.path, d.body = rules+"underride/.m.rule.message/actions", object{"actions": actions}
	case 4:
		d.path, d.body = rules+"underride/.m.rule.room_one_to_one/actions", object{"actions": actions}
	case 5, 6: // a room is muted
		d.path, d.body = rules+"override/mute", object{"conditions": []object{in}, "actions": nothing}
	case 7:
		d.method, d.path = "DELETE", rules+"override/mute"
	case 8, 9: // mentions only, or everything
		d.path, d.body = rules+"room/"+url.PathEscape(room), object{"actions": actions}
	case 10:
		d.method, d.path = "DELETE", rules+"room/"+url.PathEscape(room)
	default:
		d.path, d.body = rules+"sender/"+url.PathEscape(pick(w.rng, w.people).id), object{"actions": actions}
	}
	return d
}

func (w *world) alias(r *place) deed {
	p := w.somebody(r, "join")
	alias := fmt.Sprintf("#alias%d:%s", w.txns, p.server().Name)
	w.txns++
	path := "/_matrix/client/v3/directory/room/" + strings.ReplaceAll(alias, "#", "%23")
	return deed{who: w.device(p), method: "PUT", path: path, body: object{"room_id": r.id}, done: func(canonjson.Value) {
		r.aliases = append(r.aliases, alias)
	}}
}
