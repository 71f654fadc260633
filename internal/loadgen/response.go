package loadgen

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"
)

// Limits of a response.
const (
	maxBody    = 1 << 30
	maxLine    = 8 << 10 // the size of readers
	maxHeaders = 500
)

// errTooLarge: a response is beyond its limits.
var errTooLarge = errors.New("the response is too large")

// framing is what the headers say about a response.
type framing struct {
	length     int64 // -1 where it is not said
	chunked    bool
	last       bool
	retryAfter time.Duration
}

// readResponse reads one response (https://www.rfc-editor.org/rfc/rfc9112) to a
// request that was not HEAD, its body into the given buffer, which may be moved.
func readResponse(in *bufio.Reader, buffer []byte) (response, error) {
	for {
		status, old, err := readStatus(in)
		if err != nil {
			return response{}, err
		}
		f, err := readHeaders(in)
		if err != nil {
			return response{}, err
		}
		if status < 200 {
			continue // an interim response: the one that counts follows
		}
		if old {
			f.chunked = false // HTTP/1.0 knows no chunks
		}
		r := response{status: status, retryAfter: f.retryAfter, last: f.last || old}
		if status == 204 || status == 304 {
			r.body = buffer[:0]
			return r, nil
		}
		if f.length < 0 && !f.chunked {
			r.last = true
		}
		r.body, err = readBody(in, f, buffer[:0])
		return r, err
	}
}

// readStatus reads the status line. Old is HTTP/1.0, which keeps no connection.
func readStatus(in *bufio.Reader) (status int, old bool, err error) {
	line, err := readLine(in)
	if err != nil {
		return 0, false, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) || line[8] != ' ' || len(line) > 12 && line[12] != ' ' {
		return 0, false, fmt.Errorf("%.40q is no status line", line)
	}
	for _, d := range line[9:12] {
		if d < '0' || d > '9' {
			return 0, false, fmt.Errorf("%.40q is no status line", line)
		}
		status = status*10 + int(d-'0')
	}
	if status < 100 || status == 101 {
		return 0, false, fmt.Errorf("status %d was not asked for", status)
	}
	return status, line[7] == '0', nil
}

// readHeaders reads the headers, and the empty line behind them.
func readHeaders(in *bufio.Reader) (framing, error) {
	f := framing{length: -1}
	for range maxHeaders {
		line, err := readLine(in)
		if err != nil {
			return f, early(err)
		}
		if len(line) == 0 {
			return f, nil
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			return f, fmt.Errorf("%.40q is no header", line)
		}
		if err := f.note(name, bytes.TrimSpace(value)); err != nil {
			return f, err
		}
	}
	return f, errTooLarge
}

func (f *framing) note(name, value []byte) error {
	is := func(want string) bool { return len(name) == len(want) && bytes.EqualFold(name, []byte(want)) }
	switch {
	case is("Content-Length"):
		n, err := strconv.ParseUint(string(value), 10, 63)
		if err != nil || f.length >= 0 && f.length != int64(n) {
			return fmt.Errorf("the length %.40q makes no sense", value)
		}
		f.length = int64(n)
	case is("Transfer-Encoding"):
		if !bytes.EqualFold(value, []byte("chunked")) {
			return fmt.Errorf("the transfer encoding %.40q is not known", value)
		}
		f.chunked = true
	case is("Connection"):
		f.last = f.last || bytes.EqualFold(value, []byte("close"))
	case is("Retry-After"):
		if n, err := strconv.ParseUint(string(value), 10, 31); err == nil {
			f.retryAfter = time.Duration(n) * time.Second
		}
	}
	return nil
}

func readBody(in *bufio.Reader, f framing, body []byte) ([]byte, error) {
	switch {
	case f.chunked:
		return readChunks(in, body)
	case f.length >= 0:
		return readPart(in, body, f.length)
	}
	body, err := readPart(in, body, maxBody+1)
	switch {
	case err == nil:
		return nil, errTooLarge
	case errors.Is(err, io.ErrUnexpectedEOF):
		return body, nil
	}
	return nil, err
}

// readPart appends the next n bytes, and takes memory for them as they come. At
// an early end it returns what came, and io.ErrUnexpectedEOF.
func readPart(in *bufio.Reader, body []byte, n int64) ([]byte, error) {
	if n > maxBody+1-int64(len(body)) {
		return nil, errTooLarge
	}
	for n > 0 {
		step := int(min(n, 1<<20))
		body = slices.Grow(body, step)
		got, err := io.ReadFull(in, body[len(body):len(body)+step])
		body = body[:len(body)+got]
		if err != nil {
			return body, early(err)
		}
		n -= int64(step)
	}
	return body, nil
}

func readChunks(in *bufio.Reader, body []byte) ([]byte, error) {
	for {
		line, err := readLine(in)
		if err != nil {
			return nil, early(err)
		}
		size, _, _ := bytes.Cut(line, []byte(";"))
		n, err := strconv.ParseUint(string(bytes.TrimRight(size, " \t")), 16, 40)
		if err != nil {
			return nil, fmt.Errorf("%.40q is not the size of a chunk", line)
		}
		if n == 0 {
			_, err := readHeaders(in) // the trailer
			return body, early(err)
		}
		if body, err = readPart(in, body, int64(n)); err != nil {
			return nil, err
		}
		if line, err = readLine(in); err != nil {
			return nil, early(err)
		}
		if len(line) != 0 {
			return nil, errors.New("a chunk is longer than it said")
		}
	}
}

// readLine returns the next line without its end, until the next read. It is no
// longer than the reader's buffer.
func readLine(in *bufio.Reader) ([]byte, error) {
	line, err := in.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, errTooLarge
	case err != nil && len(line) > 0:
		return nil, early(err)
	case err != nil:
		return nil, err
	}
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line, nil
}

// early names the end of a connection within a response.
func early(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
