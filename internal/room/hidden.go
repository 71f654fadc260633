package room

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"parley/internal/journal"
	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// Who is in a room sees what comes into it, as this server saw it. An event that has
// been on its way for long may be from before somebody joined, though, and then be
// hidden from that user: what decides is the state before the event,
// https://spec.matrix.org/v1.19/client-server-api/#server-behaviour-5
// Each such event is noted for each such user of this server, and for strangers, which
// is who is no member, if the history has become more visible meanwhile.

// hiding is from whom an event is hidden that came beside what the room is, or with which
// the room became what it would not have by that event alone.
type hiding struct {
	users []id.UserID // local, who are members or invited
	// strangers is the visibility that holds for all others; empty if it is that of the
	// room.
	strangers Visibility
}

// hides finds out from whom an event is hidden that does not change by itself what they
// see. The caller holds mu.
func (r *live) hides(ctx context.Context, m entry) (h hiding, err error) {
	tuple := event.Tuple{Type: event.TypeHistoryVisibility}
	then, now := &snapshot{ctx: ctx, room: r, root: m.before}, &snapshot{ctx: ctx, room: r, root: m.current}
	visibility, since := VisibilityOf(then.StateEvent(tuple)), VisibilityOf(now.StateEvent(tuple))
	if err := errors.Join(then.fault, now.fault); err != nil || visibility == WorldReadable {
		return h, err
	}
	if since != visibility && !m.event.IsState(tuple.Type, "") {
		h.strangers = visibility
	}
	if visibility == Shared {
		return h, nil
	}
	for c, err := range statetrie.Diff(ctx, r.nodes, m.before, m.current) {
		if err != nil {
			return h, fmt.Errorf("comparing states of %s: %w", r.id, err)
		}
		user := id.UserID(c.StateKey)
		if c.Type != event.TypeMember || !isUser(c.StateKey) || user.Server() != r.engine.server || m.event.IsState(event.TypeMember, c.StateKey) {
			continue
		}
		is, err := r.membershipOf(ctx, c.New)
		if err != nil {
			return h, err
		}
		was, err := r.membershipOf(ctx, c.Old)
		if err != nil {
			return h, err
		}
		if (is == event.MembershipJoin || is == event.MembershipInvite) && !(sight{visibility: visibility, membership: was}).allows(m.place) {
			h.users = append(h.users, user)
		}
	}
	return h, nil
}

// membershipOf returns what a member event says, empty if there is none.
func (r *live) membershipOf(ctx context.Context, n uint64) (string, error) {
	e, err := r.eventOrNil(ctx, stateres.Num(n))
	if err != nil || e == nil {
		return "", err
	}
	return e.Membership(), nil
}

var insertHidden = &store.Insert{Table: "hidden", Columns: []store.Column{
	{Name: "room", Type: store.Int}, {Name: "user_id", Type: store.Text}, {Name: "place", Type: store.Int}, {Name: "visibility", Type: store.Text},
}}

// writeHidden adds to the batch from whom the event is hidden. A /sync of theirs looks
// closer, as if their membership had changed.
func (m entry) writeHidden(b *journal.Batch, r *live) {
	m.noteHidden(b, r)
	lookCloser(b, r.num, m.hidden.users)
}

// noteHidden is writeHidden without the looking closer.
func (m entry) noteHidden(b *journal.Batch, r *live) {
	if m.hidden.strangers != "" {
		b.Insert(insertHidden, r.num, "", m.place, string(m.hidden.strangers))
	}
	for _, user := range m.hidden.users {
		b.Insert(insertHidden, r.num, user, m.place, "")
	}
}

// lookCloser has a /sync of some users find out what they may see of a room.
func lookCloser(b *journal.Batch, room Num, users []id.UserID) {
	for _, user := range users {
		b.Append(journal.UserScope(user), journal.KindMembership, int64(room))
	}
}

// hiddenPlace is a place that is hidden from a user, or from strangers.
type hiddenPlace struct {
	place      int64
	own        bool
	visibility Visibility // what strangers may see it by
}

// readHidden reads what of rooms is hidden from a user, and from strangers, in the
// order of the places.
func readHidden(tx *store.Tx, user id.UserID, rooms ...Num) (map[Num][]hiddenPlace, error) {
	hidden := make(map[Num][]hiddenPlace)
	in, list := tx.In(2, rooms)
	for row, err := range tx.Query(
		"SELECT room, place, user_id > '', visibility FROM hidden WHERE user_id IN ($1, '') AND room "+in+" ORDER BY place", string(user), list) {
		if err != nil {
			return nil, err
		}
		var room Num
		var h hiddenPlace
		if err := row.Scan(&room, &h.place, &h.own, &h.visibility); err != nil {
			return nil, err
		}
		hidden[room] = append(hidden[room], h)
	}
	return hidden, nil
}

// hide takes out of what a user sees the places whose events are hidden.
func (s *Sight) hide(hidden []hiddenPlace) {
	var places []int64
	for _, h := range hidden {
		if h.own || !(sight{h.visibility, s.MembershipAt(h.place), s.lastJoin()}).allows(h.place) {
			places = append(places, h.place)
		}
	}
	s.Intervals = except(s.Intervals, slices.Compact(places))
}

// lastJoin is the place where the user joined last.
func (s *Sight) lastJoin() (place int64) {
	for _, m := range s.Memberships {
		if m.Membership == event.MembershipJoin && !m.Outside {
			place = m.Place
		}
	}
	return place
}

// except takes places out of intervals; both are in order.
func except(seen []Interval, places []int64) (list []Interval) {
	for _, i := range seen {
		for len(places) > 0 && places[0] <= i.Last {
			if i.Contains(places[0]) {
				if i.First < places[0] {
					list = append(list, Interval{i.First, places[0] - 1})
				}
				i.First = places[0] + 1
			}
			places = places[1:]
		}
		if i.First <= i.Last {
			list = append(list, i)
		}
	}
	return list
}
