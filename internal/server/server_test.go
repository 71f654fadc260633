package server

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parley/internal/config"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// defaults are the defaults, with all data in a place of the test.
func defaults(t *testing.T, dir string) config.Config {
	t.Helper()
	c, _, err := config.Load(nil, []string{"--data-dir", dir, "--server-name", "a.test", "--listen", "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func open(t *testing.T, c config.Config) *Server {
	t.Helper()
	s, err := New(t.Context(), Options{Config: c})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// refused returns why a server does not open.
func refused(t *testing.T, c config.Config) string {
	t.Helper()
	s, err := New(t.Context(), Options{Config: c})
	if err == nil {
		s.Close()
		t.Fatal("got a server, want an error")
	}
	return err.Error()
}

func request(t *testing.T, s *Server, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

func TestUnknownPathsAreMatrixErrors(t *testing.T) {
	s := open(t, defaults(t, t.TempDir()))
	for _, path := range []string{"/", "/_matrix/client/v3/nothing", "/_matrix/client/r0/nothing", "/_matrix/client/r0/", "/a//b/../c"} {
		w := request(t, s, "GET", path)
		var code string
		if body, err := canonjson.Canonical(w.Body.Bytes(), canonjson.Lenient); err == nil {
			code, _ = body.Get("errcode").Text()
		}
		if w.Code != http.StatusNotFound || code != "M_UNRECOGNIZED" {
			t.Errorf("GET %s: got %d %s", path, w.Code, w.Body)
		}
		if got := w.Header().Get("Access-Control-Allow-Origin"); got != "*" {
			t.Errorf("GET %s: a web client may not see the answer (%q)", path, got)
		}
	}
}

func TestWebClientsMayAsk(t *testing.T) {
	s := open(t, defaults(t, t.TempDir()))
	for _, path := range []string{"/_matrix/client/v3/login", "/_matrix/client/r0/login", "/_matrix/nothing"} {
		r := httptest.NewRequest("OPTIONS", path, nil)
		r.Header.Set("Origin", "https://app.test")
		r.Header.Set("Access-Control-Request-Method", "PUT")
		r.Header.Set("Access-Control-Request-Headers", "authorization")
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		h := w.Header()
		if w.Code/100 != 2 || h.Get("Access-Control-Allow-Origin") != "*" ||
			!strings.Contains(h.Get("Access-Control-Allow-Methods"), "PUT") || !strings.Contains(h.Get("Access-Control-Allow-Headers"), "Authorization") {
			t.Errorf("OPTIONS %s: got %d %v", path, w.Code, h)
		}
	}
}

func TestLimitsCanBeSwitchedOff(t *testing.T) {
	for _, enabled := range []bool{true, false} {
		c := defaults(t, t.TempDir())
		c.RateLimits.Enabled = enabled
		s := open(t, c)
		limited := false
		for range 100 {
			limited = limited || request(t, s, "POST", "/_matrix/client/v3/login").Code == http.StatusTooManyRequests
		}
		if limited != enabled {
			t.Errorf("limits are enabled: %v, but a client was told to wait: %v", enabled, limited)
		}
	}
}

// TestTokensInTheURL: a token that is not looked at is none.
func TestTokensInTheURL(t *testing.T) {
	for allowed, want := range map[bool]string{true: "M_UNKNOWN_TOKEN", false: "M_MISSING_TOKEN"} {
		c := defaults(t, t.TempDir())
		c.QueryTokens = allowed
		w := request(t, open(t, c), "GET", "/_matrix/client/v3/account/whoami?access_token=x")
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("allowed: %v, got %s, want %s", allowed, w.Body, want)
		}
	}
}

func TestHealth(t *testing.T) {
	s := open(t, defaults(t, t.TempDir()))
	if w := request(t, s, "GET", "/health"); w.Code != 200 || w.Body.String() != "OK\n" {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
}

func TestAnotherServerNameIsRefused(t *testing.T) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		c := defaults(t, t.TempDir())
		if strings.HasPrefix(location, "postgres") {
			c.Database = config.Secret(location)
		}
		for range 2 {
			if err := open(t, c).Close(); err != nil {
				t.Fatal(err)
			}
		}
		c.ServerName = "b.test"
		if why := refused(t, c); !strings.Contains(why, "the data of a.test") || !strings.Contains(why, "server_name b.test") {
			t.Errorf("the reason is %q", why)
		}
	})
}

func TestADirectoryIsServedFromByOneOnly(t *testing.T) {
	c := defaults(t, filepath.Join(t.TempDir(), "deep", "down"))
	s := open(t, c)
	if why := refused(t, c); !strings.Contains(why, "is in use") || !strings.Contains(why, "process") {
		t.Errorf("the reason is %q", why)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, c)
}

func TestNothingInTheDirectoryIsForOthersToRead(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	open(t, defaults(t, dir))
	files, err := os.ReadDir(dir)
	if err != nil || len(files) == 0 {
		t.Fatal(len(files), err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v (%v)", f.Name(), info.Mode(), err)
		}
	}
}

func TestTheSigningKeyStays(t *testing.T) {
	dir := t.TempDir()
	first, made, err := signingKey(dir)
	if err != nil || !made {
		t.Fatal(made, err)
	}
	if _, err := id.ParseStrictKeyID(string(first.ID)); err != nil {
		t.Error(err)
	}
	again, made, err := signingKey(dir)
	if err != nil || made || again.ID != first.ID || !again.Private.Equal(first.Private) {
		t.Errorf("made %v, %s then %s, %v", made, first.ID, again.ID, err)
	}
}

func TestSigningKeysThatAreRefused(t *testing.T) {
	const good = "ed25519 a_1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for _, row := range []struct {
		name, content string
		mode          os.FileMode
		want          string // "" if it is not refused
	}{
		{"good", good + "\n", 0o600, ""},
		{"without a line break", good, 0o600, ""},
		{"with padding", good + "=\n", 0o400, ""},
		{"the group may read it", good, 0o640, "has mode 0640"},
		{"others may read it", good, 0o604, "has mode 0604"},
		{"empty", "", 0o600, "want one line"},
		{"two keys", good + "\n" + good, 0o600, "want one line"},
		{"three lines", "ed25519\na_1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 0o600, "want one line"},
		{"another algorithm", "rsa a_1 AAAA", 0o600, "not an ed25519 key"},
		{"a version that is none", "ed25519 a-1 AAAA", 0o600, "version"},
		{"no base64", "ed25519 a_1 !!!!", 0o600, "not in base64"},
		{"a short seed", "ed25519 a_1 AAAA", 0o600, "3 bytes instead of 32"},
		{"a long file", strings.Repeat("x", 2000), 0o600, "too long"},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(keyPath(dir), []byte(row.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(keyPath(dir), row.mode); err != nil {
				t.Fatal(err)
			}
			_, made, err := signingKey(dir)
			switch {
			case made:
				t.Error("a new one was made")
			case row.want == "" && err != nil:
				t.Error(err)
			case row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want) || !strings.Contains(err.Error(), keyPath(dir))):
				t.Errorf("got error %v, want one with %q", err, row.want)
			}
		})
	}
}

// running is a server that serves on a port of this machine.
type running struct {
	*Server
	url  string
	stop context.CancelFunc
	done chan error
}

func run(t *testing.T, s *Server) *running {
	t.Helper()
	listeners, err := s.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return runOn(t, s, listeners...)
}

func runOn(t *testing.T, s *Server, listeners ...net.Listener) *running {
	ctx, stop := context.WithCancel(t.Context())
	r := &running{Server: s, url: "http://" + listeners[0].Addr().String(), stop: stop, done: make(chan error, 1)}
	go func() { r.done <- s.Run(ctx, listeners...) }()
	return r
}

func TestStartAndStop(t *testing.T) {
	r := run(t, open(t, defaults(t, t.TempDir())))
	resp, err := http.Get(r.url + "/health")
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
	r.stop()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
	if _, err := http.Get(r.url + "/health"); err == nil {
		t.Error("it still answers")
	}
}

func TestAPortThatIsTakenIsNamed(t *testing.T) {
	c := defaults(t, t.TempDir())
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c.Listen = l.Addr().String()
	if _, err := open(t, c).Listen(t.Context()); err == nil || !strings.Contains(err.Error(), c.Listen) {
		t.Errorf("got error %v, want one with %s", err, c.Listen)
	}
}

func TestMetricsAreForTheMachineItself(t *testing.T) {
	s := open(t, defaults(t, t.TempDir()))
	for _, row := range []struct {
		name, addr string
		header     http.Header
		status     int
	}{
		{"the machine itself", "127.0.0.1:1234", nil, 200},
		{"with IPv6", "[::1]:1234", nil, 200},
		{"another machine", "10.0.0.1:1234", nil, 403},
		{"through a proxy", "127.0.0.1:1234", http.Header{"X-Forwarded-For": {"10.0.0.1"}}, 403},
		{"that the client lies to", "127.0.0.1:1234", http.Header{"X-Forwarded-For": {"127.0.0.1"}}, 403},
		{"that names itself", "127.0.0.1:1234", http.Header{"Via": {"1.1 proxy"}}, 403},
	} {
		r := httptest.NewRequest("GET", "/_parley/metrics", nil)
		r.RemoteAddr, r.Header = row.addr, row.header
		w := httptest.NewRecorder()
		if s.Handler().ServeHTTP(w, r); w.Code != row.status {
			t.Errorf("%s: got %d, want %d", row.name, w.Code, row.status)
		}
	}
	request(t, s, "GET", "/health")
	request(t, s, "BREW", "/pot")
	r := httptest.NewRequest("GET", "/_parley/metrics", nil)
	r.RemoteAddr = "127.0.0.1:1"
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	for _, want := range []string{
		`parley_http_requests_total{method="GET",route="/health",status="200"} 1`,
		`parley_http_requests_total{method="",route="none",status="404"} 1`,
		`parley_http_request_duration_seconds_count{method="GET",route="/health"} 1`,
		"parley_journal_head 0", "process_resident_memory_bytes",
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s is missing in\n%s", want, w.Body)
		}
	}
}
