package bucket

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"parley/internal/bucket/buckettest"
)

// service is a service that goes through a handler first.
func service(t *testing.T, before func(w http.ResponseWriter, r *http.Request) (done bool)) (url string) {
	t.Helper()
	s := buckettest.New(t)
	s.Before(before)
	return s.URL
}

func open(t *testing.T, url string, change ...func(*Options)) *Bucket {
	t.Helper()
	o := Options{Endpoint: url, Region: "us-east-1", Name: buckettest.Name, Prefix: "a/", AccessKey: "key", SecretKey: "secret", Owner: "a.test"}
	for _, f := range change {
		f(&o)
	}
	b, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// file is a file with a content.
func file(t *testing.T, content []byte) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func put(t *testing.T, b *Bucket, key, content string) {
	t.Helper()
	if err := b.Put(t.Context(), key, file(t, []byte(content)), int64(len(content))); err != nil {
		t.Fatal(err)
	}
}

func keys(t *testing.T, b *Bucket, begin string) (all []string) {
	t.Helper()
	for key, err := range b.List(t.Context(), begin) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, key)
	}
	return all
}

func TestObjectsComeBackAsTheyWereStored(t *testing.T) {
	b := open(t, service(t, nil))
	put(t, b, "x/one", "hello")
	put(t, b, "x/empty", "")
	put(t, b, "y/two", "world")
	got, err := io.ReadAll(b.Get(t.Context(), "x/one", 5))
	if string(got) != "hello" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := io.ReadAll(b.Get(t.Context(), "x/empty", 0)); len(got) != 0 || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	for key, want := range map[string]bool{"x/one": true, "x/three": false} {
		if has, err := b.Has(t.Context(), key); has != want || err != nil {
			t.Errorf("%s: got %v, %v, want %v", key, has, err, want)
		}
	}
	if got := keys(t, b, "x/"); !slices.Equal(got, []string{"x/empty", "x/one"}) {
		t.Errorf("got %q", got)
	}
	for range 2 { // what is not there can be removed
		if err := b.Remove(t.Context(), "x/one"); err != nil {
			t.Error(err)
		}
	}
	if got := keys(t, b, "x/"); !slices.Equal(got, []string{"x/empty"}) {
		t.Errorf("got %q", got)
	}
	if _, err := io.ReadAll(b.Get(t.Context(), "x/one", 5)); !errors.Is(err, ErrNotFound) {
		t.Errorf("what was removed is %v", err)
	}
}

func TestAnyPartOfAnObjectCanBeRead(t *testing.T) {
	b := open(t, service(t, nil))
	put(t, b, "k", "0123456789")
	o := b.Get(t.Context(), "k", 10)
	defer o.Close()
	for _, tt := range []struct {
		offset int64
		whence int
		read   int
		want   string
	}{{3, io.SeekStart, 2, "34"}, {0, io.SeekCurrent, 1, "5"}, {-2, io.SeekEnd, 2, "89"}, {0, io.SeekEnd, 0, ""}, {0, io.SeekStart, 10, "0123456789"}} {
		if _, err := o.Seek(tt.offset, tt.whence); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, tt.read)
		if _, err := io.ReadFull(o, got); string(got) != tt.want || err != nil {
			t.Errorf("from %d: got %q, %v, want %q", tt.offset, got, err, tt.want)
		}
	}
	if _, err := o.Seek(-1, io.SeekStart); err == nil {
		t.Error("there is something before the beginning")
	}
}

func TestALargeObjectGoesInPartsAndIsNeverInMemory(t *testing.T) {
	// What comes is counted and thrown away: the service in memory would keep it.
	parts := 0
	b := open(t, service(t, func(w http.ResponseWriter, r *http.Request) bool {
		q := r.URL.Query()
		switch {
		case q.Has("uploads"):
			io.WriteString(w, `<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>`)
		case q.Has("partNumber"):
			io.Copy(io.Discard, r.Body)
			w.Header().Set("ETag", `"e"`)
			parts++
		case q.Has("uploadId"):
			io.WriteString(w, `<CompleteMultipartUploadResult><Bucket>files</Bucket><ETag>"e"</ETag></CompleteMultipartUploadResult>`)
		default:
			return false
		}
		return true
	}))
	put(t, b, "small", "x")
	const size = 5*partSize + 1
	f := file(t, nil)
	if err := os.Truncate(f.Name(), size); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := b.Put(t.Context(), "large", f, size); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if parts != 6 {
		t.Errorf("there were %d parts", parts)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
		t.Errorf("it took %d bytes of memory", used)
	}
}

func TestPartsOfWhatDidNotComeAboutAreRemoved(t *testing.T) {
	b := open(t, service(t, nil))
	content := bytes.Repeat([]byte("x"), 6<<20)
	put(t, b, "k", "x")
	upload, err := b.core.NewMultipartUpload(t.Context(), "files", "a/broken", putOptions(1))
	if err == nil {
		_, err = b.core.PutObjectPart(t.Context(), "files", "a/broken", upload, 1, bytes.NewReader(content), int64(len(content)), minio.PutObjectPartOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	pending := func() (n int) {
		for o := range b.client.ListIncompleteUploads(t.Context(), "files", "a/", true) {
			if o.Err != nil {
				t.Fatal(o.Err)
			}
			n++
		}
		return n
	}
	if err := b.Abort(t.Context(), time.Now().Add(-time.Hour)); err != nil || pending() != 1 {
		t.Errorf("what may still be on its way: %v, %d are left", err, pending())
	}
	if err := b.Abort(t.Context(), time.Now().Add(time.Hour)); err != nil || pending() != 0 {
		t.Errorf("got %v, %d are left", err, pending())
	}
}

func TestAPrefixBelongsToOneServer(t *testing.T) {
	url := service(t, nil)
	put(t, open(t, url), "k", "x")
	other := open(t, url, func(o *Options) { o.Owner = "b.test" })
	if err := other.Put(t.Context(), "k", file(t, nil), 0); !errors.Is(err, ErrOwned) {
		t.Errorf("it stores: %v", err)
	}
	if err := other.Remove(t.Context(), "k"); !errors.Is(err, ErrOwned) {
		t.Errorf("it removes: %v", err)
	}
	for _, err := range other.List(t.Context(), "") {
		if !errors.Is(err, ErrOwned) {
			t.Errorf("it lists: %v", err)
		}
	}
	again := open(t, url)
	put(t, again, "k", "y")
	beside := open(t, url, func(o *Options) { o.Owner, o.Prefix = "b.test", "b/" })
	put(t, beside, "k", "z")
	if got := keys(t, again, ""); !slices.Equal(got, []string{"k", "owner"}) {
		t.Errorf("got %q", got)
	}
}

func TestALinkIsForEverybody(t *testing.T) {
	b := open(t, service(t, nil))
	put(t, b, "k", "hello")
	link, err := b.Link(t.Context(), "k", time.Minute, "text/plain", `inline; filename="a b"`)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"X-Amz-Signature=", "X-Amz-Expires=60", "response-content-type=text%2Fplain", "response-content-disposition="} {
		if !strings.Contains(link, want) {
			t.Errorf("%s lacks %s", link, want)
		}
	}
	resp, err := http.Get(link)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); string(got) != "hello" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestAServiceThatFailsIsAnErrorAfterAWhile(t *testing.T) {
	failing, asked := true, 0
	b := open(t, service(t, func(w http.ResponseWriter, r *http.Request) bool {
		if failing {
			asked++
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return failing
	}))
	if err := b.Put(t.Context(), "k", file(t, nil), 0); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("storing: %v", err)
	}
	if has, err := b.Has(t.Context(), "k"); has || err == nil {
		t.Errorf("looking: %v, %v", has, err)
	}
	if asked == 0 || asked > 2*attempts {
		t.Errorf("it was asked %d times", asked)
	}
	failing = false
	put(t, b, "k", "x")
	if _, err := Open(Options{Endpoint: "nonsense"}); err == nil {
		t.Error("a URL that is none is one")
	}
	nowhere := open(t, "http://127.0.0.1:1")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := nowhere.Put(ctx, "k", file(t, nil), 0); err == nil {
		t.Error("where nothing listens it stores")
	}
	missing := open(t, service(t, nil), func(o *Options) { o.Name = "other" })
	if err := missing.Put(ctx, "k", file(t, nil), 0); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("storing in a bucket that is not there: %v", err)
	}
}
