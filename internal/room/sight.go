package room

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"parley/internal/journal"
	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// Sight is what a user may see of a room at a moment.
type Sight struct {
	At Moment
	// Memberships is what the user was to the room, in order.
	Memberships []MembershipAt
	// Intervals are the places whose events the user may see.
	Intervals []Interval
	// Visibility is the history visibility.
	Visibility Visibility
	// Forgotten says that the user left and wants to see no more of the room,
	// invites to it excepted.
	Forgotten bool
}

// Sees reports whether the user may see the event in a place.
func (s Sight) Sees(place int64) bool {
	for _, i := range s.Intervals {
		if i.Contains(place) {
			return !s.Forgotten
		}
	}
	return false
}

// MayRead reports whether the user may read in the room's history, as members
// may, those who were members, and everybody where everybody may read. Who is
// only invited gets to know the room by its stripped state.
func (s Sight) MayRead() bool {
	return !s.Forgotten && (s.Membership() == event.MembershipJoin || s.Left() != 0 || s.Visibility == WorldReadable)
}

// MembershipAt returns what the user was to the room in a place, a change there
// included: leave, if nothing.
func (s Sight) MembershipAt(place int64) string {
	membership := event.MembershipLeave
	for _, m := range s.Memberships {
		if m.Place > place {
			break
		}
		if !m.Outside {
			membership = m.Membership
		}
	}
	return membership
}

// MembershipAtPos returns what the user was to the room at a position of the
// journal, empty if nothing.
func (s Sight) MembershipAtPos(pos journal.Position) string {
	membership := ""
	for _, m := range s.Memberships {
		if m.Pos > pos {
			break
		}
		if m.Pos != 0 { // otherwise it was put into a gap later, and was no news
			membership = m.Membership
		}
	}
	return membership
}

// Membership returns what the user is to the room, empty if nothing.
func (s Sight) Membership() string { return s.MembershipAtPos(s.At.Pos) }

// SightAt returns what a user may see of a room as it is at a position of the
// journal.
func (g *Engine) SightAt(ctx context.Context, roomID id.RoomID, user id.UserID, pos journal.Position) (Sight, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return Sight{}, err
	}
	at, err := g.At(ctx, roomID, pos)
	if err != nil {
		return Sight{}, err
	}
	sights, err := g.sights(ctx, user, map[Num]Moment{r.num: at})
	if err != nil {
		return Sight{}, fmt.Errorf("reading what %s sees of %s: %w", user, roomID, err)
	}
	return sights[r.num], nil
}

// SightsAt is SightAt for several rooms, less those that are gone.
func (g *Engine) SightsAt(ctx context.Context, rooms []id.RoomID, user id.UserID, pos journal.Position) (map[Num]Sight, error) {
	g.Warm(ctx, rooms)
	moments := make(map[Num]Moment, len(rooms))
	for _, roomID := range rooms {
		r, err := g.room(ctx, roomID)
		if IsGone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		at, err := g.At(ctx, roomID, pos)
		if err != nil && !IsGone(err) {
			return nil, err
		}
		if err == nil {
			moments[r.num] = at
		}
	}
	sights, err := g.sights(ctx, user, moments)
	if err != nil {
		return nil, fmt.Errorf("reading what %s sees of %d rooms: %w", user, len(rooms), err)
	}
	return sights, nil
}

// sights returns what a user may see of rooms that are as at some moments.
func (g *Engine) sights(ctx context.Context, user id.UserID, moments map[Num]Moment) (map[Num]Sight, error) {
	all := make(map[Num]Sight, len(moments))
	if len(moments) == 0 {
		return all, nil
	}
	rooms := slices.Collect(maps.Keys(moments))
	last := int64(0)
	for _, at := range moments {
		last = max(last, at.Place)
	}
	err := g.db.View(ctx, func(tx *store.Tx) error {
		views, err := readViewpoints(tx, user, last, rooms...)
		if err != nil {
			return err
		}
		for num, at := range moments {
			all[num] = views[num].until(at.Place).sight(at)
		}
		in, list := tx.In(2, rooms)
		forgotten, err := store.List[Num](tx, "SELECT room FROM memberships WHERE user_id = $1 AND forgotten AND room "+in, user, list)
		for _, num := range forgotten {
			s := all[num]
			m := s.Membership()
			s.Forgotten = m != event.MembershipInvite && m != event.MembershipKnock
			all[num] = s
		}
		return err
	})
	return all, err
}

// Sight is SightAt for the present. A room that is not there looks like one that
// the user has nothing to do with.
func (g *Engine) Sight(ctx context.Context, roomID id.RoomID, user id.UserID) (Sight, error) {
	s, err := g.SightAt(ctx, roomID, user, g.journal.Head())
	if errors.Is(err, mxerr.NotFound) {
		return Sight{}, mxerr.New(mxerr.Forbidden, "You are not in room %s", roomID)
	}
	return s, err
}

// StateRoot returns the state of the room that the user may see as a whole: the
// present one of who is in the room, or if everybody may read it; that at the
// time of leaving of who was; otherwise none, which is M_FORBIDDEN.
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidstate
func (g *Engine) StateRoot(ctx context.Context, roomID id.RoomID, s Sight) (statetrie.Root, error) {
	if s.Membership() == event.MembershipJoin || s.Visibility == WorldReadable {
		return s.At.Root, nil
	}
	if place := s.Left(); place != 0 && !s.Forgotten {
		root, ok, err := g.StateBehind(ctx, roomID, place)
		if err != nil || ok { // otherwise it was purged
			return root, err
		}
	}
	return statetrie.Root{}, mxerr.New(mxerr.Forbidden, "You are not in room %s", roomID)
}

// Left returns the place in which the user ceased to be a member, 0 if the user
// never was one or is.
func (s Sight) Left() (place int64) {
	joined := false
	for _, m := range s.Memberships {
		switch {
		case m.aside():
		case m.Membership == event.MembershipJoin:
			joined, place = true, 0
		case joined:
			joined, place = false, m.Place
		}
	}
	return place
}

// mergedSight tells of a row of sights whether the event in its place is another one than
// the one that it is because of.
const mergedSight = "(event <> 0 AND NOT EXISTS (SELECT 1 FROM events e WHERE e.event = sights.event AND e.place = sights.place))"

// A viewpoint is what decides what of a room somebody may see.
type viewpoint struct {
	memberships  []MembershipAt
	visibilities []VisibilityAt
	hidden       []hiddenPlace
}

// sight is what can be seen from it, as the room is at a moment.
func (v viewpoint) sight(at Moment) Sight {
	s := Sight{At: at, Memberships: v.memberships, Intervals: Visible(v.memberships, v.visibilities, at.Place), Visibility: Shared}
	if n := len(v.visibilities); n > 0 {
		s.Visibility = v.visibilities[n-1].Visibility
	}
	s.hide(v.hidden)
	return s
}

// until is what decided that up to a place.
func (v viewpoint) until(place int64) viewpoint {
	v.memberships = slices.DeleteFunc(v.memberships, func(m MembershipAt) bool { return m.Place > place })
	v.visibilities = slices.DeleteFunc(v.visibilities, func(a VisibilityAt) bool { return a.Place > place })
	return v
}

// readViewpoints reads those of a user in rooms, up to a place.
func readViewpoints(tx *store.Tx, user id.UserID, upTo int64, rooms ...Num) (map[Num]viewpoint, error) {
	hidden, err := readHidden(tx, user, rooms...)
	if err != nil {
		return nil, err
	}
	all := make(map[Num]viewpoint)
	in, list := tx.In(3, rooms)
	for row, err := range tx.Query(`
		SELECT room, user_id, place, pos, value, event = 0, `+mergedSight+` FROM sights
		WHERE user_id IN ('', $1) AND place <= $2 AND room `+in+` ORDER BY room, user_id, place`, user, upTo, list) {
		if err != nil {
			return nil, err
		}
		var room Num
		var of, value string
		var m MembershipAt
		if err := row.Scan(&room, &of, &m.Place, &m.Pos, &value, &m.Outside, &m.Merged); err != nil {
			return nil, err
		}
		v := all[room]
		if v.hidden = hidden[room]; of == "" {
			v.visibilities = append(v.visibilities, VisibilityAt{m.Place, Visibility(value), m.Merged})
		} else {
			m.Membership = value
			v.memberships = append(v.memberships, m)
		}
		all[room] = v
	}
	return all, nil
}

func readVisibilities(tx *store.Tx, room Num, upTo int64) (list []VisibilityAt, err error) {
	for row, err := range tx.Query(
		"SELECT place, value, "+mergedSight+" FROM sights WHERE room = $1 AND user_id = '' AND place <= $2 ORDER BY place", room, upTo) {
		if err != nil {
			return nil, err
		}
		var v VisibilityAt
		if err := row.Scan(&v.Place, &v.Visibility, &v.Merged); err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}
