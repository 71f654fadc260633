package fedtest

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/internal/config"
	"parley/internal/hstest"
	"parley/matrix/id"
	"parley/matrix/xmatrix"
)

// gets fails unless somebody gets a file.
func (s *stage) gets(u *hstest.User, uri id.ContentURI, want string) hstest.Reply {
	s.Helper()
	r := u.Download(uri, "")
	if r.Status != 200 || string(r.Body) != want {
		s.Errorf("%s gets %d %.100s of %s, want %.100s", u.ID, r.Status, r.Body, uri, want)
	}
	return r
}

func (s *stage) getsNot(u *hstest.User, uri id.ContentURI, status int, code string) {
	s.Helper()
	r := u.Download(uri, "")
	if r.Status != status || r.Get("errcode") != code {
		s.Errorf("%s gets %d %.100s of %s, want %d %s", u.ID, r.Status, r.Body, uri, status, code)
	}
}

func TestFilesOfOtherServersAreFetchedOnceAndKept(t *testing.T) {
	scene(t, func(s *stage) {
		b := s.Server("b.test")
		alice, bob := s.Server("a.test").Register("alice"), b.Register("bob")
		uri := bob.Upload([]byte("hello"), "text/plain; charset=utf-8", "gruß.txt")
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { s.gets(alice, uri, "hello") })
		}
		wg.Wait()
		got := s.gets(alice, uri, "hello")
		if kind, name := got.Header.Get("Content-Type"), got.Header.Get("Content-Disposition"); kind != "text/plain; charset=utf-8" || name != "inline; filename*=utf-8''gru%C3%9F.txt" {
			t.Errorf("it is %q, %q", kind, name)
		}
		b.Kill()
		s.gets(alice, uri, "hello")
		s.getsNot(alice, "mxc://b.test/unknown", 404, "M_NOT_FOUND")
		s.getsNot(alice, "mxc://nowhere.test/unknown", 404, "M_NOT_FOUND")
		if r := alice.Raw("GET", "/_matrix/media/v3/download/b.test/"+uri.MediaID(), nil); r.Status != 404 {
			t.Errorf("without a token: %d %s", r.Status, r.Body)
		}
		b.Start()
		time.Sleep(time.Hour)
		s.getsNot(alice, "mxc://b.test/unknown", 404, "M_NOT_FOUND")
	})
}

func TestAFileOfAnotherServerMayStillBeOnItsWay(t *testing.T) {
	scene(t, func(s *stage) {
		alice, bob := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob")
		created := bob.Must("POST", "/_matrix/media/v1/create", nil)
		uri := id.ContentURI(text(created, "content_uri"))
		s.getsNot(alice, uri, 504, "M_NOT_YET_UPLOADED")
		done := make(chan struct{})
		go func() {
			s.gets(alice, uri, "late")
			close(done)
		}()
		time.Sleep(5 * time.Second)
		if r := bob.Raw("PUT", "/_matrix/media/v3/upload/b.test/"+uri.MediaID(), []byte("late")); r.Status != 200 {
			t.Errorf("uploading: %d %s", r.Status, r.Body)
		}
		<-done
	})
}

func TestWhatIsTooLargeIsNotFetched(t *testing.T) {
	scene(t, func(s *stage) {
		alice := s.Server("a.test", func(c *config.Config) { c.Media.MaxRemote = 1000 }).Register("alice")
		bob := s.Server("b.test").Register("bob")
		s.gets(alice, bob.Upload(make([]byte, 1000), "", ""), string(make([]byte, 1000)))
		s.getsNot(alice, bob.Upload(make([]byte, 1001), "", ""), 502, "M_TOO_LARGE")
		s.getsNot(alice, bob.Upload(make([]byte, 1<<20), "", ""), 502, "M_TOO_LARGE")
	})
}

func TestWhatWasNotUsedForLongestMakesRoom(t *testing.T) {
	scene(t, func(s *stage) {
		a, b := s.Server("a.test", func(c *config.Config) { c.Media.CacheSize = 2500 }), s.Server("b.test")
		alice, bob := a.Register("alice"), b.Register("bob")
		own := alice.Upload(make([]byte, 5000), "", "")
		file := func(n byte) (id.ContentURI, string) {
			content := strings.Repeat(string('a'+rune(n)), 1000)
			return bob.Upload([]byte(content), "", ""), content
		}
		one, first := file(1)
		two, second := file(2)
		three, third := file(3)
		s.gets(alice, one, first)
		time.Sleep(2 * time.Hour)
		s.gets(alice, two, second)
		time.Sleep(2 * time.Hour)
		s.gets(alice, one, first)
		time.Sleep(2 * time.Hour)
		s.gets(alice, three, third)
		b.Kill()
		s.gets(alice, one, first)
		s.gets(alice, three, third)
		s.getsNot(alice, two, 404, "M_NOT_FOUND")
		s.gets(alice, own, string(make([]byte, 5000)))
	})
}

// otherMedia lets the villain answer for files.
func (s *stage) otherMedia(answer http.HandlerFunc) *villain {
	v := s.villain("mallory.test")
	v.answer("/_matrix/federation/v1/media/download/", answer)
	return v
}

// fileOf is the media ID that is asked for.
func fileOf(r *http.Request) string { return r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:] }

func TestServersAnswerForFilesInManyWays(t *testing.T) {
	frame := func(second string) string {
		return "--x\r\nContent-Type: application/json\r\n\r\n{}\r\n--x\r\n" + second + "\r\n--x--\r\n"
	}
	scene(t, func(s *stage) {
		alice := s.Server("a.test", func(c *config.Config) { c.Media.MaxRemote = 1 << 20 }).Register("alice")
		s.Site("cdn.test", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/moved":
				http.Redirect(w, r, "/file", http.StatusFound)
			case "/inward":
				http.Redirect(w, r, "http://127.0.0.1/secret", http.StatusFound)
			case "/file":
				w.Header().Set("Content-Type", "image/gif")
				w.Write([]byte("from elsewhere"))
			default:
				http.NotFound(w, r)
			}
		}))
		answers := map[string]string{
			"whole":     frame("Content-Type: text/plain\r\nContent-Disposition: attachment; filename=\"../../a\\\\b.txt\"\r\n\r\nhello"),
			"bare":      frame("\r\nhello"),
			"encoded":   frame("Content-Transfer-Encoding: quoted-printable\r\n\r\nhello=20"),
			"moved":     frame("Location: http://cdn.test/moved\r\n\r\n"),
			"inward":    frame("Location: http://cdn.test/inward\r\n\r\n"),
			"private":   frame("Location: http://10.0.0.1/secret\r\n\r\n"),
			"gone":      frame("Location: http://cdn.test/gone\r\n\r\n"),
			"file":      frame("Location: file:///etc/passwd\r\n\r\n"),
			"truncated": "--x\r\nContent-Type: application/json\r\n\r\n{}\r\n--x\r\n\r\nhel",
			"one":       "--x\r\nContent-Type: application/json\r\n\r\n{}\r\n--x--\r\n",
			"none":      "",
			"endless":   "--x\r\nContent-Type: application/json\r\n\r\n" + strings.Repeat("x", 2<<20),
		}
		s.otherMedia(func(w http.ResponseWriter, r *http.Request) {
			switch name := fileOf(r); name {
			case "plain":
				w.Header().Set("Content-Type", "text/plain")
				fmt.Fprint(w, "hello")
			case "fault":
				http.Error(w, "no", http.StatusInternalServerError)
			default:
				w.Header().Set("Content-Type", "multipart/mixed; boundary=x")
				fmt.Fprint(w, answers[name])
			}
		})
		got := s.gets(alice, "mxc://mallory.test/whole", "hello")
		if name := got.Header.Get("Content-Disposition"); name != "inline; filename=b.txt" {
			t.Errorf("the name is %q", name)
		}
		if kind := s.gets(alice, "mxc://mallory.test/bare", "hello").Header.Get("Content-Type"); kind != "application/octet-stream" {
			t.Errorf("without a type it is %q", kind)
		}
		s.gets(alice, "mxc://mallory.test/encoded", "hello=20")
		if kind := s.gets(alice, "mxc://mallory.test/moved", "from elsewhere").Header.Get("Content-Type"); kind != "image/gif" {
			t.Errorf("what lies elsewhere is %q", kind)
		}
		for _, name := range []string{"inward", "private", "gone", "file", "truncated", "one", "none", "plain", "fault"} {
			s.getsNot(alice, id.ContentURI("mxc://mallory.test/"+name), 404, "M_NOT_FOUND")
		}
		s.getsNot(alice, "mxc://mallory.test/endless", 502, "M_TOO_LARGE")
	})
}

func TestServersThatTakeVeryLongAreGivenUp(t *testing.T) {
	scene(t, func(s *stage) {
		alice := s.Server("a.test").Register("alice")
		drip := func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				fmt.Fprint(w, "x")
				http.NewResponseController(w).Flush()
				select {
				case <-time.After(time.Second):
				case <-r.Context().Done():
				}
			}
		}
		s.Site("cdn.test", http.HandlerFunc(drip))
		s.otherMedia(func(w http.ResponseWriter, r *http.Request) {
			if name := fileOf(r); name != "silent" {
				w.Header().Set("Content-Type", "multipart/mixed; boundary=x")
				fmt.Fprint(w, "--x\r\nContent-Type: application/json\r\n\r\n{}\r\n--x\r\n")
				if name == "elsewhere" {
					fmt.Fprint(w, "Location: http://cdn.test/\r\n\r\n\r\n--x--\r\n")
					return
				}
				fmt.Fprint(w, "\r\n")
				if name == "stopping" {
					w.Write(make([]byte, 4<<20))
				}
				drip(w, r)
			}
			<-r.Context().Done()
		})
		for _, name := range []string{"silent", "dripping", "stopping", "elsewhere"} {
			began := time.Now()
			s.getsNot(alice, id.ContentURI("mxc://mallory.test/"+name), 404, "M_NOT_FOUND")
			if waited := time.Since(began); waited < 20*time.Second || waited > 90*time.Second {
				t.Errorf("%s: it was given up after %v", name, waited)
			}
		}
	})
}

func TestServersFromBeforeAreAskedInTheOldWay(t *testing.T) {
	scene(t, func(s *stage) {
		alice := s.Server("a.test").Register("alice")
		s.Site("cdn.test", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "from elsewhere") }))
		v := s.otherMedia(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"errcode":"M_UNRECOGNIZED","error":"what?"}`)
		})
		v.answer("/_matrix/media/v3/download/mallory.test/", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("allow_remote") != "false" || r.Header.Get("Authorization") != "" {
				t.Errorf("asked for %s with %v", r.URL, r.Header)
			}
			if fileOf(r) == "moved" {
				http.Redirect(w, r, "http://cdn.test/", http.StatusTemporaryRedirect)
				return
			}
			w.Header().Set("Content-Type", "image/png")
			w.Header().Set("Content-Disposition", "inline; filename=old.png")
			fmt.Fprint(w, "old")
		})
		if r := s.gets(alice, "mxc://mallory.test/old", "old"); r.Header.Get("Content-Disposition") != "inline; filename=old.png" {
			t.Errorf("it is %v", r.Header)
		}
		s.gets(alice, "mxc://mallory.test/moved", "from elsewhere")
	})
}

func TestOtherServersGetFilesInTwoParts(t *testing.T) {
	scene(t, func(s *stage) {
		a := s.Server("a.test")
		alice := a.Register("alice")
		v := s.villain("mallory.test")
		var picture bytes.Buffer
		if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 200, 100))); err != nil {
			t.Fatal(err)
		}
		uri := alice.Upload(picture.Bytes(), "image/png", "dark.png")
		get := func(path string) *http.Response {
			t.Helper()
			signed := xmatrix.Request{Method: "GET", URI: path, Origin: v.name, Destination: a.Name}
			r, err := http.NewRequest("GET", "https://a.test:8448"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", signed.Sign(v.key))
			resp, err := v.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			content, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body = io.NopCloser(bytes.NewReader(content))
			return resp
		}
		for path, want := range map[string]struct {
			name string
			size image.Point
		}{
			"download/" + uri.MediaID():                                      {"inline; filename=dark.png", image.Pt(200, 100)},
			"thumbnail/" + uri.MediaID() + "?width=50&height=50&method=crop": {"inline; filename=thumbnail.png", image.Pt(50, 50)},
		} {
			resp := get("/_matrix/federation/v1/media/" + path)
			_, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
			if resp.StatusCode != 200 || err != nil {
				t.Fatalf("%s: got %d %v", path, resp.StatusCode, resp.Header)
			}
			parts := multipart.NewReader(resp.Body, params["boundary"])
			first, err := parts.NextPart()
			if err != nil {
				t.Fatal(err)
			}
			about, _ := io.ReadAll(first)
			if first.Header.Get("Content-Type") != "application/json" || string(about) != "{}" {
				t.Errorf("%s: the first part is %v %s", path, first.Header, about)
			}
			second, err := parts.NextPart()
			if err != nil {
				t.Fatal(err)
			}
			m, err := png.Decode(second)
			if err != nil || m.Bounds().Size() != want.size || second.Header.Get("Content-Disposition") != want.name || second.Header.Get("Content-Type") != "image/png" {
				t.Errorf("%s: the second part is %v, %v", path, second.Header, err)
			}
			if _, err := parts.NextPart(); err != io.EOF {
				t.Errorf("%s: after two parts: %v", path, err)
			}
		}
		for path, want := range map[string]int{
			"download/unknown": 404, "download/un.known": 404, "download/" + uri.MediaID() + "?timeout_ms=x": 400,
			"thumbnail/" + uri.MediaID(): 400, "thumbnail/" + uri.MediaID() + "?width=0&height=1": 400, "thumbnail/" + uri.MediaID() + "?width=1&height=1&method=x": 400,
		} {
			if resp := get("/_matrix/federation/v1/media/" + path); resp.StatusCode != want {
				t.Errorf("%s: got %d, want %d", path, resp.StatusCode, want)
			}
		}
		if r := alice.Raw("GET", "/_matrix/federation/v1/media/download/"+uri.MediaID(), nil); r.Status != 401 {
			t.Errorf("a user gets %d %s", r.Status, r.Body)
		}
	})
}

func TestPicturesOfFilesElsewhereAreDrawnHere(t *testing.T) {
	scene(t, func(s *stage) {
		b := s.Server("b.test")
		alice, bob := s.Server("a.test").Register("alice"), b.Register("bob")
		var picture bytes.Buffer
		if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 200, 100))); err != nil {
			t.Fatal(err)
		}
		uri, lie := bob.Upload(picture.Bytes(), "image/png", ""), bob.Upload([]byte("<svg>"), "image/png", "")
		bomb := bob.Upload([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\xea\x60\x00\x00\xea\x60\b\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04IDAT"), "image/png", "")
		for range 2 {
			r := alice.Download(uri, "width=100&height=100")
			m, err := png.Decode(bytes.NewReader(r.Body))
			if r.Status != 200 || err != nil || m.Bounds().Size() != image.Pt(100, 50) {
				t.Errorf("got %d, %v", r.Status, err)
			}
			if r := alice.Download(lie, "width=100&height=100"); r.Status != 400 || r.Get("errcode") != "M_UNKNOWN" {
				t.Errorf("of what is no image: %d %s", r.Status, r.Body)
			}
			if r := alice.Download(bomb, "width=100&height=100"); r.Status != 502 || r.Get("errcode") != "M_TOO_LARGE" {
				t.Errorf("of very many pixels: %d %s", r.Status, r.Body)
			}
			b.Kill()
			b.Start()
		}
	})
}
