package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/matrix/mxerr"
)

func itoa(n int) string { return strconv.Itoa(n) }

// logTo is a Config that logs everything.
func logTo(w io.Writer) Config {
	n := 0
	return Config{
		Users: users, Servers: users,
		Log:          slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})),
		NewRequestID: func() string { n++; return fmt.Sprintf("r%d", n) },
	}
}

// refusing is a route that returns an error.
func refusing(err error) Route {
	return On("GET /a", asNone, func(context.Context, Caller, Empty) (Empty, error) { return Empty{}, err })
}

func TestErrors(t *testing.T) {
	fault := errors.New("disk full")
	for _, row := range []struct {
		name   string
		err    error
		status int
		body   string
		logged string // "" for nothing
	}{
		{"a refusal", mxerr.New(mxerr.Forbidden, "No <b>"), 403, `{"errcode":"M_FORBIDDEN","error":"No <b>"}`, ""},
		{"a wrapped refusal", fmt.Errorf("kicking: %w", mxerr.New(mxerr.NotFound, "No room")), 404,
			`{"errcode":"M_NOT_FOUND","error":"No room"}`, ""},
		{"a bare code", mxerr.NotFound, 404, `{"errcode":"M_NOT_FOUND","error":"M_NOT_FOUND"}`, ""},
		{"a refusal without status", &mxerr.Error{Code: mxerr.Forbidden, Message: "No"}, 403,
			`{"errcode":"M_FORBIDDEN","error":"No"}`, ""},
		{"a refusal with members", mxerr.New(mxerr.WrongRoomKeysVersion, "Old").With("current_version", "<2>"), 403,
			`{"current_version":"<2>","errcode":"M_WRONG_ROOM_KEYS_VERSION","error":"Old"}`, ""},
		{"a refusal without code", &mxerr.Error{Status: 401, Fields: map[string]any{"flows": []int{}}}, 401, `{"flows":[]}`, ""},
		{"a refusal with a cause", mxerr.New(mxerr.Forbidden, "No").Wrap(fault), 403,
			`{"errcode":"M_FORBIDDEN","error":"No"}`, `level=DEBUG msg="request refused" method=GET route=/a request=r1 err="M_FORBIDDEN: No: disk full"`},
		{"a refusal with status 502", mxerr.New(mxerr.TooLarge, "Too large").WithStatus(502), 502,
			`{"errcode":"M_TOO_LARGE","error":"Too large"}`, ""},
		{"a fault", fmt.Errorf("storing: %w", fault), 500, `{"errcode":"M_UNKNOWN","error":"Internal server error"}`,
			`level=ERROR msg="request failed" method=GET route=/a request=r1 err="storing: disk full"`},
		{"a deadline of the handler's own", context.DeadlineExceeded, 500,
			`{"errcode":"M_UNKNOWN","error":"Internal server error"}`, "context deadline exceeded"},
		{"no error at all", (*mxerr.Error)(nil), 500, `{"errcode":"M_UNKNOWN","error":"Internal server error"}`, "level=ERROR"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var log strings.Builder
			w := request{target: "/a"}.send(New(logTo(&log), []Route{refusing(row.err)}))
			isJSON(t, w, row.status, row.body)
			lines := strings.Count(log.String(), "\n")
			if row.logged == "" && lines != 0 || row.logged != "" && (lines != 1 || !strings.Contains(log.String(), row.logged)) {
				t.Errorf("logged %q, want %q", log.String(), row.logged)
			}
			if got := w.Header().Get("X-Request-Id"); got != "r1" {
				t.Errorf("got request ID %q", got)
			}
		})
	}
}

func TestFaultsNameTheCaller(t *testing.T) {
	fail := func(context.Context, Caller, Empty) (Empty, error) { return Empty{}, errors.New("disk full") }
	for auth, want := range map[string]string{"Bearer alice": "user=@alice:a.test", "X-Plain": "origin=b.test"} {
		var log strings.Builder
		table := New(logTo(&log), []Route{On("GET /user", asUser, fail), On("GET /server", Policy{Auth: Server}, fail)})
		target := map[bool]string{true: "/user", false: "/server"}[auth != "X-Plain"]
		request{target: target, header: map[string]string{"Authorization": auth}}.send(table)
		if !strings.Contains(log.String(), want) {
			t.Errorf("logged %q, want %q in it", log.String(), want)
		}
	}
}

func TestCanceledRequestIsNoFault(t *testing.T) {
	var log strings.Builder
	config := logTo(&log)
	config.Log = slog.New(slog.NewTextHandler(&log, nil))
	var seen Observation
	config.Observe = func(o Observation) { seen = o }
	ctx, cancel := context.WithCancel(t.Context())
	table := New(config, []Route{
		On("GET /a", asNone, func(ctx context.Context, _ Caller, _ Empty) (Empty, error) {
			cancel()
			<-ctx.Done()
			return Empty{}, fmt.Errorf("reading: %w", ctx.Err())
		}),
		Stream("GET /b", asNone, func(w http.ResponseWriter, r *http.Request, _ Caller) error {
			io.WriteString(w, "half of")
			return r.Context().Err()
		}),
	})
	w := httptest.NewRecorder()
	table.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/a", nil))
	isRefusal(t, w, 503, mxerr.Unknown)
	if !seen.Canceled || log.Len() > 0 {
		t.Errorf("observed %+v, logged %q", seen, log.String())
	}

	seen = Observation{}
	aborts(t, func() { table.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/b", nil)) })
	if !seen.Canceled || log.Len() > 0 {
		t.Errorf("observed %+v, logged %q", seen, log.String())
	}
}

// aborts checks that f ends as net/http expects of a response that breaks off.
func aborts(t *testing.T, f func()) {
	t.Helper()
	defer func() {
		if v := recover(); v != http.ErrAbortHandler {
			t.Errorf("got panic %v, want http.ErrAbortHandler", v)
		}
	}()
	f()
}

func TestPanics(t *testing.T) {
	var log strings.Builder
	config := logTo(&log)
	var seen []Observation
	config.Observe = func(o Observation) { seen = append(seen, o) }
	table := New(config, []Route{
		On("GET /typed", asNone, func(context.Context, Caller, Empty) (Empty, error) { panic("out of range") }),
		Stream("GET /stream", asNone, func(w http.ResponseWriter, _ *http.Request, _ Caller) error { panic([]int{1}) }),
		Stream("GET /late", asNone, func(w http.ResponseWriter, _ *http.Request, _ Caller) error {
			io.WriteString(w, "half of")
			panic("out of range")
		}),
		Stream("GET /error", asNone, func(w http.ResponseWriter, _ *http.Request, _ Caller) error {
			io.WriteString(w, "half of")
			return errors.New("disk full")
		}),
		Stream("GET /abort", asNone, func(http.ResponseWriter, *http.Request, Caller) error { panic(http.ErrAbortHandler) }),
	})
	for _, path := range []string{"/typed", "/stream"} {
		log.Reset()
		isRefusal(t, request{target: path}.send(table), 500, mxerr.Unknown)
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "failure_test.go") {
			t.Errorf("%s: logged %q, want the stack", path, got)
		}
	}
	for path, want := range map[string]string{"/late": "out of range", "/error": "disk full", "/abort": ""} {
		log.Reset()
		aborts(t, func() { request{target: path}.send(table) })
		if !strings.Contains(log.String(), want) || want == "" && log.Len() > 0 {
			t.Errorf("%s: logged %q, want %q in it", path, log.String(), want)
		}
	}
	if len(seen) != 5 {
		t.Errorf("observed %d requests, want 5", len(seen))
	}
}

func TestObserve(t *testing.T) {
	var seen Observation
	config := quietly(t)
	config.Observe = func(o Observation) { seen = o }
	config.NewRequestID = func() string { return "id" }
	table := New(config, []Route{whoami("GET /rooms/{$}", asUser), On("GET /a", asUser, func(context.Context, Caller, Empty) (Empty, error) {
		return Empty{}, mxerr.New(mxerr.NotFound, "Nothing")
	})})
	for _, row := range []struct {
		target, token, route string
		status               int
		user                 string
	}{
		{"/rooms/", "alice", "/rooms/{$}", 200, "@alice:a.test"},
		{"/rooms/", "", "/rooms/{$}", 401, ""},
		{"/a", "bob", "/a", 404, "@bob:a.test"},
		{"/b", "bob", "", 404, ""},
	} {
		w := request{target: row.target, token: row.token}.send(table)
		if seen.Method != "GET" || seen.Route != row.route || seen.Status != row.status || string(seen.Caller.UserID) != row.user ||
			seen.Bytes != int64(w.Body.Len()) || seen.Caller.RequestID != "id" || !seen.Caller.Addr.IsValid() ||
			seen.Duration < 0 || seen.Duration > time.Hour || seen.Canceled {
			t.Errorf("%+v: observed %+v", row, seen)
		}
	}
}
