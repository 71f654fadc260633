package simtest

import (
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// upgrade replaces a room by another one.
func (w *world) upgrade(r *place) (deed, bool) {
	if len(w.rooms) >= 9 {
		return deed{}, false
	}
	p, version := w.somebody(r, "join"), pick(w.rng, versions)
	return deed{
		who: w.device(p), method: "POST", path: roomPath(r.id, "upgrade"), body: object{"new_version": version},
		done: func(v canonjson.Value) {
			w.count("upgrades")
			w.rooms = append(w.rooms, &place{
				id: text(v, "replacement_room"), version: version, members: map[string]string{p.id: "join"}, outcast: make(map[id.ServerName]bool),
			})
		},
	}, true
}
