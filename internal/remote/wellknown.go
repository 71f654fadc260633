package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"parley/internal/cache"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// Bounds of what /.well-known/matrix/server may do to us.
const (
	wellKnownSize      = 50 << 10
	wellKnownTime      = 10 * time.Second
	wellKnownRedirects = 10
	wellKnownBytes     = 4 << 20 // in memory, of all servers
)

// For how long an answer is good: as the headers say, by default and at most as
// the specification says. A server that has no such file is asked again after an
// hour, one that could not be asked sooner.
const (
	wellKnownDefault = 24 * time.Hour
	wellKnownMost    = 48 * time.Hour
	wellKnownLeast   = 5 * time.Minute
	wellKnownNone    = time.Hour
	wellKnownFailed  = 10 * time.Minute
)

// delegations is which servers say that others speak for them.
type delegations struct {
	client *http.Client
	known  *cache.Cache[id.ServerName, delegation]
}

type delegation struct {
	to    id.ServerName // the server itself, if it says nothing
	until time.Time
}

func newDelegations(transport http.RoundTripper) delegations {
	client := &http.Client{
		Transport: transport,
		Timeout:   wellKnownTime,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			switch {
			case len(via) > wellKnownRedirects:
				return errors.New("too many redirects")
			case r.URL.Scheme != "https":
				return errors.New("a redirect away from HTTPS")
			}
			return nil
		},
	}
	return delegations{client, cache.New[id.ServerName](wellKnownBytes, func(delegation) int { return 300 })}
}

// of returns who speaks for a server, and until when it is known.
// https://spec.matrix.org/v1.19/server-server-api/#getwell-knownmatrixserver
func (d delegations) of(ctx context.Context, name id.ServerName) delegation {
	before, known := d.known.Get(name)
	if known && time.Now().Before(before.until) {
		return before
	}
	now := delegation{to: name}
	delegated, ttl, err := d.ask(ctx, name)
	switch {
	case err == nil:
		now.to = delegated
	case known && isTemporary(err):
		now.to = before.to // it moves seldom, and fails often
	}
	now.until = time.Now().Add(ttl)
	d.known.Put(name, now)
	return now
}

// A statusError is an answer that was not 200.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("status %d", int(e)) }

// isTemporary says whether an error is not an answer to the question.
func isTemporary(err error) bool {
	var status statusError
	if errors.As(err, &status) {
		return status >= 500 || status == http.StatusTooManyRequests
	}
	var failed *url.Error
	return errors.As(err, &failed)
}

// ask returns who speaks for a server. The time is for how long that, or the
// error, is good.
func (d delegations) ask(ctx context.Context, name id.ServerName) (to id.ServerName, ttl time.Duration, err error) {
	to, header, err := d.fetch(ctx, name)
	switch {
	case err == nil:
		return to, lifetime(header, time.Now()), nil
	case isTemporary(err):
		return "", wellKnownFailed, err
	}
	return "", wellKnownNone, err
}

func (d delegations) fetch(ctx context.Context, name id.ServerName) (id.ServerName, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+string(name)+"/.well-known/matrix/server", nil)
	if err != nil {
		return "", nil, err
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return "", nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", nil, statusError(resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, wellKnownSize+1))
	if err != nil {
		return "", nil, &url.Error{Op: "reading", URL: req.URL.String(), Err: err}
	}
	to, err := parseWellKnown(body)
	return to, resp.Header, err
}

// parseWellKnown returns the server that is named in the body of an answer.
func parseWellKnown(body []byte) (id.ServerName, error) {
	if len(body) > wellKnownSize {
		return "", errors.New("the answer is too long")
	}
	object, err := canonjson.Canonical(body, canonjson.Lenient)
	if err != nil {
		return "", err
	}
	text, ok := object.Get("m.server").Text()
	if !ok {
		return "", errors.New("there is no m.server")
	}
	return id.ParseServerName(text)
}

// lifetime returns for how long an answer is good by its headers.
// https://www.rfc-editor.org/rfc/rfc9111#section-4.2
func lifetime(h http.Header, now time.Time) time.Duration {
	ttl := wellKnownDefault
	if expires := h.Get("Expires"); expires != "" {
		ttl = 0 // one that cannot be read has passed
		if t, err := http.ParseTime(expires); err == nil {
			ttl = t.Sub(now)
		}
	}
	for directive := range strings.SplitSeq(strings.ToLower(strings.Join(h.Values("Cache-Control"), ",")), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch name {
		case "no-store", "no-cache":
			return wellKnownLeast
		case "max-age":
			if seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
				ttl = time.Duration(seconds) * time.Second
			}
		}
	}
	return min(max(ttl, wellKnownLeast), wellKnownMost)
}
