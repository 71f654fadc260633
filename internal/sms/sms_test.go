package sms

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestSend(t *testing.T) {
	for _, tt := range []struct {
		status        int
		sent, refused bool
	}{{200, true, false}, {204, true, false}, {302, false, false}, {400, false, true}, {403, false, true}, {408, false, false}, {429, false, false}, {500, false, false}} {
		var asked string
		gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			asked = r.Method + " " + r.URL.Path + " " + r.Header.Get("Authorization") + " " + string(body)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(tt.status)
		}))
		s := New(Options{URL: gateway.URL + "/send", Token: "s3cret"})
		err := s.Send(t.Context(), "447700900001", "hello \"you\"")
		if (err == nil) != tt.sent || errors.Is(err, ErrRefused) != tt.refused {
			t.Errorf("%d: got %v", tt.status, err)
		}
		if want := `POST /send Bearer s3cret {"text":"hello \"you\"","to":"+447700900001"}`; asked != want {
			t.Errorf("%d: asked %s, want %s", tt.status, asked, want)
		}
		s.Close()
		gateway.Close()
		err = s.Send(t.Context(), "447700900001", "hello")
		if err == nil || errors.Is(err, ErrRefused) || strings.Contains(err.Error(), "4477") || strings.Contains(err.Error(), "/send") {
			t.Errorf("gone: got %v", err)
		}
	}
}
