package accountdata

import (
	"context"

	"parley/internal/journal"
	"parley/matrix/id"
	"parley/matrix/pushrule"
)

// personalMemory is how many bytes prepared push rules may take in memory.
const personalMemory = 8 << 20

// personal is what is kept in memory of a user's push rules.
type personal struct {
	known bool               // whether the user has set any
	rules *pushrule.Personal // nil if the user has not
	size  int                // of what is stored
}

func (p personal) weight() int {
	if p.rules == nil {
		return 150
	}
	return 20_000 + 10*p.size
}

// Personal returns the push rules of a user, ready to be evaluated; nil for a user
// who has not set any and has those of the server. What is durable when it is
// called is taken into account. It hardly ever asks the database.
func (s *Store) Personal(ctx context.Context, user id.UserID) (*pushrule.Personal, error) {
	if p, ok := s.personal.Get(user); ok && p.known {
		return p.rules, nil
	}
	version := s.personal.Version(user)
	stored, _, err := s.read(ctx, place{user, "", PushRules})
	if err != nil {
		return nil, err
	}
	p := personal{known: true, size: len(stored)}
	if stored != nil {
		settings, err := readSettings(user, stored)
		if err != nil {
			return nil, err
		}
		p.rules = pushrule.NewPersonal(settings, s.Defaults(user), user)
	}
	s.personal.PutSince(user, p, version)
	return p.rules, nil
}

// Prepared is Personal, with the rules of the server for a user who has not set any.
func (s *Store) Prepared(ctx context.Context, user id.UserID) (*pushrule.Personal, error) {
	rules, err := s.Personal(ctx, user)
	if err == nil && rules == nil {
		rules = pushrule.NewPersonal(pushrule.Settings{}, s.Defaults(user), user)
	}
	return rules, err
}

// forgetRules forgets what is in memory of a user's push rules.
func (s *Store) forgetRules(user id.UserID) {
	s.personal.Change(user, func(personal) personal { return personal{} })
}

// foreignRules forgets all push rules when another node has changed some.
func (s *Store) foreignRules(entries []journal.Entry) {
	for _, e := range entries {
		if e.Kind == journal.KindAccountData && e.Ref == RefPushRules {
			s.personal.Clear()
			return
		}
	}
}
