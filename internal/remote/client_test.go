package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/memnet"
)

// internet is servers at addresses, and names for them that can change.
type internet struct {
	t   *testing.T
	net *memnet.Network

	mu      sync.Mutex
	names   map[string][]string // the first is used first, the last remains
	lookups int
	dialed  []string
}

// online runs f in a bubble with a net and a client on it.
func online(t *testing.T, o Options, f func(n *internet, c *Client)) {
	synctest.Test(t, func(t *testing.T) {
		n := &internet{t: t, net: memnet.New(), names: map[string][]string{}}
		o.Lookup = n.lookup
		o.Dial = n.dial
		c := New(o)
		f(n, c)
		c.Close()
	})
}

func (n *internet) lookup(_ context.Context, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lookups++
	answers := n.names[host]
	if len(answers) == 0 {
		return nil, errors.New("no such name")
	}
	if len(answers) > 1 {
		n.names[host] = answers[1:]
	}
	var list []netip.Addr
	for _, a := range strings.Fields(answers[0]) {
		list = append(list, netip.MustParseAddr(a))
	}
	return list, nil
}

func (n *internet) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	n.mu.Lock()
	n.dialed = append(n.dialed, to.String())
	n.mu.Unlock()
	return n.net.Dial(ctx, to.Addr().String())
}

// serve serves at an address until what it returns is called.
func (n *internet) serve(address string, h http.HandlerFunc) (stop func()) {
	s := &http.Server{Handler: h}
	l := n.net.Listen(address)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(l)
	}()
	return func() {
		s.Close()
		<-done
	}
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
}

func get(url string) Request { return Request{Method: "GET", URL: url, MaxBody: 1000} }

func TestWhoIsAskedAnswers(t *testing.T) {
	online(t, Options{}, func(n *internet, c *Client) {
		n.names["a.test"] = []string{"8.8.8.8"}
		defer n.serve("8.8.8.8", func(w http.ResponseWriter, r *http.Request) {
			body := make([]byte, 10)
			size, _ := r.Body.Read(body)
			w.Header().Set("X-Test", "yes")
			w.WriteHeader(418)
			fmt.Fprintf(w, "%s %s %s %s", r.Method, r.URL, r.Header.Get("Authorization"), body[:size])
		})()
		r := Request{Method: "POST", URL: "http://a.test:8080/x?y=1", Header: http.Header{"authorization": {"Bearer z"}}, Body: []byte("hello"), MaxBody: 1000}
		got, err := c.Do(n.t.Context(), r)
		if err != nil || got.Status != 418 || string(got.Body) != "POST /x?y=1 Bearer z hello" || got.Header.Get("X-Test") != "yes" {
			t.Errorf("got %d %s, %v", got.Status, got.Body, err)
		}
		if len(n.dialed) != 1 || n.dialed[0] != "8.8.8.8:8080" {
			t.Errorf("connected to %s", n.dialed)
		}
	})
}

func TestWhatIsNearIsNotAsked(t *testing.T) {
	for _, tt := range []struct {
		name    string
		private bool
		answers string // what the name means
		url     string
		reached string // empty: nothing is
	}{
		{"a name for this machine", false, "127.0.0.1", "http://a.test/", ""},
		{"a name for the network", false, "10.0.0.1 fd00::1 ::ffff:192.168.0.1", "http://a.test/", ""},
		{"a name for some of both", false, "10.0.0.1 8.8.8.8 ::1", "http://a.test/", "8.8.8.8:80"},
		{"an address", false, "", "http://127.0.0.1:99/", ""},
		{"an address of IPv6", false, "", "http://[::1]/", ""},
		{"an address in disguise", false, "", "http://[::ffff:127.0.0.1]/", ""},
		{"an address in another disguise", false, "", "http://[64:ff9b::7f00:1]/", ""},
		{"an address with a zone", false, "", "http://[fe80::1%25eth0]/", ""},
		{"an address that is a number", false, "", "http://2130706433/", ""},
		{"an address that is left out", false, "", "http://0/", ""},
		{"where clouds keep credentials", false, "", "http://169.254.169.254/latest", ""},
		{"this machine, allowed", true, "127.0.0.1", "http://a.test/", "127.0.0.1:80"},
		{"an address of this machine, allowed", true, "", "http://[::ffff:127.0.0.1]:81/", "127.0.0.1:81"},
		{"everybody, allowed", true, "255.255.255.255 0.0.0.0 224.0.0.1", "http://a.test/", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			online(t, Options{AllowPrivate: tt.private}, func(n *internet, c *Client) {
				if tt.answers != "" {
					n.names["a.test"] = []string{tt.answers}
				}
				for _, address := range []string{"8.8.8.8", "127.0.0.1"} {
					defer n.serve(address, says("hi"))()
				}
				got, err := c.Do(n.t.Context(), get(tt.url))
				reached := strings.Join(n.dialed, " ")
				if reached != tt.reached || (err == nil) != (tt.reached != "") {
					t.Errorf("connected to %q, want %q; got %s, %v", reached, tt.reached, got.Body, err)
				}
				if tt.reached == "" && tt.answers != "" && !errors.Is(err, ErrAddress) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// TestANameThatChangesItsMeaning: what is connected to is what was checked.
func TestANameThatChangesItsMeaning(t *testing.T) {
	online(t, Options{}, func(n *internet, c *Client) {
		n.names["a.test"] = []string{"8.8.8.8", "127.0.0.1"}
		defer n.serve("127.0.0.1", says("secret"))()
		defer n.serve("8.8.8.8", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			fmt.Fprint(w, "hi")
		})()
		if got, err := c.Do(n.t.Context(), get("http://a.test/")); err != nil || string(got.Body) != "hi" || n.lookups != 1 {
			t.Errorf("first: got %s, %v, after %d lookups", got.Body, err, n.lookups)
		}
		if got, err := c.Do(n.t.Context(), get("http://a.test/")); !errors.Is(err, ErrAddress) {
			t.Errorf("then: got %s, %v", got.Body, err)
		}
	})
}

func TestRedirects(t *testing.T) {
	online(t, Options{}, func(n *internet, c *Client) {
		n.names["a.test"], n.names["b.test"], n.names["inside.test"] = []string{"8.8.8.8"}, []string{"8.8.4.4"}, []string{"192.168.0.1"}
		defer n.serve("192.168.0.1", says("secret"))()
		defer n.serve("8.8.4.4", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "b %q", r.Header.Get("Authorization")) })()
		defer n.serve("8.8.8.8", func(w http.ResponseWriter, r *http.Request) {
			if to := r.URL.Query().Get("to"); to != "" {
				http.Redirect(w, r, to, http.StatusTemporaryRedirect)
				return
			}
			fmt.Fprint(w, "a")
		})()
		for _, tt := range []struct {
			name, to string
			body     []byte
			most     int
			status   int // 0: an error
			want     string
		}{
			{"are not followed unless asked for", "http://b.test/", nil, 0, 307, ""},
			{"are followed, without secrets", "http://b.test/", nil, 1, 200, `b ""`},
			{"are followed so far", "/?to=/%3Fto=/", nil, 2, 307, ""},
			{"are followed to the end", "/?to=/%3Fto=/", nil, 3, 200, "a"},
			{"are followed in a circle no further", "/?to=http://a.test/", nil, 1, 307, ""},
			{"do not lead inside", "http://inside.test/", nil, 5, 0, ""},
			{"do not lead to an address inside", "http://127.0.0.1/", nil, 5, 0, ""},
			{"do not lead to files", "file:///etc/passwd", nil, 5, 307, ""},
			{"do not take a body along", "http://b.test/", []byte("secret"), 5, 307, ""},
		} {
			r := get("http://a.test/?to=" + strings.NewReplacer("?", "%3F", "%", "%25").Replace(tt.to))
			r.Redirects, r.Body, r.Header = tt.most, tt.body, http.Header{"Authorization": {"secret"}}
			got, err := c.Do(n.t.Context(), r)
			if got.Status != tt.status || (err != nil) != (tt.status == 0) || tt.want != "" && string(got.Body) != tt.want {
				t.Errorf("%s: got %d %s, %v", tt.name, got.Status, got.Body, err)
			}
			if tt.status == 0 && !errors.Is(err, ErrAddress) {
				t.Errorf("%s: got %v", tt.name, err)
			}
		}
	})
}

func TestAnswersHaveLimits(t *testing.T) {
	online(t, Options{Timeout: time.Minute}, func(n *internet, c *Client) {
		n.names["a.test"], n.names["gone.test"] = []string{"8.8.8.8"}, []string{"8.8.4.4"}
		hold := make(chan struct{})
		defer n.serve("8.8.8.8", func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/full":
				fmt.Fprint(w, strings.Repeat("x", 1000))
			case "/large":
				fmt.Fprint(w, strings.Repeat("x", 1001))
			case "/endless":
				for {
					if _, err := fmt.Fprint(w, strings.Repeat("x", 1000)); err != nil {
						return
					}
				}
			case "/header":
				w.Header().Set("X", strings.Repeat("x", 2*maxHeader))
			case "/slow":
				fmt.Fprint(w, "x")
				w.(http.Flusher).Flush()
				<-hold
			case "/silent":
				<-hold
			}
		})()
		defer close(hold)
		for _, tt := range []struct {
			name, url string
			want      error // nil: any, if it is bad
			good      bool
			after     time.Duration
		}{
			{"as large as may be", "http://a.test/full", nil, true, 0},
			{"too large", "http://a.test/large", ErrTooLarge, false, 0},
			{"endless", "http://a.test/endless", ErrTooLarge, false, 0},
			{"with a large header", "http://a.test/header", nil, false, 0},
			{"one that never ends", "http://a.test/slow", context.DeadlineExceeded, false, time.Minute},
			{"one that never comes", "http://a.test/silent", context.DeadlineExceeded, false, time.Minute},
			{"from nobody", "http://gone.test/", nil, false, 0},
			{"from no name", "http://nowhere.test/", nil, false, 0},
			{"from a file", "file:///etc/passwd", ErrURL, false, 0},
			{"from something else", "gopher://a.test/", ErrURL, false, 0},
			{"from a host that is none", "http:///x", ErrURL, false, 0},
			{"with a password", "http://u:p@a.test/", ErrURL, false, 0},
			{"from no URL", "http://a b/", ErrURL, false, 0},
			{"from a port that is none", "http://a.test:99999/", nil, false, 0},
		} {
			begin := time.Now()
			_, err := c.Do(n.t.Context(), get(tt.url))
			if (err == nil) != tt.good || tt.want != nil && !errors.Is(err, tt.want) || time.Since(begin) != tt.after {
				t.Errorf("%s: got %v after %s", tt.name, err, time.Since(begin))
			}
		}
	})
}

func TestErrorsTellNoSecrets(t *testing.T) {
	online(t, Options{}, func(n *internet, c *Client) {
		for _, url := range []string{"http://nowhere.test/x?token=secret", "http://u:secret@nowhere.test/", "http://nowhere.test/%zz?secret"} {
			if _, err := c.Do(n.t.Context(), get(url)); err == nil || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: %v", url, err)
			}
		}
	})
}
