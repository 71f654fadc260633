package feed

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"

	"parley/internal/journal"
	"parley/internal/room"
	"parley/internal/statetrie"
	"parley/matrix/event"
	"parley/matrix/id"
)

// A roster is the rooms of a user, in the order in which something happened in
// them. It is read once, follows the journal, and is forgotten with the watch that
// it belongs to.
type roster struct {
	mu   sync.Mutex // guards what follows
	upTo journal.Position
	// revision changes with all that may change who stands where in it, or passes a
	// filter.
	revision uint64
	rooms    map[room.Num]*standing
	byID     map[id.RoomID]*standing
	order    []*standing // the room in which something happened last is first
	about    personal
	spaces   map[id.RoomID]space
}

// A standing is a room in a roster.
type standing struct {
	room.Standing
	at journal.Position // by which it is ordered
	// facts are known of rooms that the user is in, and of others when a filter asks for
	// them. stale: they may have changed.
	facts room.Facts
	known bool
	stale bool
	// hidden: it is an invite from somebody of whom the user does not want to hear.
	// It is known with the facts.
	hidden bool
}

func (s *standing) is(membership string) bool { return s.Membership.Membership == membership }

// A space is the children of one, by a state of it.
type space struct {
	root     statetrie.Root
	children map[id.RoomID]bool
}

func compareStandings(a, b *standing) int {
	return cmp.Or(cmp.Compare(b.at, a.at), cmp.Compare(a.Room, b.Room))
}

// follow brings the roster up to a position, and the watch with it. The caller
// holds mu.
func (r *roster) follow(ctx context.Context, f *Feed, w *watch, to journal.Position) error {
	if r.upTo >= to && r.rooms != nil {
		return nil
	}
	// Further back the journal would be asked for each room.
	if r.rooms == nil || to-r.upTo > journal.Position(4*len(r.rooms)+16) {
		return r.read(ctx, f, w, to)
	}
	entries, err := w.read(ctx, f.Journal, r.upTo, to)
	if errors.Is(err, journal.ErrGone) {
		return r.read(ctx, f, w, to)
	}
	if err != nil {
		return err
	}
	var moved []room.Num
	for _, e := range entries {
		switch e.Kind {
		case journal.KindEvent:
			r.happened(room.Num(e.Scope.Number()), e.Pos)
		case journal.KindRedaction, journal.KindPurge:
			if s := r.rooms[room.Num(e.Scope.Number())]; s != nil {
				s.stale = true
				s.facts.Root = statetrie.Root{} // the same state says something else
				r.revision++
			}
		case journal.KindMembership, journal.KindForget:
			moved = append(moved, room.Num(e.Ref))
		case journal.KindAccountData:
			r.about.stale = true
			r.revision++
		}
	}
	if len(moved) > 0 {
		slices.Sort(moved)
		if err := r.move(ctx, f, w, slices.Compact(moved), to); err != nil {
			return err
		}
	}
	r.upTo = to
	return nil
}

// happened notes an event in a room that the user is in.
func (r *roster) happened(num room.Num, pos journal.Position) {
	s := r.rooms[num]
	if s == nil || pos <= s.Active {
		return
	}
	s.Active, s.stale = pos, true
	r.revision++
	if s.is(event.MembershipJoin) {
		r.take(s)
		s.at = pos
		r.put(s)
	}
}

func (r *roster) take(s *standing) {
	if i, ok := slices.BinarySearchFunc(r.order, s, compareStandings); ok {
		r.order = slices.Delete(r.order, i, i+1)
	}
}

func (r *roster) put(s *standing) {
	i, _ := slices.BinarySearchFunc(r.order, s, compareStandings)
	r.order = slices.Insert(r.order, i, s)
}

// move takes over what the user has become to rooms.
func (r *roster) move(ctx context.Context, f *Feed, w *watch, rooms []room.Num, to journal.Position) error {
	list, err := f.Rooms.Standings(ctx, w.user, rooms...)
	if err != nil {
		return err
	}
	for _, one := range list {
		if err := f.watchRoom(ctx, w, one.Room, one.RoomID, to); err != nil {
			return err
		}
		if old := r.rooms[one.Room]; old != nil {
			r.take(old)
		}
		s := stand(one)
		r.rooms[one.Room], r.byID[one.RoomID] = s, s
		r.put(s)
	}
	r.revision++
	w.weighs(len(r.rooms))
	return nil
}

func stand(one room.Standing) *standing {
	s := &standing{Standing: one, at: one.Pos}
	if s.is(event.MembershipJoin) {
		s.at = max(one.Pos, one.Active)
		s.facts, s.known = one.Facts, true
	}
	return s
}

// read reads all rooms anew.
func (r *roster) read(ctx context.Context, f *Feed, w *watch, to journal.Position) error {
	list, err := f.Rooms.Standings(ctx, w.user)
	if err != nil {
		return err
	}
	r.begin(list, to)
	w.weighs(len(r.rooms))
	return nil
}

// begin takes over all rooms, as they were read when the journal had got to a position.
func (r *roster) begin(list []room.Standing, to journal.Position) {
	if r.revision == 0 {
		r.revision = rand.Uint64() // not one that another roster of the user had
	}
	r.rooms, r.byID, r.order = make(map[room.Num]*standing, len(list)), make(map[id.RoomID]*standing, len(list)), make([]*standing, 0, len(list))
	all := make([]standing, len(list))
	for i, one := range list {
		s := &all[i]
		*s = *stand(one)
		r.rooms[one.Room], r.byID[one.RoomID] = s, s
		r.order = append(r.order, s)
	}
	slices.SortFunc(r.order, compareStandings)
	r.about, r.spaces = personal{stale: true}, nil
	r.upTo = to
	r.revision++
}

// watchRoom has a watch take over what the user is to a room at a position.
func (f *Feed) watchRoom(ctx context.Context, w *watch, num room.Num, roomID id.RoomID, pos journal.Position) error {
	sight, err := f.Rooms.SightAt(ctx, roomID, w.user, pos)
	if err != nil && !room.IsGone(err) {
		return err
	}
	w.update(num, roomID, sight, pos)
	return nil
}
