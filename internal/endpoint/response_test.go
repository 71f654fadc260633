package endpoint

import (
	"context"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parley/matrix/canonjson"
	"parley/matrix/mxerr"
)

// assembled is a response that is put together from stored JSON.
type assembled []string

func (a assembled) AppendJSON(dst []byte) []byte {
	dst = append(dst, '[')
	for i, s := range a {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, s...)
	}
	return append(dst, ']')
}

// parts is a response in parts: an array of texts. The error comes instead of the
// part after the last.
type parts struct {
	list []string
	next int
	err  error
}

func (p *parts) AppendPart(_ context.Context, dst []byte) ([]byte, bool, error) {
	if p.next == len(p.list) {
		return dst, false, p.err
	}
	p.next++
	return append(dst, p.list[p.next-1]...), p.next < len(p.list) || p.err != nil, nil
}

func TestPartsAreWrittenAsTheyCome(t *testing.T) {
	send := func(p *parts) *httptest.ResponseRecorder {
		return request{target: "/a"}.send(New(logTo(io.Discard), []Route{answering("GET /a", p)}))
	}
	if w := send(&parts{list: []string{"[]"}}); w.Body.String() != "[]" || w.Header().Get("Content-Length") != "2" {
		t.Errorf("one part: got %q, %v", w.Body, w.Header())
	}
	w := send(&parts{list: []string{"[1", ",2", "]"}})
	if w.Body.String() != "[1,2]" || w.Header().Get("Content-Length") != "" || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("three parts: got %q, %v", w.Body, w.Header())
	}
	isRefusal(t, send(&parts{err: mxerr.New(mxerr.Forbidden, "No")}), 403, mxerr.Forbidden)
	isRefusal(t, send(&parts{err: io.ErrUnexpectedEOF}), 500, mxerr.Unknown)
	defer func() {
		if v := recover(); v != http.ErrAbortHandler {
			t.Errorf("a fault on the way: the connection does not break off: %v", v)
		}
	}()
	send(&parts{list: []string{"[1"}, err: io.ErrUnexpectedEOF})
}

// answering is a route that answers with a value.
func answering[T any](pattern string, value T) Route {
	return On(pattern, asNone, func(context.Context, Caller, Empty) (T, error) { return value, nil })
}

func TestRespond(t *testing.T) {
	type named struct {
		Name string   `json:"name"`
		List []string `json:"list"`
	}
	for _, row := range []struct {
		name   string
		route  Route
		status int
		body   string
		header http.Header
	}{
		{"an empty struct", answering("GET /a", Empty{}), 200, "{}", nil},
		{"a struct", answering("GET /a", named{"n", []string{}}), 200, `{"name":"n","list":[]}`, nil},
		{"a pointer", answering("GET /a", &named{}), 200, `{"name":"","list":null}`, nil},
		{"no escapes for HTML", answering("GET /a", named{Name: "<a>&"}), 200, `{"name":"<a>&","list":null}`, nil},
		{"a list", answering("GET /a", []int{1, 2}), 200, "[1,2]", nil},
		{"a value", answering("GET /a", canonjson.Value(`{"a":1}`)), 200, `{"a":1}`, nil},
		{"an appender", answering("GET /a", assembled{"1", `{"a":"<"}`}), 200, `[1,{"a":"<"}]`, nil},
		{"a reply", answering("GET /a", Reply[named]{Body: named{Name: "n"}}), 200, `{"name":"n","list":null}`, nil},
		{"a reply of an appender", answering("GET /a", Reply[assembled]{Status: 201, Body: assembled{"1"}}), 201, "[1]", nil},
		{"a reply with a map", answering("GET /a", Reply[map[string]any]{Status: 401, Body: map[string]any{"flows": []int{}}}), 401, `{"flows":[]}`, nil},
		{"a reply with headers", answering("GET /a", Reply[Empty]{Header: http.Header{"Cache-Control": {"no-store"}}}), 200, "{}",
			http.Header{"Cache-Control": {"no-store"}}},
		{"a redirect", answering("GET /a", Reply[Empty]{Status: http.StatusFound, Header: http.Header{"Location": {"https://a.test/?x=1&y=2"}}}), 302, "{}",
			http.Header{"Location": {"https://a.test/?x=1&y=2"}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := request{target: "/a"}.send(New(quietly(t), []Route{row.route}))
			isJSON(t, w, row.status, row.body)
			if got, want := w.Header().Get("Content-Length"), len(row.body); got != itoa(want) {
				t.Errorf("got Content-Length %s, want %d", got, want)
			}
			for name, want := range row.header {
				if got := w.Header().Get(name); got != want[0] {
					t.Errorf("%s: got %q, want %q", name, got, want[0])
				}
			}
		})
	}
}

func TestNoContent(t *testing.T) {
	w := request{target: "/a"}.send(New(quietly(t), []Route{answering("GET /a", Reply[Empty]{Status: 204})}))
	if w.Code != 204 || w.Body.Len() != 0 || w.Header().Get("Content-Length") != "" {
		t.Errorf("got %d %q %v", w.Code, w.Body, w.Header())
	}
}

func TestResponseThatCannotBeEncoded(t *testing.T) {
	for name, route := range map[string]Route{
		"a number":          answering("GET /a", []float64{math.NaN()}),
		"a reply":           answering("GET /a", Reply[[]float64]{Header: http.Header{"Etag": {"x"}}, Body: []float64{math.Inf(1)}}),
		"a member":          refusing(mxerr.New(mxerr.Forbidden, "No").With("x", math.NaN())),
		"a status too high": answering("GET /a", Reply[Empty]{Status: 1000}),
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			w := request{target: "/a"}.send(New(logTo(&log), []Route{route}))
			isRefusal(t, w, 500, mxerr.Unknown)
			if strings.Count(log.String(), "\n") != 1 || w.Header().Get("Etag") != "" {
				t.Errorf("logged %q, header %v", log.String(), w.Header())
			}
		})
	}
}

func TestBuffersAreNotMixedUp(t *testing.T) {
	type reply struct {
		Text string `query:"text"`
	}
	table := New(quietly(t), []Route{On("GET /a", asNone, func(_ context.Context, _ Caller, r reply) (assembled, error) {
		return assembled{`"` + r.Text + `"`}, nil
	})})
	done := make(chan bool)
	for _, text := range []string{"a", strings.Repeat("b", 1000), strings.Repeat("c", largestBuffer)} {
		go func() {
			defer func() { done <- true }()
			for range 50 {
				if w := (request{target: "/a?text=" + text}).send(table); w.Body.String() != `["`+text+`"]` {
					t.Errorf("got %.50q for %.50q", w.Body, text)
				}
			}
		}()
	}
	for range 3 {
		<-done
	}
}

func TestStream(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	var seen []Observation
	config := quietly(t)
	config.Observe = func(o Observation) { seen = append(seen, o) }
	policy := Policy{Auth: User, BodyLimit: 5}
	table := New(config, []Route{
		Stream("GET /file/{name}", policy, func(w http.ResponseWriter, r *http.Request, c Caller) error {
			if c.UserID != alice.UserID || r.PathValue("name") != "a/b" {
				t.Errorf("got caller %s, name %q", c.UserID, r.PathValue("name"))
			}
			f, err := os.Open(name)
			if err != nil {
				return err
			}
			defer f.Close()
			w.Header().Set("Content-Type", "text/plain")
			_, err = io.Copy(w, f)
			return err
		}),
		Stream("POST /upload", policy, func(w http.ResponseWriter, r *http.Request, _ Caller) error {
			body, err := io.ReadAll(r.Body)
			w.Header().Set("Cache-Control", "immutable")
			if err == nil {
				w.WriteHeader(http.StatusCreated)
				_, err = w.Write(body)
			}
			return err
		}),
		Stream("GET /nothing", policy, func(http.ResponseWriter, *http.Request, Caller) error { return nil }),
		Stream("GET /flush", policy, func(w http.ResponseWriter, _ *http.Request, _ Caller) error {
			return http.NewResponseController(w).Flush()
		}),
	})
	w := request{target: "/file/a%2Fb", token: "alice"}.send(table)
	if w.Code != 200 || w.Body.String() != "content" || w.Header().Get("Content-Type") != "text/plain" {
		t.Errorf("got %d %q %v", w.Code, w.Body, w.Header())
	}
	isRefusal(t, request{target: "/file/x"}.send(table), 401, mxerr.MissingToken)
	isRefusal(t, request{target: "/file/%00", token: "alice"}.send(table), 400, mxerr.InvalidParam)
	request{method: "POST", target: "/upload", token: "alice", body: "12345"}.send(table)
	w = request{method: "POST", target: "/upload", token: "alice", body: "123456"}.send(table)
	isRefusal(t, w, 413, mxerr.TooLarge)
	if w.Header().Get("Cache-Control") != "" {
		t.Error("the refusal can be cached")
	}
	request{target: "/nothing", token: "alice"}.send(table)
	if w := (request{target: "/flush", token: "alice"}).send(table); !w.Flushed {
		t.Error("not flushed")
	}
	for i, want := range []struct {
		status int
		bytes  int64
	}{{200, 7}, {401, -1}, {400, -1}, {201, 5}, {413, -1}, {200, 0}, {200, 0}} {
		if got := seen[i]; got.Status != want.status || want.bytes >= 0 && got.Bytes != want.bytes {
			t.Errorf("request %d: got status %d, %d bytes; want %d, %d", i, got.Status, got.Bytes, want.status, want.bytes)
		}
	}
}

// TestOverNetwork checks what only net/http's own writer does.
func TestOverNetwork(t *testing.T) {
	statuses := make(chan int, 10)
	config := quietly(t)
	config.Observe = func(o Observation) { statuses <- o.Status }
	server := httptest.NewServer(New(config, []Route{
		Stream("GET /hints", asNone, func(w http.ResponseWriter, _ *http.Request, _ Caller) error {
			w.WriteHeader(http.StatusEarlyHints)
			return mxerr.NotFound
		}),
		answering("GET /a", assembled{strings.Repeat("1", 10_000)}),
		On("PUT /a", Policy{Auth: None, BodyLimit: 10}, func(context.Context, Caller, struct {
			Body []byte `body:"raw"`
		}) (Empty, error) {
			return Empty{}, nil
		}),
		Stream("GET /broken", asNone, func(w http.ResponseWriter, _ *http.Request, _ Caller) error {
			io.WriteString(w, "half of")
			panic(http.ErrAbortHandler)
		}),
	}))
	defer server.Close()

	resp, err := http.Get(server.URL + "/hints")
	if err != nil {
		t.Fatal(err)
	}
	if got := <-statuses; resp.StatusCode != 404 || got != 404 {
		t.Errorf("after hints: got %d, observed %d", resp.StatusCode, got)
	}
	resp.Body.Close()

	resp, err = http.Head(server.URL + "/a")
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || resp.ContentLength != 10_002 || len(body) != 0 {
		t.Errorf("HEAD: got %d, length %d, %d bytes", resp.StatusCode, resp.ContentLength, len(body))
	}
	resp.Body.Close()

	r, _ := http.NewRequest("PUT", server.URL+"/a", pieces{strings.NewReader(strings.Repeat(" ", 100_000))})
	if resp, err = http.DefaultClient.Do(r); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 413 || !resp.Close {
		t.Errorf("too large: got %d, close %v", resp.StatusCode, resp.Close)
	}
	resp.Body.Close()

	if resp, err = http.Get(server.URL + "/broken"); err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if err == nil {
		t.Error("a response that broke off looks complete")
	}
}
