package media

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"parley/internal/bucket"
	"parley/internal/bucket/buckettest"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
)

// shelved is media of a.test whose contents are in a bucket.
type shelved struct {
	*scene
	service *buckettest.Service
	db      *store.DB
}

func newBucket(t testing.TB, s *buckettest.Service) *bucket.Bucket {
	t.Helper()
	b, err := bucket.Open(bucket.Options{
		Endpoint: s.URL, Region: "us-east-1", Name: buckettest.Name, Prefix: "a/", AccessKey: "key", SecretKey: "secret", Owner: "a.test",
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// eachShelved plays a scene on each database, with a bucket.
func eachShelved(t *testing.T, play func(s *shelved), change ...func(*Options)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := &shelved{service: buckettest.New(t), db: db}
		s.scene = newScene(t, db, t.TempDir(), append([]func(*Options){func(o *Options) {
			o.Bucket, o.ShelfSize = newBucket(t, s.service), 1<<20
		}}, change...)...)
		play(s)
	})
}

func (s *shelved) expectObjects(what string, want int) {
	s.t.Helper()
	if got := s.service.Keys(s.t, "a/files/"); len(got) != want {
		s.t.Errorf("%s: the bucket has %q, want %d", what, got, want)
	}
}

// clear removes all files of the directory.
func (s *shelved) clear() {
	s.t.Helper()
	if err := os.RemoveAll(s.o.Dir); err != nil {
		s.t.Fatal(err)
	}
	clear(s.files.made)
}

func TestWhatIsUploadedIsInTheBucketOnce(t *testing.T) {
	eachShelved(t, func(s *shelved) {
		one, two := s.upload("@alice:a.test", "hello"), s.upload("@bob:a.test", "hello")
		s.expectObjects("after two uploads", 1)
		s.expectFiles("beside it", 1)
		s.clear()
		for range 2 {
			if got := s.content(one); got != "hello" {
				t.Errorf("from the bucket comes %q", got)
			}
			s.expectFiles("it was brought", 1)
		}
		s.forget(one)
		s.expectObjects("when one is removed", 1)
		s.forget(two)
		s.expectObjects("when both are removed", 0)
		s.expectFiles("when both are removed", 0)
		if got := s.content(two); got != "M_NOT_FOUND" {
			t.Errorf("what was removed is %q", got)
		}
	})
}

func TestWhatIsLargeIsNotBrought(t *testing.T) {
	eachShelved(t, func(s *shelved) {
		large := strings.Repeat("0123456789", 1000)
		u := s.upload("@alice:a.test", large)
		s.clear()
		f, err := s.Open(t.Context(), Request{URI: u})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Range", "bytes=5001-5004")
		w := httptest.NewRecorder()
		if err := f.Serve(w, r, "", false); err != nil || w.Code != http.StatusPartialContent || w.Body.String() != "1234" {
			t.Errorf("got %d, %q, %v", w.Code, w.Body, err)
		}
		if got := s.content(u); got != large {
			t.Errorf("got %d bytes", len(got))
		}
		s.expectFiles("nothing was brought", 0)
	}, func(o *Options) { o.ShelfSize = 10_000 })
}

func TestPicturesOfWhatIsInTheBucketAreDrawn(t *testing.T) {
	eachShelved(t, func(s *shelved) {
		u := s.uploadBytes(encoded(t, scenery(100, 100), formatPNG))
		s.clear()
		for range 2 {
			if _, kind := s.picture(u, 32, 32, false, false); kind != "image/png" {
				t.Errorf("got %s", kind)
			}
		}
		s.expectFiles("the content and its picture", 2)
		if err := os.Remove(s.files.content(s.hash(u))); err != nil {
			t.Fatal(err)
		}
		s.service.Fail()
		if _, kind := s.picture(u, 32, 32, false, false); kind != "image/png" {
			t.Errorf("what was drawn needs no bucket, but is %s", kind)
		}
		s.service.Before(nil)
		s.forget(u)
		s.expectFiles("in the end", 0)
	})
}

func (s *scene) hash(u id.ContentURI) Hash {
	s.t.Helper()
	m, err := s.find(s.t.Context(), u)
	if err != nil || m == nil {
		s.t.Fatal(m, err)
	}
	return m.Hash
}

func TestTheShelfKeepsWhatWasUsedLast(t *testing.T) {
	eachShelved(t, func(s *shelved) {
		var all []id.ContentURI
		for i := range 10 {
			u := s.upload("@alice:a.test", strings.Repeat(string(rune('a'+i)), 1000))
			old := time.Now().Add(time.Duration(i-100) * time.Hour)
			if err := os.Chtimes(s.files.content(s.hash(u)), old, old); err != nil {
				t.Fatal(err)
			}
			all = append(all, u)
		}
		s.content(all[0]) // is used
		alone := Hash(sha256.Sum256([]byte("alone")))
		writeFile(t, s.files.content(alone), "alone")
		if err := s.trim(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, u := range all {
			_, err := os.Stat(s.files.content(s.hash(u)))
			if there, want := err == nil, i == 0 || i > 6; there != want {
				t.Errorf("number %d is there: %v, want %v", i, there, want)
			}
		}
		if _, err := os.Stat(s.files.content(alone)); err != nil {
			t.Errorf("what the bucket does not have is gone: %v", err)
		}
		s.expectObjects("all", 10)
		if got := s.content(all[1]); len(got) != 1000 {
			t.Errorf("what went does not come back: %q", got)
		}
	}, func(o *Options) { o.ShelfSize = 5000 })
}

func TestWhatWasThereBeforeTheBucketIsTakenThere(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		dir := t.TempDir()
		before := newScene(t, db, dir)
		u := before.upload("@alice:a.test", "hello")
		service := buckettest.New(t)
		s := &shelved{newScene(t, db, dir, func(o *Options) { o.Bucket, o.ShelfSize = newBucket(t, service), 1<<20 }), service, db}
		if got := s.content(u); got != "hello" {
			t.Errorf("at first it is %q", got)
		}
		for range 2 {
			if err := s.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.expectObjects("after a sweep", 1)
		}
		s.clear()
		if got := s.content(u); got != "hello" {
			t.Errorf("then it is %q", got)
		}
		s.clear()
		if n, err := s.FetchAll(t.Context()); n != 1 || err != nil {
			t.Errorf("%d were fetched, %v", n, err)
		}
		if n, err := s.FetchAll(t.Context()); n != 0 || err != nil {
			t.Errorf("%d were fetched again, %v", n, err)
		}
		if got := newScene(t, db, dir).content(u); got != "hello" {
			t.Errorf("without the bucket it is %q", got)
		}
	})
}

func TestObjectsThatNoRowNamesAreSwept(t *testing.T) {
	eachShelved(t, func(s *shelved) {
		kept := s.upload("@alice:a.test", "kept")
		orphan := Hash(sha256.Sum256([]byte("orphan")))
		path := s.o.Dir + "/orphan"
		writeFile(t, path, "orphan")
		if err := s.files.deposit(t.Context(), orphan, path); err != nil {
			t.Fatal(err)
		}
		held := Hash(sha256.Sum256([]byte("held")))
		writeFile(t, path, "held")
		letGo := s.files.hold(held)
		if err := s.files.deposit(t.Context(), held, path); err != nil {
			t.Fatal(err)
		}
		s.expectObjects("with an orphan", 3)
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.expectObjects("what is known, and what is on its way", 2)
		letGo()
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.expectObjects("what is known", 1)
		s.clear()
		if got := s.content(kept); got != "kept" {
			t.Errorf("got %q", got)
		}
	})
}

func TestABucketThatFailsIsAClearErrorAndLosesNothing(t *testing.T) {
	eachShelved(t, func(s *shelved) {
		u := s.upload("@alice:a.test", "hello")
		s.service.Fail()
		if got := s.content(u); got != "hello" {
			t.Errorf("what is at hand needs no bucket, but is %q", got)
		}
		s.clear()
		_, err := s.Upload(t.Context(), "@alice:a.test", Upload{Length: -1}, strings.NewReader("more"))
		for what, err := range map[string]error{"an upload": err, "a download": s.openError(u), "a thumbnail": s.thumbnailError(u)} {
			if got := codeOf(err); got != "M_UNKNOWN" || !errors.Is(err, errUnreachable) {
				t.Errorf("%s: got %s, %v", what, got, err)
			}
		}
		s.expectFiles("afterwards", 0)
		if s.Counts().BucketFailures == 0 {
			t.Error("nobody is told")
		}
		s.forget(u) // the object is left
		s.service.Before(nil)
		s.forget(s.upload("@alice:a.test", "more"))
		s.expectObjects("what is not tried at once", 2)
		s.files.resting.Store(0)
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.expectObjects("after the sweep", 0)
	})
}

func (s *scene) openError(u id.ContentURI) error {
	f, err := s.Open(s.t.Context(), Request{URI: u})
	if err == nil {
		f.Close()
	}
	return err
}

func (s *scene) thumbnailError(u id.ContentURI) error {
	f, err := s.Thumbnail(s.t.Context(), Request{URI: u}, Thumbnail{Width: 10, Height: 10})
	if err == nil {
		f.Close()
	}
	return err
}

func TestABucketThatTakesTooLongIsOneThatFails(t *testing.T) {
	eachShelved(t, func(s *shelved) {
		u := s.upload("@alice:a.test", "hello")
		s.clear()
		s.service.Before(func(_ http.ResponseWriter, r *http.Request) bool {
			<-r.Context().Done()
			return true
		})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := s.files.bring(ctx, s.hash(u), 5); codeOf(err) != "M_UNKNOWN" {
			t.Errorf("its time is over: %v", err)
		}
		gone, leave := context.WithCancel(t.Context())
		leave()
		if err := s.files.bring(gone, s.hash(u), 5); !errors.Is(err, context.Canceled) {
			t.Errorf("nobody waits: %v", err)
		}
		s.service.Before(nil)
	})
}

func TestAnObjectThatIsNotWhatItWasIsNotGivenOut(t *testing.T) {
	eachShelved(t, func(s *shelved) {
		u := s.upload("@alice:a.test", "hello")
		key := keyOf(s.hash(u))
		path := s.o.Dir + "/other"
		writeFile(t, path, "jello")
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if err := s.o.Bucket.Put(t.Context(), key, file, 5); err != nil {
			t.Fatal(err)
		}
		s.clear()
		if got := s.content(u); got != "M_UNKNOWN" {
			t.Errorf("got %q", got)
		}
		if err := s.o.Bucket.Remove(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		if got := s.content(u); got != "M_NOT_FOUND" {
			t.Errorf("what is not there is %q", got)
		}
	})
}

func TestUploadsAndRemovalsAtTheSameTimeLeaveNothingInTheBucket(t *testing.T) {
	eachShelved(t, func(s *shelved) {
		s.uploadsAndForgets(4)
		if err := s.Sweep(context.Background()); err != nil {
			t.Error(err)
		}
		s.expectObjects("in the end", 0)
		s.expectFiles("in the end", 0)
	})
}

func TestWhoMayBeIsSentToTheBucket(t *testing.T) {
	eachShelved(t, func(s *shelved) {
		u, err := s.Upload(t.Context(), "@alice:a.test", Upload{Type: "text/html", Name: "a b.html", Length: -1}, bytes.NewReader([]byte("<p>")))
		if err != nil {
			t.Fatal(err)
		}
		answer := func(r Request) *httptest.ResponseRecorder {
			f, err := s.Open(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			w := httptest.NewRecorder()
			if err := f.Serve(w, httptest.NewRequest("GET", "/", nil), "", false); err != nil {
				t.Fatal(err)
			}
			return w
		}
		if w := answer(Request{URI: u}); w.Code != 200 || w.Body.String() != "<p>" {
			t.Errorf("who may not be sent on gets %d, %q", w.Code, w.Body)
		}
		w := answer(Request{URI: u, Redirect: true})
		if w.Code != http.StatusTemporaryRedirect || w.Body.Len() != 0 {
			t.Fatalf("got %d, %q", w.Code, w.Body)
		}
		resp, err := http.Get(w.Header().Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); string(body) != "<p>" || err != nil {
			t.Errorf("there is %q, %v", body, err)
		}
		if !strings.Contains(w.Header().Get("Location"), "response-content-disposition=attachment") {
			t.Errorf("HTML is shown: %s", w.Header().Get("Location"))
		}
		f, err := s.Open(t.Context(), Request{URI: u, Redirect: true})
		if err != nil {
			t.Fatal(err)
		}
		w = httptest.NewRecorder()
		if err := f.ServeServer(w, httptest.NewRequest("GET", "/", nil)); err != nil || !strings.Contains(w.Body.String(), "Location: "+s.service.URL) {
			t.Errorf("another server gets %q, %v", w.Body, err)
		}
		if err := s.Quarantine(t.Context(), u, "@admin:a.test", true); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Open(t.Context(), Request{URI: u, Redirect: true}); codeOf(err) != "M_NOT_FOUND" {
			t.Errorf("what is in quarantine: %v", err)
		}
	}, func(o *Options) { o.Redirect = true })
}
