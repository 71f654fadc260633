package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"parley/internal/store"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// An Upload is what comes with a content.
type Upload struct {
	// Type is the content type as the client gives it, and Name that of the file;
	// each may be empty or nonsense.
	Type, Name string
	// Length is how many bytes the client says that there are, negative if it does not.
	Length int64
}

// How long content may be awaited, and for how many URIs of one user at a time.
const (
	pendingTime = 24 * time.Hour
	mostPending = 100
)

// Upload keeps a content, and returns what it is called from now on. The user is
// refused with M_TOO_LARGE or M_FORBIDDEN; errors of reading are returned as they are.
func (s *Store) Upload(ctx context.Context, user id.UserID, u Upload, body io.Reader) (id.ContentURI, error) {
	if err := s.admit(ctx, user, u.Length); err != nil {
		return "", err
	}
	in, err := s.receive(body)
	if err != nil {
		return "", err
	}
	m := s.uploaded(user, u, in)
	m.URI = s.newURI()
	err = s.files.keep(ctx, in, func() error {
		return s.db.Update(ctx, func(tx *store.Tx) error {
			if err := s.within(tx, user, in.size); err != nil {
				return err
			}
			return insert(tx, m)
		})
	})
	if err = s.orRelease(in.hash, err, "storing an upload of "+string(user)); err == nil {
		s.counters.uploaded(in.size)
	}
	return m.URI, err
}

// uploaded is what is noted of an upload.
func (s *Store) uploaded(user id.UserID, u Upload, in *incoming) Media {
	return Media{
		User: user, Hash: in.hash, Size: in.size, Type: contentType(u.Type), Name: fileName(u.Name),
		Created: time.Now(), Public: s.o.Public,
	}
}

// admit refuses before anything is read what will be refused after all.
func (s *Store) admit(ctx context.Context, user id.UserID, length int64) error {
	if length > s.o.MaxUpload {
		return s.tooLarge()
	}
	if s.o.UserQuota == 0 {
		return nil // there is nothing to be read
	}
	err := s.db.View(ctx, func(tx *store.Tx) error { return s.within(tx, user, max(length, 0)) })
	return faultOf(err, "reading what %s has uploaded", user)
}

// within refuses what is beyond the quota of a user.
func (s *Store) within(tx *store.Tx, user id.UserID, more int64) error {
	if s.o.UserQuota == 0 {
		return nil
	}
	bytes, err := taken(tx, user)
	if err == nil && bytes+more > s.o.UserQuota {
		s.counters.refused.Add(1)
		err = mxerr.New(mxerr.Forbidden, "You have uploaded %d bytes, and may upload no more than %d", bytes, s.o.UserQuota)
	}
	return err
}

func (s *Store) receive(body io.Reader) (*incoming, error) {
	in, err := s.files.receive(body, s.o.MaxUpload)
	if errors.Is(err, errTooLarge) {
		err = s.tooLarge()
	}
	return in, err
}

func (s *Store) tooLarge() error {
	return mxerr.New(mxerr.TooLarge, "At most %d bytes can be uploaded", s.o.MaxUpload).WithStatus(http.StatusRequestEntityTooLarge)
}

// orRelease returns err, and gives up a content if it is one: its row has not come
// about.
func (s *Store) orRelease(h Hash, err error, doing string) error {
	if err == nil {
		return nil
	}
	// What may be there after all, or is where nothing can be done, is left for the sweep.
	if !errors.Is(err, store.ErrUnknown) && !errors.Is(err, errUnreachable) {
		if _, failed := s.files.release(h, s.known(s.life)); failed != nil {
			s.o.Log.Warn("a file is left to be swept", "err", failed)
		}
	}
	return faultOf(err, "%s", doing)
}

// faultOf says what was being done, unless err is a refusal.
func faultOf(err error, format string, args ...any) error {
	var refusal *mxerr.Error
	if err == nil || errors.As(err, &refusal) {
		return err
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}

// Create returns a content URI whose content comes later, and until when it has to.
// A user who has too many of these is refused with M_LIMIT_EXCEEDED.
func (s *Store) Create(ctx context.Context, user id.UserID) (id.ContentURI, time.Time, error) {
	now := time.Now()
	m := Media{URI: s.newURI(), User: user, Type: octets, Created: now, Expires: now.Add(pendingTime), Public: s.o.Public}
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		if err := s.within(tx, user, 1); err != nil {
			return err
		}
		var pending int64
		err := tx.Row("SELECT count(*) FROM media WHERE user_id = $1 AND expires > $2", user, now.UnixMilli()).Scan(&pending)
		if err == nil && pending >= mostPending {
			err = mxerr.New(mxerr.LimitExceeded, "The content of %d URIs has not been uploaded yet", pending).
				With("retry_after_ms", time.Minute.Milliseconds())
		}
		if err != nil {
			return err
		}
		return insert(tx, m)
	})
	return m.URI, m.Expires, faultOf(err, "reserving a URI for %s", user)
}

// Fill keeps the content of a URI that was created before.
func (s *Store) Fill(ctx context.Context, user id.UserID, u id.ContentURI, up Upload, body io.Reader) error {
	found, err := s.find(ctx, u)
	if err == nil {
		err = fillable(found, u, user)
	}
	if err == nil {
		err = s.admit(ctx, user, up.Length)
	}
	if err != nil {
		return err
	}
	in, err := s.receive(body)
	if err != nil {
		return err
	}
	m := s.uploaded(user, up, in)
	err = s.files.keep(ctx, in, func() error {
		return s.db.Update(ctx, func(tx *store.Tx) error {
			// Another request may have been faster, and the time may be over.
			found, err := findIn(tx, u)
			if err == nil {
				err = fillable(found, u, user)
			}
			if err == nil {
				err = s.within(tx, user, in.size)
			}
			if err != nil {
				return err
			}
			n, err := tx.Exec(`
				UPDATE media SET hash = $1, size = $2, type = $3, name = $4, used = $5, public = $6, expires = 0
				WHERE server = $7 AND media_id = $8 AND hash IS NULL`,
				m.Hash[:], m.Size, m.Type, m.Name, m.Created.UnixMilli(), m.Public, u.Server(), u.MediaID())
			if err == nil && n == 0 {
				err = overwritten(u)
			}
			return err
		})
	})
	if err := s.orRelease(in.hash, err, "storing the content of "+string(u)); err != nil {
		return err
	}
	s.counters.uploaded(in.size)
	s.arrivals.tell(u)
	return nil
}

// fillable refuses an upload to what is not there, is not the user's, or is full.
func fillable(m *Media, u id.ContentURI, user id.UserID) error {
	switch {
	case m == nil:
		return notFound(u)
	case m.User != user:
		return mxerr.New(mxerr.Forbidden, "Somebody else has created %s", u)
	case !m.pending():
		return overwritten(u)
	case time.Now().After(m.Expires):
		return notFound(u)
	}
	return nil
}

func overwritten(u id.ContentURI) error {
	return mxerr.New(mxerr.CannotOverwriteMedia, "%s has its content already", u)
}

func notFound(u id.ContentURI) error { return mxerr.New(mxerr.NotFound, "There is no %s", u) }

// arrivals are who waits for content that was announced.
type arrivals struct {
	mu      sync.Mutex
	waiting map[id.ContentURI]*arrival
	count   int
}

type arrival struct {
	came    chan struct{}
	waiting int
}

// mostWaiting is how many requests may wait for content at a time. Others are told
// at once that it has not come.
const mostWaiting = 1000

// expect returns what is closed when the content of a URI has come, nil if there is
// no place to wait. It is to be asked before looking whether it has.
func (a *arrivals) expect(u id.ContentURI) (came <-chan struct{}, leave func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.count >= mostWaiting {
		return nil, func() {}
	}
	one := a.waiting[u]
	if one == nil {
		one = &arrival{came: make(chan struct{})}
		if a.waiting == nil {
			a.waiting = make(map[id.ContentURI]*arrival)
		}
		a.waiting[u] = one
	}
	one.waiting++
	a.count++
	return one.came, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.count--
		if one.waiting--; one.waiting == 0 && a.waiting[u] == one {
			delete(a.waiting, u)
		}
	}
}

func (a *arrivals) tell(u id.ContentURI) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if one := a.waiting[u]; one != nil {
		close(one.came)
		delete(a.waiting, u)
	}
}
