package accountdata

import (
	"context"
	"encoding/json"
	"fmt"

	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/pushrule"
)

// Rules returns the push rules of a user: the server's, and on top of them what
// the user has set.
func (s *Store) Rules(ctx context.Context, user id.UserID) (pushrule.Ruleset, error) {
	stored, _, err := s.read(ctx, place{user, "", PushRules})
	if err != nil {
		return pushrule.Ruleset{}, err
	}
	return s.ruleset(user, stored)
}

// EditRules changes what a user has set of the push rules to what f makes of it. If
// another edit was faster f is called again, so that none is lost; it must not have
// any other effect. Its errors are returned.
func (s *Store) EditRules(ctx context.Context, user id.UserID, f func(pushrule.Settings) (pushrule.Settings, error)) error {
	return s.edit(ctx, place{user, "", PushRules}, func(stored []byte) ([]byte, error) {
		settings, err := readSettings(user, stored)
		if err != nil {
			return nil, err
		}
		next, err := f(settings)
		if err != nil {
			return nil, err
		}
		return json.Marshal(next)
	})
}

// Defaults returns the rules of the server.
func (s *Store) Defaults(user id.UserID) pushrule.Ruleset { return s.proposed.Default(user) }

// ruleset lays stored settings, nil for none, over the rules of the server.
func (s *Store) ruleset(user id.UserID, stored []byte) (pushrule.Ruleset, error) {
	settings, err := readSettings(user, stored)
	if err != nil {
		return pushrule.Ruleset{}, err
	}
	return settings.Ruleset(s.Defaults(user)), nil
}

// RulesOf returns what users have set of the push rules. Those who have set nothing
// are not in it.
func (s *Store) RulesOf(ctx context.Context, users []id.UserID) (map[id.UserID]pushrule.Settings, error) {
	found := make(map[id.UserID]pushrule.Settings)
	err := s.db.View(ctx, func(tx *store.Tx) error {
		in, list := tx.In(1, users)
		for row, err := range tx.Query("SELECT user_id, settings FROM push_rules WHERE user_id "+in, list) {
			if err != nil {
				return err
			}
			var user id.UserID
			var stored []byte
			if err := row.Scan(&user, &stored); err != nil {
				return err
			}
			if found[user], err = readSettings(user, stored); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the push rules of %d users: %w", len(users), err)
	}
	return found, nil
}

func readSettings(user id.UserID, stored []byte) (pushrule.Settings, error) {
	var settings pushrule.Settings
	if stored == nil {
		return settings, nil
	}
	if err := json.Unmarshal(stored, &settings); err != nil {
		return settings, fmt.Errorf("reading the push rules of %s: %w", user, err)
	}
	return settings, nil
}

// rulesContent is the content of m.push_rules:
// https://spec.matrix.org/v1.19/client-server-api/#push-rules-events
func rulesContent(rules pushrule.Ruleset) (canonjson.Value, error) {
	global, err := canonjson.Marshal(rules)
	if err != nil {
		return nil, fmt.Errorf("encoding push rules: %w", err)
	}
	return object("global", global), nil
}
