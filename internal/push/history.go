package push

import (
	"container/heap"
	"context"

	"parley/internal/journal"
	"parley/internal/room"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/pushrule"
)

// How many events are read of a room at once, and looked at for one page.
const (
	chunk   = 50
	maxSeen = 3000
)

// History is what has notified users. It is safe for concurrent use.
type History struct {
	rooms *room.Engine
	rules func(context.Context, id.UserID) (*pushrule.Personal, error)
	reads func(context.Context, id.UserID, []room.Num) (map[room.Num]room.Reads, error)
}

// NewHistory returns the history over the rooms. The rules are those of a user, and
// reads is up to where a user has read rooms by receipts.
func NewHistory(
	rooms *room.Engine,
	rules func(context.Context, id.UserID) (*pushrule.Personal, error),
	reads func(context.Context, id.UserID, []room.Num) (map[room.Num]room.Reads, error),
) *History {
	return &History{rooms, rules, reads}
}

// A Notification is an event that has notified a user.
type Notification struct {
	RoomID id.RoomID
	Room   room.Num
	Item   room.Item
	// Result is what the rule says that did it.
	pushrule.Result
	Read bool
	// Membership tells what the user was to the room in a place.
	Membership func(place int64) string
}

// A Query says which notifications are wanted.
type Query struct {
	User id.UserID
	// Before is the position of the journal before which to look.
	Before journal.Position
	Limit  int
	// Highlights leaves out what is not a highlight.
	Highlights bool
}

// Before returns notifications, the newest first. next is the position to go on
// before, 0 if there is nothing further back.
func (h *History) Before(ctx context.Context, q Query) (list []Notification, next journal.Position, err error) {
	w, err := h.begin(ctx, q)
	if err != nil {
		return nil, 0, err
	}
	for len(w.lines) > 0 {
		l := w.lines[0]
		// Each page has to come further than the one before.
		if further := l.next+1 < q.Before; further && (w.seen >= maxSeen || len(list) == q.Limit) {
			return list, l.next + 1, nil
		}
		if len(l.events) == 0 {
			err = w.read(ctx, l)
		} else if n, ok := l.take(q); ok {
			list = append(list, n)
		}
		if err != nil {
			return nil, 0, err
		}
		w.settle()
	}
	return list, 0, nil
}

// A walk goes back through several rooms at once.
type walk struct {
	*History
	q     Query
	rules *pushrule.Personal
	lines lines // by where they go on, as a heap
	seen  int   // how many events were read
}

// A line is the events of one room, on the way back.
type line struct {
	room.Activity
	begun bool
	sight room.Sight
	first int64 // the place before which there is nothing for the user
	place int64 // of the next event to be read
	// next is the position of the first of the events, or that before which the
	// next one is.
	next   journal.Position
	events []judged
}

// judged is an event with what the rules say of it.
type judged struct {
	room.Item
	result pushrule.Result
	read   bool
}

func (h *History) begin(ctx context.Context, q Query) (*walk, error) {
	w := &walk{History: h, q: q}
	var err error
	if w.rules, err = h.rules(ctx, q.User); err != nil {
		return nil, err
	}
	rooms, err := h.rooms.Activities(ctx, q.User)
	if err != nil {
		return nil, err
	}
	for _, a := range rooms {
		if w.rules.In(a.RoomID) != pushrule.Silence {
			w.lines = append(w.lines, &line{Activity: a, next: min(a.Pos, q.Before-1)})
		}
	}
	heap.Init(&w.lines)
	return w, nil
}

// settle puts the line that was worked on where it belongs, or ends it.
func (w *walk) settle() {
	if l := w.lines[0]; l.begun && len(l.events) == 0 && l.place < l.first {
		heap.Pop(&w.lines)
		return
	}
	heap.Fix(&w.lines, 0)
}

// read reads the next events of a line.
func (w *walk) read(ctx context.Context, l *line) error {
	if !l.begun {
		if err := w.beginLine(ctx, l); err != nil || l.place < l.first {
			return err
		}
	}
	items, err := w.rooms.Back(ctx, l.RoomID, l.place, int(min(chunk, l.place-l.first+1)))
	if err != nil {
		return err
	}
	w.seen += len(items)
	l.place = l.first - 1
	if n := len(items); n > 0 {
		l.place = items[n-1].Place - 1
	}
	return w.judge(ctx, l, items)
}

// beginLine finds where a line begins and ends.
func (w *walk) beginLine(ctx context.Context, l *line) (err error) {
	l.begun = true
	if l.sight, err = w.rooms.Sight(ctx, l.RoomID, w.q.User); err != nil {
		return err
	}
	at, err := w.rooms.Before(ctx, l.RoomID, w.q.Before-1)
	if err != nil {
		return err
	}
	l.place, l.first = at.Place, at.Place+1
	if own := l.sight.Memberships; len(own) > 0 {
		l.first = own[0].Place
		if l.sight.Membership() == event.MembershipInvite {
			l.place = min(l.place, own[len(own)-1].Place)
		}
	}
	return nil
}

// judge adds those of some events to a line that are for the user.
func (w *walk) judge(ctx context.Context, l *line, items []room.Item) error {
	reads, err := w.reads(ctx, w.q.User, []room.Num{l.Room})
	if err != nil {
		return err
	}
	var news []room.Item
	for _, it := range items {
		if it.Pos > 0 && it.Pos < w.q.Before && l.isFor(w.q.User, it) && !reads[l.Room].Ignores(it.Event) {
			news = append(news, it)
		}
	}
	results, err := w.rooms.Judge(ctx, l.RoomID, w.q.User, w.rules.Evaluator, l.sight.At, reads[l.Room].Wanted, news)
	if err != nil {
		return err
	}
	read, err := w.rooms.HasRead(ctx, w.q.User, l.Room, reads[l.Room], news)
	if err != nil {
		return err
	}
	for i, it := range news {
		l.events = append(l.events, judged{it, results[i], read[i]})
	}
	switch {
	case len(l.events) > 0:
		l.next = l.events[0].Pos
	case len(items) > 0:
		l.next = min(l.next, items[len(items)-1].Pos)
	}
	return nil
}

// isFor reports whether an event reached the user as a member of the room, or is
// the user's own invite.
func (l *line) isFor(user id.UserID, it room.Item) bool {
	if !l.sight.Sees(it.Place) {
		return false
	}
	switch l.sight.MembershipAt(it.Place) {
	case event.MembershipJoin:
		return true
	case event.MembershipInvite:
		key, isState := it.Event.StateKey()
		return isState && it.Event.Type() == event.TypeMember && key == string(user)
	}
	return false
}

// take takes the first event off a line; ok is false if it is none that is wanted.
func (l *line) take(q Query) (n Notification, ok bool) {
	e := l.events[0]
	if l.events = l.events[1:]; len(l.events) > 0 {
		l.next = l.events[0].Pos
	} else {
		l.next = e.Pos - 1
	}
	n = Notification{RoomID: l.RoomID, Room: l.Room, Item: e.Item, Result: e.result, Read: e.read, Membership: l.sight.MembershipAt}
	return n, e.result.Notify && (e.result.Highlight || !q.Highlights)
}

// lines is a heap with the line in front that goes on last in the journal.
type lines []*line

func (s lines) Len() int           { return len(s) }
func (s lines) Less(i, j int) bool { return s[i].next > s[j].next }
func (s lines) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *lines) Push(x any)        { *s = append(*s, x.(*line)) }
func (s *lines) Pop() any {
	old := *s
	last := old[len(old)-1]
	*s = old[:len(old)-1]
	return last
}
