package endpoint

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// fuzzTable has a route for each way to say something in a request.
func fuzzTable(t testing.TB) *Table {
	type stateRequest struct {
		RoomID  id.RoomID       `path:"roomID"`
		Type    string          `path:"type"`
		Key     string          `path:"key,optional"`
		Content canonjson.Value `body:"raw" required:"true"`
	}
	state := func(_ context.Context, _ Caller, r stateRequest) (map[string]any, error) {
		for _, s := range []string{string(r.RoomID), r.Type, r.Key} {
			if !utf8.ValidString(s) || strings.Contains(s, "\x00") {
				t.Errorf("the path had %q", s)
			}
		}
		if !canonjson.IsCanonical(r.Content, canonjson.Lenient) || r.Content.Kind() != canonjson.Object {
			t.Errorf("the body is %q", r.Content)
		}
		return map[string]any{"type": r.Type, "key": r.Key, "content": json.RawMessage(r.Content)}, nil
	}
	config := quietly(t)
	config.QueryTokens = true
	config.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	config.Limits = map[Class]Limit{"a": {PerSecond: 1e6, Burst: 10}}
	return New(config, []Route{
		On("PUT /rooms/{roomID}/state/{type}", asNone, state),
		On("PUT /rooms/{roomID}/state/{type}/{$}", asNone, state),
		On("PUT /rooms/{roomID}/state/{type}/{key}", asUser, state),
		On("POST /everything/{roomID}/{number}", Policy{Auth: Optional, BodyLimit: 500, Class: "a"},
			func(_ context.Context, _ Caller, r everything) (assembled, error) {
				return assembled{string(r.Raw)}, nil
			}),
		On("GET /page/{$}", Policy{Auth: UserOrGuest}, func(_ context.Context, _ Caller, r page) (page, error) { return r, nil }),
		On("POST /sign", Policy{Auth: Server}, func(_ context.Context, c Caller, _ Empty) (Reply[Caller], error) {
			return Reply[Caller]{Status: 201, Body: c}, nil
		}),
		Stream("POST /upload/{name}", Policy{Auth: AppService, BodyLimit: 10}, func(w http.ResponseWriter, r *http.Request, _ Caller) error {
			_, err := io.Copy(w, r.Body)
			return err
		}),
	})
}

// FuzzServe sends any request that net/http can parse: the answer is never the
// server's fault, and every error is a standard error response.
func FuzzServe(f *testing.F) {
	for _, seed := range [][4]string{
		{"PUT", "/rooms/!r:a.test/state/m.room.name/a%2Fb", "Authorization: Bearer alice", `{"name":"<x>"}`},
		{"PUT", "/rooms/%21r:a.test/state/t/%2F", "Authorization: Bearer bob", `{}`},
		{"PUT", "/rooms/!r:a.test/state/t/", "", ` {"b":1.0,"a":[null,"\u0000"]}`},
		{"POST", "/everything/!r:a.test/7?dir=b&limit=1&user=@a:a.test&since=9", "User-Agent: x\r\nX-Forwarded-For: 10.0.0.1, ::1", goodBody},
		{"POST", "/everything/!r:a.test/7?dir=b&access_token=alice", "", `{"user_id":"@a:a.test","type":"x","nested":{"level":1},"color":"f","pdus":[1]}`},
		{"GET", "/page/?limit=3&from=x", "Authorization: Bearer guest", ""},
		{"GET", "/page", "Authorization: Bearer guest", ""},
		{"HEAD", "//page/../%2e", "", ""},
		{"POST", "/sign", "Authorization: X-Signed key", `{"origin":"b.test"}`},
		{"POST", "/upload/%00", "Authorization: Bearer bridge", "0123456789a"},
		{"OPTIONS", "*", "", ""},
		{"CONNECT", "a.test:443", "", ""},
		{"POST", "/sign", "Authorization: X-Signed key\r\nTransfer-Encoding: chunked", "5\r\n{\"a\":\r\n"},
		{"DELETE", "http://b.test/page/%ff?%", "Content-Length: 7", "x"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	f.Fuzz(func(t *testing.T, method, target, headers, body string) {
		if !strings.Contains(headers, "Content-Length") && !strings.Contains(headers, "Transfer-Encoding") {
			headers = "Content-Length: " + itoa(len(body)) + "\r\n" + headers
		}
		text := method + " " + target + " HTTP/1.1\r\nHost: a.test\r\n" + strings.TrimRight(headers, "\r\n") + "\r\n\r\n" + body
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			return // net/http answers these itself
		}
		r.RemoteAddr = "192.0.2.1:1234"
		w := httptest.NewRecorder()
		if broken := serveFuzzed(t, w, r); broken {
			return
		}
		switch {
		case w.Code >= 500 || w.Code >= 300 && w.Code < 400:
			t.Errorf("got %d %s for %q", w.Code, w.Body, text)
		case w.Code >= 400:
			var refusal struct{ Errcode, Error string }
			if err := json.Unmarshal(w.Body.Bytes(), &refusal); err != nil || !strings.HasPrefix(refusal.Errcode, "M_") {
				t.Errorf("got %d %q for %q", w.Code, w.Body, text)
			}
		case w.Header().Get("Content-Type") == "application/json" && !json.Valid(w.Body.Bytes()):
			t.Errorf("got %d %q for %q", w.Code, w.Body, text)
		}
		if w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("no CORS headers for %q", text)
		}
	})
}

// serveFuzzed reports whether the response broke off, which happens where an
// upload is copied back until its end is found to be missing.
func serveFuzzed(t *testing.T, w *httptest.ResponseRecorder, r *http.Request) (broken bool) {
	table := fuzzTable(t)
	table.log = New(Config{}, nil).log // that it broke off is logged, and right
	defer func() {
		if v := recover(); v != nil {
			if v != http.ErrAbortHandler || !strings.HasPrefix(r.URL.Path, "/upload/") {
				t.Errorf("panic: %v", v)
			}
			broken = true
		}
	}()
	table.ServeHTTP(w, r)
	return false
}
