package room

import (
	"context"
	"errors"
	"fmt"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
)

// A Total is how many events notify everybody by the default push rules, and how
// many are a highlight for everybody.
type Total struct{ Unread, Loud int64 }

func (t Total) plus(u Total) Total { return Total{t.Unread + u.Unread, t.Loud + u.Loud} }
func (t Total) less(u Total) Total { return Total{t.Unread - u.Unread, t.Loud - u.Loud} }

// recentThreads is of how many threads of a room the totals are kept in memory
// when nothing is pending.
const recentThreads = 256

// threadOf returns the root of the thread that an event is in, empty for the main
// timeline. What relates to an event in another way than by a thread is where that
// event is; as that was found out before, following one relation is enough. The
// caller holds mu.
// https://spec.matrix.org/v1.19/client-server-api/#threaded-read-receipts
func (r *live) threadOf(ctx context.Context, e *event.Event) (id.EventID, error) {
	kind, parent, ok := relation(e)
	switch {
	case !ok:
		return "", nil
	case kind == relThread:
		return parent, nil // whether the room has it or not
	}
	for _, m := range r.pending {
		if m.event.ID() == parent {
			return m.thread, nil
		}
	}
	if it, ok := r.recent.byID(parent); ok {
		return it.Thread, nil
	}
	var thread id.EventID
	err := r.engine.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT thread FROM events WHERE event_id = $1 AND room = $2", parent, r.num).Scan(&thread)
	})
	if err != nil && !errors.Is(err, store.ErrNoRows) {
		return "", fmt.Errorf("looking for the thread of %s: %w", parent, err)
	}
	return thread, nil
}

// countThread adds an event to the total of a thread, and returns that. The caller
// holds mu.
func (r *live) countThread(ctx context.Context, thread id.EventID, counted Total) (Total, error) {
	total, ok := r.threads[thread]
	if !ok {
		// Nothing of the thread is pending, so the database has all of it.
		err := r.engine.db.View(ctx, func(tx *store.Tx) error {
			return tx.Row(`
				SELECT thread_unread, thread_loud FROM events WHERE room = $1 AND thread = $2
				ORDER BY place DESC LIMIT 1`, r.num, thread).Scan(&total.Unread, &total.Loud)
		})
		if errors.Is(err, store.ErrNoRows) && r.remains.place > 0 {
			err = r.engine.db.View(ctx, func(tx *store.Tx) error {
				return tx.Row("SELECT gone_unread, gone_loud FROM threads WHERE room = $1 AND thread = $2", r.num, thread).
					Scan(&total.Unread, &total.Loud)
			})
		}
		if err != nil && !errors.Is(err, store.ErrNoRows) {
			return Total{}, fmt.Errorf("counting what is in thread %s: %w", thread, err)
		}
	}
	total = total.plus(counted)
	r.threads[thread] = total
	return total, nil
}

// withdraw forgets an event that comes to nothing after all, the last of the room.
// The caller holds mu.
func (r *live) withdraw(m entry) {
	delete(r.pending, m.num)
	if m.thread != "" {
		r.threads[m.thread] = r.threads[m.thread].less(m.tally.total())
	}
}

// threadKey names a thread in a batch.
type threadKey struct {
	room   Num
	thread id.EventID
}

// threadGrowth is what a batch adds to a thread.
type threadGrowth struct {
	place, last int64 // 0: as before
	count       int64
}

// writeThread adds to the batch that there is more in a thread.
func (m entry) writeThread(b *journal.Batch, r *live) {
	if m.thread == "" {
		return
	}
	key := threadKey{r.num, m.thread}
	earlier, _ := b.Memo(key)
	before, _ := earlier.(threadGrowth)
	after := before
	if m.tally.total() != (Total{}) {
		after.place = m.place
	}
	if relType, _, ok := relation(m.event); ok && relType == relThread && m.because.event == nil {
		after.last, after.count = m.place, after.count+1
	}
	if after == before {
		return
	}
	b.Remember(key, after)
	b.Write(key, func(tx *store.Tx) error { return growThread(tx, key, after) })
}

func growThread(tx *store.Tx, key threadKey, g threadGrowth) error {
	err := tx.Queue(`
		INSERT INTO threads (room, thread, place, last, count) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (room, thread) DO UPDATE SET count = threads.count + excluded.count,
			place = CASE WHEN excluded.place > 0 THEN excluded.place ELSE threads.place END,
			last = coalesce(excluded.last, threads.last)`, key.room, key.thread, g.place, optional(g.last), g.count)
	if err != nil {
		return fmt.Errorf("storing thread %s of room %d: %w", key.thread, key.room, err)
	}
	return nil
}

// shrinkThread takes out of a thread an event that is not related to its root any
// more.
func shrinkThread(tx *store.Tx, key threadKey) error {
	_, err := tx.Exec(`
		UPDATE threads SET count = count - 1,
			last = (SELECT max(place) FROM relations r WHERE r.room = $1 AND r.parent = $2 AND r.rel_type = $3)
		WHERE room = $1 AND thread = $2`, key.room, key.thread, relThread)
	if err != nil {
		return fmt.Errorf("taking an event out of thread %s of room %d: %w", key.thread, key.room, err)
	}
	return nil
}

// A threadNews is what a thread has counted at a moment, and at an earlier place.
type threadNews struct {
	root      id.EventID
	now, then Total
}

// readThreads reads the threads in which something happened behind a place, up to
// another.
func readThreads(tx *store.Tx, room Num, after, upTo int64) (list []threadNews, err error) {
	const of = " FROM events e WHERE e.room = $1 AND e.thread = t.thread AND e.place <= "
	const last = " ORDER BY e.place DESC LIMIT 1), "
	for row, err := range tx.Query(`
		SELECT coalesce((SELECT e.thread_unread`+of+`$2`+last+`t.gone_unread), coalesce((SELECT e.thread_loud`+of+`$2`+last+`t.gone_loud),
			coalesce((SELECT e.thread_unread`+of+`$3`+last+`t.gone_unread), coalesce((SELECT e.thread_loud`+of+`$3`+last+`t.gone_loud), t.thread
		FROM threads t WHERE t.room = $1 AND t.place > $2`, room, after, upTo) {
		if err != nil {
			return nil, err
		}
		var n threadNews
		if err := row.Scan(&n.then.Unread, &n.then.Loud, &n.now.Unread, &n.now.Loud, &n.root); err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	return list, nil
}
