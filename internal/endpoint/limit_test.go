package endpoint

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"parley/matrix/mxerr"
)

// limited is a table with routes of two classes and one of none.
func limited(t *testing.T, limits map[Class]Limit) *Table {
	config := quietly(t)
	config.Limits = limits
	config.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	return New(config, []Route{
		whoami("GET /send", Policy{Auth: User, Class: "send"}),
		whoami("GET /also-send", Policy{Auth: User, Class: "send"}),
		whoami("GET /login", Policy{Auth: Optional, Class: "login"}),
		whoami("GET /server", Policy{Auth: Server, Class: "login"}),
		whoami("GET /free", Policy{Auth: None}),
	})
}

var someLimits = map[Class]Limit{"send": {PerSecond: 2, Burst: 3}, "login": {PerSecond: 0.1, Burst: 1}}

func TestRateLimit(t *testing.T) {
	type step struct {
		after  time.Duration
		target string
		token  string
		from   string // X-Forwarded-For
		wait   int    // milliseconds of the refusal, 0 to pass
		header string // Retry-After
	}
	for _, row := range []struct {
		name   string
		limits map[Class]Limit
		steps  []step
	}{
		{"a burst passes, then comes the rate", someLimits, []step{
			{target: "/send", token: "alice"}, {target: "/send", token: "alice"}, {target: "/send", token: "alice"},
			{target: "/send", token: "alice", wait: 500, header: "1"},
			{after: 499 * time.Millisecond, target: "/send", token: "alice", wait: 1, header: "1"},
			{after: time.Millisecond, target: "/send", token: "alice"},
			{target: "/send", token: "alice", wait: 500, header: "1"},
		}},
		{"a bucket fills up to its burst and no more", someLimits, []step{
			{target: "/send", token: "alice"}, {target: "/send", token: "alice"},
			{after: time.Hour, target: "/send", token: "alice"}, {target: "/send", token: "alice"}, {target: "/send", token: "alice"},
			{target: "/send", token: "alice", wait: 500, header: "1"},
		}},
		{"users do not share", someLimits, []step{
			{target: "/send", token: "alice"}, {target: "/send", token: "alice"}, {target: "/send", token: "alice"},
			{target: "/send", token: "alice", wait: 500, header: "1"},
			{target: "/send", token: "bob"},
		}},
		{"endpoints of a class share", someLimits, []step{
			{target: "/send", token: "alice"}, {target: "/also-send", token: "alice"}, {target: "/send", token: "alice"},
			{target: "/also-send", token: "alice", wait: 500, header: "1"},
		}},
		{"classes do not share", someLimits, []step{
			{target: "/login", token: "alice"}, {target: "/send", token: "alice"},
			{target: "/login", token: "alice", wait: 10_000, header: "10"},
			{after: 1500 * time.Millisecond, target: "/login", token: "alice", wait: 8500, header: "9"},
		}},
		{"an address is a caller", someLimits, []step{
			{target: "/login", from: "198.51.100.1"},
			{target: "/login", from: "198.51.100.1", wait: 10_000, header: "10"},
			{target: "/login", from: "198.51.100.2"},
			{target: "/login", token: "alice", from: "198.51.100.1"},
		}},
		{"an IPv6 network is a caller", someLimits, []step{
			{target: "/login", from: "2001:db8::1"},
			{target: "/login", from: "2001:db8::ffff:2", wait: 10_000, header: "10"},
			{target: "/login", from: "2001:db8:0:1::1"},
		}},
		{"some application services are exempt", someLimits, []step{
			{target: "/login", token: "bridge"}, {target: "/login", token: "bridge"}, {target: "/login", token: "bridge"},
		}},
		{"a server is a caller", someLimits, []step{
			{target: "/server", from: "198.51.100.1"}, {target: "/login", from: "198.51.100.1"},
			{target: "/server", from: "198.51.100.2", wait: 10_000, header: "10"},
		}},
		{"no class, no limit", someLimits, []step{{target: "/free"}, {target: "/free"}, {target: "/free"}}},
		{"limits switched off", nil, []step{{target: "/login"}, {target: "/login"}, {target: "/login"}}},
		{"one limit switched off", map[Class]Limit{"send": {}, "login": {PerSecond: 0.1, Burst: 1}}, []step{
			{target: "/send", token: "alice"}, {target: "/send", token: "alice"},
			{target: "/login"}, {target: "/login", wait: 10_000, header: "10"},
		}},
		{"a refused request uses nothing up", someLimits, []step{
			{target: "/login", token: "alice"}, {target: "/login", token: "alice", wait: 10_000, header: "10"},
			{target: "/login", token: "alice", wait: 10_000, header: "10"},
			{after: 10 * time.Second, target: "/login", token: "alice"},
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				table := limited(t, row.limits)
				for i, s := range row.steps {
					time.Sleep(s.after)
					header := map[string]string{"X-Forwarded-For": s.from}
					if s.target == "/server" {
						header["Authorization"] = "X-Plain"
					}
					checkLimited(t, i, request{target: s.target, token: s.token, header: header}.send(table), s.wait, s.header)
				}
			})
		})
	}
}

func checkLimited(t *testing.T, step int, w *httptest.ResponseRecorder, wait int, retryAfter string) {
	t.Helper()
	if wait == 0 {
		if w.Code != 200 {
			t.Errorf("step %d: got %d %s", step, w.Code, w.Body)
		}
		return
	}
	isRefusal(t, w, 429, mxerr.LimitExceeded)
	var body struct {
		Wait int `json:"retry_after_ms"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Wait != wait {
		t.Errorf("step %d: got %s, want a wait of %d ms", step, w.Body, wait)
	}
	if got := w.Header().Get("Retry-After"); got != retryAfter {
		t.Errorf("step %d: got Retry-After %q, want %q", step, got, retryAfter)
	}
}

func TestRetryAfterOfHandlers(t *testing.T) {
	for _, row := range []struct {
		wait any
		want string
	}{{int64(1), "1"}, {2001, "3"}, {0, "1"}, {"soon", ""}, {nil, ""}} {
		table := New(quietly(t), []Route{On("GET /a", asNone, func(context.Context, Caller, Empty) (Empty, error) {
			return Empty{}, mxerr.New(mxerr.LimitExceeded, "Too many").With("retry_after_ms", row.wait)
		})})
		if got := (request{target: "/a"}).send(table).Header().Get("Retry-After"); got != row.want {
			t.Errorf("retry_after_ms %v: got Retry-After %q, want %q", row.wait, got, row.want)
		}
	}
}

func TestBucketsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(map[Class]Limit{"a": {PerSecond: 1, Burst: 1}})
		l.size = 100
		persistent := bucket{class: l.classes["a"], name: "persistent"}
		if l.take(persistent) != 0 {
			t.Fatal("the first request does not pass")
		}
		for i := range 10 * l.size {
			l.take(bucket{class: l.classes["a"], name: fmt.Sprint(i)})
			if n := len(l.young) + len(l.old); n > 2*l.size {
				t.Fatalf("%d buckets after %d callers, want at most %d", n, i+1, 2*l.size)
			}
			if i%50 == 0 && l.take(persistent) == 0 {
				t.Fatalf("after %d other callers the bucket of one that keeps calling was forgotten", i+1)
			}
		}
	})
}

func TestClientAddr(t *testing.T) {
	networks := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, row := range []struct {
		name    string
		trusted []netip.Prefix
		remote  string
		headers []string
		want    string
	}{
		{"no proxy", nil, "198.51.100.1:1234", nil, "198.51.100.1"},
		{"nobody is trusted", nil, "10.0.0.1:1234", []string{"198.51.100.1"}, "10.0.0.1"},
		{"somebody else is trusted", networks, "198.51.100.1:1234", []string{"203.0.113.1"}, "198.51.100.1"},
		{"a proxy", networks, "10.0.0.1:1234", []string{"198.51.100.1"}, "198.51.100.1"},
		{"a proxy that says nothing", networks, "10.0.0.1:1234", nil, "10.0.0.1"},
		{"a client that lies to a proxy", networks, "10.0.0.1:1234", []string{"203.0.113.1, 198.51.100.1"}, "198.51.100.1"},
		{"two proxies", networks, "10.0.0.1:1234", []string{"203.0.113.1, 198.51.100.1", "10.0.0.2"}, "198.51.100.1"},
		{"only proxies", networks, "10.0.0.1:1234", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"a proxy that talks nonsense", networks, "10.0.0.1:1234", []string{"198.51.100.1, unknown"}, "10.0.0.1"},
		{"an address with a port", networks, "10.0.0.1:1234", []string{"198.51.100.1:99"}, "198.51.100.1"},
		{"IPv6", networks, "[fd00::1]:1234", []string{"2001:db8::1"}, "2001:db8::1"},
		{"IPv6 with a port", networks, "[fd00::1]:1234", []string{"[2001:db8::1]:99"}, "2001:db8::1"},
		{"IPv4 written as IPv6", networks, "[::ffff:10.0.0.1]:1234", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"a zone", nil, "[fe80::1%eth0]:1234", nil, "fe80::1"},
		{"a Unix socket", networks, "@", []string{"198.51.100.1"}, "198.51.100.1"},
		{"a Unix socket, nobody is trusted", nil, "@", []string{"198.51.100.1"}, "invalid IP"},
		{"a pipe", nil, "pipe", nil, "invalid IP"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = row.remote
			r.Header["X-Forwarded-For"] = row.headers
			table := New(Config{TrustedProxies: row.trusted}, nil)
			if got := table.clientAddr(r).String(); got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
		})
	}
}

func TestStrangersAreLimitedByAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := quietly(t)
		config.Limits, config.Strangers = map[Class]Limit{"stranger": {PerSecond: 1, Burst: 2}}, "stranger"
		table := New(config, []Route{whoami("GET /server", Policy{Auth: Server})})
		ask := func(signature, addr string) int {
			r := httptest.NewRequest("GET", "/server", nil)
			r.RemoteAddr = addr + ":1"
			r.Header.Set("Authorization", signature)
			w := httptest.NewRecorder()
			table.ServeHTTP(w, r)
			return w.Code
		}
		for range 10 {
			if got := ask("X-Plain", "192.0.2.1"); got != 200 {
				t.Errorf("who shows who it is gets %d", got)
			}
		}
		for i, want := range []int{401, 401, 429} {
			if got := ask("X-Forged", "192.0.2.1"); got != want {
				t.Errorf("stranger %d gets %d, want %d", i, got, want)
			}
		}
		if got := ask("X-Forged", "192.0.2.2"); got != 401 {
			t.Errorf("a stranger elsewhere gets %d", got)
		}
		time.Sleep(time.Second)
		if got := ask("X-Plain", "192.0.2.1"); got != 200 {
			t.Errorf("a second later who shows who it is gets %d", got)
		}
	})
}
