package feed

import (
	"context"
	"slices"

	"parley/internal/journal"
	"parley/internal/profile"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// profilesSection is where an answer tells of profiles, until the proposal is accepted.
// https://github.com/matrix-org/matrix-spec-proposals/pull/4429
const profilesSection = "org.matrix.msc4429.users"

// profiles is what is told of the profiles of users: fields with their values, nil for
// those that are not there.
type profiles map[id.UserID]map[string]canonjson.Value

func (p profiles) put(user id.UserID, name string, value canonjson.Value) {
	if p[user] == nil {
		p[user] = make(map[string]canonjson.Value)
	}
	p[user][name] = value
}

// take takes in what fields are, as far as they were changed up to a position: what is
// behind it is for the next answer.
func (p profiles) take(fields []profile.Field, upTo journal.Position) {
	for _, f := range fields {
		if f.Pos <= upTo {
			p.put(f.User, f.Name, f.Value)
		} else if delete(p[f.User], f.Name); len(p[f.User]) == 0 {
			delete(p, f.User)
		}
	}
}

// whole takes in all fields of some names that users have, and that they do not have
// the others.
func (p profiles) whole(users []id.UserID, names []string, fields []profile.Field, upTo journal.Position) {
	for _, user := range users {
		for _, name := range names {
			p.put(user, name, nil)
		}
	}
	p.take(fields, upTo)
}

// updates returns profiles as /sync has them. What is not there is null.
func (p profiles) updates() canonjson.Value {
	users := make(map[string]canonjson.Value, len(p))
	for user, fields := range p {
		values := make(map[string]canonjson.Value, len(fields))
		for name, value := range fields {
			if value == nil {
				value = canonjson.Value("null")
			}
			values[name] = value
		}
		users[string(user)] = canonjson.ObjectOf(map[string]canonjson.Value{"profile_updates": canonjson.ObjectOf(values)})
	}
	return canonjson.ObjectOf(users)
}

// abroad reports whether a user is of another server than one of this. Nobody tells when
// the profile of such a user changes.
func abroad(local, user id.UserID) bool { return user.Server() != local.Server() }

// newProfiles finds whose profiles are news: known are those of whom a change is, and
// met those who have come to share a room with the user. Left are those who do not any
// more.
func (l *lister) newProfiles(ctx context.Context) (known, met []id.UserID, left map[id.UserID]bool, err error) {
	users, err := l.Profiles.Since(ctx, l.user, l.in, l.from, l.to)
	if err != nil {
		return nil, nil, nil, err
	}
	changed, left, err := l.sort(ctx, users)
	if err != nil {
		return nil, nil, nil, err
	}
	for u := range changed {
		switch {
		case abroad(l.user, u):
		case l.came[u], l.entered[u]:
			met = append(met, u)
		default:
			known = append(known, u)
		}
	}
	return known, met, left, nil
}

func (a *answer) wantsProfiles() bool {
	return a.Profiles != nil && !a.q.stream && len(a.q.Filter.ProfileFields) > 0
}

// tellProfiles tells which of the fields that the client asks for have changed, and all
// of those who have come to share a room with the user: the client may have something
// of them from before.
func (a *answer) tellProfiles(ctx context.Context, l *lister) error {
	if !a.wantsProfiles() {
		return nil
	}
	names := a.q.Filter.ProfileFields
	known, met, _, err := l.newProfiles(ctx)
	if err != nil {
		return err
	}
	news, err := a.Profiles.Fields(ctx, known, names, a.since.Pos)
	if err != nil {
		return err
	}
	all, err := a.Profiles.Fields(ctx, met, names, profile.Always)
	if err != nil {
		return err
	}
	a.profiles = make(profiles)
	a.profiles.take(news, a.now.Pos)
	a.profiles.whole(met, names, all, a.now.Pos)
	return nil
}

// tellAllProfiles tells the fields that a client asks for of everybody who shares a room
// with the user, and of the user. A client of which it is not known what it knows is told
// which are not there, too.
func (a *answer) tellAllProfiles(ctx context.Context) error {
	if !a.wantsProfiles() {
		return nil
	}
	names, begins := a.q.Filter.ProfileFields, a.q.Since == ""
	users, err := a.withProfiles(ctx, names, begins)
	if err != nil {
		return err
	}
	fields, err := a.Profiles.Fields(ctx, users, names, profile.Always)
	if err != nil {
		return err
	}
	a.profiles = make(profiles)
	if begins {
		names, fields = nil, slices.DeleteFunc(fields, func(f profile.Field) bool { return f.Value == nil })
	}
	a.profiles.whole(users, names, fields, a.now.Pos)
	return nil
}

// withProfiles returns the user, and who shares a room with the user and has one of some
// fields, or may have had one.
func (a *answer) withProfiles(ctx context.Context, names []string, having bool) (users []id.UserID, err error) {
	if having {
		if users, err = a.Profiles.Having(ctx, names); err == nil {
			users, err = a.Rooms.Sharers(ctx, a.q.User, users)
		}
	} else if users, err = a.Rooms.AllSharers(ctx, a.q.User); err == nil {
		users = slices.DeleteFunc(users, func(u id.UserID) bool { return abroad(a.q.User, u) })
	}
	if err == nil && !slices.Contains(users, a.q.User) {
		users = append(users, a.q.User)
	}
	return users, err
}
