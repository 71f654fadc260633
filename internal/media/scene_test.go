package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// scene is media of a.test.
type scene struct {
	*Store
	t *testing.T
}

// each plays a scene on each database.
func each(t *testing.T, play func(s *scene), change ...func(*Options)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) { play(newScene(t, db, t.TempDir(), change...)) })
}

func newScene(t *testing.T, db *store.DB, dir string, change ...func(*Options)) *scene {
	o := Options{Server: "a.test", Dir: dir, MaxUpload: 1 << 20, MaxRemote: 1 << 20, CacheSize: 1 << 30}
	for _, f := range change {
		f(&o)
	}
	s := &scene{New(db, o), t}
	t.Cleanup(s.Close)
	return s
}

func (s *scene) upload(user id.UserID, content string) id.ContentURI {
	s.t.Helper()
	u, err := s.Upload(s.t.Context(), user, Upload{Type: "text/plain", Length: int64(len(content))}, bytes.NewReader([]byte(content)))
	if err != nil {
		s.t.Fatal(err)
	}
	return u
}

// content is what there is under a URI, or the code with which it is refused.
func (s *scene) content(u id.ContentURI) string {
	s.t.Helper()
	f, err := s.Open(s.t.Context(), Request{URI: u})
	if err != nil {
		return codeOf(err)
	}
	defer f.Close()
	all, err := io.ReadAll(f)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(all)
}

func codeOf(err error) string {
	var refusal *mxerr.Error
	if errors.As(err, &refusal) {
		return string(refusal.Code)
	}
	return fmt.Sprint(err)
}

// onDisk is how many files there are.
func (s *scene) onDisk() (n int) {
	s.t.Helper()
	err := filepath.WalkDir(s.o.Dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			n++
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Fatal(err)
	}
	return n
}

func (s *scene) expectFiles(what string, want int) {
	s.t.Helper()
	if got := s.onDisk(); got != want {
		s.t.Errorf("%s: there are %d files, want %d", what, got, want)
	}
}

// forget removes media.
func (s *scene) forget(uris ...id.ContentURI) {
	s.t.Helper()
	var list []Media
	for _, u := range uris {
		m, err := s.find(s.t.Context(), u)
		if err != nil || m == nil {
			s.t.Fatal(m, err)
		}
		list = append(list, *m)
	}
	if err := s.remove(s.t.Context(), list); err != nil {
		s.t.Fatal(err)
	}
}

// uploadsAndForgets has several upload the same at the same time, read it and remove
// it, again and again.
func (s *scene) uploadsAndForgets(several int) {
	var wg sync.WaitGroup
	for range several {
		wg.Go(func() {
			for range 5 {
				u := s.upload("@alice:a.test", "the same")
				if got := s.content(u); got != "the same" {
					s.t.Errorf("got %q", got)
				}
				s.forget(u)
			}
		})
	}
	wg.Wait()
}

var background = context.Background()

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// newReader is so many bytes, which those of no other length begin with.
func newReader(n int) io.Reader { return bytes.NewReader(bytes.Repeat([]byte{byte(n)}, n)) }
