package endpoint

import (
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"strconv"

	"parley/matrix/mxerr"
)

// retryAfterMS is the member of M_LIMIT_EXCEEDED that Retry-After replaces.
const retryAfterMS = "retry_after_ms"

// longestMessage is how many bytes of a message are sent. Handlers need not
// think of how long that is which they repeat.
const longestMessage = 500

// fail turns an error into the response. It is the one place where errors of
// handlers end: refusals go to the client, faults to the log.
func (x *exchange) fail(err error) {
	if x.writer.status != 0 {
		x.breakOff(err)
		return
	}
	var refusal *mxerr.Error
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &refusal) && refusal != nil:
		x.refuse(refusal, err)
	case errors.As(err, &large):
		x.fail(tooLarge(large.Limit))
	case x.request.Context().Err() != nil:
		// Mostly nobody reads this. When the server ends, clients do, and
		// learn that they may try again.
		x.canceled = true
		x.table.log.DebugContext(x.request.Context(), "request canceled", append(x.logAttrs(), "err", err)...)
		x.answer(mxerr.New(mxerr.Unknown, "The request was cancelled").WithStatus(http.StatusServiceUnavailable))
	default:
		x.table.log.ErrorContext(x.request.Context(), "request failed", append(x.logAttrs(), "err", err)...)
		x.answerFault()
	}
}

// breakOff is for errors that come when the response has begun.
func (x *exchange) breakOff(err error) {
	x.abort = true
	if x.request.Context().Err() != nil {
		x.canceled = true
		return
	}
	x.table.log.ErrorContext(x.request.Context(), "response broken off", append(x.logAttrs(), "err", err)...)
}

// answerFault says to the client that something is wrong here, and no more.
func (x *exchange) answerFault() {
	if x.writer.status != 0 {
		x.abort = true
		return
	}
	x.answer(mxerr.New(mxerr.Unknown, "Internal server error").WithStatus(http.StatusInternalServerError))
}

// refuse answers with a refusal. The log sees its cause if it has one and if
// such details are wanted.
func (x *exchange) refuse(refusal *mxerr.Error, err error) {
	ctx := x.request.Context()
	if errors.Unwrap(refusal) != nil && x.table.log.Enabled(ctx, slog.LevelDebug) {
		x.table.log.DebugContext(ctx, "request refused", append(x.logAttrs(), "err", err)...)
	}
	if refusal.Status < 400 || refusal.Status > 599 {
		refusal = refusal.WithStatus(refusal.Code.Status())
	}
	x.answer(refusal)
}

// answer writes an error, without escapes for HTML and therefore not by
// its own MarshalJSON.
func (x *exchange) answer(e *mxerr.Error) {
	x.dropHeaders(e.Status)
	body := make(map[string]any, len(e.Fields)+2)
	maps.Copy(body, e.Fields)
	if e.Code != "" {
		body["errcode"], body["error"] = e.Code, clip(e.Message, longestMessage)
	}
	if e.Status == http.StatusTooManyRequests {
		if ms, ok := milliseconds(e.Fields[retryAfterMS]); ok {
			x.writer.Header().Set("Retry-After", strconv.FormatInt(max(1, (ms+999)/1000), 10))
		}
	}
	if err := x.writeJSON(e.Status, body); err != nil { // a member of it cannot be encoded
		x.table.log.ErrorContext(x.request.Context(), "request refused, but not as meant",
			append(x.logAttrs(), "refusal", e, "err", err)...)
		x.answerFault()
	}
}

// dropHeaders takes back what a handler said of a response that did not come
// about.
func (x *exchange) dropHeaders(status int) {
	h := x.writer.Header()
	for _, name := range [...]string{"Cache-Control", "Content-Disposition", "Content-Encoding", "Etag", "Last-Modified", "Location"} {
		delete(h, name)
	}
	if status != http.StatusRequestedRangeNotSatisfiable { // which has it to say how much there is
		delete(h, "Content-Range")
	}
}

func milliseconds(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case int:
		return int64(v), true
	}
	return 0, false
}
