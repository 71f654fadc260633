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
func (a *answer) tellDeviceLists(ctx context.Context, entries []journal.Entry) (err error) {
	if a.DeviceLists == nil || a.q.stream {
		return nil
	}
	in := func(s journal.Scope) bool {
		_, in := a.watch.room(room.Num(s.Number()), a.now.Pos, a.now.Pos)
		return in
	}
	a.Response.devices, err = a.deviceLists(ctx, a.q.User, in, entries, a.since.Pos, a.now.Pos)
	return err
}

// deviceLists finds whose devices are news between two positions, of which there
// are the entries that concern the user. In tells whether the user is in a room at
// the second one, by its scope. If nobody came or went, and nothing changed, that
// costs no query. It may name more users than it has to as changed: they are asked
// for once more. Who is named as left shares no room at present.
func (f *Feed) deviceLists(ctx context.Context, user id.UserID, in func(journal.Scope) bool, entries []journal.Entry, from, to journal.Position) (d DeviceLists, err error) {
	users, err := f.DeviceLists.Since(ctx, user, in, from, to)
	if err != nil {
		return d, err
	}
	changed, left := make(map[id.UserID]bool), make(map[id.UserID]bool)
	for _, u := range users {
		changed[u] = true
	}
	if err := f.moves(ctx, user, in, entries, from, to, changed, left); err != nil {
		return d, err
	}
	maps.DeleteFunc(left, func(u id.UserID, _ bool) bool { return u == user })
	if len(left) > 0 {
		still, err := f.Rooms.Sharers(ctx, user, slices.Collect(maps.Keys(left)))
		if err != nil {
			return d, err
		}
		for _, u := range still {
			delete(left, u)
		}
	}
	for u := range left {
		delete(changed, u)
	}
	return DeviceLists{slices.Sorted(maps.Keys(changed)), slices.Sorted(maps.Keys(left))}, nil
}

// moves finds who has come into rooms of the user, or left them.
func (f *Feed) moves(ctx context.Context, user id.UserID, in func(journal.Scope) bool, entries []journal.Entry, from, to journal.Position, changed, left map[id.UserID]bool) error {
	var seen map[room.Num]bool
	see := func(num room.Num) (again bool) {
		if seen == nil {
			seen = make(map[room.Num]bool)
		}
		again, seen[num] = seen[num], true
		return again
	}
	for _, e := range entries { // first where the user was not all the time
		if e.Kind == journal.KindMembership && !see(room.Num(e.Ref)) {
			if err := f.ownMove(ctx, user, room.Num(e.Ref), from, to, changed, left); err != nil {
				return err
			}
		}
	}
	for _, e := range entries {
		if num := room.Num(e.Scope.Number()); e.Kind == journal.KindWhole && !see(num) && in(e.Scope) {
			members, err := f.Rooms.NewSharers(ctx, user, num, from)
			if err != nil {
				return err
			}
			for _, u := range members {
				changed[u] = true
			}
		}
	}
	for _, e := range entries {
		if num := room.Num(e.Scope.Number()); e.Kind == journal.KindEvent && !see(num) && in(e.Scope) {
			if err := f.othersMoves(ctx, num, from, to, changed, left); err != nil {
				return err
			}
		}
	}
	return nil
}

// othersMoves finds who has come into a room in which the user was all the time, or
// has left it.
func (f *Feed) othersMoves(ctx context.Context, num room.Num, from, to journal.Position, changed, left map[id.UserID]bool) error {
	came, gone, err := f.Rooms.Moved(ctx, num, from, to)
	if isPurged(err) {
		return nil
	}
	for _, u := range came {
		changed[u] = true
	}
	for _, u := range gone {
		left[u] = true
	}
	return err
}

// ownMove finds whom the user shares a room with, or does not any more, after
// having come into it or left it.
func (f *Feed) ownMove(ctx context.Context, user id.UserID, num room.Num, from, to journal.Position, changed, left map[id.UserID]bool) error {
	roomID, err := f.Rooms.RoomID(ctx, num)
	if err != nil {
		return err
	}
	sight, err := f.Rooms.SightAt(ctx, roomID, user, to)
	if isPurged(err) {
		return nil
	}
	if err != nil {
		return err
	}
	was, is := sight.MembershipAtPos(from) == event.MembershipJoin, sight.Membership() == event.MembershipJoin
	var users []id.UserID
	switch {
	case is && was:
		return f.othersMoves(ctx, num, from, to, changed, left)
	case is:
		users, err = f.Rooms.NewSharers(ctx, user, num, from)
		for _, u := range users {
			changed[u] = true
		}
	case was:
		users, err = f.Rooms.LostSharers(ctx, user, num, from)
		for _, u := range users {
			left[u] = true
		}
	}
	return err
}

func isPurged(err error) bool { return err != nil && room.IsGone(err) }

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
	return f.deviceLists(ctx, user, in, entries, since.Pos, now)
}

// allDevices is whose devices are news for a client of which it is not known what it
// knows: everybody's with whom the user shares a room.
func (f *Feed) allDevices(ctx context.Context, user id.UserID) (d DeviceLists, err error) {
	d.Changed, err = f.Rooms.AllSharers(ctx, user)
	return d, err
}
