package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/internal/bucket"
	"parley/internal/bucket/buckettest"
	"parley/internal/media"
	"parley/internal/store"
)

// uploader uploads files to a server that is killed meanwhile.
type uploader struct {
	t     *testing.T
	dir   string
	token string

	mu           sync.Mutex
	acknowledged map[string][]byte // contents by path of the URI
}

const bucketOfTests = "a/"

// TestFilesSurviveKilling kills servers while files are uploaded. What was
// acknowledged is whole afterwards, nothing else is given out, and of what was on its
// way nothing is left.
func TestFilesSurviveKilling(t *testing.T) {
	t.Run("in a directory", func(t *testing.T) { testFilesSurviveKilling(t, nil) })
	t.Run("in a bucket", func(t *testing.T) { testFilesSurviveKilling(t, buckettest.New(t)) })
}

func testFilesSurviveKilling(t *testing.T, service *buckettest.Service) {
	t.Setenv("PARLEY_REGISTRATION_MODE", "open")
	t.Setenv("PARLEY_RATE_LIMITS_ENABLED", "false")
	if service != nil {
		inBucket(t, service)
	}
	u := &uploader{t: t, dir: t.TempDir(), acknowledged: make(map[string][]byte)}
	random := rand.New(rand.NewPCG(7, 7))
	const rounds = 6
	for range rounds {
		p := start(t, "serve", "--listen", "127.0.0.1:0", "--data-dir", u.dir)
		url := p.await("listening", "url")
		if u.token == "" {
			u.register(url)
		}
		u.check(url)
		before := len(u.acknowledged)
		var group sync.WaitGroup
		for i := range 4 {
			seed := random.Uint64()
			group.Go(func() { u.load(url, rand.New(rand.NewPCG(seed, uint64(i)))) })
		}
		moment := time.Duration(random.IntN(150)) * time.Millisecond
		for u.count() < before+3 { // so that it is killed in the middle
			<-time.After(time.Millisecond)
		}
		<-time.After(moment)
		p.Process.Kill()
		group.Wait()
		p.rest()
		p.Wait()
	}
	u.checkRest(service)
	if service != nil {
		u.fetchAll(service)
	}
	t.Logf("%d kills, %d files", rounds, len(u.acknowledged))
}

func inBucket(t *testing.T, service *buckettest.Service) {
	for name, value := range map[string]string{
		"ENDPOINT": service.URL, "NAME": buckettest.Name, "REGION": "us-east-1", "PREFIX": bucketOfTests, "ACCESS_KEY": "key", "SECRET_KEY": "secret",
	} {
		t.Setenv("PARLEY_BUCKET_"+name, value)
	}
}

func (u *uploader) register(url string) {
	u.t.Helper()
	resp, err := http.Post(url+"/_matrix/client/v3/register", "application/json",
		strings.NewReader(`{"username":"alice","password":"a long password","auth":{"type":"m.login.dummy"}}`))
	if err != nil {
		u.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Token == "" {
		u.t.Fatal(resp.StatusCode, err)
	}
	u.token = answer.Token
}

func (u *uploader) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.acknowledged)
}

// load uploads files until the server is gone.
func (u *uploader) load(url string, random *rand.Rand) {
	for {
		content := make([]byte, 1+random.IntN(1<<20))
		for i := range content {
			content[i] = byte(random.Uint32())
		}
		r, err := http.NewRequest("POST", url+"/_matrix/media/v3/upload", bytes.NewReader(content))
		if err != nil {
			u.t.Error(err)
			return
		}
		r.Header.Set("Authorization", "Bearer "+u.token)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return
		}
		var answer struct {
			URI string `json:"content_uri"`
		}
		err = json.NewDecoder(resp.Body).Decode(&answer)
		resp.Body.Close()
		if err != nil {
			return
		}
		u.mu.Lock()
		u.acknowledged[strings.TrimPrefix(answer.URI, "mxc://")] = content
		u.mu.Unlock()
	}
}

// check gets all that was acknowledged.
func (u *uploader) check(url string) {
	u.t.Helper()
	for path, content := range u.acknowledged {
		r, err := http.NewRequest("GET", url+"/_matrix/client/v1/media/download/"+path, nil)
		if err != nil {
			u.t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+u.token)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			u.t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || err != nil || !bytes.Equal(got, content) {
			u.t.Errorf("of %s come %d bytes of %d, status %d, %v", path, len(got), len(content), resp.StatusCode, err)
		}
	}
}

// checkRest compares what is there with what the database knows, after a sweep.
func (u *uploader) checkRest(service *buckettest.Service) {
	u.t.Helper()
	db, err := store.Open(context.Background(), filepath.Join(u.dir, "parley.db"))
	if err != nil {
		u.t.Fatal(err)
	}
	defer db.Close()
	o := media.Options{Server: "localhost", Dir: filepath.Join(u.dir, "media"), ShelfSize: 1 << 30}
	if service != nil {
		o.Bucket, err = bucket.Open(bucket.Options{
			Endpoint: service.URL, Region: "us-east-1", Name: buckettest.Name, Prefix: bucketOfTests, AccessKey: "key", SecretKey: "secret", Owner: "localhost",
		})
		if err != nil {
			u.t.Fatal(err)
		}
	}
	s := media.New(db, o)
	defer s.Close()
	if err := s.Sweep(context.Background()); err != nil {
		u.t.Fatal(err)
	}
	var want []string
	err = db.View(context.Background(), func(tx *store.Tx) error {
		hashes, err := store.List[[]byte](tx, "SELECT DISTINCT hash FROM media")
		for _, h := range hashes {
			want = append(want, hex.EncodeToString(h))
		}
		return err
	})
	if err != nil {
		u.t.Fatal(err)
	}
	slices.Sort(want)
	got := u.onDisk(o.Dir)
	if !slices.Equal(got, want) {
		u.t.Errorf("there are %d files, and the database names %d", len(got), len(want))
	}
	if service == nil {
		return
	}
	var keys []string
	for _, key := range service.Keys(u.t, bucketOfTests+"files/") {
		keys = append(keys, strings.ReplaceAll(strings.TrimPrefix(key, bucketOfTests+"files/"), "/", ""))
	}
	if !slices.Equal(keys, want) {
		u.t.Errorf("there are %d objects, and the database names %d", len(keys), len(want))
	}
}

// onDisk is the names of all files, each of which has to be the hash of what it is.
func (u *uploader) onDisk(dir string) (names []string) {
	u.t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		name := filepath.Base(filepath.Dir(path)) + filepath.Base(path)
		if hash := fmt.Sprintf("%x", sha256.Sum256(content)); hash != name {
			u.t.Errorf("%s has the hash %s", path, hash)
		}
		names = append(names, name)
		return err
	})
	if err != nil {
		u.t.Fatal(err)
	}
	return names
}

// fetchAll brings all files back from the bucket, and looks whether a server without
// it has them.
func (u *uploader) fetchAll(service *buckettest.Service) {
	u.t.Helper()
	if err := os.RemoveAll(filepath.Join(u.dir, "media")); err != nil {
		u.t.Fatal(err)
	}
	run := func(settings ...string) (string, error) {
		var out bytes.Buffer
		p := &program{out: &out, err: io.Discard, environ: append(settings, "PARLEY_DATA_DIR="+u.dir)}
		err := p.run(u.t.Context(), []string{"media", "fetch"})
		return out.String(), err
	}
	if _, err := run(); err == nil || !strings.Contains(err.Error(), "there is no bucket") {
		u.t.Errorf("without a bucket: %v", err)
	}
	settings := []string{
		"PARLEY_BUCKET_ENDPOINT=" + service.URL, "PARLEY_BUCKET_NAME=" + buckettest.Name, "PARLEY_BUCKET_REGION=us-east-1",
		"PARLEY_BUCKET_PREFIX=" + bucketOfTests, "PARLEY_BUCKET_ACCESS_KEY=key", "PARLEY_BUCKET_SECRET_KEY=secret",
	}
	for range 2 {
		if out, err := run(settings...); err != nil || !strings.Contains(out, "files were fetched") {
			u.t.Errorf("it says %q, %v", out, err)
		}
	}
	for _, s := range settings {
		name, _, _ := strings.Cut(s, "=")
		os.Unsetenv(name) // until the end of the test: t.Setenv has set it
	}
	p := start(u.t, "serve", "--listen", "127.0.0.1:0", "--data-dir", u.dir)
	u.check(p.await("listening", "url"))
	p.Process.Kill()
	p.end()
}
