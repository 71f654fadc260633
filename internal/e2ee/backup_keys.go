package e2ee

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// A SessionKey is the key of a session in a room, encrypted by a client.
type SessionKey struct {
	Room    id.RoomID
	Session string
	// First is the index of the first message that it decrypts, and Forwarded how
	// often it was forwarded.
	First, Forwarded int64
	Verified         bool
	Data             canonjson.Value
}

func hasNUL(s string) bool { return strings.IndexByte(s, 0) >= 0 }

// ParseSessionKey reads the key of a session as clients upload it, or refuses it
// with [mxerr.BadJSON] or [mxerr.TooLarge].
func ParseSessionKey(room id.RoomID, session string, v canonjson.Value) (SessionKey, error) {
	k := SessionKey{Room: room, Session: session, Data: v.Get("session_data")}
	var first, forwarded bool
	k.First, first = v.Get("first_message_index").Int()
	k.Forwarded, forwarded = v.Get("forwarded_count").Int()
	verified := v.Get("is_verified")
	k.Verified = verified.True()
	switch {
	case session == "" || len(session) > maxSessionID || hasNUL(session):
		return k, mxerr.New(mxerr.InvalidParam, "The ID of a session has from 1 to %d bytes, and no NUL", maxSessionID)
	case !first || !forwarded || k.First < 0 || k.Forwarded < 0 || k.First > canonjson.MaxInt || k.Forwarded > canonjson.MaxInt:
		return k, bad("first_message_index and forwarded_count have to be integers that are not negative")
	case verified.Kind() != canonjson.Bool:
		return k, bad("is_verified has to be true or false")
	case k.Data.Kind() != canonjson.Object:
		return k, bad("session_data has to be an object")
	case len(k.Data) > maxSessionData:
		return k, mxerr.New(mxerr.TooLarge, "session_data can have %d bytes and not more", maxSessionData)
	}
	return k, nil
}

// replaces reports whether a key takes the place of another one of its session.
func (k SessionKey) replaces(old SessionKey) bool {
	switch {
	case k.Verified != old.Verified:
		return k.Verified
	case k.First != old.First:
		return k.First < old.First
	}
	return k.Forwarded < old.Forwarded
}

// AppendJSON appends the key as clients get it.
func (k SessionKey) AppendJSON(dst []byte) []byte {
	dst = strconv.AppendInt(append(dst, `{"first_message_index":`...), k.First, 10)
	dst = strconv.AppendInt(append(dst, `,"forwarded_count":`...), k.Forwarded, 10)
	dst = strconv.AppendBool(append(dst, `,"is_verified":`...), k.Verified)
	return append(append(append(dst, `,"session_data":`...), k.Data...), '}')
}

// Put adds keys to a version, which has to be the current one: otherwise the refusal
// is [mxerr.WrongRoomKeysVersion], or [mxerr.NotFound] if there is none. Of two keys
// of a session the better one stays. What would be more than a user may have is
// refused with [mxerr.TooLarge].
func (b *Backups) Put(ctx context.Context, user id.UserID, version int64, keys []SessionKey) (s Stand, err error) {
	err = b.db.Update(ctx, func(tx *store.Tx) error {
		var current int64
		err := tx.Row("SELECT coalesce(max(version), 0) FROM key_backups WHERE user_id = $1 AND NOT deleted", user).Scan(&current)
		switch {
		case err != nil:
			return err
		case current == 0:
			return noBackup()
		case current != version:
			return mxerr.New(mxerr.WrongRoomKeysVersion, "There is a newer backup").With("current_version", strconv.FormatInt(current, 10))
		}
		s, err = b.put(tx, user, version, keys)
		return err
	})
	if err != nil {
		return Stand{}, fmt.Errorf("adding %d keys to backup %d of %s: %w", len(keys), version, user, err)
	}
	return s, nil
}

var insertBackupKeys = &store.Insert{Table: "backup_keys", Columns: []store.Column{
	{Name: "user_id", Type: store.Text}, {Name: "version", Type: store.Int}, {Name: "room_id", Type: store.Text},
	{Name: "session_id", Type: store.Text}, {Name: "first_index", Type: store.Int}, {Name: "forwarded", Type: store.Int},
	{Name: "verified", Type: store.Bool}, {Name: "data", Type: store.Blob}},
	Conflict: `ON CONFLICT (user_id, version, room_id, session_id) DO UPDATE SET
		first_index = excluded.first_index, forwarded = excluded.forwarded, verified = excluded.verified, data = excluded.data`}

func (b *Backups) put(tx *store.Tx, user id.UserID, version int64, keys []SessionKey) (Stand, error) {
	g := growth{tx: tx, user: user, version: version}
	if err := g.lock("AND NOT deleted"); err != nil {
		return Stand{}, err
	}
	byRoom := make(map[id.RoomID][]SessionKey)
	for _, k := range keys {
		byRoom[k.Room] = append(byRoom[k.Room], k)
	}
	var rows [][]any
	for room, keys := range byRoom {
		better, err := g.better(room, keys)
		if err != nil {
			return Stand{}, err
		}
		for _, k := range better {
			rows = append(rows, []any{string(user), version, string(room), k.Session, k.First, k.Forwarded, k.Verified, []byte(k.Data)})
		}
	}
	if len(rows) == 0 {
		return g.Stand, nil
	}
	var all int64
	if err := tx.Row("SELECT CAST(coalesce(sum(bytes), 0) AS bigint) FROM key_backups WHERE user_id = $1", user).Scan(&all); err != nil {
		return Stand{}, err
	}
	if g.grown > 0 && all+g.grown > b.maxBytes {
		return Stand{}, mxerr.New(mxerr.TooLarge, "Backups can have %d bytes together and not more", b.maxBytes)
	}
	if err := tx.QueueAll(insertBackupKeys, rows); err != nil {
		return Stand{}, err
	}
	return g.Stand, g.write()
}

// growth is a change of the keys of a version.
type growth struct {
	tx      *store.Tx
	user    id.UserID
	version int64
	Stand
	grown int64 // by how many bytes
}

// lock reads how far the version has come, and keeps others from changing it.
func (g *growth) lock(and string) error {
	err := g.tx.Row("UPDATE key_backups SET etag = etag WHERE user_id = $1 AND version = $2 "+and+" RETURNING etag, keys", g.user, g.version).
		Scan(&g.ETag, &g.Count)
	if none(err) {
		return noBackup()
	}
	return err
}

// write stores that there was a change.
func (g *growth) write() error {
	g.ETag++
	return g.tx.Queue("UPDATE key_backups SET etag = $3, keys = $4, bytes = bytes + $5 WHERE user_id = $1 AND version = $2",
		g.user, g.version, g.ETag, g.Count, g.grown)
}

// keyOverhead is about how many bytes a key takes beside its data.
const keyOverhead = 200

// better returns those keys of a room that take the place of what there is, and
// counts what that comes to.
func (g *growth) better(room id.RoomID, keys []SessionKey) (better []SessionKey, err error) {
	type stored struct {
		SessionKey
		size int64
	}
	there := make(map[string]stored)
	sessions := make([]string, len(keys))
	for i, k := range keys {
		sessions[i] = k.Session
	}
	in, list := g.tx.In(4, sessions)
	rows := g.tx.Query(`
		SELECT session_id, first_index, forwarded, verified, length(data) FROM backup_keys
		WHERE user_id = $1 AND version = $2 AND room_id = $3 AND session_id `+in, g.user, g.version, string(room), list)
	for row, err := range rows {
		var k stored
		if err == nil {
			err = row.Scan(&k.Session, &k.First, &k.Forwarded, &k.Verified, &k.size)
		}
		if err != nil {
			return nil, err
		}
		there[k.Session] = k
	}
	for _, k := range keys {
		old, ok := there[k.Session]
		switch {
		case !ok:
			g.Count++
			g.grown += keyOverhead
		case !k.replaces(old.SessionKey):
			continue
		}
		g.grown += int64(len(k.Data)) - old.size
		better = append(better, k)
	}
	return better, nil
}

// Remove removes keys of a version: that of a session, those of a room if that is
// empty, or all if the room is empty too. The refusal is [mxerr.NotFound].
func (b *Backups) Remove(ctx context.Context, user id.UserID, version int64, room id.RoomID, session string) (Stand, error) {
	if _, err := b.Get(ctx, user, version); err != nil {
		return Stand{}, err
	}
	s, err := b.removeKeys(ctx, user, version, room, session)
	if err != nil {
		return Stand{}, fmt.Errorf("removing keys of backup %d of %s: %w", version, user, err)
	}
	return s, nil
}

// removedAtOnce is how many keys are removed in a transaction, so that others can
// write in between.
const removedAtOnce = 2000

func (b *Backups) removeKeys(ctx context.Context, user id.UserID, version int64, room id.RoomID, session string) (s Stand, err error) {
	where, args := keysOf(user, version, room, session)
	for more := true; more && err == nil; {
		err = b.db.Update(ctx, func(tx *store.Tx) error {
			g := growth{tx: tx, user: user, version: version}
			if err := g.lock(""); err != nil {
				return err
			}
			sizes, err := store.List[int64](tx, fmt.Sprintf(`
				DELETE FROM backup_keys WHERE user_id = $1 AND version = $2 AND (room_id, session_id) IN (
					SELECT room_id, session_id FROM backup_keys WHERE %s LIMIT %d) RETURNING length(data)`, where, removedAtOnce), args...)
			if err != nil {
				return err
			}
			for _, size := range sizes {
				g.Count--
				g.grown -= size + keyOverhead
			}
			more = len(sizes) == removedAtOnce
			if len(sizes) > 0 {
				err = g.write()
			}
			s = g.Stand
			return err
		})
	}
	return s, err
}

// keysOf is the condition for keys of a version, and its arguments.
func keysOf(user id.UserID, version int64, room id.RoomID, session string) (where string, args []any) {
	where, args = "user_id = $1 AND version = $2", []any{user, version}
	if room != "" {
		where, args = where+" AND room_id = $3", append(args, string(room))
	}
	if session != "" {
		where, args = where+" AND session_id = $4", append(args, session)
	}
	return where, args
}

// keysPerPage is how many keys are read at a time.
const keysPerPage = 1000

// page returns keys of a version behind a key, in the order of rooms and sessions.
func (b *Backups) page(ctx context.Context, user id.UserID, version int64, room id.RoomID, session string, after SessionKey) (keys []SessionKey, err error) {
	where, args := keysOf(user, version, room, session)
	n := len(args)
	args = append(args, string(after.Room), after.Session)
	err = b.db.View(ctx, func(tx *store.Tx) error {
		rows := tx.Query(fmt.Sprintf(`
			SELECT room_id, session_id, first_index, forwarded, verified, data FROM backup_keys
			WHERE %s AND (room_id, session_id) > ($%d, $%d) ORDER BY room_id, session_id LIMIT %d`, where, n+1, n+2, keysPerPage), args...)
		for row, err := range rows {
			var k SessionKey
			if err == nil {
				err = row.Scan(&k.Room, &k.Session, &k.First, &k.Forwarded, &k.Verified, &k.Data)
			}
			if err != nil {
				return err
			}
			keys = append(keys, k)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading keys of backup %d of %s: %w", version, user, err)
	}
	return keys, nil
}

// Key returns the key of a session, or [mxerr.NotFound].
func (b *Backups) Key(ctx context.Context, user id.UserID, version int64, room id.RoomID, session string) (SessionKey, error) {
	if _, err := b.Get(ctx, user, version); err != nil {
		return SessionKey{}, err
	}
	keys, err := b.page(ctx, user, version, room, session, SessionKey{})
	if err == nil && len(keys) == 0 {
		err = mxerr.New(mxerr.NotFound, "There is no key of this session in the backup")
	}
	if err != nil {
		return SessionKey{}, err
	}
	return keys[0], nil
}
