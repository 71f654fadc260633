package apitest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"parley/internal/memnet"
)

// A request is one as it goes over the wire, right or wrong.
type request struct {
	label          string // what is wrong with it
	method, target string
	header         []string // lines without their end
	body           []byte
	chunked        bool
	// cut is how many bytes of the body are not sent.
	cut int
	// broken says that it is no HTTP, or too much of it: net/http may refuse it
	// before anybody else sees it.
	broken bool
	// slow says that the server may wait for the rest of it.
	slow bool
}

func (r request) String() string {
	body := r.body
	if len(body) > 300 {
		body = append(bytes.Clone(body[:300]), "…"...)
	}
	target := r.target
	if len(target) > 300 {
		target = target[:300] + "…"
	}
	return fmt.Sprintf("%s: %s %q %q %q", r.label, r.method, target, r.header, body)
}

// write sends the request.
func (r request) write(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: a.test\r\n", r.method, r.target)
	for _, h := range r.header {
		b.WriteString(h + "\r\n")
	}
	body := r.body[:len(r.body)-r.cut]
	switch {
	case r.chunked:
		b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		for len(body) > 0 {
			n := min(len(body), 1<<16)
			fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
			body = body[n:]
		}
		if r.cut == 0 {
			b.WriteString("0\r\n\r\n")
		}
	case r.body != nil:
		b.WriteString("Content-Length: " + strconv.Itoa(len(r.body)) + "\r\n\r\n")
		b.Write(body)
	default:
		b.WriteString("\r\n")
	}
	_, err := w.Write(b.Bytes())
	return err
}

// A reply is what came of a request.
type reply struct {
	status int
	header http.Header
	body   []byte
	took   time.Duration
}

// A wire is a connection to a server, made anew when it has ended.
type wire struct {
	net  *memnet.Network
	conn net.Conn
	r    *bufio.Reader
}

var errHangs = errors.New("there is no answer")

// send sends a request and returns the reply. If there is none within the
// patience, the error is errHangs, and the connection breaks.
func (w *wire) send(ctx context.Context, r request, patience time.Duration) (reply, error) {
	if w.conn == nil {
		conn, err := w.net.Dial(ctx, "a.test")
		if err != nil {
			return reply{}, err
		}
		w.conn, w.r = conn, bufio.NewReader(conn)
	}
	conn, start := w.conn, time.Now()
	conn.SetDeadline(start.Add(patience))
	written := make(chan struct{})
	go func() { // the answer may come before all is sent
		defer close(written)
		r.write(conn)
	}()
	rep, last, err := w.read(r.method)
	rep.took = time.Since(start)
	if err != nil || last || r.cut > 0 {
		w.close()
	}
	<-written
	return rep, err
}

// read reads a reply. Last says that no other will come on the connection.
func (w *wire) read(method string) (rep reply, last bool, err error) {
	for rep.status < 200 {
		resp, err := http.ReadResponse(w.r, &http.Request{Method: method})
		if err != nil {
			return rep, true, noAnswer(err)
		}
		rep.status, rep.header, last = resp.StatusCode, resp.Header, resp.Close
		if rep.body, err = io.ReadAll(resp.Body); err != nil {
			return rep, true, noAnswer(err)
		}
	}
	return rep, last, nil
}

func noAnswer(err error) error {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return errHangs
	}
	return fmt.Errorf("the answer: %w", err)
}

func (w *wire) close() {
	if w.conn != nil {
		w.conn.Close()
		w.conn = nil
	}
}
