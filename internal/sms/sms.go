// Package sms sends text messages to telephones through a gateway of the operator:
// an HTTP address that takes them. What is in front of a telephone network differs
// so much that each gets a few lines of the operator's own.
//
// A message is a POST of
//
//	{"to": "+447700900001", "text": "123456 is your code for example.org."}
//
// with the operator's token, if there is one, as "Authorization: Bearer TOKEN". Any
// status from 200 to 299 means that the message was taken. Status 400 to 499 means
// that it will not be, except 408 and 429, which like all others mean that it is
// to be sent again later. Errors do not name the telephone.
package sms

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// ErrRefused is of a message that the gateway will not take, however often it is
// sent.
var ErrRefused = errors.New("the message is refused")

// Options say where the gateway is.
type Options struct {
	URL   string
	Token string // empty: none
	// Dial, if it is not nil, connects to the gateway.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// A Sender sends messages. It is safe for concurrent use.
type Sender struct {
	options Options
	client  *http.Client
}

// timeout is how long the gateway may take.
const timeout = 30 * time.Second

// New returns a sender.
func New(o Options) *Sender {
	t := &http.Transport{DialContext: o.Dial, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Sender{o, &http.Client{Transport: t, Timeout: timeout, CheckRedirect: stay}}
}

// Close ends connections that are not in use.
func (s *Sender) Close() { s.client.CloseIdleConnections() }

// Send gives a message to the gateway, for a number in digits with the code of its
// country. An error is [ErrRefused] if there is no use in sending it again.
func (s *Sender) Send(ctx context.Context, number, text string) error {
	body, err := json.Marshal(map[string]string{"to": "+" + number, "text": text})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.options.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	if s.options.Token != "" {
		r.Header.Set("Authorization", "Bearer "+s.options.Token)
	}
	resp, err := s.client.Do(r)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // without the URL, which can have a secret of its own
		}
		return fmt.Errorf("asking the SMS gateway: %w", err)
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	switch {
	case resp.StatusCode >= 200 && resp.StatusCode <= 299:
		return nil
	case resp.StatusCode >= 400 && resp.StatusCode <= 499 && resp.StatusCode != http.StatusRequestTimeout && resp.StatusCode != http.StatusTooManyRequests:
		return fmt.Errorf("the SMS gateway answers with status %d: %w", resp.StatusCode, ErrRefused)
	}
	return fmt.Errorf("the SMS gateway answers with status %d", resp.StatusCode)
}
