package accountdata

import (
	"context"
	"errors"
	"slices"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/pushrule"
)

// Direct says which rooms are direct chats with whom; it is of no room.
const Direct = "m.direct"

// Succeed gives a user in a room what the user has set for the one that it
// replaces: its tags, that it is a direct chat, and its push rules. What is set for
// the new room already stays, so that nothing comes of doing it again. What there
// would be too much of is left out.
// https://spec.matrix.org/v1.19/client-server-api/#room-upgrades
func (s *Store) Succeed(ctx context.Context, user id.UserID, from, to id.RoomID) error {
	for _, step := range []func() error{
		func() error { return s.succeedTags(ctx, user, from, to) },
		func() error { return s.succeedDirect(ctx, user, from, to) },
		func() error { return s.succeedRules(ctx, user, from, to) },
	} {
		if err := step(); err != nil && !isRefusal(err) && !errors.Is(err, errNothing) {
			return err
		}
	}
	return nil
}

func isRefusal(err error) bool {
	refusal := (*mxerr.Error)(nil)
	return errors.As(err, &refusal)
}

// errNothing: there is nothing to change.
var errNothing = errors.New("there is nothing to change")

// succeedRules copies push rules. Who has none for the old room gets no settings
// that are the same as none.
func (s *Store) succeedRules(ctx context.Context, user id.UserID, from, to id.RoomID) error {
	return s.EditRules(ctx, user, func(rules pushrule.Settings) (pushrule.Settings, error) {
		next, err := rules.Succeed(from, to)
		if err == nil && len(next.Rules.Override)+len(next.Rules.Room)+len(next.Rules.Underride) ==
			len(rules.Rules.Override)+len(rules.Rules.Room)+len(rules.Rules.Underride) {
			err = errNothing
		}
		return next, err
	})
}

// succeedTags copies tags, unless the new room has some.
func (s *Store) succeedTags(ctx context.Context, user id.UserID, from, to id.RoomID) error {
	tags, err := s.Tags(ctx, user, from)
	if err != nil || string(tags) == "{}" {
		return err
	}
	return s.editTags(ctx, user, to, func(own canonjson.Value) canonjson.Value {
		if string(own) == "{}" {
			return tags
		}
		return own
	})
}

// succeedDirect adds the new room wherever the old one is a direct chat.
func (s *Store) succeedDirect(ctx context.Context, user id.UserID, from, to id.RoomID) error {
	return s.edit(ctx, place{user, "", Direct}, func(content []byte) ([]byte, error) {
		next := canonjson.Value(content)
		if next.Kind() != canonjson.Object {
			return content, nil
		}
		for other, rooms := range canonjson.Value(content).Members() {
			list := slices.Collect(rooms.Elements())
			has := func(room id.RoomID) bool {
				return slices.ContainsFunc(list, func(v canonjson.Value) bool { return v.Is(string(room)) })
			}
			if has(from) && !has(to) {
				next = next.With(other.String(), append(slices.Clone(rooms[:len(rooms)-1]), append([]byte{','}, append(canonjson.Text(string(to)), ']')...)...))
			}
		}
		return next, nil
	})
}
