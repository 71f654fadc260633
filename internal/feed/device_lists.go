package feed

import (
	"context"
	"errors"
	"maps"
	"slices"

	"parley/internal/journal"
	"parley/internal/room"
	"parley/matrix/event"
	"parley/matrix/id"
)

// DeviceLists is whose devices a client has to ask for anew, or to forget.
// https://spec.matrix.org/v1.19/client-server-api/#tracking-the-device-list-for-a-user
type DeviceLists struct {
	// Changed is who shares a room with the user and has changed something, or did not
	// share one before.
	Changed []id.UserID
	// Left is who shares no room with the user any more.
	Left []id.UserID
}

func (d DeviceLists) append(dst []byte) []byte {
	dst = append(dst, '{')
	if len(d.Changed) > 0 {
		dst = appendUsers(append(dst, `"changed":`...), d.Changed)
	}
	if len(d.Left) > 0 {
		if len(d.Changed) > 0 {
			dst = append(dst, ',')
		}
		dst = appendUsers(append(dst, `"left":`...), d.Left)
	}
	return append(dst, '}')
}

// addChanged adds users whose keys have changed for one user only.
func (d *DeviceLists) addChanged(users []id.UserID) {
	d.Changed = append(d.Changed, users...)
	slices.Sort(d.Changed)
	d.Changed = slices.Compact(d.Changed)
	d.Left = slices.DeleteFunc(d.Left, func(u id.UserID) bool { return slices.Contains(users, u) })
}

// tellDeviceLists tells whose devices are news. A client of which it is not known
// what it knows has to ask for everybody's.
func (a *answer) tellDeviceLists(ctx context.Context, l *lister) (err error) {
	if a.DeviceLists == nil || a.q.stream {
		return nil
	}
	a.Response.devices, err = l.devices(ctx)
	return err
}

// lister returns what finds whose devices or profiles are news, by the entries that
// concern the user.
func (a *answer) lister(entries []journal.Entry) *lister {
	in := func(s journal.Scope) bool {
		_, in := a.watch.room(room.Num(s.Number()), a.now.Pos, a.now.Pos)
		return in
	}
	return &lister{Feed: a.Feed, user: a.q.User, in: in, before: a.before, entries: entries, from: a.since.Pos, to: a.now.Pos}
}

// before returns a room as it was at the last answer.
func (a *answer) before(ctx context.Context, roomID id.RoomID) (room.Moment, error) {
	if m, ok := a.befores[roomID]; ok {
		return m, nil
	}
	m, err := a.Rooms.Before(ctx, roomID, a.since.Pos)
	if err == nil {
		if a.befores == nil {
			a.befores = make(map[id.RoomID]room.Moment)
		}
		a.befores[roomID] = m
	}
	return m, err
}

// A lister finds whose devices or profiles are news for a user between two positions:
// of who shares a room with the user and has changed something, or did not share one
// before.
type lister struct {
	*Feed
	user id.UserID
	// in tells whether the user is in a room at the second one, by its scope.
	in func(journal.Scope) bool
	// before returns a room as it was at the first one.
	before   func(context.Context, id.RoomID) (room.Moment, error)
	from, to journal.Position
	entries  []journal.Entry // that concern the user

	looked bool // for what follows
	// came are those who came into rooms in which the user was, and entered are those in
	// rooms that the user came into. They may have shared another room all the time.
	came, entered map[id.UserID]bool
	left          map[id.UserID]bool // rooms of the user
	moved         bool               // somebody may have come or gone
}

// devices finds whose devices are news. If nobody came or went, and nothing changed,
// that costs no query. It may name more users than it has to as changed: they are asked
// for once more. Who is named as left shares no room at present.
func (l *lister) devices(ctx context.Context) (DeviceLists, error) {
	users, err := l.DeviceLists.Since(ctx, l.user, l.in, l.from, l.to)
	if err != nil {
		return DeviceLists{}, err
	}
	changed, left, err := l.sort(ctx, users)
	if err != nil {
		return DeviceLists{}, err
	}
	return DeviceLists{slices.Sorted(maps.Keys(changed)), slices.Sorted(maps.Keys(left))}, nil
}

// sort returns those who came to share a room with the user, or have changed and share
// one, and those who may have shared one and do not any more.
func (l *lister) sort(ctx context.Context, users []id.UserID) (changed, left map[id.UserID]bool, err error) {
	if err := l.look(ctx); err != nil {
		return nil, nil, err
	}
	changed, left = make(map[id.UserID]bool), make(map[id.UserID]bool)
	note(changed, users)
	maps.Copy(changed, l.came)
	maps.Copy(changed, l.entered)
	maps.Copy(left, l.left)
	if l.moved {
		// Who has changed something may have come and gone.
		note(left, users)
	}
	if delete(left, l.user); len(left) > 0 {
		still, err := l.Rooms.Sharers(ctx, l.user, slices.Collect(maps.Keys(left)))
		if err != nil {
			return nil, nil, err
		}
		for _, u := range still {
			delete(left, u)
		}
	}
	for u := range left {
		delete(changed, u)
	}
	return changed, left, nil
}

// look finds who came and went, once.
func (l *lister) look(ctx context.Context) error {
	if l.looked {
		return nil
	}
	l.looked = true
	l.came, l.entered, l.left = make(map[id.UserID]bool), make(map[id.UserID]bool), make(map[id.UserID]bool)
	return l.moves(ctx)
}

func note(set map[id.UserID]bool, users []id.UserID) {
	for _, u := range users {
		set[u] = true
	}
}

// moves finds who has come into rooms of the user, or left them.
func (l *lister) moves(ctx context.Context) error {
	var seen map[room.Num]bool
	see := func(num room.Num) (again bool) {
		if seen == nil {
			seen = make(map[room.Num]bool)
		}
		again, seen[num] = seen[num], true
		return again
	}
	for _, e := range l.entries { // first where the user was not all the time
		if e.Kind == journal.KindMembership && !see(room.Num(e.Ref)) {
			if err := l.ownMove(ctx, room.Num(e.Ref)); err != nil {
				return err
			}
		}
	}
	for _, e := range l.entries { // then where everybody is news
		if num := room.Num(e.Scope.Number()); e.Kind == journal.KindWhole && !see(num) && l.in(e.Scope) {
			members, err := l.Rooms.NewSharers(ctx, l.user, num, l.from)
			if err != nil {
				return err
			}
			note(l.entered, members)
		}
	}
	for _, e := range l.entries {
		if num := room.Num(e.Scope.Number()); e.Kind == journal.KindEvent && !see(num) && l.in(e.Scope) {
			if err := l.othersMoves(ctx, num); err != nil {
				return err
			}
		}
	}
	return nil
}

// othersMoves finds who has come into a room in which the user was at both
// positions, or has left it.
func (l *lister) othersMoves(ctx context.Context, num room.Num) error {
	roomID, err := l.Rooms.RoomID(ctx, num)
	if err != nil {
		return err
	}
	before, err := l.before(ctx, roomID)
	if err != nil {
		return unlessPurged(err)
	}
	after, err := l.Rooms.Before(ctx, roomID, l.to)
	if err != nil {
		return unlessPurged(err)
	}
	l.moved = l.moved || before.Root != after.Root
	came, left, err := l.Rooms.Moved(ctx, num, before.Root, after.Root, l.from, l.to)
	note(l.came, came)
	note(l.left, left)
	return unlessPurged(err)
}

// ownMove finds whom the user shares a room with, or does not any more, after
// having come into it or left it.
func (l *lister) ownMove(ctx context.Context, num room.Num) error {
	roomID, err := l.Rooms.RoomID(ctx, num)
	if err != nil {
		return err
	}
	sight, err := l.Rooms.SightAt(ctx, roomID, l.user, l.to)
	if err != nil {
		return unlessPurged(err)
	}
	l.moved = true
	was, is := sight.MembershipAtPos(l.from) == event.MembershipJoin, sight.Membership() == event.MembershipJoin
	var users []id.UserID
	switch {
	case is && was:
		return l.othersMoves(ctx, num)
	case is:
		users, err = l.Rooms.NewSharers(ctx, l.user, num, l.from)
		note(l.entered, users)
	case was:
		users, err = l.Rooms.LostSharers(ctx, l.user, num, l.from)
		note(l.left, users)
	}
	return err
}

func unlessPurged(err error) error {
	if err != nil && room.IsGone(err) {
		return nil
	}
	return err
}

// DeviceChanges returns whose devices are news for a user behind the token from. What
// is behind the present is none; the token to is a hint only.
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3keyschanges
func (f *Feed) DeviceChanges(ctx context.Context, user id.UserID, from, to string) (DeviceLists, error) {
	since, err := ParseToken(from)
	if err != nil {
		return DeviceLists{}, err
	}
	if _, err := ParseToken(to); err != nil {
		return DeviceLists{}, err
	}
	if !f.leads(since) {
		return f.allDevices(ctx, user)
	}
	now := f.Journal.Head()
	rooms, err := f.Rooms.Rooms(ctx, user)
	if err != nil {
		return DeviceLists{}, err
	}
	scopes := []journal.Scope{journal.UserScope(user)}
	for _, m := range rooms {
		if m.Membership == event.MembershipJoin {
			scopes = append(scopes, m.Room.Scope())
		}
	}
	entries, err := f.Journal.ReadScopes(ctx, scopes, since.Pos, now)
	if errors.Is(err, journal.ErrGone) {
		return f.allDevices(ctx, user)
	}
	if err != nil {
		return DeviceLists{}, err
	}
	in := func(s journal.Scope) bool { return slices.Contains(scopes, s) }
	l := &lister{Feed: f, user: user, in: in, entries: entries, from: since.Pos, to: now, before: func(ctx context.Context, roomID id.RoomID) (room.Moment, error) {
		return f.Rooms.Before(ctx, roomID, since.Pos)
	}}
	return l.devices(ctx)
}

// allDevices is whose devices are news for a client of which it is not known what it
// knows: everybody's with whom the user shares a room.
func (f *Feed) allDevices(ctx context.Context, user id.UserID) (d DeviceLists, err error) {
	d.Changed, err = f.Rooms.AllSharers(ctx, user)
	return d, err
}
