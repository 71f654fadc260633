package openapi

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Watch returns a handler that answers as h does, and fails the test when an
// answer is not as the specification has it.
func Watch(t testing.TB, h http.Handler) http.Handler {
	checker := sync.OnceValue(New)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.EscapedPath()
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, r)
		checker().Expect(t, Response{r.Method, path, r.URL.RawQuery, answer.Code, answer.Header(), answer.Body.Bytes()})
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		w.Write(answer.Body.Bytes())
	})
}

// Expect fails the test when a response is not as the specification has it.
func (c *Checker) Expect(t testing.TB, r Response) {
	for _, wrong := range c.Check(r) {
		t.Errorf("not as the specification has it: %s", wrong)
	}
}
