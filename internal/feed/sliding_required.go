package feed

import (
	"context"
	"slices"

	"parley/internal/journal"
	"parley/internal/room"
	"parley/internal/statetrie"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// A slidingState is what is told of a room's state: of what the client asks for,
// what changed, or all.
type slidingState struct {
	changed map[event.Tuple]stateres.Num // 0: it is there no more
	members int                          // how many of the changes are of members
	// redacted is what of the state was redacted.
	redacted []room.Item

	items []room.Item
	stubs []event.Tuple
}

// mostMembersBehindGap is how many members who changed are told of to a client that
// loads them lazily and misses some of what happened. It must not rely on any:
// there may be very many.
const mostMembersBehindGap = 100

// redactions returns what was redacted behind what the client has.
func (r *slidingRoom) redactions(ctx context.Context) ([]stateres.Num, error) {
	if !r.has || r.fresh {
		return nil, nil
	}
	if r.prev.history == reachAll && (r.ch == nil || !r.ch.moved) {
		if r.ch == nil {
			return nil, nil
		}
		r.whole = r.ch.whole
		return r.ch.redacted, nil
	}
	entries, err := r.Journal.ReadScopes(ctx, []journal.Scope{r.num.Scope()}, r.from, r.slidingAnswer.now.Pos)
	var nums []stateres.Num
	for _, e := range entries {
		switch e.Kind {
		case journal.KindRedaction:
			nums = append(nums, stateres.Num(e.Ref))
		case journal.KindWhole:
			r.whole = true
		}
	}
	return nums, err
}

// changedState finds how the state at the end differs from what the client has. A
// client that cannot be told that there is something no more gets everything.
func (r *slidingRoom) changedState(ctx context.Context) error {
	s := &r.state
	if r.fresh {
		return nil
	}
	s.changed = make(map[event.Tuple]stateres.Num)
	if r.known != r.final {
		diff, err := r.Rooms.StateDiff(ctx, r.num, r.known, r.final)
		if err != nil {
			return err
		}
		for _, c := range diff {
			t := event.Tuple(c.Key)
			if c.New == 0 && !r.req.Form.stubs() && r.m.wants.match(t) {
				r.fresh, r.known, s.changed, s.members = true, statetrie.Root{}, nil, 0
				return nil
			}
			s.changed[t] = stateres.Num(c.New)
			if t.Type == event.TypeMember {
				s.members++
			}
		}
	}
	if len(r.redactedSince) == 0 {
		return nil
	}
	b := &stateBlock{answer: r.answer, w: window{news: r.news}, final: r.final}
	b.w.news.redacted = r.redactedSince
	err := b.findRedacted(ctx)
	s.redacted = b.redacted
	for _, it := range s.redacted {
		if t, _ := it.Event.Tuple(); t.Type == event.TypeMember {
			s.members++
		}
	}
	return err
}

// collect reads the events of the state that are told.
func (r *slidingRoom) collect(ctx context.Context) error {
	s, asked := &r.state, r.m.wants
	var nums []stateres.Num
	for t, n := range s.changed {
		switch {
		case t.Type == event.TypeMember && r.updates(id.UserID(t.StateKey)), asked.match(t):
		default:
			continue
		}
		if n != 0 {
			nums = append(nums, n)
		} else if r.req.Form.stubs() {
			s.stubs = append(s.stubs, t)
		}
	}
	slices.SortFunc(s.stubs, func(a, b event.Tuple) int { return statetrie.Key(a).Compare(statetrie.Key(b)) })
	for _, it := range s.redacted {
		if t, _ := it.Event.Tuple(); asked.match(t) || t.Type == event.TypeMember && r.updates(id.UserID(t.StateKey)) {
			nums = append(nums, it.Num)
		}
	}
	if r.fresh || r.grown {
		more, err := r.enumerate(ctx)
		if err != nil {
			return err
		}
		nums = append(nums, more...)
	}
	lazily, err := r.lazily(ctx)
	if err != nil {
		return err
	}
	nums = append(nums, lazily...)
	slices.Sort(nums)
	if nums = slices.Compact(nums); len(nums) > 0 {
		if s.items, err = r.Rooms.Items(ctx, r.id, nums); err != nil {
			return err
		}
	}
	s.items = slices.DeleteFunc(s.items, func(it room.Item) bool { return !r.wanted(it, lazily) })
	r.tellOwn()
	if asked.lazy() {
		for _, it := range s.items {
			if t, _ := it.Event.Tuple(); t.Type == event.TypeMember {
				r.told.put(r.num, id.UserID(t.StateKey), it.Num)
			}
		}
	}
	return nil
}

// updates reports whether a client that loads members lazily is told of a change of
// one: of each, unless it misses something. Then it must not rely on what it has of
// members; a few are told all the same.
func (r *slidingRoom) updates(user id.UserID) bool {
	if !r.m.wants.lazy() {
		return false
	}
	few := !r.gap() && !r.whole || r.state.members <= mostMembersBehindGap
	return few || r.conn.memory.has[r.num][user] != 0
}

// wanted reports whether an event of the state that was found is one to tell: what
// enumerate found may be excluded, or be known to the client already.
func (r *slidingRoom) wanted(it room.Item, lazily []stateres.Num) bool {
	t, ok := it.Event.Tuple()
	if !ok {
		return false
	}
	if slices.Contains(lazily, it.Num) || t.Type == event.TypeMember && r.updates(id.UserID(t.StateKey)) && !r.fresh {
		return true
	}
	if !r.m.wants.match(t) {
		return false
	}
	if _, changed := r.state.changed[t]; r.fresh || changed || r.isRedacted(it.Num) {
		return true
	}
	return !r.wantsOf(r.prev).match(t)
}

func (r *slidingRoom) isRedacted(n stateres.Num) bool {
	return slices.ContainsFunc(r.state.redacted, func(it room.Item) bool { return it.Num == n })
}

// tellOwn puts the user's own member event in the place of what the state has, where
// the user is out of the room.
func (r *slidingRoom) tellOwn() {
	if r.own.Event == nil {
		return
	}
	t := event.Tuple{Type: event.TypeMember, StateKey: string(r.req.User)}
	r.state.items = slices.DeleteFunc(r.state.items, func(it room.Item) bool { other, _ := it.Event.Tuple(); return other == t })
	if r.m.wants.match(t) || r.m.wants.lazy() {
		r.state.items = append(r.state.items, r.own)
	}
}

// enumerate returns what there is in the state of what is asked for, and perhaps
// more.
func (r *slidingRoom) enumerate(ctx context.Context) (nums []stateres.Num, err error) {
	if r.final == (statetrie.Root{}) {
		return nil, nil
	}
	add := func(t event.Tuple) error {
		n, err := r.Rooms.StateNum(ctx, r.num, r.final, t)
		if n != 0 {
			nums = append(nums, n)
		}
		return err
	}
	members := func() error {
		list, err := r.Rooms.StateNums(ctx, r.id, r.final, event.TypeMember)
		nums = append(nums, list...)
		return err
	}
	others := func(want *want, e element) error {
		return r.Rooms.StateButMembers(ctx, r.num, r.final, func(t event.Tuple, n stateres.Num) {
			if e.match(t) && want.match(t) {
				nums = append(nums, n)
			}
		})
	}
	for _, w := range r.m.wants.list {
		for _, e := range w.include {
			switch lazy := w.lazy && !e.names(); {
			case !e.anyType && !e.anyKey:
				err = add(event.Tuple{Type: e.eventType, StateKey: e.key})
			case !e.anyType && e.eventType == event.TypeMember:
				if !lazy {
					err = members()
				}
			case e.anyKey:
				if err = others(w, e); err == nil && e.anyType && !lazy {
					err = members()
				}
			default:
				if err = others(w, e); err == nil {
					err = add(event.Tuple{Type: event.TypeMember, StateKey: e.key})
				}
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return nums, nil
}

// lazily returns the member events that a client needs that loads them lazily: of
// who sent something in the timeline, and of whom member events in it are about,
// unless it has them.
func (r *slidingRoom) lazily(ctx context.Context) ([]stateres.Num, error) {
	anew := r.fresh || r.gap()
	if anew { // whether it loads them lazily just now or not
		r.flushed = append(r.flushed, r.num)
	}
	if !r.m.wants.lazy() {
		return nil, nil
	}
	items := r.timeline.items
	if r.grown && !r.deeper && !r.fresh && !r.wantsOf(r.prev).lazy() {
		// It did not get them with the events that it has.
		has := max(r.m.limit, min(r.prev.depth, mostTimeline))
		t, err := r.lastEvents(ctx, window{news: r.news, first: 1, last: r.window.last, left: r.window.left, gone: r.window.gone}, has)
		if err != nil {
			return nil, err
		}
		items = t.items
	}
	var users []id.UserID
	for _, it := range items {
		users = append(users, it.Event.Sender())
		if t, ok := it.Event.Tuple(); ok && t.Type == event.TypeMember {
			users = append(users, id.UserID(t.StateKey))
		}
	}
	slices.Sort(users)
	var nums []stateres.Num
	for _, user := range slices.Compact(users) {
		n, err := r.memberNum(ctx, r.news, r.final, user, items)
		if err != nil {
			return nil, err
		}
		if n != 0 && (anew || r.conn.memory.has[r.num][user] != n) {
			nums = append(nums, n)
		}
	}
	return nums, nil
}

// describe adds what is told of a room by its state: its name and avatar and, if it
// has no name, after whom it is called.
// https://github.com/matrix-org/matrix-spec-proposals/blob/main/proposals/4186-simplified-sliding-sync.md#currently-or-previously-joined-rooms
func (r *slidingRoom) describe(ctx context.Context, o object) (_ object, described bool, err error) {
	name, err := r.stateText(ctx, "m.room.name", "name")
	if err != nil {
		return o, false, err
	}
	if r.concerns("m.room.name") && (name != "" || !r.fresh) {
		o, described = o.textOrNull("name", name), true
	}
	if r.concerns("m.room.avatar") {
		avatar, err := r.stateText(ctx, "m.room.avatar", "url")
		if err != nil {
			return o, false, err
		}
		if avatar != "" || !r.fresh {
			o, described = o.textOrNull("avatar", avatar), true
		}
	}
	if name != "" || r.window.gone || !r.fresh && !r.concerns("m.room.name") && r.state.members == 0 && !r.whole {
		return o, described, nil
	}
	heroes, err := r.heroes(ctx)
	if err != nil || len(heroes) == 0 && r.fresh {
		return o, described, err
	}
	return o.events("heroes", heroes), true, nil
}

// concerns reports whether the state of a type with an empty key may be something
// else than the client knows.
func (r *slidingRoom) concerns(eventType string) bool {
	t := event.Tuple{Type: eventType}
	if _, changed := r.state.changed[t]; changed || r.fresh {
		return true
	}
	return slices.ContainsFunc(r.state.redacted, func(it room.Item) bool { other, _ := it.Event.Tuple(); return other == t })
}

// stateText returns a string of the content of state with an empty key.
func (r *slidingRoom) stateText(ctx context.Context, eventType, name string) (string, error) {
	if r.final == (statetrie.Root{}) {
		return "", nil
	}
	e, err := r.Rooms.State(ctx, r.id, r.final, event.Tuple{Type: eventType})
	if err != nil || e == nil {
		return "", err
	}
	text, _ := e.Content().Get(name).Text()
	return text, nil
}

// heroes returns after whom the room is called, as objects.
func (r *slidingRoom) heroes(ctx context.Context) (heroes []canonjson.Value, err error) {
	users, err := r.Rooms.Heroes(ctx, r.num, r.req.User)
	if err != nil {
		return nil, err
	}
	for _, user := range users {
		// Who came in after the moment of the answer is told by the next one.
		e, err := r.Rooms.State(ctx, r.id, r.final, event.Tuple{Type: event.TypeMember, StateKey: string(user)})
		if err != nil {
			return nil, err
		}
		if e == nil {
			continue
		}
		o := newObject()
		if avatar, ok := e.Content().Get("avatar_url").Text(); ok {
			o = o.text("avatar_url", avatar)
		}
		if name, ok := e.Content().Get("displayname").Text(); ok {
			o = o.text("displayname", name)
		}
		heroes = append(heroes, o.text("user_id", string(user)).end())
		r.meet(user)
	}
	return heroes, nil
}
