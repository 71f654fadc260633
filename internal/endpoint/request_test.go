package endpoint

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// hexColor is a type that reads its own JSON.
type hexColor int64

func (c *hexColor) UnmarshalJSON(b []byte) error {
	s, err := strconv.Unquote(string(b))
	if err != nil {
		return errors.New("a color is a string")
	}
	n, err := strconv.ParseInt(s, 16, 64)
	*c = hexColor(n)
	return err
}

type page struct {
	Limit *int   `query:"limit"`
	From  string `query:"from"`
}

type everything struct {
	page
	RoomID id.RoomID `path:"roomID"`
	Number int8      `path:"number"`

	Dir    string      `query:"dir" required:"true"`
	Server []string    `query:"server_name"`
	Users  []id.UserID `query:"user"`
	Flag   bool        `query:"flag"`
	Maybe  *string     `query:"maybe"`
	Since  uint16      `query:"since"`

	Agent string `header:"User-Agent"`

	UserID  id.UserID         `json:"user_id" required:"true"`
	Type    string            `json:"type" required:"M_BAD_JSON"`
	Reason  *string           `json:"reason"`
	Alias   *id.UserID        `json:"alias"`
	Count   int16             `json:"count"`
	Size    uint8             `json:"size"`
	Sure    bool              `json:"sure"`
	Color   hexColor          `json:"color"`
	Color2  *hexColor         `json:"color2"`
	Invite  []id.UserID       `json:"invite"`
	Content canonjson.Value   `json:"content"`
	PDUs    []canonjson.Value `json:"pdus"`
	Order   float64           `json:"order"`
	Nested  struct {
		Level int       `json:"level"`
		User  id.UserID `json:"user"`
	} `json:"nested"`
	Mine string `json:"-"`
	Raw  []byte `body:"raw"`
}

// decode sends a request to a route that asks for everything, and returns what
// it got.
func decode(t *testing.T, target, body string) (everything, *httptest.ResponseRecorder) {
	t.Helper()
	var got everything
	table := New(quietly(t), []Route{On("PUT /rooms/{roomID}/{number}", Policy{Auth: None, BodyLimit: 10_000},
		func(_ context.Context, _ Caller, req everything) (Empty, error) {
			got = req
			return Empty{}, nil
		})})
	w := request{method: "PUT", target: target, body: body, header: map[string]string{"User-Agent": "test"}}.send(table)
	return got, w
}

const (
	goodTarget = "/rooms/!r:a.test/7?dir=b"
	goodBody   = `{"user_id":"@a:a.test","type":"x"}`
)

func TestDecode(t *testing.T) {
	got, w := decode(t, "/rooms/!r:a.test/-7?dir=b&limit=10&from=x%26y&server_name=b.test&server_name=c.test"+
		"&user=@a:a.test&flag=true&maybe=&since=65535&other=1",
		` {"user_id":"@a:a.test", "type":"\u0000é", "reason":"r", "alias":null, "count":-5, "size":255, "sure":true, "color":"ff",
		"color2":"10", "invite":["@b:a.test"], "content":{"b":1.5,"a":null}, "pdus":[{"x":1.5},7], "order":0.25,
		"nested":{"level":50,"user":"@n:a.test"}, "unknown":[{}], "-":"me", "count":6, "USER_ID":1}`)
	isJSON(t, w, 200, "{}")
	if got.Limit == nil || got.Reason == nil || got.Maybe == nil || got.Color2 == nil {
		t.Fatalf("got nil for what was there: %+v", got)
	}
	for _, row := range []struct {
		name      string
		got, want any
	}{
		{"path text", got.RoomID, id.RoomID("!r:a.test")},
		{"path number", got.Number, int8(-7)},
		{"embedded pointer", *got.Limit, 10},
		{"embedded string", got.From, "x&y"},
		{"required query", got.Dir, "b"},
		{"repeated query", fmt.Sprint(got.Server), "[b.test c.test]"},
		{"repeated identifiers", fmt.Sprint(got.Users), "[@a:a.test]"},
		{"query bool", got.Flag, true},
		{"empty query string", *got.Maybe, ""},
		{"query uint", got.Since, uint16(65535)},
		{"header", got.Agent, "test"},
		{"identifier", got.UserID, id.UserID("@a:a.test")},
		{"string with NUL", got.Type, "\x00é"},
		{"pointer to string", *got.Reason, "r"},
		{"null is absent", got.Alias == nil, true},
		{"the last of duplicates", got.Count, int16(6)},
		{"uint", got.Size, uint8(255)},
		{"bool", got.Sure, true},
		{"own JSON", got.Color, hexColor(255)},
		{"pointer to own JSON", *got.Color2, hexColor(16)},
		{"list", fmt.Sprint(got.Invite), "[@b:a.test]"},
		{"value", got.Content.String(), `{"a":null,"b":1.5}`},
		{"list of values", fmt.Sprint(got.PDUs), `[{"x":1.5} 7]`},
		{"float", got.Order, 0.25},
		{"nested", got.Nested.Level, 50},
		{"nested identifier", got.Nested.User, id.UserID("@n:a.test")},
		{"nowhere", got.Mine, ""},
		{"raw body", string(got.Raw[:20]), `{"-":"me","USER_ID":`},
	} {
		if row.got != row.want {
			t.Errorf("%s: got %v, want %v", row.name, row.got, row.want)
		}
	}
}

func TestDecodeAbsent(t *testing.T) {
	got, w := decode(t, goodTarget+"&limit=&user=", goodBody)
	isJSON(t, w, 200, "{}")
	if got.Limit != nil || got.Users != nil || got.Maybe != nil || got.Reason != nil || got.Content != nil || got.PDUs != nil {
		t.Errorf("got values for what is not there: %+v", got)
	}
}

func TestDecodeRefuses(t *testing.T) {
	body := func(member string) string { return goodBody[:len(goodBody)-1] + "," + member + "}" }
	for _, row := range []struct {
		name, target, body string
		status             int
		code               mxerr.Code
		message            string
	}{
		{"a path parameter that is no identifier", "/rooms/r/7?dir=b", goodBody, 400, mxerr.InvalidParam, `path parameter roomID: invalid room ID "r"`},
		{"a path parameter out of range", "/rooms/!r:a.test/128?dir=b", goodBody, 400, mxerr.InvalidParam, "path parameter number: is an integer out of range"},
		{"no required query parameter", "/rooms/!r:a.test/7", goodBody, 400, mxerr.MissingParam, "query parameter dir is missing"},
		{"a query parameter that is no integer", goodTarget + "&limit=ten", goodBody, 400, mxerr.InvalidParam, "query parameter limit: is not an integer"},
		{"a query parameter that is negative", goodTarget + "&since=-1", goodBody, 400, mxerr.InvalidParam, "query parameter since"},
		{"a query parameter that is no boolean", goodTarget + "&flag=1", goodBody, 400, mxerr.InvalidParam, "query parameter flag"},
		{"a query parameter that is no identifier", goodTarget + "&user=@a:a.test&user=b", goodBody, 400, mxerr.InvalidParam, "query parameter user"},
		{"NUL in a query parameter", goodTarget + "&from=a%00", goodBody, 400, mxerr.InvalidParam, "query parameter from: contains NUL"},
		{"invalid UTF-8 in a query parameter", goodTarget + "&from=%ff", goodBody, 400, mxerr.InvalidParam, "query parameter from: is not valid UTF-8"},
		{"a malformed query", goodTarget + "&from=%f", goodBody, 400, mxerr.InvalidParam, "malformed"},
		{"a semicolon in the query", goodTarget + ";from=a", goodBody, 400, mxerr.InvalidParam, "malformed"},
		{"no body", goodTarget, "", 400, mxerr.MissingParam, "user_id is missing"},
		{"white space for a body", goodTarget, " \n", 400, mxerr.MissingParam, "user_id is missing"},
		{"no JSON", goodTarget, "user_id=@a:a.test", 400, mxerr.NotJSON, "invalid JSON at byte 0"},
		{"JSON and more", goodTarget, goodBody + "x", 400, mxerr.NotJSON, "invalid JSON at byte"},
		{"half of the JSON", goodTarget, goodBody[:10], 400, mxerr.NotJSON, "invalid JSON at byte"},
		{"invalid UTF-8", goodTarget, "{\"a\":\"\xff\"}", 400, mxerr.NotJSON, "invalid JSON at byte 6"},
		{"a lone surrogate", goodTarget, `{"a":"\ud800"}`, 400, mxerr.NotJSON, "invalid JSON at byte"},
		{"too much nesting", goodTarget, strings.Repeat("[", 5000) + strings.Repeat("]", 5000), 400, mxerr.NotJSON, "invalid JSON at byte 512"},
		{"an array", goodTarget, "[]", 400, mxerr.BadJSON, "The body is an array"},
		{"null", goodTarget, "null", 400, mxerr.BadJSON, "The body is null"},
		{"a required member is missing", goodTarget, `{"type":"x"}`, 400, mxerr.MissingParam, "user_id is missing"},
		{"a required member is null", goodTarget, `{"type":"x","user_id":null}`, 400, mxerr.MissingParam, "user_id is missing"},
		{"a required member in upper case", goodTarget, `{"type":"x","USER_ID":"@a:a.test"}`, 400, mxerr.MissingParam, "user_id is missing"},
		{"a required member with its own code", goodTarget, `{"user_id":"@a:a.test"}`, 400, mxerr.BadJSON, "type is missing"},
		{"a number for an identifier", goodTarget, `{"user_id":1}`, 400, mxerr.BadJSON, "user_id is a number and has to be a string"},
		{"a bad identifier", goodTarget, `{"user_id":"a"}`, 400, mxerr.BadJSON, `user_id: invalid user ID "a"`},
		{"NUL in an identifier", goodTarget, `{"user_id":"@a\u0000:a.test"}`, 400, mxerr.BadJSON, "user_id: invalid user ID"},
		{"an object for a string", goodTarget, body(`"reason":{}`), 400, mxerr.BadJSON, "reason is an object and has to be a string"},
		{"a string for an integer", goodTarget, body(`"count":"1"`), 400, mxerr.BadJSON, "count is a string and has to be an integer"},
		{"a fraction for an integer", goodTarget, body(`"count":1.5`), 400, mxerr.BadJSON, "count is not an integer within range"},
		{"an integer out of range", goodTarget, body(`"count":40000`), 400, mxerr.BadJSON, "count is not an integer within range"},
		{"an integer beyond all ranges", goodTarget, body(`"count":` + strings.Repeat("9", 500)), 400, mxerr.BadJSON, "count is not"},
		{"a negative integer", goodTarget, body(`"size":-1`), 400, mxerr.BadJSON, "size is not an integer within range"},
		{"a string for a boolean", goodTarget, body(`"sure":"true"`), 400, mxerr.BadJSON, "sure is a string and has to be true or false"},
		{"a type's own error", goodTarget, body(`"color":1`), 400, mxerr.BadJSON, "color: a color is a string"},
		{"a bad element", goodTarget, body(`"invite":["@a:a.test","b"]`), 400, mxerr.BadJSON, `invite: invalid user ID "b"`},
		{"an object for a list", goodTarget, body(`"invite":{}`), 400, mxerr.BadJSON, "invite: object is not what belongs here"},
		{"an object for a list of values", goodTarget, body(`"pdus":{}`), 400, mxerr.BadJSON, "pdus is an object and has to be an array"},
		{"a bad nested member", goodTarget, body(`"nested":{"level":"1"}`), 400, mxerr.BadJSON, "nested.level: string is not what belongs here"},
		{"a body that is too large", goodTarget, body(`"reason":"` + strings.Repeat("a", 10_000) + `"`), 413, mxerr.TooLarge, "larger than 10000 bytes"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, w := decode(t, row.target, row.body)
			if got := isRefusal(t, w, row.status, row.code); !strings.Contains(got, row.message) {
				t.Errorf("got message %q, want %q in it", got, row.message)
			}
		})
	}
}

func TestMessagesStayShort(t *testing.T) {
	for _, member := range []string{`"color":"` + strings.Repeat("é", 3000) + `"`, `"nested":{"level":` + strings.Repeat("9", 3000) + `}`} {
		_, w := decode(t, goodTarget, goodBody[:len(goodBody)-1]+","+member+"}")
		if got := isRefusal(t, w, 400, mxerr.BadJSON); len(got) > 300 {
			t.Errorf("the message has %d bytes: %s", len(got), got)
		}
	}
}

func TestHeadersAreLeftAlone(t *testing.T) {
	header := http.Header{"X-Number": {"", "1", ""}}
	table := New(quietly(t), []Route{On("GET /a", asNone, func(_ context.Context, _ Caller, req struct {
		Numbers []int `header:"X-Number"`
	}) (Empty, error) {
		if !slices.Equal(req.Numbers, []int{1}) {
			t.Errorf("got %v", req.Numbers)
		}
		return Empty{}, nil
	})})
	r := httptest.NewRequest("GET", "/a", nil)
	r.Header = header
	table.ServeHTTP(httptest.NewRecorder(), r)
	if got := header["X-Number"]; !slices.Equal(got, []string{"", "1", ""}) {
		t.Errorf("the request's header became %q", got)
	}
}

func TestRawBody(t *testing.T) {
	type optional struct {
		Content canonjson.Value `body:"raw"`
	}
	type needed struct {
		Content canonjson.Value `body:"raw" required:"true"`
	}
	table := New(quietly(t), []Route{
		On("PUT /optional", asNone, func(_ context.Context, _ Caller, r optional) (canonjson.Value, error) { return r.Content, nil }),
		On("PUT /needed", asNone, func(_ context.Context, _ Caller, r needed) (canonjson.Value, error) { return r.Content, nil }),
	})
	send := func(path, body string) *httptest.ResponseRecorder {
		return request{method: "PUT", target: path, body: body}.send(table)
	}
	isJSON(t, send("/optional", ""), 200, "{}")
	isRefusal(t, send("/needed", ""), 400, mxerr.NotJSON)
	isRefusal(t, send("/needed", `"text"`), 400, mxerr.BadJSON)
	isJSON(t, send("/needed", "{}"), 200, "{}")
	isJSON(t, send("/needed", `{"b": 1.50, "a": "<\u003c>", "b": -0}`), 200, `{"a":"<<>","b":0}`)
}

// pieces is a body of unknown length.
type pieces struct{ io.Reader }

func TestBodyOfUnknownLength(t *testing.T) {
	table := New(quietly(t), []Route{On("PUT /a", Policy{Auth: None, BodyLimit: 100}, func(_ context.Context, _ Caller, r struct {
		A string `json:"a"`
	}) (Empty, error) {
		return Empty{}, nil
	})})
	for _, row := range []struct {
		name   string
		body   io.Reader
		status int
		code   mxerr.Code
	}{
		{"within the limit", strings.NewReader(`{"a":""}`), 200, ""},
		{"beyond the limit", strings.NewReader(strings.Repeat(" ", 1000)), 413, mxerr.TooLarge},
		{"without end", endless{}, 413, mxerr.TooLarge},
		{"cut off", cutOff{io.ErrUnexpectedEOF}, 400, mxerr.Unknown},
		{"too slow", cutOff{os.ErrDeadlineExceeded}, 408, mxerr.Unknown},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			table.ServeHTTP(w, httptest.NewRequest("PUT", "/a", pieces{row.body}))
			if row.code != "" {
				isRefusal(t, w, row.status, row.code)
			} else if w.Code != row.status {
				t.Errorf("got %d %s", w.Code, w.Body)
			}
		})
	}
}

// TestWhoSendsTooMuchIsToldSo: many clients look for an answer when they have sent all.
func TestWhoSendsTooMuchIsToldSo(t *testing.T) {
	server := httptest.NewServer(New(quietly(t), []Route{On("PUT /a", Policy{Auth: None, BodyLimit: 100}, func(context.Context, Caller, struct {
		A string `json:"a"`
	}) (Empty, error) {
		return Empty{}, nil
	})}))
	defer server.Close()
	for _, row := range []struct {
		name   string
		length int
		sent   int // of the body, before the answer is looked for
	}{
		{"a little more", 101, 101}, {"a lot more", mostDrained, mostDrained}, {"much more than anybody reads", 1 << 40, 0},
	} {
		tcp, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer tcp.Close()
		_, err = fmt.Fprintf(tcp, "PUT /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: %d\r\n\r\n%s", row.length, strings.Repeat(" ", row.sent))
		if err != nil {
			t.Fatalf("%s: sending: %v", row.name, err)
		}
		r, err := http.ReadResponse(bufio.NewReader(tcp), nil)
		if err != nil || r.StatusCode != 413 {
			t.Errorf("%s: got %+v, %v", row.name, r, err)
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

type cutOff struct{ err error }

func (c cutOff) Read([]byte) (int, error) { return 0, c.err }

func TestLengthIsNotBelieved(t *testing.T) {
	table := New(quietly(t), []Route{On("PUT /a", Policy{Auth: None, BodyLimit: 1 << 40}, func(context.Context, Caller, struct {
		A string `json:"a"`
	}) (Empty, error) {
		return Empty{}, nil
	})})
	r := httptest.NewRequest("PUT", "/a", strings.NewReader("{}"))
	r.ContentLength = 1 << 39
	w := httptest.NewRecorder()
	table.ServeHTTP(w, r)
	isJSON(t, w, 200, "{}")
}

func TestStoppingEndsOnlyWhatWaits(t *testing.T) {
	stopping, stop := context.WithCancel(t.Context())
	stop()
	config := quietly(t)
	config.Stopping = stopping
	table := New(config, []Route{
		On("GET /wait", Policy{Auth: None, Waits: true}, func(ctx context.Context, _ Caller, _ Empty) (string, error) {
			<-ctx.Done()
			return context.Cause(ctx).Error(), nil
		}),
		On("GET /work", Policy{Auth: None}, func(ctx context.Context, _ Caller, _ Empty) (string, error) {
			return "goes on", ctx.Err()
		}),
	})
	for path, want := range map[string]string{"/wait": ErrStopping.Error(), "/work": "goes on"} {
		if w := (request{target: path}).send(table); w.Body.String() != `"`+want+`"` {
			t.Errorf("GET %s: got %s, want %q", path, w.Body, want)
		}
	}
}
