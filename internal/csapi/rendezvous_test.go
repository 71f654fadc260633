package csapi_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"parley/internal/config"
	"parley/internal/csapi"
	"parley/internal/endpoint"
	"parley/internal/hstest"
	"parley/internal/rendezvous"
)

func TestDevicesMeet(t *testing.T) {
	a := hstest.New(t).Server("a.test")
	alice := a.Register("alice")
	const at = "/_matrix/client/unstable/io.element.msc4388/rendezvous"
	if got := alice.Must("GET", at, nil); string(got) != `{"create_available":true}` {
		t.Errorf("got %s", got)
	}
	begun := alice.Must("POST", at, `{"data":"hello"}`)
	one, first := at+"/"+begun.Get("id").String(), begun.Get("sequence_token").String()
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"the other reads", "GET", one, ``, 200, `"data":"hello"`},
		{"and writes", "PUT", one, `{"sequence_token":"` + first + `","data":"hi"}`, 200, `"sequence_token"`},
		{"by the stable name, too", "GET", strings.Replace(one, "unstable/io.element.msc4388", "v1", 1), ``, 200, `"data":"hi"`},
		{"and may repeat that", "PUT", one, `{"sequence_token":"` + first + `","data":"hi"}`, 200, `"sequence_token"`},
		{"but nothing else", "PUT", one, `{"sequence_token":"` + first + `","data":"ho"}`, 409, `"IO_ELEMENT_MSC4388_CONCURRENT_WRITE"`},
		{"by the stable name neither", "PUT", strings.Replace(one, "unstable/io.element.msc4388", "v1", 1), `{"sequence_token":"` + first + `","data":"ho"}`, 409, `"M_CONCURRENT_WRITE"`},
		{"nor too much", "PUT", one, `{"sequence_token":"` + first + `","data":"` + strings.Repeat("x", 4097) + `"}`, 413, `M_TOO_LARGE`},
		{"nor nothing", "PUT", one, `{"sequence_token":"` + first + `"}`, 400, `M_MISSING_PARAM`},
		{"it ends", "DELETE", one, ``, 200, `{}`},
		{"for all", "GET", one, ``, 404, `M_NOT_FOUND`},
		{"and stays so", "DELETE", one, ``, 404, `M_NOT_FOUND`},
	} {
		if status, got := a.Do(c.method, c.path, body(c.body)); status != c.status || !strings.Contains(string(got), c.want) {
			t.Errorf("%s: got %d %s, want %d %s", c.name, status, got, c.status, c.want)
		}
	}

	of := hstest.New(t).Server("a.test", func(c *config.Config) { c.Rendezvous = config.RendezvousUsers })
	alice = of.Register("alice")
	alice.Must("POST", at, `{"data":"hello"}`)
	if status, got := of.Do("POST", at, `{"data":"hello"}`); status != 403 {
		t.Errorf("who is not logged in: %d %s", status, got)
	}
	if _, got := of.Do("GET", at, nil); string(got) != `{"create_available":false}` {
		t.Errorf("who is not logged in is told %s", got)
	}
	off := hstest.New(t).Server("a.test", func(c *config.Config) { c.Rendezvous = config.RendezvousOff })
	if status, got := off.Do("POST", at, `{"data":"hello"}`); status != 404 || !got.Get("errcode").Is("M_UNRECOGNIZED") {
		t.Errorf("where there is none: %d %s", status, got)
	}
}

func TestDevicesMeetAsBefore(t *testing.T) {
	s := csapi.New(csapi.Parts{Rendezvous: rendezvous.New(), Settings: csapi.Settings{BaseURL: "https://matrix.a.test/"}})
	var routes []endpoint.Route
	for _, r := range s.Routes() {
		if strings.Contains(r.Pattern, "msc4108") {
			routes = append(routes, r)
		}
	}
	table := endpoint.New(endpoint.Config{Users: nobody{}}, routes)
	const at = "/_matrix/client/unstable/org.matrix.msc4108/rendezvous"
	do := func(method, path, body string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		for i := 0; i < len(header); i += 2 {
			r.Header.Add(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		table.ServeHTTP(w, r)
		return w
	}
	begun := do("POST", at, "hello", "Content-Type", "text/plain")
	url, etag := begun.Body.String(), begun.Header().Get("ETag")
	if begun.Code != 201 || !strings.HasPrefix(url, `{"url":"https://matrix.a.test`+at+`/`) || etag == "" {
		t.Fatalf("got %d %s, ETag %s", begun.Code, url, etag)
	}
	for _, name := range []string{"Expires", "Last-Modified", "Cache-Control", "Pragma"} {
		if begun.Header().Get(name) == "" {
			t.Errorf("there is no header %s", name)
		}
	}
	if got := begun.Header().Get("Access-Control-Expose-Headers"); !strings.Contains(got, "ETag") {
		t.Errorf("browsers see the headers %s", got)
	}
	one := at + "/" + strings.TrimSuffix(url[strings.LastIndexByte(url, '/')+1:], `"}`)
	read := do("GET", one, "")
	if read.Code != 200 || read.Body.String() != "hello" || read.Header().Get("Content-Type") != "text/plain" || read.Header().Get("ETag") != etag {
		t.Errorf("read: %d %s %v", read.Code, read.Body, read.Header())
	}
	if same := do("GET", one, "", "If-None-Match", etag); same.Code != 304 || same.Body.Len() != 0 || same.Header().Get("ETag") != etag {
		t.Errorf("read again: %d %s", same.Code, same.Body)
	}
	if written := do("PUT", one, "hi", "Content-Type", "text/plain; charset=utf-8", "If-Match", etag); written.Code != 202 || written.Header().Get("ETag") == etag {
		t.Errorf("written: %d %s", written.Code, written.Body)
	}
	if late := do("PUT", one, "ho", "Content-Type", "text/plain", "If-Match", etag); late.Code != 412 ||
		!strings.Contains(late.Body.String(), "M_CONCURRENT_WRITE") || late.Header().Get("ETag") == "" || late.Header().Get("ETag") == etag {
		t.Errorf("written over: %d %s", late.Code, late.Body)
	}
	for _, c := range []struct {
		name, method, path, body string
		header                   []string
		status                   int
	}{
		{"no Content-Type", "POST", at, "x", nil, 400},
		{"another Content-Type", "POST", at, "x", []string{"Content-Type", "application/json"}, 400},
		{"too much", "POST", at, strings.Repeat("x", 4097), []string{"Content-Type", "text/plain"}, 413},
		{"nothing to match", "PUT", one, "x", []string{"Content-Type", "text/plain"}, 400},
		{"a weak tag", "PUT", one, "x", []string{"Content-Type", "text/plain", "If-Match", "W/" + etag}, 400},
		{"two tags", "PUT", one, "x", []string{"Content-Type", "text/plain", "If-Match", etag + ", " + etag}, 400},
		{"two headers", "PUT", one, "x", []string{"Content-Type", "text/plain", "If-Match", etag, "If-Match", etag}, 400},
		{"what a browser would show", "GET", one, "", []string{"Sec-Fetch-Mode", "navigate"}, 403},
		{"the end", "DELETE", one, "", nil, 204},
		{"after the end", "GET", one, "", nil, 404},
		{"and to write", "PUT", one, "x", []string{"Content-Type", "text/plain", "If-Match", etag}, 404},
	} {
		if w := do(c.method, c.path, c.body, c.header...); w.Code != c.status {
			t.Errorf("%s: got %d %s, want %d", c.name, w.Code, w.Body, c.status)
		}
	}
	preflight := do("OPTIONS", one, "")
	if got := preflight.Header().Get("Access-Control-Allow-Headers"); preflight.Code != http.StatusNoContent || !strings.Contains(got, "If-Match, If-None-Match") {
		t.Errorf("browsers may send %s", got)
	}
}

// nobody is logged in.
type nobody struct{}

func (nobody) Authenticate(endpoint.Credentials) (endpoint.Caller, error) {
	return endpoint.Caller{}, nil
}
