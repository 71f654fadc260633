package accountdata

import (
	"context"
	"encoding/json"
	"fmt"

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
