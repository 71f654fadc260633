package feed

import (
	"context"
	"slices"
	"time"

	"parley/internal/journal"
	"parley/internal/room"
	"parley/internal/statetrie"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// A slidingRoom is what is told of one room, as it is made.
type slidingRoom struct {
	*slidingAnswer
	*news
	m    *match
	prev sent
	has  bool // the client was told of the room
	ch   *change
	// from is behind what position the rest is told, and was what the user was there,
	// as the client knows.
	from journal.Position
	was  string
	// grown: more state is asked for than before. deeper: more events are.
	grown, deeper bool

	now, first    room.Moment // at the moment of the answer, and where it begins
	window        window
	timeline      timeline
	expanded      bool
	known, final  statetrie.Root
	redactedSince []stateres.Num
	own           room.Item // the user's own member event, where the user is out of the room
	state         slidingState
	events        []canonjson.Value
	unread        *room.Counts
}

// deleted tells of a room that was removed from the server, that the user is out
// of it.
func (r *slidingRoom) deleted() {
	if !r.has || r.prev.membership.gone() {
		return
	}
	o := r.head(event.MembershipLeave, time.Now().UnixMilli()).yes("initial").yes("limited")
	r.finish(r.empties(o), event.MembershipLeave, 0)
}

// empties adds the lists that clients of the form rely on.
func (r *slidingRoom) empties(o object) object {
	if r.req.Form.empties() {
		o = o.events("required_state", nil).events("timeline", nil)
	}
	return o
}

// head begins what is told of the room.
func (r *slidingRoom) head(is string, bump int64) object {
	o := newObject()
	if bump != 0 {
		o = o.number("bump_stamp", bump)
	}
	if r.req.Form.standing() {
		o = o.text("membership", is)
		if len(r.m.lists) > 0 {
			o = o.texts("lists", r.m.lists)
		}
	}
	return o
}

// finish adds what is told of the room, and notes what the client has then.
func (r *slidingRoom) finish(o object, is string, depth int) {
	r.response.rooms = append(r.response.rooms, section{r.id, o.end()})
	r.note(is, depth)
}

// note notes what the client has then.
func (r *slidingRoom) note(is string, depth int) {
	s := r.prev
	// Behind a gap clients forget members that they do not ask for just now.
	if passed := !r.has || r.prev.history != reachAll || r.ch.history() || r.gap(); passed || r.grown {
		s.wants = r.wantsIndex(r.m.wants)
	}
	s.history, s.membership, s.direct, s.depth = reachAll, membershipOf(is), r.direct(), depth
	s.profiles = s.profiles && !r.fresh && is == event.MembershipJoin
	away := is != event.MembershipJoin || r.was != event.MembershipJoin || r.sight != nil && r.entered(r.from)
	if away && s.receipts == reachAll { // what others have read meanwhile is no news of the user's
		s.receipts = reachTo(r.from)
	}
	r.put(r.num, s)
}

// tellWaiting tells of a room that the user is invited to or has knocked on.
func (r *slidingRoom) tellWaiting(ctx context.Context, is string) error {
	if r.has && r.was == is && r.prev.history == reachAll && (r.ch == nil || !r.ch.moved) {
		if r.prev.direct != r.direct() || r.grown || r.deeper {
			r.note(is, wholeDepth)
		}
		return nil
	}
	own, stripped, unheard, err := r.stripped(ctx, r.news)
	if unheard && r.has { // it is told when the user wants to hear of it
		s := r.prev
		s.history = reachTo(r.from)
		r.put(r.num, s)
	}
	if err != nil || unheard || own == nil {
		return err
	}
	o := r.head(is, stamp(own)).yes("initial").events(r.req.Form.names().stripped, stripped)
	r.finish(r.empties(o), is, wholeDepth)
	return nil
}

// stamp is when a member event was sent, but not in the future, whatever a server
// says that it came from.
func stamp(e *event.Event) int64 { return min(max(1, e.OriginServerTS()), time.Now().UnixMilli()) }

// tellJoined tells of a room that the user is in.
func (r *slidingRoom) tellJoined(ctx context.Context) (err error) {
	if r.now, err = r.Rooms.At(ctx, r.id, r.slidingAnswer.now.Pos); err != nil {
		return err
	}
	r.fresh = !r.has || r.was != event.MembershipJoin
	if !r.fresh {
		remembers, err := r.Rooms.Remembers(ctx, r.id, r.from)
		if err != nil {
			return err
		}
		r.fresh = !remembers
	}
	if !r.fresh {
		if r.first, err = r.Rooms.Before(ctx, r.id, r.from); err != nil {
			return err
		}
	}
	r.known, r.final = r.first.Root, r.now.Root
	if err = r.history(ctx, window{news: r.news, first: r.first.Place + 1, last: r.now.Place}); err != nil {
		return err
	}
	if err = r.count(ctx); err != nil {
		return err
	}
	bump := r.now.Bumped
	if !r.fresh && bump == r.first.Bumped {
		bump = 0
	}
	o, told, err := r.show(ctx, r.head(event.MembershipJoin, bump))
	if err != nil {
		return err
	}
	if r.fresh || r.state.members > 0 || r.whole {
		o, told = o.number("joined_count", r.now.Joined).number("invited_count", r.now.Invited), true
	}
	if r.unread != nil {
		o = o.number("notification_count", r.unread.Notifications).number("highlight_count", r.unread.Highlights)
		before, known := r.conn.memory.unread[r.num]
		told = told || r.recounts() && !(known && before == *r.unread)
	}
	if !told {
		r.note(event.MembershipJoin, r.depth())
		return nil
	}
	if r.unread != nil {
		r.counted[r.num] = *r.unread
	}
	r.finish(o, event.MembershipJoin, r.depth())
	return nil
}

// gap reports whether the client is told that it may miss something.
func (r *slidingRoom) gap() bool {
	return r.timeline.limited || r.expanded && r.req.Form.expandedIsLimited()
}

// depth is how many of the last events the client has at least.
func (r *slidingRoom) depth() int {
	switch {
	case r.timeline.limited:
		return r.m.limit
	case r.fresh || r.deeper:
		return wholeDepth
	}
	return r.prev.depth
}

// history finds what is told of the events of a window, and of the state.
func (r *slidingRoom) history(ctx context.Context, w window) (err error) {
	if r.redactedSince, err = r.redactions(ctx); err != nil {
		return err
	}
	if err = r.changedState(ctx); err != nil {
		return err
	}
	if r.fresh {
		w.first = 1
	}
	known := w.first - 1
	if r.deeper {
		w.first = 1
	}
	r.window, r.timeline = w, timeline{behind: w.last}
	switch {
	case r.m.limit > 0 && w.first <= w.last:
		r.timeline, err = r.lastEvents(ctx, w, r.m.limit)
	case w.first <= w.last:
		r.timeline.limited = true
	}
	if err != nil {
		return err
	}
	if !r.fresh && r.deeper {
		for _, it := range r.timeline.items {
			r.expanded = r.expanded || it.Place <= known
		}
	}
	return r.collect(ctx)
}

// count counts what is unread, for who wants to know.
func (r *slidingRoom) count(ctx context.Context) error {
	if !r.req.Form.counts() {
		return nil
	}
	rules, err := r.AccountData.Personal(ctx, r.req.User)
	if err != nil {
		return err
	}
	unread, err := r.Rooms.UnreadBy(ctx, rules, r.id, r.req.User, r.num, r.now, r.reads, false)
	r.unread = &unread.Counts
	return err
}

// tellGone tells of a room that the user has left, or was made to leave: what
// happened until then, and the user's own member events behind it.
func (r *slidingRoom) tellGone(ctx context.Context, is string) error {
	n := r.news
	place := n.sight.Memberships[len(n.sight.Memberships)-1].Place
	own, ok, err := r.Rooms.Own(ctx, n.id, r.req.User, place)
	if err != nil {
		return err
	}
	if !ok {
		r.deleted()
		return nil
	}
	r.own = own
	if r.has && event.IsOut(r.was) && r.prev.history == reachAll && (r.ch == nil || !r.ch.moved) && !r.deeper && !r.grown {
		r.note(is, r.prev.depth) // it became a direct chat, or ceased to be one
		return nil
	}
	w := window{news: n, first: 1, last: own.Place, gone: true}
	if !n.sight.Forgotten {
		w.left = n.sight.Left()
	}
	if r.final, err = r.stateIn(ctx, n, w.left); err != nil {
		return err
	}
	remembers, err := r.Rooms.Remembers(ctx, n.id, r.from)
	if err != nil {
		return err
	}
	r.fresh = !r.has || !remembers || r.deeper || r.grown ||
		r.was != event.MembershipJoin && (!event.IsOut(r.was) || n.entered(r.from))
	if !r.fresh {
		if r.first, err = r.Rooms.Before(ctx, n.id, r.from); err != nil {
			return err
		}
		w.first, r.known = r.first.Place+1, r.final
		if r.was == event.MembershipJoin && !n.sight.Forgotten {
			r.known = r.first.Root
		}
	}
	if err := r.history(ctx, w); err != nil {
		return err
	}
	o, _, err := r.show(ctx, r.head(is, stamp(own.Event)))
	if err != nil {
		return err
	}
	if w.left == 0 && r.req.Form.standing() {
		o = o.events(r.req.Form.names().stripped, []canonjson.Value{own.Event.AppendStripped(nil)})
	}
	r.finish(o, is, r.depth())
	return nil
}

// show adds the events of the timeline and of the state, and what is told of the
// room by its state. told says that there is something.
func (r *slidingRoom) show(ctx context.Context, o object) (_ object, told bool, err error) {
	v := r.viewer(r.window.membership)
	if v.Related = r.timeline.limited; v.Related {
		v.Seen = r.window.seen()
	}
	if r.events, err = r.Show(ctx, v, r.id, r.timeline.items); err != nil {
		return o, false, err
	}
	v.Related = false
	state, err := r.Show(ctx, v, r.id, r.state.items)
	if err != nil {
		return o, false, err
	}
	for _, t := range r.state.stubs {
		state = append(state, canonjson.Value(newObject().text("state_key", t.StateKey).text("type", t.Type).end()))
	}
	if r.fresh {
		o = o.yes("initial")
	}
	if r.expanded {
		o = o.yes(r.req.Form.names().expanded)
	}
	if r.fresh && r.direct() || r.has && !r.fresh && r.direct() != r.prev.direct {
		o, told = o.flag("is_dm", r.direct()), true
	}
	if len(state) > 0 || r.req.Form.empties() {
		o = o.events("required_state", state)
	}
	if len(r.events) > 0 || r.req.Form.empties() || r.fresh {
		o = o.events("timeline", r.events)
	}
	if len(r.events) > 0 || r.timeline.limited || r.fresh {
		o = o.text("prev_batch", FormatPlace(r.timeline.behind)).number("num_live", r.live())
	}
	if r.gap() {
		o = o.yes("limited")
	}
	o, described, err := r.describe(ctx, o)
	r.remember()
	return o, told || described || r.fresh || len(r.events) > 0 || len(state) > 0 || r.timeline.limited, err
}

// live is how many events of the timeline are new since the client's last request.
func (r *slidingRoom) live() (n int64) {
	if r.slide.from.token == (Token{}) {
		return 0
	}
	for _, it := range r.timeline.items {
		if it.Pos > r.slide.from.token.Pos {
			n++
		}
	}
	return n
}

// remember notes which events are told of, for the receipts that go with them.
func (r *slidingRoom) remember() {
	shown := &shownTimeline{events: make(map[id.EventID]bool, len(r.timeline.items)), older: r.fresh || r.expanded}
	for _, it := range r.timeline.items {
		shown.events[it.Event.ID()] = true
	}
	r.timelines[r.num] = shown
	for _, it := range r.timeline.items {
		r.meet(it.Event.Sender())
	}
	for _, it := range slices.Concat(r.timeline.items, r.state.items) {
		if t, ok := it.Event.Tuple(); ok && t.Type == event.TypeMember {
			r.meet(id.UserID(t.StateKey))
		}
	}
}
