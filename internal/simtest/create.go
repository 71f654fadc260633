package simtest

import (
	"net/url"
	"slices"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

// versions are those of rooms, new ones more often.
var versions = []string{
	"12", "12", "12", "11", "org.matrix.msc3757.11", "10", "org.matrix.msc3757.10", "9", "8", "7", "6", "5", "4", "3", "2", "1",
}

func (w *world) createRoom() deed {
	p := pick(w.rng, w.people)
	body := object{
		"preset":       pick(w.rng, []string{"private_chat", "trusted_private_chat", "public_chat", "public_chat", "public_chat"}),
		"room_version": pick(w.rng, versions),
	}
	var initial []object
	if w.chance(60) {
		initial = append(initial, object{"type": "m.room.history_visibility", "state_key": "", "content": object{"history_visibility": w.visibility()}})
	}
	version := body["room_version"].(string)
	if rule := w.rule(version); w.chance(40) {
		initial = append(initial, object{"type": "m.room.join_rules", "state_key": "", "content": rule})
	}
	if w.chance(40) {
		body["name"] = "a room"
	}
	if w.chance(30) {
		body["topic"] = "a topic"
	}
	if w.chance(60) {
		body["power_level_content_override"] = object{"users_default": pick(w.rng, []int{25, 50, 60}), "state_default": 25}
	}
	if w.chance(40) {
		body["invite"] = some(w.rng, w.userIDs())
	}
	body["initial_state"] = initial
	return deed{who: w.device(p), method: "POST", path: "/_matrix/client/v3/createRoom", body: body, done: func(v canonjson.Value) {
		w.count("rooms")
		r := &place{id: text(v, "room_id"), version: version, members: map[string]string{p.id: "join"}, outcast: make(map[id.ServerName]bool)}
		if invited, ok := body["invite"].([]string); ok {
			for _, user := range invited {
				if user != p.id {
					r.members[user] = "invite"
				}
			}
		}
		w.rooms = append(w.rooms, r)
	}}
}

// rule is who may join a room of a version.
func (w *world) rule(version string) object {
	rules, _ := roomver.Lookup(roomver.Version(version))
	list := []string{"public", "public", "invite"}
	if rules.Knock {
		list = append(list, "knock")
	}
	if rules.Restricted && len(w.rooms) > 0 {
		list = append(list, "restricted")
	}
	if rules.KnockRestricted && len(w.rooms) > 0 {
		list = append(list, "knock_restricted")
	}
	rule := pick(w.rng, list)
	content := object{"join_rule": rule}
	if rule == "restricted" || rule == "knock_restricted" {
		var allow []object
		for _, room := range some(w.rng, w.roomIDs()) {
			allow = append(allow, object{"type": "m.room_membership", "room_id": room})
		}
		content["allow"] = allow
	}
	return content
}

// joinRule changes who may join a room.
func (w *world) joinRule(r *place) deed {
	return w.put(r, w.somebody(r, "join"), "m.room.join_rules", "", w.rule(r.version))
}

// via names servers that may be in a room.
func (w *world) via(r *place) string {
	var servers []string
	for _, p := range w.people {
		if name := string(p.server().Name); r.members[p.id] == "join" && !slices.Contains(servers, name) {
			servers = append(servers, name)
		}
	}
	if len(servers) == 0 {
		return ""
	}
	w.rng.Shuffle(len(servers), func(i, j int) { servers[i], servers[j] = servers[j], servers[i] })
	return "?" + url.Values{"via": servers[:min(3, len(servers))]}.Encode()
}
