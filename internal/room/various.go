package room

import (
	"context"
	"fmt"
	"slices"

	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/pushrule"
	"parley/matrix/stateres"
)

// UnreadWindow is how many of the last events of a room are looked at to count what
// is unread for a user whose rules say something else of each of them.
const UnreadWindow = 1000

// UnreadBy is Unread by the rules of a user, nil for those of everybody. The rules
// apply to what was said before they were set, too.
//
// Where they say the same of the room as those of everybody, or nothing, or that
// mentions count, the numbers follow from what is counted for everybody. Otherwise
// each event is looked at, once as long as it is in memory, and what lies further
// back than UnreadWindow is not counted.
func (g *Engine) UnreadBy(
	ctx context.Context, rules *pushrule.Personal, roomID id.RoomID, user id.UserID, room Num, at Moment, receipts Reads, byThread bool,
) (Unread, error) {
	effect := pushrule.Same
	if rules != nil {
		effect = rules.In(roomID)
	}
	if effect == pushrule.Various {
		return g.unreadVarious(ctx, rules, roomID, readKey{user, room}, at, receipts, byThread)
	}
	u, err := g.Unread(ctx, user, room, at, receipts, byThread || receipts.Wanted != nil)
	if effect != pushrule.Same || receipts.Wanted != nil {
		u.keep(effect, receipts.Wanted)
	}
	if !byThread && receipts.Wanted != nil {
		u.join()
	}
	return u, err
}

// join counts the threads together with the main timeline.
func (u *Unread) join() {
	for _, c := range u.Threads {
		u.Counts = u.plus(c)
	}
	u.Threads = nil
}

// keep replaces all counts by what is left of them by the effect of the reader's
// rules on the room. Where there are rules about threads, a thread counts by whether
// the reader subscribes to it.
func (u *Unread) keep(effect pushrule.Effect, wanted Wanted) {
	left := func(c Counts, effect pushrule.Effect) Counts {
		switch effect {
		case pushrule.Silence:
			return Counts{}
		case pushrule.Mentions:
			return Counts{c.Highlights, c.Highlights}
		}
		return c
	}
	u.Counts = left(u.Counts, effect)
	for root, c := range u.Threads {
		of := effect
		if wanted != nil && effect != pushrule.Silence {
			if of = pushrule.Mentions; wanted.Has(root) {
				of = pushrule.Same
			}
		}
		if c = left(c, of); c == (Counts{}) {
			delete(u.Threads, root)
		} else {
			u.Threads[root] = c
		}
	}
}

// A note is an event that notifies a user.
type note struct {
	place  int64
	thread id.EventID
	loud   bool
	// hidden is the sender, if the user does not see the event while ignoring
	// that one.
	hidden id.UserID
}

func noteOf(it Item, result pushrule.Result) note {
	n := note{place: it.Place, thread: it.Thread, loud: result.Highlight}
	sender := it.Event.Sender()
	if (Reads{Ignored: map[id.UserID]bool{sender: true}}).Ignores(it.Event) {
		n.hidden = sender
	}
	return n
}

// notes are what notifies a user of a room, as far as it was looked at.
type notes struct {
	basis
	// The events behind from and up to a place were looked at: of the main timeline
	// those that were unread then.
	from, upTo int64
	list       []note // in order
}

// basis is what it depends on, beside the events, what notifies.
type basis struct {
	rules  *pushrule.Personal
	joined int64 // how many members are
	wanted Wanted
	self   stateres.Num // the user's own member event, which has the name
}

func (n notes) weight() int { return 250 + 60*len(n.list) }

// unreadVarious counts by looking at each event.
func (g *Engine) unreadVarious(
	ctx context.Context, rules *pushrule.Personal, roomID id.RoomID, key readKey, at Moment, receipts Reads, byThread bool,
) (Unread, error) {
	r, err := g.reader(ctx, key, at, receipts)
	if err != nil {
		return Unread{}, err
	}
	// That the threads were found to be read was by the rules of everybody.
	r.threads = r.all
	self, err := g.StateNum(ctx, key.room, at.Root, event.Tuple{Type: event.TypeMember, StateKey: string(key.user)})
	if err != nil {
		return Unread{}, err
	}
	n, err := g.notes(ctx, roomID, key, r, basis{rules, at.Joined, receipts.Wanted, self})
	if err != nil {
		return Unread{}, err
	}
	u := Unread{Own: at.Place}
	if byThread {
		u.Threads = make(map[id.EventID]Counts)
	}
	for _, n := range n.list {
		if receipts.Ignored[n.hidden] {
			continue
		}
		if n.place > at.Place || n.place <= at.Place-UnreadWindow || n.place <= r.markOf(n.thread).Place {
			continue
		}
		c := Counts{Notifications: 1}
		if n.loud {
			c.Highlights = 1
		}
		if byThread && n.thread != "" {
			u.Threads[n.thread] = u.Threads[n.thread].plus(c)
		} else {
			u.Counts = u.Counts.plus(c)
		}
	}
	return u, nil
}

// notes returns what notifies a user of a room, up to the reader's moment at least.
func (g *Engine) notes(ctx context.Context, roomID id.RoomID, key readKey, r *reader, b basis) (notes, error) {
	from := max(r.threads.Place, r.at.Place-UnreadWindow)
	n, ok := g.notified.Get(key)
	if ok = ok && n.basis == b && n.from <= from; ok && n.upTo >= r.at.Place {
		return n, nil
	}
	if !ok || n.upTo < from {
		n = notes{basis: b, from: from, upTo: from}
	}
	items, err := g.unseen(ctx, roomID, key.room, n.upTo, r.timeline.Place, r.at.Place)
	if err != nil {
		return n, err
	}
	results, err := g.Judge(ctx, roomID, key.user, b.rules.Evaluator, r.at, b.wanted, items)
	if err != nil {
		return n, err
	}
	// Others may read what was handed out, and what is out of the window goes.
	list := slices.DeleteFunc(slices.Clone(n.list), func(n note) bool { return n.place <= r.at.Place-2*UnreadWindow })
	for i, it := range items {
		if results[i].Notify {
			list = append(list, noteOf(it, results[i]))
		}
	}
	n.list, n.upTo = list, r.at.Place
	n.from = max(n.from, r.at.Place-2*UnreadWindow)
	g.notified.Put(key, n)
	return n, nil
}

// unseen returns the events of a room behind a place and up to another, in order.
// Of the main timeline only those behind where it is read are of interest.
func (g *Engine) unseen(ctx context.Context, roomID id.RoomID, room Num, from, timeline, upTo int64) ([]Item, error) {
	threaded, err := g.threaded(ctx, roomID, room, from, min(timeline, upTo))
	if err != nil {
		return nil, err
	}
	items, err := g.Back(ctx, roomID, upTo, int(max(0, upTo-max(from, timeline))))
	slices.Reverse(items)
	return append(threaded, items...), err
}

// threaded returns the events in threads behind a place and up to another, in
// order.
func (g *Engine) threaded(ctx context.Context, roomID id.RoomID, room Num, from, upTo int64) ([]Item, error) {
	if from >= upTo {
		return nil, nil
	}
	var nums []stateres.Num
	err := g.db.View(ctx, func(tx *store.Tx) (err error) {
		nums, err = store.List[stateres.Num](tx,
			"SELECT event FROM events WHERE room = $1 AND place > $2 AND place <= $3 AND thread IS NOT NULL ORDER BY place", room, from, upTo)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading what is in threads of %s: %w", roomID, err)
	}
	return g.Items(ctx, roomID, nums)
}
