package accountdata

import (
	"context"
	"fmt"
	"math"
	"slices"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// Since returns the account data of a user that was changed last behind a position,
// up to and including another, in the order of the changes. What was changed again
// later is left out. What was deleted is empty.
func (s *Store) Since(ctx context.Context, user id.UserID, after, upTo journal.Position) ([]Data, error) {
	list, err := s.changed(ctx, user, after, upTo, upTo)
	for i := range list {
		if isDeleted(list[i].Content) {
			list[i].Content = canonjson.Value("{}")
		}
	}
	return list, err
}

// All returns all account data of a user as of a position, less what was deleted or was
// changed later. The push rules are always there, and as they are now: who cannot be told
// what they were is better served so, and is told again by Since.
func (s *Store) All(ctx context.Context, user id.UserID, upTo journal.Position) ([]Data, error) {
	all, err := s.changed(ctx, user, 0, upTo, math.MaxInt64)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(d Data) bool { return isDeleted(d.Content) })
	for _, d := range all {
		if d.Room == "" && d.Type == PushRules {
			return all, nil
		}
	}
	rules, err := s.ruleset(user, nil)
	if err != nil {
		return nil, err
	}
	content, err := rulesContent(rules)
	return append(all, Data{Type: PushRules, Content: content}), err
}

// changed returns what was changed behind a position up to another; push rules
// have their own.
func (s *Store) changed(ctx context.Context, user id.UserID, after, upTo, rulesUpTo journal.Position) ([]Data, error) {
	var list []Data
	err := s.db.View(ctx, func(tx *store.Tx) error {
		rows := tx.Query(`
			SELECT room_id, type, content, pos FROM account_data WHERE user_id = $1 AND pos > $2 AND pos <= $3
			UNION ALL
			SELECT '', $4, settings, pos FROM push_rules WHERE user_id = $1 AND pos > $2 AND pos <= $5
			ORDER BY pos`, user, after, upTo, PushRules, rulesUpTo)
		for row, err := range rows {
			if err != nil {
				return err
			}
			var d Data
			var pos journal.Position
			if err := row.Scan(&d.Room, &d.Type, &d.Content, &pos); err != nil {
				return err
			}
			list = append(list, d)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the account data of %s from %d to %d: %w", user, after, upTo, err)
	}
	for i := range list {
		d := &list[i]
		if (place{user, d.Room, d.Type}).isPushRules() {
			rules, err := s.ruleset(user, d.Content)
			if err != nil {
				return nil, err
			}
			if d.Content, err = rulesContent(rules); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// object returns {"name":value}.
func object(name string, value canonjson.Value) canonjson.Value {
	return canonjson.Value(nil).With(name, value)
}
