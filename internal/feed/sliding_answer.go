package feed

import (
	"context"
	"slices"
	"strings"

	"parley/internal/accountdata"
	"parley/internal/journal"
	"parley/internal/room"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// A slidingAnswer is made for one request, at a moment.
type slidingAnswer struct {
	*answer
	*slide
	roster *roster

	// matches are the rooms that the request is about, and changes those with news
	// behind the token.
	matches map[room.Num]*match
	changes map[room.Num]*change
	entries []journal.Entry // behind the token
	finder  *lister
	// met are those of whom the client is told in rooms whose members it loads lazily.
	met map[id.UserID]bool
	// profiled is what the client is told whose profiles it has.
	profiled profiled
	// data is what is new of the account data. rules: push rules are. typed: who is
	// typing may have changed somewhere. subscribed: which threads the user wants to
	// hear of has.
	data                     []accountdata.Data
	rules, typed, subscribed bool
	// quiet: nothing is new, and the request is the same as before.
	quiet bool

	// timelines are what is told of the history of rooms.
	timelines map[room.Num]*shownTimeline
	// counted is what the answer says of what is unread.
	counted  map[room.Num]room.Counts
	flushed  []room.Num
	settled  settled
	response SlidingResponse
}

// A match is a room that a request is about.
type match struct {
	room       *standing
	limit      int
	texts      []string // of wants
	wants      *wants
	lists      []string
	subscribed bool
}

func (m *match) add(w wish) {
	m.limit = max(m.limit, w.limit)
	m.texts = append(m.texts, w.want)
}

// A change is what is new of a room.
type change struct {
	events, moved, receipts bool
	counts                  bool // what counts as unread
	sticky                  bool // there are sticky events that were soft-failed until now
	whole                   bool // all members are known from now on
	redacted                []stateres.Num
}

// history reports whether something of what happened in the room is new.
func (c *change) history() bool { return c != nil && (c.events || c.moved || len(c.redacted) > 0) }

// A shownTimeline is what an answer has of a room's history.
type shownTimeline struct {
	events map[id.EventID]bool
	// older: some of them are from before what the client had.
	older bool
}

func (a *slidingAnswer) changed(num room.Num) *change {
	c := a.changes[num]
	if c == nil {
		c = &change{}
		a.changes[num] = c
	}
	return c
}

func (a *slidingAnswer) initial() bool { return a.since == (Token{}) }

// sent returns what the client was told of a room.
func (a *slidingAnswer) sent(num room.Num) (s sent, ok bool) {
	if s, ok = a.adds.rooms[num]; !ok {
		s, ok = a.conn.told.rooms[num]
	}
	return s, ok
}

func (a *slidingAnswer) put(num room.Num, s sent) {
	if old, ok := a.sent(num); !ok || old != s {
		a.adds.rooms[num] = s
	}
}

// wantsOf returns what was asked for of a room when it was told last.
func (a *slidingAnswer) wantsOf(s sent) *wants {
	if base := len(a.conn.told.wants); s.wants >= base {
		return a.conn.wants(a.adds.wants[s.wants-base])
	}
	return a.conn.wants(a.conn.told.wants[s.wants])
}

// wantsIndex returns the index of wants on the connection.
func (a *slidingAnswer) wantsIndex(w *wants) int {
	if i := slices.Index(a.conn.told.wants, w.text); i >= 0 {
		return i
	}
	i := slices.Index(a.adds.wants, w.text)
	if i < 0 {
		i = len(a.adds.wants)
		a.adds.wants = append(a.adds.wants, w.text)
	}
	return len(a.conn.told.wants) + i
}

// shown returns which rooms the answer is about.
func (a *slidingAnswer) shown() map[room.Num]bool {
	if a.quiet {
		return a.conn.memory.shown // as before
	}
	shown := make(map[room.Num]bool, len(a.matches))
	for num := range a.matches {
		shown[num] = true
	}
	return shown
}

// make makes the answer. The caller holds the locks of the connection and of the
// roster.
func (a *slidingAnswer) make(ctx context.Context) (err error) {
	if a.ignored, err = a.AccountData.Ignored(ctx, a.req.User); err != nil {
		return err
	}
	quiet, err := a.news(ctx)
	if err != nil {
		return err
	}
	if err := a.roster.follow(ctx, a.Feed, a.watch, a.now.Pos); err != nil {
		return err
	}
	a.response.txnID = a.req.TxnID
	a.settled = settled{version: a.from.version, params: a.params, revision: a.roster.revision}
	if quiet && !a.stickyBehind() && a.adds.empty() && a.conn.settled.same(a.settled) {
		a.quiet = true
		a.settled.counts = a.conn.settled.counts
		a.list()
		if err := a.extendProfiles(ctx); err != nil {
			return err
		}
		return a.extendDevice(ctx)
	}
	if err := a.match(ctx); err != nil {
		return err
	}
	if err := a.tellAll(ctx); err != nil {
		return err
	}
	a.leaveBehind()
	if err := a.extend(ctx); err != nil {
		return err
	}
	if err := a.extendProfiles(ctx); err != nil {
		return err
	}
	a.list()
	return a.extendDevice(ctx)
}

// news finds out what is new behind the token. quiet says that nothing is.
func (a *slidingAnswer) news(ctx context.Context) (quiet bool, err error) {
	from := a.since.Pos
	if a.initial() {
		from = a.now.Pos
	}
	if a.watch.known() < from {
		if _, err := a.follow(ctx, from); err != nil {
			return false, err
		}
	}
	if a.initial() {
		a.typed, a.subscribed = true, true
		return false, nil
	}
	if a.entries, err = a.watch.read(ctx, a.Journal, a.since.Pos, a.now.Pos); err != nil {
		return false, err
	}
	data := false
	for _, e := range a.entries {
		switch e.Kind {
		case journal.KindEvent:
			a.changed(room.Num(e.Scope.Number())).events = true
		case journal.KindSticky:
			a.changed(room.Num(e.Scope.Number())).sticky = true
		case journal.KindRedaction:
			c := a.changed(room.Num(e.Scope.Number()))
			c.redacted = append(c.redacted, stateres.Num(e.Ref))
		case journal.KindWhole:
			c := a.changed(room.Num(e.Ref))
			c.events, c.whole = true, true
		case journal.KindReceipt:
			a.changed(room.Num(e.Ref)).receipts = true
		case journal.KindPurge: // what was unread of it is not any more
			a.changed(room.Num(e.Ref)).counts = true
		case journal.KindMembership:
			if err := a.moves(ctx, room.Num(e.Ref)); err != nil {
				return false, err
			}
		case journal.KindAccountData:
			data = true
			a.rules = a.rules || e.Ref == accountdata.RefPushRules
		case journal.KindSubscription:
			a.subscribed = true
			a.changed(room.Num(e.Ref)).counts = a.ThreadRules
		}
	}
	a.watch.knows(a.now.Pos)
	if data {
		if a.data, err = a.AccountData.Since(ctx, a.req.User, a.since.Pos, a.now.Pos); err != nil {
			return false, err
		}
		a.relisted = wishesChanged(a.data)
	}
	a.typed = a.since.Board != a.now.Board || a.Board.Typed() > a.since.Seq
	return len(a.entries) == 0 && !a.typed, nil
}

// moves notes that the user has become something else to a room.
func (a *slidingAnswer) moves(ctx context.Context, num room.Num) error {
	c := a.changed(num)
	if c.moved {
		return nil
	}
	c.moved = true
	roomID, err := a.Rooms.RoomID(ctx, num)
	if err != nil {
		return err
	}
	if err := a.watchRoom(ctx, a.watch, num, roomID, a.now.Pos); err != nil {
		return err
	}
	if _, stayed := a.watch.room(num, a.since.Pos, a.now.Pos); !stayed {
		a.forgetProfiles(num) // of those whom the user meets there
	}
	return nil
}

// match finds the rooms that the request is about.
func (a *slidingAnswer) match(ctx context.Context) error {
	if err := a.roster.prepare(ctx, a.Feed, a.watch, a.req.lists); err != nil {
		return err
	}
	a.settled.revision = a.roster.revision
	get := func(s *standing) *match {
		m := a.matches[s.Room]
		if m == nil {
			m = &match{room: s}
			a.matches[s.Room] = m
		}
		return m
	}
	for i := range a.req.lists {
		l := &a.req.lists[i]
		count := int64(0)
		for _, s := range a.roster.order {
			if !a.lists(s) || !a.roster.passes(&l.filter, s) {
				continue
			}
			if l.within(count) {
				m := get(s)
				m.add(l.wish)
				m.lists = append(m.lists, l.key)
			}
			count++
		}
		a.settled.counts = append(a.settled.counts, count)
	}
	for roomID, w := range a.req.subscriptions {
		s := a.roster.byID[roomID]
		if s == nil || !a.lists(s) && (s.Forgotten || !s.Was) {
			continue
		}
		m := get(s)
		m.add(w)
		m.subscribed = true
	}
	for _, m := range a.matches {
		if len(m.texts) > 1 {
			slices.Sort(m.texts)
			m.texts = slices.Compact(m.texts)
		}
		m.wants = a.conn.wants(strings.Join(m.texts, "\n"))
	}
	return nil
}

// lists reports whether a room is one of those that lists are made of: the user is
// in it, or waits before it, or was made to leave it, or the client has it.
func (a *slidingAnswer) lists(s *standing) bool {
	switch {
	case s.is(event.MembershipJoin), s.is(event.MembershipKnock):
		return true
	case s.is(event.MembershipInvite):
		if !s.hidden {
			return true
		}
	case !s.Forgotten && s.Was && (s.Removed || s.is(event.MembershipBan)):
		return true
	}
	told, ok := a.sent(s.Room)
	return ok && (!s.Forgotten || !told.membership.gone()) && (!s.hidden || !told.membership.gone())
}

// leaveBehind notes up to where the client has the rooms of which something is new
// and which the request is not about.
func (a *slidingAnswer) leaveBehind() {
	for num, c := range a.changes {
		if a.matches[num] != nil || !c.history() {
			continue
		}
		if s, ok := a.sent(num); ok && s.history == reachAll {
			s.history = reachTo(a.since.Pos)
			a.put(num, s)
		}
	}
}

// list takes over how many rooms the lists have.
func (a *slidingAnswer) list() {
	for i, l := range a.req.lists {
		a.response.lists = append(a.response.lists, listCount{l.key, a.settled.counts[i]})
	}
}
