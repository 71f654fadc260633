package room

import (
	"context"
	"fmt"
	"slices"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
)

// A Mark is up to where somebody has read a room: a place, and the counts of
// the event there. The zero Mark is before everything.
type Mark struct {
	Place        int64
	Unread, Loud int64
}

// A highlight is an event that is one for a single user.
type highlight struct {
	place int64
	quiet bool // it is not counted in unread
}

// readState is what of a room is unread for a user, beside what is counted for
// everybody.
type readState struct {
	spoken     Mark
	highlights []highlight // behind spoken, in order
}

// readKey names a user in a room.
type readKey struct {
	user id.UserID
	room Num
}

func (s readState) weight() int { return 250 + 16*len(s.highlights) }

var insertHighlights = &store.Insert{Table: "highlights", Columns: []store.Column{
	{Name: "user_id", Type: store.Text}, {Name: "room", Type: store.Int}, {Name: "place", Type: store.Int}, {Name: "quiet", Type: store.Bool},
}}

// reader returns the user who has read the room by sending the event, empty if
// nobody has. Who only updates a profile has read nothing; joining counts, so
// that what was before is not unread.
func (m entry) reader(r *live) id.UserID {
	sender := m.event.Sender()
	if sender.Server() != r.engine.server {
		return ""
	}
	if m.event.Type() != event.TypeMember {
		return sender
	}
	for _, c := range m.members {
		if c.user == sender && c.membership == event.MembershipJoin && c.before != event.MembershipJoin {
			return sender
		}
	}
	return ""
}

// writeReads adds to the batch what the event changes of what is unread.
func (m entry) writeReads(b *journal.Batch, r *live) {
	if user := m.reader(r); user != "" {
		mark := m.mark()
		b.Write(readKey{user, r.num}, func(tx *store.Tx) error { return putSpoken(tx, r.num, user, mark) })
	}
	for _, user := range m.tally.mentioned {
		b.Insert(insertHighlights, user, r.num, m.place, !m.tally.notifies)
	}
}

func (m entry) mark() Mark { return Mark{Place: m.place, Unread: m.row.unread, Loud: m.row.loud} }

// remember is writeReads for what is in memory.
func (m entry) remember(r *live) {
	if user := m.reader(r); user != "" {
		r.engine.reads.Change(readKey{user, r.num}, func(readState) readState { return readState{spoken: m.mark()} })
	}
	for _, user := range m.tally.mentioned {
		r.engine.reads.Change(readKey{user, r.num}, func(s readState) readState {
			if n := len(s.highlights); n > 0 && s.highlights[n-1].place >= m.place {
				return s // it was read after the commit
			}
			s.highlights = append(slices.Clip(s.highlights), highlight{m.place, !m.tally.notifies})
			return s
		})
	}
}

// Counts is what of a room is unread for a user.
type Counts struct {
	// Notifications is how many events notify the user, and Highlights how many
	// are a highlight.
	Notifications, Highlights int64
	// Own is the place of the last event that changed the counts for the user and
	// not for everybody: that the user has sent, or that is a highlight.
	Own int64
}

// Unread returns what of a room is unread at a moment, given up to where the user
// has read it by a receipt. Who speaks has read what was said before:
// https://spec.matrix.org/v1.19/client-server-api/#receiving-notifications
//
// The rules are the default ones.
func (g *Engine) Unread(ctx context.Context, user id.UserID, room Num, at Moment, receipt Mark) (Counts, error) {
	s, err := g.readState(ctx, readKey{user, room})
	if err != nil {
		return Counts{}, err
	}
	mark := receipt
	if s.spoken.Place > mark.Place {
		mark = s.spoken
	}
	c := Counts{Notifications: max(0, at.Unread-mark.Unread), Highlights: max(0, at.Loud-mark.Loud), Own: s.spoken.Place}
	for _, h := range s.highlights {
		if h.place > at.Place {
			break
		}
		c.Own = max(c.Own, h.place)
		if h.place <= mark.Place {
			continue
		}
		c.Highlights++
		if h.quiet {
			c.Notifications++
		}
	}
	return c, nil
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
