package gateway

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	webpush "github.com/SherClockHolmes/webpush-go"

	"parley/internal/remote"
	"parley/matrix/canonjson"
)

// A Key is one of P-256 by which push services know a server again: VAPID.
// https://www.rfc-editor.org/rfc/rfc8292
type Key struct{ private, public string }

// ParseKey reads the private key as Private gives it.
func ParseKey(text string) (*Key, error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("a key for Web Push is in base64url")
	}
	private, err := ecdh.P256().NewPrivateKey(raw)
	if err != nil {
		return nil, errors.New("a key for Web Push is a number of P-256")
	}
	return &Key{text, base64.RawURLEncoding.EncodeToString(private.PublicKey().Bytes())}, nil
}

// NewKey makes a key.
func NewKey() (*Key, error) {
	private, public, err := webpush.GenerateVAPIDKeys()
	if err != nil {
		return nil, fmt.Errorf("making a key for Web Push: %w", err)
	}
	return &Key{private, public}, nil
}

// Private is the key as it is to be kept.
func (k *Key) Private() string { return k.private }

// Public is the public key as clients want it.
func (k *Key) Public() string { return k.public }

// A Subscription is where a browser, or an app, is reached by Web Push: an endpoint, and
// its public key and secret in base64url.
// https://www.rfc-editor.org/rfc/rfc8291
type Subscription struct{ Endpoint, Key, Auth string }

// Check reports what is wrong with a subscription.
func (s Subscription) Check() error {
	if !mayBeEndpoint(s.Endpoint) {
		return errors.New("the endpoint is no URL of HTTPS")
	}
	key, err := decode(s.Key)
	if err == nil {
		_, err = ecdh.P256().NewPublicKey(key)
	}
	if err != nil {
		return errors.New("the key is no public key of P-256 in base64url")
	}
	if auth, err := decode(s.Auth); err != nil || len(auth) != 16 {
		return errors.New("auth is not of 16 bytes in base64url")
	}
	return nil
}

// decode reads base64url, with padding or without, as browsers write it.
func decode(text string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(string(bytes.TrimRight([]byte(text), "=")))
}

// mostPayload is how many bytes fit into one message beside what the encryption adds.
const mostPayload = 4096 - 16 - 86 - 1

// WebPush sends something to a subscription, encrypted for it. Of what has the same
// topic, unless that is empty, only the last is kept while the device is away. An error
// is as for Notify, or says by [IsRejected] that there is no such subscription.
func (g *Gateway) WebPush(ctx context.Context, s Subscription, message []byte, urgent bool, topic string) error {
	if s.Check() != nil || len(message) > mostPayload {
		return errRejected
	}
	o := &webpush.Options{
		HTTPClient: client{g}, Subscriber: g.o.Contact, VAPIDPublicKey: g.o.Key.public, VAPIDPrivateKey: g.o.Key.private,
		Topic: topic, Urgency: webpush.UrgencyNormal,
	}
	o.TTL, _ = strconv.Atoi(timeToLive)
	if urgent {
		o.Urgency = webpush.UrgencyHigh
	}
	subscription := &webpush.Subscription{Endpoint: s.Endpoint, Keys: webpush.Keys{Auth: s.Auth, P256dh: s.Key}}
	resp, err := webpush.SendNotificationWithContext(ctx, message, subscription, o)
	if err != nil {
		return err
	}
	return outcome(s.Endpoint, remote.Response{Status: resp.StatusCode, Header: resp.Header}, http.StatusNotFound, http.StatusGone, http.StatusForbidden)
}

// IsRejected reports whether an error says that a subscription is not known any more.
func IsRejected(err error) bool { return errors.Is(err, errRejected) }

// client makes the requests of a library through the gateway's own client.
type client struct{ *Gateway }

func (c client) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	resp, err := c.ask(r.Context(), remote.Request{Method: r.Method, URL: r.URL.String(), Header: r.Header, Body: body})
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: resp.Status, Header: resp.Header, Body: http.NoBody}, nil
}

// Payload is what an app gets that shows a notification itself: what its data says that
// it is to get anyway, and on top of that what there is to say. If that is too long it
// goes without the content of the event.
func Payload(n, data canonjson.Value) canonjson.Value {
	message := pick(defaultPayload(data), n,
		"room_id", "room_name", "room_alias", "event_id", "sender", "sender_display_name", "user_is_target", "type", "prio", "content")
	message = pick(message, n.Get("counts"), "unread", "missed_calls")
	if len(message) > mostPayload {
		message = message.Without("content", "room_name", "room_alias", "sender_display_name")
	}
	return message
}

// defaultPayload is what an app wants to get with everything, by the data of its pusher.
func defaultPayload(data canonjson.Value) canonjson.Value {
	if v := data.Get("default_payload"); v.Kind() == canonjson.Object {
		return v
	}
	return canonjson.Value(`{}`)
}

// pick returns a message with those of some members of an object that are there.
func pick(message, from canonjson.Value, names ...string) canonjson.Value {
	for _, name := range names {
		if v := from.Get(name); v != nil {
			message = message.With(name, v)
		}
	}
	return message
}

// topic is that of the events of a room, for a device that wants to be told the last
// only.
func topic(n, data canonjson.Value) string {
	roomID, ok := n.Get("room_id").Text()
	if !ok || !data.Get("only_last_per_room").True() {
		return ""
	}
	sum := sha256.Sum256([]byte(roomID))
	return base64.RawURLEncoding.EncodeToString(sum[:24])
}
