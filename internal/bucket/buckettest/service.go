// Package buckettest gives tests a service that speaks the protocol of Amazon S3, in
// memory, with an empty bucket.
package buckettest

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// Name is the name of the bucket.
const Name = "files"

// Service is such a service.
type Service struct {
	URL     string
	backend *s3mem.Backend

	mu     sync.Mutex
	before func(w http.ResponseWriter, r *http.Request) (done bool)
}

// New starts a service that ends with the test.
func New(t testing.TB) *Service {
	t.Helper()
	s := &Service{backend: s3mem.New()}
	if err := s.backend.CreateBucket(Name); err != nil {
		t.Fatal(err)
	}
	next := gofakes3.New(s.backend).Server()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		before := s.before
		s.mu.Unlock()
		if before == nil || !before(w, r) {
			next.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// Before has a function see each request from now on, and answer it if it wants; nil
// for none.
func (s *Service) Before(f func(w http.ResponseWriter, r *http.Request) (done bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = f
}

// Fail lets all requests fail from now on.
func (s *Service) Fail() {
	s.Before(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusForbidden) // which nobody tries again
		return true
	})
}

// Keys are those of the objects that there are and begin with something, in order.
func (s *Service) Keys(t testing.TB, begin string) (keys []string) {
	t.Helper()
	list, err := s.backend.ListBucket(Name, nil, gofakes3.ListBucketPage{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range list.Contents {
		if strings.HasPrefix(o.Key, begin) {
			keys = append(keys, o.Key)
		}
	}
	slices.Sort(keys)
	return keys
}
