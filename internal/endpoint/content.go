package endpoint

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"

	"parley/matrix/canonjson"
	"parley/matrix/mxerr"
)

// firstBuffer is the most that is allocated for a body on the word of its
// Content-Length alone.
const firstBuffer = 64 << 10

// content is the body of a request as JSON.
type content struct {
	read    bool
	limited bool
	// unlimited is the body without its limit, if it has got one.
	unlimited io.Reader
	value     canonjson.Value // nil for an empty body
	err       error
}

// readContent reads and checks the body at its first call, and returns the same
// at every later one.
func (x *exchange) readContent() (canonjson.Value, error) {
	if !x.content.read {
		x.content.read = true
		x.content.value, x.content.err = x.parseContent()
	}
	return x.content.value, x.content.err
}

// restoreBody lets a handler read the body that was read to find out who calls.
func (x *exchange) restoreBody() {
	if x.content.read {
		x.request.Body = io.NopCloser(bytes.NewReader(x.content.value))
	}
}

func (x *exchange) parseContent() (canonjson.Value, error) {
	body, err := x.readBody()
	if err != nil {
		return nil, err
	}
	if len(bytes.Trim(body, " \t\r\n")) == 0 {
		return nil, nil
	}
	value, err := canonjson.Canonical(body, canonjson.Lenient)
	if err != nil {
		return nil, mxerr.New(mxerr.NotJSON, "%v", err)
	}
	return value, nil
}

func (x *exchange) readBody() ([]byte, error) {
	length, limit := x.request.ContentLength, x.lookup.route.BodyLimit
	if length > limit {
		return nil, tooLarge(limit)
	}
	x.limitBody()
	var buf bytes.Buffer
	if length > 0 {
		// ReadFrom wants room to see the end.
		buf.Grow(int(min(length, firstBuffer)) + bytes.MinRead)
	}
	if _, err := buf.ReadFrom(x.request.Body); err != nil {
		return nil, x.readError(err)
	}
	return buf.Bytes(), nil
}

// mostDrained is up to which length the body of a request that is refused is read all
// the same. Of somebody who is known it is twice what the route takes, if that is more.
const mostDrained = 8 << 20

// drain reads what is left of the body of a request that is refused: most clients send
// all of it before they look for an answer, and would find the connection broken. Over
// HTTP/2 one can refuse in the middle, and who asks before sending is told not to. What
// is longer still is not waited for, nor is who may not call the route at all.
func (x *exchange) drain() {
	r, most := x.request, int64(mostDrained)
	if x.caller.UserID != "" && x.lookup.route != nil {
		most = max(most, 2*x.lookup.route.BodyLimit)
	}
	switch {
	case !x.admitted || r.ProtoMajor != 1 || r.Header.Get("Expect") != "" || x.writer.status != 0 || r.Body == nil || r.Context().Err() != nil:
		return
	case r.ContentLength > most:
		x.writer.Header().Set("Connection", "close")
		return
	}
	body := io.Reader(r.Body)
	if x.content.limited {
		body = x.content.unlimited
	}
	if n, _ := io.CopyN(io.Discard, body, most); n > 0 { // fails at the end, or if the client has gone
		x.allowTime(0)
	}
}

// limitBody makes reading of the body end at the route's limit.
func (x *exchange) limitBody() {
	if x.content.limited {
		return
	}
	x.content.limited = true
	if x.request.Body == nil {
		x.request.Body = http.NoBody
	}
	x.content.unlimited = x.request.Body
	// It is net/http's own writer that knows how to end the connection.
	x.request.Body = http.MaxBytesReader(x.writer.ResponseWriter, x.request.Body, x.lookup.route.BodyLimit)
}

// readError says what an error from reading the body means: never a fault of
// ours.
func (x *exchange) readError(err error) error { return ReadError(x.request.Context(), err) }

// ReadError says what an error from reading the body of a request with a context
// means: never a fault of ours. It is for a [Streamer]; nil and io.EOF stay as they
// are.
func ReadError(ctx context.Context, err error) error {
	var large *http.MaxBytesError
	switch {
	case err == nil, err == io.EOF:
		return err
	case errors.As(err, &large):
		return tooLarge(large.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded): // net/http ends the context, too
		return mxerr.New(mxerr.Unknown, "The body did not arrive in time").
			WithStatus(http.StatusRequestTimeout).Wrap(err)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return mxerr.New(mxerr.Unknown, "The body could not be read").WithStatus(http.StatusBadRequest).Wrap(err)
}

func tooLarge(limit int64) error {
	return mxerr.New(mxerr.TooLarge, "The body is larger than %d bytes", limit).
		WithStatus(http.StatusRequestEntityTooLarge)
}
