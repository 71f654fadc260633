package feed

import (
	"context"

	"parley/internal/room"
	"parley/matrix/event"
	"parley/matrix/id"
)

// tellAll adds what there is to tell of the rooms that the request is about. What the
// user sees of them and has read there is read at once, since a window of many rooms is
// waited for.
func (a *slidingAnswer) tellAll(ctx context.Context) error {
	var due []*slidingRoom
	var unseen []id.RoomID
	var nums []room.Num
	for _, s := range a.roster.order {
		m := a.matches[s.Room]
		if m == nil {
			continue
		}
		r := a.newRoom(m)
		if !r.due() {
			continue
		}
		due, nums = append(due, r), append(nums, r.num)
		if r.needsSight() {
			unseen = append(unseen, r.id)
		}
	}
	sights, err := a.Rooms.SightsAt(ctx, unseen, a.req.User, a.now.Pos)
	if err != nil {
		return err
	}
	var reads map[room.Num]room.Reads
	if a.req.Form.counts() {
		if reads, err = a.Reads(ctx, a.req.User, nums); err != nil {
			return err
		}
	}
	for _, r := range due {
		if s, ok := sights[r.num]; ok {
			r.sight = &s
		}
		r.reads = reads[r.num]
		if err := r.tell(ctx); err != nil {
			return err
		}
	}
	return nil
}

// newRoom begins what is told of a room that the request is about.
func (a *slidingAnswer) newRoom(m *match) *slidingRoom {
	num := m.room.Room
	r := &slidingRoom{slidingAnswer: a, m: m, ch: a.changes[num], news: &news{num: num, id: m.room.RoomID}}
	if r.prev, r.has = a.sent(num); r.has {
		r.from = r.prev.history.from(a.since.Pos)
		if r.has = r.from >= a.Journal.Floor(); r.has {
			r.was = r.prev.membership.String()
			r.grown, r.deeper = !a.wantsOf(r.prev).covers(m.wants), m.limit > r.prev.depth
		}
	}
	if !r.has {
		r.prev.history, r.from = reachNone, 0
	}
	return r
}

// tell adds what there is to tell of the room.
func (r *slidingRoom) tell(ctx context.Context) error {
	if hidden, err := r.partial(ctx); err != nil || hidden {
		return err
	}
	if r.sight == nil && r.needsSight() {
		r.deleted()
		return nil
	}
	is := r.was
	if r.sight != nil {
		is = r.sight.Membership()
	}
	var err error
	switch is {
	case event.MembershipJoin:
		err = r.tellJoined(ctx)
	case event.MembershipInvite, event.MembershipKnock:
		err = r.tellWaiting(ctx, is)
	case event.MembershipLeave, event.MembershipBan:
		err = r.tellGone(ctx, is)
	}
	if room.IsGone(err) {
		r.deleted()
		return nil
	}
	return err
}

// due reports whether there may be something to tell.
func (r *slidingRoom) due() bool {
	if !r.has || r.prev.history != reachAll || r.ch.history() || r.deeper || r.grown || r.prev.direct != r.direct() {
		return true
	}
	return r.recounts()
}

// partial reports whether a room is not told of yet: this server has joined it without
// knowing its members, and the client asks for them.
func (r *slidingRoom) partial(ctx context.Context) (bool, error) {
	anybody := event.Tuple{Type: event.TypeMember, StateKey: "@"}
	if !r.m.room.is(event.MembershipJoin) || !r.m.wants.match(anybody) {
		return false, nil
	}
	hidden, err := r.Rooms.Partial(ctx, r.id, r.slidingAnswer.now.Pos)
	if room.IsGone(err) {
		return false, nil
	}
	return hidden && (!r.has || r.was != event.MembershipJoin), err
}

// recounts reports whether what is unread may be counted otherwise, for who wants
// to know. Of a room that the last answer was not about it may have been for long: the
// user has read it elsewhere, say.
func (r *slidingRoom) recounts() bool {
	if !r.req.Form.counts() || r.was != event.MembershipJoin {
		return false
	}
	return r.rules || r.relisted || !r.conn.memory.shown[r.num] || r.ch != nil && (r.ch.receipts || r.ch.counts)
}

// needsSight reports whether it matters what the user may see of the room: if the
// user was in it all the time, everything that is new.
func (r *slidingRoom) needsSight() bool {
	return !r.has || r.prev.history != reachAll || r.deeper || r.grown || r.was != event.MembershipJoin || r.ch != nil && r.ch.moved
}

func (r *slidingRoom) direct() bool { return r.roster.about.direct[r.id] }
