package media

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/html/charset"

	"parley/internal/remote"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

const (
	mostURL = 2000 // bytes
	// mostPage is how much of a page is read: what it says of itself is at its
	// beginning. mostEmbed is for what it says elsewhere, and mostImage for its picture.
	mostPage  = 1 << 20
	mostEmbed = 64 << 10
	mostImage = 10 << 20
	// previewTime is how long all of it may take.
	previewTime = 20 * time.Second
	// previewAge is for how long a preview is good, and failureAge that there is none.
	previewAge = time.Hour
	failureAge = time.Minute
)

// Preview returns what a page of the web says of itself, an object of OpenGraph. Its
// picture is media of this server. That a page is not to be asked for is M_FORBIDDEN,
// and that it does not answer M_NOT_FOUND.
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediapreview_url
func (s *Store) Preview(ctx context.Context, target string) (canonjson.Value, error) {
	if !s.o.Previews || s.o.Web == nil {
		return nil, mxerr.New(mxerr.Unrecognized, "There are no previews here")
	}
	u, err := url.Parse(target)
	if err != nil || len(target) > mostURL || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, mxerr.New(mxerr.InvalidParam, "The url is not that of a page of the web")
	}
	u.Fragment, u.RawFragment = "", ""
	key := sha256.Sum256([]byte(u.String()))
	if v, err := s.previewed(ctx, key); v != nil || err != nil {
		return v, err
	}
	err = fly(ctx, s, &s.pages, string(key[:]), 2*previewTime, func(ctx context.Context) error {
		v, age := s.preview(ctx, u)
		if s.life.Err() != nil {
			return s.life.Err()
		}
		return s.keepPreview(ctx, key, v, age)
	})
	if err != nil {
		return nil, err
	}
	v, err := s.previewed(ctx, key)
	if v == nil && err == nil {
		err = unanswered()
	}
	return v, err
}

func unanswered() error { return mxerr.New(mxerr.NotFound, "The page could not be had") }

// previewed returns the preview that there is, nil if none.
func (s *Store) previewed(ctx context.Context, key Hash) (v canonjson.Value, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT preview FROM url_previews WHERE url = $1 AND expires > $2", key[:], time.Now().UnixMilli()).Scan((*[]byte)(&v))
	})
	switch {
	case errors.Is(err, store.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("looking for a preview: %w", err)
	case v.Kind() == canonjson.Object:
		return v, nil
	case v.Is("forbidden"):
		return nil, mxerr.New(mxerr.Forbidden, "Pages there are not asked for")
	}
	return nil, unanswered()
}

func (s *Store) keepPreview(ctx context.Context, key Hash, v canonjson.Value, age time.Duration) error {
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`
			INSERT INTO url_previews (url, preview, expires) VALUES ($1, $2, $3)
			ON CONFLICT (url) DO UPDATE SET preview = excluded.preview, expires = excluded.expires`,
			key[:], []byte(v), time.Now().Add(age).UnixMilli())
		return err
	})
	return faultOf(err, "keeping a preview")
}

// preview makes the preview of a page, and says for how long it is good. Why there
// is none is a text.
func (s *Store) preview(ctx context.Context, u *url.URL) (canonjson.Value, time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, previewTime)
	defer cancel()
	about, err := s.look(ctx, u)
	if err == nil {
		var v canonjson.Value
		if v, err = canonjson.Marshal(about); err == nil {
			return v, previewAge
		}
	}
	s.o.Log.Debug("there is no preview", "host", u.Host, "err", err)
	if errors.Is(err, remote.ErrAddress) || errors.Is(err, remote.ErrURL) {
		return canonjson.Text("forbidden"), failureAge
	}
	return canonjson.Text("failed"), failureAge
}

// browse asks for something of the web.
func (s *Store) browse(ctx context.Context, target, accept string, most int64) (*remote.Stream, func(), error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, nil, remote.ErrURL
	}
	leave, err := s.browsing.Enter(ctx, id.ServerName(u.Host))
	if err != nil {
		return nil, nil, err
	}
	stream, err := s.o.Web.Open(ctx, remote.Request{
		Method: http.MethodGet, URL: target, MaxBody: most, Redirects: mostRedirects,
		Header: http.Header{"Accept": {accept}, "Accept-Language": {"en, *;q=0.5"}, "User-Agent": {"parley (preview of a link)"}},
	})
	if err == nil && stream.Status != http.StatusOK {
		err = fmt.Errorf("the answer is %d", stream.Status)
		stream.Close()
	}
	if err != nil {
		leave()
		return nil, nil, err
	}
	return stream, sync.OnceFunc(func() {
		stream.Close()
		leave()
	}), nil
}

// look asks for a page, and finds out what it says of itself.
func (s *Store) look(ctx context.Context, u *url.URL) (map[string]any, error) {
	stream, done, err := s.browse(ctx, u.String(), "text/html,application/xhtml+xml,image/*;q=0.9,*/*;q=0.5", mostImage)
	if err != nil {
		return nil, err
	}
	defer done()
	kind, _, _ := mime.ParseMediaType(stream.Header.Get("Content-Type"))
	about := make(map[string]any)
	switch {
	case strings.HasPrefix(kind, "image/"):
		return about, s.addImage(ctx, about, stream)
	case kind != "text/html" && kind != "application/xhtml+xml":
		return about, nil
	}
	text, err := charset.NewReader(io.LimitReader(stream, mostPage), stream.Header.Get("Content-Type"))
	if err != nil && err != io.EOF {
		return nil, err
	}
	p := newPage(stream.URL)
	if err == nil {
		p.read(text)
	}
	done() // the connection is not needed any more, and its server may allow few
	if p.embed != "" && (p.title() == "" || p.image() == "") {
		s.embed(ctx, p)
	}
	for name, value := range p.properties() {
		about[name] = value
	}
	if image := p.image(); image != "" {
		if picture, done, err := s.browse(ctx, image, "image/*", mostImage); err == nil {
			err = s.addImage(ctx, about, picture)
			done()
			if err != nil {
				s.o.Log.Debug("the picture of a page is not shown", "err", err)
			}
		}
	}
	return about, nil
}

// addImage keeps a picture, and says what it is. What is no image is left out.
func (s *Store) addImage(ctx context.Context, about map[string]any, content io.Reader) error {
	in, err := s.files.receive(content, mostImage)
	if err != nil {
		return err
	}
	defer in.discard()
	file, err := os.Open(in.path)
	if err != nil {
		return err
	}
	p, err := examine(file)
	if closed := file.Close(); err != nil || closed != nil {
		return errors.Join(err, closed)
	}
	m := Media{URI: s.newURI(), Type: string(p.format)}
	if err := s.keepCopy(ctx, in, m); err != nil {
		return err
	}
	w, h := p.width, p.height
	if p.turned >= 5 {
		w, h = h, w
	}
	about["og:image"], about["og:image:type"], about["matrix:image:size"] = m.URI, m.Type, in.size
	about["og:image:width"], about["og:image:height"] = w, h
	return nil
}

// embed adds what a page says of itself elsewhere: https://oembed.com/
func (s *Store) embed(ctx context.Context, p *page) {
	stream, done, err := s.browse(ctx, p.embed, "application/json", mostEmbed)
	if err != nil {
		return
	}
	defer done()
	var o struct {
		Type, Title, HTML, URL string
		Author                 string `json:"author_name"`
		Provider               string `json:"provider_name"`
		Thumbnail              string `json:"thumbnail_url"`
	}
	if json.NewDecoder(stream).Decode(&o) != nil {
		return
	}
	title := o.Title
	if title == "" {
		title = o.Author
	}
	p.add("og:title", title)
	p.add("og:site_name", o.Provider)
	p.add("og:image", o.Thumbnail)
	if o.Type == "photo" {
		p.add("og:image", o.URL)
	}
	p.add("og:description", textOf(o.HTML))
}
