package feed

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"parley/internal/receipt"
	"parley/internal/room"
	"parley/internal/statetrie"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
)

// joined makes the section of a room that the user is in, nil if there is
// nothing to tell of it.
func (a *answer) joined(ctx context.Context, n *news) (canonjson.Value, error) {
	if hidden, err := a.partial(ctx, n); err != nil || hidden {
		return nil, err
	}
	at, err := a.Rooms.At(ctx, n.id, a.now.Pos)
	if err != nil {
		return nil, err
	}
	before := at
	if n.fresh {
		before = room.Moment{}
	} else if n.events {
		if before, err = a.before(ctx, n.id); err != nil {
			return nil, err
		}
	}
	if n.fresh && n.sight == nil {
		sight, err := a.Rooms.SightAt(ctx, n.id, a.q.User, a.now.Pos)
		if err != nil {
			return nil, err
		}
		n.sight = &sight
	}
	w := window{news: n, first: before.Place + 1, last: at.Place}
	s := joinedSection{answer: a, window: w, before: before, at: at}
	if err := s.history(ctx); err != nil {
		return nil, err
	}
	if err := s.stick(ctx); err != nil {
		return nil, err
	}
	if err := s.count(ctx); err != nil {
		return nil, err
	}
	if s.ephemeral = a.ephemeral(n); a.q.stream {
		a.streamOfRoom(n, s.ephemeral)
	}
	if !s.hasNews() {
		return nil, nil
	}
	return s.append(make([]byte, 0, s.size())), nil
}

// joinedSection is the section of a room that the user is in, as it is made.
type joinedSection struct {
	*answer
	window
	before, at room.Moment // of the last answer, and of this one

	timeline  timeline
	events    []canonjson.Value // of the timeline
	state     []canonjson.Value
	summary   canonjson.Value
	ephemeral []canonjson.Value
	sticky    []canonjson.Value
	unread    room.Unread
}

// history makes what is told of events: timeline, state and summary.
func (s *joinedSection) history(ctx context.Context) (err error) {
	s.timeline.behind = s.last
	known := s.before.Root
	had := known
	if s.q.FullState {
		known = statetrie.Root{}
	}
	unsure := false
	if s.fresh && s.knowing != 0 {
		if had, unsure, err = s.may(ctx, s.news); err != nil {
			return err
		}
	}
	if known == s.at.Root && s.before.Place == s.at.Place && !s.whole && len(s.redacted) == 0 {
		return nil
	}
	if s.before.Place != s.at.Place {
		if s.timeline, err = s.answer.timeline(ctx, s.window); err != nil {
			return err
		}
		if s.fresh && s.toldBefore(s.knowing) {
			s.timeline.limited = true // what the client has of the room goes before it, or is in it
		}
	}
	b := &stateBlock{answer: s.answer, w: s.window, timeline: &s.timeline, had: had, unsure: unsure, known: known, final: s.at.Root}
	if err := b.make(ctx); err != nil {
		return err
	}
	if b.known == (statetrie.Root{}) || s.whole || b.concernsNames() {
		if err := s.summarise(ctx, b); err != nil {
			return err
		}
	}
	s.events, s.state, err = s.render(ctx, b)
	return err
}

// render shows the events of a timeline and of the state that goes with it.
func (a *answer) render(ctx context.Context, b *stateBlock) (events, state []canonjson.Value, err error) {
	items, err := b.events(ctx)
	if err != nil {
		return nil, nil, err
	}
	b.tellMembers(items)
	v := a.viewer(b.w.membership)
	// Who gets all that is new since the last answer puts together by itself what
	// relates to what.
	if v.Related = b.timeline.limited; v.Related {
		v.Seen = b.w.seen()
	}
	if events, err = a.Show(ctx, v, b.w.id, b.timeline.items); err != nil {
		return nil, nil, err
	}
	v.Related = false
	if state, err = a.Show(ctx, v, b.w.id, items); err == nil && a.q.stream {
		a.streamEvents(b, events, state)
	}
	return events, state, err
}

// summarise makes the summary of the room: how many members there are and, if it
// has no name, after whom to call it.
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync_response-200_roomsummary
func (s *joinedSection) summarise(ctx context.Context, b *stateBlock) error {
	named, err := s.named(ctx)
	if err != nil {
		return err
	}
	dst := []byte(`{`)
	if !named {
		if b.heroes, err = s.heroes(ctx, b.final); err != nil {
			return err
		}
		dst = append(appendUsers(append(dst, `"m.heroes":`...), b.heroes), ',')
	}
	dst = strconv.AppendInt(append(dst, `"m.invited_member_count":`...), s.at.Invited, 10)
	dst = strconv.AppendInt(append(dst, `,"m.joined_member_count":`...), s.at.Joined, 10)
	s.summary = append(dst, '}')
	return nil
}

// heroes returns after whom the room is called, less who came in after the
// position of the answer: the next one has them.
func (s *joinedSection) heroes(ctx context.Context, root statetrie.Root) ([]id.UserID, error) {
	users, err := s.Rooms.Heroes(ctx, s.num, s.q.User)
	if err != nil {
		return nil, err
	}
	var known []id.UserID
	for _, user := range users {
		n, err := s.Rooms.StateNum(ctx, s.num, root, event.Tuple{Type: event.TypeMember, StateKey: string(user)})
		if err != nil {
			return nil, err
		}
		if n != 0 {
			known = append(known, user)
		}
	}
	return known, nil
}

// named reports whether the room has a name or an alias to be called by.
func (s *joinedSection) named(ctx context.Context) (bool, error) {
	for _, by := range []struct{ eventType, key string }{{"m.room.name", "name"}, {"m.room.canonical_alias", "alias"}} {
		e, err := s.Rooms.State(ctx, s.id, s.at.Root, event.Tuple{Type: by.eventType})
		if err != nil {
			return false, err
		}
		if e != nil {
			if text, _ := e.Content().Get(by.key).Text(); text != "" {
				return true, nil
			}
		}
	}
	return false, nil
}

func appendUsers(dst []byte, users []id.UserID) []byte {
	dst = append(dst, '[')
	for i, user := range users {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = canonjson.AppendString(dst, string(user))
	}
	return append(dst, ']')
}

func (s *joinedSection) count(ctx context.Context) (err error) {
	rules, err := s.AccountData.Personal(ctx, s.q.User)
	if err != nil {
		return err
	}
	byThread := s.q.Filter.Room.Timeline.UnreadThreadNotifications
	s.unread, err = s.Rooms.UnreadBy(ctx, rules, s.id, s.q.User, s.num, s.at, s.reads, byThread)
	return err
}

// hasNews reports whether there is anything to tell. What a filter leaves out
// may still be counted, and a receipt of the user's own changes what is.
func (s *joinedSection) hasNews() bool {
	if len(s.events)+len(s.state)+len(s.ephemeral)+len(s.sticky)+len(s.data) > 0 || s.summary != nil || s.timeline.limited || s.fresh || s.recount || s.q.FullState {
		return true
	}
	if s.relisted || slices.ContainsFunc(s.said, func(r receipt.Receipt) bool { return r.User == s.q.User }) {
		return true
	}
	return !s.quiet() && (s.at.Unread != s.before.Unread || s.at.Loud != s.before.Loud || s.unread.Own > s.before.Place)
}

// size is about how long the section is as JSON.
func (s *joinedSection) size() int {
	size := 512 + len(s.summary)
	for _, part := range [][]canonjson.Value{s.events, s.state, s.ephemeral, s.sticky} {
		for _, e := range part {
			size += len(e) + 1
		}
	}
	for _, d := range s.data {
		size += len(d.Type) + len(d.Content) + 32
	}
	return size
}

// append appends the section. Parts without content are left out, except for the
// timeline and the counts, which clients rely on.
func (s *joinedSection) append(dst []byte) []byte {
	dst = append(dst, '{')
	if len(s.data) > 0 {
		var events []canonjson.Value
		for _, d := range s.data {
			events = append(events, typed(d.Type, d.Content))
		}
		dst = append(appendEvents(append(dst, `"account_data":`...), events), ',')
	}
	if len(s.ephemeral) > 0 {
		dst = append(appendEvents(append(dst, `"ephemeral":`...), s.ephemeral), ',')
	}
	if len(s.sticky) > 0 {
		dst = append(appendEvents(append(dst, `"`+stickySection+`":`...), s.sticky), ',')
	}
	dst = s.appendState(dst, s.state)
	if s.summary != nil {
		dst = append(append(append(dst, `"summary":`...), s.summary...), ',')
	}
	dst = append(s.timeline.append(dst, s.events), ',')
	dst = appendCounts(append(dst, `"unread_notifications":`...), s.unread.Counts)
	if s.unread.Threads != nil {
		dst = appendThreads(append(dst, `,"unread_thread_notifications":`...), s.unread.Threads)
	}
	return append(dst, '}')
}

// appendThreads appends the counts of the threads that have any. A client takes
// those of all others to be zero.
func appendThreads(dst []byte, threads map[id.EventID]room.Counts) []byte {
	dst = append(dst, '{')
	for i, root := range slices.Sorted(maps.Keys(threads)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendCounts(append(canonjson.AppendString(dst, string(root)), ':'), threads[root])
	}
	return append(dst, '}')
}

func appendCounts(dst []byte, c room.Counts) []byte {
	dst = strconv.AppendInt(append(dst, `{"highlight_count":`...), c.Highlights, 10)
	dst = strconv.AppendInt(append(dst, `,"notification_count":`...), c.Notifications, 10)
	return append(dst, '}')
}

// appendState appends the state in the member that the client asks for, which
// tells it which of the two it has got even when it is empty.
func (a *answer) appendState(dst []byte, state []canonjson.Value) []byte {
	switch {
	case a.q.StateAfter != "":
		dst = append(canonjson.AppendString(dst, a.q.StateAfter), ':')
	case len(state) == 0:
		return dst
	default:
		dst = append(dst, `"state":`...)
	}
	return append(appendEvents(dst, state), ',')
}

func (t *timeline) append(dst []byte, events []canonjson.Value) []byte {
	dst = appendEvents(append(dst, `"timeline":`...), events)
	dst = strconv.AppendBool(append(dst[:len(dst)-1], `,"limited":`...), t.limited)
	dst = canonjson.AppendString(append(dst, `,"prev_batch":`...), FormatPlace(t.behind))
	return append(dst, '}')
}
