package loadgen

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

func TestResponsesAreRead(t *testing.T) {
	for _, row := range []struct {
		name, text string
		want       response
		wrong      string // part of the error
	}{
		{name: "with a length", text: "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", want: response{status: 200, body: []byte("{}")}},
		{name: "without a reason", text: "HTTP/1.1 200\r\nContent-Length:2\r\n\r\n{}", want: response{status: 200, body: []byte("{}")}},
		{name: "empty", text: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", want: response{status: 200}},
		{name: "in chunks", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n",
			want: response{status: 200, body: []byte("{0123456789")}},
		{name: "to the end", text: "HTTP/1.1 200 OK\r\n\r\n{}", want: response{status: 200, body: []byte("{}"), last: true}},
		{name: "of HTTP/1.0", text: "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", want: response{status: 200, body: []byte("{}"), last: true}},
		{name: "the last one", text: "HTTP/1.1 500 Oh\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
			want: response{status: 500, body: []byte("x"), last: true}},
		{name: "told to wait", text: "HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n",
			want: response{status: 429, retryAfter: 7 * time.Second}},
		{name: "told to wait for a date", text: "HTTP/1.1 429 Slow\r\nRetry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\nContent-Length: 0\r\n\r\n",
			want: response{status: 429}},
		{name: "without content", text: "HTTP/1.1 204 No\r\n\r\nrest", want: response{status: 204}},
		{name: "after an interim one", text: "HTTP/1.1 103 Hint\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
			want: response{status: 200, body: []byte("x")}},
		{name: "nothing", text: "", wrong: "EOF"},
		{name: "cut in the status", text: "HTTP/1.1 20", wrong: "unexpected EOF"},
		{name: "cut in the headers", text: "HTTP/1.1 200 OK\r\nContent-Le", wrong: "unexpected EOF"},
		{name: "cut between the headers", text: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", wrong: "unexpected EOF"},
		{name: "cut in the body", text: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", wrong: "unexpected EOF"},
		{name: "cut in a chunk", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}", wrong: "unexpected EOF"},
		{name: "cut between chunks", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", wrong: "unexpected EOF"},
		{name: "another protocol", text: "SSH-2.0-OpenSSH_9.2\r\n", wrong: "no status line"},
		{name: "another status", text: "HTTP/1.1 2x0 OK\r\n", wrong: "no status line"},
		{name: "switching protocols", text: "HTTP/1.1 101 Yes\r\n\r\n", wrong: "not asked for"},
		{name: "a negative length", text: "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", wrong: "makes no sense"},
		{name: "two lengths", text: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", wrong: "makes no sense"},
		{name: "compressed", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", wrong: "not known"},
		{name: "too long a body", text: "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n", wrong: "too large"},
		{name: "too long a chunk", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n", wrong: "too large"},
		{name: "no size of a chunk", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", wrong: "size of a chunk"},
		{name: "a chunk that goes on", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", wrong: "longer"},
		{name: "too long a header", text: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", maxLine) + "\r\n\r\n", wrong: "too large"},
		{name: "too many headers", text: "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", maxHeaders) + "\r\n", wrong: "too large"},
	} {
		got, err := readResponse(bufio.NewReaderSize(strings.NewReader(row.text), maxLine), nil)
		if row.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), row.wrong) {
				t.Errorf("%s: got %v, want an error with %q", row.name, err, row.wrong)
			}
			continue
		}
		if err != nil || got.status != row.want.status || !bytes.Equal(got.body, row.want.body) ||
			got.last != row.want.last || got.retryAfter != row.want.retryAfter {
			t.Errorf("%s: got %+v, %v, want %+v", row.name, got, err, row.want)
		}
	}
}

// What we and net/http both accept means the same.
func FuzzResponse(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 429 Slow\r\nConnection: close\r\nRetry-After: 1\r\n\r\n{}"))
	f.Add([]byte("HTTP/1.1 204 No\r\nContent-Length: 1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		ours, err := readResponse(bufio.NewReaderSize(bytes.NewReader(text), maxLine), nil)
		if err != nil {
			return
		}
		if int64(len(ours.body)) > int64(len(text)) {
			t.Fatalf("the body is longer than the response: %d", len(ours.body))
		}
		theirs, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(text)), nil)
		if err != nil || theirs.StatusCode < 200 {
			return
		}
		body, err := io.ReadAll(theirs.Body)
		if err == nil && (theirs.StatusCode != ours.status || !bytes.Equal(body, ours.body)) {
			t.Errorf("%q\ngot %d %q\nwant %d %q", text, ours.status, ours.body, theirs.StatusCode, body)
		}
	})
}

// ask makes a request without body and returns the response.
func ask(t *testing.T, c *client, path string) (response, error) {
	t.Helper()
	return c.do(t.Context(), []byte(c.target.head("GET", path, "", -1)), time.Minute)
}

func newTestClient(t *testing.T, handler http.HandlerFunc) *client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	target, err := Aim(t.Context(), server.URL+"/base/", false)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(target)
	t.Cleanup(c.hangUp)
	return c
}

func TestAConnectionIsKeptAlive(t *testing.T) {
	c := newTestClient(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/base/chunked":
			for range 3 {
				fmt.Fprint(w, r.RemoteAddr)
				w.(http.Flusher).Flush()
			}
		case "/base/missing":
			http.Error(w, r.RemoteAddr, 404)
		default:
			fmt.Fprint(w, r.RemoteAddr)
		}
	})
	first, err := ask(t, c, "/length")
	if err != nil || first.status != 200 {
		t.Fatalf("got %+v, %v", first, err)
	}
	address := string(first.body)
	for path, want := range map[string]string{"/length": address, "/chunked": address + address + address, "/missing": address + "\n"} {
		if r, err := ask(t, c, path); err != nil || string(r.body) != want {
			t.Errorf("%s: got %d %q, %v, want %q", path, r.status, r.body, err, want)
		}
	}
}

func TestAConnectionThatEndedIsOpenedAnew(t *testing.T) {
	c := newTestClient(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/base/last":
			w.Header().Set("Connection", "close")
		case "/base/broken":
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("{"))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		fmt.Fprint(w, r.RemoteAddr)
	})
	seen := map[string]bool{}
	for _, path := range []string{"/last", "/last", "/first"} {
		r, err := ask(t, c, path)
		if err != nil || seen[string(r.body)] {
			t.Errorf("%s: got %q, %v, want another connection than %v", path, r.body, err, seen)
		}
		seen[string(r.body)] = true
	}
	if _, err := ask(t, c, "/broken"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want an unexpected end", err)
	}
	r, err := ask(t, c, "/first")
	if err != nil || seen[string(r.body)] {
		t.Errorf("got %q, %v, want another connection", r.body, err)
	}
	seen[string(r.body)] = true
	c.idle = c.idle.Add(-2 * idleLimit)
	if r, err := ask(t, c, "/first"); err != nil || seen[string(r.body)] {
		t.Errorf("got %q, %v, want another connection after a long pause", r.body, err)
	}
}

func TestARequestEndsWithItsContextAndItsTime(t *testing.T) {
	c := newTestClient(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/base/wait" {
			<-r.Context().Done()
		}
	})
	request := []byte(c.target.head("GET", "/wait", "", -1))
	if _, err := c.do(t.Context(), request, 20*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want that the time is over", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := c.do(ctx, request, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the context was cancelled", err)
	}
	if r, err := ask(t, c, "/"); err != nil || r.status != 200 {
		t.Errorf("the client is of no use afterwards: %+v, %v", r, err)
	}
}

func TestRequestsAreWellFormed(t *testing.T) {
	type seen struct{ method, path, host, token, body string }
	var got seen
	c := newTestClient(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = seen{r.Method, r.URL.EscapedPath(), r.Host, r.Header.Get("Authorization"), string(body)}
	})
	m := newMessage(c.target, "!a/b:c", "secret", "txn-", "mark:", 20)
	if r, err := c.do(t.Context(), m.append(nil, 42), time.Minute); err != nil || r.status != 200 {
		t.Fatalf("got %+v, %v", r, err)
	}
	want := seen{
		"PUT", "/base/_matrix/client/v3/rooms/%21a%2Fb:c/send/m.room.message/txn-0000000042", c.target.host, "Bearer secret",
		`{"msgtype":"m.text","body":"mark:0000000042 xxxx"}`,
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestForeignAddressesAreRefused(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	for _, row := range []struct {
		url     string
		foreign bool
		wrong   string
	}{
		{url: fmt.Sprintf("http://127.0.0.1:%d", port)},
		{url: fmt.Sprintf("http://localhost:%d/", port)},
		{url: fmt.Sprintf("http://[::ffff:127.0.0.1]:%d", port)},
		{url: "http://192.0.2.1:8008", foreign: true},
		{url: "http://10.0.0.1", foreign: true},
		{url: "http://[2001:db8::1]:8008", foreign: true},
		{url: "http://0.0.0.0:8008", foreign: true},
		{url: "https://127.0.0.1:8448", wrong: "no TLS"},
		{url: "127.0.0.1:8008", wrong: "URL of the server"},
		{url: "http://", wrong: "URL of the server"},
		{url: "http://127.0.0.1:1", wrong: "no server answers"},
	} {
		_, err := Aim(t.Context(), row.url, false)
		switch {
		case row.foreign && !errors.Is(err, ErrForeign):
			t.Errorf("%s: got %v, want ErrForeign", row.url, err)
		case row.wrong != "" && (err == nil || !strings.Contains(err.Error(), row.wrong)):
			t.Errorf("%s: got %v, want an error with %q", row.url, err, row.wrong)
		case !row.foreign && row.wrong == "" && err != nil:
			t.Errorf("%s: got %v, want none", row.url, err)
		}
	}
	// 0.0.0.0 is this machine for Linux, so this tries no other.
	if _, err := Aim(t.Context(), fmt.Sprintf("http://0.0.0.0:%d", port), true); err != nil {
		t.Errorf("an owner is refused: %v", err)
	}
}

func BenchmarkClient(b *testing.B) {
	for _, clients := range []int{1, 16} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			c, err := newCanned()
			if err != nil {
				b.Fatal(err)
			}
			defer c.close()
			target, err := Aim(b.Context(), "http://"+c.listener.Addr().String(), false)
			if err != nil {
				b.Fatal(err)
			}
			g, err := New(Options{Target: target})
			if err != nil {
				b.Fatal(err)
			}
			var senders []*sender
			for i := range clients {
				senders = append(senders, g.newSender(account{Token: "t"}, []string{"!r:x"}, "mark:", i, 100))
				defer senders[i].client.hangUp()
			}
			b.ReportAllocs()
			if err := sendAll(b.Context(), senders, time.Hour, int64(b.N), new(Histogram), new(faults)); err != nil {
				b.Fatal(err)
			}
		})
	}
}
