package simtest

import "parley/matrix/canonjson"

// lists keeps a server out of a room, or lets all in again.
// https://spec.matrix.org/v1.19/client-server-api/#server-access-control-lists-acls-for-rooms
func (w *world) lists(r *place) (deed, bool) {
	p, other := w.somebody(r, "join"), pick(w.rng, w.servers).Name
	if other == p.server().Name || len(r.outcast) > 0 && !r.outcast[other] {
		return deed{}, false
	}
	content := object{"allow": []string{"*"}, "allow_ip_literals": false}
	if w.chance(60) {
		content["deny"] = []string{string(other)}
	}
	d := w.put(r, p, "m.room.server_acl", "", content)
	done := d.done
	d.done = func(v canonjson.Value) {
		w.count("access control lists")
		r.outcast[other] = true
		done(v)
	}
	return d, true
}
