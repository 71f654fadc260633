package profile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"unicode/utf8"

	"parley/internal/errand"
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
}

// Keeper keeps the profiles of local users. It is safe for concurrent use.
type Keeper struct {
	db    *store.DB
	rooms Rooms
	// changed joins the transaction of a change.
	changed func(*store.Tx, id.UserID) error
	log     *slog.Logger
	queue   *errand.Queue[id.UserID]
	holds   holds
}

// New returns the profiles in a database. Run tells rooms of their changes. Changed joins
// the transaction that changes how a user is called or looks; nil: nothing does. The log
// gets what keeps rooms from being told; nil: nobody does.
func New(db *store.DB, rooms Rooms, changed func(*store.Tx, id.UserID) error, log *slog.Logger) *Keeper {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if changed == nil {
		changed = func(*store.Tx, id.UserID) error { return nil }
	}
	return &Keeper{db: db, rooms: rooms, changed: changed, log: log, queue: errand.New[id.UserID](), holds: holds{users: make(map[id.UserID]*hold)}}
}

// Get returns the fields of a user's profile, an empty object for a user who has
// none. Whether there is such a user it does not know.
func (k *Keeper) Get(ctx context.Context, user id.UserID) (canonjson.Value, error) {
	fields := canonjson.Value("{}")
	err := k.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT fields FROM profiles WHERE user_id = $1", user).Scan((*[]byte)(&fields))
	})
	if err != nil && !errors.Is(err, store.ErrNoRows) {
		return nil, fmt.Errorf("reading the profile of %s: %w", user, err)
	}
	return fields, nil
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
	return k.change(ctx, user, key, func(fields canonjson.Value) canonjson.Value { return fields.With(key, value) })
}

// Delete removes a field from a user's profile, if it is there.
func (k *Keeper) Delete(ctx context.Context, user id.UserID, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	return k.change(ctx, user, key, func(fields canonjson.Value) canonjson.Value { return fields.Without(key) })
}

// Begin gives a user who is new a displayname, in the transaction that makes the
// account. There is nobody to be told.
func Begin(tx *store.Tx, user id.UserID, displayname string) error {
	_, err := tx.Exec(`
		INSERT INTO profiles (user_id, fields, changed) VALUES ($1, $2, 0)
		ON CONFLICT (user_id) DO NOTHING`, user, []byte(canonjson.Value("{}").With(Displayname, canonjson.Text(displayname))))
	return err
}

// Clear removes all fields from a user's profile.
func (k *Keeper) Clear(ctx context.Context, user id.UserID) error {
	return k.change(ctx, user, Displayname, func(canonjson.Value) canonjson.Value { return canonjson.Value("{}") })
}

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

// change changes a profile, and notes that the rooms have to be told if the key
// is of their concern.
func (k *Keeper) change(ctx context.Context, user id.UserID, key string, edit func(canonjson.Value) canonjson.Value) error {
	telling := false
	err := k.db.Update(ctx, func(tx *store.Tx) error {
		changed, fields, err := lock(tx, user)
		if err != nil {
			return err
		}
		edited := edit(fields)
		switch {
		case string(edited) == string(fields):
			return nil
		case len(edited) > maxProfile && len(edited) > len(fields):
			return mxerr.New(mxerr.ProfileTooLarge, "A profile may have %d bytes", maxProfile)
		}
		if _, err := tx.Exec("UPDATE profiles SET fields = $2 WHERE user_id = $1", user, edited); err != nil {
			return err
		}
		telling = key == Displayname || key == AvatarURL
		if !telling {
			return nil
		}
		if err := k.changed(tx, user); err != nil {
			return err
		}
		return note(tx, user, changed)
	})
	if telling {
		// Whoever comes too soon, or in vain because the outcome is unknown,
		// finds out from the database.
		k.queue.Add(user)
	}
	if refusal := (*mxerr.Error)(nil); err != nil && !errors.As(err, &refusal) {
		return fmt.Errorf("changing the profile of %s: %w", user, err)
	}
	return err
}

// Retell has the rooms of a user told what the profile says, though it has not
// changed.
func (k *Keeper) Retell(ctx context.Context, user id.UserID) error {
	err := k.db.Update(ctx, func(tx *store.Tx) error {
		changed, _, err := lock(tx, user)
		if err != nil {
			return err
		}
		return note(tx, user, changed)
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

// lock locks the row of a profile until the transaction ends, and numbers the
// change that is about to be made.
func lock(tx *store.Tx, user id.UserID) (changed int64, fields canonjson.Value, err error) {
	_, err = tx.Exec(`
		INSERT INTO profiles (user_id, fields, changed) VALUES ($1, $2, 0)
		ON CONFLICT (user_id) DO NOTHING`, user, []byte("{}"))
	if err != nil {
		return 0, nil, err
	}
	err = tx.Row("UPDATE profiles SET changed = changed + 1 WHERE user_id = $1 RETURNING changed, fields", user).
		Scan(&changed, (*[]byte)(&fields))
	return changed, fields, err
}

// note notes that the rooms of a user have to be told of a change.
func note(tx *store.Tx, user id.UserID, changed int64) error {
	_, err := tx.Exec(`
		INSERT INTO profile_updates (user_id, changed) VALUES ($1, $2)
		ON CONFLICT (user_id) DO UPDATE SET changed = excluded.changed`, user, changed)
	return err
}
