package loadgen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// A call is a request that sets up a scenario, in JSON.
type call struct {
	method, path string
	token        string
	body         any // nil for none
	result       any // where the response is decoded to; nil for nowhere
}

// refusal is a response that is an error of the Matrix specification.
type refusal struct {
	status int
	body   []byte

	Code         string `json:"errcode"`
	Message      string `json:"error"`
	RetryAfterMS int64  `json:"retry_after_ms"`
}

func (r *refusal) Error() string {
	if r.Code == "" {
		return fmt.Sprintf("status %d: %.200q", r.status, r.body)
	}
	return fmt.Sprintf("status %d, %s: %s", r.status, r.Code, r.Message)
}

func newRefusal(r response) *refusal {
	e := &refusal{status: r.status, body: append([]byte(nil), r.body...)}
	json.Unmarshal(r.body, e) // what is no JSON is told as it is
	return e
}

// wait returns how long a server that limits rates asks to wait.
func wait(r response) time.Duration {
	const most = time.Hour
	if r.retryAfter > 0 {
		return min(r.retryAfter, most)
	}
	if ms := newRefusal(r).RetryAfterMS; ms > 0 {
		return time.Duration(min(ms, most.Milliseconds())) * time.Millisecond
	}
	return time.Second
}

const (
	// setupPatience is how long a response may take that nothing is measured by.
	setupPatience = 2 * time.Minute
	// setupAttempts is how often a call is made that fails without a refusal.
	setupAttempts = 4
)

// do makes a call. It waits where the server limits rates, and tries again what
// fails for no reason of the call's own: calls can be repeated. The error is a
// *refusal if that is what the server answers.
func (k call) do(ctx context.Context, c *client) error {
	request, err := k.request(c.target)
	if err != nil {
		return err
	}
	for attempt := 1; ; {
		r, err := c.do(ctx, request, setupPatience)
		delay := 50 * time.Millisecond << attempt
		switch {
		case err != nil:
		case r.status == 200:
			return k.decode(r.body)
		case r.status == 429:
			delay = wait(r)
			attempt--
		default:
			err = newRefusal(r)
			if r.status < 500 {
				attempt = setupAttempts
			}
		}
		if attempt++; attempt > setupAttempts || ctx.Err() != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return fmt.Errorf("%s %s: %w", k.method, k.path, err)
		}
		if err := pause(ctx, delay); err != nil {
			return fmt.Errorf("%s %s: %w", k.method, k.path, err)
		}
	}
}

func (k call) request(t Target) ([]byte, error) {
	if k.body == nil {
		return []byte(t.head(k.method, k.path, k.token, -1)), nil
	}
	body, err := json.Marshal(k.body)
	if err != nil {
		return nil, err
	}
	return append([]byte(t.head(k.method, k.path, k.token, len(body))), body...), nil
}

func (k call) decode(body []byte) error {
	if k.result == nil {
		return nil
	}
	if err := json.Unmarshal(body, k.result); err != nil {
		return fmt.Errorf("%s %s: decoding the response: %w", k.method, k.path, err)
	}
	return nil
}

// refused returns the refusal that an error is, or nil.
func refused(err error) *refusal {
	var r *refusal
	errors.As(err, &r)
	return r
}
