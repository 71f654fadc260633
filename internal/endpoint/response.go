package endpoint

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"

	"parley/matrix/canonjson"
)

// An Appender is a response that writes its own JSON, for those that are put
// together from JSON that is there already.
type Appender interface {
	// AppendJSON appends one JSON value to dst, which it must not keep, and
	// returns the extended slice.
	AppendJSON(dst []byte) []byte
}

// A PartAppender is an Appender that does so part by part, for what is too large
// to be held in memory at once.
type PartAppender interface {
	// AppendPart appends the next part of the JSON value to dst, which it must not
	// keep, and tells whether there is more. It is called until there is not, or
	// nobody reads any more; then Close is, if the response is an [io.Closer]. An error
	// of the first part is that of the handler; later the response breaks off.
	AppendPart(ctx context.Context, dst []byte) (extended []byte, more bool, err error)
}

// A Reply is a response with another status than 200, or with headers.
type Reply[T any] struct {
	// Status is the HTTP status, 0 for 200. With 204 and 304 the body is not
	// sent.
	Status int
	// Header is added to the response and replaces headers of the same,
	// canonical, name.
	Header http.Header
	Body   T
}

func (r Reply[T]) parts() (status int, header http.Header, body any) {
	return r.Status, r.Header, r.Body
}

// respond writes what a typed handler returned.
func (x *exchange) respond(resp any) error {
	status := http.StatusOK
	if r, ok := resp.(interface {
		parts() (int, http.Header, any)
	}); ok {
		s, header, body := r.parts()
		if s != 0 {
			status = s
		}
		for name, values := range header {
			x.writer.Header()[name] = values
		}
		resp = body
	}
	if status == http.StatusNoContent || status == http.StatusNotModified {
		x.writer.WriteHeader(status)
		return nil
	}
	return x.writeJSON(status, resp)
}

// largestBuffer is up to which capacity a buffer is kept for other responses.
const largestBuffer = 256 << 10

// writeJSON writes one value as the whole body. That the client is not there to
// read it is no error.
func (x *exchange) writeJSON(status int, value any) error {
	switch v := value.(type) {
	case canonjson.Value:
		x.writeBody(status, v)
		return nil
	case PartAppender:
		return x.writeParts(status, v)
	case Appender:
		buf := x.buffer()
		*buf = v.AppendJSON(*buf)
		x.writeBody(status, *buf)
		x.free(buf)
		return nil
	}
	enc := json.NewEncoder(wholeBody{x, status})
	enc.SetEscapeHTML(false)
	return enc.Encode(value)
}

// writeParts writes what appends itself. Of one part the length is known before
// the first byte is sent.
func (x *exchange) writeParts(status int, v PartAppender) error {
	buf := x.buffer()
	defer x.free(buf)
	if c, ok := v.(io.Closer); ok {
		defer c.Close()
	}
	for begun := false; ; begun = true {
		part, more, err := v.AppendPart(x.request.Context(), (*buf)[:0])
		if err != nil {
			return err
		}
		*buf = part
		switch {
		case !begun && !more:
			x.writeBody(status, part)
			return nil
		case !begun:
			x.writer.Header()["Content-Type"] = x.table.json
			x.writer.WriteHeader(status)
		}
		x.allowTime(len(part))
		if _, err := x.writer.Write(part); err != nil || !more {
			return nil // the client has gone, or has it all
		}
	}
}

// buffer returns an empty buffer, to be freed when nobody needs it any more.
func (x *exchange) buffer() *[]byte {
	buf, _ := x.table.buffers.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
	}
	*buf = (*buf)[:0]
	return buf
}

func (x *exchange) free(buf *[]byte) {
	if cap(*buf) <= largestBuffer {
		x.table.buffers.Put(buf)
	}
}

// wholeBody passes on what a json.Encoder writes, which is a whole value at
// once and only when the value could be encoded: so the encoder's own buffer is
// the only one, and the length is known before the first byte is sent.
type wholeBody struct {
	x      *exchange
	status int
}

func (b wholeBody) Write(p []byte) (int, error) {
	b.x.writeBody(b.status, bytes.TrimSuffix(p, []byte("\n")))
	return len(p), nil
}

// A response of more than this many bytes does not fit into the buffers between
// here and the client, who has readGrace to begin with and then has to read
// readRate bytes a second. Somebody who asks and does not read would otherwise
// have it held in memory as often as he asks.
const (
	largeBody = 64 << 10
	readGrace = 30 * time.Second
	readRate  = 32 << 10
)

func (x *exchange) writeBody(status int, body []byte) {
	if len(body) > largeBody {
		x.allowTime(len(body))
	}
	h := x.writer.Header()
	h["Content-Type"] = x.table.json
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	x.writer.WriteHeader(status)
	x.writer.Write(body) // fails if the client has gone
}

// allowTime gives the client time to read so many bytes from now on. It fails
// where there are no deadlines, as in tests.
func (x *exchange) allowTime(bytes int) {
	http.NewResponseController(x.writer.ResponseWriter).
		SetWriteDeadline(time.Now().Add(readGrace + time.Duration(bytes/readRate)*time.Second))
}

// writer notes what becomes of the response.
type writer struct {
	http.ResponseWriter
	status int // 0 before the header is written
	bytes  int64
}

func (w *writer) WriteHeader(status int) {
	w.ResponseWriter.WriteHeader(status) // panics if there is no such status, and then nothing is written
	// Informational ones precede the header.
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
}

func (w *writer) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// ReadFrom lets io.Copy reach net/http's own way of sending files.
func (w *writer) ReadFrom(r io.Reader) (int64, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := io.Copy(w.ResponseWriter, r)
	w.bytes += n
	return n, err
}

// Flush does nothing where nothing can be flushed.
func (w *writer) Flush() {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
