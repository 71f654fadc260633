package push

import (
	"context"
	"encoding/json"
	"fmt"
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
	rules   *localRules      // nil: not known yet
	decided uint64           // the version of what the user has set that they follow from
}

func (a *audience) weight() int {
	if a == nil {
		return 100
	}
	size := 200 + 200*len(a.members)
	for _, l := range a.members {
		if l.rules != nil && l.rules.own { // most of the others are the same
			size += len(l.rules.key)
		}
	}
	return size
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

// localRules name rules that decide in a room, for all who have the same there.
type localRules struct {
	// key is what was set, as it is compared.
	key string
	// own says that there are rules beside those of the server, and named that one of
	// them asks for the user's name.
	own, named bool
}

// learn finds out by which rules those listeners go of whom that is not known, or
// not any more.
func (s *Sender) learn(ctx context.Context, num room.Num, roomID id.RoomID, a *audience) error {
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
	known := make(map[string]*localRules)
	for _, l := range a.members {
		if l.rules != nil {
			known[l.rules.key] = l.rules
		}
	}
	for _, user := range unknown {
		local := settings[user].In(roomID)
		key := local.Key()
		if known[key] == nil {
			known[key] = &localRules{key, local.Own(), local.Named()}
		}
		l := a.members[user]
		l.rules, l.decided = known[key], l.version
	}
	s.audiences.Put(num, a) // it weighs more
	return nil
}

// prepared are rules that are ready to be evaluated, for nobody in particular.
type prepared struct {
	*pushrule.Evaluator
	size int
}

func (p prepared) weight() int { return 12_000 + 10*p.size }

// prepare returns rules ready to be evaluated: from memory, or made anew.
func (s *Sender) prepare(rules *localRules) (*pushrule.Evaluator, error) {
	if p, ok := s.rules.Get(rules.key); ok {
		return p.Evaluator, nil
	}
	e, err := rules.compile(s.Defaults(pushrule.Nobody), pushrule.Nobody)
	if err == nil {
		s.rules.Put(rules.key, prepared{e, len(rules.key)})
	}
	return e, err
}

// compile makes rules, beside those of the server, ready to be evaluated for a user.
func (r *localRules) compile(defaults pushrule.Ruleset, user id.UserID) (*pushrule.Evaluator, error) {
	var settings pushrule.Settings
	if err := json.Unmarshal([]byte(r.key), &settings); err != nil {
		return nil, fmt.Errorf("reading push rules: %w", err)
	}
	return pushrule.Compile(settings.Ruleset(defaults), user), nil
}
