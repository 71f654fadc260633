package killtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"parley/matrix/canonjson"
)

// errDead: no complete answer came, because the server was killed.
var errDead = errors.New("the server is gone")

// client sends requests to one server, until that is killed.
type client struct {
	url  string
	http *http.Client
}

func newClient(url string) *client {
	return &client{url, &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// A request is what somebody wants of the server.
type request struct {
	method, path string
	token        string
	body         any // nil for none
}

// do returns the answer to a request. The error is errDead when there is none,
// or half of one.
func (c *client) do(r request) (status int, body canonjson.Value, err error) {
	var content io.Reader = http.NoBody
	if r.body != nil {
		text, err := json.Marshal(r.body)
		if err != nil {
			return 0, nil, fmt.Errorf("encoding the body of %s %s: %w", r.method, r.path, err)
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequest(r.method, c.url+"/_matrix/client/v3"+r.path, content)
	if err != nil {
		return 0, nil, err
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", errDead, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", errDead, err)
	}
	if body, err = canonjson.Canonical(text, canonjson.Lenient); err != nil {
		return 0, nil, fmt.Errorf("%s %s: status %d, and no JSON: %q", r.method, r.path, resp.StatusCode, text)
	}
	return resp.StatusCode, body, nil
}

// must is do for what has to succeed.
func (c *client) must(r request) (canonjson.Value, error) {
	status, body, err := c.do(r)
	if err == nil && status != http.StatusOK {
		err = statusError{r, status, body}
	}
	return body, err
}

// statusError is an answer that is not as it should be.
type statusError struct {
	request
	status int
	answer canonjson.Value
}

func (e statusError) Error() string {
	return fmt.Sprintf("%s %s: status %d: %s", e.method, e.path, e.status, e.answer)
}

// hasFault reports whether an error is that a server has told of a fault of its
// own.
func hasFault(err error) bool {
	answer := statusError{}
	return errors.As(err, &answer) && answer.status >= http.StatusInternalServerError
}

// text returns a member that is a string, empty if there is none.
func text(v canonjson.Value, names ...string) string {
	for _, name := range names {
		v = v.Get(name)
	}
	s, _ := v.Text()
	return s
}

// at joins the parts of a path, escaped.
func at(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("/" + url.PathEscape(p))
	}
	return b.String()
}

// object is the body of a request.
type object map[string]any

// an account is a user with a device.
type account struct {
	name   string // the localpart
	userID string
	device string
	token  string
}

func password(name string) string { return "password of " + name }

// register makes an account.
func (c *client) register(name string) (*account, error) {
	body := object{"username": name, "password": password(name)}
	r := request{"POST", "/register", "", body}
	status, answer, err := c.do(r)
	if err != nil {
		return nil, err
	}
	if status == http.StatusUnauthorized {
		body["auth"] = object{"type": "m.login.dummy", "session": text(answer, "session")}
		status, answer, err = c.do(r)
	}
	return loggedIn(name, r, status, answer, err)
}

// login logs in with a new device.
func (c *client) login(name string) (*account, error) {
	r := request{"POST", "/login", "", object{
		"type": "m.login.password", "password": password(name), "identifier": object{"type": "m.id.user", "user": name},
	}}
	status, answer, err := c.do(r)
	return loggedIn(name, r, status, answer, err)
}

func loggedIn(name string, r request, status int, answer canonjson.Value, err error) (*account, error) {
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("logging in as %s: %w", name, statusError{r, status, answer})
	}
	if err != nil {
		return nil, err
	}
	return &account{name, text(answer, "user_id"), text(answer, "device_id"), text(answer, "access_token")}, nil
}
