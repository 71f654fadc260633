package room

import (
	"fmt"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/stateres"
)

var insertPastSights = &store.Insert{Table: "sights", Columns: insertSights.Columns, Conflict: "ON CONFLICT (room, user_id, place) DO NOTHING"}

// pastKey names a gap in a batch.
type pastKey struct {
	room  Num
	place int64
}

// write adds to the batch what belongs to the events together.
func (p *past) write(b *journal.Batch) {
	room := p.room.num
	b.Write(pastKey{room, p.hole.place}, func(tx *store.Tx) error {
		if !p.hole.island {
			if _, err := tx.Exec("DELETE FROM gaps WHERE room = $1 AND place = $2", room, p.hole.place); err != nil {
				return fmt.Errorf("closing a gap of room %d: %w", room, err)
			}
		}
		if p.left.missing != nil {
			if err := tx.QueueAll(insertGaps, [][]any{{room, p.left.place, encodeMissing(p.left.missing)}}); err != nil {
				return err
			}
		}
		if err := p.hole.beneath.hand(tx, room, p.handed); err != nil {
			return err
		}
		var rows [][]any
		for _, s := range p.sights {
			var known int64
			if s.place == p.hole.place-1 {
				err := tx.Row("SELECT count(*) FROM sights WHERE room = $1 AND user_id = $2 AND place = $3", room, s.user, p.hole.place).Scan(&known)
				if err != nil {
					return err
				}
			}
			if known == 0 {
				rows = append(rows, []any{room, string(s.user), s.place, int64(0), s.event, s.value})
			}
		}
		return tx.QueueAll(insertPastSights, rows)
	})
	lookCloser(b, room, p.lookers)
}

// writePast adds to the batch what an event leaves in the database that is put into
// a gap.
func (m entry) writePast(b *journal.Batch, r *live) {
	var current []byte
	if m.current != m.before {
		current = m.current[:]
	}
	b.Append(journal.NewScope(journal.ScopeNobody, int64(r.num)), journal.KindPast, int64(m.num))
	m.insert(b, m.num, r.num, m.event.ID(), m.place, nil, m.status, m.before, current, m.merges, optional(m.replaces),
		m.past.all.Unread, m.past.all.Loud, m.past.threaded.Unread, m.past.threaded.Loud, m.thread, optional(m.own.Unread), optional(m.own.Loud),
		encodeNums(m.auth), nil, m.event.JSON(), nil, nil, false)
	m.writeRelation(b, r)
	m.writeRedactions(b, r)
	m.writePastThread(b, r)
	m.noteHidden(b, r)
}

// writePastThread is writeThread for an event that others of the thread may be
// behind.
func (m entry) writePastThread(b *journal.Batch, r *live) {
	relType, _, ok := relation(m.event)
	if m.thread == "" || !ok || relType != relThread || m.because.event != nil {
		return
	}
	b.Write(pastThreadKey{m.num}, func(tx *store.Tx) error {
		err := tx.Queue(`
			INSERT INTO threads (room, thread, place, last, count) VALUES ($1, $2, 0, $3, 1)
			ON CONFLICT (room, thread) DO UPDATE SET count = threads.count + 1,
				last = CASE WHEN threads.last > excluded.last THEN threads.last ELSE excluded.last END`, r.num, m.thread, m.place)
		if err != nil {
			return fmt.Errorf("storing thread %s of room %d: %w", m.thread, r.num, err)
		}
		return nil
	})
}

type pastThreadKey struct{ num stateres.Num }
