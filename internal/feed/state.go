package feed

import (
	"context"
	"slices"

	"parley/internal/room"
	"parley/internal/statetrie"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// A stateBlock is what an answer tells of a room's state beside its timeline.
//
// Who applies first the block and then the state events of the timeline, in
// their order, must have the state at the end. So the block has, for each place
// of the state that the timeline says nothing of, what it is at the end, if that
// is not what the client knows; and for each place that the timeline does say
// something of, what it is where the timeline begins. And where the timeline's
// last word on a place is not what is so at the end, since branches came
// together or a filter left the last word out, the timeline is cut behind that
// event.
//
// A client that asks for the state after the timeline takes no state from the
// timeline: it gets what is so at the end.
//
// A client that loads members lazily is told of who says something in the
// timeline, and, of those that it was told of before, what changed. See
// lazyMembers.
//
// State that was redacted is the same state, so no difference of two roots shows
// it. It is told again where the timeline does not have the redaction.
type stateBlock struct {
	*answer
	w        window
	timeline *timeline
	// known is the state that the client has, final that at the end, and start
	// that where the timeline begins.
	known, final, start statetrie.Root
	// had is known, except where everything is told anew to a client that has
	// something: then it is what that may be.
	had statetrie.Root
	// unsure says that it is not known what that may be, because it was purged.
	unsure bool
	// changed is how final differs from known. If members are loaded lazily, it has
	// those in which final differs from had.
	changed map[event.Tuple]stateres.Num
	// redacted is what of final was redacted since the last answer.
	redacted []room.Item
	// own is the user's own member event, where the user has left and may see
	// later ones than final has; otherwise 0.
	own    stateres.Num
	heroes []id.UserID
}

// make finds what changed, and cuts the timeline where it has to be.
func (b *stateBlock) make(ctx context.Context) (err error) {
	if b.changed, err = b.difference(ctx); err != nil {
		return err
	}
	if err = b.findRedacted(ctx); err != nil {
		return err
	}
	if b.q.StateAfter != "" {
		b.start = b.final
		return nil
	}
	t, cut := b.timeline, 0
	for tuple, i := range t.lastState() {
		n, ok := b.changed[tuple]
		if !ok {
			if n, err = b.Rooms.StateNum(ctx, b.w.num, b.final, tuple); err != nil {
				return err
			}
		}
		if n != t.items[i].Num {
			cut = max(cut, i+1)
		}
	}
	t.cut(cut)
	b.start, err = b.startOfTimeline(ctx)
	return err
}

// difference returns how the state at the end differs from what the client has.
func (b *stateBlock) difference(ctx context.Context) (changed map[event.Tuple]stateres.Num, err error) {
	changed = make(map[event.Tuple]stateres.Num)
	if b.own != 0 {
		defer func() { changed[event.Tuple{Type: event.TypeMember, StateKey: string(b.q.User)}] = b.own }()
	}
	if b.known == b.final {
		return changed, nil
	}
	if b.known != (statetrie.Root{}) || !b.lazy() {
		diff, err := b.Rooms.StateDiff(ctx, b.w.num, b.known, b.final)
		for _, c := range diff {
			changed[event.Tuple(c.Key)] = stateres.Num(c.New)
		}
		return changed, err
	}
	err = b.Rooms.StateButMembers(ctx, b.w.num, b.final, func(t event.Tuple, n stateres.Num) { changed[t] = n })
	if err != nil || b.had == (statetrie.Root{}) && !b.unsure {
		return changed, err
	}
	diff, err := b.Rooms.StateDiff(ctx, b.w.num, b.had, b.final)
	for _, c := range diff {
		if c.Type == event.TypeMember {
			changed[event.Tuple(c.Key)] = stateres.Num(c.New)
		}
	}
	return changed, err
}

func (b *stateBlock) lazy() bool { return b.q.Filter.Room.State.LazyLoadMembers }

// startOfTimeline returns the state of the room before the first event shown.
func (b *stateBlock) startOfTimeline(ctx context.Context) (statetrie.Root, error) {
	if len(b.timeline.items) == 0 {
		return b.final, nil
	}
	if b.timeline.whole && b.known != (statetrie.Root{}) {
		return b.known, nil
	}
	root, ok, err := b.Rooms.StateBehind(ctx, b.w.id, b.timeline.items[0].Place-1)
	if !ok { // the room begins there, or what is left of it
		root = b.timeline.items[0].Before
	}
	return root, err
}

// concernsNames reports whether anything changed by which a room is named.
func (b *stateBlock) concernsNames() bool {
	names := func(t event.Tuple) bool {
		return t.Type == event.TypeMember || t.Type == "m.room.name" || t.Type == "m.room.canonical_alias"
	}
	for t := range b.changed {
		if names(t) {
			return true
		}
	}
	return slices.ContainsFunc(b.redacted, func(it room.Item) bool {
		t, _ := it.Event.Tuple()
		return names(t)
	})
}

// events returns the events of the block, in the order in which they were sent.
func (b *stateBlock) events(ctx context.Context) ([]room.Item, error) {
	nums, err := b.nums(ctx)
	if err != nil {
		return nil, err
	}
	if b.known != (statetrie.Root{}) {
		nums = append(nums, b.redactedUntold()...)
	}
	if len(nums) == 0 {
		return nil, nil
	}
	slices.Sort(nums)
	items, err := b.Rooms.Items(ctx, b.w.id, slices.Compact(nums))
	if err != nil {
		return nil, err
	}
	f := &b.q.Filter.Room.State
	if !f.AllowsRoom(b.w.id) {
		return nil, nil
	}
	return slices.DeleteFunc(items, func(it room.Item) bool {
		return !f.Match(it.Event.Type(), it.Event.Sender(), it.Event.Content())
	}), nil
}

// nums returns the numbers of the events of the block.
func (b *stateBlock) nums(ctx context.Context) ([]stateres.Num, error) {
	var last map[event.Tuple]int
	if b.q.StateAfter == "" {
		last = b.timeline.lastState()
	}
	members, err := b.lazily(ctx, last)
	if err != nil {
		return nil, err
	}
	var nums []stateres.Num
	add := func(n stateres.Num) {
		if n != 0 {
			nums = append(nums, n)
		}
	}
	for t, n := range b.changed {
		if _, shown := last[t]; shown || b.lazy() && t.Type == event.TypeMember && !b.wanted(id.UserID(t.StateKey)) {
			continue
		}
		add(n)
	}
	for t := range last {
		if b.lazy() && t.Type == event.TypeMember {
			continue
		}
		n, err := b.atStart(ctx, t)
		if err != nil {
			return nil, err
		}
		add(n)
	}
	for _, n := range members {
		add(n)
	}
	return nums, nil
}

// atStart returns the event in a place where the timeline begins, 0 if there is
// none or the client has it.
func (b *stateBlock) atStart(ctx context.Context, t event.Tuple) (stateres.Num, error) {
	if b.start == b.known {
		return 0, nil
	}
	n, err := b.Rooms.StateNum(ctx, b.w.num, b.start, t)
	if err != nil || n == 0 {
		return 0, err
	}
	known, err := b.Rooms.StateNum(ctx, b.w.num, b.known, t)
	if n == known {
		return 0, err
	}
	return n, err
}

// wanted reports whether a client that loads members lazily is told of a change
// of a member: of itself, and of those that it may have been told of before.
func (b *stateBlock) wanted(user id.UserID) bool {
	_, perhaps := b.Feed.lazy.knows(b.lazyKey(), b.w.num, user, b.since.Pos)
	return user == b.q.User || perhaps
}

// lazily returns the member events that a client needs to show the timeline, if
// it loads members lazily: of the senders; when it knows nothing yet, its own;
// and those after whom the room is named.
func (b *stateBlock) lazily(ctx context.Context, last map[event.Tuple]int) ([]stateres.Num, error) {
	if !b.lazy() {
		return nil, nil
	}
	var users []id.UserID
	for _, it := range b.timeline.items {
		users = append(users, it.Event.Sender())
	}
	if b.known == (statetrie.Root{}) {
		users = append(users, b.q.User)
	}
	users = append(users, b.heroes...)
	slices.Sort(users)
	redundant := b.q.Filter.Room.State.IncludeRedundantMembers
	var nums []stateres.Num
	for _, user := range slices.Compact(users) {
		t := event.Tuple{Type: event.TypeMember, StateKey: string(user)}
		// What the client was told of a member, when it was in the room, is kept
		// up to date.
		told, _ := b.Feed.lazy.knows(b.lazyKey(), b.w.num, user, b.since.Pos)
		if _, changed := b.changed[t]; told != 0 && !changed && !redundant && b.had != (statetrie.Root{}) {
			continue
		}
		root := b.final
		if _, shown := last[t]; shown {
			root = b.start
		}
		n, err := b.memberNum(ctx, b.w.news, root, user, b.timeline.items)
		if err != nil {
			return nil, err
		}
		if redundant || told != n {
			nums = append(nums, n)
		}
	}
	return nums, nil
}

// tellMembers notes which members a client that loads them lazily is told of.
func (b *stateBlock) tellMembers(state []room.Item) {
	if !b.lazy() {
		return
	}
	tell := func(items []room.Item) {
		for _, it := range items {
			if t, ok := it.Event.Tuple(); ok && t.Type == event.TypeMember {
				b.told.put(b.w.num, id.UserID(t.StateKey), it.Num)
			}
		}
	}
	tell(state)
	if b.q.StateAfter == "" {
		tell(b.timeline.items)
	}
}
