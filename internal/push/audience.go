package push

import (
	"context"
	"maps"
	"slices"

	"parley/internal/journal"
	"parley/internal/room"
	"parley/matrix/id"
	"parley/matrix/pushrule"
)

// An audience is the members of a room who have pushers.
type audience struct {
	members map[id.UserID]*listener
}

// A listener is a member of a room, with the rules that decide there.
type listener struct {
	*recipient
	since   journal.Position // as room.JoinedAmong has it
	rules   *sharedRules     // nil: not known yet
	decided uint64           // the version of what the user has set that they follow from
}

func (a *audience) weight() int {
	if a == nil {
		return 100
	}
	return 200 + 200*len(a.members)
}

// audience returns the members of a room who have pushers.
func (s *Sender) audience(ctx context.Context, num room.Num) (*audience, error) {
	if a, ok := s.audiences.Get(num); ok {
		return a, nil
	}
	a := &audience{members: make(map[id.UserID]*listener)}
	if len(s.users) > 0 {
		joined, err := s.Rooms.JoinedAmong(ctx, num, slices.Collect(maps.Keys(s.users)))
		if err != nil {
			return nil, err
		}
		for user, since := range joined {
			a.members[user] = &listener{recipient: s.users[user], since: since}
		}
	}
	s.audiences.Put(num, a)
	return a, nil
}

// move takes in that a recipient may have come into a room or left it.
func (s *Sender) move(ctx context.Context, num room.Num, r *recipient) error {
	s.outdate(r, num)
	a, ok := s.audiences.Get(num)
	if !ok {
		return nil
	}
	joined, err := s.Rooms.JoinedAmong(ctx, num, []id.UserID{r.user})
	if err != nil {
		return err
	}
	since, in := joined[r.user]
	if !in {
		delete(a.members, r.user)
		return nil
	}
	if l, ok := a.members[r.user]; ok && l.recipient == r {
		l.since = since
		return nil
	}
	a.members[r.user] = &listener{recipient: r, since: since}
	s.audiences.Put(num, a)
	return nil
}

// sharedRules are rules that decide in a room for all who have the same there.
type sharedRules struct {
	*pushrule.Evaluator
	settings pushrule.Settings
	// own says that there are rules beside those of the server, and named that one of
	// them asks for the user's name.
	own, named bool
	size       int
}

func (r *sharedRules) weight() int { return 20_000 + 10*r.size }

// learn finds out by which rules those listeners go of whom that is not known, or
// not any more.
func (s *Sender) learn(ctx context.Context, roomID id.RoomID, a *audience) error {
	var unknown []id.UserID
	for user, l := range a.members {
		if l.rules == nil || l.decided != l.version {
			unknown = append(unknown, user)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	settings, err := s.Settings(ctx, unknown)
	if err != nil {
		return err
	}
	for _, user := range unknown {
		l := a.members[user]
		l.rules, l.decided = s.share(settings[user].In(roomID)), l.version
	}
	return nil
}

// share returns rules of a room for all who have set this for it.
func (s *Sender) share(settings pushrule.Settings) *sharedRules {
	key := settings.Key()
	if r, ok := s.rules.Get(key); ok {
		return r
	}
	r := &sharedRules{
		Evaluator: pushrule.Compile(settings.Ruleset(s.Defaults(pushrule.Nobody)), pushrule.Nobody),
		settings:  settings, own: settings.Own(), named: settings.Named(), size: len(key),
	}
	s.rules.Put(key, r)
	return r
}
