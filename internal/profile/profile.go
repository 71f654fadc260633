package profile

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"unicode/utf8"

	"parley/internal/errand"
	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// The fields that are part of member events.
const (
	Displayname = "displayname"
	AvatarURL   = "avatar_url"
)

// TimeZone is the field with a name of the IANA time zone database. Whether there
// is such a zone is not looked up: the database changes.
const TimeZone = "m.tz"

// Limits of a profile. Those of the whole and of the names of fields are the
// specification's.
const (
	maxDisplayname = 256 // characters
	maxAvatarURL   = 1000
	maxTimeZone    = 255
	maxKey         = 255
	maxProfile     = 64 << 10
)

// Rooms are what telling needs of the room engine.
type Rooms struct {
	// Joined returns the rooms that a local user is joined to.
	Joined func(ctx context.Context, user id.UserID) ([]id.RoomID, error)
	// Update sends a new member event of a user into a room that the user is
	// joined to, with what set makes of the content of the present one, and
	// returns when that is durable. It does nothing if set changes nothing, or
	// if the user has left the room. A *mxerr.Error says that the room refuses
	// it, and that trying again would not help.
	Update func(ctx context.Context, room id.RoomID, user id.UserID, set func(content canonjson.Value) canonjson.Value) error
	// Scopes returns those of the rooms that a user is in.
	Scopes func(tx *store.Tx, user id.UserID) ([]journal.Scope, error)
	// Sharers returns those of some users who share a room with a user.
	Sharers func(ctx context.Context, user id.UserID, among []id.UserID) ([]id.UserID, error)
}

// Parts are what profiles stand on.
type Parts struct {
	DB      *store.DB
	Journal *journal.Journal
	Rooms   Rooms
	// Changed joins the transaction that changes how a user is called or looks; nil:
	// nothing does.
	Changed func(*store.Tx, id.UserID) error
	// Log gets what keeps rooms from being told; nil: nobody does.
	Log *slog.Logger
}

// Keeper keeps the profiles of local users. It is safe for concurrent use.
type Keeper struct {
	Parts
	changes *journal.UserChanges
	queue   *errand.Queue[id.UserID]
	holds   holds
}

// New returns the profiles in a database. It must be called before the journal runs.
// Run tells rooms of changes.
func New(p Parts) *Keeper {
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	if p.Changed == nil {
		p.Changed = func(*store.Tx, id.UserID) error { return nil }
	}
	k := &Keeper{Parts: p, queue: errand.New[id.UserID](), holds: holds{users: make(map[id.UserID]*hold)}}
	k.changes = p.Journal.UserChanges(journal.UserChangesParts{
		Kind: journal.KindProfile, Rooms: p.Rooms.Scopes, Between: k.changedBetween, Sharers: p.Rooms.Sharers,
	})
	return k
}

// Get returns the fields of a user's profile, an empty object for a user who has
// none. Whether there is such a user it does not know.
func (k *Keeper) Get(ctx context.Context, user id.UserID) (fields canonjson.Value, err error) {
	err = k.DB.View(ctx, func(tx *store.Tx) error {
		fields, err = read(tx, user)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the profile of %s: %w", user, err)
	}
	return fields, nil
}

func read(tx *store.Tx, user id.UserID) (canonjson.Value, error) {
	values := make(map[string]canonjson.Value)
	for row, err := range tx.Query("SELECT field, value FROM profile_fields WHERE user_id = $1 AND value IS NOT NULL", user) {
		if err != nil {
			return nil, err
		}
		var field string
		var value []byte
		if err := row.Scan(&field, &value); err != nil {
			return nil, err
		}
		values[field] = value
	}
	return canonjson.ObjectOf(values), nil
}

// Member returns the content of a member event with what a profile has to say in
// it.
func Member(content, fields canonjson.Value) canonjson.Value {
	for _, key := range [...]string{AvatarURL, Displayname} {
		if value := fields.Get(key); value != nil {
			content = content.With(key, value)
		} else {
			content = content.Without(key)
		}
	}
	return content
}

// Member returns what member events of a local user say beside the membership.
func (k *Keeper) Member(ctx context.Context, user id.UserID) (canonjson.Value, error) {
	fields, err := k.Get(ctx, user)
	if err != nil {
		return nil, err
	}
	return Member(canonjson.Value("{}"), fields), nil
}

// Set gives a field of a user's profile a value, in canonical form. An empty
// displayname or avatar URL is none. It returns when that is durable; the rooms
// learn of it later. An error is a *mxerr.Error when the user is to be told.
func (k *Keeper) Set(ctx context.Context, user id.UserID, key string, value canonjson.Value) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if err := checkValue(key, value); err != nil {
		return err
	}
	if (key == Displayname || key == AvatarURL) && value.Is("") {
		return k.Delete(ctx, user, key)
	}
	return k.change(ctx, user, map[string]canonjson.Value{key: value})
}

// Delete removes a field from a user's profile, if it is there.
func (k *Keeper) Delete(ctx context.Context, user id.UserID, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	return k.change(ctx, user, map[string]canonjson.Value{key: nil})
}

// Begin gives a user who is new a displayname, in the transaction that makes the
// account, of which [CheckDisplayname] knows nothing bad. There is nobody to be told.
func Begin(tx *store.Tx, user id.UserID, displayname string) error {
	name := canonjson.Text(displayname)
	begun, err := tx.Exec(`
		INSERT INTO profiles (user_id, changed, size) VALUES ($1, 0, $2)
		ON CONFLICT (user_id) DO NOTHING`, user, weight(Displayname, name))
	if err != nil || begun == 0 {
		return err
	}
	_, err = tx.Exec("INSERT INTO profile_fields (user_id, field, value, pos) VALUES ($1, $2, $3, 0)", user, Displayname, []byte(name))
	return err
}

// Clear removes all fields from a user's profile.
func (k *Keeper) Clear(ctx context.Context, user id.UserID) error {
	return k.append(ctx, user, func(b *journal.Batch, p pending) error {
		none, err := p.none(b)
		if err != nil {
			return err
		}
		return k.apply(b, p, none)
	})
}

// CheckDisplayname refuses what nobody can be called.
func CheckDisplayname(name string) error { return checkValue(Displayname, canonjson.Text(name)) }

// checkKey refuses what cannot be the name of a field.
func checkKey(key string) error {
	switch {
	case len(key) > maxKey:
		return mxerr.New(mxerr.KeyTooLarge, "The name of a profile field may have %d bytes", maxKey)
	case key == Displayname, key == AvatarURL, id.IsNamespaced(key) && strings.Contains(key, "."):
		return nil
	}
	return mxerr.New(mxerr.InvalidParam, "The name of a profile field has to be like com.example.name")
}

func checkValue(key string, value canonjson.Value) error {
	text, isText := value.Text()
	switch {
	case key == Displayname && !isText, key == AvatarURL && !isText, key == TimeZone && !isText:
		return mxerr.New(mxerr.BadJSON, "%s has to be a string", key)
	case key == Displayname && utf8.RuneCountInString(text) > maxDisplayname:
		return mxerr.New(mxerr.InvalidParam, "A displayname may have %d characters", maxDisplayname)
	case key == TimeZone && (text == "" || len(text) > maxTimeZone):
		return mxerr.New(mxerr.InvalidParam, "A time zone has from 1 to %d bytes", maxTimeZone)
	case key == Displayname && strings.ContainsRune(text, 0):
		return mxerr.New(mxerr.InvalidParam, "A displayname has no NUL")
	case key == AvatarURL && len(text) > maxAvatarURL:
		return mxerr.New(mxerr.InvalidParam, "An avatar URL may have %d bytes", maxAvatarURL)
	case key == AvatarURL && text != "":
		if _, err := id.ParseContentURI(text); err != nil {
			return mxerr.New(mxerr.InvalidParam, "An avatar URL is a mxc:// URI").Wrap(err)
		}
	}
	return nil
}

// Retell has the rooms of a user told what the profile says, though it has not
// changed.
func (k *Keeper) Retell(ctx context.Context, user id.UserID) error {
	err := k.DB.Update(ctx, func(tx *store.Tx) error {
		err := tx.Queue(`
			INSERT INTO profiles (user_id, changed, size) VALUES ($1, 1, 0)
			ON CONFLICT (user_id) DO UPDATE SET changed = profiles.changed + 1`, user)
		if err != nil {
			return err
		}
		return note(tx, user)
	})
	k.queue.Add(user)
	if err != nil {
		return fmt.Errorf("noting that the profile of %s has to be told: %w", user, err)
	}
	return nil
}

// RetellUnless is Retell unless member events of a user still say what one said
// that was made with Member.
func (k *Keeper) RetellUnless(ctx context.Context, user id.UserID, said canonjson.Value) error {
	now, err := k.Member(ctx, user)
	if err != nil || string(now) == string(said) {
		return err
	}
	return k.Retell(ctx, user)
}

// count counts a change of a profile, which gives it another size.
func count(tx *store.Tx, user id.UserID, size int64) error {
	return tx.Queue(`
		INSERT INTO profiles (user_id, changed, size) VALUES ($1, 1, $2)
		ON CONFLICT (user_id) DO UPDATE SET changed = profiles.changed + 1, size = excluded.size`, user, size)
}

// note notes that the rooms of a user have to be told of the last change that was
// counted.
func note(tx *store.Tx, user id.UserID) error {
	return tx.Queue(`
		INSERT INTO profile_updates (user_id, changed) SELECT user_id, changed FROM profiles WHERE user_id = $1
		ON CONFLICT (user_id) DO UPDATE SET changed = excluded.changed`, user)
}
