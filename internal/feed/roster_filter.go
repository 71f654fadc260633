package feed

import (
	"context"
	"errors"
	"slices"

	"parley/internal/accountdata"
	"parley/internal/journal"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// A slidingFilter says which rooms a list has. What is nil is not asked for.
type slidingFilter struct {
	direct, encrypted, invited *bool
	byType, byTag, bySpace     bool // types, tags and spaces count
	types, notTypes            []string
	tags, notTags              []string
	spaces                     []id.RoomID
}

// needsFacts reports whether it asks what rooms are by their state.
func (f *slidingFilter) needsFacts() bool {
	return f.encrypted != nil || f.byType || len(f.notTypes) > 0
}

func (f *slidingFilter) needsTags() bool { return f.byTag || len(f.notTags) > 0 }

// personal is what the user says of rooms.
type personal struct {
	stale  bool
	direct map[id.RoomID]bool
	tags   map[id.RoomID][]string // nil: not read
}

// prepare reads what filters ask for. The caller holds the roster's mu.
func (r *roster) prepare(ctx context.Context, f *Feed, w *watch, lists []slidingList) error {
	facts, tags := false, false
	for _, l := range lists {
		facts, tags = facts || l.filter.needsFacts(), tags || l.filter.needsTags()
	}
	if err := r.readPersonal(ctx, f, w.user, tags); err != nil {
		return err
	}
	if err := r.hideInvites(ctx, f, w); err != nil {
		return err
	}
	if facts {
		if err := r.readFacts(ctx, f, w.user); err != nil {
			return err
		}
	}
	for _, l := range lists {
		for _, roomID := range l.filter.spaces {
			if err := r.readSpace(ctx, f, roomID); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *roster) readPersonal(ctx context.Context, f *Feed, user id.UserID, tags bool) error {
	if !r.about.stale && r.about.direct != nil && (!tags || r.about.tags != nil) {
		return nil
	}
	direct, err := f.AccountData.Get(ctx, user, "", accountdata.Direct)
	if err != nil && !errors.Is(err, mxerr.NotFound) {
		return err
	}
	r.about.direct = directRooms(direct)
	if r.about.tags = nil; tags {
		all, err := f.AccountData.All(ctx, user, r.upTo)
		if err != nil {
			return err
		}
		r.about.tags = make(map[id.RoomID][]string)
		for _, d := range all {
			if d.Room == "" || d.Type != accountdata.Tag {
				continue
			}
			for name := range d.Content.Get("tags").Members() {
				tag, _ := name.Text()
				r.about.tags[d.Room] = append(r.about.tags[d.Room], tag)
			}
		}
	}
	r.about.stale = false
	for _, s := range r.order { // whom the user wants to hear of may have changed
		if s.is(event.MembershipInvite) {
			s.stale = true
		}
	}
	return nil
}

// directRooms returns the rooms that m.direct names.
func directRooms(content canonjson.Value) map[id.RoomID]bool {
	rooms := make(map[id.RoomID]bool)
	if content.Kind() != canonjson.Object {
		return rooms
	}
	for _, list := range content.Members() {
		if list.Kind() != canonjson.Array {
			continue
		}
		for one := range list.Elements() {
			if roomID, ok := one.Text(); ok {
				rooms[id.RoomID(roomID)] = true
			}
		}
	}
	return rooms
}

// hideInvites finds out about the rooms that the user waits before: they are known
// by what the invite or knock came with.
func (r *roster) hideInvites(ctx context.Context, f *Feed, w *watch) error {
	for _, s := range r.order {
		if !s.is(event.MembershipInvite) && !s.is(event.MembershipKnock) || s.known && !s.stale {
			continue
		}
		sight, err := f.Rooms.SightAt(ctx, s.RoomID, w.user, r.upTo)
		if room.IsGone(err) {
			continue
		}
		if err != nil {
			return err
		}
		a := &answer{Feed: f, q: Request{User: w.user}, watch: w, now: Token{Pos: r.upTo}}
		_, stripped, unheard, err := a.stripped(ctx, &news{num: s.Room, id: s.RoomID, sight: &sight})
		if err != nil {
			return err
		}
		s.hidden, s.facts = unheard, room.Facts{}
		for _, e := range stripped {
			switch kind := e.Get("type"); {
			case kind.Is(event.TypeCreate):
				s.facts.RoomType, _ = e.Get("content").Get("type").Text()
			case kind.Is("m.room.encryption"):
				s.facts.Encrypted = true
			}
		}
		s.known, s.stale = true, false
	}
	return nil
}

// readFacts reads what rooms are whose state has changed, or that the user is not in.
func (r *roster) readFacts(ctx context.Context, f *Feed, user id.UserID) error {
	var wanted []room.Num
	for _, s := range r.order {
		if s.known && !s.stale || s.is(event.MembershipInvite) || s.is(event.MembershipKnock) {
			continue
		}
		if s.known && s.is(event.MembershipJoin) {
			at, err := f.Rooms.At(ctx, s.RoomID, r.upTo)
			if err != nil && !room.IsGone(err) {
				return err
			}
			if err == nil && at.Root == s.facts.Root {
				s.stale = false
				continue
			}
		}
		if s.is(event.MembershipJoin) {
			wanted = append(wanted, s.Room)
		} else if err := s.readPast(ctx, f, user, r.upTo); err != nil {
			return err
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	list, err := f.Rooms.Standings(ctx, user, wanted...)
	if err != nil {
		return err
	}
	facts := make(map[room.Num]room.Facts, len(list))
	for _, one := range list {
		facts[one.Room] = one.Facts
	}
	for _, num := range wanted {
		s := r.rooms[num]
		s.facts, s.known, s.stale = facts[num], true, false
	}
	return nil
}

// readPast finds out what a room was when the user ceased to be in it.
func (s *standing) readPast(ctx context.Context, f *Feed, user id.UserID, pos journal.Position) error {
	s.facts, s.known, s.stale = room.Facts{}, true, false
	if !s.Was {
		return nil
	}
	sight, err := f.Rooms.SightAt(ctx, s.RoomID, user, pos)
	if room.IsGone(err) || err == nil && sight.Left() == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	root, ok, err := f.Rooms.StateBehind(ctx, s.RoomID, sight.Left())
	if err != nil || !ok {
		return err
	}
	create, err := f.Rooms.State(ctx, s.RoomID, root, event.Tuple{Type: event.TypeCreate})
	if err != nil {
		return err
	}
	if create != nil {
		s.facts.RoomType, _ = create.Content().Get("type").Text()
	}
	encryption, err := f.Rooms.State(ctx, s.RoomID, root, event.Tuple{Type: "m.room.encryption"})
	s.facts.Encrypted = encryption != nil
	return err
}

// readSpace reads the children of a space, if the user is in it.
func (r *roster) readSpace(ctx context.Context, f *Feed, roomID id.RoomID) error {
	if s := r.byID[roomID]; s == nil || !s.is(event.MembershipJoin) {
		delete(r.spaces, roomID)
		return nil
	}
	at, err := f.Rooms.At(ctx, roomID, r.upTo)
	if err != nil && !room.IsGone(err) {
		return err
	}
	if known, ok := r.spaces[roomID]; ok && known.root == at.Root {
		return nil
	}
	items, err := f.Rooms.StateOfType(ctx, roomID, at.Root, "m.space.child")
	if err != nil {
		return err
	}
	children := make(map[id.RoomID]bool, len(items))
	for _, it := range items {
		// A child without servers is none any more.
		if key, _ := it.Event.StateKey(); it.Event.Content().Get("via").Kind() == canonjson.Array {
			children[id.RoomID(key)] = true
		}
	}
	if r.spaces == nil {
		r.spaces = make(map[id.RoomID]space)
	}
	r.spaces[roomID] = space{at.Root, children}
	return nil
}

// passes reports whether a room passes a filter, when all that it asks for was
// read.
func (r *roster) passes(f *slidingFilter, s *standing) bool {
	switch {
	case f.invited != nil && *f.invited != s.is(event.MembershipInvite),
		f.direct != nil && *f.direct != r.about.direct[s.RoomID],
		f.encrypted != nil && *f.encrypted != s.facts.Encrypted,
		f.byType && !slices.Contains(f.types, s.facts.RoomType),
		slices.Contains(f.notTypes, s.facts.RoomType):
		return false
	}
	if f.needsTags() {
		tags := r.about.tags[s.RoomID]
		has := func(list []string) bool {
			return slices.ContainsFunc(list, func(tag string) bool { return slices.Contains(tags, tag) })
		}
		if f.byTag && !has(f.tags) || has(f.notTags) {
			return false
		}
	}
	return !f.bySpace || slices.ContainsFunc(f.spaces, func(roomID id.RoomID) bool { return r.inSpace(roomID, s.RoomID) })
}

// inSpace reports whether a space that the user is in has a room.
func (r *roster) inSpace(spaceID, roomID id.RoomID) bool {
	return r.spaces[spaceID].children[roomID]
}
