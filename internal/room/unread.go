package room

import (
	"context"
	"fmt"

	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
)

// A Mark is up to where somebody has read a room: a place, and the totals of the
// event there. The zero Mark is before everything.
type Mark struct {
	Place int64
	Total
	Threaded Total
}

// Reads is up to where somebody has read a room.
type Reads struct {
	All  Mark // whatever the thread
	Main Mark // the main timeline
	// Threads is by their roots. The total is that of the thread, and Threaded is
	// not used.
	Threads map[id.EventID]Mark
	// Ignored are the users whose messages do not count.
	Ignored map[id.UserID]bool
	// Wanted are the threads that the reader subscribes to; nil: that changes nothing.
	Wanted Wanted
}

// Wanted are the threads of a room that a user subscribes to. It does not change: what
// is the same by == says the same.
type Wanted interface{ Has(root id.EventID) bool }

// Ignores reports whether an event is hidden from the reader because of its sender:
// what is no state, and invites.
func (r Reads) Ignores(e *event.Event) bool {
	if len(r.Ignored) == 0 || !r.Ignored[e.Sender()] {
		return false
	}
	_, isState := e.Tuple()
	return !isState || e.Type() == event.TypeMember && e.Membership() == event.MembershipInvite
}

// Counts is how many events notify a user, and how many are a highlight.
type Counts struct{ Notifications, Highlights int64 }

func (c Counts) plus(d Counts) Counts {
	return Counts{c.Notifications + d.Notifications, c.Highlights + d.Highlights}
}

// between is what was counted between two totals. Who has read further than the
// moment that is asked for has nothing unread.
func between(then, now Total) Counts {
	return Counts{max(0, now.Unread-then.Unread), max(0, now.Loud-then.Loud)}
}

// Unread is what of a room is unread for a user.
type Unread struct {
	Counts // in the main timeline and threads together, or in the main timeline only
	// Threads is by their roots, without those in which nothing is unread. It is
	// nil if everything is counted together.
	Threads map[id.EventID]Counts
	// Own is the place of the last event that changed the counts for the user and
	// not for everybody: that the user has sent, or that is a highlight.
	Own int64
}

// Unread returns what of a room is unread at a moment, each thread by itself or
// everything together, given up to where the user has read by receipts. Who speaks
// has read what was said before in the same thread, or the main timeline; who joins
// has read everything:
// https://spec.matrix.org/v1.19/client-server-api/#receiving-notifications
//
// The rules are the default ones; UnreadBy counts by those of a user.
func (g *Engine) Unread(ctx context.Context, user id.UserID, room Num, at Moment, receipts Reads, byThread bool) (Unread, error) {
	r, err := g.reader(ctx, readKey{user, room}, at, receipts)
	if err != nil {
		return Unread{}, err
	}
	u := Unread{Counts: r.main(), Own: r.own()}
	if byThread {
		u.Threads, err = r.byThread(ctx)
	} else {
		var threads Counts
		threads, err = r.together(ctx)
		u.Counts = u.plus(threads)
	}
	if err == nil && len(receipts.Ignored) > 0 {
		err = r.uncount(ctx, &u)
	}
	return u, err
}

// A reader is somebody who has read a room so far, at a moment of it.
type reader struct {
	readState
	engine   *Engine
	key      readKey
	at       Moment
	receipts Reads
	// all is up to where everything is read, or gone. The main timeline is read up to
	// timeline, and all threads up to threads; some may be read further.
	all, timeline, threads Mark
}

func (g *Engine) reader(ctx context.Context, key readKey, at Moment, receipts Reads) (*reader, error) {
	s, err := g.readState(ctx, key)
	if err != nil {
		return nil, err
	}
	r := &reader{readState: s, engine: g, key: key, at: at, receipts: receipts}
	all := further(s.spoken.All, receipts.All)
	if at.gone != nil {
		all = further(all, *at.gone) // nobody will read it any more
	}
	r.all = all
	r.timeline = further(all, further(s.spoken.Main, receipts.Main))
	r.threads = further(all, s.caughtUp)
	return r, nil
}

func further(a, b Mark) Mark {
	if b.Place > a.Place {
		return b
	}
	return a
}

// main counts what is unread of the main timeline.
func (r *reader) main() Counts {
	c := between(r.timeline.less(r.timeline.Threaded), r.at.less(r.at.Threaded))
	for _, h := range r.highlights {
		if h.thread == "" && r.counts(h) {
			c = c.plus(h.counts)
		}
	}
	return c
}

// own returns Unread.Own.
func (r *reader) own() int64 {
	own := max(r.spoken.All.Place, r.spoken.Main.Place)
	for _, m := range r.spoken.Threads {
		own = max(own, m.Place)
	}
	for _, h := range r.highlights {
		if h.place <= r.at.Place {
			own = max(own, h.place)
		}
	}
	return own
}

// together counts what is unread of all threads.
func (r *reader) together(ctx context.Context) (all Counts, err error) {
	if r.readsThreads() {
		threads, err := r.byThread(ctx)
		for _, c := range threads {
			all = all.plus(c)
		}
		return all, err
	}
	all = between(r.threads.Threaded, r.at.Threaded)
	for _, h := range r.highlights {
		if h.thread != "" && r.counts(h) {
			all = all.plus(h.counts)
		}
	}
	return all, nil
}

// readsThreads reports whether there is a thread which is read further than all
// threads are.
func (r *reader) readsThreads() bool {
	for _, marks := range []map[id.EventID]Mark{r.spoken.Threads, r.receipts.Threads} {
		for _, m := range marks {
			if m.Place > r.threads.Place {
				return true
			}
		}
	}
	return false
}

// byThread counts what is unread of each thread. It asks the database only when
// something was said in threads behind the place up to where all are read.
func (r *reader) byThread(ctx context.Context) (map[id.EventID]Counts, error) {
	unread := make(map[id.EventID]Counts)
	add := func(root id.EventID, c Counts) {
		if c != (Counts{}) {
			unread[root] = unread[root].plus(c)
		}
	}
	asked := between(r.threads.Threaded, r.at.Threaded) != (Counts{})
	if asked {
		list, err := r.engine.threadNews(ctx, r.key.room, r.threads.Place, r.at.Place)
		if err != nil {
			return nil, err
		}
		for _, t := range list {
			if m := r.markIn(t.root); m.Place > r.threads.Place {
				t.then = m.Total
			}
			add(t.root, between(t.then, t.now))
		}
	}
	for _, h := range r.highlights {
		if h.thread != "" && r.counts(h) {
			add(h.thread, h.counts)
		}
	}
	if asked && len(unread) == 0 {
		here := Mark{Place: r.at.Place, Total: r.at.Total, Threaded: r.at.Threaded}
		r.engine.reads.Change(r.key, func(s readState) readState {
			s.caughtUp = further(s.caughtUp, here)
			return s
		})
	}
	return unread, nil
}

// markIn returns up to where a thread is read by what was said of it alone.
func (r *reader) markIn(thread id.EventID) Mark {
	return further(r.spoken.Threads[thread], r.receipts.Threads[thread])
}

// counts reports whether a highlight is unread.
func (r *reader) counts(h highlight) bool {
	return h.place > r.markOf(h.thread).Place && h.place <= r.at.Place
}

// markOf returns up to where a thread is read, or the main timeline.
func (r *reader) markOf(thread id.EventID) Mark {
	if thread == "" {
		return r.timeline
	}
	return further(r.threads, r.markIn(thread))
}

func (g *Engine) threadNews(ctx context.Context, room Num, after, upTo int64) (list []threadNews, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) (err error) {
		list, err = readThreads(tx, room, after, upTo)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the threads of room %d: %w", room, err)
	}
	return list, nil
}
