package room

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

var (
	insertMemberships = &store.Insert{Table: "memberships", Columns: []store.Column{
		{Name: "user_id", Type: store.Text}, {Name: "room", Type: store.Int}, {Name: "membership", Type: store.Text},
		{Name: "event", Type: store.Int}, {Name: "pos", Type: store.Int}, {Name: "forgotten", Type: store.Bool},
	}, Conflict: "ON CONFLICT (user_id, room) DO UPDATE SET membership = excluded.membership, event = excluded.event, pos = excluded.pos"}
	insertServers = &store.Insert{Table: "room_servers", Columns: []store.Column{
		{Name: "room", Type: store.Int}, {Name: "server", Type: store.Text}, {Name: "joined", Type: store.Int}, {Name: "pos", Type: store.Int},
	}}
)

// handedMembers is the users of a state that was handed over.
type handedMembers struct {
	list            []handedMember
	joined, invited int64
	present         servers // of the joined
}

type handedMember struct {
	user       id.UserID
	num        stateres.Num
	membership string
}

// add adds an event of the state, if it makes a user something. Of the event nothing
// is kept, but of its place.
func (h *handedMembers) add(t event.Tuple, n stateres.Num, e *event.Event) {
	if t.Type != event.TypeMember || !isUser(t.StateKey) {
		return
	}
	m := handedMember{id.UserID(t.StateKey), n, strings.Clone(e.Membership())}
	switch m.membership {
	case event.MembershipJoin:
		h.joined++
		h.present[m.user.Server()] = presence{joined: h.present[m.user.Server()].joined + 1}
		m.membership = event.MembershipJoin
	case event.MembershipInvite:
		h.invited++
	case "":
		m.membership = event.MembershipLeave
	}
	h.list = append(h.list, m)
}

// uncounted is how many members a server is taken to have of which it is only known
// that it has some: more than can leave until they have been counted.
const uncounted = 1 << 40

// suppose adds servers that have members who are not known. This one has none such.
func (h *handedMembers) suppose(present []id.ServerName, self id.ServerName) {
	for _, server := range present {
		if server != self {
			h.present[server] = presence{joined: uncounted}
		}
	}
}

// storeMembers stores, in pieces, what the users of a state are that was handed
// over, as it is in a place, and who may see the history before. Local users stay
// what they are: what a /sync tells of them is appended.
func (r *live) storeMembers(ctx context.Context, to foundation) error {
	g := r.engine
	r.mu.Lock()
	state := &snapshot{ctx: ctx, room: r, root: to.root}
	visibility := state.num(event.Tuple{Type: event.TypeHistoryVisibility})
	says := VisibilityOf(state.StateEvent(event.Tuple{Type: event.TypeHistoryVisibility}))
	r.mu.Unlock()
	if state.fault != nil {
		return state.fault
	}
	err := g.db.Update(ctx, func(tx *store.Tx) error { return r.beginMembers(tx, to.place, to.members.present, visibility, says) })
	if err != nil {
		return fmt.Errorf("storing the servers of %s: %w", r.id, err)
	}
	g.servers.Change(r.num, func(servers) servers { return to.members.present })
	return g.storeMemberRows(ctx, r, to.members.list, to.place, insertMemberships)
}

// storeMemberRows stores what is said of members one by one. Where something is
// known of a place, that stays.
func (g *Engine) storeMemberRows(ctx context.Context, r *live, list []handedMember, place int64, insert *store.Insert) error {
	for chunk := range slices.Chunk(list, chainStep) {
		err := g.db.Update(ctx, func(tx *store.Tx) error {
			var sights, memberships [][]any
			for _, m := range chunk {
				if m.user.Server() == g.server {
					continue
				}
				sights = append(sights, []any{r.num, m.user, place, int64(0), m.num, m.membership})
				memberships = append(memberships, []any{m.user, r.num, m.membership, m.num, int64(0), false})
			}
			if err := tx.QueueAll(insertPastSights, sights); err != nil {
				return err
			}
			return tx.QueueAll(insert, memberships)
		})
		if err != nil {
			return fmt.Errorf("storing %d members of %s: %w", len(list), r.id, err)
		}
	}
	return nil
}

// beginMembers makes a place free of what an earlier attempt has left there, and
// stores what is of the room as a whole.
func (r *live) beginMembers(tx *store.Tx, place int64, present servers, visibility stateres.Num, says Visibility) error {
	if _, err := tx.Exec("DELETE FROM sights WHERE room = $1 AND place >= $2", r.num, place-gapPlaces+1); err != nil {
		return err
	}
	if _, err := tx.Exec("DELETE FROM room_servers WHERE room = $1", r.num); err != nil {
		return err
	}
	var rows [][]any
	for server, p := range present {
		rows = append(rows, []any{r.num, server, p.joined, int64(0)})
	}
	if err := tx.QueueAll(insertServers, rows); err != nil {
		return err
	}
	// As long as nothing else is known, what was before is as visible as what is
	// now.
	first := place - gapPlaces + 1
	if place == firstPlace {
		first = 1
	}
	return tx.QueueAll(insertSights, [][]any{{r.num, "", first, int64(0), visibility, string(says)}})
}
