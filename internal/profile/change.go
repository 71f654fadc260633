package profile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// What is remembered and written in a batch: a profile as the changes before leave it,
// one of its fields, how often it changed and how large it is, and that the rooms have to
// be told.
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

// change gives fields of a profile other values, nil for none, and notes that the rooms
// have to be told if it is of their concern.
func (k *Keeper) change(ctx context.Context, user id.UserID, values map[string]canonjson.Value) error {
	return k.append(ctx, user, func(b *journal.Batch, p pending) error { return k.apply(b, p, values) })
}

// append appends a change to the journal.
func (k *Keeper) append(ctx context.Context, user id.UserID, change func(*journal.Batch, pending) error) error {
	_, err := k.Journal.Append(ctx, func(b *journal.Batch) error {
		p, err := pendingOf(b, user)
		if err != nil {
			return err
		}
		return change(b, p)
	})
	if err != nil {
		k.queue.Add(user) // perhaps in vain: the outcome may be unknown
	}
	if refusal := (*mxerr.Error)(nil); err != nil && !errors.As(err, &refusal) {
		return fmt.Errorf("changing the profile of %s: %w", user, err)
	}
	return err
}

func (k *Keeper) apply(b *journal.Batch, p pending, values map[string]canonjson.Value) error {
	changed, size := make(map[string]canonjson.Value), p.size
	for name, value := range values {
		old, err := p.field(b, name)
		if err != nil {
			return err
		}
		if string(old) != string(value) {
			changed[name], size = value, size+weight(name, value)-weight(name, old)
		}
	}
	switch {
	case len(changed) == 0:
		return nil
	case size >= maxProfile && size > p.size: // one byte is not counted
		return mxerr.New(mxerr.ProfileTooLarge, "A profile may have %d bytes", maxProfile)
	}
	b.Remember(profileKey{p.user}, p.with(changed, size))
	pos := k.changes.Append(b, p.user, 0)
	b.Write(countKey{p.user}, func(tx *store.Tx) error { return count(tx, p.user, size) })
	for name, value := range changed {
		b.Write(fieldKey{p.user, name}, func(tx *store.Tx) error {
			return tx.Queue(`
				INSERT INTO profile_fields (user_id, field, value, pos) VALUES ($1, $2, $3, $4)
				ON CONFLICT (user_id, field) DO UPDATE SET value = excluded.value, pos = excluded.pos`,
				p.user, name, []byte(value), pos)
		})
	}
	b.Write(tidyKey{p.user}, func(tx *store.Tx) error { return tidy(tx, p.user) })
	k.tellLater(b, p.user, changed)
	return nil
}

// tellLater notes that the rooms have to be told, if what has changed is of their concern.
func (k *Keeper) tellLater(b *journal.Batch, user id.UserID, changed map[string]canonjson.Value) {
	_, name := changed[Displayname]
	_, avatar := changed[AvatarURL]
	if !name && !avatar {
		return
	}
	b.Write(noteKey{user}, func(tx *store.Tx) error {
		if err := k.Changed(tx, user); err != nil {
			return err
		}
		return note(tx, user)
	})
	b.Settled(func() { k.queue.Add(user) })
}

// pending is a profile as it is when all before in a batch is committed. Of its fields it
// reads only those that are asked for: a change costs the same however many there are.
type pending struct {
	user   id.UserID
	size   int64
	fields map[string]canonjson.Value // that were changed in the batch
}

func pendingOf(b *journal.Batch, user id.UserID) (pending, error) {
	if p, ok := b.Memo(profileKey{user}); ok {
		return p.(pending), nil
	}
	p := pending{user: user}
	err := b.Row("SELECT size FROM profiles WHERE user_id = $1", user).Scan(&p.size)
	if errors.Is(err, store.ErrNoRows) {
		err = nil
	}
	return p, err
}

// with returns the profile after a change.
func (p pending) with(changed map[string]canonjson.Value, size int64) pending {
	fields := maps.Clone(changed)
	for name, value := range p.fields {
		if _, again := fields[name]; !again {
			fields[name] = value
		}
	}
	return pending{p.user, size, fields}
}

// field returns the value of a field, nil if there is none.
func (p pending) field(b *journal.Batch, name string) (canonjson.Value, error) {
	if value, ok := p.fields[name]; ok {
		return value, nil
	}
	var value []byte
	err := b.Row("SELECT value FROM profile_fields WHERE user_id = $1 AND field = $2", p.user, name).Scan(&value)
	if errors.Is(err, store.ErrNoRows) {
		err = nil
	}
	return value, err
}

// none returns a profile without the fields that there are: nil for each.
func (p pending) none(b *journal.Batch) (map[string]canonjson.Value, error) {
	none := make(map[string]canonjson.Value)
	for name := range p.fields {
		none[name] = nil
	}
	err := b.Read(func(tx *store.Tx) error {
		names, err := store.List[string](tx, "SELECT field FROM profile_fields WHERE user_id = $1 AND value IS NOT NULL", p.user)
		for _, name := range names {
			none[name] = nil
		}
		return err
	})
	return none, err
}

// weight is how many bytes of a profile a field is, with what separates it from others.
func weight(name string, value canonjson.Value) int64 {
	if value == nil {
		return 0
	}
	return int64(len(name) + len(value) + len(`"":,`))
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
