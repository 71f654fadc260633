package appservice

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"parley/internal/remote"
	"parley/matrix/canonjson"
	"parley/matrix/mxerr"
)

// A request is one to a service.
type request struct {
	method string
	path   string // below its URL, with the query
	// old is the path from before there were versions, empty if there was none.
	// https://spec.matrix.org/v1.19/application-service-api/#legacy-routes
	old  string
	body canonjson.Value
}

// mostAnswer is how many bytes a service may answer with.
const mostAnswer = 1 << 20

// An answer is what a service has answered.
type answer struct{ remote.Response }

func (a answer) ok() bool { return a.Status >= 200 && a.Status < 300 }

// json is the content, nil if it is no JSON.
func (a answer) json() canonjson.Value {
	v, err := canonjson.Canonical(a.Body, canonjson.Lenient)
	if err != nil {
		return nil
	}
	return v
}

// unknown reports whether the service says that it knows no such path, which is not that
// it has not what was asked for.
func (a answer) unknown() bool {
	if a.Status != http.StatusNotFound && a.Status != http.StatusMethodNotAllowed && a.Status != http.StatusNotImplemented {
		return false
	}
	code := a.json().Get("errcode")
	return code == nil || code.Is(string(mxerr.Unrecognized))
}

// call makes a request of a service.
func (s *Services) call(ctx context.Context, service *Service, r request) (answer, error) {
	a, err := s.ask(ctx, service, r, r.path)
	if err == nil && r.old != "" && a.unknown() {
		if old, err := s.ask(ctx, service, r, r.old); err == nil && !old.unknown() {
			return old, nil
		}
	}
	return a, err
}

func (s *Services) ask(ctx context.Context, service *Service, r request, path string) (answer, error) {
	header := http.Header{"Authorization": {"Bearer " + service.hsToken}}
	if r.body != nil {
		header.Set("Content-Type", "application/json")
	}
	if s.QueryTokens {
		separator := "?"
		if strings.Contains(path, "?") {
			separator = "&"
		}
		path += separator + "access_token=" + url.QueryEscape(service.hsToken)
	}
	resp, err := s.Client.Do(ctx, remote.Request{Method: r.method, URL: service.URL + path, Header: header, Body: r.body, MaxBody: mostAnswer})
	return answer{resp}, err
}
