package room

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"parley/internal/journal"
	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// An Item is an event of a room in its place.
type Item struct {
	Num stateres.Num
	// Event is the event as it may be shown: redacted, if it was.
	Event *event.Event
	// Place is where it stands in the room's own order.
	Place int64
	// Pos is the position of its entry in the journal, 0 if it was no news.
	Pos journal.Position
	// Before is the state before the event, Current the state of the room once
	// the event was appended.
	Before, Current statetrie.Root
	// Merges says that with the event the state of the room changed otherwise
	// than the event says itself, as when branches come together.
	Merges bool
	// Replaces is the event whose place in the state it took, 0 if there is none.
	Replaces stateres.Num
	// Total is that of the room, up to and including this event. Threaded is the
	// part of it that is in threads.
	Total
	Threaded Total
	// Thread is the root of the thread that it is in, empty for the main timeline,
	// and Own the part of the total that is in this thread.
	Thread id.EventID
	Own    Total
	// Transaction is the request of its sender that it came from, if it was sent
	// here.
	Transaction Transaction
	// Relays says that another server has sent it by this one, so that this one
	// tells the rest of the room.
	Relays bool
}

// selectItems selects what makes an Item; redacting events are joined
// in, so that reading fifty takes one query.
const selectItems = `
	SELECT e.event, e.event_id, e.place, e.pos, e.before, e.current, e.merges, e.replaces, e.unread, e.loud,
		e.threaded_unread, e.threaded_loud, e.thread, e.thread_unread, e.thread_loud, e.json, e.device, e.txn, e.relays, r.event_id, r.json
	FROM events e LEFT JOIN events r ON r.event = e.redacted_by `

func scanItem(row store.Cursor, r *live) (Item, error) {
	var it Item
	var eventID, redactionID id.EventID
	var json, redaction []byte
	err := row.Scan(&it.Num, &eventID, &it.Place, &it.Pos, &it.Before, &it.Current, &it.Merges, &it.Replaces, &it.Unread, &it.Loud,
		&it.Threaded.Unread, &it.Threaded.Loud, &it.Thread, &it.Own.Unread, &it.Own.Loud, &json, &it.Transaction.Device, &it.Transaction.ID, &it.Relays, &redactionID, &redaction)
	if err != nil {
		return Item{}, err
	}
	if it.Current == (statetrie.Root{}) {
		it.Current = it.Before
	}
	if it.Event, err = event.Load(json, eventID, r.rules); err != nil || redaction == nil {
		return it, err
	}
	because, err := event.Load(redaction, redactionID, r.rules)
	if err != nil {
		return Item{}, err
	}
	it.Event = shown(it.Event, because)
	return it, nil
}

// scanItems returns what a query that begins with selectItems selects.
func scanItems(tx *store.Tx, r *live, query string, args ...any) (list []Item, err error) {
	for row, err := range tx.Query(selectItems+query, args...) {
		if err != nil {
			return nil, err
		}
		it, err := scanItem(row, r)
		if err != nil {
			return nil, err
		}
		list = append(list, it)
	}
	return list, nil
}

// readItems is scanItems in a transaction of its own.
func (g *Engine) readItems(ctx context.Context, r *live, query string, args ...any) ([]Item, error) {
	var list []Item
	err := g.db.View(ctx, func(tx *store.Tx) (err error) {
		list, err = scanItems(tx, r, query, args...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading events of %s: %w", r.id, err)
	}
	return list, nil
}

// How many of the last events of a room are kept in memory at least, and how many
// moments: a client that has not heard for a while needs of the past only where
// it was.
const (
	recentItems   = 100
	recentMoments = 1000
)

// A Moment is a room as it is at a position of the journal.
type Moment struct {
	// Pos is that of the last change before or at the moment.
	Pos journal.Position
	// Place is that of the last event.
	Place int64
	// Root is the current state.
	Root statetrie.Root
	// Joined and Invited are how many members are so.
	Joined, Invited int64
	// Total and Threaded are those of the last event.
	Total
	Threaded Total
	// Bumped is when something was said in the room last, in milliseconds since
	// 1970, 0 for a moment long ago.
	Bumped int64
	// gone is up to where nothing of the room's history is shown any more, nil for
	// nowhere.
	gone *Mark
}

// recent is what became of a room lately, as it is committed. It follows the
// journal: an entry becomes visible after its event is in here.
type recent struct {
	mu      sync.RWMutex
	moments []Moment // in order; the first is from before the first of items, or older
	items   []Item   // in order
	bytes   int      // of the items, roughly
	gaps    gaps
}

// push adds an event that was committed.
func (c *recent) push(it Item, after Moment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.items); n > 0 && c.items[n-1].Place+1 != it.Place {
		c.items, c.bytes = nil, 0 // there is a gap; those in memory have none
	}
	for _, old := range c.items[:excess(len(c.items), recentItems)] {
		c.bytes -= old.weight()
	}
	c.items = append(shift(c.items, recentItems), it)
	c.moments = append(shift(c.moments, recentMoments), after)
	c.bytes += it.weight()
}

// moment notes that the room has changed without an event.
func (c *recent) moment(m Moment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.moments = append(shift(c.moments, recentMoments), m)
}

// excess is how many of count go at once when there are twice as many as are to
// be kept.
func excess(count, keep int) int {
	if count < 2*keep {
		return 0
	}
	return count - keep
}

// shift drops the excess of a list. What is left goes into new memory, since the
// old may be being read.
func shift[T any](list []T, keep int) []T {
	n := excess(len(list), keep)
	if n == 0 {
		return list
	}
	return append(make([]T, 0, 2*keep), list[n:]...)
}

// weight is how many bytes the item takes, roughly.
func (it Item) weight() int { return len(it.Event.JSON()) + 900 }

// change replaces an event, if it is there.
func (c *recent) change(num stateres.Num, f func(Item) Item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, it := range c.items {
		if it.Num == num {
			c.items = slices.Clone(c.items) // others may read what was handed out
			c.items[i] = f(it)
			c.bytes += c.items[i].weight() - it.weight()
			return
		}
	}
}

// at returns the room as it was at a position; ok is false when that is too long
// ago.
func (c *recent) at(pos journal.Position) (m Moment, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	// Mostly the last is asked for.
	if last := len(c.moments) - 1; last >= 0 && c.moments[last].Pos <= pos {
		return c.moments[last], true
	}
	i, exact := slices.BinarySearchFunc(c.moments, pos, func(m Moment, pos journal.Position) int { return cmp.Compare(m.Pos, pos) })
	if exact {
		return c.moments[i], true
	}
	if i == 0 {
		return Moment{}, false
	}
	return c.moments[i-1], true
}

// byID returns an item; ok is false when it is not in memory.
func (c *recent) byID(eventID id.EventID) (it Item, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for i := len(c.items) - 1; i >= 0; i-- {
		if c.items[i].Event.ID() == eventID {
			return c.items[i], true
		}
	}
	return Item{}, false
}

// upTo returns up to limit items up to a place, newest first, as far as they are
// in memory.
func (c *recent) upTo(place int64, limit int) []Item {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if len(c.items) == 0 || place < c.items[0].Place {
		return nil
	}
	count := min(place-c.items[0].Place+1, int64(len(c.items))) // there is no gap between them
	list := slices.Clone(c.items[max(0, count-int64(limit)):count])
	slices.Reverse(list)
	return list
}

// from returns up to limit items from a place on, oldest first. ok is false when
// the first of them are not in memory.
func (c *recent) from(place int64, limit int) (list []Item, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if len(c.items) == 0 || place < c.items[0].Place {
		return nil, false
	}
	first := min(place-c.items[0].Place, int64(len(c.items)))
	list = c.items[first:]
	return slices.Clone(list[:min(limit, len(list))]), true
}
