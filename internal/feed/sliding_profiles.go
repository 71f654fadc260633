package feed

import (
	"context"
	"crypto/sha256"
	"maps"
	"slices"
	"strings"

	"parley/internal/profile"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
)

// profilesExtension is the name of the extension until its proposal is accepted.
// https://github.com/matrix-org/matrix-spec-proposals/pull/4262
const profilesExtension = "org.matrix.msc4262.profiles"

// following returns the same text for requests that ask for the same fields of profiles,
// empty for those that ask for none. It is short, whatever they ask for.
func (q *SlidingRequest) following() string {
	switch {
	case !q.profiles.on:
		return ""
	case q.profileFields == nil:
		return "*"
	}
	names := make([]string, len(q.profileFields))
	for i, name := range q.profileFields {
		names[i] = string(canonjson.Text(name))
	}
	slices.Sort(names)
	sum := sha256.Sum256([]byte(strings.Join(slices.Compact(names), ",")))
	return string(sum[:16])
}

// extendProfiles tells whose profiles have changed, of all who share a room with the
// user, and whole profiles of those whom the client gets to know: in the rooms that the
// request is about. It has the members of such a room all at once, or if it loads them
// lazily when they are told of.
func (a *slidingAnswer) extendProfiles(ctx context.Context) error {
	if a.Profiles == nil {
		return nil
	}
	a.follows()
	if !a.req.profiles.on {
		return nil
	}
	told := make(profiles)
	var left map[id.UserID]bool
	users := make(map[id.UserID]bool) // who is told of as a whole
	if !a.initial() {
		var err error
		if left, err = a.changedProfiles(ctx, told, users); err != nil {
			return err
		}
	}
	if !a.quiet {
		if err := a.newcomers(ctx, users); err != nil {
			return err
		}
	}
	if err := a.wholeProfiles(ctx, users, told); err != nil {
		return err
	}
	if len(told)+len(left) > 0 {
		a.add(profilesExtension, newObject().raw("users", told.changes(left)).end())
	}
	return nil
}

// changedProfiles adds what has changed of those who share a room with the user, and to
// users those who came to. It returns those who do not any more.
func (a *slidingAnswer) changedProfiles(ctx context.Context, told profiles, users map[id.UserID]bool) (left map[id.UserID]bool, err error) {
	known, met, left, err := a.lister().newProfiles(ctx)
	if err != nil {
		return nil, err
	}
	for _, user := range met {
		// Whom the user meets in a room that the user has come into is told with that.
		if a.lister().came[user] {
			users[user] = true
			a.profiled.told = append(a.profiled.told, user)
		}
	}
	fields, err := a.Profiles.Fields(ctx, append(known, met...), a.req.profileFields, a.since.Pos)
	if err != nil {
		return nil, err
	}
	told.take(fields, a.now.Pos)
	maps.DeleteFunc(left, func(u id.UserID, _ bool) bool { return abroad(a.req.User, u) })
	a.profiled.gone = slices.Collect(maps.Keys(left))
	return left, nil
}

// follows notes which fields the client asks for. If these are others than before, or it
// did not ask for any for a while, it is told everything again.
func (a *slidingAnswer) follows() {
	before, following := "", a.req.following()
	if p := a.conn.told.profiles; p != nil {
		before = *p
	}
	if before != following && a.adds.profiles == nil {
		a.adds.profiles = &following
		for num := range a.conn.told.rooms {
			a.forgetProfiles(num)
		}
	}
	a.profiled.anew = a.adds.profiles != nil
}

// forgetProfiles notes that the client is to be told of the profiles of all members of a
// room again.
func (a *slidingAnswer) forgetProfiles(num room.Num) {
	if s, ok := a.sent(num); ok && s.profiles {
		s.profiles = false
		a.put(num, s)
	}
}

// meet notes that the client is told of a user in a room.
func (r *slidingRoom) meet(user id.UserID) {
	if !r.req.profiles.has(r.m) || !r.m.wants.lazy() || abroad(r.req.User, user) {
		return
	}
	if r.met == nil {
		r.met = make(map[id.UserID]bool)
	}
	r.met[user] = true
}

// newcomers adds those of whom the client is to be told as it gets to know them, in rooms
// that it was not told the profiles of.
func (a *slidingAnswer) newcomers(ctx context.Context, users map[id.UserID]bool) error {
	if a.profiled.anew {
		users[a.req.User] = true
	}
	for num, m := range a.matches {
		t, _ := a.sent(num)
		if !a.inScope(&a.req.profiles, num) || !m.room.is(event.MembershipJoin) || t.membership.String() != event.MembershipJoin {
			continue
		}
		switch {
		case m.wants.lazy() && a.profiled.anew && !a.initial():
			if err := a.meetAgain(ctx, num); err != nil {
				return err
			}
		case !m.wants.lazy() && !t.profiles:
			members, err := a.Rooms.LocalMembers(ctx, m.room.RoomID)
			if err != nil {
				return err
			}
			note(users, members)
			t.profiles = true
			a.put(num, t)
		}
	}
	var met []id.UserID
	for user := range a.met {
		if !users[user] && (a.profiled.anew || !a.conn.memory.profiles[user]) {
			met = append(met, user)
		}
	}
	sharers, err := a.Rooms.Sharers(ctx, a.req.User, met) // others may have left
	note(users, sharers)
	a.profiled.told = append(a.profiled.told, sharers...)
	return err
}

// meetAgain has the client told of those again whom it knows of a room whose members it
// loads lazily, as far as that is remembered, and of those after whom it may be called.
func (a *slidingAnswer) meetAgain(ctx context.Context, num room.Num) error {
	heroes, err := a.Rooms.Heroes(ctx, num, a.req.User)
	if err != nil {
		return err
	}
	if a.met == nil {
		a.met = make(map[id.UserID]bool)
	}
	for user := range a.conn.memory.has[num] {
		heroes = append(heroes, user)
	}
	for _, user := range heroes {
		if !abroad(a.req.User, user) {
			a.met[user] = true
		}
	}
	return nil
}

// wholeProfiles adds all that the client asks for of some users. What was removed is told
// to a client that may have it from before.
func (a *slidingAnswer) wholeProfiles(ctx context.Context, users map[id.UserID]bool, told profiles) error {
	fields, err := a.Profiles.Fields(ctx, slices.Collect(maps.Keys(users)), a.req.profileFields, profile.Always)
	if err != nil {
		return err
	}
	if a.initial() {
		fields = slices.DeleteFunc(fields, func(f profile.Field) bool { return f.Value == nil })
	}
	told.take(fields, a.now.Pos)
	return nil
}

// changes returns profiles as the extension has them, and null for those who have left.
func (p profiles) changes(left map[id.UserID]bool) canonjson.Value {
	users := make(map[string]canonjson.Value, len(p)+len(left))
	for user, fields := range p {
		updated := make(map[string]canonjson.Value, len(fields))
		var removed []string
		for name, value := range fields {
			if value == nil {
				removed = append(removed, name)
			} else {
				updated[name] = value
			}
		}
		o := newObject()
		if len(removed) > 0 {
			slices.Sort(removed)
			o = o.texts("removed", removed)
		}
		if len(updated) > 0 {
			o = o.raw("updated", canonjson.ObjectOf(updated))
		}
		users[string(user)] = o.end()
	}
	for user := range left {
		users[string(user)] = canonjson.Value("null")
	}
	return canonjson.ObjectOf(users)
}
