package e2e

import (
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// A user has an account, and no devices yet.
type user struct {
	t        *testing.T
	name     string // as the scene calls them
	username string
	password string
	id       id.UserID
}

// newUser registers an account. Its name is new, so that scenes can be played
// more than once against one server.
func newUser(t *testing.T, name string) *user {
	t.Helper()
	u := &user{t: t, name: name, username: name + "-" + strings.ToLower(rand.Text()[:10]), password: rand.Text()}
	registered, err := register(client(t), u.username, u.password)
	if err != nil {
		t.Fatalf("%s registers as %s: %v", name, u.username, err)
	}
	u.id = registered.UserID
	return u
}

// register makes an account without a device, by the dummy stage, or by the
// token in PARLEY_E2E_REGISTRATION_TOKEN.
func register(c *mautrix.Client, username, password string) (*mautrix.RespRegister, error) {
	request := &mautrix.ReqRegister[any]{Username: username, Password: password, InhibitLogin: true}
	token := os.Getenv("PARLEY_E2E_REGISTRATION_TOKEN")
	if token == "" {
		return c.RegisterDummy(background, request)
	}
	_, stages, err := c.Register(background, request)
	if err != nil {
		return nil, err
	}
	if stages == nil {
		return nil, errors.New("registered without having to show the token")
	}
	request.Auth = map[string]string{"type": "m.login.registration_token", "token": token, "session": stages.Session}
	registered, stages, err := c.Register(background, request)
	if err == nil && stages != nil { // more than the token is wanted
		request.Auth = map[string]string{"type": "m.login.dummy", "session": stages.Session}
		registered, _, err = c.Register(background, request)
	}
	return registered, err
}

// client is nobody yet.
func client(t *testing.T) *mautrix.Client {
	t.Helper()
	c, err := mautrix.NewClient(os.Getenv("PARLEY_E2E_URL"), "", "")
	if err != nil {
		t.Fatalf("PARLEY_E2E_URL: %v", err)
	}
	c.Client = &http.Client{Timeout: patience + syncTimeout, Transport: watchful{t}}
	return c
}

// watchful is a transport on which a fault of the server fails the test, even
// if the SDK would have lived with it.
type watchful struct{ t *testing.T }

func (w watchful) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && answer.StatusCode >= 500 {
		body, _ := io.ReadAll(io.LimitReader(answer.Body, 4096))
		answer.Body = io.NopCloser(strings.NewReader(string(body)))
		w.t.Errorf("%s %s was answered with %s: %s", r.Method, r.URL, answer.Status, body)
	}
	return answer, err
}

// refused expects the error of a request that the server must not carry out: one
// of those wanted, by code and status.
func refused(t *testing.T, what string, err error, want ...mautrix.RespError) {
	t.Helper()
	var got mautrix.HTTPError
	if !errors.As(err, &got) || got.RespError == nil {
		t.Errorf("%s: got %v, want %v", what, err, want)
		return
	}
	for _, w := range want {
		if got.RespError.ErrCode == w.ErrCode && got.IsStatus(w.StatusCode) {
			return
		}
	}
	t.Errorf("%s: got %d %v, want %v", what, got.Response.StatusCode, err, want)
}
