package csapi

import (
	"bytes"
	"image"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"parley/internal/bucket"
	"parley/internal/bucket/buckettest"
	"parley/internal/endpoint"
	"parley/internal/media"
	"parley/internal/openapi"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
)

// contentScene is the routes of files.
type contentScene struct {
	t     *testing.T
	media *media.Store
	dir   string // of what there is beside a bucket
	table http.Handler
}

func playContent(t *testing.T, play func(s *contentScene), change ...func(*media.Options)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		o := media.Options{Server: "a.test", Dir: t.TempDir(), MaxUpload: 64 << 10, MaxRemote: 64 << 10, CacheSize: 1 << 30}
		for _, f := range change {
			f(&o)
		}
		s := &contentScene{t: t, media: media.New(db, o), dir: o.Dir}
		t.Cleanup(s.media.Close)
		api := New(Parts{Name: "a.test", Media: s.media, Settings: Settings{MaxUpload: o.MaxUpload}})
		s.table = openapi.Watch(t, endpoint.New(endpoint.Config{Users: someCallers()}, api.contentRoutes()))
		play(s)
	})
}

// send makes a request. Lines of the header are NAME and VALUE in turn.
func (s *contentScene) send(user, call, body string, header ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	method, path, _ := strings.Cut(call, " ")
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if user != "" {
		r.Header.Set("Authorization", "Bearer "+user)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.table.ServeHTTP(w, r)
	return w
}

func member(w *httptest.ResponseRecorder, name string) string {
	text, _ := canonjson.Value(w.Body.Bytes()).Get(name).Text()
	return text
}

// upload uploads a file, and returns where it is, such as a.test/xyz.
func (s *contentScene) upload(user, content, contentType, name string) string {
	s.t.Helper()
	w := s.send(user, "POST /_matrix/media/v3/upload?filename="+name, content, "Content-Type", contentType)
	if w.Code != 200 {
		s.t.Fatalf("uploading: %d %s", w.Code, w.Body)
	}
	return strings.TrimPrefix(member(w, "content_uri"), "mxc://")
}

func (s *contentScene) expect(what string, w *httptest.ResponseRecorder, status int, code string) {
	s.t.Helper()
	if got := member(w, "errcode"); w.Code != status || got != code {
		s.t.Errorf("%s: got %d %s, want %d %s", what, w.Code, w.Body, status, code)
	}
}

const authedDownload = "GET /_matrix/client/v1/media/download/"

func TestAFileComesBackAsItWasUploaded(t *testing.T) {
	playContent(t, func(s *contentScene) {
		at := s.upload("alice", "<h1>hello</h1>", "text/html", "page%20one.html")
		w := s.send("guest", authedDownload+at, "")
		for name, want := range map[string]string{
			"Content-Type":                 "text/html",
			"Content-Disposition":          `attachment; filename="page one.html"`,
			"Content-Security-Policy":      "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; style-src 'unsafe-inline'; object-src 'self';",
			"Cross-Origin-Resource-Policy": "cross-origin",
			"X-Content-Type-Options":       "nosniff",
			"Content-Length":               "14",
			"Accept-Ranges":                "bytes",
			"Cache-Control":                "private, max-age=86400, immutable",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
		if w.Code != 200 || w.Body.String() != "<h1>hello</h1>" {
			t.Errorf("got %d %s", w.Code, w.Body)
		}
		again := s.send("alice", authedDownload+at, "", "If-None-Match", w.Header().Get("Etag"))
		if again.Code != 304 || again.Body.Len() != 0 {
			t.Errorf("who has it already gets %d %s", again.Code, again.Body)
		}
		named := s.send("alice", authedDownload+at+"/..%2F..%2Fother%C3%A9.png", "")
		if got := named.Header().Get("Content-Disposition"); got != "attachment; filename*=utf-8''other%C3%A9.png" {
			t.Errorf("by another name it is %q", got)
		}
		bare := s.upload("alice", "x", "", "")
		if w := s.send("alice", authedDownload+bare, ""); w.Header().Get("Content-Type") != "application/octet-stream" || w.Header().Get("Content-Disposition") != "attachment" {
			t.Errorf("without a type or name: %v", w.Header())
		}
		if w := s.send("alice", strings.Replace(authedDownload, "GET", "HEAD", 1)+at, ""); w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Length") != "14" {
			t.Errorf("HEAD: %d %v", w.Code, w.Header())
		}
	})
}

// TestWhatBrowsersWouldRunIsSavedInstead is of all endpoints that give out files. What
// the files are called says nothing of where they go.
func TestWhatBrowsersWouldRunIsSavedInstead(t *testing.T) {
	playContent(t, func(s *contentScene) {
		for kind, content := range map[string]string{
			"image/svg+xml":          `<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`,
			"text/html":              "<script>alert(1)</script>",
			"application/xhtml+xml":  `<html xmlns="http://www.w3.org/1999/xhtml"><script>alert(1)</script></html>`,
			"text/javascript":        "alert(1)",
			"application/javascript": "alert(1)",
			"text/xml":               `<?xml-stylesheet href="x.xsl"?><x/>`,
			"application/pdf":        "%PDF-1.7",
			"application/zip":        "PK\x03\x04",
			"image/png, text/html":   "<script>alert(1)</script>",
		} {
			at := s.upload("alice", content, kind, "..%2F..%2F..%5Cevil.exe")
			for _, call := range []string{authedDownload + at, authedDownload + at + "/..%2F..%2F..%5Cevil.exe", "GET /_matrix/media/v3/download/" + at, "GET /_matrix/media/v3/download/" + at + "/%2Fetc%2Fevil.exe"} {
				w := s.send("alice", call, "")
				h := w.Header()
				if w.Code != 200 || w.Body.String() != content {
					t.Errorf("%s, %s: got %d %s", kind, call, w.Code, w.Body)
				}
				if h.Get("Content-Disposition") != "attachment; filename=evil.exe" || h.Get("X-Content-Type-Options") != "nosniff" ||
					!strings.HasPrefix(h.Get("Content-Security-Policy"), "sandbox; default-src 'none'; script-src 'none';") {
					t.Errorf("%s, %s: got %v", kind, call, h)
				}
			}
			// That it says to be an image does not make it one.
			s.expect("a picture of "+kind, s.send("alice", "GET /_matrix/client/v1/media/thumbnail/"+at+"?width=10&height=10", ""), 400, "M_UNKNOWN")
		}
	}, func(o *media.Options) { o.Public = true })
}

func TestPartsOfAFileCanBeHad(t *testing.T) {
	playContent(t, func(s *contentScene) {
		at := s.upload("alice", "0123456789", "text/plain", "")
		for _, tt := range []struct {
			of, want string
			status   int
			which    string
		}{
			{"bytes=0-1", "01", 206, "bytes 0-1/10"},
			{"bytes=8-", "89", 206, "bytes 8-9/10"},
			{"bytes=-3", "789", 206, "bytes 7-9/10"},
			{"bytes=5-100", "56789", 206, "bytes 5-9/10"},
			{"lines=1-2", "", 416, ""},
			{"bytes=10-", "", 416, "bytes */10"},
			{"bytes=x", "", 416, ""},
		} {
			w := s.send("alice", authedDownload+at, "", "Range", tt.of)
			if w.Code != tt.status || tt.status == 206 && w.Body.String() != tt.want || w.Header().Get("Content-Range") != tt.which {
				t.Errorf("%s: got %d %v %s", tt.of, w.Code, w.Header(), w.Body)
			}
			if tt.status == 416 && (member(w, "errcode") != "M_INVALID_PARAM" || w.Header().Get("Content-Disposition") != "") {
				t.Errorf("%s: got %v %s", tt.of, w.Header(), w.Body)
			}
		}
		w := s.send("alice", authedDownload+at, "", "Range", "bytes=0-1,8-9")
		if kind := w.Header().Get("Content-Type"); w.Code != 206 || !strings.HasPrefix(kind, "multipart/byteranges; boundary=") {
			t.Errorf("two parts: got %d %v", w.Code, w.Header())
		}
		for _, part := range []string{"Content-Range: bytes 0-1/10\r\nContent-Type: text/plain\r\n\r\n01\r\n", "Content-Range: bytes 8-9/10\r\nContent-Type: text/plain\r\n\r\n89\r\n"} {
			if !strings.Contains(w.Body.String(), part) {
				t.Errorf("two parts: got %q", w.Body)
			}
		}
	})
}

func TestWhoMayNotUploadIsRefused(t *testing.T) {
	playContent(t, func(s *contentScene) {
		const upload = "POST /_matrix/media/v3/upload"
		s.expect("too large", s.send("alice", upload, strings.Repeat("x", 64<<10+1)), 413, "M_TOO_LARGE")
		s.expect("beyond the quota", s.send("alice", upload, strings.Repeat("x", 2001)), 403, "M_FORBIDDEN")
		s.expect("a guest", s.send("guest", upload, "x"), 403, "M_GUEST_ACCESS_FORBIDDEN")
		s.expect("nobody", s.send("", upload, "x"), 401, "M_MISSING_TOKEN")
		for _, call := range []string{upload, "PUT /_matrix/media/v3/upload/a.test/x", "POST /_matrix/media/v1/create"} {
			s.expect("suspended: "+call, s.send("suspended", call, ""), 403, "M_USER_SUSPENDED")
		}
		s.upload("alice", strings.Repeat("x", 2000), "", "")
		s.expect("nothing is left", s.send("alice", upload, "x"), 403, "M_FORBIDDEN")
		if w := s.send("bob", "GET /_matrix/client/v1/media/config", ""); w.Body.String() != `{"m.upload.size":65536}` {
			t.Errorf("the limit is %s", w.Body)
		}
	}, func(o *media.Options) { o.UserQuota = 2000 })
}

// counted counts how much of a body was read.
type counted struct {
	io.Reader
	read int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += n
	return n, err
}

// TestWhatIsRefusedIsReadAllTheSame, or else who sends all of it before reading an
// answer would not get one; but nobody is awaited who sends very much, or who waits to
// be told to go on.
func TestWhatIsRefusedIsReadAllTheSame(t *testing.T) {
	playContent(t, func(s *contentScene) {
		const limit = 64 << 10
		for _, tt := range []struct {
			name         string
			size         int
			length       int64
			call, expect string
			read, status int
		}{
			{"too much", limit + 1000, limit + 1000, "POST upload", "", limit + 1000, 413},
			{"too much, and it does not say so", limit + 1000, -1, "POST upload", "", limit + 1000, 413},
			{"where nothing was created", 50_000, 50_000, "PUT upload/a.test/unknown", "", 50_000, 404},
			{"without an end", 1000 * limit, -1, "POST upload", "", limit + 1 + 8<<20, 413},
			{"very much", 1000 * limit, 1000 * limit, "POST upload", "", 0, 413},
			{"after being asked", limit + 1000, limit + 1000, "POST upload", "100-continue", 0, 413},
		} {
			method, path, _ := strings.Cut(tt.call, " ")
			body := &counted{Reader: strings.NewReader(strings.Repeat("x", tt.size))}
			r := httptest.NewRequest(method, "/_matrix/media/v3/"+path, body)
			r.ContentLength = tt.length
			r.Header.Set("Authorization", "Bearer alice")
			r.Header.Set("Expect", tt.expect)
			w := httptest.NewRecorder()
			s.table.ServeHTTP(w, r)
			if w.Code != tt.status || body.read != tt.read {
				t.Errorf("%s: got %d %s and %d bytes were read, want %d and %d", tt.name, w.Code, w.Body, body.read, tt.status, tt.read)
			}
		}
	})
}

func TestAFileIsUploadedLater(t *testing.T) {
	playContent(t, func(s *contentScene) {
		created := s.send("alice", "POST /_matrix/media/v1/create", "")
		at := strings.TrimPrefix(member(created, "content_uri"), "mxc://")
		s.expect("nothing has come", s.send("bob", authedDownload+at+"?timeout_ms=0", ""), 504, "M_NOT_YET_UPLOADED")
		s.expect("nonsense", s.send("bob", authedDownload+at+"?timeout_ms=soon", ""), 400, "M_INVALID_PARAM")
		put := "PUT /_matrix/media/v3/upload/" + at + "?filename=a.txt"
		s.expect("of somebody else", s.send("bob", put, "x"), 403, "M_FORBIDDEN")
		if w := s.send("alice", put, "hello", "Content-Type", "text/plain"); w.Code != 200 || w.Body.String() != "{}" {
			t.Errorf("got %d %s", w.Code, w.Body)
		}
		s.expect("again", s.send("alice", put, "x"), 409, "M_CANNOT_OVERWRITE_MEDIA")
		s.expect("never created", s.send("alice", "PUT /_matrix/media/v3/upload/a.test/unknown", "x"), 404, "M_NOT_FOUND")
		w := s.send("bob", authedDownload+at, "")
		if w.Body.String() != "hello" || w.Header().Get("Content-Disposition") != "inline; filename=a.txt" {
			t.Errorf("got %v %s", w.Header(), w.Body)
		}
	})
}

func TestWithoutATokenThereIsOnlyWhatIsPublic(t *testing.T) {
	playContent(t, func(s *contentScene) {
		at := s.upload("alice", "hello", "text/plain", "")
		for _, path := range []string{"GET /_matrix/media/v3/download/" + at, "GET /_matrix/media/v3/download/" + at + "/name.txt"} {
			s.expect(path, s.send("", path, ""), 404, "M_NOT_FOUND")
		}
		s.expect("with the new endpoint", s.send("", authedDownload+at, ""), 401, "M_MISSING_TOKEN")
		created := s.send("alice", "POST /_matrix/media/v1/create", "")
		pending := strings.TrimPrefix(member(created, "content_uri"), "mxc://")
		s.expect("what has not come", s.send("", "GET /_matrix/media/v3/download/"+pending, ""), 404, "M_NOT_FOUND")
	})
	playContent(t, func(s *contentScene) {
		at := s.upload("alice", "hello", "text/plain", "")
		w := s.send("", "GET /_matrix/media/v3/download/"+at, "")
		if w.Code != 200 || w.Body.String() != "hello" || !strings.HasPrefix(w.Header().Get("Cache-Control"), "public") {
			t.Errorf("got %d %v %s", w.Code, w.Header(), w.Body)
		}
	}, func(o *media.Options) { o.Public = true })
}

func TestWhoMayBeIsSentToWhereTheFileIs(t *testing.T) {
	service := buckettest.New(t)
	playContent(t, func(s *contentScene) {
		at := s.upload("alice", "hello", "text/plain", "")
		for call, want := range map[string]int{
			authedDownload + at: 307,
			strings.Replace(authedDownload, "GET", "HEAD", 1) + at:                            200,
			"GET /_matrix/media/v3/download/" + at:                                            200,
			"GET /_matrix/media/v3/download/" + at + "?allow_redirect=true":                   307,
			"GET /_matrix/media/v3/download/" + at + "?allow_redirect=false":                  200,
			"GET /_matrix/media/v3/download/" + at + "/name?allow_redirect=true":              307,
			"HEAD /_matrix/media/v3/download/" + at + "?allow_redirect=true":                  200,
			"GET /_matrix/media/v3/download/a.test/unknown?allow_redirect=true":               404,
			"GET /_matrix/media/v3/thumbnail/" + at + "?allow_redirect=true&width=1&height=1": 400,
		} {
			w := s.send("alice", call, "")
			if w.Code != want || (want == 307) != strings.HasPrefix(w.Header().Get("Location"), service.URL) {
				t.Errorf("%s: got %d %v, want %d", call, w.Code, w.Header(), want)
			}
		}
	}, func(o *media.Options) {
		o.Bucket, o.ShelfSize, o.Redirect, o.Public = bucketOf(t, service), 1<<20, true, true
	})
}

func bucketOf(t *testing.T, service *buckettest.Service) *bucket.Bucket {
	t.Helper()
	b, err := bucket.Open(bucket.Options{
		Endpoint: service.URL, Region: "us-east-1", Name: buckettest.Name, AccessKey: "key", SecretKey: "secret", Owner: "a.test",
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWhereFilesAreMayFail(t *testing.T) {
	service := buckettest.New(t)
	playContent(t, func(s *contentScene) {
		at := s.upload("alice", strings.Repeat("x", 1000), "text/plain", "")
		service.Fail()
		defer service.Before(nil)
		s.expect("an upload", s.send("alice", "POST /_matrix/media/v3/upload", "hello"), 502, "M_UNKNOWN")
		// At hand, because it has just come.
		if w := s.send("alice", authedDownload+at, ""); w.Code != 200 {
			t.Errorf("a download: %d %s", w.Code, w.Body)
		}
		if err := os.RemoveAll(s.dir); err != nil {
			t.Fatal(err)
		}
		s.expect("a download", s.send("alice", authedDownload+at, ""), 502, "M_UNKNOWN")
		s.expect("a thumbnail", s.send("alice", "GET /_matrix/client/v1/media/thumbnail/"+at+"?width=1&height=1", ""), 502, "M_UNKNOWN")
		s.expect("what was never there", s.send("alice", authedDownload+"a.test/unknown", ""), 404, "M_NOT_FOUND")
	}, func(o *media.Options) { o.Bucket, o.ShelfSize = bucketOf(t, service), 4000 })
}

func TestThumbnailsAreOfWhatIsAskedFor(t *testing.T) {
	const huge = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\xea\x60\x00\x00\xea\x60\b\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04IDAT"
	playContent(t, func(s *contentScene) {
		var drawn bytes.Buffer
		if err := png.Encode(&drawn, image.NewGray(image.Rect(0, 0, 1000, 500))); err != nil {
			t.Fatal(err)
		}
		picture, bomb := s.upload("alice", drawn.String(), "image/png", "dark.png"), s.upload("alice", huge, "image/png", "bomb.png")
		for query, want := range map[string]image.Point{
			"width=32&height=32&method=crop":                 {32, 32},
			"width=96&height=96&method=crop":                 {96, 96},
			"width=320&height=240&method=scale":              {320, 160},
			"width=640&height=480&animated=true":             {640, 320},
			"width=800&height=600&method=scale&timeout_ms=0": {800, 400},
			"width=2000&height=2000&animated=false":          {1000, 500}, // never larger than it is
		} {
			w := s.send("alice", "GET /_matrix/client/v1/media/thumbnail/"+picture+"?"+query, "")
			m, err := png.Decode(w.Body)
			if w.Code != 200 || err != nil || m.Bounds().Size() != want || w.Header().Get("Content-Disposition") != "inline; filename=thumbnail.png" {
				t.Errorf("%s: got %d %v, %v", query, w.Code, w.Header(), err)
			}
		}
		for query, code := range map[string]string{
			"": "M_MISSING_PARAM", "width=1": "M_MISSING_PARAM", "height=1": "M_MISSING_PARAM", "width=0&height=1": "M_INVALID_PARAM", "width=-1&height=1": "M_INVALID_PARAM",
			"width=1.5&height=1": "M_INVALID_PARAM", "width=99999999999&height=1": "M_INVALID_PARAM", "width=1&height=1&method=stretch": "M_INVALID_PARAM",
			"width=1&height=1&animated=yes": "M_INVALID_PARAM", "width=1&height=1&timeout_ms=soon": "M_INVALID_PARAM",
		} {
			s.expect(query, s.send("alice", "GET /_matrix/client/v1/media/thumbnail/"+picture+"?"+query, ""), 400, code)
		}
		s.expect("of very many pixels", s.send("alice", "GET /_matrix/client/v1/media/thumbnail/"+bomb+"?width=32&height=32", ""), 413, "M_TOO_LARGE")
	})
}

func TestURIsThatAreNoneNameNothing(t *testing.T) {
	playContent(t, func(s *contentScene) {
		for _, at := range []string{
			"a.test/..%2F..%2Fparley.db", "a.test/%2E%2E", "..%2F../x", "a.test/x%00", "a%20b/x", "a.test/%C3%A9", "127.0.0.1/..%2F..%2Fsome_service", "a.test/unknown",
			"a.test/" + strings.Repeat("x", 300), "b.test/unknown",
		} {
			for _, token := range []string{"alice", ""} {
				call := authedDownload + at
				if token == "" {
					call = "GET /_matrix/media/v3/download/" + at
				}
				w := s.send(token, call, "")
				if w.Code != 404 && w.Code != 400 && w.Code != 307 {
					t.Errorf("%s: got %d %s", at, w.Code, w.Body)
				}
			}
		}
	})
}
