package appservice

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// queryTime is how long services may take to make what they are asked for, while somebody
// waits for it, and mostQueries how many may wait so. Everybody may look for a profile.
const (
	queryTime   = 20 * time.Second
	mostQueries = 64
)

// Exists reports whether there is a user of this server, after a service to which the
// user belongs was given the opportunity to make one.
// https://spec.matrix.org/v1.19/application-service-api/#querying
func (s *Services) Exists(ctx context.Context, user id.UserID) (bool, error) {
	exists, err := s.Known(ctx, user)
	if err != nil || exists || user.Server() != s.Server {
		return exists, err
	}
	name := url.PathEscape(string(user))
	if !s.offer(ctx, func(service *Service) bool { return service.Owns(user) }, "/users/"+name) {
		return false, nil
	}
	return s.Known(ctx, user)
}

// Expect gives the services to which some users belong, if there are any, the
// opportunity to make them, all within the time for one.
func (s *Services) Expect(ctx context.Context, users []id.UserID) error {
	began := time.Now()
	for _, user := range users {
		owned := slices.ContainsFunc(s.Set().All(), func(service *Service) bool { return service.Owns(user) })
		if !owned || time.Since(began) > queryTime {
			continue
		}
		if _, err := s.Exists(ctx, user); err != nil {
			return err
		}
	}
	return nil
}

// Resolve returns the room that an alias of this server leads to, after a service whose
// alias it could be was given the opportunity to make it, or [mxerr.NotFound].
func (s *Services) Resolve(ctx context.Context, alias id.RoomAlias) (id.RoomID, error) {
	roomID, err := s.Aliases.Resolve(ctx, alias)
	if !errors.Is(err, mxerr.NotFound) || alias.Server() != s.Server {
		return roomID, err
	}
	name := url.PathEscape(string(alias))
	if !s.offer(ctx, func(service *Service) bool { return service.OwnsAlias(alias) }, "/rooms/"+name) {
		return "", err
	}
	return s.Aliases.Resolve(ctx, alias)
}

// offer asks the services of a kind, one after the other, until one says that there is
// now what it is asked for. Those that are down are not asked, and nobody is while too
// many wait for an answer.
func (s *Services) offer(ctx context.Context, which func(*Service) bool, path string) bool {
	if !slices.ContainsFunc(s.Set().All(), which) {
		return false
	}
	defer s.queries.Add(-1)
	if s.queries.Add(1) > mostQueries {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	for _, service := range s.Set().All() {
		if service.URL == "" || !which(service) || s.isDown(service) {
			continue
		}
		answer, err := s.call(ctx, service, request{method: http.MethodGet, path: "/_matrix/app/v1" + path, old: path})
		if err == nil && answer.ok() {
			return true
		}
		if err != nil && ctx.Err() == nil {
			s.Log.Debug("an application service does not answer whether it has something", "appservice", service.ID, "err", err)
		}
	}
	return false
}

// isDown reports whether a service does not take what it is told, for now.
func (s *Services) isDown(service *Service) bool {
	w := s.worker(service)
	return w != nil && w.stats.down.Load()
}

// Ping asks a service whether it is there, and returns how long that took. The refusals
// say what is wrong: [mxerr.URLNotSet], [mxerr.ConnectionFailed],
// [mxerr.ConnectionTimeout], [mxerr.BadStatus].
// https://spec.matrix.org/v1.19/application-service-api/#pinging
func (s *Services) Ping(ctx context.Context, service *Service, txn string) (time.Duration, error) {
	if service.URL == "" {
		return 0, mxerr.New(mxerr.URLNotSet, "The application service has no URL")
	}
	body := canonjson.Value("{}")
	if txn != "" {
		body = body.With("transaction_id", canonjson.Text(txn))
	}
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	began := time.Now()
	answer, err := s.call(ctx, service, request{method: http.MethodPost, path: "/_matrix/app/v1/ping", body: body})
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return 0, mxerr.New(mxerr.ConnectionTimeout, "The application service does not answer in time").Wrap(err)
	case err != nil:
		return 0, mxerr.New(mxerr.ConnectionFailed, "The application service cannot be reached").Wrap(err)
	case !answer.ok():
		return 0, mxerr.New(mxerr.BadStatus, "The application service answers with status %d", answer.Status).
			With("status", answer.Status).With("body", excerpt(answer.Body))
	}
	s.Heard(service)
	return time.Since(began), nil
}

// excerpt is the beginning of a body, for people.
func excerpt(body []byte) string { return string(body[:min(len(body), 4096)]) }
