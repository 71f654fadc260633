package csapi

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"parley/internal/endpoint"
	"parley/internal/media"
	"parley/internal/store"
	"parley/internal/store/storetest"
)

// noise is a content that is never in memory.
type noise struct{ n int64 }

func (s *noise) Read(p []byte) (int, error) {
	for i := 0; i < len(p); i += 4096 {
		p[i]++
	}
	s.n += int64(len(p))
	return len(p), nil
}

// peak is how many bytes of memory are in use at most until stop is called, beyond
// what there were.
func peak() (stop func() float64) {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before, most := m.HeapAlloc, m.HeapAlloc
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(10 * time.Millisecond):
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapAlloc)
			}
		}
	}()
	return func() float64 {
		close(done)
		<-ended
		return float64(most-before) / (1 << 20)
	}
}

// BenchmarkFiles uploads and downloads over loopback.
func BenchmarkFiles(b *testing.B) {
	storetest.Bench(b, func(b *testing.B, db *store.DB) {
		s := media.New(db, media.Options{Server: "a.test", Dir: b.TempDir(), MaxUpload: 2 << 30, CacheSize: 1 << 30})
		defer s.Close()
		api := New(Parts{Name: "a.test", Media: s, Settings: Settings{MaxUpload: 2 << 30}})
		server := httptest.NewServer(endpoint.New(endpoint.Config{Users: someCallers()}, api.contentRoutes()))
		defer server.Close()
		ask := func(method, path string, body io.Reader, length int64) *http.Response {
			r, err := http.NewRequest(method, server.URL+path, body)
			if err != nil {
				b.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer alice")
			r.ContentLength = length
			resp, err := http.DefaultClient.Do(r)
			if err != nil || resp.StatusCode != 200 {
				b.Fatal(resp, err)
			}
			return resp
		}
		for _, size := range []int64{1 << 20, 1 << 30} {
			var at string
			b.Run(fmt.Sprintf("upload/%dMB", size>>20), func(b *testing.B) {
				b.SetBytes(size)
				stop := peak()
				for b.Loop() {
					resp := ask("POST", "/_matrix/media/v3/upload", io.LimitReader(&noise{}, size), size)
					body, _ := io.ReadAll(resp.Body)
					resp.Body.Close()
					at = strings.Split(string(body), `"`)[3]
				}
				b.ReportMetric(stop(), "MB-memory")
			})
			b.Run(fmt.Sprintf("download/%dMB", size>>20), func(b *testing.B) {
				b.SetBytes(size)
				stop := peak()
				for b.Loop() {
					resp := ask("GET", "/_matrix/client/v1/media/download/"+strings.TrimPrefix(at, "mxc://"), nil, 0)
					n, err := io.Copy(io.Discard, resp.Body)
					if err != nil || n != size {
						b.Fatal(n, err)
					}
					resp.Body.Close()
				}
				b.ReportMetric(stop(), "MB-memory")
			})
		}
	})
}
