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

// moved tells of a room to which the user is something else than at the last
// answer, or may be.
func (a *answer) moved(ctx context.Context, num room.Num, roomID id.RoomID) error {
	sight, err := a.Rooms.SightAt(ctx, roomID, a.q.User, a.now.Pos)
	if room.IsGone(err) {
		return a.deleted(num, roomID)
	}
	if err != nil {
		return err
	}
	a.watch.update(num, roomID, sight, a.now.Pos)
	a.entered = a.entered || sight.Membership() == event.MembershipJoin
	if !a.q.Filter.Room.AllowsRoom(roomID) {
		return nil
	}
	was := sight.MembershipAtPos(a.since.Pos)
	if a.since == (Token{}) {
		was = ""
	}
	n := &news{num: num, id: roomID, sight: &sight}
	switch is := sight.Membership(); is {
	case event.MembershipJoin:
		return a.stays(ctx, n, was != event.MembershipJoin)
	case event.MembershipInvite, event.MembershipKnock:
		return a.waits(ctx, n, was)
	case event.MembershipLeave, event.MembershipBan:
		if was == "" && is == event.MembershipLeave && a.since != (Token{}) && sight.Left() == 0 && !a.q.Filter.Room.IncludeLeave {
			return nil // came and went without having been told of the room
		}
		return a.gone(ctx, n, was)
	}
	return nil
}

// deleted tells of a room that was removed from the server, and which the user has
// left before that. What the client may have of it is more than there is here.
func (a *answer) deleted(num room.Num, roomID id.RoomID) error {
	a.watch.update(num, roomID, room.Sight{}, a.now.Pos)
	if a.q.Filter.Room.AllowsRoom(roomID) && a.knowing != 0 {
		t := timeline{limited: true}
		a.leave = append(a.leave, section{roomID, append(t.append(a.appendState([]byte(`{`), nil), nil), '}')})
	}
	return nil
}

// stays notes a room that the user is in, perhaps for the first time.
func (a *answer) stays(ctx context.Context, n *news, fresh bool) error {
	n.fresh, n.events, n.receipts, n.typing = fresh, true, true, true
	a.rooms[n.num] = n
	if a.since == (Token{}) {
		return nil
	}
	if !fresh {
		// The user was away for a while, and perhaps the watch with it.
		entries, err := a.Journal.ReadScopes(ctx, []journal.Scope{n.num.Scope()}, a.since.Pos, a.now.Pos)
		for _, e := range entries {
			if e.Kind == journal.KindRedaction {
				n.redacted = append(n.redacted, stateres.Num(e.Ref))
			}
		}
		return err
	}
	// What there is of account data was not told while the user was away.
	data, err := a.AccountData.All(ctx, a.q.User, a.now.Pos)
	for _, d := range data {
		if d.Room == n.id && a.q.Filter.Room.AccountData.Match(d.Type, "", d.Content) {
			n.data = append(n.data, d)
		}
	}
	return err
}

// waiting returns the invite or the knock by which the user waits before a room:
// the last, or if that is an invite which the user is not to see, what it came
// after. unheard says that there is only the one that is not seen.
func (a *answer) waiting(ctx context.Context, n *news) (own room.Item, ok, unheard bool, err error) {
	for _, m := range slices.Backward(n.sight.Memberships) {
		if m.Membership != event.MembershipInvite && m.Membership != event.MembershipKnock {
			break
		}
		if own, ok, err = a.Rooms.Own(ctx, n.id, a.q.User, m.Place); err != nil || !ok || m.Membership == event.MembershipKnock {
			return own, ok, false, err
		}
		if hidden, err := a.HidesInvite(ctx, a.q.User, own.Event.Sender()); err != nil || !hidden {
			return own, err == nil, false, err
		}
	}
	return room.Item{}, false, true, nil
}

// waits tells of a room that the user is invited to or has knocked on.
func (a *answer) waits(ctx context.Context, n *news, was string) error {
	own, stripped, unheard, err := a.stripped(ctx, n)
	switch {
	case unheard:
		return a.invitedUnheard(ctx, n, was)
	case err != nil || own == nil:
		return err
	}
	part, name := &a.invite, `{"invite_state":`
	if own.Membership() == event.MembershipKnock {
		part, name = &a.knock, `{"knock_state":`
	}
	*part = append(*part, section{n.id, append(appendEvents([]byte(name), stripped), '}')})
	if a.q.stream {
		return a.streamOwn(ctx, n)
	}
	return nil
}

// stripped returns what the user gets to see of a room without being in it, and the
// invite or knock by which that is: nil if it is not known. unheard is as for waiting.
func (a *answer) stripped(ctx context.Context, n *news) (member *event.Event, state []canonjson.Value, unheard bool, err error) {
	outside, ok, err := a.Rooms.Outside(ctx, n.id, a.q.User)
	if err != nil {
		return nil, nil, false, err
	}
	if ok {
		member = outside.Event
		if member.Membership() == event.MembershipInvite {
			unheard, err = a.HidesInvite(ctx, a.q.User, member.Sender())
		}
		return member, append(outside.Preview, member.AppendStripped(nil)), unheard, err
	}
	own, ok, unheard, err := a.waiting(ctx, n)
	if err != nil || !ok || unheard {
		return nil, nil, unheard, err
	}
	root := own.Current
	if root == (statetrie.Root{}) { // what was then was purged
		root = n.sight.At.Root
	}
	events, err := a.Rooms.StrippedState(ctx, n.id, root, own.Event)
	place, _ := own.Event.Tuple()
	for _, e := range events {
		// At present there may be an invite in its place that the user is not to see.
		if t, _ := e.Tuple(); t == place && e.ID() != own.Event.ID() {
			e = own.Event
		}
		state = append(state, e.AppendStripped(nil))
	}
	return own.Event, state, false, err
}

// invitedUnheard tells of a room to which somebody has invited the user who is not
// heard: that the user had left it, if that is news. Of the invite nothing is told.
func (a *answer) invitedUnheard(ctx context.Context, n *news, was string) error {
	since := a.since.Pos
	switch begins := a.since == (Token{}); {
	case begins && a.knowing == 0, !begins && (was == "" || event.IsOut(was)):
		return nil
	case begins:
		since = a.knowing
	}
	for i, m := range slices.Backward(n.sight.Memberships) {
		if event.IsOut(m.Membership) && m.Pos > since {
			until := *n.sight
			until.Memberships = until.Memberships[:i+1]
			n.sight = &until
			return a.gone(ctx, n, was)
		}
	}
	return nil
}

// gone tells of a room that the user has left: of what happened until then, and
// of the own member events behind it. A client that has what was before the last
// answer is told the rest. Others, that knew of an invite or of less, get
// everything. Of a room that the user has forgotten it is the own member events.
//
// Waiting before a room that this server is not in leaves no event once that is over:
// then the last one is that before it, if there is one.
func (a *answer) gone(ctx context.Context, n *news, was string) error {
	own, ok, err := a.lastOwn(ctx, n)
	if err != nil {
		return err
	}
	if !ok {
		return a.deleted(n.num, n.id)
	}
	w := window{news: n, first: 1, last: own.Place, gone: true}
	if !n.sight.Forgotten {
		w.left = n.sight.Left()
	}
	b := &stateBlock{answer: a}
	if own.Event.Membership() != event.MembershipJoin { // otherwise the join has ceased to count, and no event says so
		b.own = own.Num
	}
	if b.final, err = a.stateIn(ctx, n, w.left); err != nil {
		return err
	}
	remembers, err := a.Rooms.Remembers(ctx, n.id, a.since.Pos)
	if err != nil {
		return err
	}
	untold, err := a.untold(ctx, n)
	if err != nil {
		return err
	}
	again := !remembers || untold || was != event.MembershipJoin && (!event.IsOut(was) || n.entered(a.since.Pos))
	switch {
	case !again:
		w.first, b.known, err = a.toldOfGone(ctx, n, was, b.final)
		b.had = b.known
	case w.left != 0:
		b.had, b.unsure, err = a.may(ctx, n)
	}
	if err != nil {
		return err
	}
	t, err := a.timeline(ctx, w)
	if err != nil {
		return err
	}
	t.limited = t.limited || (again || n.sight.Forgotten) && n.toldBefore(a.knowing)
	b.w, b.timeline = w, &t
	if err := b.make(ctx); err != nil {
		return err
	}
	events, state, err := a.render(ctx, b)
	if err != nil {
		return err
	}
	dst := a.appendState([]byte(`{`), state)
	a.leave = append(a.leave, section{n.id, append(t.append(dst, events), '}')})
	return nil
}

// lastOwn returns the user's last member event that is an event of the room.
func (a *answer) lastOwn(ctx context.Context, n *news) (own room.Item, ok bool, err error) {
	for _, m := range slices.Backward(n.sight.Memberships) {
		if !m.Outside {
			return a.Rooms.Own(ctx, n.id, a.q.User, m.Place)
		}
	}
	return room.Item{}, false, nil
}

// toldOfGone returns where the events begin that a client was not told of, and
// which state it knows, of a room that the user was in at the last answer or had
// left before it.
func (a *answer) toldOfGone(ctx context.Context, n *news, was string, final statetrie.Root) (first int64, known statetrie.Root, err error) {
	before, err := a.Rooms.Before(ctx, n.id, a.since.Pos)
	if was == event.MembershipJoin && !n.sight.Forgotten {
		return before.Place + 1, before.Root, err
	}
	return before.Place + 1, final, err
}

// may returns the earliest state of a room that a client may have something of, to
// which everything is told anew. It is not sure when that was purged.
func (a *answer) may(ctx context.Context, n *news) (had statetrie.Root, unsure bool, err error) {
	place := n.joinedBefore(a.knowing)
	had, err = a.stateIn(ctx, n, place)
	return had, place != 0 && had == (statetrie.Root{}), err
}

// stateIn returns the state of a room after the event in a place, none for 0.
func (a *answer) stateIn(ctx context.Context, n *news, place int64) (statetrie.Root, error) {
	if place == 0 {
		return statetrie.Root{}, nil
	}
	root, _, err := a.Rooms.StateBehind(ctx, n.id, place)
	return root, err
}

// joinedBefore returns the place in which the user joined the room for the first
// time by a position, 0 if never. Whatever a client has of the room is of the
// state there or of a later one; of which, depends on when it came last, since
// it is not told of a leaving that an invite followed at once.
func (n *news) joinedBefore(pos journal.Position) int64 {
	for _, m := range n.sight.Memberships {
		if m.Pos <= pos && m.Membership == event.MembershipJoin {
			return m.Place
		}
	}
	return 0
}

// entered reports whether the user joined the room behind a position.
func (n *news) entered(pos journal.Position) bool {
	return slices.ContainsFunc(n.sight.Memberships, func(m room.MembershipAt) bool {
		return m.Pos > pos && m.Membership == event.MembershipJoin
	})
}

// toldBefore reports whether a client that has everything up to a position may
// have a timeline of the room. What it has ends when the user left, so one that
// begins anew must say that it is not the continuation.
func (n *news) toldBefore(pos journal.Position) bool {
	return slices.ContainsFunc(n.sight.Memberships, func(m room.MembershipAt) bool {
		return m.Pos <= pos && (m.Membership == event.MembershipJoin || event.IsOut(m.Membership))
	})
}
