package simtest

import (
	"fmt"
	"net/url"

	"parley/matrix/canonjson"
)

// readBack reads in the history of a room, into gaps perhaps.
func (w *world) readBack(r *place) (deed, bool) {
	p := w.somebody(r, "join", "join", "join", "leave")
	path := roomPath(r.id, "messages") + fmt.Sprintf("?dir=b&limit=%d", 1+w.rng.IntN(60))
	if from := r.back[p.id]; from != "" && w.chance(70) {
		path += "&from=" + url.QueryEscape(from)
	}
	return deed{who: w.device(p), method: "GET", path: path, done: func(v canonjson.Value) {
		w.count("pages read back")
		for _, e := range parseEvents(v.Get("chunk")) {
			p.sees(r.id, e.id)
		}
		if r.back == nil {
			r.back = make(map[string]string)
		}
		r.back[p.id] = text(v, "end")
	}}, true
}

// sees notes that somebody was shown an event.
func (p *person) sees(room, eventID string) {
	if p.saw[room] == nil {
		p.saw[room] = make(map[string]bool)
	}
	p.saw[room][eventID] = true
}
