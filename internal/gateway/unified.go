package gateway

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"parley/internal/remote"
	"parley/matrix/canonjson"
)

// mostUnified is how many bytes a message of UnifiedPush may have.
const mostUnified = 4096

// mostEndpoint is how long the URL of an endpoint may be.
const mostEndpoint = 1000

// mayBeEndpoint reports whether a text is a URL of the form that endpoints have.
func mayBeEndpoint(text string) bool {
	u, err := url.Parse(text)
	return err == nil && len(text) <= mostEndpoint && u.Scheme == "https" && u.Host != "" && u.User == nil
}

// An endpoint is what was found out of a URL: whether it is an endpoint of
// UnifiedPush, and until when that is believed.
type endpoint struct {
	is    bool
	until time.Time
}

func (endpoint) weight() int { return 400 }

// For how long it is believed that a URL is an endpoint, and that it is none.
const (
	endpointAge = 24 * time.Hour
	strangerAge = 10 * time.Minute
)

// unified passes a notification on to an endpoint of UnifiedPush, as it would have
// been sent to the gateway for that device alone. What is too long for one goes without
// the content of the event.
// https://unifiedpush.org/developers/gateway/
func (g *Gateway) unified(ctx context.Context, n canonjson.Value, d device) error {
	if !mayBeEndpoint(d.key) {
		return errRejected
	}
	if err := g.discover(ctx, d.key); err != nil {
		return err
	}
	message := unifiedMessage(n, d)
	if len(message) > mostUnified {
		brief := pick(canonjson.Value(`{}`), n, "event_id", "room_id", "prio", "counts")
		if message = unifiedMessage(brief, d); len(message) > mostUnified {
			return errRejected // its names alone are too long
		}
	}
	urgency := "normal"
	if urgent(n) {
		urgency = "high"
	}
	resp, err := g.ask(ctx, remote.Request{
		Method: http.MethodPost, URL: d.key, Body: message,
		Header: http.Header{"Content-Type": {"application/json"}, "TTL": {timeToLive}, "Urgency": {urgency}, "User-Agent": {agent}},
	})
	if err != nil {
		return err
	}
	err = outcome(d.key, resp, http.StatusNotFound, http.StatusGone)
	if err != nil { // it may be an endpoint no more
		g.endpoints.Change(d.key, func(endpoint) endpoint { return endpoint{} })
	}
	return err
}

const (
	agent = "parley"
	// timeToLive is for how many seconds a service keeps what it cannot deliver.
	timeToLive = "43200"
)

func unifiedMessage(n canonjson.Value, d device) []byte {
	devices := append(append([]byte{'['}, d.whole...), ']')
	return canonjson.Value(`{}`).With("notification", n.With("devices", devices))
}

// discover rejects a URL that is no endpoint of UnifiedPush.
func (g *Gateway) discover(ctx context.Context, target string) error {
	if known, ok := g.endpoints.Get(target); ok && time.Now().Before(known.until) {
		if !known.is {
			return errRejected
		}
		return nil
	}
	resp, err := g.ask(ctx, remote.Request{Method: http.MethodGet, URL: target, Header: http.Header{"Accept": {"application/json"}, "User-Agent": {agent}}})
	if err != nil {
		return err
	}
	if resp.Status >= 500 || resp.Status == http.StatusTooManyRequests {
		return outcome(target, resp)
	}
	answer, err := canonjson.Canonical(resp.Body, canonjson.Lenient)
	version, isInt := answer.Get("unifiedpush").Get("version").Int()
	if err != nil || resp.Status != http.StatusOK || !isInt || version < 1 {
		g.endpoints.Put(target, endpoint{false, time.Now().Add(strangerAge)})
		return errRejected
	}
	g.endpoints.Put(target, endpoint{true, time.Now().Add(endpointAge)})
	return nil
}
