package server

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// How long clients may take.
const (
	// writeTime is how long a response may take, beginning with the request.
	// It is longer than anybody waits for news. A route that sends much sets a
	// deadline of its own.
	writeTime = 10 * time.Minute
	// bodyGrace is how long a body may take whatever its size, and bodyRate
	// how many bytes a second must come after that.
	bodyGrace = 30 * time.Second
	bodyRate  = 16 << 10
	// bodyStep is after how many bytes the deadline is moved.
	bodyStep = 256 << 10
)

// withBodyDeadline bounds how long the body of a request may take. ReadTimeout
// of net/http does not serve: it goes on after the body has been read, and ends
// the request's context when it is over, which is fatal to a client that waits
// for news longer than that.
func withBodyDeadline(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 && r.Body != nil && r.Body != http.NoBody {
			b := &timedBody{ReadCloser: r.Body, controller: http.NewResponseController(w), start: time.Now()}
			b.extend()
			r.Body = b
		}
		next.ServeHTTP(w, r)
	})
}

// A timedBody is a request's body that must come fast enough.
type timedBody struct {
	io.ReadCloser
	controller *http.ResponseController
	start      time.Time
	read, next int64
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	switch {
	case err == io.EOF:
		// The connection is read on, to notice when the client goes away.
		b.controller.SetReadDeadline(time.Time{})
	case err == nil && b.read >= b.next:
		b.extend()
	}
	return n, err
}

// extend gives time for the next step. It fails where there are no deadlines, as
// in tests without a connection.
func (b *timedBody) extend() {
	b.next = b.read + bodyStep
	earned := time.Duration(b.read/bodyRate) * time.Second
	b.controller.SetReadDeadline(b.start.Add(bodyGrace + earned))
}

// withOldPaths answers paths of clients that were written before the versions of
// the specification had numbers of their own as those of v3, which they have
// become: https://spec.matrix.org/v1.19/#api-versions
func withOldPaths(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u := newPath(r.URL); u != nil {
			renamed := *r
			renamed.URL = u
			r = &renamed
		}
		next.ServeHTTP(w, r)
	})
}

// newPath returns the URL in place of one with an old path, nil for others.
func newPath(u *url.URL) *url.URL {
	for _, api := range [...]string{"/_matrix/client/", "/_matrix/media/"} {
		rest, ok := strings.CutPrefix(u.Path, api+"r0/")
		if !ok {
			continue
		}
		renamed := *u
		renamed.Path = api + "v3/" + rest
		if u.RawPath != "" {
			raw, ok := strings.CutPrefix(u.RawPath, api+"r0/")
			if !ok { // it escapes what nobody escapes
				return nil
			}
			renamed.RawPath = api + "v3/" + raw
		}
		return &renamed
	}
	return nil
}
