package simtest

import (
	"parley/internal/hstest"
	"parley/internal/store"
	"parley/matrix/id"
)

// An ack is an event that somebody was told was sent.
type ack struct {
	room   *place
	event  string
	origin *hstest.Server
	// owed is which other servers were in the room then, by what the origin and
	// each of them said, and since when.
	owed map[*hstest.Server]stay
}

// stayKey names a server's being in a room.
type stayKey struct {
	server id.ServerName
	room   string
}

// acknowledged notes an ack.
func (w *world) acknowledged(r *place, eventID string, origin *hstest.Server) {
	a := ack{room: r, event: eventID, origin: origin, owed: make(map[*hstest.Server]stay)}
	in := make(map[id.ServerName]bool)
	here := w.stay(origin, r).since
	w.look(origin, func(tx *store.Tx) error {
		// A server to which nothing is owed of an event came later. State that was set
		// again to what it was is an event of then: who was there before the origin came
		// in again is not known any more.
		for row, err := range tx.Query(`
			SELECT s.server FROM room_servers s JOIN rooms ON rooms.room = s.room JOIN events e ON e.room = s.room
			WHERE rooms.room_id = $1 AND s.joined > 0 AND e.event_id = $2 AND s.pos < e.pos AND e.pos >= $3`, r.id, eventID, here) {
			if err != nil {
				return err
			}
			var server id.ServerName
			if err := row.Scan(&server); err != nil {
				return err
			}
			in[server] = true
		}
		return nil
	})
	for _, s := range w.servers {
		// The origin may take a server to be there since long ago that has left and come
		// back by a third.
		if st := w.stay(s, r); st.since != 0 && in[s.Name] && s != origin && (st.by == "" || w.has(origin, ack{room: r, event: st.by})) {
			a.owed[s] = st
		}
	}
	w.acks = append(w.acks, a)
}

// A stay is a server's being in a room: since when, and by which event.
type stay struct {
	since int64  // 0: it is not
	by    string // empty if that is gone, or was no event
}

// stay is how a server is in a room, as it sees it itself, or saw it when it last ran.
func (w *world) stay(s *hstest.Server, r *place) stay {
	key := stayKey{s.Name, r.id}
	if w.isDown(s) {
		return w.stays[key]
	}
	var st stay
	w.look(s, func(tx *store.Tx) error {
		for row, err := range tx.Query(`
			SELECT s.pos, e.event_id FROM room_servers s JOIN rooms ON rooms.room = s.room LEFT JOIN events e ON e.pos = s.pos
			WHERE rooms.room_id = $1 AND s.server = $2 AND s.joined > 0`, r.id, s.Name) {
			if err != nil {
				return err
			}
			if err := row.Scan(&st.since, &st.by); err != nil {
				return err
			}
		}
		return nil
	})
	w.stays[key] = st
	return st
}

// checkAcks demands that events that were sent have come to all servers that were
// in the room all the time.
func (w *world) checkAcks() {
	for _, a := range w.acks {
		if !w.has(a.origin, a) {
			w.fail("%s has lost %s of %s", a.origin.Name, a.event, a.room.id)
		}
		for _, s := range w.servers {
			st, owed := a.owed[s]
			if !owed || a.room.outcast[s.Name] || a.room.outcast[a.origin.Name] || w.stay(s, a.room) != st {
				continue
			}
			w.count("deliveries")
			if !w.has(s, a) {
				w.fail("%s was sent in %s on %s, and %s never got it\n\n%s", a.event, a.room.id, a.origin.Name, s.Name, w.describeAll(a.room))
			}
		}
	}
}

// has reports whether a server has an event in its room, whatever it thinks of it.
func (w *world) has(s *hstest.Server, a ack) (has bool) {
	w.look(s, func(tx *store.Tx) error {
		var n int64
		err := tx.Row("SELECT count(*) FROM events e JOIN rooms ON rooms.room = e.room WHERE e.event_id = $1 AND rooms.room_id = $2 AND e.before IS NOT NULL",
			a.event, a.room.id).Scan(&n)
		has = n > 0
		return err
	})
	return has
}
