package simtest

import (
	"net/url"
	"slices"
	"testing"

	"parley/internal/hstest"
)

// Run simulates: a number of steps, with what a seed says. The database is a
// postgres:// URL, or empty for SQLite. It returns a line about what was done.
func Run(t testing.TB, seed uint64, steps int, database string) string {
	t.Helper()
	w := newWorld(t, seed, database)
	for range 3 {
		w.do(w.createRoom())
	}
	for range 4 {
		w.newStream()
	}
	for w.step = 1; w.step <= steps; w.step++ {
		w.act()
	}
	for _, s := range w.streams {
		w.compare(s)
	}
	return w.report()
}

// act does one step.
func (w *world) act() {
	if user := w.recounted; user != "" {
		// What is unread is another number in all rooms, until somebody says
		// something in them.
		w.recounted = ""
		w.compare(w.streamOf(user))
		return
	}
	switch n := w.rng.IntN(1000); {
	case n < 560:
		w.do(w.deed())
	case n < 590:
		w.episode()
	case n < 840:
		w.read(pick(w.rng, w.streams))
	case n < 860:
		pick(w.rng, w.streams).collect()
	case n < 885:
		if len(w.streams) < 4*len(w.people) {
			w.newStream()
		}
	case n < 955:
		w.compare(w.streamOf(w.last))
	case n < 977:
		w.burst(w.deeds(), nil)
	case n < 985:
		w.burst(w.deeds(), w.servers[0])
	case n < 988:
		w.restart()
	case n < 991:
		w.trim()
	case n < 995:
		w.purge()
	case n < 997:
		w.deleteRoom()
	default:
		if s := pick(w.rng, w.streams); s.poll == nil {
			s.restore()
		}
	}
}

// streamOf picks a stream, mostly of somebody who has just done something: much
// of what a deed changes is told to its author only.
func (w *world) streamOf(user string) *stream {
	var own []*stream
	for _, s := range w.streams {
		if s.person.id == user {
			own = append(own, s)
		}
	}
	if len(own) == 0 || w.chance(40) {
		own = w.streams
	}
	return pick(w.rng, own)
}

func (w *world) deeds() []deed {
	var deeds []deed
	for range 2 + w.rng.IntN(6) {
		d := w.deed()
		d.again = false
		deeds = append(deeds, d)
	}
	return deeds
}

// read lets a stream sync in one way or another.
func (w *world) read(s *stream) {
	n := w.rng.IntN(100)
	if s.poll != nil {
		s.collect()
		return
	}
	switch {
	case n < 10:
		s.lose()
	case n < 35:
		s.wait(50 + w.rng.IntN(300))
	case n < 42:
		w.count("full state")
		s.sync(0, true)
	default:
		s.sync(w.rng.IntN(2), false)
	}
	if w.chance(10) && s.poll == nil {
		s.backup()
	}
}

// trim removes the journal, so that all tokens of before are too old.
func (w *world) trim() {
	w.note("the journal is trimmed")
	w.count("trims")
	if err := w.servers[0].TrimJournal(w.Context()); err != nil {
		w.fail("trimming the journal: %v", err)
	}
}

// purge removes the history of a room before one of its events, late ones more
// often, while streams wait.
func (w *world) purge() {
	r := w.place()
	if len(r.events) == 0 {
		return
	}
	e := r.events[max(w.rng.IntN(len(r.events)), w.rng.IntN(len(r.events)))]
	const admin = "/_synapse/admin/v1/"
	status, v, err := w.admin.Try("POST", admin+"purge_history/"+url.PathEscape(r.id)+"/"+url.PathEscape(e.id), `{"delete_local_events":true}`)
	if err != nil || status != 200 && status != 404 {
		w.fail("purging %s: %d %s %v", r.id, status, v, err)
	}
	w.note("the history of %s is purged before %s: %d", r.id, e.id, status)
	if status != 200 {
		return
	}
	w.count("purges")
	r.purged = true
	for {
		status, v := w.get(w.admin, admin+"purge_history_status/"+text(v, "purge_id"))
		switch what := text(v, "status"); {
		case status != 200 || what == "failed":
			w.fail("purging %s: %d %s", r.id, status, v)
		case what == "complete":
			return
		}
	}
}

// deleteRoom removes a room, so that nobody is in it any more.
func (w *world) deleteRoom() {
	if len(w.rooms) < 4 {
		return
	}
	r := w.place()
	status, v, err := w.admin.Try("DELETE", "/_synapse/admin/v1/rooms/"+url.PathEscape(r.id), `{}`)
	w.note("%s is deleted: %d", r.id, status)
	if err != nil || status != 200 {
		w.fail("deleting %s: %d %s %v", r.id, status, v, err)
	}
	w.count("rooms deleted")
	for _, p := range w.people {
		p.forgot[r.id] = true
	}
	w.rooms = slices.DeleteFunc(w.rooms, func(other *place) bool { return other == r })
}

// restart ends the server as its operator would.
func (w *world) restart() {
	w.note("the server is restarted")
	w.count("restarts")
	w.dying(w.servers[0])
	w.servers[0].Stop()
	w.servers[0].Start()
}

// dying notes that a server is about to end: who waits for it need not get an answer.
func (w *world) dying(s *hstest.Server) {
	for _, stream := range w.streams {
		if stream.person.server() == s {
			stream.dying = stream.poll != nil
		}
	}
}
