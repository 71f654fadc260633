package media

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
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
}

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
	*os.File
	Size int64
	Type string
	Name string
	tag  string // differs from that of every other content
}

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
	f, err := s.read(m)
	if errors.Is(err, fs.ErrNotExist) && m.URI.Server() != s.o.Server && !r.Local {
		// Somebody has removed the file, or the row has just gone.
		if err := s.fetchOnce(ctx, r); err != nil {
			return nil, nil, err
		}
		if m, err = s.settled(ctx, r); err != nil {
			return nil, nil, err
		}
		f, err = s.read(m)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if again, failed := s.find(ctx, r.URI); failed == nil && again != nil && again.Hash == m.Hash {
			s.o.Log.Warn("the file of media is not there", "uri", r.URI, "file", s.files.content(m.Hash))
		}
		return nil, nil, notFound(r.URI)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("opening %s: %w", r.URI, err)
	}
	s.uses.note(m)
	return m, f, nil
}

// settled returns media whose content is there.
func (s *Store) settled(ctx context.Context, r Request) (*Media, error) {
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
func (s *Store) read(m *Media) (*File, error) {
	f, err := os.Open(s.files.content(m.Hash))
	if err != nil {
		return nil, err
	}
	return &File{File: f, Size: m.Size, Type: m.Type, Name: m.Name, tag: m.Hash.String()[:32]}, nil
}
