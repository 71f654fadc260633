package media

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"time"

	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// A Request is for media.
type Request struct {
	URI id.ContentURI
	// Wait is for how long content may be waited for that was announced, negative for
	// as long as by default.
	Wait time.Duration
	// Public says that who asks may be anybody: there is only what is public, and of
	// others only what has been fetched already.
	Public bool
	// Local leaves out what has to be fetched from others.
	Local bool
	// Redirect says that who asks may be sent to where the content is.
	Redirect bool
}

// linkAge is for how long a link to a content is good.
const linkAge = 10 * time.Minute

// For how long content is waited for.
const (
	usualWait   = 20 * time.Second
	longestWait = time.Minute
)

func (r Request) wait() time.Duration {
	if r.Wait < 0 {
		return usualWait
	}
	return min(r.Wait, longestWait)
}

// A File is a content to be read. Who gets it closes it.
type File struct {
	io.ReadSeekCloser // an *os.File wherever it is one, which the system sends by itself
	Size              int64
	Type              string
	Name              string
	tag               string // differs from that of every other content
	// link is where who asks is to be sent, with a content type and disposition, nil for
	// nowhere. There is nothing to read then.
	link func(ctx context.Context, contentType, disposition string) (string, error)
}

// nothing is no content.
type nothing struct{ bytes.Reader }

func (*nothing) Close() error { return nil }

// Open returns media. It waits for what has not been uploaded yet, and fetches what
// is elsewhere. What there is not, may not be had or is in quarantine is
// M_NOT_FOUND; what does not come in time M_NOT_YET_UPLOADED.
func (s *Store) Open(ctx context.Context, r Request) (*File, error) {
	_, f, err := s.open(ctx, r)
	return f, err
}

// open is Open with what is known of the media.
func (s *Store) open(ctx context.Context, r Request) (*Media, *File, error) {
	m, err := s.settled(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	if r.Redirect && s.o.Redirect && s.o.Bucket != nil {
		s.uses.note(m)
		return m, s.elsewhere(m), nil
	}
	f, err := s.read(ctx, m)
	if errors.Is(err, fs.ErrNotExist) && m.URI.Server() != s.o.Server && !r.Local {
		// Somebody has removed the file, or the row has just gone.
		if err := s.fetchOnce(ctx, r); err != nil {
			return nil, nil, err
		}
		if m, err = s.settled(ctx, r); err != nil {
			return nil, nil, err
		}
		f, err = s.read(ctx, m)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if again, failed := s.find(ctx, r.URI); failed == nil && again != nil && again.Hash == m.Hash {
			s.o.Log.Warn("the file of media is not there", "uri", r.URI, "file", s.files.content(m.Hash))
		}
		return nil, nil, notFound(r.URI)
	}
	if err != nil {
		return nil, nil, faultOf(err, "opening %s", r.URI)
	}
	s.uses.note(m)
	return m, f, nil
}

// settled returns media whose content is there.
func (s *Store) settled(ctx context.Context, r Request) (*Media, error) {
	if slices.Contains(s.o.Icons, r.URI) {
		r.Public = false
	}
	came, leave := s.arrivals.expect(r.URI)
	defer leave()
	m, err := s.find(ctx, r.URI)
	if err == nil && m == nil && r.URI.Server() != s.o.Server && !r.Local && !(r.Public && !s.o.Public) {
		if err = s.fetchOnce(ctx, r); err == nil {
			m, err = s.find(ctx, r.URI)
		}
	}
	if err == nil && m != nil && m.pending() && !(r.Public && !m.Public) {
		if err = await(ctx, m, came, r.wait()); err == nil {
			m, err = s.find(ctx, r.URI)
		}
	}
	switch {
	case err != nil:
		return nil, err
	case m == nil, m.pending(), m.Quarantined != "", r.Public && !m.Public:
		return nil, notFound(r.URI)
	}
	return m, nil
}

// await waits until content has come.
func await(ctx context.Context, m *Media, came <-chan struct{}, most time.Duration) error {
	if !time.Now().Before(m.Expires) {
		return notFound(m.URI)
	}
	if came != nil {
		timer := time.NewTimer(most)
		defer timer.Stop()
		select {
		case <-came:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
	}
	return mxerr.New(mxerr.NotYetUploaded, "The content of %s has not been uploaded yet", m.URI).WithStatus(http.StatusGatewayTimeout)
}

// read opens the content of media.
func (s *Store) read(ctx context.Context, m *Media) (*File, error) {
	f := &File{Size: m.Size, Type: m.Type, Name: m.Name, tag: m.Hash.String()[:32]}
	file, err := s.files.open(m.Hash)
	switch {
	case err == nil:
		f.ReadSeekCloser = file
	case !errors.Is(err, fs.ErrNotExist) || s.o.Bucket == nil:
		return nil, err
	case m.Size > s.o.ShelfSize/largeShare:
		object, err := s.directly(ctx, m)
		if err != nil {
			return nil, err
		}
		f.ReadSeekCloser = object
	default:
		file, err := s.local(ctx, m)
		if err != nil {
			return nil, err
		}
		f.ReadSeekCloser = file
	}
	return f, nil
}

// elsewhere is the content of media that who asks gets from the bucket.
func (s *Store) elsewhere(m *Media) *File {
	return &File{
		ReadSeekCloser: &nothing{}, Type: m.Type, Name: m.Name,
		link: func(ctx context.Context, contentType, disposition string) (string, error) {
			return s.o.Bucket.Link(ctx, keyOf(m.Hash), linkAge, contentType, disposition)
		},
	}
}
