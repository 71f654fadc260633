package profile

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// What is remembered and written in a batch: a profile as the changes before leave it,
// one of its fields, how often it changed, and that the rooms have to be told.
type (
	profileKey struct{ user id.UserID }
	fieldKey   struct {
		user id.UserID
		name string
	}
	countKey struct{ user id.UserID }
	noteKey  struct{ user id.UserID }
	tidyKey  struct{ user id.UserID }
)

// change changes a profile, and notes that the rooms have to be told if it is of their
// concern.
func (k *Keeper) change(ctx context.Context, user id.UserID, edit func(canonjson.Value) canonjson.Value) error {
	_, err := k.Journal.Append(ctx, func(b *journal.Batch) error { return k.append(b, user, edit) })
	if err != nil {
		k.queue.Add(user) // perhaps in vain: the outcome may be unknown
	}
	if refusal := (*mxerr.Error)(nil); err != nil && !errors.As(err, &refusal) {
		return fmt.Errorf("changing the profile of %s: %w", user, err)
	}
	return err
}

func (k *Keeper) append(b *journal.Batch, user id.UserID, edit func(canonjson.Value) canonjson.Value) error {
	fields, err := current(b, user)
	if err != nil {
		return err
	}
	edited := edit(fields)
	changed := different(edited, fields)
	switch {
	case len(changed) == 0:
		return nil
	case len(edited) > maxProfile && len(edited) > len(fields):
		return mxerr.New(mxerr.ProfileTooLarge, "A profile may have %d bytes", maxProfile)
	}
	b.Remember(profileKey{user}, edited)
	pos := k.changes.Append(b, user, 0)
	b.Write(countKey{user}, func(tx *store.Tx) error { return count(tx, user) })
	for name, value := range changed {
		b.Write(fieldKey{user, name}, func(tx *store.Tx) error {
			return tx.Queue(`
				INSERT INTO profile_fields (user_id, field, value, pos) VALUES ($1, $2, $3, $4)
				ON CONFLICT (user_id, field) DO UPDATE SET value = excluded.value, pos = excluded.pos`,
				user, name, []byte(value), pos)
		})
	}
	b.Write(tidyKey{user}, func(tx *store.Tx) error { return tidy(tx, user) })
	_, name := changed[Displayname]
	_, avatar := changed[AvatarURL]
	if name || avatar {
		b.Write(noteKey{user}, func(tx *store.Tx) error {
			if err := k.Changed(tx, user); err != nil {
				return err
			}
			return note(tx, user)
		})
		b.Durable(func() { k.queue.Add(user) })
	}
	return nil
}

// current returns a profile as it is when all before is committed.
func current(b *journal.Batch, user id.UserID) (fields canonjson.Value, err error) {
	if v, ok := b.Memo(profileKey{user}); ok {
		return v.(canonjson.Value), nil
	}
	err = b.Read(func(tx *store.Tx) error {
		fields, err = read(tx, user)
		return err
	})
	return fields, err
}

// different returns the members in which an object differs from another, nil for those
// that only the other has.
func different(object, other canonjson.Value) map[string]canonjson.Value {
	members, had := make(map[string]canonjson.Value), make(map[string]canonjson.Value)
	for name, value := range other.Members() {
		had[name.String()] = value
		members[name.String()] = nil
	}
	for name, value := range object.Members() {
		if text := name.String(); string(had[text]) != string(value) {
			members[text] = value
		} else {
			delete(members, text)
		}
	}
	return members
}

// tidy forgets which fields were removed so long ago that nobody can ask what has
// changed since.
func tidy(tx *store.Tx, user id.UserID) error {
	return tx.Queue("DELETE FROM profile_fields WHERE user_id = $1 AND value IS NULL AND pos <= (SELECT floor FROM journal_head)", user)
}

// A Field is what has become of a field of a user's profile, and at which position of
// the journal, 0 if the profile began with it.
type Field struct {
	User  id.UserID
	Name  string
	Value canonjson.Value // nil: it was removed
	Pos   journal.Position
}

// Always is before what profiles began with.
const Always journal.Position = -1

// Fields returns the fields of some users that were changed last behind a position of
// the journal. Those that were removed are forgotten in the end, but not while the
// journal has what is behind the position. Of names only these; nil: all.
func (k *Keeper) Fields(ctx context.Context, users []id.UserID, names []string, after journal.Position) (fields []Field, err error) {
	for some := range slices.Chunk(users, 1000) {
		err := k.DB.View(ctx, func(tx *store.Tx) error {
			in, list := tx.In(2, some)
			query, args := "SELECT user_id, field, value, pos FROM profile_fields WHERE pos > $1 AND user_id "+in, []any{after, list}
			if names != nil {
				in, list := tx.In(3, possible(names))
				query, args = query+" AND field "+in, append(args, list)
			}
			for row, err := range tx.Query(query, args...) {
				if err != nil {
					return err
				}
				var f Field
				var value []byte
				if err := row.Scan(&f.User, &f.Name, &value, &f.Pos); err != nil {
					return err
				}
				f.Value = value
				fields = append(fields, f)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("reading fields of %d profiles: %w", len(some), err)
		}
	}
	return fields, nil
}

// Having returns the users in whose profiles one of some fields is.
func (k *Keeper) Having(ctx context.Context, names []string) (users []id.UserID, err error) {
	err = k.DB.View(ctx, func(tx *store.Tx) error {
		in, list := tx.In(1, possible(names))
		users, err = store.List[id.UserID](tx, "SELECT DISTINCT user_id FROM profile_fields WHERE value IS NOT NULL AND field "+in, list)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading who has fields in a profile: %w", err)
	}
	return users, nil
}

// possible returns those of some names that a field may have, and the database knows
// what to do with.
func possible(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return checkKey(name) != nil })
}

// Since returns the users whose profiles have changed behind one position of the
// journal up to another, as [journal.UserChanges.Since] does.
func (k *Keeper) Since(ctx context.Context, user id.UserID, in func(journal.Scope) bool, after, upTo journal.Position) ([]id.UserID, error) {
	return k.changes.Since(ctx, user, in, after, upTo)
}

func (k *Keeper) changedBetween(ctx context.Context, after, upTo journal.Position) (users []id.UserID, err error) {
	err = k.DB.View(ctx, func(tx *store.Tx) error {
		users, err = store.List[id.UserID](tx, "SELECT DISTINCT user_id FROM profile_fields WHERE pos > $1 AND pos <= $2", after, upTo)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading whose profiles have changed from %d to %d: %w", after, upTo, err)
	}
	return users, nil
}
