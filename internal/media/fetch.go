package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"parley/internal/remote"
	"parley/internal/store"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

const (
	// fetchTime is how long fetching may take.
	fetchTime = 10 * time.Minute
	// frameSize is how many bytes there may be around a content.
	frameSize = 64 << 10
	// mostRedirects is how many are followed to a content.
	mostRedirects = 5
)

// How many are fetched at a time, from all servers and from each: so few that there
// is room for what else servers have to tell each other.
const (
	mostFetches   = 32
	mostPerServer = 4
)

// fetchOnce fetches media of another server, together with all who ask for it.
func (s *Store) fetchOnce(ctx context.Context, r Request) error {
	if err := s.failures.of(r.URI); err != nil {
		return err
	}
	return fly(ctx, s, &s.fetches, r.URI, fetchTime, func(ctx context.Context) error {
		leave, err := s.fetching.Enter(ctx, r.URI.Server())
		if err == nil {
			err = s.fetch(ctx, r)
			leave()
		}
		if err = fetchError(r.URI, err); err != nil {
			s.counters.fetchFailures.Add(1)
		}
		// What has not come may do so at any moment.
		if err != nil && s.life.Err() == nil && !errors.Is(err, mxerr.NotYetUploaded) && !isFault(err) {
			s.failures.note(r.URI, err, failureTime)
		}
		return err
	})
}

// fetchError says to a client what went wrong elsewhere, which is no fault of ours.
func fetchError(u id.ContentURI, err error) error {
	var refusal *mxerr.Error
	var answered *remote.Refusal
	switch {
	case err == nil:
		return nil
	case errors.Is(err, remote.ErrTooLarge), errors.Is(err, errTooLarge), errors.Is(err, mxerr.TooLarge):
		return mxerr.New(mxerr.TooLarge, "%s is too large to be fetched", u).WithStatus(http.StatusBadGateway).Wrap(err)
	case errors.Is(err, mxerr.NotYetUploaded):
		return mxerr.New(mxerr.NotYetUploaded, "The content of %s has not been uploaded yet", u).WithStatus(http.StatusGatewayTimeout).Wrap(err)
	case errors.As(err, &answered):
		return mxerr.New(mxerr.NotFound, "%s does not have %s for us", u.Server(), u).Wrap(err)
	case isFault(err), errors.As(err, &refusal):
		return err
	}
	return mxerr.New(mxerr.NotFound, "%s cannot be asked for %s at present", u.Server(), u).Wrap(err)
}

// fault marks an error of this server.
type fault struct{ error }

func (f fault) Unwrap() error { return f.error }

func isFault(err error) bool {
	var f fault
	return errors.As(err, &f)
}

// fetch fetches media of another server.
func (s *Store) fetch(ctx context.Context, r Request) error {
	if s.o.Servers == nil {
		return notFound(r.URI)
	}
	wait := url.Values{"timeout_ms": {strconv.FormatInt(r.wait().Milliseconds(), 10)}}
	ctx, p, end := newPace(ctx, r.wait()+answerTime)
	defer end()
	header, body, err := s.o.Servers.Fetch(ctx, remote.Call{
		Server: r.URI.Server(), Method: http.MethodGet, Path: remote.Path("/_matrix/federation/v1/media/download", r.URI.MediaID()),
		Query: wait, Hearsay: true, Limit: s.o.MaxRemote + frameSize,
	})
	if lacksEndpoint(err) {
		p.within(r.wait() + answerTime)
		return s.fetchOldWay(ctx, p, r.URI, wait)
	}
	if err != nil {
		return err
	}
	defer body.Close()
	part, err := secondPart(header, p.over(body))
	if err != nil {
		return fmt.Errorf("reading what %s sends as %s: %w", r.URI.Server(), r.URI, err)
	}
	if location := part.Header.Get("Location"); location != "" {
		return s.fetchFrom(ctx, p, r.URI, location)
	}
	return s.keepFetched(ctx, p, r.URI, http.Header(part.Header), part)
}

// secondPart returns the second of two parts, which is the content.
func secondPart(header http.Header, body io.Reader) (*multipart.Part, error) {
	kind, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil || kind != "multipart/mixed" || params["boundary"] == "" {
		return nil, fmt.Errorf("the content type is %q", header.Get("Content-Type"))
	}
	parts := multipart.NewReader(body, params["boundary"])
	if _, err := parts.NextRawPart(); err != nil {
		return nil, fmt.Errorf("the first part: %w", err)
	}
	part, err := parts.NextRawPart()
	if err != nil {
		return nil, fmt.Errorf("the second part: %w", err)
	}
	return part, nil
}

// lacksEndpoint reports whether a server does not know how others get media.
func lacksEndpoint(err error) bool {
	var r *remote.Refusal
	if !errors.As(err, &r) {
		return false
	}
	return r.Code == mxerr.Unrecognized || r.Code == "" && (r.Status == http.StatusNotFound || r.Status == http.StatusMethodNotAllowed)
}

// fetchOldWay fetches media as anybody could from servers that were not yet frozen.
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixmediav3downloadservernamemediaid
func (s *Store) fetchOldWay(ctx context.Context, p *pace, u id.ContentURI, query url.Values) error {
	query.Set("allow_remote", "false")
	query.Set("allow_redirect", "true")
	header, body, err := s.o.Servers.Fetch(ctx, remote.Call{
		Server: u.Server(), Method: http.MethodGet, Path: remote.Path("/_matrix/media/v3/download", string(u.Server()), u.MediaID()),
		Query: query, Unsigned: true, Hearsay: true, Limit: s.o.MaxRemote,
	})
	var r *remote.Refusal
	if errors.As(err, &r) && (r.Status == http.StatusTemporaryRedirect || r.Status == http.StatusPermanentRedirect) && r.Location != "" {
		return s.fetchFrom(ctx, p, u, r.Location)
	}
	if err != nil {
		return err
	}
	defer body.Close()
	return s.keepFetched(ctx, p, u, header, p.over(body))
}

// fetchFrom fetches media from where its server says that it is.
func (s *Store) fetchFrom(ctx context.Context, p *pace, u id.ContentURI, location string) error {
	if s.o.Web == nil {
		return notFound(u)
	}
	p.within(answerTime)
	stream, err := s.o.Web.Open(ctx, remote.Request{Method: http.MethodGet, URL: location, MaxBody: s.o.MaxRemote, Redirects: mostRedirects})
	if err != nil {
		return err
	}
	defer stream.Close()
	if stream.Status != http.StatusOK {
		return mxerr.New(mxerr.NotFound, "%s is not where %s says", u, u.Server())
	}
	return s.keepFetched(ctx, p, u, stream.Header, p.over(stream))
}

// keepFetched keeps a content that comes from elsewhere.
func (s *Store) keepFetched(ctx context.Context, p *pace, u id.ContentURI, header http.Header, body io.Reader) error {
	in, err := s.files.receive(body, s.o.MaxRemote)
	p.stop()
	if err != nil {
		return fmt.Errorf("receiving %s: %w", u, err)
	}
	return s.keepCopy(ctx, in, Media{
		URI: u, Type: contentType(header.Get("Content-Type")), Name: givenName(header.Get("Content-Disposition")),
	})
}

// keepCopy keeps what can be had again, and makes room for it.
func (s *Store) keepCopy(ctx context.Context, in *incoming, m Media) error {
	m.Hash, m.Size, m.Created, m.Public, m.Cached = in.hash, in.size, time.Now(), s.o.Public, true
	err := s.files.keep(ctx, in, func() error {
		return s.db.Update(ctx, func(tx *store.Tx) error { return insert(tx, m) })
	})
	if err := s.orRelease(in.hash, err, "keeping "+string(m.URI)); err != nil {
		return fault{err}
	}
	s.counters.copied(in.size)
	if s.grown.Add(in.size) < s.o.CacheSize/32 {
		return nil
	}
	s.grown.Store(0)
	if err := s.evict(ctx); err != nil {
		s.o.Log.Warn("no room could be made for media of others", "err", err)
	}
	return nil
}

// failures are what could not be had lately, so that not every client that shows a
// room asks for it again.
type failures[K comparable] struct {
	mu  sync.Mutex
	all map[K]failure
}

type failure struct {
	err   error
	until time.Time
}

const (
	failureTime  = 30 * time.Second
	mostFailures = 10_000
)

func (f *failures[K]) of(key K) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if one, ok := f.all[key]; ok && time.Now().Before(one.until) {
		return one.err
	}
	return nil
}

func (f *failures[K]) note(key K, err error, age time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil || len(f.all) >= mostFailures {
		f.all = make(map[K]failure)
	}
	f.all[key] = failure{err, time.Now().Add(age)}
}
