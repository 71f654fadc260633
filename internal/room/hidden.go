package room

import (
	"context"
	"fmt"

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
// Each such event is noted for each such user of this server.

// hides returns the local members who are not to see an event that came beside what
// the room is. The caller holds mu.
func (r *live) hides(ctx context.Context, m entry) (hidden []id.UserID, err error) {
	then := &snapshot{ctx: ctx, room: r, root: m.before}
	visibility := VisibilityOf(then.StateEvent(event.Tuple{Type: event.TypeHistoryVisibility}))
	if then.fault != nil || visibility == WorldReadable || visibility == Shared {
		return nil, then.fault
	}
	for c, err := range statetrie.Diff(ctx, r.nodes, m.before, m.current) {
		if err != nil {
			return nil, fmt.Errorf("comparing states of %s: %w", r.id, err)
		}
		user := id.UserID(c.StateKey)
		if c.Type != event.TypeMember || !isUser(c.StateKey) || user.Server() != r.engine.server || user == m.event.Sender() {
			continue
		}
		now, err := r.membershipOf(ctx, c.New)
		if err != nil {
			return nil, err
		}
		was, err := r.membershipOf(ctx, c.Old)
		if err != nil {
			return nil, err
		}
		if now == event.MembershipJoin && !(sight{visibility: visibility, membership: was}).allows(m.place) {
			hidden = append(hidden, user)
		}
	}
	return hidden, nil
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
	{Name: "room", Type: store.Int}, {Name: "user_id", Type: store.Text}, {Name: "place", Type: store.Int},
}}

// writeHidden adds to the batch from whom the event is hidden. A /sync of theirs looks
// closer, as if their membership had changed.
func (m entry) writeHidden(b *journal.Batch, r *live) {
	for _, user := range m.hidden {
		b.Insert(insertHidden, r.num, user, m.place)
		b.Append(journal.UserScope(user), journal.KindMembership, int64(r.num))
	}
}

// readHidden returns the places whose events are hidden from a user, in order.
func readHidden(tx *store.Tx, room Num, user id.UserID) ([]int64, error) {
	return store.List[int64](tx, "SELECT place FROM hidden WHERE room = $1 AND user_id = $2 ORDER BY place", room, user)
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
