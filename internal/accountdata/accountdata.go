package accountdata

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"parley/internal/cache"
	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/pushrule"
)

// The types of account data that the server knows about.
const (
	PushRules = "m.push_rules" // of no room
	FullyRead = "m.fully_read" // of a room
	Tag       = "m.tag"        // of a room
)

// maxType is how many bytes a type may have, as for events.
const maxType = 255

// maxTotal is about how many bytes of account data a user may have. An initial
// /sync has all of them in it.
const maxTotal = 32 << 20

// Store keeps account data. It is safe for concurrent use.
type Store struct {
	db       *store.DB
	journal  *journal.Journal
	maxTotal int64
	official []id.UserID
	// personal has the push rules of users as they are evaluated.
	personal *cache.Cache[id.UserID, personal]
	proposed pushrule.Proposed
	wishes   *cache.Cache[journal.Scope, *wishes] // nil for those that have changed
}

// Options are what a store depends on.
type Options struct {
	// Official are the users who speak for the server, so that it does not depend on
	// who wants to be invited whether they reach everybody.
	Official []id.UserID
	// Rules are what the server has of push rules beside those of the specification.
	Rules pushrule.Proposed
}

// New returns a store over a database and its journal. It must be made before the
// journal runs.
func New(db *store.DB, j *journal.Journal, o Options) *Store {
	s := &Store{
		db: db, journal: j, maxTotal: maxTotal, official: o.Official, proposed: o.Rules,
		personal: cache.New[id.UserID](personalMemory, personal.weight),
		wishes:   cache.New[journal.Scope](mostWishes, (*wishes).weight),
	}
	j.OnForeign(s.foreignWishes)
	j.OnForeign(s.foreignRules)
	return s
}

// Data is one piece of account data. Room is empty if it is of none.
type Data struct {
	Room    id.RoomID
	Type    string
	Content canonjson.Value
}

// Put sets account data of a user, of a room or, if that is empty, of none. To make it
// empty is to delete it, and clients are told so even if there was nothing. What only
// the server sets is refused with M_BAD_JSON and status 405; a content that
// is no object with M_BAD_JSON; a bad type with M_INVALID_PARAM; what would be more
// than a user may have with M_TOO_LARGE.
func (s *Store) Put(ctx context.Context, user id.UserID, room id.RoomID, dataType string, content canonjson.Value) error {
	if err := checkType(dataType); err != nil {
		return err
	}
	if content.Kind() != canonjson.Object {
		return mxerr.New(mxerr.BadJSON, "The content of account data has to be an object")
	}
	p := place{user, room, dataType}
	if err := s.checkTotal(ctx, p, content); err != nil {
		return err
	}
	if string(content) == "{}" {
		content = canonjson.Value(deleted)
	}
	if _, err := s.journal.Append(ctx, s.change(p, content, nil)); err != nil {
		return fmt.Errorf("storing %s: %w", p, err)
	}
	return nil
}

func checkType(dataType string) error {
	switch {
	case dataType == PushRules || dataType == FullyRead:
		return mxerr.New(mxerr.BadJSON, "%s cannot be set through this API", dataType).WithStatus(405)
	case dataType == "" || len(dataType) > maxType || strings.Contains(dataType, "\x00"):
		return mxerr.New(mxerr.InvalidParam, "The type of account data has from 1 to %d bytes, and no NUL", maxType)
	}
	return nil
}

// Delete deletes account data of a user, of a room or, if that is empty, of none, if
// there is any. Clients that have it are told that it is empty now. What Put refuses to
// set is not deleted either. https://github.com/matrix-org/matrix-spec-proposals/pull/3391
func (s *Store) Delete(ctx context.Context, user id.UserID, room id.RoomID, dataType string) error {
	if err := checkType(dataType); err != nil {
		return err
	}
	return s.edit(ctx, place{user, room, dataType}, func(content []byte) ([]byte, error) {
		if content == nil {
			return nil, nil
		}
		return []byte(deleted), nil
	})
}

// checkTotal refuses content that leads beyond maxTotal. Several at once may go
// beyond it together.
func (s *Store) checkTotal(ctx context.Context, p place, content canonjson.Value) error {
	var others int64
	err := s.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row(`
			SELECT coalesce(sum(length(content)), 0) FROM account_data
			WHERE user_id = $1 AND NOT (room_id = $2 AND type = $3)`, p.user, p.room, p.dataType).Scan(&others)
	})
	if err != nil {
		return fmt.Errorf("adding up the account data of %s: %w", p.user, err)
	}
	if others+int64(len(content)) > s.maxTotal {
		return mxerr.New(mxerr.TooLarge, "A user can have %d bytes of account data and not more", s.maxTotal)
	}
	return nil
}

// Get returns account data of a user, of a room or, if that is empty, of none. If
// there is none the error is M_NOT_FOUND.
func (s *Store) Get(ctx context.Context, user id.UserID, room id.RoomID, dataType string) (canonjson.Value, error) {
	if dataType == PushRules && room == "" {
		rules, err := s.Rules(ctx, user)
		if err != nil {
			return nil, err
		}
		return rulesContent(rules)
	}
	content, _, err := s.read(ctx, place{user, room, dataType})
	if err == nil && content == nil {
		return nil, mxerr.New(mxerr.NotFound, "There is no account data of this type")
	}
	return content, err
}

// SetFullyRead moves the marker up to which a user has read a room.
// https://spec.matrix.org/v1.19/client-server-api/#fully-read-markers
func (s *Store) SetFullyRead(ctx context.Context, user id.UserID, room id.RoomID, eventID id.EventID) error {
	content := object("event_id", canonjson.Text(string(eventID)))
	return s.edit(ctx, place{user, room, FullyRead}, func([]byte) ([]byte, error) { return content, nil })
}

// errConflict: what an edit was decided on has changed since.
var errConflict = errors.New("the account data has changed meanwhile")

// read returns what is at a place, and the position of its last change, which is 0
// if there is nothing.
func (s *Store) read(ctx context.Context, p place) (content []byte, pos journal.Position, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		content, pos, err = p.read(tx.Row)
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("reading %s: %w", p, err)
	}
	return content, pos, nil
}

// edit replaces what is at a place by what f makes of it; f gets nil if there is
// nothing, and may be called again if somebody else was faster. Its errors are
// returned. What stays as it is, is no change, and nobody is woken by it.
func (s *Store) edit(ctx context.Context, p place, f func([]byte) ([]byte, error)) error {
	for {
		content, pos, err := s.read(ctx, p)
		if err != nil {
			return err
		}
		next, err := f(content)
		if err != nil || bytes.Equal(next, content) {
			return err
		}
		_, err = s.journal.Append(ctx, s.change(p, next, &pos))
		if err == nil {
			return nil
		}
		if !errors.Is(err, errConflict) {
			return fmt.Errorf("editing %s: %w", p, err)
		}
	}
}

// removal is the key of the removal of what a user has.
type removal struct{ user id.UserID }

// Remove removes all account data and the push rules of a user whose account was
// deactivated. Nobody can see any more that they are gone; the entries are for what
// is in memory, here and on other nodes, and has to be forgotten.
func (s *Store) Remove(ctx context.Context, user id.UserID) error {
	scope := journal.UserScope(user)
	_, err := s.journal.Append(ctx, func(b *journal.Batch) error {
		b.Append(scope, journal.KindAccountData, 0)
		b.Append(scope, journal.KindAccountData, RefPushRules)
		b.Write(removal{user}, func(tx *store.Tx) error {
			if err := tx.Queue("DELETE FROM account_data WHERE user_id = $1", user); err != nil {
				return err
			}
			return tx.Queue("DELETE FROM push_rules WHERE user_id = $1", user)
		})
		b.Durable(func() {
			s.forgetWishes(scope)
			s.forgetRules(user)
		})
		return nil
	})
	if err != nil {
		return fmt.Errorf("removing the account data of %s: %w", user, err)
	}
	return nil
}

// DeleteRoom removes what all users have for a room that was deleted, some at a
// time, so that others can write in between. Nobody sees that it is gone: a client
// is told of it with the room, and that is left.
func (s *Store) DeleteRoom(ctx context.Context, room id.RoomID) error {
	var places []place
	err := s.db.View(ctx, func(tx *store.Tx) error {
		// There is no index for this, and who only reads is in nobody's way.
		for row, err := range tx.Query("SELECT user_id, type FROM account_data WHERE room_id = $1", room) {
			if err != nil {
				return err
			}
			p := place{room: room}
			if err := row.Scan(&p.user, &p.dataType); err != nil {
				return err
			}
			places = append(places, p)
		}
		return nil
	})
	for chunk := range slices.Chunk(places, 100) {
		if err != nil {
			break
		}
		err = s.db.Update(ctx, func(tx *store.Tx) error {
			for _, p := range chunk {
				if err := tx.Queue("DELETE FROM account_data WHERE user_id = $1 AND room_id = $2 AND type = $3", p.user, room, p.dataType); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("deleting the account data of %s: %w", room, err)
	}
	return nil
}
