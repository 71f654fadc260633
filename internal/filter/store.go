package filter

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"parley/internal/cache"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// MaxFilters is how many filters a user can upload. A client has a handful, and
// nobody can remove one.
const MaxFilters = 1000

// cacheSize is about what each of the two caches takes, in bytes.
const cacheSize = 8 << 20

// Store keeps the filters that users have uploaded. It is safe for concurrent
// use.
type Store struct {
	db *store.DB
	// everything and everyEvent are what no filter at all means.
	everything Filter
	everyEvent RoomEventFilter
	// A filter never changes, so nothing in the caches ever becomes wrong.
	filters    *cache.Cache[key, kept[*Filter]]
	roomEvents *cache.Cache[key, kept[*RoomEventFilter]]
}

// NewStore returns a store over a database.
func NewStore(db *store.DB) *Store {
	return &Store{
		db:         db,
		filters:    cache.New[key](cacheSize, kept[*Filter].weight),
		roomEvents: cache.New[key](cacheSize, kept[*RoomEventFilter].weight),
	}
}

// Put stores a filter and returns its ID. A user's filters of the same
// definition are one. The errors are those of Parse, and M_INVALID_PARAM for a
// user who has MaxFilters.
func (s *Store) Put(ctx context.Context, user id.UserID, definition canonjson.Value) (string, error) {
	if _, err := Parse(definition); err != nil {
		return "", err
	}
	hash := sha256.Sum256(definition)
	var number int64
	find := func(tx *store.Tx) (err error) {
		number, err = findByHash(tx, user, hash[:])
		return err
	}
	// Clients upload the same filter at every start. That should not make them
	// wait for those who write.
	err := s.db.View(ctx, find)
	if errors.Is(err, store.ErrNoRows) {
		err = s.db.Update(ctx, func(tx *store.Tx) (err error) {
			number, err = insert(tx, user, definition, hash[:])
			return err
		})
	}
	if err != nil {
		return "", fmt.Errorf("storing a filter of %s: %w", user, err)
	}
	return strconv.FormatInt(number, 10), nil
}

func findByHash(tx *store.Tx, user id.UserID, hash []byte) (number int64, err error) {
	err = tx.Row("SELECT filter FROM filters WHERE user_id = $1 AND hash = $2", user, hash).Scan(&number)
	return number, err
}

// insert gives a filter the next number. Another transaction may take the number,
// or store the same filter; so each round in vain has made one of MaxFilters.
func insert(tx *store.Tx, user id.UserID, definition canonjson.Value, hash []byte) (int64, error) {
	for {
		number, err := findByHash(tx, user, hash)
		if !errors.Is(err, store.ErrNoRows) {
			return number, err
		}
		var last int64
		if err := tx.Row("SELECT coalesce(max(filter), 0) FROM filters WHERE user_id = $1", user).Scan(&last); err != nil {
			return 0, err
		}
		if last >= MaxFilters {
			return 0, mxerr.New(mxerr.InvalidParam, "A user can have %d filters and not more", MaxFilters)
		}
		inserted, err := tx.Exec(`
			INSERT INTO filters (user_id, filter, definition, hash) VALUES ($1, $2, $3, $4)
			ON CONFLICT DO NOTHING`, user, last+1, definition, hash)
		if inserted == 1 || err != nil {
			return last + 1, err
		}
	}
}

// Get returns a filter of a user, or M_NOT_FOUND. It must not be modified.
func (s *Store) Get(ctx context.Context, user id.UserID, filterID string) (*Filter, error) {
	k := key{user, filterID}
	if k, ok := s.filters.Get(k); ok {
		return k.filter, nil
	}
	number, err := strconv.ParseInt(filterID, 10, 64)
	if err != nil || strconv.FormatInt(number, 10) != filterID {
		return nil, notFound()
	}
	var definition canonjson.Value
	err = s.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT definition FROM filters WHERE user_id = $1 AND filter = $2", user, number).Scan(&definition)
	})
	if errors.Is(err, store.ErrNoRows) {
		return nil, notFound()
	}
	if err != nil {
		return nil, fmt.Errorf("reading filter %d of %s: %w", number, user, err)
	}
	f, err := Parse(definition)
	if err != nil {
		return nil, fmt.Errorf("reading filter %d of %s: %w", number, user, err)
	}
	s.filters.Put(k, kept[*Filter]{f, len(definition)})
	return f, nil
}

// Remove removes the filters of a user whose account was deactivated.
func (s *Store) Remove(ctx context.Context, user id.UserID) error {
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("DELETE FROM filters WHERE user_id = $1", user)
		return err
	})
	if err != nil {
		return fmt.Errorf("removing the filters of %s: %w", user, err)
	}
	return nil
}

func notFound() error { return mxerr.New(mxerr.NotFound, "There is no such filter") }

// Resolve returns the filter that a query parameter of /sync means: the JSON of
// one, the ID of one that the user has uploaded, or if it is empty the one that
// lets everything pass. It must not be modified. The errors are those of Parse,
// M_NOT_JSON, and M_INVALID_PARAM for an ID that the user has not.
func (s *Store) Resolve(ctx context.Context, user id.UserID, param string) (*Filter, error) {
	switch {
	case param == "":
		return &s.everything, nil
	case strings.HasPrefix(param, "{"):
		return inline(s.filters, param, Parse)
	}
	f, err := s.Get(ctx, user, param)
	if errors.Is(err, mxerr.NotFound) {
		return nil, mxerr.New(mxerr.InvalidParam, "There is no such filter")
	}
	return f, err
}

// ResolveRoomEvents returns the filter that a query parameter of /messages or
// /context means, which is JSON or empty. It must not be modified. The errors are
// those of ParseRoomEvents, and M_NOT_JSON.
func (s *Store) ResolveRoomEvents(param string) (*RoomEventFilter, error) {
	if param == "" {
		return &s.everyEvent, nil
	}
	return inline(s.roomEvents, param, ParseRoomEvents)
}

// inline compiles the JSON of a filter, unless it was done before.
func inline[F any](c *cache.Cache[key, kept[F]], text string, parse func(canonjson.Value) (F, error)) (filter F, err error) {
	k := key{text: text}
	if k, ok := c.Get(k); ok {
		return k.filter, nil
	}
	definition, err := canonjson.Canonical([]byte(text), canonjson.Lenient)
	if err != nil {
		return filter, mxerr.New(mxerr.NotJSON, "The filter is not JSON: %v", err)
	}
	if filter, err = parse(definition); err != nil {
		return filter, err
	}
	c.Put(k, kept[F]{filter, len(text) + len(definition)})
	return filter, nil
}
