package feed

import (
	"context"

	"parley/internal/room"
	"parley/internal/statetrie"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
)

// moved tells of a room to which the user is something else than at the last
// answer, or may be.
func (a *answer) moved(ctx context.Context, num room.Num, roomID id.RoomID) error {
	sight, err := a.Rooms.SightAt(ctx, roomID, a.q.User, a.now.Pos)
	if err != nil {
		return err
	}
	a.watch.update(num, roomID, sight, a.now.Pos)
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
		return a.waits(ctx, n, is)
	case event.MembershipLeave, event.MembershipBan:
		if was == "" && is == event.MembershipLeave && a.since != (Token{}) && sight.Left() == 0 {
			return nil // came and went without having been told of the room
		}
		return a.gone(ctx, n, was)
	}
	return nil
}

// stays notes a room that the user is in, perhaps for the first time.
func (a *answer) stays(ctx context.Context, n *news, fresh bool) error {
	n.fresh, n.events, n.receipts, n.typing = fresh, true, true, true
	a.rooms[n.num] = n
	if !fresh || a.since == (Token{}) {
		return nil
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

// strippedTypes are the types of the state that somebody gets to see who is
// invited or knocks. https://spec.matrix.org/v1.19/client-server-api/#stripped-state
var strippedTypes = [...]string{
	event.TypeCreate, "m.room.name", "m.room.avatar", "m.room.topic", event.TypeJoinRules,
	"m.room.canonical_alias", "m.room.encryption",
}

// waits tells of a room that the user is invited to or has knocked on.
func (a *answer) waits(ctx context.Context, n *news, membership string) error {
	own := n.sight.Memberships[len(n.sight.Memberships)-1]
	items, err := a.Rooms.Back(ctx, n.id, own.Place, 1)
	if err != nil || len(items) == 0 {
		return err
	}
	tuples := []event.Tuple{{Type: event.TypeMember, StateKey: string(a.q.User)}}
	if sender := items[0].Event.Sender(); sender != a.q.User {
		tuples = append(tuples, event.Tuple{Type: event.TypeMember, StateKey: string(sender)})
	}
	for _, eventType := range strippedTypes {
		tuples = append(tuples, event.Tuple{Type: eventType})
	}
	var stripped []canonjson.Value
	for _, t := range tuples {
		e, err := a.Rooms.State(ctx, n.id, items[0].Current, t)
		if err != nil {
			return err
		}
		if e != nil {
			stripped = append(stripped, e.AppendStripped(nil))
		}
	}
	part, name := &a.invite, `{"invite_state":`
	if membership == event.MembershipKnock {
		part, name = &a.knock, `{"knock_state":`
	}
	*part = append(*part, section{n.id, append(appendEvents([]byte(name), stripped), '}')})
	return nil
}

// gone tells of a room that the user has left: of what happened until then.
// Somebody who was not in it since the last answer sees no more of it than the
// own member events.
func (a *answer) gone(ctx context.Context, n *news, was string) error {
	w := window{news: n, first: 1, last: n.sight.At.Place}
	if was != "" {
		before, err := a.Rooms.Before(ctx, n.id, a.since.Pos)
		if err != nil {
			return err
		}
		w.first = before.Place + 1
	}
	known, final, err := a.statesOfGone(ctx, n, was)
	if err != nil {
		return err
	}
	own, err := a.Rooms.Back(ctx, n.id, n.sight.Memberships[len(n.sight.Memberships)-1].Place, 1)
	if err != nil || len(own) == 0 {
		return err
	}
	t, err := a.timeline(ctx, w)
	if err != nil {
		return err
	}
	b, err := a.stateBlock(ctx, w, &t, known, final, own[0].Num)
	if err != nil {
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

// statesOfGone returns the state that the client knows of a room and the one
// that it is to know: that of when the user left, if that was since the last
// answer.
func (a *answer) statesOfGone(ctx context.Context, n *news, was string) (known, final statetrie.Root, err error) {
	left := n.sight.Left()
	if left == 0 {
		return known, final, nil
	}
	at, err := a.Rooms.Back(ctx, n.id, left, 1)
	if err != nil || len(at) == 0 || at[0].Pos <= a.since.Pos {
		return known, final, err
	}
	if was == event.MembershipJoin {
		before, err := a.Rooms.Before(ctx, n.id, a.since.Pos)
		return before.Root, at[0].Current, err
	}
	// It came in and left since then: whatever it knows is from long ago.
	return known, at[0].Current, nil
}
