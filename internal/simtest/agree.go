package simtest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"parley/internal/hstest"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// mostHeads is how many forward extremities a room has at most when all have
// said something.
const mostHeads = 3

// agree holds the servers that share a room against each other: they have to
// agree on its state.
func (w *world) agree() {
	for _, r := range w.rooms {
		views := make(map[*hstest.Server]map[tuple]event)
		for _, s := range w.servers {
			if !r.outcast[s.Name] {
				if view := w.view(s, r); view != nil {
					views[s] = view
				}
			}
		}
		for i, a := range w.servers {
			if views[a] != nil {
				w.checkHeads(a, r)
			}
			for _, b := range w.servers[:i] {
				if views[a] == nil || views[b] == nil {
					continue
				}
				if !w.knows(views[a], b) || !w.knows(views[b], a) {
					w.count("estranged")
					w.note("in %s %s and %s do not know each other", r.id, a.Name, b.Name)
					continue
				}
				if w.mute(a, r) || w.mute(b, r) {
					w.count("mute")
					continue
				}
				w.count("agreements")
				if d := differences(views[b], views[a]); len(d) > 0 {
					w.fail("%s: %s and %s do not agree:\n%s\n\n%s", r.id, b.Name, a.Name, strings.Join(d, "\n"), w.describeAll(r))
				}
			}
		}
	}
}

// view is the state of a room as a member on a server sees it; nil if there is
// none.
func (w *world) view(s *hstest.Server, r *place) map[tuple]event {
	for _, p := range w.people {
		if p.server() != s {
			continue
		}
		status, v := w.get(p.watcher, roomPath(r.id, "state"))
		if status != 200 {
			continue
		}
		state := make(map[tuple]event)
		for _, e := range parseEvents(v) {
			// What a server said that was kept out came to those that did not know yet.
			if !r.outcast[id.UserID(e.sender).Server()] {
				state[e.tuple()] = e
			}
		}
		if state[tuple{"m.room.member", p.id}].membership() == "join" {
			return state
		}
	}
	return nil
}

// knows reports whether a server has a member in a state.
func (w *world) knows(state map[tuple]event, s *hstest.Server) bool {
	return slices.ContainsFunc(w.people, func(p *person) bool {
		return p.server() == s && state[tuple{"m.room.member", p.id}].membership() == "join"
	})
}

func differences(a, b map[tuple]event) (list []string) {
	for t, e := range a {
		if other := b[t]; other.id != e.id {
			list = append(list, fmt.Sprintf("%v is %s, and %s", t, e.json, other.json))
		}
	}
	for t, e := range b {
		if _, ok := a[t]; !ok {
			list = append(list, fmt.Sprintf("%v is nothing, and %s", t, e.json))
		}
	}
	slices.Sort(list)
	return list
}

// checkHeads demands that the branches of a room have come together.
func (w *world) checkHeads(s *hstest.Server, r *place) {
	n := w.heads(s, r)
	w.stats["most heads"] = max(w.stats["most heads"], n)
	if n > mostHeads && !w.mute(s, r) {
		w.fail("%s has %d heads on %s", r.id, n, s.Name)
	}
}

// heads is how many forward extremities a room has on a server.
func (w *world) heads(s *hstest.Server, r *place) (n int) {
	var head []byte // their numbers, as varints
	w.look(s, func(tx *store.Tx) error {
		return tx.Row("SELECT head FROM rooms WHERE room_id = $1", r.id).Scan(&head)
	})
	for _, b := range head {
		if b < 0x80 {
			n++
		}
	}
	return n
}

// mute reports whether a server has a branch of its own of a room, which the others
// soft-failed, say, and nobody who may say something that joins it to theirs.
func (w *world) mute(s *hstest.Server, r *place) bool {
	return !w.spoke[stayKey{s.Name, r.id}] && w.heads(s, r) > 1
}

// look reads in the database of a server.
func (w *world) look(s *hstest.Server, f func(*store.Tx) error) {
	if err := s.Database().View(w.Context(), f); err != nil {
		w.fail("looking into the database of %s: %v", s.Name, err)
	}
}

// partial reports whether a server still does not know the members of a room, which is
// no room for most clients then. It never does where the others hold that it is not in
// there: they let it in before they knew that it had left.
func (w *world) partial(s *hstest.Server, roomID string) (is bool) {
	if w.federation == nil {
		return false
	}
	w.look(s, func(tx *store.Tx) error {
		var n int64
		err := tx.Row("SELECT count(*) FROM partial_joins p JOIN rooms ON rooms.room = p.room WHERE rooms.room_id = $1", roomID).Scan(&n)
		is = n > 0
		return err
	})
	return is
}

// describeAll tells what all servers have of a room.
func (w *world) describeAll(r *place) string {
	var b strings.Builder
	for _, s := range w.servers {
		if !w.isDown(s) {
			b.WriteString(w.describe(s, r) + "\n")
		}
	}
	return b.String()
}

// describe tells what a server has of a room.
func (w *world) describe(s *hstest.Server, r *place) string {
	var b strings.Builder
	fmt.Fprintf(&b, "what %s has of %s:\n", s.Name, r.id)
	names := make(map[int64]string)
	w.look(s, func(tx *store.Tx) error {
		for row, err := range tx.Query(`SELECT e.event, e.event_id, e.json, coalesce(e.place, 0), e.before, e.current, e.status, e.unread, coalesce(e.pos, 0)
			FROM events e JOIN rooms ON rooms.room = e.room WHERE rooms.room_id = $1 ORDER BY coalesce(e.place, 0), e.event`, r.id) {
			if err != nil {
				return err
			}
			var n, place, status, unread, pos int64
			var eventID string
			var json, before, current []byte
			if err := row.Scan(&n, &eventID, &json, &place, &before, &current, &status, &unread, &pos); err != nil {
				return err
			}
			names[n] = eventID
			v := canonjson.Value(json)
			var prev []string
			for p := range v.Get("prev_events").Elements() {
				prev = append(prev, reference(p))
			}
			fmt.Fprintf(&b, "%16d n%d pos %d unread %d status %d %s %s %s by %s after %v, state %x then %x: %.100s\n", place, n, pos, unread, status, eventID,
				text(v, "type"), v.Get("state_key"), text(v, "sender"), prev, before[:min(len(before), 2)], current[:min(len(current), 2)], v.Get("content"))
		}
		var head []byte
		err := tx.Row("SELECT head FROM rooms WHERE room_id = $1", r.id).Scan(&head)
		if errors.Is(err, store.ErrNoRows) {
			return nil
		}
		for ; len(head) >= 8; head = head[8:] {
			fmt.Fprintf(&b, "head %s\n", names[int64(binary.BigEndian.Uint64(head))])
		}
		for row, err := range tx.Query("SELECT g.place, g.missing FROM gaps g JOIN rooms ON rooms.room = g.room WHERE rooms.room_id = $1", r.id) {
			if err != nil {
				return err
			}
			var place int64
			var missing []byte
			if err := row.Scan(&place, &missing); err != nil {
				return err
			}
			fmt.Fprintf(&b, "gap before %d: %s\n", place, missing)
		}
		for row, err := range tx.Query("SELECT origin, pdu FROM staged_events WHERE room_id = $1 ORDER BY place", r.id) {
			if err != nil {
				return err
			}
			var origin string
			var pdu []byte
			if err := row.Scan(&origin, &pdu); err != nil {
				return err
			}
			fmt.Fprintf(&b, "staged from %s: %s\n", origin, pdu)
		}
		return err
	})
	return b.String()
}
