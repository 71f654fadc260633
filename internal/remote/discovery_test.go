package remote_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/remote"
	"parley/matrix/id"
)

// web answers /.well-known requests by their URL, and counts them.
type web struct {
	mu    sync.Mutex
	pages map[string]func() *http.Response
	asked int
}

func (w *web) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	page := w.pages[r.URL.String()]
	if page == nil {
		return nil, errors.New("connection refused")
	}
	resp := page()
	resp.Request = r
	return resp, nil
}

func page(status int, body string, headers ...string) func() *http.Response {
	return func() *http.Response {
		h := make(http.Header)
		for i := 0; i < len(headers); i += 2 {
			h.Set(headers[i], headers[i+1])
		}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
	}
}

func wellKnown(host string) string { return "https://" + host + "/.well-known/matrix/server" }

// records are SRV records by service and name.
type records map[string][]*net.SRV

func (r records) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	if name == "broken.test" {
		return "", nil, &net.DNSError{Err: "server misbehaving", IsTemporary: true}
	}
	found, ok := r["_"+service+"._"+proto+"."+name]
	if !ok {
		return "", nil, &net.DNSError{Err: "no such host", IsNotFound: true}
	}
	return name, found, nil
}

func TestServersAreFoundAsSpecified(t *testing.T) {
	dns := records{
		"_matrix-fed._tcp.new.test": {{Target: "a.new.test.", Port: 1}, {Target: "b.new.test.", Port: 2}},
		"_matrix._tcp.new.test":     {{Target: "old.new.test.", Port: 3}},
		"_matrix._tcp.old.test":     {{Target: "c.old.test.", Port: 4}},
		"_matrix-fed._tcp.no.test":  {{Target: ".", Port: 0}},
	}
	delegating := map[string]string{
		"port.test": "there.test:443", "four.test": "1.2.3.4", "four-port.test": "1.2.3.4:5", "six.test": "[::2]:6",
		"to-new.test": "new.test", "to-old.test": "old.test", "to-plain.test": "plain.test", "nonsense.test": "a b",
	}
	w := &web{pages: make(map[string]func() *http.Response)}
	for host, to := range delegating {
		w.pages[wellKnown(host)] = page(200, `{"m.server":"`+to+`"}`)
	}
	w.pages[wellKnown("missing.test")] = page(404, `{"m.server":"wrong.test:1"}`)
	w.pages[wellKnown("html.test")] = page(200, `<html>`)
	w.pages[wellKnown("array.test")] = page(200, `[]`)
	w.pages[wellKnown("long.test")] = page(200, `{"m.server":"wrong.test:1","x":"`+strings.Repeat("x", 60<<10)+`"}`)
	w.pages[wellKnown("moved.test")] = page(301, "", "Location", "https://elsewhere.test/file")
	w.pages["https://elsewhere.test/file"] = page(200, `{"m.server":"there.test:443"}`)
	w.pages[wellKnown("loop.test")] = page(302, "", "Location", wellKnown("loop.test"))
	w.pages[wellKnown("insecure.test")] = page(302, "", "Location", "http://elsewhere.test/file")
	w.pages["http://elsewhere.test/file"] = page(200, `{"m.server":"wrong.test:1"}`)

	own := func(host string) []remote.Destination { return []remote.Destination{{host + ":8448", host, host}} }
	for name, want := range map[id.ServerName][]remote.Destination{
		"1.2.3.4":           {{"1.2.3.4:8448", "1.2.3.4", "1.2.3.4"}},
		"1.2.3.4:9":         {{"1.2.3.4:9", "1.2.3.4:9", "1.2.3.4"}},
		"[::1]":             {{"[::1]:8448", "[::1]", "::1"}},
		"[::1]:9":           {{"[::1]:9", "[::1]:9", "::1"}},
		"port.test:9":       {{"port.test:9", "port.test:9", "port.test"}},
		"port.test":         {{"there.test:443", "there.test:443", "there.test"}},
		"four.test":         {{"1.2.3.4:8448", "1.2.3.4", "1.2.3.4"}},
		"four-port.test":    {{"1.2.3.4:5", "1.2.3.4:5", "1.2.3.4"}},
		"six.test":          {{"[::2]:6", "[::2]:6", "::2"}},
		"to-new.test":       {{"a.new.test:1", "new.test", "new.test"}, {"b.new.test:2", "new.test", "new.test"}},
		"to-old.test":       {{"c.old.test:4", "old.test", "old.test"}},
		"to-plain.test":     own("plain.test"),
		"moved.test":        {{"there.test:443", "there.test:443", "there.test"}},
		"new.test":          {{"a.new.test:1", "new.test", "new.test"}, {"b.new.test:2", "new.test", "new.test"}},
		"old.test":          {{"c.old.test:4", "old.test", "old.test"}},
		"plain.test":        own("plain.test"),
		"nonsense.test":     own("nonsense.test"),
		"missing.test":      own("missing.test"),
		"html.test":         own("html.test"),
		"array.test":        own("array.test"),
		"long.test":         own("long.test"),
		"loop.test":         own("loop.test"),
		"insecure.test":     own("insecure.test"),
		"broken.test":       nil,
		"no.test":           nil,
		"unregistered.test": own("unregistered.test"),
	} {
		got, err := remote.NewDiscovery(dns, w).Find(t.Context(), name)
		if (err != nil) != (want == nil) || !slices.Equal(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, want)
		}
	}
}

func TestDelegationsAreKeptAsLongAsTheySay(t *testing.T) {
	for name, test := range map[string]struct {
		answer    func() *http.Response
		good, bad time.Duration
	}{
		"a day by default":             {page(200, `{"m.server":"a.test:1"}`), 24*time.Hour - 1, 24*time.Hour + 1},
		"as the answer says":           {page(200, `{"m.server":"a.test:1"}`, "Cache-Control", "public, Max-Age=7200"), 2*time.Hour - 1, 2*time.Hour + 1},
		"two days at most":             {page(200, `{"m.server":"a.test:1"}`, "Cache-Control", "max-age=99999999"), 48*time.Hour - 1, 48*time.Hour + 1},
		"a while whatever it says":     {page(200, `{"m.server":"a.test:1"}`, "Cache-Control", "no-store"), 5*time.Minute - 1, 5*time.Minute + 1},
		"not long when it has expired": {page(200, `{"m.server":"a.test:1"}`, "Expires", "0"), 5*time.Minute - 1, 5*time.Minute + 1},
		"an hour when there is none":   {page(404, ""), time.Hour - 1, time.Hour + 1},
		"less when it is broken":       {page(500, ""), 10*time.Minute - 1, 10*time.Minute + 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &web{pages: map[string]func() *http.Response{wellKnown("x.test"): test.answer}}
				d := remote.NewDiscovery(records{}, w)
				start := time.Now()
				for _, step := range []struct {
					at    time.Duration
					asked int
				}{{0, 1}, {test.good, 1}, {test.bad, 2}} {
					time.Sleep(time.Until(start.Add(step.at)))
					if _, err := d.Find(t.Context(), "x.test"); err != nil {
						t.Fatal(err)
					}
					if w.asked != step.asked {
						t.Errorf("after %s it was asked %d times, want %d", step.at, w.asked, step.asked)
					}
				}
			})
		})
	}
}

func TestADelegationOutlivesAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &web{pages: map[string]func() *http.Response{wellKnown("x.test"): page(200, `{"m.server":"a.test:1"}`)}}
		d := remote.NewDiscovery(records{}, w)
		for _, answer := range []func() *http.Response{page(200, `{"m.server":"a.test:1"}`), page(503, ""), nil} {
			w.pages[wellKnown("x.test")] = answer
			got, err := d.Find(t.Context(), "x.test")
			if err != nil || got[0].Addr != "a.test:1" {
				t.Fatalf("got %v, %v", got, err)
			}
			time.Sleep(25 * time.Hour)
		}
		w.pages[wellKnown("x.test")] = page(404, "")
		if got, err := d.Find(t.Context(), "x.test"); err != nil || got[0].Addr != "x.test:8448" {
			t.Errorf("a delegation that was taken back still counts: %v, %v", got, err)
		}
	})
}

func TestManyWhoLookForAServerAskOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		w := &web{pages: map[string]func() *http.Response{wellKnown("x.test"): func() *http.Response {
			<-release
			return page(404, "")()
		}}}
		d := remote.NewDiscovery(records{}, w)
		impatient, give := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := d.Find(impatient, "x.test"); !errors.Is(err, context.Canceled) {
				t.Errorf("who gave up got %v", err)
			}
		})
		synctest.Wait()
		for range 10 {
			wg.Go(func() {
				if _, err := d.Find(t.Context(), "x.test"); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		give()
		synctest.Wait()
		close(release)
		wg.Wait()
		if w.asked != 1 {
			t.Errorf("it was asked %d times", w.asked)
		}
	})
}
