package room

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/stateres"
)

// What is in this file is for other servers that have members in a room.

// sharedWith returns a room in which a server has members and that it is not kept
// out of, else [mxerr.Forbidden].
func (g *Engine) sharedWith(ctx context.Context, roomID id.RoomID, server id.ServerName) (*live, error) {
	if err := g.Admits(ctx, roomID, server); err != nil {
		return nil, err
	}
	in, err := g.HasMembers(ctx, roomID, server)
	if err != nil {
		return nil, err
	}
	if !in {
		return nil, mxerr.New(mxerr.Forbidden, "%s has nobody in room %s", server, roomID)
	}
	return g.room(ctx, roomID)
}

// Admits refuses a server that the access control list of a room keeps out. The
// error is [mxerr.NotFound] if there is no such room.
// https://spec.matrix.org/v1.19/server-server-api/#server-access-control-lists-acls
func (g *Engine) Admits(ctx context.Context, roomID id.RoomID, server id.ServerName) error {
	now, err := g.Now(ctx, roomID)
	if err != nil {
		return err
	}
	e, err := g.State(ctx, roomID, now.Root, event.Tuple{Type: event.TypeServerACL})
	if err == nil && !eventauth.NewACL(e).Allows(server) {
		return mxerr.New(mxerr.Forbidden, "Room %s does not let in %s", roomID, server)
	}
	return err
}

// A Served is an event as another server gets it.
type Served struct {
	ID   id.EventID
	Time int64           // its origin_server_ts
	PDU  canonjson.Value // redacted, if the server may not see what it says
}

// Serve returns an event to a server, whatever this server thinks of it: others
// need what was rejected, too, to reject what builds on it. The error is
// [mxerr.NotFound] if there is none, or none in a room where the server has
// members.
func (g *Engine) Serve(ctx context.Context, server id.ServerName, eventID id.EventID) (Served, error) {
	rooms, err := g.RoomsWith(ctx, eventID)
	if err != nil {
		return Served{}, err
	}
	for _, roomID := range rooms {
		r, err := g.sharedWith(ctx, roomID, server)
		if errors.Is(err, mxerr.Forbidden) {
			continue
		}
		if err != nil {
			return Served{}, err
		}
		items, err := g.readItems(ctx, r, "WHERE e.event_id = $1 AND e.room = $2", eventID, r.num)
		if err != nil {
			return Served{}, err
		}
		if len(items) == 0 { // it was purged this moment
			continue
		}
		served, err := g.serve(ctx, roomID, server, items)
		if err != nil {
			return Served{}, err
		}
		return served[0], nil
	}
	return Served{}, mxerr.New(mxerr.NotFound, "There is no event %s", eventID)
}

// serve makes of items what a server gets.
func (g *Engine) serve(ctx context.Context, roomID id.RoomID, server id.ServerName, items []Item) ([]Served, error) {
	sight, err := g.ServerSight(ctx, roomID, server)
	if err != nil {
		return nil, err
	}
	list := make([]Served, len(items))
	for i, it := range items {
		e := it.Event
		// State is needed whole, and what is not shown nobody may see.
		if _, isState := e.Tuple(); !isState && (it.Place == 0 || !sight.Sees(it.Place)) {
			e = e.Redacted()
		}
		list[i] = Served{ID: e.ID(), Time: e.OriginServerTS(), PDU: e.JSON().Without("unsigned")}
	}
	return list, nil
}

// ServerSight returns what the members that a server has in a room may see
// together, or [mxerr.Forbidden] if it has none.
func (g *Engine) ServerSight(ctx context.Context, roomID id.RoomID, server id.ServerName) (Sight, error) {
	r, err := g.sharedWith(ctx, roomID, server)
	if err != nil {
		return Sight{}, err
	}
	at, err := g.Now(ctx, roomID)
	if err != nil {
		return Sight{}, err
	}
	var v viewpoint
	err = g.db.View(ctx, func(tx *store.Tx) error {
		if v.visibilities, err = readVisibilities(tx, r.num, at.Place); err != nil {
			return err
		}
		if everythingShared(v.visibilities) {
			v.memberships = []MembershipAt{{Place: at.Place + 1, Membership: event.MembershipJoin}}
			return nil
		}
		if v.memberships, err = readServerMemberships(tx, r.num, server, at.Place); err != nil {
			return err
		}
		hidden, err := readHidden(tx, "", r.num)
		v.hidden = hidden[r.num]
		return err
	})
	if err != nil {
		return Sight{}, fmt.Errorf("reading what %s sees of %s: %w", server, roomID, err)
	}
	return v.sight(at), nil
}

// everythingShared reports whether who is in a room may see all of it.
func everythingShared(visibilities []VisibilityAt) bool {
	return !slices.ContainsFunc(visibilities, func(v VisibilityAt) bool { return v.Visibility == Invited || v.Visibility == Joined })
}

// readServerMemberships reads what the users of a server were to a room, as if
// they were one: joined if one of them is, or else invited if one of them is.
func readServerMemberships(tx *store.Tx, room Num, server id.ServerName, upTo int64) (list []MembershipAt, err error) {
	users, best := make(map[id.UserID]string), ""
	for row, err := range tx.Query(
		"SELECT user_id, place, pos, value, "+mergedSight+" FROM sights WHERE room = $1 AND user_id LIKE $2 AND place <= $3 ORDER BY place",
		room, "%:"+string(server), upTo) {
		if err != nil {
			return nil, err
		}
		var user id.UserID
		var m MembershipAt
		if err := row.Scan(&user, &m.Place, &m.Pos, &m.Membership, &m.Merged); err != nil {
			return nil, err
		}
		if user.Server() != server {
			continue // for LIKE case may not matter
		}
		users[user] = m.Membership
		if m.Membership = asOne(users); m.Membership != best {
			best = m.Membership
			list = append(list, m)
		}
	}
	return list, nil
}

// asOne returns what users are to a room as if they were one.
func asOne(users map[id.UserID]string) string {
	best := event.MembershipLeave
	for _, m := range users {
		switch m {
		case event.MembershipJoin:
			return m
		case event.MembershipInvite:
			best = m
		}
	}
	return best
}

// A StateBefore is the state of a room before an event, with what authorises it.
type StateBefore struct {
	State, AuthChain []stateres.Num
}

// ServeState returns the state before an event to a server that has members in
// the room, as numbers of events: it may be large. The error is [mxerr.NotFound]
// if the state there is not known.
func (g *Engine) ServeState(ctx context.Context, roomID id.RoomID, server id.ServerName, eventID id.EventID) (s StateBefore, err error) {
	r, err := g.sharedWith(ctx, roomID, server)
	if err != nil {
		return s, err
	}
	if err := g.Whole(ctx, roomID); err != nil {
		return s, err
	}
	before, err := g.rootBefore(ctx, r, eventID)
	if err != nil {
		return s, err
	}
	return g.stateWithChain(ctx, r, before)
}

// rootBefore returns the state before an event, or [mxerr.NotFound] if it is not
// known.
func (g *Engine) rootBefore(ctx context.Context, r *live, eventID id.EventID) (root statetrie.Root, err error) {
	var before []byte
	err = g.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT before FROM events WHERE event_id = $1 AND room = $2", eventID, r.num).Scan(&before)
	})
	if err != nil && !errors.Is(err, store.ErrNoRows) {
		return root, fmt.Errorf("reading the state before %s in %s: %w", eventID, r.id, err)
	}
	if before == nil {
		return root, mxerr.New(mxerr.NotFound, "The state before event %s is not known", eventID)
	}
	copy(root[:], before)
	return root, nil
}

func (g *Engine) stateWithChain(ctx context.Context, r *live, root statetrie.Root) (s StateBefore, err error) {
	for entry, err := range statetrie.All(ctx, g.committed(r.num), root) {
		if err != nil {
			return s, fmt.Errorf("reading a state of %s: %w", r.id, err)
		}
		s.State = append(s.State, stateres.Num(entry.Number))
	}
	s.AuthChain, err = g.authChain(ctx, r, s.State)
	return s, err
}

// ServeAuthChain returns the auth chain of an event to a server that has members
// in the room, or [mxerr.NotFound].
func (g *Engine) ServeAuthChain(ctx context.Context, roomID id.RoomID, server id.ServerName, eventID id.EventID) ([]stateres.Num, error) {
	r, err := g.sharedWith(ctx, roomID, server)
	if err != nil {
		return nil, err
	}
	n, err := g.numByID(ctx, r, eventID)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, mxerr.New(mxerr.NotFound, "There is no event %s in room %s", eventID, roomID)
	}
	return g.authChain(ctx, r, []stateres.Num{n})
}

func (g *Engine) numByID(ctx context.Context, r *live, eventID id.EventID) (n stateres.Num, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		n, err = findEvent(tx, r.num, eventID)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("looking for %s in %s: %w", eventID, r.id, err)
	}
	return n, nil
}

// chainStep is of how many events the auth events are read at once.
const chainStep = 1000

// authChain returns all events that lead to some by being auth events, in the
// order of their numbers: what comes first authorises what comes later. Events
// among those it starts from are in it only if they authorise others.
func (g *Engine) authChain(ctx context.Context, r *live, from []stateres.Num) ([]stateres.Num, error) {
	seen := make(map[stateres.Num]bool)
	var chain []stateres.Num
	for next := from; len(next) > 0; {
		step := next[:min(len(next), chainStep)]
		next = next[len(step):]
		auths, err := g.authsOf(ctx, r, step)
		if err != nil {
			return nil, err
		}
		for _, n := range auths {
			if !seen[n] {
				seen[n] = true
				chain = append(chain, n)
				next = append(next[:len(next):len(next)], n)
			}
		}
	}
	slices.Sort(chain)
	return chain, nil
}

// authsOf returns the auth events of committed events.
func (g *Engine) authsOf(ctx context.Context, r *live, nums []stateres.Num) (auths []stateres.Num, err error) {
	var missing []stateres.Num
	for _, n := range nums {
		if k, ok := r.recall(n); ok {
			auths = append(auths, k.auth...)
		} else {
			missing = append(missing, n)
		}
	}
	if len(missing) == 0 {
		return auths, nil
	}
	err = g.db.View(ctx, func(tx *store.Tx) error {
		in, list := tx.In(1, missing)
		for row, err := range tx.Query("SELECT auth FROM events WHERE event "+in, list) {
			if err != nil {
				return err
			}
			var b []byte
			if err := row.Scan(&b); err != nil {
				return err
			}
			more, err := decodeNums(b)
			if err != nil {
				return err
			}
			auths = append(auths, more...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the auth events of %d events of %s: %w", len(missing), r.id, err)
	}
	return auths, nil
}

// EventIDs returns the IDs of events of a room, in the order of the numbers.
func (g *Engine) EventIDs(ctx context.Context, nums []stateres.Num) ([]id.EventID, error) {
	found := make(map[stateres.Num]id.EventID, len(nums))
	for chunk := range slices.Chunk(nums, chainStep) {
		err := g.db.View(ctx, func(tx *store.Tx) error {
			in, list := tx.In(1, chunk)
			for row, err := range tx.Query("SELECT event, event_id FROM events WHERE event "+in, list) {
				if err != nil {
					return err
				}
				var n stateres.Num
				var eventID id.EventID
				if err := row.Scan(&n, &eventID); err != nil {
					return err
				}
				found[n] = eventID
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("reading the IDs of %d events: %w", len(nums), err)
		}
	}
	ids := make([]id.EventID, len(nums))
	for i, n := range nums {
		ids[i] = found[n]
	}
	return ids, nil
}

// PDUs calls f with events as other servers get them, whole, in chunks, in the
// order of the numbers: a state with what authorises it.
func (g *Engine) PDUs(ctx context.Context, roomID id.RoomID, nums []stateres.Num, f func(canonjson.Value) error) error {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(nums, chainStep) {
		found, err := g.eventsByNum(ctx, chunk, r.rules)
		if err != nil {
			return err
		}
		for _, n := range chunk {
			if err := f(found[n].JSON().Without("unsigned")); err != nil {
				return err
			}
		}
	}
	return nil
}
