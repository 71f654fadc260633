package hstest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"parley/internal/openapi"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// A User is somebody with a client that is logged in.
type User struct {
	*Server
	ID       id.UserID
	Device   id.DeviceID
	Token    string
	Password string
}

// Register makes an account, the way a client does, with a password that is made
// of the name.
func (s *Server) Register(localpart string) *User {
	s.world.Helper()
	const path = "/_matrix/client/v3/register"
	password := "password of " + localpart
	request := map[string]any{"username": localpart, "password": password}
	status, body := s.Do("POST", path, request)
	if status == http.StatusUnauthorized {
		request["auth"] = map[string]any{"type": "m.login.dummy", "session": body.Get("session")}
		status, body = s.Do("POST", path, request)
	}
	return s.loggedIn(status, body, password)
}

// Login logs in with another device.
func (s *Server) Login(localpart, password string) *User {
	s.world.Helper()
	status, body := s.Do("POST", "/_matrix/client/v3/login", map[string]any{
		"type": "m.login.password", "password": password,
		"identifier": map[string]string{"type": "m.id.user", "user": localpart},
	})
	return s.loggedIn(status, body, password)
}

func (s *Server) loggedIn(status int, body canonjson.Value, password string) *User {
	s.world.Helper()
	if status != http.StatusOK {
		s.world.Fatalf("logging in at %s: got %d %s", s.Name, status, body)
	}
	text := func(name string) string {
		v, _ := body.Get(name).Text()
		return v
	}
	return &User{
		Server: s, ID: id.UserID(text("user_id")), Device: id.DeviceID(text("device_id")),
		Token: text("access_token"), Password: password,
	}
}

// Login logs the user in with another device.
func (u *User) Login() *User {
	u.world.Helper()
	return u.Server.Login(u.ID.Localpart(), u.Password)
}

// Do sends a request with the user's access token, see [Server.Do].
func (u *User) Do(method, path string, body any) (status int, response canonjson.Value) {
	u.world.Helper()
	return u.Server.do(method, path, u.Token, body)
}

// Must is Do for what has to succeed.
func (u *User) Must(method, path string, body any) canonjson.Value {
	u.world.Helper()
	status, response := u.Do(method, path, body)
	if status != http.StatusOK {
		u.world.Fatalf("%s: %s %s: got %d %s", u.ID, method, path, status, response)
	}
	return response
}

// Do sends a request without an access token. The body is nil, JSON in a string
// or a [canonjson.Value], or a value that is encoded. The response is nil if it is
// no JSON.
func (s *Server) Do(method, path string, body any) (status int, response canonjson.Value) {
	s.world.Helper()
	return s.do(method, path, "", body)
}

// Try is Do for somebody whose server may be killed meanwhile: the error says
// that there was no answer. Unlike the others it may be called from any
// goroutine.
func (u *User) Try(method, path string, body any) (status int, response canonjson.Value, err error) {
	return u.Server.try(method, path, u.Token, body)
}

func (s *Server) do(method, path, token string, body any) (int, canonjson.Value) {
	t := s.world
	t.Helper()
	status, response, err := s.try(method, path, token, body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return status, response
}

func (s *Server) try(method, path, token string, body any) (int, canonjson.Value, error) {
	text, err := encode(body)
	if err != nil {
		return 0, nil, fmt.Errorf("encoding the body: %w", err)
	}
	authorization := ""
	if token != "" {
		authorization = "Bearer " + token
	}
	return s.request(method, path, authorization, text)
}

// request makes a request with a header Authorization, or without if that is
// empty.
func (s *Server) request(method, path, authorization, text string) (int, canonjson.Value, error) {
	t := s.world
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+string(s.Name)+path, strings.NewReader(text))
	if err != nil {
		return 0, nil, err
	}
	if text == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	r.Header.Set("Content-Type", "application/json")
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	dead, ending := s.dead.Load(), s.ending.Load() // those of the process that is asked
	resp, err := t.client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, err
	}
	// It says what it can, and to whom it cannot answer any more that they may try again.
	dying := resp.StatusCode >= 500 && dead.Load() || resp.StatusCode == http.StatusServiceUnavailable && ending.Load()
	if t.spec != nil && !dying {
		t.spec().Expect(t, openapi.Response{
			Method: method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Status: resp.StatusCode, Header: resp.Header, Body: content,
		})
	}
	value, err := canonjson.Canonical(content, canonjson.Lenient)
	if err != nil {
		return resp.StatusCode, nil, nil
	}
	return resp.StatusCode, value, nil
}

func encode(body any) (string, error) {
	switch body := body.(type) {
	case nil:
		return "", nil
	case string:
		return body, nil
	case canonjson.Value:
		return string(body), nil
	}
	text, err := json.Marshal(body)
	return string(text), err
}
