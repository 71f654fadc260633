package gateway

import (
	"context"
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"parley/internal/remote"
	"parley/matrix/canonjson"
)

// APNs is the credentials of an app for the service of Apple.
// https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns
type APNs struct {
	topic, keyID, teamID, host string
	key                        *ecdsa.PrivateKey
	token                      token
}

// The hosts of the service, for apps of its store, and for those that are being made.
const (
	apnsHost    = "api.push.apple.com"
	apnsSandbox = "api.sandbox.push.apple.com"
)

// NewAPNs returns credentials: the topic, which is the ID of the app's bundle, and a key
// in PEM with its ID and that of the team.
func NewAPNs(topic string, key []byte, keyID, teamID string, sandbox bool) (*APNs, error) {
	private, err := jwt.ParseECPrivateKeyFromPEM(key)
	if err != nil {
		return nil, errors.New("the key for APNs is not one of P-256 in PEM")
	}
	a := &APNs{topic: topic, keyID: keyID, teamID: teamID, host: apnsHost, key: private}
	if sandbox {
		a.host = apnsSandbox
	}
	return a, nil
}

// A token is good for some time.
type token struct {
	mu    sync.Mutex
	text  string
	until time.Time
}

// get returns the token, or has one made.
func (t *token) get(renew func() (text string, until time.Time, err error)) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.text != "" && time.Now().Before(t.until) {
		return t.text, nil
	}
	var err error
	t.text, t.until, err = renew()
	return t.text, err
}

// forget has the next one made anew.
func (t *token) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = ""
}

// apnsTokenAge is for how long a token is used: the service wants another one after an
// hour, and none sooner than after twenty minutes.
const apnsTokenAge = 50 * time.Minute

func (a *APNs) sign() (string, time.Time, error) {
	now := time.Now()
	t := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": a.teamID, "iat": now.Unix()})
	t.Header["kid"] = a.keyID
	text, err := t.SignedString(a.key)
	if err != nil {
		err = fmt.Errorf("signing a token for APNs: %w", err)
	}
	return text, now.Add(apnsTokenAge), err
}

// apns tells a device of Apple.
func (g *Gateway) apns(ctx context.Context, a *APNs, n canonjson.Value, d device) error {
	address, err := base64.StdEncoding.DecodeString(d.key)
	if err != nil || len(address) == 0 || len(address) > 100 {
		return errRejected
	}
	bearer, err := a.token.get(a.sign)
	if err != nil {
		return err
	}
	priority := "5"
	if urgent(n) {
		priority = "10"
	}
	target := "https://" + a.host + "/3/device/" + hex.EncodeToString(address)
	resp, err := g.ask(ctx, remote.Request{
		Method: http.MethodPost, URL: target, Body: apnsPayload(n, d.data),
		Header: http.Header{
			"Authorization": {"bearer " + bearer}, "Content-Type": {"application/json"}, "Apns-Topic": {a.topic},
			"Apns-Push-Type": {"alert"}, "Apns-Priority": {priority}, "User-Agent": {agent},
		},
	})
	if err != nil {
		return err
	}
	answer, _ := canonjson.Canonical(resp.Body, canonjson.Lenient)
	reason, _ := answer.Get("reason").Text()
	switch reason {
	case "BadDeviceToken", "DeviceTokenNotForTopic", "Unregistered", "ExpiredToken":
		return errRejected
	case "ExpiredProviderToken", "InvalidProviderToken":
		a.token.forget()
	}
	if err = outcome(target, resp, http.StatusGone); err != nil && !errors.Is(err, errRejected) {
		g.o.Log.Warn("a notification was not taken by APNs", "app", d.appID, "status", resp.Status, "reason", reason)
	}
	return err
}

// apnsPayload is what a device of Apple gets. What its data says that it is to get
// anyway has the way to show it; otherwise it is shown as it is.
func apnsPayload(n, data canonjson.Value) []byte {
	message := defaultPayload(data)
	aps := message.Get("aps")
	if aps.Kind() != canonjson.Object {
		aps = canonjson.Value(`{}`)
	}
	if unread := n.Get("counts").Get("unread"); unread != nil {
		aps = aps.With("badge", unread)
		message = message.With("unread_count", unread)
	}
	message = pick(message, n.Get("counts"), "missed_calls")
	if n.Get("event_id") == nil {
		return message.With("aps", aps.Without("alert", "sound", "mutable-content", "content-available"))
	}
	message = pick(message, n, "room_id", "event_id")
	if aps.Get("alert") == nil {
		aps = aps.With("alert", alert(n))
	}
	return message.With("aps", aps)
}

// mostShown is how many characters of a text are shown.
const mostShown = 200

// alert is what is shown of an event to who can show nothing better.
func alert(n canonjson.Value) canonjson.Value {
	text := func(v canonjson.Value, otherwise string) canonjson.Value {
		s, _ := v.Text()
		if s == "" {
			s = otherwise
		}
		runes := []rune(s)
		return canonjson.Text(string(runes[:min(mostShown, len(runes))]))
	}
	title, _ := n.Get("sender_display_name").Text()
	if title == "" {
		title, _ = n.Get("sender").Text()
	}
	return canonjson.Value(`{}`).With("title", text(n.Get("room_name"), title)).With("body", text(n.Get("content").Get("body"), "New message"))
}
