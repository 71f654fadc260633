package room

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
)

// readState is what of a room is unread for a user, beside what is counted for
// everybody and what receipts say.
type readState struct {
	spoken     Reads       // by speaking; of threads only what is further on than All
	highlights []highlight // in order; none that is read by speaking
	// caughtUp is up to where all threads turned out to be read, each by itself.
	caughtUp Mark
}

// A highlight is an event that counts otherwise for a single user than for everybody.
type highlight struct {
	thread id.EventID // empty: the main timeline
	place  int64
	counts Counts // beside what it counts for everybody; less than nothing if the user does not see it
}

// readKey names a user in a room.
type readKey struct {
	user id.UserID
	room Num
}

func (s readState) weight() int { return 350 + 80*len(s.highlights) + 200*len(s.spoken.Threads) }

// speak returns the state of who has said something.
func (s readState) speak(in spoken, mark Mark) readState {
	switch in {
	case everywhere:
		s.spoken = Reads{All: mark}
	case inMain:
		s.spoken.Main = mark
	default:
		threads := maps.Clone(s.spoken.Threads) // others may read what was handed out
		if threads == nil {
			threads = make(map[id.EventID]Mark)
		}
		threads[id.EventID(in)] = mark
		s.spoken.Threads = threads
	}
	var rest []highlight
	for _, h := range s.highlights {
		if h.place > s.spokenIn(h.thread) {
			rest = append(rest, h)
		}
	}
	s.highlights = rest
	return s
}

// spokenIn returns the place up to which a thread is read by speaking.
func (s readState) spokenIn(thread id.EventID) int64 {
	if thread == "" {
		return max(s.spoken.All.Place, s.spoken.Main.Place)
	}
	return max(s.spoken.All.Place, s.spoken.Threads[thread].Place)
}

var insertHighlights = &store.Insert{Table: "highlights", Columns: []store.Column{
	{Name: "user_id", Type: store.Text}, {Name: "room", Type: store.Int}, {Name: "thread", Type: store.Text},
	{Name: "place", Type: store.Int}, {Name: "notifies", Type: store.Int}, {Name: "loud", Type: store.Int},
}}

// spoken is what somebody has read by sending an event: everything, the main
// timeline, or the thread with this root.
type spoken string

const (
	everywhere spoken = ""
	inMain     spoken = "main"
)

// readers yields the users who have read something of the room with the event. Who
// sends has; but who only updates a profile has read nothing. Who comes into the room
// has read everything, so that what was before is not unread: mostly that is whoever
// sends, but where branches meet it may be anybody.
func (m entry) readers(r *live) iter.Seq2[id.UserID, spoken] {
	return func(yield func(id.UserID, spoken) bool) {
		if sender := m.event.Sender(); sender.Server() == r.engine.server && m.event.Type() != event.TypeMember {
			what := inMain
			if m.thread != "" {
				what = spoken(m.thread)
			}
			if !yield(sender, what) {
				return
			}
		}
		for _, c := range m.members {
			came := c.membership == event.MembershipJoin && c.before != event.MembershipJoin
			if came && c.user.Server() == r.engine.server && !yield(c.user, everywhere) {
				return
			}
		}
	}
}

// writeReads adds to the batch what the event changes of what is unread.
func (m entry) writeReads(b *journal.Batch, r *live) {
	for user, what := range m.readers(r) {
		key, mark := spokenKey{readKey{user, r.num}, what}, m.mark(what)
		b.Write(key, func(tx *store.Tx) error { return putSpoken(tx, key, mark) })
	}
	for user, h := range m.highlights() {
		b.Insert(insertHighlights, user, r.num, string(h.thread), h.place, h.counts.Notifications, h.counts.Highlights)
	}
	m.writeThread(b, r)
}

// highlights yields for whom the event counts otherwise than for everybody.
func (m entry) highlights() iter.Seq2[id.UserID, highlight] {
	everybody := m.tally.total()
	mention := Counts{Highlights: 1}
	if !m.tally.notifies {
		mention.Notifications = 1
	}
	return func(yield func(id.UserID, highlight) bool) {
		for _, user := range m.tally.mentioned {
			if !slices.Contains(m.hidden.users, user) && !yield(user, highlight{m.thread, m.place, mention}) {
				return
			}
		}
		if everybody == (Total{}) {
			return
		}
		for _, user := range m.hidden.users {
			if !yield(user, highlight{m.thread, m.place, Counts{-everybody.Unread, -everybody.Loud}}) {
				return
			}
		}
	}
}

// spokenKey names what a user has read by speaking, in a batch.
type spokenKey struct {
	readKey
	what spoken
}

func (m entry) mark(what spoken) Mark {
	if what == everywhere || what == inMain {
		return Mark{Place: m.place, Total: m.row.total, Threaded: m.row.threaded}
	}
	return Mark{Place: m.place, Total: m.own}
}

// remember is writeReads for what is in memory.
func (m entry) remember(r *live) {
	for user, what := range m.readers(r) {
		r.engine.reads.Change(readKey{user, r.num}, func(s readState) readState { return s.speak(what, m.mark(what)) })
	}
	for user, h := range m.highlights() {
		r.engine.reads.Change(readKey{user, r.num}, func(s readState) readState {
			if n := len(s.highlights); n > 0 && s.highlights[n-1].place >= m.place {
				return s // it was read after the commit
			}
			s.highlights = append(s.highlights[:len(s.highlights):len(s.highlights)], h)
			return s
		})
	}
}

func (g *Engine) readState(ctx context.Context, key readKey) (s readState, err error) {
	if s, ok := g.reads.Get(key); ok {
		return s, nil
	}
	version := g.reads.Version(key)
	err = g.db.View(ctx, func(tx *store.Tx) (err error) {
		s, err = readReadState(tx, key)
		return err
	})
	if err != nil {
		return s, fmt.Errorf("reading what is unread of room %d for %s: %w", key.room, key.user, err)
	}
	g.reads.PutSince(key, s, version)
	return s, nil
}

func putSpoken(tx *store.Tx, key spokenKey, m Mark) error {
	err := tx.Queue(`
		INSERT INTO spoken (user_id, room, thread, place, unread, loud, threaded_unread, threaded_loud)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (user_id, room, thread) DO UPDATE SET place = excluded.place, unread = excluded.unread, loud = excluded.loud,
			threaded_unread = excluded.threaded_unread, threaded_loud = excluded.threaded_loud`,
		key.user, key.room, string(key.what), m.Place, m.Unread, m.Loud, m.Threaded.Unread, m.Threaded.Loud)
	if err != nil {
		return fmt.Errorf("storing up to where %s has read room %d: %w", key.user, key.room, err)
	}
	return nil
}

func readReadState(tx *store.Tx, key readKey) (s readState, err error) {
	if s.spoken, err = readSpoken(tx, key); err != nil {
		return s, err
	}
	for row, err := range tx.Query(`
		SELECT thread, place, notifies, loud FROM highlights WHERE user_id = $1 AND room = $2 AND thread = '' AND place > $3
		UNION ALL
		SELECT thread, place, notifies, loud FROM highlights WHERE user_id = $1 AND room = $2 AND thread > '' AND place > $4
		ORDER BY place`,
		key.user, key.room, s.spokenIn(""), s.spoken.All.Place) {
		if err != nil {
			return s, err
		}
		var h highlight
		if err := row.Scan(&h.thread, &h.place, &h.counts.Notifications, &h.counts.Highlights); err != nil {
			return s, err
		}
		if h.place > s.spokenIn(h.thread) {
			s.highlights = append(s.highlights, h)
		}
	}
	return s, nil
}

// readSpoken reads up to where somebody has read a room by speaking.
func readSpoken(tx *store.Tx, key readKey) (s Reads, err error) {
	for row, err := range tx.Query(`
		SELECT thread, place, unread, loud, threaded_unread, threaded_loud FROM spoken WHERE user_id = $1 AND room = $2`,
		key.user, key.room) {
		if err != nil {
			return s, err
		}
		var in string
		var m Mark
		if err := row.Scan(&in, &m.Place, &m.Unread, &m.Loud, &m.Threaded.Unread, &m.Threaded.Loud); err != nil {
			return s, err
		}
		switch what := spoken(in); what {
		case everywhere:
			s.All = m
		case inMain:
			s.Main = m
		default:
			if s.Threads == nil {
				s.Threads = make(map[id.EventID]Mark)
			}
			s.Threads[id.EventID(in)] = m
		}
	}
	maps.DeleteFunc(s.Threads, func(_ id.EventID, m Mark) bool { return m.Place <= s.All.Place })
	return s, nil
}
