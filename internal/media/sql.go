package media

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/internal/store"
	"parley/matrix/id"
)

// Media is what is known of a content URI.
type Media struct {
	URI  id.ContentURI
	User id.UserID // who uploaded it here; empty: nobody
	// Hash is that of the content, zero while it has not come.
	Hash    Hash
	Size    int64
	Type    string // the content type
	Name    string // of the file; empty: it has none
	Created time.Time
	Used    time.Time // the last time, to within some minutes
	// Expires is until when the content has to come, zero when it has.
	Expires time.Time
	// Public says that it may be had without an access token.
	Public bool
	// Cached says that it can be had again from elsewhere.
	Cached bool
	// Protected says that it is not put into quarantine with others.
	Protected bool
	// Quarantined is who has put the content into quarantine; empty: nobody.
	Quarantined id.UserID
}

// pending reports whether the content has not come yet.
func (m *Media) pending() bool { return m.Hash == Hash{} }

const columns = `m.server, m.media_id, m.user_id, m.hash, m.size, m.type, m.name, m.created, m.used, m.expires,
	m.public, m.cached, m.protected, q.user_id`

const tables = "media m LEFT JOIN media_quarantine q ON q.hash = m.hash"

// scan reads columns.
func scan(from func(...any) error) (Media, error) {
	var m Media
	var server, mediaID, user, by string
	var hash []byte
	var created, used, expires int64
	err := from(&server, &mediaID, &user, &hash, &m.Size, &m.Type, &m.Name, &created, &used, &expires,
		&m.Public, &m.Cached, &m.Protected, &by)
	m.URI, m.User, m.Quarantined = uri(server, mediaID), id.UserID(user), id.UserID(by)
	copy(m.Hash[:], hash)
	m.Created, m.Used = time.UnixMilli(created), time.UnixMilli(used)
	if expires > 0 {
		m.Expires = time.UnixMilli(expires)
	}
	return m, err
}

func uri(server, mediaID string) id.ContentURI {
	return id.ContentURI("mxc://" + server + "/" + mediaID)
}

// find returns what is known of a content URI, nil if nothing.
func (s *Store) find(ctx context.Context, u id.ContentURI) (found *Media, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		found, err = findIn(tx, u)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for %s: %w", u, err)
	}
	return found, nil
}

func findIn(tx *store.Tx, u id.ContentURI) (*Media, error) {
	m, err := scan(tx.Row("SELECT "+columns+" FROM "+tables+" WHERE m.server = $1 AND m.media_id = $2",
		u.Server(), u.MediaID()).Scan)
	if errors.Is(err, store.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &m, nil
}

// insert notes new media.
func insert(tx *store.Tx, m Media) error {
	var hash []byte
	if !m.pending() {
		hash = m.Hash[:]
	}
	var expires int64
	if !m.Expires.IsZero() {
		expires = m.Expires.UnixMilli()
	}
	_, err := tx.Exec(`
		INSERT INTO media (server, media_id, user_id, hash, size, type, name, created, used, expires, public, cached, protected)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10, $11, false)
		ON CONFLICT (server, media_id) DO UPDATE SET hash = excluded.hash, size = excluded.size, type = excluded.type,
			name = excluded.name, created = excluded.created, used = excluded.used, public = excluded.public`,
		m.URI.Server(), m.URI.MediaID(), m.User, hash, m.Size, m.Type, m.Name, m.Created.UnixMilli(), expires, m.Public, m.Cached)
	return err
}

// known returns which of some contents are named by rows.
func (s *Store) known(ctx context.Context) func([]Hash) (map[Hash]bool, error) {
	return func(hashes []Hash) (map[Hash]bool, error) {
		there := make(map[Hash]bool)
		list := make([][]byte, len(hashes))
		for i := range hashes {
			list[i] = hashes[i][:]
		}
		err := s.db.View(ctx, func(tx *store.Tx) error {
			in, arg := tx.In(1, list)
			found, err := store.List[[]byte](tx, "SELECT DISTINCT hash FROM media WHERE hash "+in, arg)
			for _, h := range found {
				there[Hash(h)] = true
			}
			return err
		})
		return there, err
	}
}

// taken is how many bytes a user has uploaded.
func taken(tx *store.Tx, user id.UserID) (bytes int64, err error) {
	err = tx.Row("SELECT CAST(coalesce(sum(size), 0) AS bigint) FROM media WHERE user_id = $1", user).Scan(&bytes)
	return bytes, err
}
