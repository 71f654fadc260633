package remote

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// A Refusal is an answer of another server that is not a success.
type Refusal struct {
	Server id.ServerName
	Status int
	// Code is the errcode; empty if the answer had none, and so was perhaps not
	// that of a Matrix server.
	Code    mxerr.Code
	Message string
	// Body is the answer, if it was a JSON object.
	Body canonjson.Value
	// Location is where else to ask, if the answer says so.
	Location string
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("%s answers %d %s %q", r.Server, r.Status, r.Code, r.Message)
}

// Unwrap lets errors.Is find the code.
func (r *Refusal) Unwrap() error { return r.Code }

// refused makes an error of an answer that is no success. What comes from a
// server that does not work counts as not having reached it.
func (s *Servers) refused(ctx context.Context, c Call, resp *http.Response, began time.Time) error {
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, mostRefusal))
	if err != nil {
		return fmt.Errorf("reading why %s refuses %s: %w", c.Server, c.Path, err)
	}
	r := &Refusal{Server: c.Server, Status: resp.StatusCode, Location: resp.Header.Get("Location")}
	if object, err := canonjson.Canonical(raw, canonjson.Lenient); err == nil && object.Kind() == canonjson.Object {
		code, _ := object.Get("errcode").Text()
		r.Code, r.Body = mxerr.Code(code), object
		r.Message, _ = object.Get("error").Text()
	}
	switch {
	case r.Status == http.StatusTooManyRequests:
		s.health.Busy(c.Server, began, pauseAsked(resp.Header, r.Body))
	case r.Code == mxerr.NotYetUploaded || r.Code == mxerr.TooLarge: // is answered with 504 and 502
		s.health.Heard(ctx, c.Server)
	case r.Status >= 500 || r.Code == "":
		s.failed(c, began)
	default:
		s.health.Heard(ctx, c.Server)
	}
	return r
}

// pauseAsked returns for how long a server wants to be left alone.
func pauseAsked(h http.Header, body canonjson.Value) time.Duration {
	if seconds, err := strconv.ParseUint(h.Get("Retry-After"), 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	ms, _ := body.Get("retry_after_ms").Int()
	return time.Duration(min(max(ms, 0), int64(lastPause/time.Millisecond))) * time.Millisecond
}

// answer is the body of an answer, of bounded length.
type answer struct {
	body  io.ReadCloser
	left  int64
	leave func()
}

func (a *answer) Read(p []byte) (int, error) {
	if a.left < 0 {
		return 0, ErrTooLarge
	}
	// One byte more than it may have tells that it is too long.
	n, err := a.body.Read(p[:min(int64(len(p)), a.left+1)])
	if a.left -= int64(n); a.left < 0 {
		return n - 1, ErrTooLarge
	}
	return n, err
}

func (a *answer) Close() error {
	defer a.leave()
	return a.body.Close()
}
