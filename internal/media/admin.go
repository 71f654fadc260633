package media

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// Info returns what is known of media, or M_NOT_FOUND.
func (s *Store) Info(ctx context.Context, u id.ContentURI) (*Media, error) {
	m, err := s.find(ctx, u)
	if err == nil && m == nil {
		err = notFound(u)
	}
	return m, err
}

// Quarantine keeps a content from everybody, whatever it is called, now or later, or
// lets them have it again.
func (s *Store) Quarantine(ctx context.Context, u id.ContentURI, by id.UserID, keep bool) error {
	m, err := s.Info(ctx, u)
	if err != nil || m.pending() {
		return err
	}
	return s.QuarantineHash(ctx, m.Hash, by, keep)
}

// QuarantineHash keeps a content from everybody that need not be here, or not any
// more, or lets them have it.
func (s *Store) QuarantineHash(ctx context.Context, h Hash, by id.UserID, keep bool) error {
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		if keep {
			return intoQuarantine(tx, h, by)
		}
		_, err := tx.Exec("DELETE FROM media_quarantine WHERE hash = $1", h[:])
		return err
	})
	return faultOf(err, "changing whether %s is in quarantine", h)
}

func intoQuarantine(tx *store.Tx, h Hash, by id.UserID) error {
	_, err := tx.Exec("INSERT INTO media_quarantine (hash, user_id, since) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
		h[:], by, time.Now().UnixMilli())
	return err
}

// Quarantined is a content that nobody gets.
type Quarantined struct {
	Hash  Hash
	By    id.UserID
	Since time.Time
	// URIs is how many content URIs it has here at present.
	URIs int64
}

// InQuarantine returns a page of the contents that nobody gets, the last first, and
// how many there are on all pages.
func (s *Store) InQuarantine(ctx context.Context, skip, limit int64) (list []Quarantined, total int64, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		if err := tx.Row("SELECT count(*) FROM media_quarantine").Scan(&total); err != nil {
			return err
		}
		list, err = store.Collect(tx.Query(`
			SELECT q.hash, q.user_id, q.since, (SELECT count(*) FROM media m WHERE m.hash = q.hash) FROM media_quarantine q
			ORDER BY q.since DESC, q.hash LIMIT $1 OFFSET $2`, limit, skip), func(from func(...any) error) (q Quarantined, err error) {
			var hash []byte
			var by string
			var since int64
			err = from(&hash, &by, &since, &q.URIs)
			copy(q.Hash[:], hash)
			q.By, q.Since = id.UserID(by), time.UnixMilli(since)
			return q, err
		})
		return err
	})
	return list, total, faultOf(err, "listing what is in quarantine")
}

// QuarantineAll puts all of some media into quarantine whose content nobody
// protects, and returns how many these are.
func (s *Store) QuarantineAll(ctx context.Context, uris []id.ContentURI, by id.UserID) (count int, err error) {
	for part := range slices.Chunk(uris, listStep) {
		list, err := s.several(ctx, part)
		if err != nil {
			return count, err
		}
		n, err := s.quarantine(ctx, list, by)
		if count += n; err != nil {
			return count, err
		}
	}
	return count, nil
}

// QuarantineUser does that with all that a user has uploaded.
func (s *Store) QuarantineUser(ctx context.Context, user, by id.UserID) (int, error) {
	list, err := s.ofUser(ctx, user)
	if err != nil {
		return 0, err
	}
	return s.quarantine(ctx, list, by)
}

// quarantine leaves out what is protected, or is in quarantine already.
func (s *Store) quarantine(ctx context.Context, list []Media, by id.UserID) (count int, err error) {
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		count = 0
		for _, m := range list {
			if m.Protected || m.pending() || m.Quarantined != "" {
				continue
			}
			count++
			if err := intoQuarantine(tx, m.Hash, by); err != nil {
				return err
			}
		}
		return nil
	})
	return count, faultOf(err, "putting media into quarantine")
}

// Protect keeps media from being put into quarantine with others, or does not any
// more.
func (s *Store) Protect(ctx context.Context, u id.ContentURI, protect bool) error {
	if _, err := s.Info(ctx, u); err != nil {
		return err
	}
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("UPDATE media SET protected = $1 WHERE server = $2 AND media_id = $3", protect, u.Server(), u.MediaID())
		return err
	})
	return faultOf(err, "protecting %s", u)
}

// Delete removes media, and returns which of them there were. What came from
// elsewhere may come again.
func (s *Store) Delete(ctx context.Context, uris []id.ContentURI) (gone []id.ContentURI, err error) {
	for part := range slices.Chunk(uris, listStep) {
		list, err := s.several(ctx, part)
		if err == nil {
			err = s.remove(ctx, list)
		}
		if err != nil {
			return gone, err
		}
		for _, m := range list {
			gone = append(gone, m.URI)
		}
	}
	return gone, nil
}

// Old says which media are to be removed.
type Old struct {
	// Unused is since when they were not used, and Larger than how many bytes they are.
	Unused time.Time
	Larger int64
	// Cached says that it is what can be had again from elsewhere; otherwise it is what
	// was uploaded here.
	Cached bool
	// Keep are media that stay.
	Keep map[string]bool
}

// DeleteOld removes old media, and returns which. What is in quarantine or
// protected stays.
func (s *Store) DeleteOld(ctx context.Context, o Old) (gone []id.ContentURI, err error) {
	if err := s.noteUses(ctx); err != nil {
		return nil, err
	}
	var list []Media
	err = s.db.View(ctx, func(tx *store.Tx) error {
		list, err = store.Collect(tx.Query("SELECT "+columns+" FROM "+tables+`
			WHERE m.cached = $1 AND m.used < $2 AND m.size > $3 AND m.hash IS NOT NULL AND NOT m.protected AND q.hash IS NULL`,
			o.Cached, o.Unused.UnixMilli(), o.Larger), scan)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for old media: %w", err)
	}
	list = slices.DeleteFunc(list, func(m Media) bool { return o.Keep[string(m.URI)] })
	for part := range slices.Chunk(list, listStep) {
		if err := s.remove(ctx, part); err != nil {
			return gone, err
		}
		for _, m := range part {
			gone = append(gone, m.URI)
		}
	}
	return gone, nil
}

// listStep is how many are worked on together.
const listStep = 500

// several returns those of some media that there are.
func (s *Store) several(ctx context.Context, uris []id.ContentURI) (list []Media, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		list = nil
		for _, u := range uris {
			m, err := findIn(tx, u)
			if err != nil {
				return err
			}
			if m != nil {
				list = append(list, *m)
			}
		}
		return nil
	})
	return list, faultOf(err, "looking for media")
}

func (s *Store) ofUser(ctx context.Context, user id.UserID) (list []Media, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		list, err = store.Collect(tx.Query("SELECT "+columns+" FROM "+tables+" WHERE m.user_id = $1", user), scan)
		return err
	})
	return list, faultOf(err, "looking for what %s has uploaded", user)
}

// An Order is what media of a user are sorted by.
type Order string

const (
	ByID         Order = "media_id"
	ByName       Order = "upload_name"
	ByCreation   Order = "created_ts"
	ByUse        Order = "last_access_ts"
	BySize       Order = "media_length"
	ByType       Order = "media_type"
	ByQuarantine Order = "quarantined_by"
	ByProtection Order = "safe_from_quarantine"
)

// column is the column of an order, empty for one that is none.
func (o Order) column() string {
	switch o {
	case ByID:
		return "m.media_id"
	case ByName:
		return "m.name"
	case ByCreation:
		return "m.created"
	case ByUse:
		return "m.used"
	case BySize:
		return "m.size"
	case ByType:
		return "m.type"
	case ByQuarantine:
		return "coalesce(q.user_id, '')"
	case ByProtection:
		return "m.protected"
	}
	return ""
}

// Known reports whether there is such an order.
func (o Order) Known() bool { return o.column() != "" }

// OfUser returns a page of what a user has uploaded, never nil, and how many there
// are on all pages.
func (s *Store) OfUser(ctx context.Context, user id.UserID, by Order, backwards bool, skip, limit int64) (list []Media, total int64, err error) {
	direction := "ASC"
	if backwards {
		direction = "DESC"
	}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		if err := tx.Row("SELECT count(*) FROM media WHERE user_id = $1", user).Scan(&total); err != nil {
			return err
		}
		list, err = store.Collect(tx.Query("SELECT "+columns+" FROM "+tables+" WHERE m.user_id = $1 ORDER BY "+
			by.column()+" "+direction+", m.media_id "+direction+" LIMIT $2 OFFSET $3", user, limit, skip), scan)
		return err
	})
	return list, total, faultOf(err, "listing what %s has uploaded", user)
}

// A Total is what a user has uploaded.
type Total struct {
	User         id.UserID
	Count, Bytes int64
}

// Totals returns what each user has uploaded.
func (s *Store) Totals(ctx context.Context) (list []Total, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		list, err = store.Collect(tx.Query("SELECT user_id, count(*), CAST(sum(size) AS bigint) FROM media WHERE user_id IS NOT NULL GROUP BY user_id"),
			func(from func(...any) error) (t Total, err error) {
				var user string
				err = from(&user, &t.Count, &t.Bytes)
				t.User = id.UserID(user)
				return t, err
			})
		return err
	})
	return list, faultOf(err, "adding up what users have uploaded")
}

// Usage is how much there is.
type Usage struct{ Uploads, UploadBytes, Copies, CopyBytes int64 }

// Usage returns how much there is, by name: what has several counts as often.
func (s *Store) Usage(ctx context.Context) (u Usage, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		const query = "SELECT count(*), CAST(coalesce(sum(size), 0) AS bigint) FROM media WHERE cached = $1"
		return errors.Join(
			tx.Row(query, false).Scan(&u.Uploads, &u.UploadBytes),
			tx.Row(query, true).Scan(&u.Copies, &u.CopyBytes))
	})
	return u, faultOf(err, "adding up media")
}

// Mentioned gives each the content URIs that stand somewhere in a value.
func Mentioned(v canonjson.Value, each func(id.ContentURI)) {
	switch v.Kind() {
	case canonjson.String:
		if text, _ := v.Text(); strings.HasPrefix(text, "mxc://") {
			if u, err := id.ParseContentURI(text); err == nil {
				each(u)
			}
		}
	case canonjson.Array:
		for element := range v.Elements() {
			Mentioned(element, each)
		}
	case canonjson.Object:
		for _, member := range v.Members() {
			Mentioned(member, each)
		}
	}
}
