package room

import (
	"context"

	"parley/matrix/event"
)

// mostUncounted is how many unread events are gone through in search of those of
// ignored users. Of a room with more than so many nobody minds the number.
const mostUncounted = 1000

// uncount takes out of the counts what was said by users whom the reader ignores.
// The totals that counting goes by are everybody's, so it goes through what is
// unread, if any of them ever had to do with the room. State is not hidden, and
// counts.
func (r *reader) uncount(ctx context.Context, u *Unread) error {
	if u.Counts == (Counts{}) && len(u.Threads) == 0 {
		return nil
	}
	some, err := r.hasIgnored(ctx)
	if err != nil || !some {
		return err
	}
	roomID, err := r.engine.RoomID(ctx, r.key.room)
	if err != nil {
		return err
	}
	// The one before the first that counts tells how much that one does.
	first := max(r.firstUnread()-1, r.at.Place-mostUncounted)
	items, err := r.engine.Back(ctx, roomID, r.at.Place, int(min(r.at.Place, r.at.Place-first+1)))
	if err != nil {
		return err
	}
	loud := make(map[int64]Counts)
	for _, h := range r.highlights {
		if r.counts(h) {
			loud[h.place] = h.counts
		}
	}
	for i, it := range items {
		if _, isState := it.Event.Tuple(); isState || !r.receipts.Ignored[it.Event.Sender()] {
			continue
		}
		var before Total
		switch gone := r.at.gone; {
		case i+1 < len(items):
			before = items[i+1].Total
		case gone != nil && gone.Place >= first: // so is the one before
			before = gone.Total
		case it.Place > 1:
			continue // nothing says how much it counts
		}
		r.takeOut(u, it, between(before, it.Total).plus(loud[it.Place]))
	}
	return nil
}

// hasIgnored reports whether somebody whom the reader ignores is or was a member.
func (r *reader) hasIgnored(ctx context.Context) (bool, error) {
	for user := range r.receipts.Ignored {
		n, err := r.engine.StateNum(ctx, r.key.room, r.at.Root, event.Tuple{Type: event.TypeMember, StateKey: string(user)})
		if err != nil || n != 0 {
			return n != 0, err
		}
	}
	return false, nil
}

// firstUnread is a place before which everything is read.
func (r *reader) firstUnread() int64 { return min(r.timeline.Place, r.threads.Place) + 1 }

// takeOut takes out of the counts what an event counts, if it is unread.
func (r *reader) takeOut(u *Unread, it Item, c Counts) {
	switch {
	case it.Thread == "":
		if it.Place > r.timeline.Place {
			u.Counts = u.less(c)
		}
	case it.Place <= max(r.threads.Place, r.markIn(it.Thread).Place):
	case u.Threads == nil:
		u.Counts = u.less(c)
	default:
		if left := u.Threads[it.Thread].less(c); left == (Counts{}) {
			delete(u.Threads, it.Thread)
		} else {
			u.Threads[it.Thread] = left
		}
	}
}

func (c Counts) less(d Counts) Counts {
	return Counts{max(0, c.Notifications-d.Notifications), max(0, c.Highlights-d.Highlights)}
}
