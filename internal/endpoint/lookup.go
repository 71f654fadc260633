package endpoint

import (
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"parley/matrix/mxerr"
)

// lookup is the ResponseWriter that the mux gets. The mux is only asked which
// route matches; what it would answer itself goes nowhere, so that nobody is
// redirected to a path that was not asked for.
type lookup struct {
	route  *Route
	header http.Header
	status int
}

// found is what the mux calls when its route matches.
type found struct{ route *Route }

func (f found) ServeHTTP(w http.ResponseWriter, _ *http.Request) { w.(*lookup).route = f.route }

func (l *lookup) Header() http.Header {
	if l.header == nil {
		l.header = make(http.Header)
	}
	return l.header
}

func (l *lookup) Write(p []byte) (int, error) { return len(p), nil }
func (l *lookup) WriteHeader(status int)      { l.status = status }

// find sets the route of the request and the values of its wildcards, or says
// why there is none.
func (x *exchange) find() error {
	r := x.request
	if path := r.URL.EscapedPath(); strings.HasPrefix(path, "/") && hasBareSlash(path) {
		x.findBareSlash(path)
	} else {
		x.table.mux.ServeHTTP(&x.lookup, r)
	}
	switch {
	case x.lookup.route != nil:
	case x.lookup.status == http.StatusMethodNotAllowed:
		x.writer.Header().Set("Allow", x.lookup.header.Get("Allow")+", OPTIONS")
		return mxerr.New(mxerr.Unrecognized, "This endpoint does not support the method").
			WithStatus(http.StatusMethodNotAllowed)
	default:
		return mxerr.New(mxerr.Unrecognized, "There is no such endpoint")
	}
	for _, w := range x.lookup.route.wildcards {
		if err := checkText(r.PathValue(w.name)); err != nil {
			return mxerr.New(mxerr.InvalidParam, "path parameter %s: %v", w.name, err)
		}
	}
	return nil
}

// findBareSlash finds the route for a path with a segment that is nothing but an
// encoded slash. The mux takes such a segment for the end of the path, and would
// give a state key "/" to the route for the empty state key. So it is shown two
// slashes, which no literal segment equals, and the value is set right
// afterwards.
func (x *exchange) findBareSlash(path string) {
	segments := strings.Split(path[1:], "/")
	bare := make([]bool, len(segments))
	for i, s := range segments {
		if bare[i] = strings.EqualFold(s, "%2F"); bare[i] {
			segments[i] = "%2F%2F"
		}
	}
	shown := *x.request.URL
	shown.RawPath = "/" + strings.Join(segments, "/")
	shown.Path, _ = url.PathUnescape(shown.RawPath) // an escaped path has no malformed escapes

	original := x.request.URL
	x.request.URL = &shown
	x.table.mux.ServeHTTP(&x.lookup, x.request)
	x.request.URL = original

	if x.lookup.route == nil {
		return
	}
	for _, w := range x.lookup.route.wildcards {
		if bare[w.segment] {
			x.request.SetPathValue(w.name, "/")
		}
	}
}

// hasBareSlash reports whether a segment of the escaped path is an encoded slash
// and nothing else.
func hasBareSlash(path string) bool {
	for {
		i := strings.Index(path, "/%2")
		if i < 0 {
			return false
		}
		path = path[i+len("/%2"):]
		if path != "" && path[0]|0x20 == 'f' && (len(path) == 1 || path[1] == '/') {
			return true
		}
	}
}

// checkText refuses what cannot be stored as text. The error is for the client.
func checkText(s string) error {
	switch {
	case strings.IndexByte(s, 0) >= 0:
		return badValue("contains NUL")
	case !utf8.ValidString(s):
		return badValue("is not valid UTF-8")
	}
	return nil
}
