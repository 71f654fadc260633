package media

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func TestWhatIsUploadedTwiceIsThereOnce(t *testing.T) {
	each(t, func(s *scene) {
		one, two := s.upload("@alice:a.test", "hello"), s.upload("@bob:a.test", "hello")
		if one == two {
			t.Errorf("both are %s", one)
		}
		s.expectFiles("after two uploads", 1)
		s.forget(one)
		if got := s.content(two); got != "hello" {
			t.Errorf("when one is removed the other is %q", got)
		}
		if got := s.content(one); got != "M_NOT_FOUND" {
			t.Errorf("what was removed is %q", got)
		}
		s.forget(two)
		s.expectFiles("when both are removed", 0)
	})
}

func TestUploadsOfTheSameAtTheSameTimeDoNotLoseIt(t *testing.T) {
	each(t, func(s *scene) {
		s.uploadsAndForgets(8)
		s.expectFiles("in the end", 0)
	})
}

func TestWhatIsTooMuchIsRefused(t *testing.T) {
	small := func(o *Options) { o.MaxUpload, o.UserQuota = 10, 15 }
	each(t, func(s *scene) {
		upload := func(content string, length int64) string {
			_, err := s.Upload(t.Context(), "@alice:a.test", Upload{Length: length}, strings.NewReader(content))
			return codeOf(err)
		}
		for _, tt := range []struct {
			what, content string
			length        int64
			want          string
		}{
			{"more than the limit", "12345678901", 11, "M_TOO_LARGE"},
			{"more than the limit without saying so", "12345678901", -1, "M_TOO_LARGE"},
			{"as much as may be", "1234567890", 10, "<nil>"},
			{"beyond the quota", "123456", 6, "M_FORBIDDEN"},
			{"beyond the quota without saying so", "123456", -1, "M_FORBIDDEN"},
			{"up to the quota", "12345", 5, "<nil>"},
		} {
			if got := upload(tt.content, tt.length); got != tt.want {
				t.Errorf("%s: got %s, want %s", tt.what, got, tt.want)
			}
		}
		s.expectFiles("what was refused is gone", 2)
		if c := s.Counts(); c.Uploads != 2 || c.UploadBytes != 15 || c.Refused != 2 {
			t.Errorf("counted were %+v", c)
		}
		s.upload("@bob:a.test", "1234567890")
	}, small)
}

func TestAnUploadThatBreaksOffLeavesNothing(t *testing.T) {
	each(t, func(s *scene) {
		broken := io.MultiReader(strings.NewReader("half of"), iotest.ErrReader(errors.New("the client has gone")))
		if _, err := s.Upload(t.Context(), "@alice:a.test", Upload{Length: -1}, broken); err == nil || err.Error() != "the client has gone" {
			t.Errorf("got %v", err)
		}
		s.expectFiles("afterwards", 0)
	})
}

// TestACrashLeavesNothingForEver plays what a crash leaves at each point of an
// upload and of a removal.
func TestACrashLeavesNothingForEver(t *testing.T) {
	each(t, func(s *scene) {
		kept := s.upload("@alice:a.test", "kept")
		orphan := Hash(sha256.Sum256([]byte("orphan")))
		writeFile(t, s.files.content(orphan), "orphan")
		writeFile(t, filepath.Join(s.files.thumbnails(orphan), "32x32"), "picture")
		lost := Hash(sha256.Sum256([]byte("lost")))
		writeFile(t, filepath.Join(s.files.thumbnails(lost), "32x32"), "picture")
		writeFile(t, filepath.Join(s.o.Dir, "incoming", "ABCDEFGH-1"), "ha")
		under := filepath.Join(s.o.Dir, "incoming", s.files.run+"-1")
		writeFile(t, under, "on its way")
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.expectFiles("what is known, and what is on its way", 2)
		if c := s.Counts(); c.Collected != 2 {
			t.Errorf("counted were %+v", c)
		}
		if got := s.content(kept); got != "kept" {
			t.Errorf("got %q", got)
		}
	})
}

func TestARowThatDoesNotComeAboutTakesItsFileAlong(t *testing.T) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		var fail store.Point = -1
		db := storetest.Open(t, location)
		db.FailAt(func(p store.Point) error {
			if p == fail {
				return errors.New("no")
			}
			return nil
		})
		s := newScene(t, db, t.TempDir())
		for _, fail = range []store.Point{store.BeforeBegin, store.BeforeCommit, store.AfterCommit} {
			if _, err := s.Upload(t.Context(), "@alice:a.test", Upload{Length: -1}, strings.NewReader("x")); err == nil {
				t.Errorf("at point %d it succeeds", fail)
			}
			want := 0
			if fail == store.AfterCommit {
				want = 1 // the row is there
			}
			s.expectFiles("after the failure", want)
		}
		fail = -1
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.expectFiles("after the sweep", 1)
	})
}

func TestContentCanComeLater(t *testing.T) {
	location := filepath.Join(t.TempDir(), "parley.db")
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, storetest.Open(t, location), t.TempDir())
		create := func() id.ContentURI {
			u, expires, err := s.Create(t.Context(), "@alice:a.test")
			if err != nil || time.Until(expires) != 24*time.Hour {
				t.Fatal(u, expires, err)
			}
			return u
		}
		fill := func(user id.UserID, u id.ContentURI, content string) string {
			return codeOf(s.Fill(t.Context(), user, u, Upload{Type: "text/plain", Length: -1}, strings.NewReader(content)))
		}
		expect := func(what, got, want string) {
			t.Helper()
			if got != want {
				t.Errorf("%s: got %s, want %s", what, got, want)
			}
		}
		u := create()
		began := time.Now()
		_, err := s.Open(t.Context(), Request{URI: u, Wait: 5 * time.Second})
		expect("nothing has come", codeOf(err), "M_NOT_YET_UPLOADED")
		if waited := time.Since(began); waited != 5*time.Second {
			t.Errorf("it waited %v", waited)
		}
		_, err = s.Open(t.Context(), Request{URI: u, Wait: time.Hour})
		if waited := time.Since(began) - 5*time.Second; waited != longestWait {
			t.Errorf("it waited %v, %v", waited, err)
		}
		got := make(chan string)
		go func() {
			f, err := s.Open(t.Context(), Request{URI: u, Wait: -1})
			if err != nil {
				got <- codeOf(err)
				return
			}
			defer f.Close()
			all, _ := io.ReadAll(f)
			got <- string(all)
		}()
		synctest.Wait()
		expect("somebody else's", fill("@bob:a.test", u, "no"), "M_FORBIDDEN")
		expect("the content", fill("@alice:a.test", u, "yes"), "<nil>")
		expect("who waited", <-got, "yes")
		expect("another content", fill("@alice:a.test", u, "no"), "M_CANNOT_OVERWRITE_MEDIA")
		expect("what was never created", fill("@alice:a.test", "mxc://a.test/x", "no"), "M_NOT_FOUND")
		expect("of another server", fill("@alice:a.test", "mxc://b.test/x", "no"), "M_NOT_FOUND")

		late := create()
		for range mostPending - 1 {
			create()
		}
		_, _, err = s.Create(t.Context(), "@alice:a.test")
		expect("too many", codeOf(err), "M_LIMIT_EXCEEDED")
		if _, _, err := s.Create(t.Context(), "@bob:a.test"); err != nil {
			t.Error(err)
		}
		time.Sleep(pendingTime + time.Second)
		expect("too late", fill("@alice:a.test", late, "no"), "M_NOT_FOUND")
		expect("it is there no more", s.content(late), "M_NOT_FOUND")
		create()
		if err := s.tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
		if m, err := s.find(t.Context(), late); m != nil || err != nil {
			t.Errorf("got %v, %v", m, err)
		}
		expect("what has come stays", s.content(u), "yes")
	})
}

// TestWhatCameBeforeTheFreezeStaysPublic and nothing else: what counts is when the
// content came, not when its URI was made.
func TestWhatCameBeforeTheFreezeStaysPublic(t *testing.T) {
	each(t, func(before *scene) {
		u := before.upload("@alice:a.test", "before")
		awaited, _, err := before.Create(t.Context(), "@alice:a.test")
		if err != nil {
			t.Fatal(err)
		}
		s := newScene(t, before.db, before.o.Dir)
		if err := s.Fill(t.Context(), "@alice:a.test", awaited, Upload{Length: -1}, strings.NewReader("afterwards")); err != nil {
			t.Fatal(err)
		}
		for u, want := range map[id.ContentURI]string{u: "<nil>", awaited: "M_NOT_FOUND", s.upload("@alice:a.test", "before"): "M_NOT_FOUND"} {
			f, err := s.Open(t.Context(), Request{URI: u, Public: true})
			if err == nil {
				f.Close()
			}
			if got := codeOf(err); got != want {
				t.Errorf("%s: got %s, want %s", u, got, want)
			}
		}
	}, func(o *Options) { o.Public = true })
}

func TestUploadsAtTheSameTimeToOneURIGiveItOneContent(t *testing.T) {
	each(t, func(s *scene) {
		u, _, err := s.Create(t.Context(), "@alice:a.test")
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		outcomes := make(map[string]int)
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				err := s.Fill(background, "@alice:a.test", u, Upload{Length: -1}, bytes.NewReader([]byte{byte(i)}))
				mu.Lock()
				defer mu.Unlock()
				outcomes[codeOf(err)]++
			})
		}
		wg.Wait()
		if outcomes["<nil>"] != 1 || outcomes[string(mxerr.CannotOverwriteMedia)] != 5 {
			t.Errorf("got %v", outcomes)
		}
		s.expectFiles("one is kept", 1)
	})
}
