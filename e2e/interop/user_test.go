package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	// patience is how long a condition may take to become true on the other
	// server. Synapse looks once a minute whether a server that was away is back.
	patience = 100 * time.Second
	interval = 50 * time.Millisecond
)

// An object is one of JSON, or a list of them under "".
type object map[string]any

// at is what lies at the end of a path, nil if nothing does.
func (o object) at(path ...string) any {
	var v any = map[string]any(o)
	for _, step := range path {
		in, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = in[step]
	}
	return v
}

func (o object) text(path ...string) string {
	s, _ := o.at(path...).(string)
	return s
}

func (o object) list(path ...string) []object {
	list, _ := o.at(path...).([]any)
	var objects []object
	for _, v := range list {
		if v, ok := v.(map[string]any); ok {
			objects = append(objects, v)
		}
	}
	return objects
}

func (o object) String() string {
	text, _ := json.Marshal(map[string]any(o))
	return string(text)
}

// A user is somebody with an account of this run.
type user struct {
	*server
	t                 *testing.T
	id, token, device string
	password          string
}

// registered counts accounts, to give each another name.
var registered atomic.Int64

// register makes an account whose name begins with one.
func (s *server) register(t *testing.T, name string) *user {
	t.Helper()
	u := &user{server: s, t: t, password: "password of " + name}
	request := object{"username": fmt.Sprintf("%s%d", name, registered.Add(1)), "password": u.password}
	status, answer := u.do("POST", "/_matrix/client/v3/register", request)
	if status == http.StatusUnauthorized {
		request["auth"] = object{"type": "m.login.dummy", "session": answer["session"]}
		answer = u.must("POST", "/_matrix/client/v3/register", request)
	}
	u.id, u.token, u.device = answer.text("user_id"), answer.text("access_token"), answer.text("device_id")
	return u
}

// logsIn is the same user with another device.
func (u *user) logsIn() *user {
	u.t.Helper()
	other := *u
	answer := u.must("POST", path("login"), object{"type": "m.login.password", "password": u.password,
		"identifier": object{"type": "m.id.user", "user": u.id}})
	other.token, other.device = answer.text("access_token"), answer.text("device_id")
	return &other
}

// auth answers a challenge with the password.
func (u *user) auth(challenge object) object {
	return object{"type": "m.login.password", "session": challenge["session"], "password": u.password,
		"identifier": object{"type": "m.id.user", "user": u.id}}
}

// path is one of the client-server API, its parts escaped.
func path(parts ...string) string {
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return "/_matrix/client/v3/" + strings.Join(parts, "/")
}

// do makes a request. What is answered by a list is under "".
func (u *user) do(method, path string, body any) (status int, answer object) {
	u.t.Helper()
	var content bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&content).Encode(body); err != nil {
			u.t.Fatal(err)
		}
	}
	r, err := http.NewRequest(method, u.url+path, &content)
	if err != nil {
		u.t.Fatal(err)
	}
	if u.token != "" {
		r.Header.Set("Authorization", "Bearer "+u.token)
	}
	response, err := (&http.Client{Timeout: patience}).Do(r)
	if err != nil {
		u.t.Fatal(err)
	}
	defer response.Body.Close()
	var v any
	if err := json.NewDecoder(response.Body).Decode(&v); err != nil {
		u.t.Fatalf("%s of %s %s: %v", response.Status, method, path, err)
	}
	if o, ok := v.(map[string]any); ok {
		answer = o
	} else {
		answer = object{"": v}
	}
	if u.server == parley && response.StatusCode >= 500 && response.StatusCode != http.StatusBadGateway {
		u.t.Errorf("%s is answered with %d %s", path, response.StatusCode, answer)
	}
	return response.StatusCode, answer
}

// must ends the scene if the request does not succeed.
func (u *user) must(method, path string, body any) object {
	u.t.Helper()
	status, answer := u.do(method, path, body)
	if status != http.StatusOK {
		u.t.Fatalf("%s %s %s on %s: got %d %s", u.id, method, path, u.server, status, answer)
	}
	return answer
}

// until waits for a condition that is described by what it lacks, "" if nothing.
func until(t *testing.T, what string, lacks func() string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		lack := lacks()
		if lack == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %v until %s: %s", patience, what, lack)
		}
		time.Sleep(interval)
	}
}
