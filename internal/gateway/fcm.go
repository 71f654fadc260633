package gateway

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"parley/internal/remote"
	"parley/matrix/canonjson"
)

// FCM is the credentials of an app for the service of Google.
// https://firebase.google.com/docs/cloud-messaging/send/v1-api
type FCM struct {
	project, email, tokens string
	key                    *rsa.PrivateKey
	keyID                  string
	token                  token
}

const (
	fcmHost  = "fcm.googleapis.com"
	fcmScope = "https://www.googleapis.com/auth/firebase.messaging"
)

// NewFCM returns credentials, which are the JSON of a service account.
func NewFCM(account []byte) (*FCM, error) {
	var a struct {
		Project string `json:"project_id"`
		KeyID   string `json:"private_key_id"`
		Key     string `json:"private_key"`
		Email   string `json:"client_email"`
		Tokens  string `json:"token_uri"`
	}
	if err := json.Unmarshal(account, &a); err != nil || a.Project == "" || a.Email == "" || a.Tokens == "" {
		return nil, errors.New("this is no service account: it has no project_id, client_email and token_uri")
	}
	key, err := jwt.ParseRSAPrivateKeyFromPEM([]byte(a.Key))
	if err != nil {
		return nil, errors.New("the private_key of the service account is none of RSA in PEM")
	}
	return &FCM{project: a.Project, email: a.Email, tokens: a.Tokens, key: key, keyID: a.KeyID}, nil
}

// login gets a token from Google with a signed assertion.
// https://developers.google.com/identity/protocols/oauth2/service-account#httprest
func (g *Gateway) login(ctx context.Context, f *FCM) (string, time.Time, error) {
	now := time.Now()
	t := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": f.email, "scope": fcmScope, "aud": f.tokens, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})
	t.Header["kid"] = f.keyID
	assertion, err := t.SignedString(f.key)
	if err != nil {
		return "", now, fmt.Errorf("signing an assertion for FCM: %w", err)
	}
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}}
	resp, err := g.ask(ctx, remote.Request{
		Method: http.MethodPost, URL: f.tokens, Body: []byte(form.Encode()),
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "User-Agent": {agent}},
	})
	if err == nil {
		err = outcome(f.tokens, resp)
	}
	if err != nil {
		return "", now, fmt.Errorf("getting a token for FCM: %w", err)
	}
	var answer struct {
		Token   string `json:"access_token"`
		Seconds int64  `json:"expires_in"`
	}
	if err := json.Unmarshal(resp.Body, &answer); err != nil || answer.Token == "" {
		return "", now, errors.New("getting a token for FCM: there is none in the answer")
	}
	return answer.Token, now.Add(time.Duration(answer.Seconds)*time.Second - time.Minute), nil
}

// fcm tells a device through the service of Google.
func (g *Gateway) fcm(ctx context.Context, f *FCM, n canonjson.Value, d device) error {
	if len(d.key) == 0 || len(d.key) > mostEndpoint {
		return errRejected
	}
	bearer, err := f.token.get(func() (string, time.Time, error) { return g.login(ctx, f) })
	if err != nil {
		return err
	}
	target := "https://" + fcmHost + "/v1/projects/" + url.PathEscape(f.project) + "/messages:send"
	resp, err := g.ask(ctx, remote.Request{
		Method: http.MethodPost, URL: target, Body: fcmMessage(n, d),
		Header: http.Header{"Authorization": {"Bearer " + bearer}, "Content-Type": {"application/json"}, "User-Agent": {agent}},
	})
	if err != nil {
		return err
	}
	if resp.Status == http.StatusUnauthorized {
		f.token.forget()
	}
	answer, _ := canonjson.Canonical(resp.Body, canonjson.Lenient)
	for detail := range answer.Get("error").Get("details").Elements() {
		if code := detail.Get("errorCode"); code.Is("UNREGISTERED") || code.Is("SENDER_ID_MISMATCH") {
			return errRejected
		}
	}
	if err = outcome(target, resp, http.StatusNotFound); err != nil && !errors.Is(err, errRejected) {
		g.o.Log.Warn("a notification was not taken by FCM", "app", d.appID, "status", resp.Status)
	}
	return err
}

// fcmMessage is what a device gets: all is text, and the app shows it.
func fcmMessage(n canonjson.Value, d device) []byte {
	data := canonjson.Value(`{}`)
	for name, v := range Payload(n, d.data).Members() {
		if v.Kind() == canonjson.Object || v.Kind() == canonjson.Array {
			continue // the content of the event: the app fetches it
		}
		key, _ := name.Text()
		text, isText := v.Text()
		if !isText {
			text = string(v)
		}
		data = data.With(key, canonjson.Text(text))
	}
	priority := canonjson.Text("NORMAL")
	if urgent(n) {
		priority = canonjson.Text("HIGH")
	}
	android := canonjson.Value(`{}`).With("priority", priority).With("ttl", canonjson.Text(timeToLive+"s"))
	message := canonjson.Value(`{}`).With("token", canonjson.Text(d.key)).With("data", data).With("android", android)
	return canonjson.Value(`{}`).With("message", message)
}
