package endpoint

import (
	"context"
	"maps"
	"net/http"
	"runtime/debug"
	"time"

	"parley/matrix/mxerr"
)

// An exchange is one request on its way through the table.
type exchange struct {
	table   *Table
	request *http.Request
	writer  writer
	lookup  lookup
	caller  Caller
	content content
	start   time.Time
	release []func() // what frees what the exchange holds

	admitted bool // who calls may call the route
	canceled bool // as in Observation
	abort    bool // the connection has to break off
}

func (t *Table) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{table: t, request: r, writer: writer{ResponseWriter: w}, start: time.Now()}
	defer x.finish()
	x.begin()
	if r.Method == http.MethodOptions {
		x.preflight()
	} else if err := x.serve(); err != nil {
		x.drain()
		x.fail(err)
	}
}

// begin sets what is known before anything is looked at. All responses share the
// values of the common headers; adding to one makes a copy.
func (x *exchange) begin() {
	h := x.writer.Header()
	maps.Copy(h, x.table.common)
	x.caller.Addr = x.table.clientAddr(x.request)
	if x.table.config.NewRequestID != nil {
		x.caller.RequestID = x.table.config.NewRequestID()
		h["X-Request-Id"] = []string{x.caller.RequestID}
	}
}

// preflight answers OPTIONS, for unknown paths too, since a browser shows a web
// client the 404 only if it could ask whether it may ask.
func (x *exchange) preflight() {
	x.writer.Header().Set("Access-Control-Max-Age", "86400")
	x.writer.WriteHeader(http.StatusNoContent)
}

func (x *exchange) serve() error {
	if err := x.find(); err != nil {
		return err
	}
	if err := x.authenticate(); err != nil {
		return err
	}
	x.admitted = true
	if err := x.limitRate(); err != nil {
		return err
	}
	if x.lookup.route.Waits {
		if err := x.wait(); err != nil {
			return err
		}
	}
	return x.lookup.route.serve(x)
}

// wait is called for a request that may wait for news.
func (x *exchange) wait() error {
	if user := x.caller.UserID; user != "" && !x.caller.Unlimited {
		if !x.table.waiting.begin(user) {
			return mxerr.New(mxerr.LimitExceeded, "Too many requests wait for news already").With(retryAfterMS, int64(5000))
		}
		x.release = append(x.release, func() { x.table.waiting.end(user) })
	}
	if x.table.config.Stopping != nil {
		x.endWith(x.table.config.Stopping)
	}
	if watcher, ok := x.lookup.route.Realm.(Watcher); ok && x.caller.UserID != "" {
		changed, stop := watcher.Watch(x.caller)
		x.release = append(x.release, stop)
		x.endWith(changed)
		return x.authenticate() // by what is so now
	}
	return nil
}

// endWith has the request's context end with another one, too.
func (x *exchange) endWith(stopping context.Context) {
	ctx, cancel := context.WithCancelCause(x.request.Context())
	unwatch := context.AfterFunc(stopping, func() { cancel(ErrStopping) })
	x.release = append(x.release, func() {
		unwatch()
		cancel(nil)
	})
	x.request = x.request.WithContext(ctx)
}

// finish is deferred: it ends a panic of what was called.
func (x *exchange) finish() {
	switch v := recover(); v {
	case nil:
	case http.ErrAbortHandler:
		x.abort = true
	default:
		x.table.log.ErrorContext(x.request.Context(), "panic in a handler",
			append(x.logAttrs(), "panic", v, "stack", string(debug.Stack()))...)
		x.answerFault()
	}
	for _, release := range x.release {
		release()
	}
	if x.table.config.Observe != nil {
		x.table.config.Observe(x.observation())
	}
	if x.abort {
		panic(http.ErrAbortHandler) // the only way to tell net/http
	}
}

func (x *exchange) observation() Observation {
	o := Observation{
		Method:   x.request.Method,
		Status:   x.writer.status,
		Canceled: x.canceled,
		Bytes:    x.writer.bytes,
		Duration: time.Since(x.start),
		Caller:   x.caller,
	}
	if o.Status == 0 {
		o.Status = http.StatusOK // what net/http sends for a handler that wrote nothing
	}
	if x.lookup.route != nil {
		o.Route = x.lookup.route.Pattern
	}
	return o
}

// logAttrs is what the log says of every request it mentions.
func (x *exchange) logAttrs() []any {
	attrs := []any{"method", x.request.Method}
	if x.lookup.route != nil {
		attrs = append(attrs, "route", x.lookup.route.Pattern)
	}
	if x.caller.RequestID != "" {
		attrs = append(attrs, "request", x.caller.RequestID)
	}
	if x.caller.UserID != "" {
		attrs = append(attrs, "user", x.caller.UserID)
	}
	if x.caller.Server != "" {
		attrs = append(attrs, "origin", x.caller.Server)
	}
	return attrs
}
