package mxerr

import (
	"encoding/json"
	"fmt"
	"maps"
)

// An Error is the answer to a request that is refused. Errors made by [New] can
// be shared: the methods that change something return a copy.
type Error struct {
	Code Code
	// Status is the HTTP status of the response.
	Status int
	// Message is for people and may be shown to anyone who can send requests.
	Message string
	// Fields are further members of the response, by name. They are encoded by
	// encoding/json; members called errcode and error are ignored.
	Fields map[string]any

	cause error
}

// New makes an error with the code's usual status and a formatted message. The
// message goes to the client: no %v of an error from inside, use Wrap for that.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Status: code.Status(), Message: fmt.Sprintf(format, args...)}
}

// WithStatus returns a copy with another HTTP status.
func (e *Error) WithStatus(status int) *Error {
	c := *e
	c.Status = status
	return &c
}

// With returns a copy with one more member in the response. A value that
// encoding/json cannot encode makes the whole response fail.
func (e *Error) With(key string, value any) *Error {
	c := *e
	c.Fields = maps.Clone(e.Fields)
	if c.Fields == nil {
		c.Fields = make(map[string]any, 1)
	}
	c.Fields[key] = value
	return &c
}

// Wrap returns a copy with the error that led to it, which only the log sees. It
// replaces a cause that was there. If the cause has a code of its own, errors.Is
// finds that too; errors.As finds this error.
func (e *Error) Wrap(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// Error includes the cause: it is for logs, not for responses.
func (e *Error) Error() string {
	s := string(e.Code)
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

// Unwrap returns the cause, nil if there is none.
func (e *Error) Unwrap() error { return e.cause }

// Is reports whether target is the same [Code] or an [*Error] with the same code,
// whatever its status, message and members.
func (e *Error) Is(target error) bool {
	switch target := target.(type) {
	case Code:
		return e.Code == target
	case *Error:
		return target != nil && e.Code == target.Code
	}
	return false
}

// MarshalJSON gives the body of the response: errcode, error and Fields. The
// status is not part of it, nor is the cause.
func (e *Error) MarshalJSON() ([]byte, error) {
	body := make(map[string]any, len(e.Fields)+2)
	maps.Copy(body, e.Fields)
	body["errcode"] = e.Code
	body["error"] = e.Message
	return json.Marshal(body)
}
